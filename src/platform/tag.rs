use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::procfs::MARK_LIST_ID;
use crate::base::sha256_hex;
use crate::supervisor::Launch;

/// What a process and all that descend from it cannot lose by accident: neither with their environment, nor with
/// their session, parents and files.
///
/// It is the soft limit of file locks, `RLIMIT_LOCKS`: inherited by fork and kept by exec, shown to everybody in
/// `/proc/PID/limits`, and without any meaning since Linux 2.4.25 (getrlimit(2)). Lost only by setting that very limit
/// (`ulimit -x`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tag {
    /// Of the path of `PMRUN_HOME`; 21 bits, so that two homes of one user differ but for one case in two million.
    home: u64,
    /// The instance, as `list` numbers them, in 17 bits, so that only what 131072 numbers lie between looks the same; and one
    /// for the second name of its slot.
    pub(super) list_id: u64,
    /// Of the value of `PMRUN_LAUNCH`; 24 bits.
    pub(super) launch: u64,
}

/// No path.
const NO_HOME: &str = "no home";
const HOME_BITS: u32 = 21;
const LIST_BITS: u32 = 18;
const LAUNCH_BITS: u32 = 24;

impl Tag {
    pub(super) fn new(launch: &Launch, home: &str, mark: &str) -> Self {
        Self { home: home_bits(home), list_id: list_bits(launch), launch: launch_bits(mark) }
    }

    /// Of commands that no daemon knows of.
    pub(super) fn of_brood(name: &str) -> Self {
        Self { home: home_bits(NO_HOME), list_id: digest_bits(name, LIST_BITS), launch: launch_bits(name) }
    }

    pub(super) fn is_of_brood(self) -> bool {
        self.home == home_bits(NO_HOME)
    }

    /// Of any launch of this home.
    pub(super) fn is_of(self, home: &str) -> bool {
        self.home == home_bits(home)
    }

    /// Runs `inside` with the tag on this process: what it starts inherits it.
    pub(super) fn on<T>(self, inside: impl FnOnce() -> T) -> T {
        let untagged = getrlimit(Resource::Locks);
        self.put_on();
        let result = inside();
        let _ = setrlimit(Resource::Locks, untagged);
        result
    }

    /// For the rest of this process's life.
    pub(super) fn put_on(self) {
        let untagged = getrlimit(Resource::Locks);
        // Fails where somebody made a limit of it; orphans are then known by what they have kept.
        let _ = setrlimit(Resource::Locks, Rlimit { current: Some(self.bits()), maximum: untagged.maximum });
    }

    /// Below 2^63: the highest values mean that there is no limit.
    pub(super) fn bits(self) -> u64 {
        (self.home << (LIST_BITS + LAUNCH_BITS)) | (self.list_id << LAUNCH_BITS) | self.launch
    }

    /// None where the limit was never one of ours.
    pub(super) fn of_limit(limit: u64) -> Option<Self> {
        let home = limit >> (LIST_BITS + LAUNCH_BITS);
        let list_id = (limit >> LAUNCH_BITS) & mask(LIST_BITS);
        (home <= mask(HOME_BITS)).then_some(Self { home, list_id, launch: limit & mask(LAUNCH_BITS) })
    }
}

/// A daemon that is started by an app is not a part of it.
pub(super) fn take_off() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Locks);
    let _ = setrlimit(Resource::Locks, Rlimit { current: maximum, maximum });
}

/// [`Tag::launch`] of a value of `PMRUN_LAUNCH`.
pub(super) fn launch_bits(mark: &str) -> u64 {
    digest_bits(mark, LAUNCH_BITS)
}

/// [`Tag::list_id`] of a launch.
pub(super) fn list_bits(launch: &Launch) -> u64 {
    let number: u64 = launch.env.get(MARK_LIST_ID).and_then(|id| id.parse().ok()).unwrap_or(0) & mask(LIST_BITS - 1);
    number | u64::from(launch.instance.is_second()) << (LIST_BITS - 1)
}

pub(super) fn home_bits(home: &str) -> u64 {
    digest_bits(home, HOME_BITS)
}

fn digest_bits(text: &str, bits: u32) -> u64 {
    let digest = sha256_hex(text.as_bytes());
    u64::from_str_radix(&digest[..16], 16).unwrap_or(0) & mask(bits)
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_hold_what_was_put_in_and_are_a_limit() {
        let full = Tag { home: mask(HOME_BITS), list_id: mask(LIST_BITS), launch: mask(LAUNCH_BITS) };
        let some = Tag { home: home_bits("/h"), list_id: 7, launch: launch_bits("n.1") };
        for tag in [full, some, Tag { home: 0, list_id: 0, launch: 0 }] {
            assert_eq!(Tag::of_limit(tag.bits()), Some(tag));
            assert!(i64::try_from(tag.bits()).is_ok(), "not to be taken for no limit");
        }
        assert_eq!(Tag::of_limit(u64::MAX), None);
        assert!(some.is_of("/h") && !some.is_of("/other"));
        assert_ne!(launch_bits("n.1"), launch_bits("n.2"));
    }

    #[test]
    fn the_tag_is_on_only_inside() {
        let before = getrlimit(Resource::Locks);
        let tag = Tag { home: 1, list_id: 2, launch: 3 };
        let inside = tag.on(|| super::super::procfs::file_locks(std::process::id()));
        assert_eq!(inside.and_then(Tag::of_limit), Some(tag));
        assert_eq!(getrlimit(Resource::Locks), before);
    }
}
