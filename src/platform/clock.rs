use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::base::{Mono, Now, Wall};

/// The only clock; everything pure is handed its readings. It begins when the machine did: what an earlier daemon started
/// has run for longer than this one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    #[must_use]
    pub fn start() -> Self {
        let now = Instant::now();
        let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let uptime = Duration::try_from(uptime).unwrap_or_default();
        Self { start: now.checked_sub(uptime).unwrap_or(now) }
    }

    #[must_use]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: Mono(millis(self.start.elapsed())), wall: Wall(millis(wall)) }
    }

    /// When a reading of this clock will be, or was.
    #[must_use]
    pub fn instant(&self, mono: Mono) -> Instant {
        // Far beyond any uptime is as good as never, and cannot overflow.
        self.start + Duration::from_millis(mono.0.min(1 << 42))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
