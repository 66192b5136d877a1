//! How a run in the foreground has gone, as one exit code.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Entry, What};
use crate::base::{ExitStatus, Signal};

/// Of what failed and nobody can say how.
const UNKNOWN: u8 = 1;

/// What became of the apps, as far as it is for the exit code.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How the last process of each instance ended.
    ended: BTreeMap<(String, Option<u32>), ExitStatus>,
    /// Who was killed before its first process had ended as it was asked to.
    killed: BTreeSet<(String, Option<u32>)>,
    first: Option<Failure>,
    stopping: bool,
    killing: bool,
}

/// An app that failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub app: String,
    pub slot: Option<u32>,
    /// As a shell has it: the app's own, or 128 and its signal.
    pub code: u8,
}

impl Verdict {
    /// Everything was asked to end: what has to be killed from now on has failed at that.
    pub fn stops(&mut self) {
        self.stopping = true;
    }

    /// All that is left is killed.
    pub fn kills(&mut self) {
        self.killing = true;
    }

    /// Whether something failed for good with this.
    pub fn note(&mut self, entry: &Entry) -> bool {
        let Some(app) = &entry.app else { return false };
        let key = (app.clone(), entry.slot);
        let code = match &entry.what {
            What::Exited { status, asked, .. } => {
                let was_killed = self.killed.remove(&key) || self.killing && status_is_kill(*status);
                self.ended.insert(key, *status);
                if !(self.stopping && *asked && was_killed) {
                    return false;
                }
                of_signal(Signal::KILL.number())
            }
            // That its children had to be killed after it says nothing of it.
            What::Killed { remains: true, .. } => return false,
            What::Killed { .. } => {
                self.killed.insert(key);
                return false;
            }
            What::Started { .. } => {
                self.killed.remove(&key);
                return false;
            }
            What::GivenUp { .. } => self.ended.get(&key).map_or(UNKNOWN, |status| code(*status)),
            What::SpawnFailed { again_ms: None, .. } => UNKNOWN,
            _ => return false,
        };
        self.first.get_or_insert_with(|| Failure { app: app.clone(), slot: entry.slot, code });
        true
    }

    /// Whoever failed first.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.first.as_ref()
    }

    #[must_use]
    pub fn code(&self) -> u8 {
        self.first.as_ref().map_or(0, |failure| failure.code)
    }
}

fn status_is_kill(status: ExitStatus) -> bool {
    status == ExitStatus::Signal(Signal::KILL.number())
}

/// Never 0, whatever it ended with: an app that ends at once, again and again, fails with success.
fn code(status: ExitStatus) -> u8 {
    let code = match status {
        ExitStatus::Code(code) => u8::try_from(code).unwrap_or(UNKNOWN),
        ExitStatus::Signal(signal) => of_signal(signal),
        ExitStatus::OutOfMemory(_) => of_signal(Signal::KILL.number()),
        ExitStatus::Unknown => UNKNOWN,
    };
    code.max(UNKNOWN)
}

fn of_signal(signal: i32) -> u8 {
    u8::try_from(128_i32.saturating_add(signal)).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{InstanceId, Now, Shortage};
    use crate::runtime::history::Why;

    fn check(events: &[(&str, What)], want: u8) {
        let mut verdict = Verdict::default();
        for (app, what) in events {
            if let What::Stopping { .. } = what {
                verdict.stops();
            }
            verdict.note(&Entry::of_instance(&InstanceId::new(*app, 0), what.clone(), Now::default()));
        }
        assert_eq!(verdict.code(), want, "{events:?}");
    }

    #[test]
    fn the_first_that_failed_for_good_says_the_code() {
        let ended = |status| What::Exited { status, after_ms: None, asked: false };
        let given_up = || What::GivenUp { reason: "x".into() };
        let failed = |again_ms| What::SpawnFailed { reason: "x".into(), again_ms };
        let code = ExitStatus::Code;
        check(&[], 0);
        check(&[("a", ended(code(0))), ("a", What::Completed { status: code(0) })], 0);
        check(&[("a", ended(code(3)))], 0);
        check(&[("a", ended(code(3))), ("b", ended(code(4))), ("b", given_up()), ("a", given_up())], 4);
        check(&[("a", ended(ExitStatus::Signal(9))), ("a", given_up())], 137);
        check(&[("a", ended(ExitStatus::OutOfMemory(Shortage::Above))), ("a", given_up())], 137);
        check(&[("a", ended(code(0))), ("a", given_up())], 1);
        check(&[("a", failed(Some(5)))], 0);
        check(&[("a", failed(None))], 1);
    }

    #[test]
    fn who_did_not_end_as_asked_has_failed_at_that() {
        let stopping = || ("a", What::Stopping { why: Why::Signal, remains: false });
        let killed = || ("a", What::Killed { after_ms: 1, remains: false });
        let ended = |status| ("a", What::Exited { status, after_ms: None, asked: true });
        let kill = || ended(ExitStatus::Signal(9));
        // In a restart that somebody asked for.
        check(&[killed(), kill()], 0);
        check(&[stopping(), killed(), kill()], 137);
        // Only what it left behind.
        check(&[stopping(), ended(ExitStatus::Signal(2)), killed()], 0);
        // By somebody else.
        check(&[stopping(), kill()], 0);
        let mut verdict = Verdict::default();
        verdict.stops();
        verdict.kills();
        verdict.note(&Entry::of_instance(&InstanceId::new("a", 0), kill().1, Now::default()));
        assert_eq!(verdict.code(), 137);
    }
}
