//! `render --inputs`: what a config read.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::arguments;
use super::error::CliError;
use super::loading;
use super::render::hide_words;
use super::terminal::{Colour, Terminal, harmless, paint};
use crate::base::shell_word;
use crate::config::{CommandRun, Inputs, World};

pub(super) fn show(
    world: &World,
    file: &str,
    arguments: &arguments::Render,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let mut inputs = world.reading.journal.inputs();
    if !arguments.reveal {
        inputs.commands.iter_mut().for_each(|command| hide_words(&mut command.argv));
    }
    if arguments.json {
        terminal.json(&document_of(&inputs, file, world))
    } else {
        terminal.print(text(&inputs, world, terminal.colour))
    }
}

/// The format of `schema/inputs.schema.json`, version 1. Every key is always there.
fn document_of(inputs: &Inputs, file: &str, world: &World) -> Value {
    let Inputs { variables, all_variables, files, checks, folders, commands, host, incomplete, confined_by } = inputs;
    let shown = |path: &Path| loading::shown(path, world);
    json!({
        "version": 1,
        "file": file,
        "hermetic": world.reading.hermetic.is_some(),
        "variables": { "names": variables, "all": all_variables },
        "files": files.iter().map(|(path, digest)| json!({ "path": shown(path), "sha256": digest })).collect::<Vec<_>>(),
        "checks": checks.iter().map(|(path, found)| json!({ "path": shown(path), "found": found })).collect::<Vec<_>>(),
        "folders": folders.iter().map(|(path, digest)| json!({ "path": shown(path), "sha256": digest })).collect::<Vec<_>>(),
        "commands": commands.iter().map(|CommandRun { argv, cwd, exit, ended_by }| {
            json!({ "argv": argv, "cwd": folder(cwd, world), "exit": exit, "ended_by": ended_by })
        }).collect::<Vec<_>>(),
        "host_facts": host,
        "incomplete": incomplete,
        "confined_by": confined_by,
    })
}

fn text(inputs: &Inputs, world: &World, colour: bool) -> String {
    let shown = |path: &PathBuf| loading::shown(path, world);
    let mut text = String::new();
    let mut section = |title: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        text.extend([if text.is_empty() { "" } else { "\n" }, &paint(colour, Colour::Bold, title), "\n"]);
        for line in lines {
            text.extend(["  ", &harmless(line.as_bytes(), false), "\n"]);
        }
    };
    let all = inputs.all_variables.then(|| "(all of them were enumerated)".to_owned());
    section("variables", inputs.variables.iter().cloned().chain(all).collect());
    section("files", inputs.files.iter().map(|(path, digest)| format!("{digest}  {}", shown(path))).collect());
    section(
        "folders",
        inputs.folders.iter().map(|(path, digest)| format!("{digest}  {}", folder(path, world))).collect(),
    );
    let said =
        |(path, found): (&PathBuf, &bool)| format!("{}{}", shown(path), if *found { "" } else { "  (not there)" });
    section("looked at", inputs.checks.iter().map(said).collect());
    section("commands", inputs.commands.iter().map(|command| line(command, world)).collect());
    section("machine", inputs.host.then(|| "facts about it (`os`)".to_owned()).into_iter().collect());
    section("incomplete", inputs.incomplete.then(|| "there was more than is kept".to_owned()).into_iter().collect());
    section("confined by", inputs.confined_by.clone());
    text
}

fn line(command: &CommandRun, world: &World) -> String {
    let words: Vec<String> = command.argv.iter().map(|word| shell_word(word)).collect();
    let ended = match (command.exit, &command.ended_by) {
        (Some(exit), None) => format!("exit {exit}"),
        (_, Some(why)) => why.clone(),
        (None, None) => "not started".to_owned(),
    };
    format!("{}  (in {}, {ended})", words.join(" "), folder(&command.cwd, world))
}

fn folder(path: &Path, world: &World) -> String {
    if path == world.cwd { ".".to_owned() } else { loading::shown(path, world) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_they_would_be_typed() {
        for (word, want) in
            [("rev-parse", "rev-parse"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("$X", "'$X'")]
        {
            assert_eq!(shell_word(word), want);
        }
    }
}
