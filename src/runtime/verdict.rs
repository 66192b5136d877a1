//! How a run in the foreground has gone, as one exit code.

use std::collections::BTreeMap;

use super::history::{Entry, What};
use crate::base::{ExitStatus, Signal};

/// Of what failed and nobody can say how.
const UNKNOWN: u8 = 1;

/// What became of the apps, as far as it is for the exit code.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How the last process of each instance ended.
    ended: BTreeMap<(String, Option<u32>), ExitStatus>,
    first: Option<Failure>,
    stopping: bool,
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

    /// Whether something failed for good with this.
    pub fn note(&mut self, entry: &Entry) -> bool {
        let Some(app) = &entry.app else { return false };
        let key = || (app.clone(), entry.slot);
        let code = match &entry.what {
            What::Exited { status, .. } => {
                self.ended.insert(key(), *status);
                return false;
            }
            // Given up on because something outlives SIGKILL: that it was asked to end says nothing of it.
            What::GivenUp { .. } => self.ended.get(&key()).map_or(UNKNOWN, |status| code(*status)),
            What::SpawnFailed { again_ms: None, .. } => UNKNOWN,
            What::Killed { .. } if self.stopping => killed(),
            _ => return false,
        };
        self.first.get_or_insert_with(|| Failure { app: app.clone(), slot: entry.slot, code });
        true
    }

    /// All that was left was killed, because it was to be over.
    pub fn cut_short(&mut self) {
        self.first.get_or_insert_with(|| Failure { app: String::new(), slot: None, code: killed() });
    }

    /// Whoever failed first.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.first.as_ref().filter(|failure| !failure.app.is_empty())
    }

    #[must_use]
    pub fn code(&self) -> u8 {
        self.first.as_ref().map_or(0, |failure| failure.code)
    }
}

/// Never 0, whatever it ended with: an app that ends at once, again and again, fails with success.
fn code(status: ExitStatus) -> u8 {
    let code = match status {
        ExitStatus::Code(code) => u8::try_from(code).unwrap_or(UNKNOWN),
        ExitStatus::Signal(signal) => of_signal(signal),
        ExitStatus::OutOfMemory(_) => killed(),
        ExitStatus::Unknown => UNKNOWN,
    };
    code.max(UNKNOWN)
}

fn of_signal(signal: i32) -> u8 {
    u8::try_from(128_i32.saturating_add(signal)).unwrap_or(UNKNOWN)
}

fn killed() -> u8 {
    of_signal(Signal::KILL.number())
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
        check(&[("a", What::Killed { after_ms: 1 })], 0);
        check(&[("a", What::Stopping { why: Why::Signal }), ("a", What::Killed { after_ms: 1 })], 137);
    }
}
