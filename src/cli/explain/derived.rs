//! How what is written became what holds.

use super::answer::Context;
use crate::schema::{Count, InterpreterBy, Row, ScriptBy};
use crate::spec::Fingerprint;

/// Of an option's value.
pub(super) fn notes(context: &Context<'_>, row: &Row) -> Vec<String> {
    let Some(origin) = context.origin else { return Vec::new() };
    let (draft, by, spec) = (&origin.draft, origin.command, &context.spec);
    let resolved = |written: &Option<String>, now: Option<&str>, against: &str| {
        let written = written.as_deref().filter(|written| now.is_some_and(|now| now != *written))?;
        Some(format!("`{written}` is read against {against}"))
    };
    let against_cwd = format!("`cwd`, which is {}", spec.cwd);
    let note = match row.name {
        "name" => match (&draft.name, context.profile) {
            (_, Some(profile)) if draft.append_env_to_name => {
                Some(format!("`append_env_to_name` puts the profile `{profile}` behind it"))
            }
            (None, _) => Some("the app is called after its script".to_owned()),
            _ => None,
        },
        "cwd" => resolved(&draft.cwd, Some(&spec.cwd), "the folder of the config file"),
        "script" => match by.script {
            ScriptBy::File => resolved(&draft.script, Some(&spec.script), &against_cwd),
            ScriptBy::Program => {
                Some("no file of that name in `cwd`: it is the program of that name in PATH".to_owned())
            }
            ScriptBy::FileServer => Some(
                "pmrun's own server of files, as in PM2: `PM2_SERVE_PATH` and the like in `env` tell it what to do"
                    .to_owned(),
            ),
            ScriptBy::Line => Some("it is no file: a shell runs it as a command line".to_owned()),
        },
        "args" if by.script == ScriptBy::Line => Some("they are a part of the command line".to_owned()),
        "interpreter" => interpreter(by.interpreter, context),
        "instances" => match draft.instances {
            Some(Count::Max) => Some(format!("one a CPU; here it is {}", context.world.cpus)),
            Some(Count::MaxLess(less)) => {
                Some(format!("{less} less than one a CPU, at least 1; here it is {}", context.world.cpus))
            }
            Some(Count::Percent(percent)) => {
                Some(format!("{percent}% of one a CPU, at least 1; here it is {}", context.world.cpus))
            }
            Some(Count::Exactly(_)) | None => None,
        },
        "out_file" | "error_file" | "log_file" if draft.disable_logs => {
            Some("`disable_logs` throws it away".to_owned())
        }
        "out_file" => resolved(&draft.out_file, draft.out_file.as_ref().map(|_| ""), &against_cwd),
        "error_file" => resolved(&draft.error_file, draft.error_file.as_ref().map(|_| ""), &against_cwd),
        "log_file" => resolved(&draft.log_file, draft.log_file.as_ref().map(|_| ""), &against_cwd),
        "pid_file" => resolved(&draft.pid_file, spec.pid_file.as_deref(), &against_cwd),
        "log_date_format" if draft.time => Some("`time` stands for this format".to_owned()),
        "fingerprint" => stands_for_code(&spec.fingerprint),
        "port" => Some("it sets the variable PORT".to_owned()),
        _ => None,
    };
    note.into_iter().collect()
}

fn interpreter(by: InterpreterBy, context: &Context<'_>) -> Option<String> {
    let script = &context.spec.script;
    let ending = script.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, ending)| ending);
    Some(match by {
        InterpreterBy::Written => return None,
        InterpreterBy::Ending => format!("guessed from the script's ending, `.{ending}`"),
        InterpreterBy::FirstLine => "the script's first line (`#!`) names it".to_owned(),
        InterpreterBy::PlainText => {
            "neither the script's ending nor its first line says what runs it: Node, as in PM2".to_owned()
        }
        InterpreterBy::Shell => "a command line takes a shell".to_owned(),
        InterpreterBy::Executable => "none: the script runs by itself".to_owned(),
    })
}

fn stands_for_code(Fingerprint(parts): &Fingerprint) -> Option<String> {
    const SHOWN: usize = 10;
    let names: Vec<&str> = parts.keys().take(SHOWN).map(String::as_str).collect();
    let more = match parts.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!names.is_empty()).then(|| format!("what stands for the code: {}{more}", names.join(", ")))
}

/// Of a variable.
pub(super) fn of_variable(context: &Context<'_>, name: &str) -> Vec<String> {
    let spec = &context.spec;
    let mut notes = Vec::new();
    if spec.increment_var.as_deref() == Some(name) && spec.instances > 1 {
        notes.push("`increment_var`: each further instance gets one more".to_owned());
    }
    if name == "PYTHONUNBUFFERED" && context.origin.is_some_and(|origin| !says(&origin.draft.env, name)) {
        notes.push("without it Python keeps back what it prints, and logs stay empty".to_owned());
    }
    if spec.filter_env.iter().any(|part| !part.is_empty() && name.contains(part)) {
        notes.push("`filter_env` keeps the shell's value back".to_owned());
    }
    notes
}

fn says(variables: &[crate::schema::Variable], name: &str) -> bool {
    variables.iter().any(|variable| variable.name == name)
}

/// The value of a variable that pmrun sets for each instance, whatever is declared.
pub(super) fn computed(context: &Context<'_>, name: &str) -> Option<String> {
    let spec = &context.spec;
    if name == spec.instance_var {
        let last = spec.instances.saturating_sub(1);
        return Some(if last == 0 { "0".to_owned() } else { format!("0 to {last}, an instance's number") });
    }
    let of = |text: &str| Some(text.to_owned());
    match name {
        "pm_id" => of("the instance's id in `pmrun list`"),
        "PMRUN_HOME" => of("the folder of the daemon that runs the app"),
        "PMRUN_INSTANCE" => of("the app's name, `:`, and the instance's number"),
        "PMRUN_SPEC" | "PMRUN_LAUNCH" | "PMRUN_PIPES" => of("by which a later daemon knows the process"),
        _ => None,
    }
}
