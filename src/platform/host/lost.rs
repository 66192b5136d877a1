//! Sockets that were lost with daemon and keeper together. The processes that serve there have them still, and with a copy of them
//! nobody who waits in one is cut off when its process is relieved.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, getsockname, sockopt};
use rustix::process::{ForeignRawFd, PidfdGetfdFlags, pidfd_getfd};

use super::Host;
use super::clustered::{Member, endpoint};
use super::running::Running;
use crate::node::{Endpoint, Family, Share};
use crate::platform::connections::sockets_of;
use crate::spec::{Listener, Runtime};
use crate::supervisor::{Launch, LaunchId};

/// What is passed begins here: `SD_LISTEN_FDS_START` of sd_listen_fds(3).
const FIRST_PASSED: i32 = 3;
/// Servers open what they listen on before anybody connects: it is among the first.
const LOOKED_AT_MAX: usize = 1024;

impl Host {
    /// Who has said that it listens on what an earlier daemon has opened for it. To be said before [`Self::adopt`].
    pub fn hear_who_listened(&mut self, launches: HashSet<LaunchId>) {
        self.listened = launches;
    }

    /// Goes on with what a process has, where nothing of its app has come down. That takes what ptrace(2) takes: root, or the same
    /// user where `kernel.yama.ptrace_scope` is 0. Without it, it is as if there were none.
    pub(super) fn find_lost(&mut self, launch: &Launch) {
        let Some(running) = self.running.get(&launch.id) else { return };
        let Some(Member { app, worker, asks, .. }) = running.member.clone() else { return };
        if self.come_down.contains(&app) {
            return;
        }
        let passed = passed_to(running, &launch.listen).map(|(endpoint, fd)| (endpoint, fd, true));
        // Others have opened what they listen on themselves. Bun's are its own, and Deno has none.
        let has_asked = asks && self.listened.contains(&launch.id);
        let asked = has_asked && !matches!(Runtime::of(&launch.program), Some(Runtime::Bun | Runtime::Deno));
        let asked = asked.then(|| listened_on_by(running, worker.share)).into_iter().flatten();
        let found: Vec<_> = passed.chain(asked.map(|(endpoint, fd)| (endpoint, fd, false))).collect();
        for (endpoint, fd, passed) in found {
            let number = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| stat.st_ino).ok();
            let own = number(&fd);
            let is_same = |other: &Arc<OwnedFd>| number(other) == own;
            let primary = self.clusters.entry(app.clone()).or_default();
            let kept = primary.found(worker, endpoint, passed, Arc::new(fd), is_same);
            self.found.extend(kept.map(|kept| (app.clone(), kept)));
        }
    }
}

fn copy(running: &Running, fd: i32) -> Option<OwnedFd> {
    let foreign: ForeignRawFd = fd;
    pidfd_getfd(running.pidfd.as_fd(), foreign, PidfdGetfdFlags::empty()).ok()
}

/// Where they were when it was started, as long as they are that still.
fn passed_to(running: &Running, listen: &[String]) -> impl Iterator<Item = (Endpoint, OwnedFd)> {
    let listeners = listen.iter().map(|text| text.parse::<Listener>().ok());
    let numbered = (FIRST_PASSED..).zip(listeners);
    numbered.filter_map(|(number, listener)| {
        let wanted = endpoint(&listener?);
        let fd = copy(running, number)?;
        let is_it = match local(&fd)? {
            Local::Unix(path) => wanted.address.as_ref() == Some(&path),
            Local::Inet(at) => at.port() == wanted.port && wanted.family != Family::Unix,
        };
        is_it.then_some((wanted, fd))
    })
}

/// As node asks for it.
fn listened_on_by(running: &Running, share: Share) -> impl Iterator<Item = (Endpoint, OwnedFd)> {
    sockets_of(running.pid).take(LOOKED_AT_MAX).filter_map(move |number| {
        let fd = copy(running, number)?;
        let listens = sockopt::socket_acceptconn(&fd).is_ok_and(|listens| listens);
        let at = listens.then(|| local(&fd)).flatten()?;
        // What is for one slot has others beside it. The rest is of a port that was yet to be found, or what a worker has opened
        // itself.
        let is_for_slot = matches!(at, Local::Inet(_)) && share == Share::BySlot;
        if is_for_slot && !sockopt::socket_reuseport(&fd).is_ok_and(|is_set| is_set) {
            return None;
        }
        let of = |family, address: String| Endpoint::new(family, Some(address));
        let endpoint = match at {
            Local::Unix(path) => of(Family::Unix, path),
            Local::Inet(SocketAddr::V4(at)) => Endpoint { port: at.port(), ..of(Family::Tcp4, at.ip().to_string()) },
            Local::Inet(SocketAddr::V6(at)) => {
                let ipv6_only = sockopt::ipv6_v6only(&fd).is_ok_and(|only| only);
                // Of any address IPv4 is part.
                if at.ip().is_unspecified() && !ipv6_only {
                    Endpoint { port: at.port(), ..Endpoint::new(Family::Tcp4, None) }
                } else {
                    Endpoint { port: at.port(), ipv6_only, ..of(Family::Tcp6, at.ip().to_string()) }
                }
            }
        };
        Some((endpoint, fd))
    })
}

enum Local {
    Inet(SocketAddr),
    Unix(String),
}

fn local(fd: &OwnedFd) -> Option<Local> {
    let address: SocketAddrAny = getsockname(fd).ok()?;
    match address.address_family() {
        AddressFamily::UNIX => {
            let path = SocketAddrUnix::try_from(address).ok()?;
            Some(Local::Unix(path.path()?.to_str().ok()?.to_owned()))
        }
        _ => SocketAddr::try_from(address).ok().map(Local::Inet),
    }
}
