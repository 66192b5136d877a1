use std::path::Path;

use super::ambient::ambient;
use super::arguments::{self, ScriptOptions};
use super::error::CliError;
use super::exit::Exit;
use super::loading::{self, Talk};
use super::terminal::Terminal;
use super::{change, surroundings};
use crate::config::{self, World};
use crate::document::{Entry, Key, Kind, Node};
use crate::rpc::wire::Request;
use crate::spec::AppSpec;

/// What the words after `start` mean.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Targets,
    Script(String),
}

pub(super) fn run(arguments: &arguments::Start, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let world = surroundings::world()?;
    let is_file = |written: &str| world.resolve(&world.cwd, written).is_file();
    let (request, targets) = match meaning(&arguments.what, &arguments.options, &is_file)? {
        Meaning::Targets => (Request::Start { targets: arguments.what.clone() }, arguments.what.clone()),
        Meaning::Script(script) => {
            let spec = Box::new(spec(&script, &arguments.options, &world, terminal)?);
            // By hand there are no limits.
            (Request::StartScript { spec, ambient: ambient(&world.env) }, Vec::new())
        }
    };
    change::bring_up(&request, &targets, "started", arguments.turn, terminal)
}

fn meaning(what: &[String], options: &ScriptOptions, is_file: &dyn Fn(&str) -> bool) -> Result<Meaning, CliError> {
    let script = what.iter().find(|word| is_script(word, is_file));
    match (script, what) {
        (Some(file), _) if is_ecosystem(file) => {
            Err(CliError::usage(format!("`{file}` is an ecosystem file")).hint(format!("`pmrun apply {file}`")))
        }
        (Some(script), [_]) => Ok(Meaning::Script(script.clone())),
        (Some(script), _) => Err(CliError::usage(format!("`{script}` is a script, and a script is started alone"))
            .hint("its arguments come after `--`")),
        (None, _) if *options != ScriptOptions::default() => Err(CliError::usage(format!(
            "`{}` is no file here, and only a script takes `--name`, `--cwd`, `--interpreter`, `-i` and arguments",
            what.join(" ")
        ))),
        (None, _) => Ok(Meaning::Targets),
    }
}

fn is_script(word: &str, is_file: &dyn Fn(&str) -> bool) -> bool {
    let is_regex = word.len() > 2 && word.starts_with('/') && word.ends_with('/');
    !is_regex && (word.contains('/') || is_file(word))
}

/// By its name: what PM2's users hand to `start`.
fn is_ecosystem(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    config::DATA.contains(&ending) || config::PROGRAMS.contains(&ending) && stem.ends_with(".config")
}

/// The script as a file of one app would describe it, so that the same rules hold.
fn spec(script: &str, options: &ScriptOptions, world: &World, terminal: &mut Terminal) -> Result<AppSpec, CliError> {
    let loaded = config::load_node(&world.cwd, Path::new("command line"), node(script, options, world), world);
    let graph = loading::judge(loaded.graph, &loaded.report, false, Talk::Warnings, terminal)?;
    graph.apps.into_iter().next().ok_or_else(|| CliError::error(format!("`{script}` describes no app")))
}

fn node(script: &str, options: &ScriptOptions, world: &World) -> Node {
    // A file would mean it relative to `cwd`; who types it means it relative to where he stands.
    let here = world.resolve(&world.cwd, script);
    let script = if here.exists() || options.cwd.is_none() { path_text(&here) } else { script.to_owned() };
    let mut entries = vec![("script", text(&script))];
    entries.extend(options.name.as_deref().map(|name| ("name", text(name))));
    entries.extend(options.cwd.as_deref().map(|cwd| ("cwd", text(cwd))));
    entries.extend(options.interpreter.as_deref().map(|interpreter| ("interpreter", text(interpreter))));
    entries.extend(options.instances.as_deref().map(|instances| ("instances", number_or_text(instances))));
    if !options.args.is_empty() {
        let args = options.args.iter().map(|arg| text(arg)).collect();
        entries.push(("args", Node::new(Kind::Sequence(args), None)));
    }
    let entry = |(key, value): (&str, Node)| Entry { key: Key { text: key.to_owned(), span: None }, value };
    Node::new(Kind::Mapping(entries.into_iter().map(entry).collect()), None)
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn text(value: &str) -> Node {
    Node::new(Kind::String(value.to_owned()), None)
}

fn number_or_text(value: &str) -> Node {
    value.parse().map_or_else(|_| text(value), |number: f64| Node::new(Kind::Number(number), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::to_json;

    fn decide(what: &[&str], options: &ScriptOptions) -> Result<Meaning, u8> {
        let words: Vec<String> = what.iter().map(|word| (*word).to_owned()).collect();
        let files = ["worker.py", "ecosystem.config.js", "both"];
        meaning(&words, options, &|word| files.contains(&word)).map_err(|err| err.exit.code())
    }

    #[test]
    fn files_and_paths_are_scripts_and_the_rest_are_targets() {
        let none = ScriptOptions::default();
        let script = |text: &str| Ok(Meaning::Script(text.to_owned()));
        let table: [(&[&str], Result<Meaning, u8>); 10] = [
            (&["api"], Ok(Meaning::Targets)),
            (&["api", "3", "web:1", "all"], Ok(Meaning::Targets)),
            (&["/^api/"], Ok(Meaning::Targets)),
            (&["worker.py"], script("worker.py")),
            (&["both"], script("both")),
            (&["./gone.sh"], script("./gone.sh")),
            (&["/usr/bin/env"], script("/usr/bin/env")),
            (&["api", "worker.py"], Err(64)),
            (&["ecosystem.config.js"], Err(64)),
            (&["conf/apps.yaml"], Err(64)),
        ];
        for (what, want) in table {
            assert_eq!(decide(what, &none), want, "{what:?}");
        }
        for ending in config::endings() {
            assert!(is_ecosystem(&format!("eco.config.{ending}")), "{ending}");
        }
        assert!(!is_ecosystem("server.ts") && !is_ecosystem("config.js"));
        let named = ScriptOptions { name: Some("x".into()), ..none };
        assert_eq!(decide(&["worker.py"], &named), script("worker.py"));
        assert_eq!(decide(&["api"], &named), Err(64));
    }

    #[test]
    fn a_script_is_described_as_a_file_would() {
        let world = World {
            env: std::collections::BTreeMap::new(),
            cwd: "/srv".into(),
            home: None,
            cpus: crate::base::Cpus::of_machine(1),
            mapping: None,
            engine: crate::config::js::Engine::Embedded,
            reading: config::Reading::default(),
        };
        let options = ScriptOptions {
            name: Some("w".into()),
            cwd: Some("/".into()),
            interpreter: Some("python3".into()),
            instances: Some("2".into()),
            args: vec!["--queue".into(), "mail".into()],
        };
        assert_eq!(
            to_json(&node("x/gone.py", &options, &world)).to_string(),
            r#"{"script":"x/gone.py","name":"w","cwd":"/","interpreter":"python3","instances":2,"args":["--queue","mail"]}"#
        );
        assert_eq!(
            to_json(&node("gone.py", &ScriptOptions::default(), &world)).to_string(),
            r#"{"script":"/srv/gone.py"}"#
        );
    }
}
