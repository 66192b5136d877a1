mod explain;
mod last_words;

use jiff::tz::TimeZone;
use serde_json::json;

use self::explain::{Explanation, Link, Rule, explain};
use super::error::CliError;
use super::exit::Exit;
use super::history::{History, of_app};
use super::terminal::{Colour, Terminal, harmless, paint};
use super::{arguments, events, list, show, surroundings};
use crate::base::format_span;
use crate::platform::time_zone;

pub(super) fn run(arguments: &arguments::Why, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let apps = show::apps(&home, &arguments.targets, false)?;
    let history = History::read(&home)?;
    let lines = history.lines();
    let now_ms = list::now_ms();
    let mut all = Vec::new();
    for app in &apps {
        let entries = of_app(&lines, &app.spec.name);
        for view in &app.instances {
            all.push(explain(app, view, &entries, now_ms));
        }
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

fn text(one: &Explanation, now_ms: u64, zone: Option<&TimeZone>, colour: bool) -> String {
    let mut lines = vec![headline(one, now_ms, colour)];
    lines.extend(one.because.iter().map(|reason| format!("  {}", clean(reason))));
    chain(one, now_ms, zone, colour, &mut lines);
    if let Some(words) = &one.stderr {
        lines.extend([String::new(), format!("its last words, in {}:", clean(&words.file))]);
        lines.extend(words.lines.iter().map(|line| format!("  | {}", clean(line))));
    }
    if !one.rules.is_empty() || !one.commands.is_empty() {
        lines.push(String::new());
    }
    for Rule { option, value, place } in &one.rules {
        let place = place.as_ref().map(|command| format!("  (where: `{}`)", clean(command))).unwrap_or_default();
        lines.push(format!("{option}: {}{place}", clean(value)));
    }
    lines.extend(one.commands.iter().map(|advice| format!("`{}` {}", clean(&advice.command), advice.effect)));
    lines.join("\n") + "\n"
}

/// `api:0 has been online for 3m 2s (pid 4711)`
fn headline(one: &Explanation, now_ms: u64, colour: bool) -> String {
    let name = paint(colour, Colour::Bold, &clean(&format!("{}:{}", one.name, one.slot)));
    let state = paint(colour, list::hue(&one.state), &one.state);
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
