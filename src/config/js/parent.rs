//! The parent: starts the child, does what it asks for, ends it at the deadline, and says why it ended.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::broker::{Broker, Cut, PROCESSES_MAX, Why};
use super::modules::USE_NODE;
use super::orders::{Account, Failure, Orders, Request, shown};
use super::running::{Console, Heard, OUTPUT_MAX, Pipe, Running, too_large, too_much, too_slow};
use super::values::Exported;
use super::{Limits, doubts, fault, wire};
use crate::config::{Journal, Reading, World};
use crate::diag::{Code, Diagnostic};
use crate::document::{Kind, Location, Node, SourceId, Sources, Span};
use crate::platform::Postponed;

/// A config that takes longer is not run again for better words or places.
pub(in crate::config) const SOON: Duration = Duration::from_secs(1);
/// What the runtime says before it aborts is short.
const NOISE_MAX: usize = 16 << 10;

/// Runs a config program in a child process and returns what it exports. The files that its spans, or the diagnostic,
/// point into become sources.
///
/// # Errors
/// One diagnostic: a syntax error, what was thrown, a missing module, a limit that was hit. What there is to say besides
/// is told to the journal.
pub(super) fn evaluate(entry: &Path, world: &World, sources: &mut Sources) -> Result<Node, Box<Diagnostic>> {
    let orders = Orders::new(entry, world);
    let exported = follow(&orders, entry, world, sources)?;
    settled(exported, |path| shown(path, entry, &orders.entry), sources).ok_or_else(|| {
        let failure = broken("value");
        failure.into_diagnostic(entry, &orders.entry, sources)
    })
}

/// The value, whose files are among the sources by the names that they are shown by.
pub(super) fn settled(exported: Exported, name: impl Fn(PathBuf) -> PathBuf, sources: &mut Sources) -> Option<Node> {
    let Exported { mut node, files } = exported;
    let ids: Vec<SourceId> = files
        .into_iter()
        .map(|file| {
            let add = match (file.computed, file.guessed) {
                (_, true) => Sources::add_guessed,
                (true, false) => Sources::add_computed,
                (false, false) => Sources::add,
            };
            add(sources, &name(file.path), file.text)
        })
        .collect();
    place(&mut node, &ids)?;
    Some(node)
}

/// Gives the spans their sources.
fn place(node: &mut Node, ids: &[SourceId]) -> Option<()> {
    let place = |span: &mut Option<Span>| {
        if let Some(span) = span {
            span.source = *ids.get(span.source.0 as usize)?;
        }
        Some(())
    };
    place(&mut node.span)?;
    match &mut node.kind {
        Kind::Sequence(items) => items.iter_mut().try_for_each(|item| self::place(item, ids)),
        Kind::Mapping(entries) => entries.iter_mut().try_for_each(|entry| {
            place(&mut entry.key.span)?;
            self::place(&mut entry.value, ids)
        }),
        _ => Some(()),
    }
}

/// The same, as the text that `JSON.stringify` makes of it.
///
/// # Errors
/// As [`evaluate`]; also when there is no such text.
pub(super) fn stringify(entry: &Path, world: &World, sources: &mut Sources) -> Result<String, Box<Diagnostic>> {
    let orders = Orders { stringify: true, ..Orders::new(entry, world) };
    let exported = follow(&orders, entry, world, sources)?;
    Ok(exported.node.as_str().unwrap_or_default().to_owned())
}

fn follow(orders: &Orders, entry: &Path, world: &World, sources: &mut Sources) -> Result<Exported, Box<Diagnostic>> {
    let journal = &world.reading.journal;
    let mut refusals = Vec::new();
    // What the config has started ends with it, whatever else ends.
    let postponed = Postponed::new();
    let started = Instant::now();
    let outcome = Run::start(orders, &world.reading).and_then(|mut run| {
        let outcome = run.finish().map(|outcome| outcome.map_err(|failure| run.advised(failure)));
        refusals = std::mem::take(&mut run.refusals);
        if run.exposed {
            let message =
                "this system has neither seccomp nor Landlock: `--hermetic` rests on the JavaScript engine alone";
            journal.tell(Diagnostic::warning(Code::Unconfined, message, Location::File(entry.to_owned())));
        }
        outcome
    });
    drop(postponed);
    let outcome =
        outcome.unwrap_or_else(|error| Err(Failure::new(Code::Engine, format!("cannot run the config: {error}"))));
    let outcome = outcome.map_err(|failure| {
        let soon = started.elapsed() < SOON;
        let failure =
            if failure.in_package && soon { doubts::worded(orders, failure, &world.reading) } else { failure };
        if failure.doubt.is_some() && soon { doubts::placed(orders, failure, &world.reading) } else { failure }
    });
    if refusals.iter().any(|refusal| refusal.position.is_none()) && started.elapsed() < SOON {
        doubts::placed_refusals(orders, &mut refusals, &world.reading);
    }
    let mut diagnostic = |failure: Failure| failure.into_diagnostic(entry, &orders.entry, sources);
    // What the config made of a refusal, an error most likely, is not what is wrong.
    let mut refusals = refusals.into_iter();
    match refusals.next() {
        Some(first) => {
            let first = diagnostic(first);
            refusals.for_each(|failure| journal.tell(*diagnostic(failure)));
            Err(first)
        }
        None => outcome.map_err(diagnostic),
    }
}

/// What comes of it, by itself, and what was refused; None when it cannot be run.
pub(super) fn outcome(orders: &Orders, reading: &Reading) -> Option<(Result<Exported, Failure>, Vec<Failure>)> {
    let postponed = Postponed::new();
    let outcome =
        Run::start(orders, reading).and_then(|mut run| Ok((run.finish()?, std::mem::take(&mut run.refusals))));
    drop(postponed);
    outcome.ok()
}

/// A running child. Dropping it ends it, and what it started.
struct Run {
    running: Running,
    /// Where replies go.
    answers: ChildStdin,
    broker: Broker,
    journal: Journal,
    limits: Limits,
    refusals: Vec<Failure>,
    /// Nothing but the engine kept in what was to be kept in.
    exposed: bool,
    /// Bytes of frames that are not whole yet.
    pending: Vec<u8>,
    /// What the child's runtime wrote to its stderr.
    noise: Vec<u8>,
    received: usize,
}

enum Step {
    Done(Result<Exported, Failure>),
    Closed,
    Deadline,
    /// By what a command did.
    Cut(Cut),
    TooMuch,
}

impl Run {
    fn start(orders: &Orders, reading: &Reading) -> io::Result<Self> {
        let Reading { limits, journal, for_runner, .. } = reading;
        let limits = *limits;
        let mut command = Command::new("/proc/self/exe");
        command.arg("__eval").env_clear().stdin(Stdio::piped());
        // What `Date` goes by.
        command.envs(zone(orders).map(|zone| ("TZ", zone)));
        let mut running =
            Running::start(&mut command, None, limits.deadline_ms, Console::of(&orders.env, *for_runner))?;
        let Some(answers) = running.take_stdin() else { return Err(io::Error::other("no pipe to it")) };
        rustix::io::ioctl_fionbio(&answers, true)?;
        let mut run = Self {
            broker: {
                let mut broker = Broker::new(orders, running.deadline, journal.clone());
                broker.take_in_orphans();
                broker
            },
            running,
            answers,
            journal: journal.clone(),
            limits,
            refusals: Vec::new(),
            exposed: false,
            pending: Vec::new(),
            noise: Vec::new(),
            received: 0,
        };
        run.answer(&serde_json::to_vec(orders)?);
        Ok(run)
    }

    /// Up to the deadline: a child that does not read must not hold us up. One that is gone, or is late, is found out by
    /// its silence, with its reason.
    fn answer(&mut self, text: &[u8]) {
        let frame = [&wire::header(wire::ORDERS, text.len()), text].concat();
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            let Some(left) = self.running.deadline.checked_duration_since(Instant::now()) else { return };
            let mut fds = [PollFd::new(&self.answers, PollFlags::OUT)];
            // Whatever it says, the write knows.
            let _ = poll(&mut fds, Some(&Timespec::try_from(left).unwrap_or_default()));
            match self.answers.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => return,
            }
        }
    }

    /// Where a command has failed of what it may not do, the config has failed of it most likely.
    fn advised(&self, failure: Failure) -> Failure {
        if self.broker.denied && failure.code == Code::Thrown && failure.hint.is_none() {
            return failure.hint(format!(
                "a command that a config runs may write to no file, open no local socket and signal nobody; {USE_NODE}, \
                 without these bounds"
            ));
        }
        failure
    }

    fn finish(&mut self) -> io::Result<Result<Exported, Failure>> {
        let step = self.listen()?;
        if !matches!(step, Step::Closed) {
            self.running.end();
        }
        let status = self.running.wait()?;
        Ok(match step {
            Step::Done(result) => result,
            Step::Closed => Err(death(&String::from_utf8_lossy(&self.noise), status, self.limits)),
            Step::Deadline => Err(too_slow(self.limits)),
            Step::Cut(cut) => Err(cut_short(&cut, self.limits)),
            Step::TooMuch => Err(too_much()),
        })
    }

    /// Until there is a result, the child has closed its pipes, or its time is up.
    fn listen(&mut self) -> io::Result<Step> {
        while self.running.is_open(Pipe::Stdout) || self.running.is_open(Pipe::Stderr) {
            let heard = self.running.hear(self.broker.look().unwrap_or(Duration::MAX))?;
            if let Some(cut) = self.broker.flooded() {
                return Ok(Step::Cut(cut));
            }
            match heard {
                Heard::Late => return Ok(Step::Deadline),
                Heard::Said(Pipe::Stderr, text) => {
                    let room = NOISE_MAX.saturating_sub(self.noise.len());
                    self.noise.extend(&text[..text.len().min(room)]);
                }
                Heard::Said(_, bytes) => {
                    if let Some(step) = self.take(&bytes) {
                        return Ok(step);
                    }
                }
                Heard::Closed | Heard::Nothing => {}
            }
        }
        Ok(Step::Closed)
    }

    fn take(&mut self, bytes: &[u8]) -> Option<Step> {
        self.received += bytes.len();
        if self.received > OUTPUT_MAX {
            return Some(Step::TooMuch);
        }
        self.pending.extend(bytes);
        while let Some((tag, payload)) = wire::take(&mut self.pending) {
            match tag {
                wire::CONSOLE => self.running.print(&payload),
                wire::REQUEST => {
                    if let Some(step) = self.serve(&payload) {
                        return Some(step);
                    }
                }
                wire::ACCOUNT => match serde_json::from_slice::<Account>(&payload) {
                    Ok(Account { inputs, assigned, refusals }) => {
                        self.exposed = self.broker.hermetic && inputs.confined_by.len() < 2;
                        self.journal.merge(inputs);
                        self.journal.assign(assigned);
                        self.refusals = refusals;
                    }
                    Err(_) => return Some(Step::Done(Err(broken("account")))),
                },
                wire::VALUE => {
                    // It has said everything: its end takes as long as what we make of that.
                    self.running.end();
                    return Some(Step::Done(wire::decode(&payload).ok_or_else(|| broken("value"))));
                }
                wire::FAILURE => {
                    let failure = serde_json::from_slice(&payload).unwrap_or_else(|_| broken("failure"));
                    return Some(Step::Done(Err(self.of_memory(failure))));
                }
                _ => {
                    return Some(Step::Done(Err(broken("answer"))));
                }
            }
        }
        None
    }

    /// Does what the child asks for; there is a step when that was the last thing.
    fn serve(&mut self, payload: &[u8]) -> Option<Step> {
        let Ok(request) = serde_json::from_slice::<Request>(payload) else {
            return Some(Step::Done(Err(broken("request"))));
        };
        let reply = match self.broker.serve(request) {
            Ok(reply) => serde_json::to_vec(&reply),
            Err(cut) => return Some(Step::Cut(cut)),
        };
        match reply {
            Ok(text) => self.answer(&text),
            Err(_) => return Some(Step::Done(Err(broken("request")))),
        }
        None
    }

    /// The engine throws for a buffer that the limit leaves no room for, in words of its own.
    fn of_memory(&self, failure: Failure) -> Failure {
        const WORDS: [&str; 2] = ["while allocating data block", "exceeds the maximum buffer size"];
        if !WORDS.iter().any(|words| failure.message.contains(words)) {
            return failure;
        }
        Failure { file: failure.file, position: failure.position, ..too_large(self.limits) }
    }
}

/// Why a child ended without an answer, by what it wrote to its stderr.
fn death(noise: &str, status: ExitStatus, limits: Limits) -> Failure {
    const BUG: &str = "pmrun's own JavaScript engine failed at this config, which is a bug in pmrun";
    if noise.contains("has overflowed its stack") {
        return fault::recursion();
    }
    if noise.contains("memory allocation of") || noise.contains("capacity overflow") || noise.contains("out of memory")
    {
        return too_large(limits);
    }
    if noise.contains("panicked at") {
        return Failure::new(Code::Engine, BUG).hint(USE_NODE);
    }
    match status.signal().and_then(|number| Signal::try_from(number).ok()) {
        Some(Signal::SIGXCPU) => too_slow(limits),
        Some(Signal::SIGSEGV | Signal::SIGBUS) => fault::recursion(),
        Some(Signal::SIGKILL) => Failure::new(Code::Engine, "the config's process was killed (SIGKILL)")
            .hint("the system may have run out of memory"),
        Some(signal) => Failure::new(Code::Engine, format!("the config's process died of {}", signal.as_str())),
        None => {
            let said = noise.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given").to_owned();
            Failure::new(Code::Engine, format!("the JavaScript engine failed: {said}"))
        }
    }
}

fn cut_short(Cut { why, command }: &Cut, limits: Limits) -> Failure {
    match why {
        Why::Time => {
            let failure = too_slow(limits);
            Failure { message: format!("{}: it waited for the command `{command}`", failure.message), ..failure }
        }
        Why::Processes => Failure::new(
            Code::ProcessLimit,
            format!("a command of the config has started more than {PROCESSES_MAX} processes"),
        )
        .hint(format!("it was ended with all of them: `{command}`")),
        Why::Memory => {
            let failure = too_large(limits);
            Failure { message: format!("{}: the command `{command}` took it", failure.message), ..failure }
        }
        Why::Disk => Failure::new(Code::MemoryLimit, "commands of the config wrote too much to their TMPDIR")
            .hint(format!("they were ended, and it is gone; the last one was `{command}`")),
    }
}

/// What `Date` goes by. A zone is a variable, and the machine's own is a file.
fn zone(orders: &Orders) -> Option<&str> {
    let seen = orders.hermetic.as_ref().is_none_or(|hermetic| hermetic.allows_variable("TZ"));
    let zone = orders.env.get("TZ").filter(|_| seen).map(String::as_str);
    zone.or(orders.hermetic.as_ref().map(|_| "UTC"))
}

fn broken(what: &str) -> Failure {
    Failure::new(Code::Engine, format!("the {what} of the config's process was not understood"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_of_the_child_is_told_of_as_one_error() {
        let noise =
            "\nthread 'config' panicked at src/config/js/provenance/explain.rs:339:41:\nbyte range starts at 1\n";
        let died = death(noise, ExitStatus::from_raw(1 << 8), Limits::default());
        assert_eq!(died.code, Code::Engine);
        assert!(!died.message.contains("panicked"), "{}", died.message);
        assert_eq!(died.hint.as_deref(), Some(USE_NODE));
    }
}
