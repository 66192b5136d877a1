use std::io;
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::procfs::{Table, file_locks};
use super::tag::Tag;

/// A flood of processes that outruns a processor for this long is left to the system.
const PATIENCE: Duration = Duration::from_secs(2);

/// Commands that are run for a while, with everything that they start: dropping it ends them all.
///
/// They are found by their tag, which neither a new session nor the loss of their parents takes from them.
#[derive(Debug)]
pub struct Brood {
    tag: Tag,
    started: bool,
}

impl Default for Brood {
    fn default() -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self { tag: Tag::of_brood(&format!("{}.{}", std::process::id(), now.as_nanos())), started: false }
    }
}

impl Brood {
    /// # Errors
    /// The system's.
    pub fn start(&mut self, command: &mut Command) -> io::Result<Child> {
        self.started = true;
        self.tag.on(|| command.spawn())
    }

    /// Ends all of them that still run. Those that became another user's stay.
    pub fn end(&self) {
        if !self.started {
            return;
        }
        let begun = Instant::now();
        // Whoever is killed forks no more; who was forked during a look is found by the next one.
        while self.kill_each() > 0 && begun.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
    }

    /// How many were there to be killed.
    fn kill_each(&self) -> usize {
        let Ok(table) = Table::scan() else { return 0 };
        let own = std::process::id();
        let candidates = table.processes.iter().filter(|process| !process.dead && process.pid != own);
        candidates.filter(|process| self.kill(process.pid).is_some()).count()
    }

    fn kill(&self, pid: u32) -> Option<()> {
        let is_ours = || file_locks(pid).and_then(Tag::of_limit) == Some(self.tag);
        if !is_ours() {
            return None;
        }
        let pinned = pidfd_open(rustix::process::Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok()?;
        // The pid may have become another's before it was pinned.
        if !is_ours() {
            return None;
        }
        pidfd_send_signal(&pinned, Signal::KILL).ok()
    }
}

impl Drop for Brood {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn whoever_left_session_parents_and_environment_is_ended() {
        let mut brood = Brood::default();
        let mut command = Command::new("sh");
        command.args(["-c", "(setsid env -i sleep 1000 &) ; sleep 1000 & exit 0"]).stdout(Stdio::piped());
        let mut child = brood.start(&mut command).unwrap();
        let mut output = child.stdout.take().unwrap();
        child.wait().unwrap();
        brood.end();
        // Both sleepers had it open.
        assert_eq!(output.read(&mut [0; 1]).unwrap(), 0);
    }
}
