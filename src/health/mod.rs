//! Health checks: asks what runs whether it works.
//!
//! One task a check, on the daemon's own loop. It decides when to ask ([`Check::wait_ms`] says how long to wait) and
//! tells what came of it; what follows from that is the state machine's. A check that goes on passing is told of no
//! more: what is well costs the daemon a connection each interval, and nothing else.

mod beats;
mod probe;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use self::beats::Beats;
use self::probe::Peer;
use self::turns::Turn;
use crate::base::{ExitStatus, format_millis};
use crate::supervisor::{Check, Launch, LaunchId, ProbeAsk};

/// What a check has to tell.
#[derive(Debug)]
pub enum Report {
    Probed {
        launch: LaunchId,
        result: Result<(), String>,
    },
    /// A process is to be started, and how it ended to be answered.
    Run {
        of: LaunchId,
        launch: Box<Launch>,
        answer: oneshot::Sender<Result<ExitStatus, String>>,
    },
    /// A worker of Node's cluster is to be asked, and none of the others that listen on this port.
    Reach {
        of: LaunchId,
        port: u16,
        answer: oneshot::Sender<Reached>,
    },
    /// Nobody waits any more for what was started for this launch.
    Abandon {
        of: LaunchId,
    },
}

/// How one process is to be asked.
#[derive(Debug)]
pub enum Reached {
    /// As everybody asks it.
    AsEverybody,
    /// By this connection, which it has taken.
    Own(OwnedFd),
    /// Not at all: it does not listen there, and others do.
    NotThere,
}

/// All checks that are being made.
#[derive(Debug)]
pub struct Prober {
    to_loop: UnboundedSender<Report>,
    tasks: HashMap<LaunchId, JoinHandle<()>>,
    /// From which seconds are counted.
    began: Instant,
    /// There where anything is looked after.
    beats: Option<Beats>,
}

impl Prober {
    #[must_use]
    pub fn new(to_loop: UnboundedSender<Report>) -> Self {
        Self { to_loop, tasks: HashMap::new(), began: Instant::now(), beats: None }
    }

    /// From now on by this check, or none. Must be called on the loop that the checks shall run on.
    pub fn set(&mut self, launch: LaunchId, check: Option<Box<Check>>) {
        if let Some(task) = self.tasks.remove(&launch) {
            task.abort();
            let _ = self.to_loop.send(Report::Abandon { of: launch });
        }
        if let Some(check) = check {
            let beats = self.beats.get_or_insert_with(Beats::start).clone();
            let times = Times { turn: Turn::new(launch, self.tasks.len()), began: self.began, beats };
            let task = look_after(check, times, self.to_loop.clone());
            self.tasks.insert(launch, tokio::spawn(task));
        }
    }
}

/// What checks share that are seconds apart: the daemon is woken once for all who are asked at the same time.
#[derive(Debug)]
struct Times {
    turn: Turn,
    began: Instant,
    beats: Beats,
}

impl Times {
    /// The next one; none where it is asked too often.
    fn next(&self, interval_ms: u64) -> Option<Instant> {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        // The clock has seconds of 64 bits: milliseconds of 64 bits do not reach its end.
        Some(self.began + Duration::from_millis(self.turn.after(now_ms, interval_ms)?))
    }
}

async fn look_after(check: Box<Check>, times: Times, to_loop: UnboundedSender<Report>) {
    let (mut probes, mut passes) = (0_u32, 0_u32);
    let mut ever_passed = false;
    loop {
        match ever_passed.then(|| times.next(check.interval_ms)).flatten() {
            Some(at) => times.beats.until(at).await,
            None => sleep(Duration::from_millis(check.wait_ms(probes, ever_passed))).await,
        }
        probes = probes.wrapping_add(1);
        let result = probed(&check, &to_loop).await;
        let passed = result.is_ok();
        ever_passed |= passed;
        passes = if passed { passes.saturating_add(1) } else { 0 };
        let is_news = !passed || passes <= check.passes_told;
        if is_news && to_loop.send(Report::Probed { launch: check.launch, result }).is_err() {
            return;
        }
    }
}

async fn probed(check: &Check, to_loop: &UnboundedSender<Report>) -> Result<(), String> {
    let ask = async {
        match &check.ask {
            ProbeAsk::Http(url) => {
                let peer = probe::http_peer(url)?;
                probe::http(url, reached(check, &peer, to_loop).await?).await
            }
            ProbeAsk::Tcp(address) => {
                let peer = probe::tcp_peer(address)?;
                probe::tcp(&peer, reached(check, &peer, to_loop).await?).await
            }
            ProbeAsk::Exec(launch) => exec(check.launch, launch, to_loop).await,
        }
    };
    if let Ok(result) = timeout(Duration::from_millis(check.timeout_ms), ask).await {
        return result;
    }
    if matches!(check.ask, ProbeAsk::Exec(_)) {
        let _ = to_loop.send(Report::Abandon { of: check.launch });
    }
    Err(format!("no answer within {}", format_millis(check.timeout_ms)))
}

/// A connection that the process has taken itself, where it shares its port with others and is of this machine.
async fn reached(check: &Check, peer: &Peer<'_>, to_loop: &UnboundedSender<Report>) -> Result<Option<OwnedFd>, String> {
    if !check.worker || !peer.is_local() {
        return Ok(None);
    }
    let (answer, answered) = oneshot::channel();
    let gone = || "the daemon is ending".to_owned();
    to_loop.send(Report::Reach { of: check.launch, port: peer.port, answer }).map_err(|_| gone())?;
    match answered.await.map_err(|_| gone())? {
        Reached::AsEverybody => Ok(None),
        Reached::Own(fd) => Ok(Some(fd)),
        Reached::NotThere => Err(format!("it does not listen on port {}, others of its app do", peer.port)),
    }
}

async fn exec(of: LaunchId, launch: &Launch, to_loop: &UnboundedSender<Report>) -> Result<(), String> {
    let (answer, answered) = oneshot::channel();
    let gone = || "the daemon is ending".to_owned();
    to_loop.send(Report::Run { of, launch: Box::new(launch.clone()), answer }).map_err(|_| gone())?;
    match answered.await.map_err(|_| gone())?? {
        status if status.is_success() => Ok(()),
        status => Err(format!("its command ended: {status}")),
    }
}
