use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::terminal::{Colour, harmless, paint};
use super::answer::{Answer, Context, DEFAULT, OWN_DEFAULTS, PMRUN, SHELL, Told};
use crate::diag;
use crate::document::Location;
use crate::schema::PROGRAM;

/// What is shown of a value where there are many.
const SHORT: usize = 60;

pub(super) fn document(what: &str, app: &str, answers: &[Answer], context: &Context<'_>) -> Value {
    let layer = |Told { key, value, location }: &Told| {
        let (file, position) = match location {
            Location::Nowhere => (None, None),
            Location::File(file) | Location::Value { file, .. } => (Some(file.as_path()), None),
            Location::Line { file, position } => (Some(file.as_path()), Some(*position)),
            Location::At { span, .. } => {
                (Some(context.sources.get(span.source).path.as_path()), Some(context.sources.position(*span)))
            }
        };
        let path = match location {
            Location::Value { path, .. } | Location::At { path, .. } if !path.is_empty() => Some(path),
            _ => None,
        };
        json!({
            "layer": key,
            "value": value,
            "file": file.map(|file| file.display().to_string()),
            "line": position.map(|position| position.line),
            "column": position.map(|position| position.column),
            "path": path,
            "computed": diag::is_computed(&context.sources, location),
        })
    };
    let answer = |Answer { path, value, layers, notes }: &Answer| {
        let mut layers: Vec<Value> = layers.iter().map(layer).collect();
        if let Some(first) = layers.first_mut() {
            first["value"] = json!(value);
        }
        json!({ "path": path, "value": value, "layers": layers, "notes": notes })
    };
    let file = context.file.display().to_string();
    let head = json!({ "version": 1, "asked": what, "file": file, "profile": context.profile, "app": app });
    let mut document = head;
    document["values"] = answers.iter().map(answer).collect();
    document
}

/// One value, with each layer's line of the file.
pub(super) fn whole(app: &str, answer: &Answer, context: &Context<'_>, colour: bool, unicode: bool) -> String {
    let name = paint(colour, Colour::Bold, &plain(&format!("{app}.{}", answer.path)));
    let mut out = match &answer.value {
        Some(value) => format!("{name} = {}\n\n", plain(value)),
        None => format!("{name} is not set\n\n"),
    };
    for (at, layer) in answer.layers.iter().enumerate() {
        let _ = writeln!(out, "{}", plain(&sentence(layer, at == 0, &answer.path, context)));
        for line in
            diag::excerpt(&context.sources, &layer.location, unicode, context.reveal).unwrap_or_default().lines()
        {
            let _ = writeln!(out, "{}", paint(colour, Colour::Dim, &format!("  {line}")));
        }
    }
    if answer.layers.is_empty() && answer.value.is_some() {
        out.push_str("the file does not say it\n");
    }
    for note in &answer.notes {
        let _ = writeln!(out, "{} {}", paint(colour, Colour::Cyan, "note:"), plain(note));
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

fn sentence(Told { key, value, location }: &Told, holds: bool, path: &str, context: &Context<'_>) -> String {
    let whose = if OWN_DEFAULTS.contains(&path) { "" } else { " (PM2's)" };
    let value = value.as_deref().unwrap_or_default();
    let mut place = diag::place(&context.sources, location).unwrap_or_default();
    if diag::is_computed(&context.sources, location) {
        place.push_str(", computed there");
    }
    match (key.as_str(), holds) {
        (DEFAULT, true) => format!("nothing sets it; default: {value}{whose}"),
        (DEFAULT, false) => format!("over the default: {value}{whose}"),
        (SHELL, true) => "inherited from the shell that applies the file: the value is this shell's".to_owned(),
        (SHELL, false) => format!("over what the shell has: {value}"),
        (PMRUN, true) => "set by pmrun itself".to_owned(),
        (PMRUN, false) => format!("over what pmrun sets: {value}"),
        (PROGRAM, true) => format!("set by the program, in `{key}`: {place}"),
        (PROGRAM, false) => format!("over what the program sets in `{key}`, {place}: {value}"),
        (_, true) => format!("set by `{key}` at {place}"),
        (_, false) => format!("over `{key}` at {place}: {value}"),
    }
}

/// A line a value; what only has its default goes last.
pub(super) fn table(app: &str, answers: &[Answer], context: &Context<'_>, colour: bool) -> String {
    let by_default =
        |answer: &&Answer| answer.layers.first().is_none_or(|layer| layer.key == DEFAULT) && answer.notes.is_empty();
    let (usual, said): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(by_default);
    let mut out = paint(colour, Colour::Bold, &plain(app)) + "\n";
    if answers.is_empty() {
        out.push_str("  the file declares nothing of it\n");
    }
    out += &lines(&said, context);
    if !usual.is_empty() {
        let _ = write!(out, "\n{}\n{}", paint(colour, Colour::Bold, "defaults"), lines(&usual, context));
    }
    out
}

fn lines(answers: &[&Answer], context: &Context<'_>) -> String {
    let short = |text: &str| {
        let text = plain(text);
        if text.chars().count() > SHORT { text.chars().take(SHORT - 3).collect::<String>() + "..." } else { text }
    };
    let rows: Vec<[String; 3]> = answers
        .iter()
        .map(|answer| {
            [plain(&answer.path), short(answer.value.as_deref().unwrap_or("-")), plain(&source(answer, context))]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    rows.iter().fold(String::new(), |mut out, [path, value, source]| {
        let line = format!("  {path:first$}  {value:second$}  {source}");
        let _ = writeln!(out, "{}", line.trim_end());
        out
    })
}

/// In short: where it is written, and over what.
fn source(answer: &Answer, context: &Context<'_>) -> String {
    let Some((first, rest)) = answer.layers.split_first() else {
        return answer.notes.first().cloned().unwrap_or_default();
    };
    let mut text = match first.key.as_str() {
        DEFAULT => answer.notes.first().cloned().unwrap_or_default(),
        SHELL => "this shell".to_owned(),
        PMRUN => "pmrun".to_owned(),
        key => {
            let place = diag::place(&context.sources, &first.location).unwrap_or_default();
            let own = key == answer.path || key == "env";
            if own { place } else { format!("{place} ({key})") }
        }
    };
    let over: Vec<&str> = rest.iter().map(|layer| layer.key.as_str()).filter(|key| *key != DEFAULT).collect();
    if !over.is_empty() {
        let _ = write!(text, ", over {}", over.join(", "));
    }
    text
}

fn plain(text: &str) -> String {
    harmless(text.as_bytes(), false)
}
