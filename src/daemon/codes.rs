//! Looks at the code of what is started: a process runs what is on disk then, whatever it was when its app was applied.
//!
//! All that was started while a thread was looking is looked at by the next one together, so that no storm of restarts has
//! more than one thread at work, nor an app with many instances looked at more than once. The loop waits for no disk, and
//! nothing is there while nothing is started.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::log;
use crate::config::Digests;
use crate::platform::reason;
use crate::runtime::Input;
use crate::spec::{AppSpec, Fingerprint};
use crate::supervisor::LaunchId;

type Started = (LaunchId, Arc<AppSpec>);

#[derive(Debug)]
pub(super) struct Codes {
    to_loop: UnboundedSender<Looked>,
    /// To be looked at when they are started.
    coming: HashMap<LaunchId, Arc<AppSpec>>,
    started: Vec<Started>,
    /// None while a thread has them.
    digests: Option<Digests>,
}

/// What a thread has found.
#[derive(Debug)]
pub(super) struct Looked {
    digests: Digests,
    /// Of those that run something else than was known.
    others: Vec<(Started, Fingerprint)>,
}

impl Codes {
    pub(super) fn new(to_loop: UnboundedSender<Looked>) -> Self {
        Self { to_loop, coming: HashMap::new(), started: Vec::new(), digests: Some(Digests::default()) }
    }

    pub(super) fn expect(&mut self, launch: LaunchId, of: Arc<AppSpec>) {
        self.coming.insert(launch, of);
    }

    /// Its process is there, or there will be none.
    pub(super) fn spawned(&mut self, launch: LaunchId, is_there: bool) {
        let of = self.coming.remove(&launch);
        self.started.extend(of.filter(|_| is_there).map(|of| (launch, of)));
    }

    /// Has a thread look at those that were started, where none looks yet.
    pub(super) fn look(&mut self) {
        if self.started.is_empty() {
            return;
        }
        let Some(digests) = self.digests.take() else { return };
        let (started, to_loop) = (std::mem::take(&mut self.started), self.to_loop.clone());
        let work = move || {
            // Nobody hears it any more when the daemon ends.
            let _ = to_loop.send(look_at(started, digests));
        };
        let thread = std::thread::Builder::new().name("code".to_owned()).stack_size(512 << 10);
        if let Err(error) = thread.spawn(work) {
            log::line(format_args!(
                "cannot look at the code of what was started: {}; it counts as it was applied",
                reason(&error)
            ));
            self.digests = Some(Digests::default());
        }
    }

    pub(super) fn heard(&mut self, looked: Looked) -> impl Iterator<Item = Input> + use<> {
        self.digests = Some(looked.digests);
        self.look();
        looked.others.into_iter().map(|((launch, of), found)| Input::Code { launch, of, found })
    }
}

fn look_at(started: Vec<Started>, mut digests: Digests) -> Looked {
    let mut last: Option<(Arc<AppSpec>, Fingerprint)> = None;
    let mut others = Vec::new();
    for (launch, of) in started {
        let found = match last.take() {
            Some((same, found)) if Arc::ptr_eq(&same, &of) => found,
            _ => digests.look(&of),
        };
        if found != of.fingerprint {
            others.push(((launch, Arc::clone(&of)), found.clone()));
        }
        last = Some((of, found));
    }
    Looked { digests, others }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn what_is_started_meanwhile_is_looked_at_together_and_only_what_differs_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("a.js");
        std::fs::write(&script, "new").unwrap();
        let app = |name: &str, known: &str| {
            let mut spec = AppSpec::new(name, script.to_str().unwrap(), folder.path().to_str().unwrap());
            spec.fingerprint.0.insert("a.js".to_owned(), known.to_owned());
            Arc::new(spec)
        };
        let (old, same) = (app("old", "old"), app("same", &crate::base::sha256_hex(b"new")));
        let (to_loop, mut from_codes) = unbounded_channel();
        let mut codes = Codes::new(to_loop);
        for number in 1..=200 {
            let launch = LaunchId(number);
            codes.expect(launch, Arc::clone(if number % 2 == 0 { &old } else { &same }));
            codes.spawned(launch, number != 200);
            codes.look();
        }
        let mut told = Vec::new();
        for left in [199 - 1, 0] {
            let looked = from_codes.blocking_recv().unwrap();
            assert_eq!(codes.started.len(), left);
            told.extend(codes.heard(looked));
        }
        assert!(from_codes.try_recv().is_err() && codes.coming.is_empty() && codes.started.is_empty());
        assert_eq!(told.len(), 99);
        assert!(told.iter().all(|input| matches!(input, Input::Code { of, .. } if of.name == "old")));
    }
}
