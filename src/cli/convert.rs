use std::path::{Path, PathBuf};

use super::arguments::{self, ConfigFormat};
use super::error::CliError;
use super::exit::Exit;
use super::loading::{self, EntryFile, Talk};
use super::terminal::{Terminal, harmless};
use super::{saved_plan, surroundings};
use crate::config::{self, World};
use crate::diag::{self, Severity};
use crate::document::{Format, Kind, Location, Node, Sources, Span, write};
use crate::plan::holds_secret;
use crate::schema;

pub(super) fn run(arguments: &arguments::Convert, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let world = surroundings::world_for(&arguments.access)?;
    let file = loading::entry(Some(&arguments.file), &world, terminal)?;
    if let Some(out) = &arguments.out {
        check_place(&file, out, arguments.force, &world)?;
    }
    saved_plan::refuse(&file.path, &file.named)?;
    let (document, sources) = read(&file, &world, terminal)?;
    let target = arguments.out.as_deref().unwrap_or(&file.path);
    let format = format(arguments.to, &loading::absolute(target, &world));
    let (node, lost) = schema::portable(&document, format);
    let (node, head) = without_schema(node, format);
    let text = head + &proven(&node, format).map_err(|unsaid| unsaid.at(place(&document, &unsaid.path, &sources)))?;
    match &arguments.out {
        Some(out) => save(&loading::absolute(out, &world), &text, arguments.force)?,
        None => terminal.print(&text)?,
    }
    say_lost(&lost, Some(&file), &node, &world, terminal);
    if let Some(out) = &arguments.out {
        let (from, to) = (file.named.display(), out.display());
        let gone = if is_package(&document) { "whose `pm2` can go now" } else { "which can go now" };
        terminal.say(format!("{to}: written; it means what {from} means, {gone}"));
    }
    Ok(Exit::Done)
}

/// What a file says, when all of it is understood: what is wrong has no meaning that could be kept. Whether its
/// scripts are here does not matter.
fn read(file: &EntryFile, world: &World, terminal: &mut Terminal) -> Result<(Node, Sources), CliError> {
    let (document, mut report) = config::load_document(&file.named, world);
    if let Some(document) = &document {
        report.diagnostics.extend(schema::decode(document, &file.named).diagnostics);
    }
    report.diagnostics.retain(|diagnostic| diagnostic.severity == Severity::Error);
    let document = loading::judge(document, &report, false, Talk::Warnings, terminal)?;
    Ok((document, report.sources))
}

/// Where the key at the end of a path was written.
fn place(document: &Node, path: &str, sources: &Sources) -> Option<String> {
    let span = key_at(document, path)?;
    diag::place(sources, &Location::At { span, path: path.to_owned() })
}

/// Paths are as [`difference`] makes them.
fn key_at(node: &Node, path: &str) -> Option<Span> {
    match &node.kind {
        Kind::Sequence(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            key_at(items.get(index.parse::<usize>().ok()?)?, rest)
        }
        Kind::Mapping(entries) => entries.iter().find_map(|entry| {
            let rest = path.strip_prefix('.').unwrap_or(path).strip_prefix(entry.key.text.as_str())?;
            if rest.is_empty() { entry.key.span.or(entry.value.span) } else { key_at(&entry.value, rest) }
        }),
        _ => None,
    }
}

/// Whether the ecosystem is a part of a package.json.
fn is_package(document: &Node) -> bool {
    document.get("apps").is_none() && document.get("pm2").is_some()
}

/// Paths in a file are against its folder, and an ecosystem is known by it.
fn check_place(file: &EntryFile, out: &Path, force: bool, world: &World) -> Result<(), CliError> {
    let target = loading::absolute(out, world);
    if target.parent() != file.path.parent() {
        let message = format!("`{}` is in another folder than `{}`", out.display(), file.named.display());
        return Err(
            CliError::error(message).hint("it would mean something else there: its paths are against its folder")
        );
    }
    if target.exists() && !force {
        return Err(CliError::error(format!("`{}` is already there", out.display())).hint("`--force` overwrites it"));
    }
    Ok(())
}

/// Which of JavaScript's two ways a file has to export depends on its ending and its package.
pub(super) fn format(to: ConfigFormat, target: &Path) -> Format {
    match to {
        ConfigFormat::Json => Format::Json,
        ConfigFormat::Json5 => Format::Json5,
        ConfigFormat::Yaml => Format::Yaml,
        ConfigFormat::Toml => Format::Toml,
        // A type can only be imported where something is exported, too.
        ConfigFormat::Ts => Format::Module,
        ConfigFormat::Js => match target.extension().and_then(|ending| ending.to_str()) {
            Some("mjs") => Format::Module,
            Some("cjs") => Format::CommonJs,
            _ if is_module_package(target) => Format::Module,
            _ => Format::CommonJs,
        },
    }
}

/// Whether the nearest package.json says `"type": "module"`.
fn is_module_package(target: &Path) -> bool {
    let manifest = target.ancestors().skip(1).find_map(|folder| std::fs::read(folder.join("package.json")).ok());
    let manifest = manifest.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    manifest.is_some_and(|manifest| manifest["type"] == "module")
}

/// Where YAML and TOML have a comment for it, `$schema` becomes that.
fn without_schema(node: Node, format: Format) -> (Node, String) {
    let url = node.get("$schema").and_then(Node::as_str).filter(|url| !url.contains(char::is_control));
    let head = match (format, url) {
        (Format::Yaml, Some(url)) => format!("# yaml-language-server: $schema={url}\n"),
        (Format::Toml, Some(url)) => format!("#:schema {url}\n"),
        _ => return (node, String::new()),
    };
    let Kind::Mapping(mut entries) = node.kind else { return (node, String::new()) };
    entries.retain(|entry| entry.key.text != "$schema");
    (Node::new(Kind::Mapping(entries), node.span), head)
}

/// A key or value that does not come back from a format.
pub(super) struct Unsaid {
    path: String,
    format: Format,
}

impl Unsaid {
    pub(super) fn at(&self, place: Option<String>) -> CliError {
        let at = place.map(|place| format!("{place}: ")).unwrap_or_default();
        let path = harmless(self.path.as_bytes(), false);
        let (name, why) = match self.format {
            Format::CommonJs | Format::Module => ("JavaScript", ": to it this key is no key like others"),
            Format::Json => ("JSON", ""),
            Format::Json5 => ("JSON5", ""),
            Format::Yaml => ("YAML", ""),
            Format::Toml => ("TOML", ""),
        };
        let what = if path.is_empty() { "this file".to_owned() } else { format!("`{path}`") };
        CliError::error(format!("{at}{name} cannot say {what} so that it means the same{why}")).hint("`--to json5` can")
    }
}

/// The text of a document, once it has been read back as the same one.
pub(super) fn proven(node: &Node, format: Format) -> Result<String, Unsaid> {
    let text = write(node, format);
    let unsaid = match config::read_back(&text, format) {
        Some(back) => difference(node, &back, ""),
        None => Some(special(node, "").unwrap_or_default()),
    };
    match unsaid {
        Some(path) => Err(Unsaid { path, format }),
        None => Ok(text),
    }
}

/// The path of a key by which JavaScript means something else.
fn special(node: &Node, path: &str) -> Option<String> {
    match &node.kind {
        Kind::Sequence(items) => {
            items.iter().enumerate().find_map(|(index, item)| special(item, &format!("{path}[{index}]")))
        }
        Kind::Mapping(entries) => entries.iter().find_map(|entry| {
            let key = entry.key.text.as_str();
            let path = below(path, key);
            if matches!(key, "__proto__" | "__esModule" | "") { Some(path) } else { special(&entry.value, &path) }
        }),
        _ => None,
    }
}

/// The first path at which two documents are not the same.
fn difference(one: &Node, other: &Node, path: &str) -> Option<String> {
    match (&one.kind, &other.kind) {
        (Kind::Sequence(one), Kind::Sequence(other)) if one.len() == other.len() => one
            .iter()
            .zip(other)
            .enumerate()
            .find_map(|(index, (one, other))| difference(one, other, &format!("{path}[{index}]"))),
        (Kind::Mapping(one), Kind::Mapping(other)) if one.len() == other.len() => {
            one.iter().zip(other).find_map(|(one, other)| {
                let path = below(path, &one.key.text);
                if one.key.text == other.key.text { difference(&one.value, &other.value, &path) } else { Some(path) }
            })
        }
        (one, other) => (one != other).then(|| path.to_owned()),
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

pub(super) fn save(path: &Path, text: &str, force: bool) -> Result<(), CliError> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    // Even one that came in the meantime is not overwritten.
    options.write(true).create(true).truncate(true).create_new(!force);
    let saved = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    saved.map_err(|err| CliError::io("write", path, &err))
}

/// Says what was not kept of a document and of the file that it was read from.
pub(super) fn say_lost(
    lost: &[schema::Lost],
    file: Option<&EntryFile>,
    node: &Node,
    world: &World,
    terminal: &mut Terminal,
) {
    for lost in lost {
        let path = harmless(lost.path.as_bytes(), false);
        terminal.say(if lost.meant {
            format!("written otherwise: `{path}`, {}", lost.why)
        } else {
            format!("not kept: `{path}`: {}", lost.why)
        });
    }
    let assigned: Vec<String> = world.reading.journal.take_assigned().into_keys().collect();
    if !assigned.is_empty() {
        let names = harmless(assigned.join(", ").as_bytes(), false);
        terminal.say(format!(
            "not kept: what the code puts into `process.env`: {names}; declare it in `env` or `env_file`"
        ));
    }
    for note in file.map(|file| notes(file, node, world)).unwrap_or_default() {
        terminal.say(note);
    }
}

/// What a document cannot say of the file that it was read from.
fn notes(file: &EntryFile, node: &Node, world: &World) -> Vec<String> {
    let Ok(text) = std::fs::read_to_string(&file.path) else { return Vec::new() };
    let ending = file.path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let mut notes = Vec::new();
    if has_comments(&text, &ending) {
        notes.push("not kept: comments".to_owned());
    }
    if matches!(ending.as_str(), "yaml" | "yml") && text.contains("<<:") {
        notes.push("not kept: `<<` and anchors; what they stand for is written out".to_owned());
    }
    if config::is_program(&file.named, world) {
        notes.push(
            "not kept: code; what it computed here and now is written, variables and paths of this machine among it"
                .to_owned(),
        );
        let mut halves = Vec::new();
        // What the user wrote as it is, is meant.
        if !text.contains(HALF) && !text.to_ascii_lowercase().contains("ufffd") {
            find_halves(node, "", &mut halves);
        }
        notes.extend(halves.iter().map(|path| {
            let path = harmless(path.as_bytes(), false);
            format!("written otherwise: `{path}`, with U+FFFD for what is no text: half of a surrogate pair, or bytes that are not UTF-8")
        }));
        let mut secrets = Vec::new();
        find_secrets(node, "", "", &text, &mut secrets);
        notes.extend(secrets.iter().map(|path| {
            let path = harmless(path.as_bytes(), false);
            format!("warning: `{path}` looks like a secret that the code looked up; now it stands in the file as it is")
        }));
    }
    notes
}

/// Stands where a program's text is none to the rest of the world; what is run is given the same.
const HALF: char = '\u{fffd}';

/// Paths of keys and values that hold it.
fn find_halves(node: &Node, path: &str, found: &mut Vec<String>) {
    match &node.kind {
        Kind::String(text) if text.contains(HALF) => found.push(path.to_owned()),
        Kind::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                find_halves(item, &format!("{path}[{index}]"), found);
            }
        }
        Kind::Mapping(entries) => {
            for entry in entries {
                let path = below(path, &entry.key.text);
                if entry.key.text.contains(HALF) {
                    found.push(path.clone());
                }
                find_halves(&entry.value, &path, found);
            }
        }
        _ => {}
    }
}

/// Paths of values that look like secrets and do not stand in the file that they came from.
fn find_secrets(node: &Node, path: &str, name: &str, text: &str, found: &mut Vec<String>) {
    match &node.kind {
        Kind::String(value) if holds_secret(name, value) && !text.contains(value.as_str()) => {
            found.push(path.to_owned());
        }
        Kind::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                find_secrets(item, &format!("{path}[{index}]"), name, text, found);
            }
        }
        Kind::Mapping(entries) => {
            for entry in entries {
                let key = &entry.key.text;
                let path = below(path, key);
                find_secrets(&entry.value, &path, key, text, found);
            }
        }
        _ => {}
    }
}

/// Whether something outside of quotes begins a comment. A quote counts where a value may begin.
fn has_comments(text: &str, ending: &str) -> bool {
    let is_hash = matches!(ending, "yaml" | "yml" | "toml");
    let mut quote = None;
    let mut before = '\n';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            Some(open) if c == open => quote = None,
            Some('"' | '\'') if c == '\n' => quote = None,
            None if matches!(c, '"' | '\'' | '`') && !before.is_alphanumeric() => quote = Some(c),
            None if is_hash && c == '#' && before.is_whitespace() => return true,
            None if !is_hash && c == '/' && matches!(chars.peek(), Some('/' | '*')) => return true,
            Some(_) | None => {}
        }
        if quote.is_some() && c == '\\' {
            chars.next();
        }
        before = c;
    }
    false
}

/// Where a file of this format is written that nobody named.
pub(super) fn default_file(to: ConfigFormat, folder: &Path) -> PathBuf {
    folder.join(format!("ecosystem.config.{}", to.ending()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_seen_and_what_looks_like_one_is_not() {
        let table = [
            ("{ a: 1 } // b", "json5", true),
            ("/* a */ {}", "json", true),
            ("{ \"a\": \"http://x/*\" }", "json", false),
            ("module.exports = { a: 'it\\'s // b' }", "js", false),
            ("a: b # c", "yaml", true),
            ("a: b#c\nd: 'e # f'\ng: it's\n", "yaml", false),
            ("a = \"# b\"\n", "toml", false),
            ("# b\na = 1\n", "toml", true),
        ];
        for (text, ending, want) in table {
            assert_eq!(has_comments(text, ending), want, "{text}");
        }
    }
}
