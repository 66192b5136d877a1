//! The process that a config runs in: what it says, until it ends or its time is up.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};

use super::Limits;
use super::orders::Failure;
use crate::diag::Code;
use crate::platform::interrupted;

/// More than any graph of apps needs.
pub(super) const OUTPUT_MAX: usize = 64 << 20;
/// How long somebody who wants the command to end may have to wait for it.
const ATTENTION: Duration = Duration::from_millis(200);
/// What a config may print before the rest is left out.
const CONSOLE_MAX: usize = 1 << 20;

/// Dropping it ends it, and what it started.
pub(super) struct Running {
    child: Child,
    pub(super) deadline: Instant,
    /// Those that are open, in turn.
    pipes: Vec<(Pipe, File)>,
    buffer: Vec<u8>,
    printed: usize,
    console: Console,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pipe {
    Answers,
    Stdout,
    Stderr,
}

/// Where what a config prints goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Console {
    Plain,
    /// A runner of GitHub's, which obeys lines that begin with `::` or hold `##[` wherever they come from (GitHub's
    /// workflow commands): a stranger's config must not speak to it.
    Runner {
        begins: bool,
        hashes: u8,
    },
}

impl Console {
    /// By the variable that the runner sets, or where it is told otherwise.
    pub(super) fn of(env: &BTreeMap<String, String>, for_runner: bool) -> Self {
        if for_runner || env.contains_key("GITHUB_ACTIONS") {
            Self::Runner { begins: true, hashes: 0 }
        } else {
            Self::Plain
        }
    }

    fn shown<'a>(&mut self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let Self::Runner { begins, hashes } = self else { return Cow::Borrowed(text) };
        let mut out = Vec::with_capacity(text.len() + 64);
        for byte in text {
            if *begins {
                out.extend_from_slice(b"| ");
            }
            if *byte == b'[' && *hashes >= 2 {
                out.push(b' ');
            }
            out.push(*byte);
            *hashes = if *byte == b'#' { hashes.saturating_add(1) } else { 0 };
            *begins = matches!(byte, b'\n' | b'\r');
        }
        Cow::Owned(out)
    }
}

pub(super) enum Heard {
    Said(Pipe, Vec<u8>),
    Closed,
    /// For as long as was asked.
    Nothing,
    /// The deadline has passed.
    Late,
}

impl Running {
    /// `answers` is listened to as well.
    pub(super) fn start(
        command: &mut Command,
        answers: Option<OwnedFd>,
        deadline_ms: u64,
        console: Console,
    ) -> io::Result<Self> {
        let deadline = Instant::now() + Duration::from_millis(deadline_ms);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        let pipes = [(Pipe::Answers, answers), (Pipe::Stdout, stdout), (Pipe::Stderr, stderr)];
        let pipes = pipes.into_iter().filter_map(|(pipe, fd)| Some((pipe, File::from(fd?)))).collect();
        Ok(Self { child, deadline, pipes, buffer: vec![0; 64 << 10], printed: 0, console })
    }

    pub(super) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether one of its pipes is open.
    pub(super) fn is_open(&self, pipe: Pipe) -> bool {
        self.pipes.iter().any(|(open, _)| *open == pipe)
    }

    /// Waits for something to be said, but no longer than this.
    ///
    /// # Errors
    /// The system's; also when somebody wants the command to end, who is held back (`Interrupts`).
    pub(super) fn hear(&mut self, most: Duration) -> io::Result<Heard> {
        let until = Instant::now().checked_add(most);
        loop {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            let heard = self.hear_once(left.min(ATTENTION))?;
            if interrupted() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if !matches!(heard, Heard::Nothing) || left <= ATTENTION {
                return Ok(heard);
            }
        }
    }

    fn hear_once(&mut self, most: Duration) -> io::Result<Heard> {
        let Some(left) = self.deadline.checked_duration_since(Instant::now()) else { return Ok(Heard::Late) };
        let mut fds: Vec<_> = self.pipes.iter().map(|(_, file)| PollFd::new(file, PollFlags::IN)).collect();
        match poll(&mut fds, Some(&Timespec::try_from(left.min(most)).unwrap_or_default())) {
            Err(rustix::io::Errno::INTR) => return Ok(Heard::Nothing),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let Some(at) = fds.iter().position(|fd| !fd.revents().is_empty()) else { return Ok(Heard::Nothing) };
        let (pipe, mut file) = self.pipes.remove(at);
        let count = file.read(&mut self.buffer)?;
        if count == 0 {
            return Ok(Heard::Closed);
        }
        // It is the others' turn now.
        self.pipes.push((pipe, file));
        Ok(Heard::Said(pipe, self.buffer[..count].to_vec()))
    }

    /// What the config printed, to the user as it comes.
    pub(super) fn print(&mut self, text: &[u8]) {
        if self.printed > CONSOLE_MAX {
            return;
        }
        self.printed += text.len();
        let text = self.console.shown(text);
        let mut stderr = io::stderr().lock();
        // Nobody can be told that stderr is closed.
        let _ = stderr.write_all(&text);
        if self.printed > CONSOLE_MAX {
            let _ = stderr.write_all(b"... the config prints more than 1 MB: the rest is left out\n");
        }
    }

    /// How it ended. Who has closed its pipes and stays is ended at the deadline.
    pub(super) fn wait(&mut self) -> io::Result<ExitStatus> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        // It is a child that is not reaped: the pid is its own.
        if let Some(Ok(pinned)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::from_borrowed_fd(pinned.as_fd(), PollFlags::IN)];
            if poll(&mut fds, Some(&Timespec::try_from(left).unwrap_or_default())) == Ok(0) {
                self.end();
            }
        }
        self.child.wait()
    }

    pub(super) fn end(&mut self) {
        // It leads its own group. Either may be gone already, which is what is wanted.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.end();
            // It was killed: this does not wait long.
            let _ = self.child.wait();
        }
    }
}

pub(super) fn too_slow(limits: Limits) -> Failure {
    let seconds = Duration::from_millis(limits.deadline_ms).as_secs_f64();
    Failure::new(Code::TimeLimit, format!("the config ran longer than {seconds} s")).hint(
        "does it loop without end, or wait for something? a config should only describe apps; \
         `--eval-timeout` gives it more time",
    )
}

pub(super) fn too_large(limits: Limits) -> Failure {
    let message = format!("the config needs more than {} MB of memory", limits.memory_bytes >> 20);
    Failure::new(Code::MemoryLimit, message).hint("does it build a value without end?")
}

pub(super) fn too_much() -> Failure {
    let message = format!("the config's output is larger than {} MB", OUTPUT_MAX >> 20);
    Failure::new(Code::OutputLimit, message).hint("does it build a value without end?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_gives_githubs_runner_no_command() {
        let env = BTreeMap::from([("GITHUB_ACTIONS".to_owned(), "true".to_owned())]);
        let mut console = Console::of(&env, false);
        assert_eq!(console.shown(b"::error::x\nand ").as_ref(), b"| ::error::x\n| and ");
        assert_eq!(console.shown(b"on ##[error]\r\n").as_ref(), b"on ## [error]\r| \n");
        assert_eq!(console.shown(b"::stop-commands::t#").as_ref(), b"| ::stop-commands::t#");
        assert_eq!(console.shown(b"#[add-mask]").as_ref(), b"# [add-mask]");
        let plain = BTreeMap::new();
        assert_eq!(Console::of(&plain, true), Console::of(&env, false));
        assert_eq!(Console::of(&plain, false).shown(b"::x\n").as_ref(), b"::x\n");
    }
}
