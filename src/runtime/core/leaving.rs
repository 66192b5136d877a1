//! What was being stopped for good when the daemon before was killed. Its app, or its slot, is known no more; it is given its time
//! all the same.

use super::Core;
use crate::base::{Now, Signal};
use crate::runtime::{Effect, Leaving};
use crate::supervisor::LaunchId;

/// Between being asked to end and being killed: what its app had asked for went with its record. This is the default.
const KILL_TIMEOUT_MS: u64 = 1_600;

impl Core {
    pub(super) fn see_off(&mut self, leaving: Vec<Leaving>, out: &mut Vec<Effect>) {
        out.extend(leaving.iter().map(|leaving| Effect::Await { launch: leaving.launch, tree: true }));
        self.leaving = leaving;
    }

    /// Whether it was one of them.
    pub(super) fn has_left(&mut self, launch: LaunchId) -> bool {
        let count = self.leaving.len();
        self.leaving.retain(|leaving| leaving.launch != launch);
        self.leaving.len() < count
    }

    /// Those whose time is over.
    pub(super) fn hurry(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.leaving.retain_mut(|leaving| {
            let launch = leaving.launch;
            if leaving.deadline > now.mono {
                return true;
            }
            if !std::mem::take(&mut leaving.untold) {
                out.push(Effect::Kill { launch, tree: true });
                return false;
            }
            out.push(Effect::Stop { launch, signal: Signal::INT, tree: true });
            leaving.deadline = now.mono.plus_ms(KILL_TIMEOUT_MS);
            true
        });
    }
}
