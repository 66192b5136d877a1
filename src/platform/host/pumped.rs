//! Output that passes through the log process: handing it over, and starting another when that one ends.

use std::time::Duration;

use super::{Host, Key};
use crate::platform::piped::Piped;
use crate::platform::pump::Ended;
use crate::platform::{pump, reason};
use crate::spec::Rotation;
use crate::supervisor::{Launch, LaunchId};

/// When it could not be started.
const UNTIL_TRIED_AGAIN: Duration = Duration::from_secs(10);

impl Host {
    pub(super) fn pump_out(&mut self, piped: Option<&Piped>) -> Result<(), String> {
        let Some(Piped { order, pipes }) = piped else { return Ok(()) };
        if self.pump.send(order, pipes).map_err(|error| pump::explain(&error))? {
            self.watch_pump();
        }
        Ok(())
    }

    /// When its logs are rotated from now on, where its lines pass through the log process.
    pub fn set_rotation(&mut self, launch: LaunchId, rotation: &Rotation) {
        let Some(running) = self.running.get_mut(&launch) else { return };
        let Some(mut piped) = running.piped.take() else { return };
        piped.order.rotation = Some(rotation.clone());
        if let Err(problem) = self.pump_out(Some(&piped)) {
            self.notice(problem);
        }
        if let Some(running) = self.running.get_mut(&launch) {
            running.piped = Some(piped);
        }
    }

    /// The log process goes on with them in any case; should it end, they are kept.
    pub(super) fn take_over_pipes(&mut self, launch: &Launch, pid: u32) -> Option<Piped> {
        let piped = Piped::of_survivor(launch, pid);
        if let Err(problem) = self.pump_out(piped.as_ref()) {
            self.notice(problem);
        }
        piped
    }

    /// While anybody waits for what they write to be read, there has to be somebody who reads it.
    pub(super) fn pump_ended(&mut self) {
        let ended = self.pump.ended();
        if ended == Ended::Not || self.running.values().all(|running| running.piped.is_none()) {
            return;
        }
        match ended {
            Ended::Later(pause) => {
                self.notice(format!(
                    "the log process ends again and again; it is started anew in {} s, and who writes to it waits",
                    pause.as_secs()
                ));
                return self.pump_later(pause);
            }
            Ended::Now => self.notice("the log process has ended".to_owned()),
            Ended::Waited | Ended::Not => {}
        }
        let mut running = std::mem::take(&mut self.running);
        for piped in running.values().filter_map(|running| running.piped.as_ref()) {
            if let Err(problem) = self.pump_out(Some(piped)) {
                self.notice(problem);
                self.pump_later(UNTIL_TRIED_AGAIN);
                break;
            }
        }
        std::mem::swap(&mut self.running, &mut running);
    }

    fn pump_later(&mut self, pause: Duration) {
        let data = rustix::event::epoll::EventData::new_u64(Key::Pump.encode());
        let watched = self
            .pump
            .wait(pause)
            .and_then(|timer| Ok(super::epoll::add(&self.epoll, timer, data, super::epoll::EventFlags::IN)?));
        if let Err(error) = watched {
            self.notice(format!("the log process is not started anew before the next app is: {}", reason(&error)));
        }
    }

    /// The process has ended; what its descendants write is read all the same.
    pub(super) fn pump_released(&mut self) {
        if self.running.values().all(|running| running.piped.is_none()) {
            self.pump.release();
        }
    }

    fn watch_pump(&mut self) {
        let Some(link) = self.pump.fd() else { return };
        let (data, flags) =
            (rustix::event::epoll::EventData::new_u64(Key::Pump.encode()), super::epoll::EventFlags::IN);
        if let Err(error) = super::epoll::add(&self.epoll, link, data, flags) {
            let error = error.into();
            self.notice(format!("cannot watch the log process: {}", reason(&error)));
        }
    }
}
