//! The parent: starts the child, forwards what the config prints, ends it at the deadline, and says why it ended.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::broker::{Broker, Cut, PROCESSES_MAX, Why};
use super::orders::{Account, Failure, Orders, Request};
use super::{fault, wire};
use crate::config::{Journal, World};
use crate::diag::{Code, Diagnostic};
use crate::document::{Location, Node};

/// More than any graph of apps needs; the child refuses larger values by itself.
const OUTPUT_MAX: usize = 64 << 20;
/// What a config may print before the rest is left out.
const CONSOLE_MAX: usize = 1 << 20;
/// What the runtime says before it aborts is short.
const NOISE_MAX: usize = 16 << 10;

/// Runs a config program in a child process and returns what it exports. Nodes have no spans.
///
/// # Errors
/// One diagnostic: a syntax error, what was thrown, a missing module, a limit that was hit.
pub fn evaluate(entry: &Path, world: &World) -> Result<Node, Box<Diagnostic>> {
    follow(&Orders::new(entry, world), entry, &world.reading.journal)
}

/// The same, as the text that `JSON.stringify` makes of it.
///
/// # Errors
/// As [`evaluate`]; also when there is no such text.
pub fn stringify(entry: &Path, world: &World) -> Result<String, Box<Diagnostic>> {
    let orders = Orders { stringify: true, ..Orders::new(entry, world) };
    let node = follow(&orders, entry, &world.reading.journal)?;
    Ok(node.as_str().unwrap_or_default().to_owned())
}

fn follow(orders: &Orders, entry: &Path, journal: &Journal) -> Result<Node, Box<Diagnostic>> {
    let mut refusals = Vec::new();
    let outcome = Run::start(orders, journal).and_then(|mut run| {
        let outcome = run.finish(orders);
        refusals = std::mem::take(&mut run.refusals);
        if run.exposed {
            let message =
                "this system has neither seccomp nor Landlock: `--hermetic` rests on the JavaScript engine alone";
            journal.tell(Diagnostic::warning(Code::Evaluation, message, Location::File(entry.to_owned())));
        }
        outcome
    });
    let outcome = outcome.unwrap_or_else(|error| Err(Failure::evaluation(format!("cannot run the config: {error}"))));
    let diagnostic = |failure: Failure| failure.into_diagnostic(entry, &orders.entry);
    // What the config made of a refusal, an error most likely, is not what is wrong.
    let mut refusals = refusals.into_iter();
    match refusals.next() {
        Some(first) => {
            refusals.for_each(|failure| journal.tell(*diagnostic(failure)));
            Err(diagnostic(first))
        }
        None => outcome.map_err(diagnostic),
    }
}

/// A running child. Dropping it ends it, and what it started.
struct Run {
    child: Child,
    /// Where replies go.
    answers: ChildStdin,
    broker: Broker,
    journal: Journal,
    refusals: Vec<Failure>,
    /// Nothing but the engine kept in what was to be kept in.
    exposed: bool,
    deadline: Instant,
    memory_bytes: u64,
    /// Bytes of frames that are not whole yet.
    pending: Vec<u8>,
    /// What the child's runtime wrote to its stderr.
    noise: Vec<u8>,
    received: usize,
    printed: usize,
}

enum Step {
    Done(Result<Node, Failure>),
    Closed,
    Deadline,
    /// By what a command did.
    Cut(Cut),
    TooMuch,
}

impl Run {
    fn start(orders: &Orders, journal: &Journal) -> io::Result<Self> {
        let deadline = Instant::now() + Duration::from_millis(orders.deadline_ms);
        let mut command = Command::new("/proc/self/exe");
        command.arg("__eval").env_clear();
        // What `Date` goes by.
        command.envs(zone(orders).map(|zone| ("TZ", zone)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn()?;
        let Some(answers) = child.stdin.take() else { return Err(io::Error::other("no pipe to it")) };
        rustix::io::ioctl_fionbio(&answers, true)?;
        let mut run = Self {
            child,
            answers,
            broker: Broker::new(orders, deadline, journal.clone()),
            journal: journal.clone(),
            refusals: Vec::new(),
            exposed: false,
            deadline,
            memory_bytes: orders.memory_bytes,
            pending: Vec::new(),
            noise: Vec::new(),
            received: 0,
            printed: 0,
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
            let Some(left) = self.deadline.checked_duration_since(Instant::now()) else { return };
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

    fn finish(&mut self, orders: &Orders) -> io::Result<Result<Node, Failure>> {
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
            Step::Cut(cut) => Err(cut_short(&cut, orders)),
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
                wire::REQUEST => {
                    if let Some(step) = self.serve(&payload) {
                        return Some(step);
                    }
                }
                wire::ACCOUNT => match serde_json::from_slice::<Account>(&payload) {
                    Ok(Account { inputs, refusals }) => {
                        self.exposed = self.broker.hermetic && inputs.confined_by.len() < 2;
                        self.journal.merge(inputs);
                        self.refusals = refusals;
                    }
                    Err(_) => return Some(Step::Done(Err(broken("account")))),
                },
                wire::VALUE => {
                    return Some(Step::Done(wire::decode(&payload).ok_or_else(|| broken("value"))));
                }
                wire::FAILURE => {
                    let failure = serde_json::from_slice(&payload).unwrap_or_else(|_| broken("failure"));
                    return Some(Step::Done(Err(self.of_memory(failure))));
                }
                _ => {
                    return Some(Step::Done(Err(Failure::evaluation("the config's process did not answer in frames"))));
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
        Failure { file: failure.file, position: failure.position, ..too_large(self.memory_bytes) }
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
            return too_large(self.memory_bytes);
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

fn cut_short(Cut { why, command }: &Cut, orders: &Orders) -> Failure {
    match why {
        Why::Time => {
            let failure = too_slow(orders);
            Failure { message: format!("{}: it waited for the command `{command}`", failure.message), ..failure }
        }
        Why::Processes => {
            Failure::evaluation(format!("a command of the config has started more than {PROCESSES_MAX} processes"))
                .hint(format!("it was ended with all of them: `{command}`"))
        }
    }
}

/// What `Date` goes by. A zone is a variable, and the machine's own is a file.
fn zone(orders: &Orders) -> Option<&str> {
    let seen = orders.hermetic.as_ref().is_none_or(|hermetic| hermetic.allows_variable("TZ"));
    let zone = orders.env.get("TZ").filter(|_| seen).map(String::as_str);
    zone.or(orders.hermetic.as_ref().map(|_| "UTC"))
}

fn broken(what: &str) -> Failure {
    Failure::evaluation(format!("the {what} of the config's process was not understood"))
}

fn too_slow(orders: &Orders) -> Failure {
    let seconds = Duration::from_millis(orders.deadline_ms).as_secs_f64();
    Failure::evaluation(format!("the config ran longer than {seconds} s")).hint(
        "does it loop without end, or wait for something? a config should only describe apps; \
         `--eval-timeout` gives it more time",
    )
}

fn too_large(memory_bytes: u64) -> Failure {
    Failure::evaluation(format!("the config needs more than {} MB of memory", memory_bytes >> 20))
        .hint("does it build a value without end?")
}
