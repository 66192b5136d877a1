use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::base::{Mono, Now, Wall};

/// The only clock; everything pure is handed its readings.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
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
