use serde_json::{Value, json};

use super::error::CliError;
use super::exit::Exit;
use super::loading::{self, Talk};
use super::terminal::{Colour, Terminal, harmless, paint};
use super::{arguments, facts, inputs, surroundings};
use crate::config;
use crate::graph::Graph;
use crate::plan::{holds_secret, is_secret_file, is_secret_name};
use crate::spec::AppSpec;

/// Stands for a value that looks like a secret. Not a digest: the same file has to render the same way everywhere,
/// and a digest without a secret key can be guessed.
pub(super) const HIDDEN: &str = "(hidden)";

pub(super) fn run(arguments: &arguments::Render, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let world = surroundings::world_of(&arguments.source)?;
    let entry = loading::entry(arguments.source.file.as_deref(), &world, terminal)?;
    if arguments.raw {
        let (text, report) = config::load_raw(&entry.named, &world);
        let text = loading::judge(text, &report, false, Talk::Warnings, terminal)?;
        terminal.print(text + "\n")?;
        return Ok(Exit::Done);
    }
    let (mut graph, _) = loading::load(&entry, arguments.source.env.as_deref(), &[], false, &world, terminal)?;
    if arguments.inputs {
        inputs::show(&world, &graph.file, arguments, terminal)?;
        return Ok(Exit::Done);
    }
    if !arguments.reveal {
        graph.apps.iter_mut().for_each(hide);
        graph.deploy.iter_mut().for_each(|deploy| hide_json("deploy", deploy));
    }
    if arguments.json {
        terminal.json(&document_of(&graph)?)?;
    } else {
        terminal.print(text(&graph, terminal.colour))?;
    }
    Ok(Exit::Done)
}

fn document_of(graph: &Graph) -> Result<Value, CliError> {
    let apps = serde_json::to_value(&graph.apps).map_err(|err| CliError::error(err.to_string()))?;
    let deploy = graph.deploy.clone();
    Ok(json!({
        "version": 1,
        "ecosystem": graph.ecosystem.0,
        "file": graph.file,
        "profile": graph.profile,
        "apps": apps,
        "deploy": deploy,
    }))
}

fn text(graph: &Graph, colour: bool) -> String {
    let mut head = vec![("ecosystem".to_owned(), graph.ecosystem.to_string()), ("file".to_owned(), graph.file.clone())];
    head.extend(graph.profile.clone().map(|profile| ("profile".to_owned(), profile)));
    let mut text = facts::lines(&head);
    for app in &graph.apps {
        let name = paint(colour, Colour::Bold, &harmless(app.name.as_bytes(), false));
        text.extend(["\n", &name, "\n", &facts::lines(&facts::facts(app))]);
    }
    if let Some(deploy) = &graph.deploy {
        text.extend(["\n", &paint(colour, Colour::Bold, "deploy"), "\n"]);
        for line in serde_json::to_string_pretty(deploy).unwrap_or_default().lines() {
            text.extend(["  ", line, "\n"]);
        }
    }
    text
}

pub(super) fn hide(app: &mut AppSpec) {
    for (name, value) in &mut app.env {
        hide_text(name, value);
    }
    for (file, digest) in &mut app.fingerprint.0 {
        if is_secret_file(file) {
            HIDDEN.clone_into(digest);
        }
    }
    hide_words(&mut app.args);
    hide_words(&mut app.interpreter_args);
    hide_text("", &mut app.script);
}

/// A word may be a secret only because of the one before it: `--token x`.
pub(super) fn hide_words(words: &mut [String]) {
    let pairs: Vec<bool> = words.windows(2).map(|pair| holds_secret("", &pair.join(" "))).collect();
    for (at, word) in words.iter_mut().enumerate() {
        let announced = at > 0 && pairs[at - 1] && !word.starts_with("--");
        if announced || holds_secret("", word) {
            HIDDEN.clone_into(word);
        }
    }
}

fn hide_json(name: &str, value: &mut Value) {
    match value {
        Value::String(text) => hide_text(name, text),
        Value::Array(items) => items.iter_mut().for_each(|item| hide_json(name, item)),
        // All that stands below a secret name is one.
        Value::Object(entries) if is_secret_name(name) => entries.values_mut().for_each(|value| hide_json(name, value)),
        Value::Object(entries) => entries.iter_mut().for_each(|(name, value)| hide_json(name, value)),
        _ if is_secret_name(name) => *value = HIDDEN.into(),
        _ => {}
    }
}

fn hide_text(name: &str, value: &mut String) {
    if holds_secret(name, value) {
        HIDDEN.clone_into(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_stand_and_nothing_else_is() {
        let long = "x".repeat(500);
        let mut app = AppSpec::new("api", "/srv/api.js", "/srv");
        app.args = ["--token", "s3cret", "--port", "80", " odd ", &long].map(str::to_owned).to_vec();
        let env = [("API_KEY", "s3cret"), ("DB", "postgres://u:s3cret@db/x"), ("MODE", " a\tb "), ("EMPTY_TOKEN", "")];
        app.env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        hide(&mut app);
        assert_eq!(app.args, ["--token", HIDDEN, "--port", "80", " odd ", &long]);
        assert_eq!(app.env.values().collect::<Vec<_>>(), [HIDDEN, HIDDEN, "", " a\tb "]);

        let mut deploy = json!({ "production": { "host": ["a", "b"], "env": { "TOKEN": "s3cret", "PASSWORD": 7 } } });
        hide_json("deploy", &mut deploy);
        assert_eq!(
            deploy,
            json!({ "production": { "host": ["a", "b"], "env": { "TOKEN": HIDDEN, "PASSWORD": HIDDEN } } })
        );
    }
}
