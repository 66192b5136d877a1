use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process_group, pidfd_open,
    pidfd_send_signal, setrlimit, waitid,
};

use super::procfs::{Table, file_locks};
use super::tag::Tag;

/// A flood of processes that outruns a processor for this long is left to the system.
const PATIENCE: Duration = Duration::from_secs(2);

/// Commands that are run for a while, with everything that they start: dropping it ends them all.
///
/// Each leads a process group, which the kernel ends as a whole, faster than it can fork. Who has left that is found by
/// the tag, which neither a new session nor the loss of its parents takes from it.
#[derive(Debug)]
pub struct Brood {
    tag: Tag,
    /// None is reaped before the end, so that each pid is that of a group which can be signalled.
    children: Vec<Child>,
    /// Processes and threads of the machine, before the first was started.
    before: u64,
    /// Of them, at one time.
    most: u64,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub exit: Option<i32>,
    pub signal: Option<i32>,
}

impl Brood {
    #[must_use]
    pub fn new(most: u64) -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let tag = Tag::of_brood(&format!("{}.{}", std::process::id(), now.as_nanos()));
        Self { tag, children: Vec::new(), before: 0, most }
    }

    /// The child, whose pipes can be taken.
    ///
    /// # Errors
    /// The system's.
    pub fn start(&mut self, command: &mut Command) -> io::Result<&mut Child> {
        if self.children.is_empty() {
            self.before = tasks();
        }
        self.mark(command);
        let child = command.process_group(0).spawn()?;
        self.children.push(child);
        self.children.last_mut().ok_or(io::ErrorKind::NotFound.into())
    }

    /// The new process puts the tag on, and is killed when this one is: nobody would end it then. The kernel holds a
    /// flood up by itself where it does not come from root; for others it is the net below `exceeded`.
    #[expect(unsafe_code, reason = "runs between fork and exec, where little is allowed")]
    fn mark(&self, command: &mut Command) {
        let tag = self.tag;
        let most = self.before + self.most;
        let prepare = move || {
            tag.put_on();
            let limit = getrlimit(Resource::Nproc);
            let hard = limit.maximum.map_or(most, |hard| hard.min(most));
            setrlimit(Resource::Nproc, Rlimit { current: Some(hard), maximum: Some(hard) })?;
            #[cfg(target_os = "linux")]
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        };
        // SAFETY: it does nothing but system calls: no allocation, no lock.
        unsafe { command.pre_exec(prepare) };
    }

    /// How the command that was started last ended, if it does until then.
    pub fn ended(&self, until: Instant) -> Option<Ended> {
        let pid = pid(self.children.last()?)?;
        if let Ok(pinned) = pidfd_open(pid, PidfdFlags::empty()) {
            let left = until.saturating_duration_since(Instant::now());
            // Whatever it says, the next line knows.
            let _ = poll(
                &mut [PollFd::new(&pinned.as_fd(), PollFlags::IN)],
                Some(&Timespec::try_from(left).unwrap_or_default()),
            );
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(pid), options).ok()??;
        Some(Ended { exit: status.exit_status(), signal: status.terminating_signal() })
    }

    /// Whether there are too many of them. Cheap as long as the machine has not many more than before.
    #[must_use]
    pub fn exceeded(&self) -> bool {
        if self.children.is_empty() || tasks() <= self.before + self.most {
            return false;
        }
        // A flood that goes on leaves no time to count it.
        self.signal(Signal::STOP);
        let exceeded = Table::scan().map_or(true, |table| {
            let living = table.processes.iter().filter(|process| !process.dead);
            living.filter(|process| self.is_ours(process.pid)).count() as u64 > self.most
        });
        if !exceeded {
            self.signal(Signal::CONT);
        }
        exceeded
    }

    fn signal(&self, signal: Signal) {
        for child in &self.children {
            // A group that is empty already is what is wanted.
            let _ = pid(child).map(|group| kill_process_group(group, signal));
        }
    }

    /// Ends all of them that still run. Those that became another user's stay.
    pub fn end(&mut self) {
        if self.children.is_empty() {
            return;
        }
        self.signal(Signal::KILL);
        let begun = Instant::now();
        // Whoever is killed forks no more; who was forked during a look is found by the next one.
        while self.kill_each() > 0 && begun.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        for mut child in self.children.drain(..) {
            // Killed above; one that cannot be must not hold us up.
            let _ = child.try_wait();
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
        if !self.is_ours(pid) {
            return None;
        }
        let pinned = pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok()?;
        // The pid may have become another's before it was pinned.
        if !self.is_ours(pid) {
            return None;
        }
        pidfd_send_signal(&pinned, Signal::KILL).ok()
    }

    fn is_ours(&self, pid: u32) -> bool {
        file_locks(pid).and_then(Tag::of_limit) == Some(self.tag)
    }
}

impl Drop for Brood {
    fn drop(&mut self) {
        self.end();
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id().cast_signed())
}

/// Processes and threads of the whole machine (proc_loadavg(5)).
fn tasks() -> u64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let counts = text.split(' ').nth(3).and_then(|counts| counts.split_once('/'));
    counts.and_then(|(_, total)| total.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Stdio;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn whoever_left_session_parents_and_environment_is_ended() {
        let mut brood = Brood::new(1_000);
        let mut command = Command::new("sh");
        command.args(["-c", "(setsid env -i sleep 1000 &) ; sleep 1000 & exit 7"]).stdout(Stdio::piped());
        let mut output = brood.start(&mut command).unwrap().stdout.take().unwrap();
        assert_eq!(brood.ended(soon()), Some(Ended { exit: Some(7), signal: None }));
        brood.end();
        // Both sleepers had it open.
        assert_eq!(output.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn how_a_command_ended_is_known_and_how_many_there_are() {
        let mut brood = Brood::new(1_000);
        brood.start(Command::new("sh").args(["-c", "kill -9 $$"])).unwrap();
        assert_eq!(brood.ended(soon()), Some(Ended { exit: None, signal: Some(9) }));
        assert!(brood.start(&mut Command::new("/nowhere")).is_err());
        brood.start(Command::new("sleep").arg("1000")).unwrap();
        assert_eq!(brood.ended(Instant::now()), None);
        assert!(!brood.exceeded());
        (brood.before, brood.most) = (0, 1);
        assert!(!brood.exceeded());
        brood.most = 0;
        assert!(brood.exceeded());
    }
}
