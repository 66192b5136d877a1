//! What is said to processes that run, and what they have said.

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use serde_json::Value;

use super::Host;
use crate::base::{Offer, Offers};
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

    /// Sends it a message over Node's channel.
    ///
    /// # Errors
    /// In words.
    pub fn message(&mut self, launch: LaunchId, message: &Value) -> Result<(), String> {
        let Some(running) = self.running.get_mut(&launch) else { return Err("it does not run".to_owned()) };
        let Some(channel) = &mut running.channel else {
            return Err("it has no channel for messages, or has closed it".to_owned());
        };
        if !channel.tell(message) {
            return Err("it does not read its channel".to_owned());
        }
        self.flush_channel(launch);
        Ok(())
    }

    /// What it has said of itself. None where it may have said that to an earlier daemon.
    #[must_use]
    pub fn offers(&self, launch: LaunchId) -> Option<Offers> {
        let running = self.running.get(&launch)?;
        match &running.offers {
            Some(offers) => Some((**offers).clone()),
            None => running.is_fresh().then(Offers::default),
        }
    }

    /// From now on, or no longer, what apps say to whoever listens comes as an event.
    pub fn heed(&mut self, heeds: bool) {
        self.heeds = heeds;
    }

    pub(super) fn take_offer(&mut self, launch: LaunchId, offer: Offer) {
        if let Some(running) = self.running.get_mut(&launch) {
            running.offers.get_or_insert_default().take(offer);
        }
    }
}
