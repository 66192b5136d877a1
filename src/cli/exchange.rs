//! One call to the daemon and its answers, turned into a result or an error.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::CliError;
use super::exit::Exit;
use super::manners::Manners;
use super::offline::{self, Source};
use super::progress::{self, Tally};
use super::screen::Screen;
use super::terminal::Terminal;
use crate::base::Signal;
use crate::config;
use crate::plan::{Plan, Refusal, Stale, Style, render_text};
use crate::platform::{Interrupts, Wish, is_readable, is_suspended, tell_keeper, wait_for_log_process};
use crate::rpc::client::{ConnectError, Connection, DAEMON_LOG, PID_FILE};
use crate::rpc::wire::{Answer, Call, Failure, NOT_UNDERSTOOD, Request};
use crate::runtime::store::StoreError;
use crate::runtime::{Intent, TargetError};

/// What only reads is answered within milliseconds, however much is at work.
const READ_PATIENCE: Duration = Duration::from_secs(10);

/// A daemon that says nothing for so long is looked at: it may be one that cannot.
const SILENCE: Duration = Duration::from_secs(2);

/// How many daemons in a row may end before they have read what is asked of them.
const DEATHS_MAX: u32 = 10;
/// How long the log process is waited for, which goes on while somebody is left who writes to it.
const LOG_PROCESS_PATIENCE: Duration = Duration::from_secs(3);

/// How often, and how long apart, it is looked whether the next daemon is there.
const FOLLOWER_PAUSES_MS: [u64; 9] = [2, 5, 10, 20, 50, 100, 300, 500, 1_000];

/// What came of a command that changes something.
#[derive(Debug)]
pub(super) struct Outcome {
    pub touched: usize,
    pub failed: Vec<Failure>,
    pub tally: Tally,
    pub ms: u64,
    /// It was taken back before its end.
    pub cancelled: Option<Cancelled>,
    /// It failed, and what it had touched went back to what it was.
    pub went_back: Option<WentBack>,
}

/// How it went.
#[derive(Debug)]
pub(super) struct WentBack {
    pub to: u64,
    /// What did not come up again.
    pub left: Vec<Failure>,
}

/// What becomes of the rest of a command that was interrupted.
#[derive(Debug)]
pub(super) struct Cancelled {
    pub exit: Exit,
    pub going_on: Vec<String>,
    pub not_begun: Vec<String>,
}

/// Asks something that only reads. None when no daemon runs: such commands never start one.
pub(super) fn ask(home: &Path, request: Request) -> Result<Option<Answer>, CliError> {
    let call = call(request, false);
    // One that ends before it has answered may be becoming another program, which answers.
    for _ in 0..DEATHS_MAX {
        let mut connection = match Connection::open(home) {
            Ok(connection) => connection,
            Err(ConnectError::NoDaemon) => return Ok(None),
            Err(err) => return Err(unreachable(&err, home)),
        };
        if let ControlFlow::Break(answer) = ask_over(&mut connection, home, &call)? {
            return Ok(answer);
        }
    }
    Ok(None)
}

/// As [`ask`]; where the daemon was killed just now, the one that follows is asked.
pub(super) fn ask_who_follows(home: &Path, request: &Request) -> Result<Option<Answer>, CliError> {
    let mut answer = ask(home, request.clone())?;
    if answer.is_none() && tell_keeper(home, Wish::Daemon) {
        for ms in FOLLOWER_PAUSES_MS {
            std::thread::sleep(Duration::from_millis(ms));
            answer = ask(home, request.clone())?;
            if answer.is_some() {
                break;
            }
        }
    }
    Ok(answer)
}

/// Goes on where the daemon hangs up; no answer where it ends.
fn ask_over(connection: &mut Connection, home: &Path, call: &Call) -> Result<ControlFlow<Option<Answer>>, CliError> {
    connection.limit_wait(READ_PATIENCE).map_err(|err| lost(&err, home))?;
    match connection.send(call) {
        Ok(()) => {}
        Err(err) if is_hang_up(&err) => return Ok(ControlFlow::Continue(())),
        Err(err) => return Err(lost(&err, home)),
    }
    if !is_readable(connection.as_fd(), SILENCE)
        && let Some(pid) = suspended(home)
    {
        return Err(CliError::new(
            Exit::Unreachable,
            format!("the daemon (pid {pid}) does not answer: it is suspended"),
        )
        .hint(format!("`kill -CONT {pid}` has it go on; what runs is not touched by that")));
    }
    loop {
        match connection.next_answer() {
            Ok(Answer::Waiting { .. }) => {}
            // What it was asked for took longer than it had.
            Ok(Answer::Ending) => return Ok(ControlFlow::Break(None)),
            Ok(answer) => return refused(answer).map(|answer| ControlFlow::Break(Some(answer))),
            Err(err) if is_hang_up(&err) => return Ok(ControlFlow::Continue(())),
            Err(err) if is_timeout(&err) => return Err(silent(home)),
            Err(err) => return Err(lost(&err, home)),
        }
    }
}

/// The daemon, where somebody has suspended it.
fn suspended(home: &Path) -> Option<u32> {
    let pid = std::fs::read_to_string(home.join(PID_FILE)).ok()?.trim().parse().ok()?;
    is_suspended(pid).then_some(pid)
}

fn silent(home: &Path) -> CliError {
    let message = format!("the daemon has not answered for {}s", READ_PATIENCE.as_secs());
    let pid = std::fs::read_to_string(home.join(PID_FILE)).unwrap_or_default();
    CliError::new(Exit::Unreachable, message)
        .hint(format!("it may be suspended, or the machine overloaded: `ps -o stat,time -p {}`", pid.trim()))
}

/// Has something changed, by a daemon that is started when none runs; says on stderr how it goes. `begun` is given
/// the plan before anything of it is done.
pub(super) fn perform(
    home: &Path,
    request: &Request,
    no_wait: bool,
    terminal: &mut Terminal,
    begun: &mut dyn FnMut(Plan, &mut Terminal),
) -> Result<Outcome, CliError> {
    let started = Instant::now();
    let mut deaths = 0;
    loop {
        let mut connection = connect(home, terminal)?;
        match send(&mut connection, request.clone(), no_wait) {
            Err(err) if is_unread(&err) && deaths < DEATHS_MAX => {
                deaths += 1;
                continue;
            }
            sent => sent.map_err(|err| lost(&err, home))?,
        }
        let finished = finish(&mut connection, home, started, terminal, begun, &mut deaths);
        if let Some(outcome) = finished.map_err(|error| half_done(error, request))? {
            return Ok(outcome);
        }
        wait_for_its_end(&mut connection);
    }
}

/// A connection to a daemon, which is started where none runs; what that says is said.
fn connect(home: &Path, terminal: &mut Terminal) -> Result<Connection, CliError> {
    let mut connection = Connection::open_or_start(home).map_err(|err| unreachable(&err, home))?;
    for note in connection.take_notes() {
        terminal.note(&note);
    }
    Ok(connection)
}

/// Has the daemon stop everything and end, and returns when it has. None when none runs and nothing should run, or
/// when somebody else had it end.
///
/// A daemon that was killed leaves apps behind that run, or that the next one would start: one is started to end them.
pub(super) fn kill(home: &Path, terminal: &mut Terminal) -> Result<Option<Outcome>, CliError> {
    let started = Instant::now();
    let mut deaths = 0;
    loop {
        let found = match offline::find(home, &Request::Ping) {
            // A daemon knows what to do about it.
            Err(offline::Failure::Store(StoreError::Damaged { .. })) => None,
            other => Some(other?),
        };
        if let Some(Source::Store(mut known)) = found {
            let runs = known.as_mut().is_some_and(|state| !offline::unwatched(home, state).is_empty());
            let mut instances =
                known.iter().flat_map(|state| state.apps.values()).flat_map(|app| app.instances.values());
            let should_run = instances.any(|instance| instance.intent == Intent::Up);
            if !should_run && !runs {
                // Nor is one to be started.
                let _ = tell_keeper(home, Wish::End);
                return Ok(None);
            }
        }
        let mut connection = connect(home, terminal)?;
        match send(&mut connection, Request::Kill, false) {
            Err(err) if is_unread(&err) && deaths < DEATHS_MAX => {
                deaths += 1;
                continue;
            }
            sent => sent.map_err(|err| lost(&err, home))?,
        }
        let outcome = finish(&mut connection, home, started, terminal, &mut |_, _| (), &mut deaths)?;
        if outcome.as_ref().is_none_or(|outcome| outcome.cancelled.is_none()) {
            wait_for_its_end(&mut connection);
            // Whoever removes the folder next finds nobody at work in it.
            wait_for_log_process(home, LOG_PROCESS_PATIENCE);
        }
        // None: it was ending by itself, and has not recorded that everything is to stay stopped.
        if outcome.is_some() {
            return Ok(outcome);
        }
    }
}

/// The connection ends with the daemon, so that the next command does not meet one that is on its way out.
fn wait_for_its_end(connection: &mut Connection) {
    while connection.next_answer().is_ok() {}
}

/// What an answer means that nobody asked for.
pub(super) fn unexpected(answer: &Answer) -> CliError {
    CliError::new(Exit::Unreachable, format!("the daemon gave an answer of another kind: {answer:?}"))
        .hint("it may be of another version: `pmrun kill`, then try again")
}

/// None when the daemon ends and did nothing.
fn finish(
    connection: &mut Connection,
    home: &Path,
    started: Instant,
    terminal: &mut Terminal,
    begun: &mut dyn FnMut(Plan, &mut Terminal),
    deaths: &mut u32,
) -> Result<Option<Outcome>, CliError> {
    let mut screen = Screen::new(terminal);
    let result = follow(connection, home, &mut screen, terminal, begun, deaths);
    screen.end(terminal);
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(result?.map(|(outcome, tally)| Outcome { tally, ms, ..outcome }))
}

fn follow(
    connection: &mut Connection,
    home: &Path,
    screen: &mut Screen,
    terminal: &mut Terminal,
    begun: &mut dyn FnMut(Plan, &mut Terminal),
    deaths: &mut u32,
) -> Result<Option<(Outcome, Tally)>, CliError> {
    let mut interrupts = Interrupts::hold().map_err(|err| CliError::error(format!("cannot hold signals: {err}")))?;
    let mut interrupted = None;
    let mut heard = Instant::now();
    let mut answered = false;
    let mut looked = false;
    let mut tally = Tally::default();
    let done = |touched, failed, cancelled| Outcome {
        touched,
        failed,
        tally: Tally::default(),
        ms: 0,
        cancelled,
        went_back: None,
    };
    loop {
        screen.refresh(terminal);
        let left = interrupted.map(|_| READ_PATIENCE.saturating_sub(heard.elapsed()));
        let quiet = (!answered && !looked).then(|| SILENCE.saturating_sub(heard.elapsed()));
        let patience = [screen.patience(), left, quiet].into_iter().flatten().min();
        let readable = interrupts.wait(connection.as_fd(), patience).map_err(|err| lost(&err, home))?;
        if let Some(signal) = interrupts.take() {
            interrupted = Some(if signal == Signal::TERM { Exit::Terminated } else { Exit::Interrupted });
            // It may have answered, and hung up, already: what comes next says so.
            let _ = connection.cancel();
            heard = Instant::now();
        }
        if !readable {
            if !answered && !looked && heard.elapsed() >= SILENCE {
                looked = true;
                if let Some(pid) = suspended(home) {
                    screen.clear(terminal);
                    terminal.note(&format!(
                        "the daemon (pid {pid}) does not answer: it is suspended, and `kill -CONT {pid}` has it go on"
                    ));
                }
            }
            match interrupted {
                Some(exit) if heard.elapsed() >= READ_PATIENCE => return Err(CliError { exit, ..silent(home) }),
                _ => continue,
            }
        }
        heard = Instant::now();
        let answer = match connection.next_answer() {
            Err(err) if !answered && interrupted.is_none() && is_unread(&err) && *deaths < DEATHS_MAX => {
                *deaths += 1;
                return Ok(None);
            }
            Err(err) => {
                let error = lost(&err, home);
                return Err(CliError { exit: interrupted.unwrap_or(error.exit), ..error });
            }
            Ok(answer) => answer,
        };
        answered = true;
        match refused(answer)? {
            Answer::Waiting { holder, pid, for_ms } => {
                screen.waits(&holder, pid, for_ms, terminal);
            }
            Answer::Begun { plan } => {
                screen.clear(terminal);
                screen.begin(&plan);
                begun(*plan, terminal);
                // Shown before it is done; a reader that has gone away does not stop what was asked for.
                let _ = terminal.flush();
            }
            Answer::GoingBack { failed, plan } => {
                screen.clear(terminal);
                progress::failures(&failed, terminal);
                screen.begin(&plan);
                terminal.say("everything that was touched goes back to what it was:");
                let style = Style { colour: terminal.colour_err, unicode: terminal.unicode };
                for line in render_text(&plan, &|_, _| None, style).lines() {
                    terminal.say(line);
                }
            }
            Answer::RolledBack { to, touched, failed, left } => {
                let went_back = Some(WentBack { to, left });
                return Ok(Some((Outcome { went_back, ..done(touched, failed, None) }, tally)));
            }
            Answer::Progress(event) => {
                screen.note(&event, terminal);
                tally.count(&event);
            }
            Answer::Done { touched, failed } => return Ok(Some((done(touched, failed, None), tally))),
            // Whoever has taken the call back does not want it done by another daemon either.
            Answer::Ending if interrupted.is_some() => return Err(CliError::error("the daemon is ending")),
            Answer::Ending => return Ok(None),
            Answer::Cancelled { touched, failed, going_on, not_begun } => {
                let exit = interrupted.unwrap_or(Exit::Interrupted);
                let cancelled = Some(Cancelled { exit, going_on, not_begun });
                return Ok(Some((done(touched, failed, cancelled), tally)));
            }
            answer => return Err(unexpected(&answer)),
        }
    }
}

fn send(connection: &mut Connection, request: Request, no_wait: bool) -> io::Result<()> {
    connection.send(&call(request, no_wait))
}

pub(super) fn call(request: Request, no_wait: bool) -> Call {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let protocol = request.protocol();
    let hasty = Manners::own().are_pm2s();
    Call { protocol, version, pid: std::process::id(), no_wait, hasty, uid: None, words, request }
}

/// What an answer that is an error means.
pub(super) fn error_of(answer: Answer) -> CliError {
    refused(answer).map_or_else(|error| error, |answer| unexpected(&answer))
}

/// Answers that are errors, as errors.
fn refused(answer: Answer) -> Result<Answer, CliError> {
    Err(match answer {
        Answer::Busy { holder, pid, for_ms } => {
            CliError::new(Exit::Busy, format!("busy: {}", progress::at_work(&holder, pid, for_ms)))
                .hint("leave out `--no-queue` to wait for it")
        }
        Answer::UnknownTarget { target, suggestion, problem } => {
            unknown_target(&TargetError { target, suggestion, problem })
        }
        Answer::Stale { stale } => stale_plan(&stale),
        Answer::Refused { refusals } => refusal(&refusals),
        // The same versions understand each other.
        Answer::Error { message, .. } if message.starts_with(NOT_UNDERSTOOD) => {
            CliError::error("the daemon is an older pmrun, which does not know this command")
                .hint("`pmrun upgrade` has it become this one; what runs goes on")
        }
        Answer::Error { message, hint } => CliError { hint, ..CliError::error(message) },
        answer => return Ok(answer),
    })
}

pub(super) fn unknown_target(problem: &TargetError) -> CliError {
    let error = CliError::error(problem.to_string());
    // PM2 takes the file for its apps.
    let ending = Path::new(&problem.target).extension().and_then(|ending| ending.to_str());
    if ending.is_some_and(|ending| config::endings().any(|known| known == ending)) {
        return error.hint(format!("`pmrun apply {}` starts, changes and stops what it declares", problem.target));
    }
    match (&problem.suggestion, &problem.problem) {
        (Some(name), _) => error.suggest(Some(name)),
        (None, None) => error.hint("`pmrun list` shows what there is"),
        (None, Some(_)) => error,
    }
}

/// All refusals as one error, with what would lift the first.
pub(super) fn refusal(refusals: &[Refusal]) -> CliError {
    let message = refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\nerror: ");
    let hint = match refusals.first() {
        Some(Refusal::OwnedByOther { .. }) => "`--adopt` takes it over; or give the app another name",
        Some(Refusal::Empty) => "`--allow-empty` says that this is meant",
        Some(Refusal::RenameForeign { .. }) => "take out `renamed_from`; or `--adopt` takes it over under the new name",
        Some(Refusal::RenameTaken { .. }) => "take out `renamed_from`, or delete one of the two",
        None => return CliError::error("the daemon refused without a reason"),
    };
    CliError::error(message).hint(hint)
}

pub(super) fn stale_plan(stale: &Stale) -> CliError {
    let side = |value: &Option<String>| value.as_ref().map_or_else(|| "nothing".to_owned(), |v| format!("`{v}`"));
    let (app, saved, now) = (&stale.app, side(&stale.saved), side(&stale.now));
    let message = match &stale.field {
        Some(field) => format!("the saved plan is stale: `{field}` of app `{app}` was {saved} and is now {now}"),
        None => format!("the saved plan is stale: app `{app}` was to see {saved} and would now see {now}"),
    };
    CliError::new(Exit::Stale, message).hint("nothing was done; make a new plan with `pmrun diff --out`")
}

fn unreachable(err: &ConnectError, home: &Path) -> CliError {
    if let ConnectError::State { message, hint } | ConnectError::Held { message, hint } = err {
        return CliError { hint: hint.clone(), ..CliError::error(message.clone()) };
    }
    let hint = match err {
        ConnectError::Failed { hint: Some(hint), .. } => hint.clone(),
        _ if home.join(DAEMON_LOG).exists() => {
            format!("the daemon's own words are in `{}`", home.join(DAEMON_LOG).display())
        }
        _ => "PMRUN_HOME has to be a folder of yours that you may write to".to_owned(),
    };
    CliError::new(Exit::Unreachable, err.to_string()).hint(hint)
}

fn is_timeout(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn is_hang_up(err: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(err.kind(), UnexpectedEof | BrokenPipe | ConnectionReset)
}

/// The daemon ended without having read what it was asked: Linux says so of what is left unread (`unix_release_sock` in
/// its net/unix/af_unix.c), and another can be asked.
fn is_unread(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn lost(err: &io::Error, home: &Path) -> CliError {
    let message = if is_hang_up(err) {
        "the daemon ended before it had answered".to_owned()
    } else if err.kind() == io::ErrorKind::InvalidData {
        return CliError::error(format!("what the command says, or is answered, is too large: {err}"));
    } else {
        format!("lost the daemon: {err}")
    };
    CliError::new(Exit::Unreachable, message).hint(format!(
        "see `{}`; what had been done is recorded, `pmrun list` shows it",
        home.join("pmrun.log").display()
    ))
}

/// Whoever wants all or nothing is told when it is neither.
fn half_done(error: CliError, request: &Request) -> CliError {
    match request {
        Request::Apply(apply) if apply.auto_rollback && error.exit == Exit::Unreachable => error.hint(
            "what it had changed stands, and nothing goes back by itself: `pmrun history` shows it, `pmrun rollback` takes it \
             back, and the same command again goes on",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_errors_have_their_exit_codes() {
        let stale = Stale { app: "api".into(), field: Some("env.PORT".into()), saved: Some("1".into()), now: None };
        let table = [
            (Answer::Busy { holder: "apply".into(), pid: 7, for_ms: 3_000 }, Exit::Busy),
            (Answer::UnknownTarget { target: "ap".into(), suggestion: Some("api".into()), problem: None }, Exit::Error),
            (Answer::Stale { stale: stale.clone() }, Exit::Stale),
            (Answer::Refused { refusals: vec![Refusal::Empty] }, Exit::Error),
            (Answer::Error { message: "m".into(), hint: None }, Exit::Error),
            (Answer::Error { message: format!("{NOT_UNDERSTOOD}unknown variant"), hint: None }, Exit::Error),
        ];
        for (answer, want) in table {
            assert_eq!(refused(answer).unwrap_err().exit, want);
        }
        for ending in config::endings() {
            let target = TargetError { target: format!("eco.config.{ending}"), suggestion: None, problem: None };
            assert!(unknown_target(&target).hint.unwrap().contains("pmrun apply eco.config."), "{ending}");
        }
        assert_eq!(
            stale_plan(&stale).message,
            "the saved plan is stale: `env.PORT` of app `api` was `1` and is now nothing"
        );
    }
}
