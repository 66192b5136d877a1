mod explain;
mod last_words;

use jiff::tz::TimeZone;
use serde_json::json;

use self::explain::{Explanation, explain};
use super::error::CliError;
use super::exit::Exit;
use super::history::History;
use super::terminal::{Colour, Terminal, harmless, paint};
use super::{arguments, events, list, show, surroundings};
use crate::base::format_span;
use crate::platform::time_zone;

pub(super) fn run(arguments: &arguments::Why, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let apps = show::apps(&home, &arguments.targets, false)?;
    let history = History::read(&home)?;
    let now_ms = list::now_ms();
    let mut all = Vec::new();
    for app in &apps {
        let entries = history.of_app(&app.spec.name);
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
    let clean = |text: &str| harmless(text.as_bytes(), false);
    let name = paint(colour, Colour::Bold, &clean(&format!("{}:{}", one.name, one.slot)));
    let state = paint(colour, list::hue(&one.state), &one.state);
    let since = one.since_ms.map(|at| format!(" for {}", format_span(now_ms.saturating_sub(at)))).unwrap_or_default();
    let pid = one.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let mut text = format!("{name} has been {state}{since}{pid}\n");
    for reason in &one.because {
        text += &format!("  {}\n", clean(reason));
    }
    if !one.chain.is_empty() {
        text += "\nwhat led to it, the latest first:\n";
    }
    let day = |at_ms| events::at(at_ms, zone, "%Y-%m-%d");
    let form = if one.chain.iter().all(|link| day(link.entry.at_ms) == day(now_ms)) {
        "%H:%M:%S%.3f"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    for link in &one.chain {
        if link.left_out > 0 {
            text += &format!("  ... {} more, see `{}`\n", link.left_out, one.events);
        }
        let what = clean(&link.entry.what.to_string());
        let at = events::at(link.entry.at_ms, zone, form);
        text += &format!("  {at}  {}\n", paint(colour, events::hue(&link.entry.what), &what));
    }
    if let Some(words) = &one.stderr {
        text += &format!("\nits last words, in {}:\n", clean(&words.file));
        for line in &words.lines {
            text += &format!("  | {}\n", clean(line));
        }
    }
    if !one.rules.is_empty() || !one.commands.is_empty() {
        text += "\n";
    }
    for rule in &one.rules {
        let place = rule.place.as_ref().map(|command| format!("  (where: `{command}`)")).unwrap_or_default();
        text += &format!("{}: {}{}\n", rule.option, clean(&rule.value), clean(&place));
    }
    for advice in &one.commands {
        text += &format!("`{}` {}\n", clean(&advice.command), advice.effect);
    }
    text
}
