use std::thread::available_parallelism;

use rustix::thread::{CpuSet, sched_getaffinity};

use crate::base::Cpus;

/// The CPUs that this process may use, by its affinity and its cgroup's quota (which the standard library reads, of both
/// versions of cgroups).
#[must_use]
pub fn cpus() -> Cpus {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let usable = available_parallelism().map_or(1, |number| count(number.get()));
    let allowed = allowed().unwrap_or(usable);
    let online = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    let online = online.and_then(|number| u32::try_from(number).ok()).unwrap_or(allowed);
    Cpus::of(online, allowed, usable)
}

#[cfg(target_os = "linux")]
fn allowed() -> Option<u32> {
    sched_getaffinity(None).ok().map(|set: CpuSet| set.count())
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> Option<u32> {
    None
}
