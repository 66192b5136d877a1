//! Places where tests have the daemon die as if it were killed there: what was done before stays done, and nothing
//! else is. Only debug builds have them.
//!
//! `PMRUN_FAULT` names a file with a number; the daemon that takes the file away dies when it has come to so many places.
//! So one daemon dies once, and the one that follows does not. It lives where the number is 0,
//! and has its keeper die first where `keeper` follows the number.

/// A place.
#[inline]
pub fn fault_point() {
    #[cfg(debug_assertions)]
    armed::passed();
}

#[cfg(debug_assertions)]
mod armed {
    use std::fs::{read_to_string, remove_file};
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use rustix::process::{Pid, Signal, getpid, getppid, kill_process};

    static FILE: LazyLock<Option<PathBuf>> = LazyLock::new(|| Some(std::env::var_os("PMRUN_FAULT")?.into()));
    /// None is 0.
    static LEFT: AtomicU64 = AtomicU64::new(0);
    static KEEPER: AtomicBool = AtomicBool::new(false);

    pub(super) fn passed() {
        let Some(file) = &*FILE else { return };
        let left = taken(file).unwrap_or_else(|| LEFT.load(Ordering::Relaxed));
        if left == 1 {
            if KEEPER.load(Ordering::Relaxed) {
                let _ = getppid().filter(|pid| is_keeper(*pid)).map(kill);
            }
            let _ = kill(getpid());
        }
        LEFT.store(left.saturating_sub(1), Ordering::Relaxed);
    }

    fn taken(file: &std::path::Path) -> Option<u64> {
        let text = read_to_string(file).ok()?;
        let mut words = text.split_whitespace();
        let places = words.next()?.parse().ok()?;
        remove_file(file).ok()?;
        KEEPER.store(words.next() == Some("keeper"), Ordering::Relaxed);
        Some(places)
    }

    fn is_keeper(pid: Pid) -> bool {
        let comm = read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
        comm.is_ok_and(|comm| comm.trim_end() == "pmrun: keeper")
    }

    fn kill(pid: Pid) -> rustix::io::Result<()> {
        kill_process(pid, Signal::KILL)
    }
}
