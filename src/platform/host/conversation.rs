//! What is said to processes that run, and what they have said.

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Host;
use crate::platform::stdin;
use crate::supervisor::LaunchId;

impl Host {
    /// Writes to its standard input, all of it or nothing.
    ///
    /// # Errors
    /// In words.
    pub fn feed(&self, launch: LaunchId, text: &str) -> Result<(), String> {
        let Some(running) = self.running.get(&launch) else { return Err("it does not run".to_owned()) };
        // As long as it has not ended its pid is its own.
        let runs = || {
            let mut ended = [PollFd::new(&running.pidfd, PollFlags::IN)];
            matches!(poll(&mut ended, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
        };
        stdin::write(running.pid, text.as_bytes(), runs)
    }
}
