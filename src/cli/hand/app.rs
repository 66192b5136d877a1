//! Apps from what the command line says of them.

use std::path::Path;

use super::super::error::CliError;
use super::super::loading::{self, Talk};
use super::super::options::{AppOptions, entry, text};
use super::super::terminal::Terminal;
use super::words::{self, Word};
use crate::config::{self, World};
use crate::document::{Kind, Node};
use crate::schema::NO_SOURCE_MAPS;
use crate::schema::options::find;
use crate::spec::{AppSpec, Field};

/// The script as a file of one app would describe it, so that the same rules hold.
pub(super) fn spec(node: Node, what: &str, world: &World, terminal: &mut Terminal) -> Result<AppSpec, CliError> {
    let loaded = config::load_node(&world.cwd, Path::new("command line"), node, world);
    let graph = loading::judge(loaded.graph, &loaded.report, false, Talk::Warnings, terminal)?;
    graph.apps.into_iter().next().ok_or_else(|| CliError::error(format!("`{what}` describes no app")))
}

pub(super) fn node(word: &Word, options: &AppOptions, world: &World) -> Node {
    let script = match word {
        // What is not in `cwd`, who types it means relative to where he stands.
        Word::Script(script) => {
            let path = words::script_path(script, options.only_word("cwd").as_deref(), world);
            let is_path = script.contains('/') && options.get("cwd").is_none();
            if path.exists() || is_path { path.to_string_lossy().into_owned() } else { script.clone() }
        }
        Word::Line(line) => line.clone(),
        Word::Stdin | Word::File(_) | Word::Target(_) => String::new(),
    };
    let mut entries = vec![entry("script", text(&script))];
    let mut options = options.clone();
    if options.take("execute_command").is_some() {
        options.set("exec_mode", text("fork"));
    }
    entries.extend(options.entries());
    Node::new(Kind::Mapping(entries), None)
}

/// A known app with what the command line says otherwise; options that take no effect on one that is known are named.
pub(super) fn changed(
    known: &AppSpec,
    options: &AppOptions,
    world: &World,
    terminal: &mut Terminal,
) -> Result<(AppSpec, Vec<&'static str>), CliError> {
    let mut script = vec![entry("script", text("/bin/sh")), entry("interpreter", text("none"))];
    let mut options = options.clone();
    let mut idle: Vec<&'static str> = Vec::new();
    for key in ["instances", "execute_command"] {
        if options.take(key).is_some() {
            idle.push(key);
        }
    }
    // PM2's word for as if nothing had been said.
    let taken_back: Vec<&'static str> =
        options.keys().filter(|key| options.only_word(key).as_deref() == Some("null")).collect();
    for key in &taken_back {
        options.take(key);
    }
    if options.get("interpreter").is_some() {
        script = vec![entry("script", text(&known.script))];
    }
    let maps_not = options.take("disable_source_map_support").is_some() && known.is_node();
    if options.keys().any(|key| key == "node_args") && known.interpreter.is_some() {
        // They are its interpreter's: whatever that is.
        script[1] = entry("interpreter", text("/bin/sh"));
    }
    let name = if options.get("name").is_none() { vec![entry("name", text(&known.name))] } else { Vec::new() };
    let cwd = if options.get("cwd").is_none() { vec![entry("cwd", text(&known.cwd))] } else { Vec::new() };
    let entries = script.into_iter().chain(name).chain(cwd).chain(options.entries()).collect();
    let said = spec(Node::new(Kind::Mapping(entries), None), &known.name, world, terminal)?;
    let mut wanted = known.clone();
    wanted.renamed_from = None;
    for key in options.keys() {
        for field in fields(key) {
            wanted.take(field, &said);
        }
    }
    let usual = AppSpec::new(&known.name, &known.script, &known.cwd);
    for field in taken_back.into_iter().filter(|key| !matches!(*key, "name" | "cwd" | "interpreter")).flat_map(fields) {
        wanted.take(field, &usual);
    }
    let maps_not = maps_not && !wanted.interpreter_args.iter().any(|arg| arg == NO_SOURCE_MAPS);
    wanted.interpreter_args.extend(maps_not.then(|| NO_SOURCE_MAPS.to_owned()));
    Ok((wanted, idle))
}

/// Whether an app as it is known is not what the command line describes: by its arguments, and by what options say.
pub(super) fn differs(known: &AppSpec, described: &AppSpec, options: &AppOptions) -> bool {
    let mut wanted = known.clone();
    wanted.args.clone_from(&described.args);
    wanted.exec_mode = described.exec_mode;
    for field in options.keys().filter(|key| *key != "instances").flat_map(fields) {
        wanted.take(field, described);
    }
    wanted != *known
}

fn fields(key: &str) -> Vec<Field> {
    match key {
        "time" => vec![Field::LogDateFormat],
        "disable_logs" => vec![Field::OutFile, Field::ErrorFile, Field::LogFile],
        _ => find(key).and_then(|(row, _)| row.field).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::options::number_or_text;
    use super::*;
    use crate::document::to_json;

    #[test]
    fn a_script_is_described_as_a_file_would() {
        let world = World::for_test(Path::new("/srv"));
        let mut options = AppOptions::default();
        options.args = Some(vec!["--queue".into(), "mail".into()]);
        options.set("cwd", text("/"));
        options.set("instances", number_or_text("2"));
        let written = |word: &Word, options: &AppOptions| to_json(&node(word, options, &world)).to_string();
        assert_eq!(
            written(&Word::Script("x/gone.py".into()), &options),
            r#"{"script":"x/gone.py","cwd":"/","instances":2,"args":["--queue","mail"]}"#
        );
        let none = AppOptions::default();
        assert_eq!(written(&Word::Script("./gone.py".into()), &none), r#"{"script":"/srv/gone.py"}"#);
        assert_eq!(written(&Word::Script("sleep".into()), &none), r#"{"script":"sleep"}"#);
        assert_eq!(written(&Word::Line("sleep 5".into()), &none), r#"{"script":"sleep 5"}"#);
    }

    #[test]
    fn one_more_with_other_arguments_or_options_is_another() {
        let mut known = AppSpec::new("api", "/srv/a.js", "/srv");
        (known.args, known.restart.max_restarts) = (vec!["one".into()], 5);
        let (mut described, mut options) = (AppSpec::new("api", "/srv/a.js", "/srv"), AppOptions::default());
        described.args = vec!["one".into()];
        described.instances = 2;
        options.set("instances", number_or_text("2"));
        options.set("name", text("api"));
        assert!(!differs(&known, &described, &options), "what is not said is as it is");
        described.args = vec!["two".into()];
        assert!(differs(&known, &described, &options));
        described.args = vec!["one".into()];
        described.restart.max_restarts = 7;
        assert!(!differs(&known, &described, &options));
        options.set("max_restarts", number_or_text("7"));
        assert!(differs(&known, &described, &options));
    }

    #[test]
    fn only_what_is_said_changes() {
        let world = World::for_test(Path::new("/"));
        let mut known = AppSpec::new("api", "/srv/gone.js", "/");
        (known.args, known.restart.max_restarts) = (vec!["x".into()], 5);
        let mut options = AppOptions::default();
        options.set("max_memory_restart", text("100M"));
        options.set("time", Node::new(Kind::Bool(true), None));
        options.set("instances", number_or_text("4"));
        let (wanted, idle) = changed(&known, &options, &world, &mut Terminal::for_test()).unwrap();
        let mut want = known.clone();
        want.max_memory_restart = Some(100 << 20);
        want.logs.date_format = Some("YYYY-MM-DDTHH:mm:ss".into());
        assert_eq!((wanted, idle), (want, vec!["instances"]));
        options.set("cron_restart", text("nonsense"));
        assert_eq!(changed(&known, &options, &world, &mut Terminal::for_test()).unwrap_err().exit.code(), 65);
    }
}
