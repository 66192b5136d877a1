//! `describe`: a table for each process, by the names that scripts look for.

use jiff::Timestamp;
use serde_json::Value;

use super::super::arguments;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::package::{Packages, node_version};
use super::super::terminal::{Colour, Terminal, harmless, paint};
use super::super::worktrees::{self, Worktrees};
use super::super::{jlist, list, offline, show, surroundings, trigger};
use super::table;
use crate::base::{InstanceId, Offers};
use crate::rpc::wire::{AppView, InstanceView};
use crate::supervisor::{Layout, pid_file};

pub(super) fn run(arguments: &arguments::Show, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let all = show::apps(&home, &["all".to_owned()], true, terminal)?;
    let layout = offline::layout(&home);
    let offered = trigger::offers(&home);
    let mut packages = Packages::default();
    let mut worktrees = Worktrees::default();
    for target in &arguments.targets {
        // An id, or a name; nothing else is looked for.
        let is_meant = |view: &InstanceView| view.id.to_string() == *target || view.name == *target;
        let found = || {
            all.iter().flat_map(|app| app.instances.iter().filter(|view| is_meant(view)).map(move |view| (app, view)))
        };
        if found().next().is_none() {
            let mark = paint(terminal.colour, Colour::Yellow, "[PM2][WARN]");
            let name = harmless(target.as_bytes(), false);
            if !terminal.silent {
                terminal.print(format!("{mark} {name} doesn't exist\n"))?;
            }
            return Err(CliError::said(Exit::Error));
        }
        for (app, view) in found() {
            let heading =
                format!(" Describing process with id {} - name {} ", view.id, harmless(view.name.as_bytes(), false));
            let version = packages.version(&app.spec.script);
            let text = table::facts(&facts(app, view, version.as_deref(), &layout));
            let is_on = app.spec.env.get("vizion").is_none_or(|value| value != "false");
            if is_on && worktrees::are_asked_for(Some(&app.spec.env)) {
                worktrees.look(&app.spec.script);
            }
            let text = match worktrees.of(&app.spec.script).filter(|_| is_on) {
                Some(found) => format!("{text} Revision control metadata \n{}", table::facts(&revision(found))),
                None => text,
            };
            let name = harmless(view.name.as_bytes(), false);
            let offers = offered.get(&view.id).and_then(|view| view.offers.as_ref());
            let text = text + &offers.map(|offers| offers_of(offers, &name)).unwrap_or_default();
            if !terminal.silent {
                terminal.print(format!(
                    "{}\n{text} Use `pm2 logs {name} [--lines 1000]` to display logs\n Use `pm2 env {}` to display environment variables\n",
                    paint(terminal.colour, Colour::Bold, &heading),
                    view.id
                ))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// What an app's library says of it: what can be triggered, and what it measures.
fn offers_of(offers: &Offers, name: &str) -> String {
    let safe = |text: &str| harmless(text.as_bytes(), false).replace('\t', " ");
    let mut text = String::new();
    let actions: Vec<String> =
        offers.actions.iter().filter_map(|action| action["action_name"].as_str()).map(safe).collect();
    if !actions.is_empty() {
        let all = table::words(&actions);
        text.extend([" Actions available \n", &all, " Trigger via: pm2 trigger ", name, " <action_name>\n\n"]);
    }
    let measure = |(name, measure): (&String, &Value)| {
        let value = match &measure["value"] {
            Value::String(value) => safe(value),
            value => value.to_string(),
        };
        let unit = measure["unit"].as_str().map(|unit| format!(" {}", safe(unit))).unwrap_or_default();
        (safe(name), value + &unit)
    };
    let measures: Vec<(String, String)> = offers.measures.iter().map(measure).collect();
    if !measures.is_empty() {
        let measures: Vec<(&str, String)> =
            measures.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        text.extend([" Code metrics value \n", &table::facts(&measures)]);
    }
    text
}

fn revision(found: &Value) -> Vec<(&'static str, String)> {
    let of = |key: &str| harmless(found[key].as_str().unwrap_or("N/A").as_bytes(), false).replace('\t', " ");
    vec![
        ("revision control", of("type")),
        ("remote url", of("url")),
        ("repository root", of("repo_path")),
        ("last update", of("update_time")),
        ("revision", of("revision")),
        ("comment", of("comment")),
        ("branch", of("branch")),
    ]
}

fn facts(app: &AppView, view: &InstanceView, version: Option<&str>, layout: &Layout) -> Vec<(&'static str, String)> {
    let spec = &app.spec;
    let safe = |text: &str| harmless(text.as_bytes(), false).replace('\t', " ");
    let or_none = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "N/A".to_owned());
    let path = |path: &Option<String>| safe(path.as_deref().unwrap_or("/dev/null"));
    let id = InstanceId::new(view.name.as_str(), view.slot);
    let mut facts = vec![
        ("status", jlist::status(app, view).to_owned()),
        ("name", safe(&view.name)),
        ("namespace", safe(&view.namespace)),
        ("version", or_none(version.map(safe))),
        ("restarts", view.restarts.to_string()),
        ("uptime", table::uptime(view, list::now_ms())),
        ("script path", safe(&spec.script)),
        ("script args", or_none(Some(safe(&spec.args.join(" "))))),
        ("error log path", path(&view.error_file)),
        ("out log path", path(&view.out_file)),
    ];
    if view.log_file.is_some() {
        facts.push(("entire log path", path(&view.log_file)));
    }
    let runs_node = spec.is_node().then(|| view.pid.and_then(node_version)).flatten();
    let launched = view.started_at_ms.or(view.last_started_at_ms);
    let created = launched.and_then(|ms| Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok());
    facts.extend([
        ("pid path", safe(&pid_file(spec, id.slot, view.id, layout))),
        ("interpreter", safe(spec.interpreter.as_deref().unwrap_or("none"))),
        ("interpreter args", or_none(Some(safe(&spec.interpreter_args.join(" "))))),
        ("script id", view.id.to_string()),
        ("exec cwd", safe(&spec.cwd)),
        ("exec mode", if spec.is_worker() { "cluster_mode" } else { "fork_mode" }.to_owned()),
        ("node.js version", or_none(runs_node)),
        ("node env", or_none(spec.env.get("NODE_ENV").map(|value| safe(value)))),
        ("watch & reload", if spec.watch.enabled { "✔" } else { "✘" }.to_owned()),
        ("unstable restarts", view.unstable_restarts.to_string()),
        ("created at", or_none(created.map(|at| at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()))),
    ]);
    facts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_app_offers_is_below_what_it_is() {
        let measures = json!({ "Heap Size": { "value": 7.23, "unit": "MiB" }, "Handles": { "value": "2" } });
        let measures = measures.as_object().cloned().unwrap();
        let actions = vec![json!({ "action_name": "km:heapdump" }), json!({ "arity": 1 })];
        let text = offers_of(&Offers { actions, measures, ..Offers::default() }, "api");
        for line in [
            " Actions available ",
            "│ km:heapdump │",
            " Trigger via: pm2 trigger api <action_name>",
            " Code metrics value ",
            "│ Heap Size │ 7.23 MiB │",
            "│ Handles   │ 2        │",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert_eq!(offers_of(&Offers::default(), "api"), "");
    }
}
