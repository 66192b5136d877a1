//! The parent: starts the child, forwards what the config prints, ends it at the deadline, and says why it ended.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::orders::{Failure, Orders, shown};
use super::values::Exported;
use super::{Limits, fault, wire};
use crate::config::World;
use crate::diag::Diagnostic;
use crate::document::{Kind, Node, SourceId, Sources, Span};

/// More than any graph of apps needs; the child refuses larger values by itself.
const OUTPUT_MAX: usize = 64 << 20;
/// What a config may print before the rest is left out.
const CONSOLE_MAX: usize = 1 << 20;
/// What the runtime says before it aborts is short.
const NOISE_MAX: usize = 16 << 10;

/// Runs a config program in a child process and returns what it exports. The files that its spans, or the diagnostic,
/// point into become sources.
///
/// # Errors
/// One diagnostic: a syntax error, what was thrown, a missing module, a limit that was hit.
pub(super) fn evaluate(
    entry: &Path,
    world: &World,
    limits: Limits,
    sources: &mut Sources,
) -> Result<Node, Box<Diagnostic>> {
    let orders = Orders::new(entry, world, limits);
    let Exported { mut node, files } = follow(&orders, entry, sources)?;
    let name = |path| shown(path, entry, &orders.entry);
    let ids: Vec<SourceId> = files
        .into_iter()
        .map(|file| {
            let add = if file.computed { Sources::add_computed } else { Sources::add };
            add(sources, &name(file.path), file.text)
        })
        .collect();
    place(&mut node, &ids).ok_or_else(|| {
        let failure = Failure::evaluation("the config's value was not understood");
        failure.into_diagnostic(entry, &orders.entry, sources)
    })?;
    Ok(node)
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
pub(super) fn stringify(
    entry: &Path,
    world: &World,
    limits: Limits,
    sources: &mut Sources,
) -> Result<String, Box<Diagnostic>> {
    let exported = follow(&Orders { stringify: true, ..Orders::new(entry, world, limits) }, entry, sources)?;
    Ok(exported.node.as_str().unwrap_or_default().to_owned())
}

fn follow(orders: &Orders, entry: &Path, sources: &mut Sources) -> Result<Exported, Box<Diagnostic>> {
    let outcome = Run::start(orders).and_then(|mut run| run.finish(orders));
    let outcome = outcome.unwrap_or_else(|error| Err(Failure::evaluation(format!("cannot run the config: {error}"))));
    outcome.map_err(|failure| failure.into_diagnostic(entry, &orders.entry, sources))
}

/// A running child. Dropping it ends it, and what it started.
struct Run {
    child: Child,
    deadline: Instant,
    /// Bytes of frames that are not whole yet.
    pending: Vec<u8>,
    /// What the child's runtime wrote to its stderr.
    noise: Vec<u8>,
    received: usize,
    printed: usize,
}

enum Step {
    Done(Result<Exported, Failure>),
    Closed,
    Deadline,
    TooMuch,
}

impl Run {
    fn start(orders: &Orders) -> io::Result<Self> {
        let deadline = Instant::now() + Duration::from_millis(orders.deadline_ms);
        let mut command = Command::new("/proc/self/exe");
        command.arg("__eval").env_clear();
        // What `Date` goes by.
        command.envs(orders.env.get("TZ").map(|zone| ("TZ", zone)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Its own group, so that commands that a config started end with it.
        let mut child = command.process_group(0).spawn()?;
        let text = serde_json::to_vec(orders)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A child that is gone already is found out below, with its reason.
            let _ = stdin.write_all(&text);
        }
        Ok(Self { child, deadline, pending: Vec::new(), noise: Vec::new(), received: 0, printed: 0 })
    }

    fn finish(&mut self, orders: &Orders) -> io::Result<Result<Exported, Failure>> {
        let step = self.listen()?;
        let by_itself = matches!(step, Step::Closed);
        if !by_itself {
            self.end();
        }
        let status = self.child.wait()?;
        Ok(match step {
            Step::Done(result) => result,
            Step::Closed => Err(self.death(status, orders)),
            Step::Deadline => Err(too_slow(orders)),
            Step::TooMuch => Err(Failure::evaluation("the config's output is larger than 64 MB")),
        })
    }

    /// Reads both pipes until there is a result, the child is gone, or its time is up.
    fn listen(&mut self) -> io::Result<Step> {
        let (Some(mut stdout), Some(mut stderr)) = (self.child.stdout.take(), self.child.stderr.take()) else {
            return Ok(Step::Closed);
        };
        let (mut open, mut noisy) = (true, true);
        let mut buffer = vec![0; 64 << 10];
        while open || noisy {
            let Some(left) = self.deadline.checked_duration_since(Instant::now()) else { return Ok(Step::Deadline) };
            let flags = |wanted| if wanted { PollFlags::IN } else { PollFlags::empty() };
            let fds = [(stdout.as_fd(), open), (stderr.as_fd(), noisy)];
            let mut fds: Vec<PollFd<'_>> = fds
                .into_iter()
                .filter(|(_, wanted)| *wanted)
                .map(|(fd, wanted)| PollFd::from_borrowed_fd(fd, flags(wanted)))
                .collect();
            match poll(&mut fds, Some(&Timespec::try_from(left).unwrap_or_default())) {
                Ok(0) => return Ok(Step::Deadline),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            let (out_ready, err_ready) = match (open, noisy) {
                (true, true) => (ready[0], ready[1]),
                (true, false) => (ready[0], false),
                _ => (false, ready[0]),
            };
            if err_ready {
                let count = stderr.read(&mut buffer)?;
                noisy = count > 0;
                let room = NOISE_MAX.saturating_sub(self.noise.len());
                self.noise.extend(&buffer[..count.min(room)]);
            }
            if out_ready {
                let count = stdout.read(&mut buffer)?;
                open = count > 0;
                if let Some(step) = self.take(&buffer[..count]) {
                    return Ok(step);
                }
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
                wire::CONSOLE => self.forward(&payload),
                wire::VALUE => {
                    let broken = || Failure::evaluation("the config's value was not understood");
                    return Some(Step::Done(wire::decode(&payload).ok_or_else(broken)));
                }
                wire::FAILURE => {
                    let broken =
                        |error| Failure::evaluation(format!("the config's failure was not understood: {error}"));
                    return Some(Step::Done(Err(serde_json::from_slice(&payload).unwrap_or_else(broken))));
                }
                _ => {
                    return Some(Step::Done(Err(Failure::evaluation("the config's process did not answer in frames"))));
                }
            }
        }
        None
    }

    /// To the user, as it comes.
    fn forward(&mut self, text: &[u8]) {
        if self.printed > CONSOLE_MAX {
            return;
        }
        self.printed += text.len();
        let mut stderr = io::stderr().lock();
        // Nobody can be told that stderr is closed.
        let _ = stderr.write_all(text);
        if self.printed > CONSOLE_MAX {
            let _ = stderr.write_all(b"... the config prints more than 1 MB: the rest is left out\n");
        }
    }

    /// Why a child ended without an answer.
    fn death(&self, status: ExitStatus, orders: &Orders) -> Failure {
        let noise = String::from_utf8_lossy(&self.noise);
        if noise.contains("has overflowed its stack") {
            return fault::recursion();
        }
        if noise.contains("memory allocation of")
            || noise.contains("capacity overflow")
            || noise.contains("out of memory")
        {
            return too_large(orders);
        }
        match status.signal().and_then(|number| Signal::try_from(number).ok()) {
            Some(Signal::SIGXCPU) => too_slow(orders),
            Some(Signal::SIGSEGV | Signal::SIGBUS) => fault::recursion(),
            Some(Signal::SIGKILL) => Failure::evaluation("the config's process was killed (SIGKILL)")
                .hint("the system may have run out of memory"),
            Some(signal) => Failure::evaluation(format!("the config's process died of {}", signal.as_str())),
            None => {
                let said = noise.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given").to_owned();
                Failure::evaluation(format!("the JavaScript engine failed: {said}"))
            }
        }
    }

    fn end(&mut self) {
        // It leads its own group. Either may be gone already, which is what is wanted.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.kill();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.end();
            // It was killed: this does not wait long.
            let _ = self.child.wait();
        }
    }
}

fn too_slow(orders: &Orders) -> Failure {
    let seconds = Duration::from_millis(orders.deadline_ms).as_secs_f64();
    Failure::evaluation(format!("the config ran longer than {seconds} s"))
        .hint("does it loop without end, or wait for something? a config should only describe apps")
}

fn too_large(orders: &Orders) -> Failure {
    Failure::evaluation(format!("the config needs more than {} MB of memory", orders.memory_bytes >> 20))
        .hint("does it build a value without end?")
}
