use super::{Effect, Input, State};
use crate::base::{Mono, Now};
use crate::supervisor::Layout;

/// The daemon's whole state and every decision it makes.
#[derive(Debug)]
pub struct Core;

/// A process of an earlier daemon that is still there when a new one starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// What events about it will name; new launches count up from above the highest of these.
    pub launch: crate::supervisor::LaunchId,
    pub instance: crate::base::InstanceId,
    pub pid: u32,
    /// [`super::spec_digest`] of what it was started from, by its own marker.
    pub spec_digest: String,
    pub started_at_ms: u64,
}

impl Core {
    /// Takes up what an earlier daemon left: survivors are adopted, what should run and does not is started.
    #[must_use]
    pub fn restore(_state: State, _survivors: Vec<Survivor>, _layout: Layout, _now: Now) -> (Self, Vec<Effect>) {
        unimplemented!()
    }

    pub fn handle(&mut self, _input: Input, _now: Now) -> Vec<Effect> {
        unimplemented!()
    }

    /// When `Tick` is wanted next. Nothing is armed while nothing is waited for.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        unimplemented!()
    }
}
