mod explain;
mod last_words;

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use serde_json::json;

use self::explain::{Explanation, Link, Rule, explain};
use super::error::CliError;
use super::exit::Exit;
use super::history::{History, of_app};
use super::terminal::{Colour, Terminal, harmless, paint};
use super::{arguments, cautions, columns, events, list, show, surroundings, traps};
use crate::base::format_span;
use crate::platform::time_zone;
use crate::rpc::wire::AppView;
use crate::runtime::history::What;

/// Of an app that others wait for; `why` of the app itself tells of all.
const INSTANCES_MAX: usize = 3;

pub(super) fn run(arguments: &arguments::Why, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let apps = show::apps(&home, &arguments.targets, false, terminal)?;
    let history = History::read(&home)?;
    let lines = history.lines();
    let now_ms = list::now_ms();
    let mut all: Vec<Explanation> = Vec::new();
    for app in &apps {
        let entries = of_app(&lines, &app.spec.name);
        all.extend(app.instances.iter().map(|view| explain(app, view, &entries, now_ms)));
    }
    if all.iter().any(|one| !one.led_by.is_empty()) {
        let known = Known { apps: show::apps(&home, &["all".to_owned()], false, terminal)?, lines, now_ms };
        for one in &mut all {
            known.follow(one, &mut BTreeSet::from([one.name.clone()]));
        }
    }
    for one in &mut all {
        let written = one.stderr.iter().flat_map(|words| &words.lines);
        let words: Vec<String> = one.because.iter().chain(written).cloned().collect();
        one.remedy = traps::seen(&one.name, &words);
    }
    for one in &mut all {
        let app = apps.iter().find(|app| app.spec.name == one.name);
        one.cautions = app.map(|app| cautions::of_libraries(&app.spec)).unwrap_or_default();
    }
    if arguments.json {
        terminal.json(&json!({ "version": 1, "instances": all }))?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        terminal.note("there are no apps");
    }
    let zone = time_zone(None);
    for (place, one) in all.iter().enumerate() {
        let gap = if place > 0 { "\n" } else { "" };
        terminal.print(format!("{gap}{}", text(one, now_ms, zone.as_ref(), terminal.colour)))?;
    }
    Ok(Exit::Done)
}

/// Where the causes of one app are looked for in others.
struct Known<'a> {
    apps: Vec<AppView>,
    lines: Vec<(u64, &'a str)>,
    now_ms: u64,
}

impl Known<'_> {
    /// What is waited for and is not there any more.
    fn gone(&self, name: &str, waiting: &str) -> String {
        let entries = of_app(&self.lines, name);
        let deleted = entries.iter().rev().find(|entry| matches!(entry.what, What::Deleted { .. }));
        let how = deleted.map_or_else(
            || "is not there any more".to_owned(),
            |entry| format!("was {}, {} ago", entry.what, format_span(self.now_ms.saturating_sub(entry.at_ms))),
        );
        format!(
            "`{name}` {how}; `{waiting}` waits until it is there again, or until somebody starts `{waiting}` without it"
        )
    }

    /// Goes on with what it depends on, and that with what it depends on itself. `seen` are not told of again.
    fn follow(&self, one: &mut Explanation, seen: &mut BTreeSet<String>) {
        for name in &one.led_by {
            let Some(app) = self.apps.iter().find(|app| app.spec.name == *name) else {
                let gone = (one.state == "waiting").then(|| self.gone(name, &one.name));
                one.because.extend(gone);
                continue;
            };
            if !seen.insert(name.clone()) {
                continue;
            }
            let entries = of_app(&self.lines, name);
            // One that is up is not why, unless all are by now.
            let all_up = app.instances.iter().all(|view| view.state == "online");
            let views = app.instances.iter().filter(|view| all_up || view.state != "online").take(INSTANCES_MAX);
            one.dependencies.extend(views.map(|view| explain(app, view, &entries, self.now_ms)));
        }
        for dependency in &mut one.dependencies {
            self.follow(dependency, seen);
        }
    }
}

fn text(one: &Explanation, now_ms: u64, zone: Option<&TimeZone>, colour: bool) -> String {
    let mut lines = vec![headline(one, now_ms, colour)];
    lines.extend(one.because.iter().map(|reason| format!("  {}", clean(reason))));
    chain(one, now_ms, zone, colour, &mut lines);
    if let Some(words) = &one.stderr {
        lines.extend([String::new(), format!("its last words, in {}:", clean(&words.file))]);
        lines.extend(words.lines.iter().map(|line| format!("  | {}", clean(line))));
        lines.extend(one.remedy.iter().map(|remedy| clean(remedy)));
    }
    if !one.cautions.is_empty() {
        lines.push(String::new());
        lines.extend(one.cautions.iter().map(|caution| clean(caution)));
    }
    if !one.rules.is_empty() || !one.commands.is_empty() {
        lines.push(String::new());
    }
    for Rule { option, value, place } in &one.rules {
        let place = place.as_ref().map(|command| format!("  (where: `{}`)", clean(command))).unwrap_or_default();
        lines.push(format!("{option}: {}{place}", clean(value)));
    }
    lines.extend(one.commands.iter().map(|advice| format!("`{}` {}", clean(&advice.command), advice.effect)));
    for dependency in &one.dependencies {
        lines.extend([String::new(), "it depends on:".to_owned()]);
        let told = text(dependency, now_ms, zone, colour);
        lines.extend(told.lines().map(|line| if line.is_empty() { String::new() } else { format!("  {line}") }));
    }
    lines.join("\n") + "\n"
}

/// `api:0 has been online for 3m 2s (pid 4711)`
fn headline(one: &Explanation, now_ms: u64, colour: bool) -> String {
    let name = paint(colour, Colour::Bold, &clean(&format!("{}:{}", one.name, one.slot)));
    let state = paint(colour, columns::hue(&one.state), &one.state);
    let pid = one.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    match one.since_ms {
        Some(at_ms) => format!("{name} has been {state} for {}{pid}", format_span(now_ms.saturating_sub(at_ms))),
        None => format!("{name} is {state}{pid}"),
    }
}

fn chain(one: &Explanation, now_ms: u64, zone: Option<&TimeZone>, colour: bool, lines: &mut Vec<String>) {
    if one.chain.is_empty() {
        return;
    }
    lines.extend([String::new(), "what led to it, the latest first:".to_owned()]);
    let day = |at_ms| events::at(at_ms, zone, "%Y-%m-%d");
    let is_today = one.chain.iter().all(|link| day(link.entry.at_ms) == day(now_ms));
    let form = if is_today { "%H:%M:%S%.3f" } else { "%Y-%m-%d %H:%M:%S" };
    for Link { entry, left_out } in &one.chain {
        if *left_out > 0 {
            lines.push(format!("  ... {left_out} more, see `{}`", clean(&one.events)));
        }
        let what = paint(colour, events::hue(&entry.what), &clean(&entry.what.to_string()));
        lines.push(format!("  {}  {what}", events::at(entry.at_ms, zone, form)));
    }
}

fn clean(text: &str) -> String {
    harmless(text.as_bytes(), false)
}
