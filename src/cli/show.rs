use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::offline::{self, Source};
use super::terminal::{Colour, Terminal, harmless, paint};
use super::{arguments, exchange, facts, instances, list, surroundings};
use crate::base::{Run, format_millis};
use crate::platform::time_zone;
use crate::rpc::wire::{Answer, AppView, InstanceView, Request};
use crate::runtime::{self, State};

pub(super) fn run(arguments: &arguments::Show, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let apps = apps(&surroundings::home()?, &arguments.targets, arguments.reveal, terminal)?;
    if arguments.json {
        terminal.json(&json!({ "version": 1, "apps": apps }))?;
        return Ok(Exit::Done);
    }
    if apps.is_empty() {
        terminal.note("there are no apps");
    }
    let now_ms = list::now_ms();
    for (at, app) in apps.iter().enumerate() {
        let gap = if at > 0 { "\n" } else { "" };
        terminal.print(format!("{gap}{}", text(app, now_ms, terminal.colour)))?;
    }
    Ok(Exit::Done)
}

pub(super) fn apps(
    home: &Path,
    targets: &[String],
    reveal: bool,
    terminal: &mut Terminal,
) -> Result<Vec<AppView>, CliError> {
    let request = Request::Show { targets: targets.to_vec(), reveal };
    let state = match offline::show(home, &request, terminal)? {
        Source::Daemon(Answer::Show { apps }) => return Ok(apps),
        Source::Daemon(other) => return Err(exchange::unexpected(&other)),
        Source::Store(state) => state,
    };
    let known = |mut state: State| {
        let unwatched = offline::unwatched(home, &mut state);
        let mut apps = runtime::offline_apps(&state, &offline::layout(home), &unwatched, reveal);
        offline::look_at_limits(home, &state, apps.iter_mut().flat_map(|app| &mut app.instances));
        apps
    };
    let apps = state.map(known).unwrap_or_default();
    let all: Vec<InstanceView> = apps.iter().flat_map(|app| app.instances.iter().cloned()).collect();
    let named = instances::select(targets, &all)?;
    let kept = apps.into_iter().filter_map(|mut app| {
        app.instances.retain(|instance| named.contains(instance));
        (!app.instances.is_empty()).then_some(app)
    });
    Ok(kept.collect())
}

fn text(app: &AppView, now_ms: u64, colour: bool) -> String {
    let zone = time_zone(app.spec.cron_timezone.as_deref());
    let name = paint(colour, Colour::Bold, &harmless(app.spec.name.as_bytes(), false));
    let mut facts = facts::facts(&app.spec);
    let ecosystem = app.instances.first().and_then(|instance| instance.ecosystem.clone());
    facts.push(("ecosystem".to_owned(), ecosystem.unwrap_or_else(|| "none, it was started by hand".to_owned())));
    facts.extend(app.file.clone().map(|file| ("file".to_owned(), file)));
    let instances = app.instances.iter().map(|instance| instance_text(instance, zone.as_ref(), now_ms, colour));
    format!("{name}\n{}{}", facts::lines(&facts), instances.collect::<String>())
}

fn instance_text(view: &InstanceView, zone: Option<&TimeZone>, now_ms: u64, colour: bool) -> String {
    let name = format!("{}:{}", harmless(view.name.as_bytes(), false), view.slot);
    let mut facts = vec![("id".to_owned(), view.id.to_string())];
    let mut fact = |name: &str, value: Option<String>| facts.extend(value.map(|value| (name.to_owned(), value)));
    fact("why", view.detail.as_ref().map(|detail| harmless(detail.as_bytes(), false)));
    fact("pid", view.pid.map(|pid| pid.to_string()));
    fact("beside", view.beside.as_ref().map(list::beside));
    fact("uptime", list::uptime(view, now_ms));
    fact("restarts", Some(view.restarts.to_string()));
    fact("next run", view.next_run_at_ms.and_then(|at| next_run(at, now_ms, zone)));
    for (index, run) in runs(&view.runs, zone).into_iter().enumerate() {
        fact(if index == 0 { "last runs" } else { "" }, Some(run));
    }
    fact("last exit", view.last_exit.map(|status| status.to_string()));
    fact("limits", view.limits_note.clone());
    fact("mode", Some(view.mode.clone()));
    fact("out", Some(view.out_file.clone().unwrap_or_else(|| "thrown away".to_owned())));
    fact("error", Some(view.error_file.clone().unwrap_or_else(|| "thrown away".to_owned())));
    fact("both", view.log_file.clone());
    let state = paint(colour, list::hue(&view.state), &view.state);
    format!("\n{name}  {state}\n{}", facts::lines(&facts))
}

/// `2026-11-22 03:00:00 +01:00, in 11h`
fn next_run(at_ms: u64, now_ms: u64, zone: Option<&TimeZone>) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?.to_zoned(zone?.clone());
    let wait = list::rough(at_ms.saturating_sub(now_ms) / 1_000);
    Some(format!("{}, in {wait}", at.strftime("%Y-%m-%d %H:%M:%S %:z")))
}

/// A job's last five, newest first: `2026-11-22 03:00:00 +01:00 exit code 0 after 4s`
fn runs(runs: &[Run], zone: Option<&TimeZone>) -> Vec<String> {
    const SHOWN: usize = 5;
    let zone = zone.cloned().unwrap_or(TimeZone::UTC);
    let line = |run: &Run| {
        let at = Timestamp::from_millisecond(i64::try_from(run.at_ms).ok()?).ok()?.to_zoned(zone.clone());
        let outcome = match (run.status, &run.error) {
            (Some(status), _) => format!("{status} after {}", format_millis(run.took_ms)),
            (None, Some(error)) => format!("could not be started: {}", harmless(error.as_bytes(), false)),
            (None, None) => "skipped: the run before went on".to_owned(),
        };
        Some(format!("{} {outcome}", at.strftime("%Y-%m-%d %H:%M:%S %:z")))
    };
    runs.iter().rev().take(SHOWN).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ExitStatus;
    use crate::spec::AppSpec;

    #[test]
    fn an_app_is_shown_with_each_of_its_instances() {
        let mut view = InstanceView::sample(3, "api", 0);
        view.state = "errored".to_owned();
        view.detail = Some("16 unstable runs".to_owned());
        view.last_exit = Some(ExitStatus::Code(1));
        view.next_run_at_ms = Some(1_774_749_600_000);
        let mut spec = AppSpec::new("api", "/srv/api.js", "/srv");
        spec.cron_timezone = Some("UTC".to_owned());
        let app = AppView { spec, file: None, instances: vec![view] };
        let want = "\
api
  script         /srv/api.js
  cwd            /srv
  cron_timezone  UTC
  ecosystem      none, it was started by hand

api:0  errored
  id         3
  why        16 unstable runs
  restarts   0
  next run   2026-03-29 02:00:00 +00:00, in 2h
  last exit  exit code 1
  mode       fork
  out        /logs/api-out.log
  error      /logs/api-error.log
";
        assert_eq!(text(&app, 1_774_742_400_000, false), want);
    }
}
