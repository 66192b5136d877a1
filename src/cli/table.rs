//! Columns of text. Cells are never wrapped or cut: scripts look for names in what is printed.

use unicode_width::UnicodeWidthStr as _;

use super::terminal::{Colour, paint};

/// A column's heading, and whether it holds numbers.
pub(super) type Column = (&'static str, bool);
/// What is in a cell, and its colour.
pub(super) type Cell = (String, Option<Colour>);

const GAP: &str = "  ";

/// Rows below a heading, two spaces between columns.
pub(super) fn draw(columns: &[Column], rows: Vec<Vec<Cell>>, colour: bool) -> String {
    let widths = widths(columns, &rows);
    let mut text = String::with_capacity((rows.len() + 1) * (widths.iter().sum::<usize>() + GAP.len() * widths.len()));
    let heading = columns.iter().map(|(name, _)| ((*name).to_owned(), None)).collect();
    let mut line = String::new();
    for (at, row) in std::iter::once(heading).chain(rows).enumerate() {
        line.clear();
        let mut gap = 0;
        for ((cell, hue), (width, (_, number))) in row.iter().zip(widths.iter().zip(columns)) {
            let room = width.saturating_sub(cell.width());
            let (before, after) = if *number { (room, 0) } else { (0, room) };
            // What nothing comes after needs no room.
            line.extend(std::iter::repeat_n(' ', gap + before));
            match hue.filter(|_| colour) {
                Some(hue) if !cell.is_empty() => line.push_str(&paint(true, hue, cell)),
                _ => line.push_str(cell),
            }
            gap = after + GAP.len();
        }
        let line = line.trim_end();
        if at == 0 {
            text.push_str(&paint(colour, Colour::Dim, line));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

/// How wide each column is, its heading included.
pub(super) fn widths(columns: &[Column], rows: &[Vec<Cell>]) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(|(name, _)| name.width()).collect();
    for row in rows {
        for (width, (cell, _)) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    widths
}

/// How wide a table of such columns is.
pub(super) fn total(widths: impl ExactSizeIterator<Item = usize>) -> usize {
    let gaps = widths.len().saturating_sub(1) * GAP.len();
    gaps + widths.sum::<usize>()
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
    fn what_is_wide_is_counted_as_wide() {
        let cell = |text: &str| (text.to_owned(), None);
        let rows = vec![
            vec![cell("0"), cell("漢字"), cell("x")],
            vec![cell("1"), cell("\u{1f980}"), cell("x")],
            vec![cell("2"), cell("abcd"), cell("x")],
        ];
        assert_eq!(draw(&COLUMNS, rows, false), "id  name  state\n 0  漢字  x\n 1  \u{1f980}    x\n 2  abcd  x\n");
        assert_eq!(total(widths(&COLUMNS, &[]).into_iter()), 15);
    }

    #[test]
    fn no_rows_are_a_heading() {
        assert_eq!(draw(&COLUMNS, Vec::new(), false), "id  name  state\n");
    }
}
