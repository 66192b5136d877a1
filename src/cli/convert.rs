use std::path::{Path, PathBuf};

use super::arguments::{self, ConfigFormat};
use super::error::CliError;
use super::exit::Exit;
use super::loading::{self, EntryFile, Talk};
use super::terminal::{Terminal, harmless};
use super::{saved_plan, surroundings};
use crate::config::{self, World};
use crate::diag::Severity;
use crate::document::{Format, Kind, Node, write};
use crate::plan::holds_secret;
use crate::schema;

pub(super) fn run(arguments: &arguments::Convert, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let world = surroundings::world_for(&arguments.access)?;
    let file = loading::entry(Some(&arguments.file), &world, terminal)?;
    if let Some(out) = &arguments.out {
        check_place(&file, out, arguments.force, &world)?;
    }
    saved_plan::refuse(&file.path, &file.named)?;
    let document = read(&file, &world, terminal)?;
    let target = arguments.out.as_deref().unwrap_or(&file.path);
    let format = format(arguments.to, &loading::absolute(target, &world));
    let (node, lost) = schema::portable(&document, format);
    let (node, head) = without_schema(node, format);
    let text = head + &proven(&node, format)?;
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
fn read(file: &EntryFile, world: &World, terminal: &mut Terminal) -> Result<Node, CliError> {
    let (document, mut report) = config::load_document(&file.named, world);
    if let Some(document) = &document {
        report.diagnostics.extend(schema::decode(document, &file.named).diagnostics);
    }
    report.diagnostics.retain(|diagnostic| diagnostic.severity == Severity::Error);
    loading::judge(document, &report, false, Talk::Warnings, terminal)
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

/// The text of a document, once it has been read back as the same one.
pub(super) fn proven(node: &Node, format: Format) -> Result<String, CliError> {
    let text = write(node, format);
    match config::read_back(&text, format) {
        Some(back) if same(&back, node) => Ok(text),
        _ => Err(CliError::error("this file has keys or values that the other format cannot say the same way")
            .hint("`--to json5` can")),
    }
}

fn same(one: &Node, other: &Node) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Sequence(one), Kind::Sequence(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Kind::Mapping(one), Kind::Mapping(other)) => {
            let alike = |(one, other): (&crate::document::Entry, &crate::document::Entry)| {
                one.key.text == other.key.text && same(&one.value, &other.value)
            };
            one.len() == other.len() && one.iter().zip(other).all(alike)
        }
        (one, other) => one == other,
    }
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
        terminal.say(format!("not kept: `{}`: {}", harmless(lost.path.as_bytes(), false), lost.why));
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
        let mut secrets = Vec::new();
        find_secrets(node, "", "", &text, &mut secrets);
        notes.extend(secrets.iter().map(|path| {
            let path = harmless(path.as_bytes(), false);
            format!("warning: `{path}` looks like a secret that the code looked up; now it stands in the file as it is")
        }));
    }
    notes
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
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
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
