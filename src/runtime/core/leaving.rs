//! What was being stopped for good when the daemon before was killed. Its app, or its slot, is known no more; it is given its time
//! all the same.

use super::Core;
use crate::base::{Now, Signal};
use crate::runtime::standing::Farewell;
use crate::runtime::{Effect, Leaving};
use crate::supervisor::LaunchId;

/// Between being asked to end and being killed: what its app had asked for went with its record. This is the default.
const KILL_TIMEOUT_MS: u64 = 1_600;
/// How long a command waits for what was killed.
const PATIENCE_MS: u64 = 5_000;

impl Core {
    pub(super) fn see_off(&mut self, leaving: Vec<Leaving>, now: Now, out: &mut Vec<Effect>) {
        self.leaving = leaving;
        for leaving in &mut self.leaving {
            out.push(Effect::Await { launch: leaving.launch, tree: true });
            if leaving.next == Farewell::AskNow {
                leaving.deadline = now.mono;
            }
        }
        self.hurry(now, out);
    }

    /// Whether it was one of them.
    pub(super) fn has_left(&mut self, launch: LaunchId) -> bool {
        let count = self.leaving.len();
        self.leaving.retain(|leaving| leaving.launch != launch);
        self.leaving.len() < count
    }

    /// Goes on with those whose time is over.
    pub(super) fn hurry(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.leaving.retain_mut(|leaving| {
            let Leaving { launch, deadline, next } = *leaving;
            if deadline > now.mono {
                return true;
            }
            let (then, after_ms) = match next {
                Farewell::AskNow | Farewell::Ask => {
                    out.push(Effect::Stop { launch, signal: Signal::INT, tree: true });
                    (Farewell::Kill, KILL_TIMEOUT_MS)
                }
                Farewell::Kill => {
                    out.push(Effect::Kill { launch, tree: true });
                    (Farewell::Forget, PATIENCE_MS)
                }
                Farewell::Forget => return false,
            };
            *leaving = Leaving { launch, deadline: now.mono.plus_ms(after_ms), next: then };
            true
        });
    }
}
