use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

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

/// Comes at a time of the wall clock; also whenever that is set, and when the machine wakes up: whoever waits for a
/// time must look at the clock anew then.
#[derive(Debug)]
pub struct Alarm {
    fd: OwnedFd,
    armed: Option<Wall>,
}

impl Alarm {
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { fd, armed: None })
    }

    /// True when the clock was set just now, so that nothing can be said of a time.
    #[must_use]
    pub fn set(&mut self, at: Option<Wall>) -> bool {
        if at == self.armed {
            return false;
        }
        self.armed = at;
        // All zeros is no time at all.
        let at = at.map_or_else(Timespec::default, |at| Timespec {
            tv_sec: i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at.0 % 1_000 * 1_000_000).unwrap_or(0).max(1),
        });
        let value = Itimerspec { it_interval: Timespec::default(), it_value: at };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        let was_set = matches!(timerfd_settime(&self.fd, flags, &value), Err(Errno::CANCELED));
        if was_set {
            self.armed = None;
        }
        was_set
    }

    /// To be called when it has come.
    pub fn take(&mut self) {
        let mut count = [0; 8];
        // The count, ECANCELED when the clock was set, or nothing yet: all is the same to who looks at the clock.
        let _ = rustix::io::read(&self.fd, &mut count);
        self.armed = None;
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Comes once, a while after it was set. Of its own, where the runtime's timers, which lie in wheels of 64 slots, would wake a
/// thread that sleeps for seconds two or three times for each: whenever a wheel has turned.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
}

impl Timer {
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { fd: timerfd_create(TimerfdClockId::Monotonic, flags)? })
    }

    /// What it was set to before counts no more, and whether that has come.
    pub fn set(&self, after: Duration) {
        // All zeros is no time at all.
        let after = after.max(Duration::from_nanos(1));
        let it_value = Timespec::try_from(after).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        let value = Itimerspec { it_interval: Timespec::default(), it_value };
        // Of a timer that is there and a time that is one nothing can be wrong.
        let _ = timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &value);
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A time zone by its IANA name, or the machine's own; none where the system does not know it.
#[must_use]
pub fn time_zone(name: Option<&str>) -> Option<TimeZone> {
    match name {
        Some("UTC") => Some(TimeZone::UTC),
        Some(name) => TimeZone::get(name).ok(),
        None => Some(TimeZone::system()),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn comes_within(alarm: &Alarm, seconds: i64) -> bool {
        let mut fds = [PollFd::new(alarm, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn the_alarm_comes_at_its_time_and_at_once_when_that_is_over() {
        let clock = Clock::start();
        let mut alarm = Alarm::new().unwrap();
        assert!(!comes_within(&alarm, 0));
        let at = Wall(clock.now().wall.0 + 20);
        assert!(!alarm.set(Some(at)));
        assert!(comes_within(&alarm, 10) && clock.now().wall >= at);
        alarm.take();
        assert!(!comes_within(&alarm, 0));
        for over in [at, Wall(0)] {
            assert!(!alarm.set(Some(over)) && comes_within(&alarm, 10), "{over:?}");
            alarm.take();
        }
        assert!(!alarm.set(Some(Wall(u64::MAX))) && !alarm.set(None) && !comes_within(&alarm, 0));
    }

    #[test]
    fn zones_are_known_by_name() {
        assert!(time_zone(None).is_some() && time_zone(Some("UTC")).is_some());
        assert!(time_zone(Some("Mars/Olympus")).is_none() && time_zone(Some("../UTC")).is_none());
    }
}
