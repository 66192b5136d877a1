//! A first ecosystem file, from what is there.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::arguments::{self, ConfigFormat};
use super::convert::{self, save};
use super::error::CliError;
use super::exit::Exit;
use super::loading::{self, EntryFile, Talk};
use super::surroundings;
use super::terminal::{Terminal, counted, harmless};
use crate::config::{self, World};
use crate::document::{Entry, Format, Key, Kind, Node};
use crate::schema::{self, export, options};

/// What a comment shows of the options, with an example of each.
const SHOWN: [&str; 7] =
    ["instances", "depends_on", "env_file", "stop_signal", "kill_timeout", "max_restarts", "fingerprint"];

/// Programs by the names that they are usually given.
const USUAL: [&str; 8] =
    ["server.js", "index.js", "app.js", "main.js", "src/index.js", "main.py", "app.py", "server.py"];

/// The apps that were found, and where.
struct Found {
    document: Node,
    /// Empty where nothing was found, and there is one app to be filled in.
    from: String,
    /// Where it is a file that says more than a document can.
    file: Option<EntryFile>,
}

pub(super) fn run(arguments: &arguments::Init, terminal: &mut Terminal) -> Result<Exit, CliError> {
    // PM2 takes every word for the long one.
    if let Some(kind) = arguments.kind.as_deref().filter(|kind| *kind != "simple" && !terminal.manners.are_pm2s()) {
        return Err(CliError::usage(format!("`{kind}` is no kind of file")).hint("`simple`, or nothing"));
    }
    let world = surroundings::world()?;
    let target = convert::default_file(arguments.format, &world.cwd);
    let name = loading::shown(&target, &world);
    check(&target, &name, arguments.force, &world)?;
    let found = find(&target, &world, terminal)?;
    let format = convert::format(arguments.format, &target);
    let (document, lost) = schema::portable(&found.document, format);
    let text = text(&document, arguments.format, format)?;
    save(&target, &text, arguments.force)?;
    let count = schema::decode(&document, &target).drafts.len();
    terminal.say(match found.from.as_str() {
        "" => format!("{name}: written, with an app to fill in: nothing here tells what runs"),
        from => format!("{name}: written, {} from {from}", counted(count, "app")),
    });
    convert::say_lost(&lost, found.file.as_ref(), &document, &world, terminal);
    help_editors(arguments.format, &world, terminal)?;
    terminal.say("now: pmrun validate, then pmrun diff and pmrun apply");
    Ok(Exit::Done)
}

/// Two files of the first name would be one too many for every command after this one.
fn check(target: &Path, name: &str, force: bool, world: &World) -> Result<(), CliError> {
    if target.exists() && !force {
        return Err(CliError::error(format!("`{name}` is already there")).hint("`--force` overwrites it"));
    }
    let mut others = config::endings().map(|ending| world.cwd.join(format!("ecosystem.config.{ending}")));
    if let Some(other) = others.find(|other| other != target && other.exists()) {
        let other = loading::shown(&other, world);
        let ending = target.extension().unwrap_or_default().display();
        return Err(CliError::error(format!("there is `{other}` already"))
            .hint(format!("`pmrun convert {other} --to {ending} --out {name}` writes it in this format")));
    }
    Ok(())
}

fn find(target: &Path, world: &World, terminal: &mut Terminal) -> Result<Found, CliError> {
    let file = match config::discover(&world.cwd) {
        Ok(found) if found.file != target => Some(found.file),
        Ok(_) | Err(config::DiscoveryError::None { .. }) => None,
        Err(other @ (config::DiscoveryError::Several { .. } | config::DiscoveryError::Unusable { .. })) => {
            return Err(CliError::error(other.to_string()));
        }
    };
    if let Some(file) = file {
        let entry = EntryFile::at(file, world);
        let (document, report) = config::load_document(&entry.named, world);
        let document = loading::judge(document, &report, false, Talk::None, terminal)?;
        return Ok(Found { document, from: entry.named.display().to_string(), file: Some(entry) });
    }
    let procfile = std::fs::read_to_string(world.cwd.join("Procfile")).unwrap_or_default();
    let (apps, dropped) = processes(&procfile);
    for (number, line) in dropped {
        let line = harmless(line.as_bytes(), false);
        terminal.say(format!("Procfile:{number}: left out, as it is no `name: command`: {line}"));
    }
    if !apps.is_empty() {
        return Ok(Found { document: ecosystem(&apps), from: "Procfile".to_owned(), file: None });
    }
    let manifest = std::fs::read(world.cwd.join("package.json")).ok();
    let manifest = manifest.map(|bytes| serde_json::from_slice::<Value>(&bytes)).transpose();
    let manifest = manifest.unwrap_or_else(|error| {
        terminal.say(format!("package.json: nothing is taken from it, as it is not JSON: {error}"));
        None
    });
    if let Some(manifest) = manifest {
        let apps = scripts(&manifest, manager(&world.cwd), |file| world.cwd.join(file).is_file());
        if !apps.is_empty() {
            return Ok(Found { document: ecosystem(&apps), from: "package.json".to_owned(), file: None });
        }
    }
    let script = USUAL.iter().find(|file| world.cwd.join(file).is_file());
    let app = json!({ "name": "app", "script": format!("./{}", script.unwrap_or(&"app.js")) });
    let from = script.map_or_else(String::new, |script| (*script).to_owned());
    Ok(Found { document: ecosystem(&[app]), from, file: None })
}

/// `name: command` lines, and those that are none, by their numbers. Heroku's `release` runs once, when somebody asks for
/// it.
fn processes(text: &str) -> (Vec<Value>, Vec<(usize, &str)>) {
    let app = |line: &str| {
        let (name, command) = line.split_once(':')?;
        let (name, command) = (name.trim(), command.trim());
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        (is_name && !command.is_empty()).then(|| match name {
            "release" => json!({ "name": name, "script": command, "autorestart": false, "autostart": false }),
            _ => json!({ "name": name, "script": command }),
        })
    };
    let (mut apps, mut dropped) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        match app(line) {
            _ if line.trim().is_empty() || line.trim_start().starts_with('#') => {}
            Some(app) => apps.push(app),
            None => dropped.push((index + 1, line)),
        }
    }
    (apps, dropped)
}

/// Scripts of package.json that go on running; without any, what `main` names.
fn scripts(manifest: &Value, manager: &str, is_file: impl Fn(&str) -> bool) -> Vec<Value> {
    const RUNNING: [&str; 6] = ["start", "serve", "server", "worker", "workers", "scheduler"];
    const NOT_HERE: [&str; 4] = ["dev", "debug", "test", "watch"];
    let package = manifest["name"].as_str().and_then(|name| name.rsplit('/').next()).filter(|name| !name.is_empty());
    let package = package.unwrap_or("app");
    let mut apps: Vec<Value> = Vec::new();
    for script in manifest["scripts"].as_object().into_iter().flat_map(|scripts| scripts.keys()) {
        let part = script.strip_prefix("start:");
        if !RUNNING.contains(&script.as_str()) && part.is_none_or(|part| NOT_HERE.contains(&part)) {
            continue;
        }
        let name = if script == "start" { package } else { part.unwrap_or(script) };
        let name = if apps.iter().any(|app| app["name"] == name) { script } else { name };
        let run = if script == "start" { format!("{manager} start") } else { format!("{manager} run {script}") };
        apps.push(json!({ "name": name, "script": run }));
    }
    let main = manifest["main"].as_str().filter(|main| apps.is_empty() && is_file(main));
    apps.extend(main.map(|main| json!({ "name": package, "script": main })));
    apps
}

/// Whoever wrote the lock file.
fn manager(folder: &Path) -> &'static str {
    let locks = [("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"), ("bun.lock", "bun"), ("bun.lockb", "bun")];
    locks.into_iter().find(|(lock, _)| folder.join(lock).exists()).map_or("npm", |(_, manager)| manager)
}

fn ecosystem(apps: &[Value]) -> Node {
    node(&json!({ "apps": apps }))
}

fn node(value: &Value) -> Node {
    let kind = match value {
        Value::Null => Kind::Null,
        Value::Bool(value) => Kind::Bool(*value),
        Value::Number(number) => Kind::Number(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::String(text.clone()),
        Value::Array(items) => Kind::Sequence(items.iter().map(node).collect()),
        Value::Object(entries) => Kind::Mapping(entries.iter().map(|(key, value)| entry(key, node(value))).collect()),
    };
    Node::new(kind, None)
}

fn entry(key: &str, value: Node) -> Entry {
    Entry { key: Key { text: key.to_owned(), span: None }, value }
}

/// The document with the editor's line, and with comments.
fn text(document: &Node, to: ConfigFormat, format: Format) -> Result<String, CliError> {
    let bare = convert::proven(document, format).map_err(|unsaid| unsaid.at(None))?;
    let comments = comments(to);
    Ok(match to {
        ConfigFormat::Yaml => format!("# yaml-language-server: $schema=./{SCHEMA}\n{comments}{bare}"),
        ConfigFormat::Toml => format!("#:schema ./{SCHEMA}\n{comments}\n{bare}"),
        ConfigFormat::Js => {
            // A constant: TypeScript before 7 gives `module.exports` no type.
            let (export, literal) = match format {
                Format::Module => ("export default", bare.strip_prefix("export default ")),
                _ => ("module.exports =", bare.strip_prefix("module.exports = ")),
            };
            let literal = literal.unwrap_or(&bare);
            // Without its first line editors complete a `.js` file but find nothing wrong with it.
            format!(
                "// @ts-check\n{comments}\n/** @type {{import(\"./pmrun\").Config}} */\nconst config = {literal}\n{export} config;\n"
            )
        }
        ConfigFormat::Ts => {
            let literal = bare.strip_prefix("export default ").unwrap_or(&bare);
            format!(
                "import type {{ Config }} from \"./pmrun\";\n\n{comments}\nconst config: Config = {literal}\nexport default config;\n"
            )
        }
        ConfigFormat::Json | ConfigFormat::Json5 => {
            let with = with_schema(document.clone());
            let text = convert::proven(&with, format).map_err(|unsaid| unsaid.at(None))?;
            if to == ConfigFormat::Json5 { comments + &text } else { text }
        }
    })
}

/// A list has no place for it, so it becomes the `apps` of an object.
fn with_schema(document: Node) -> Node {
    let url = entry("$schema", Node::new(Kind::String(format!("./{SCHEMA}")), None));
    let rest = match document.kind {
        Kind::Mapping(entries) => entries,
        kind => vec![entry("apps", Node::new(kind, None))],
    };
    let rest = rest.into_iter().filter(|entry| entry.key.text != "$schema");
    Node::new(Kind::Mapping(std::iter::once(url).chain(rest).collect()), None)
}

fn comments(to: ConfigFormat) -> String {
    let (mark, sign, end) = match to {
        ConfigFormat::Yaml => ("#", ": ", ""),
        ConfigFormat::Toml => ("#", " = ", ""),
        _ => ("//", ": ", ","),
    };
    let mut text = format!(
        "{mark} What pmrun runs: `pmrun diff` shows what would change, `pmrun apply` changes it.\n\
         {mark} More options of an app (`pmrun schema --format markdown` explains all of them):\n"
    );
    for name in SHOWN {
        let Some((row, _)) = options::find(name) else { continue };
        let example = row.examples.first().copied().unwrap_or_default();
        let _ = writeln!(text, "{mark}\n{mark}   {}\n{mark}   {name}{sign}{example}{end}", row.doc);
    }
    text
}

const SCHEMA: &str = "pmrun.schema.json";
const TYPES: &str = "pmrun.d.ts";

/// What the editor's line names. A file of this name that says something else is somebody's.
fn help_editors(to: ConfigFormat, world: &World, terminal: &mut Terminal) -> Result<(), CliError> {
    let (name, text, command) = match to {
        ConfigFormat::Js | ConfigFormat::Ts => (TYPES, export::typescript(), "pmrun schema --format ts"),
        _ => (SCHEMA, export::json_schema(), "pmrun schema"),
    };
    let path = world.cwd.join(name);
    match std::fs::read_to_string(&path) {
        Ok(there) if there == text => Ok(()),
        Ok(_) => {
            terminal.say(format!("{name}: left as it is; `{command}` prints this version's"));
            Ok(())
        }
        // A link that leads nowhere is somebody's, too.
        Err(_) if path.symlink_metadata().is_ok() => {
            terminal.say(format!("{name}: left as it is, though it cannot be read; `{command}` prints this version's"));
            Ok(())
        }
        Err(_) => {
            save(&path, &text, false)?;
            terminal.say(format!("{name}: written, for editors; `{command}` prints it"));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procfiles_name_apps() {
        let text = "# all\nweb: node server.js --port $PORT\n\nrelease: npm run migrate\nbroken\n: x\nworker:\n";
        let (apps, dropped) = processes(text);
        assert_eq!(dropped, [(5, "broken"), (6, ": x"), (7, "worker:")]);
        assert_eq!(
            apps,
            [
                json!({ "name": "web", "script": "node server.js --port $PORT" }),
                json!({ "name": "release", "script": "npm run migrate", "autorestart": false, "autostart": false }),
            ]
        );
    }

    #[test]
    fn packages_name_apps() {
        let apps = |manifest: Value| scripts(&manifest, "npm", |file| file == "lib/index.js");
        let package = json!({ "name": "@shop/api", "scripts": {
            "start": "node .", "start:worker": "node w", "start:dev": "x", "build": "x", "serve": "y", "test": "z",
        } });
        assert_eq!(
            apps(package),
            [
                json!({ "name": "api", "script": "npm start" }),
                json!({ "name": "worker", "script": "npm run start:worker" }),
                json!({ "name": "serve", "script": "npm run serve" }),
            ]
        );
        assert_eq!(
            apps(json!({ "name": "api", "main": "lib/index.js" })),
            [json!({ "name": "api", "script": "lib/index.js" })]
        );
        assert_eq!(apps(json!({ "name": "api", "main": "gone.js", "scripts": { "build": "x" } })), Vec::<Value>::new());
    }

    #[test]
    fn every_option_in_the_comments_has_an_example_that_every_format_reads() {
        for name in SHOWN {
            let (row, _) = options::find(name).unwrap();
            assert!(row.examples.first().is_some_and(|example| !example.starts_with('{')), "{name}");
        }
    }
}
