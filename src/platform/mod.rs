//! The only code that calls the operating system about processes, and the only `unsafe` code.
//!
//! [`Host`] starts processes, watches them and ends them with all their descendants. It is synchronous: one epoll
//! descriptor stands for everything that it waits for, whoever owns it waits on that and calls [`Host::dispatch`].
//! A pid is never signalled unless it is pinned: by a pidfd whose process was checked after it was opened, or by
//! being a child that nobody has reaped yet.

mod account;
mod brood;
mod cgroup;
mod channel;
mod clock;
pub mod confine;
mod confined;
mod connections;
mod cpus;
mod door;
mod fault;
mod foreground;
mod forked;
mod handover;
mod home;
mod host;
mod keeper;
mod last_line;
mod lease;
mod listeners;
mod lock;
mod memory;
mod names;
mod notify;
mod oom;
mod piped;
mod private;
mod procfs;
mod pump;
mod random;
mod range_lock;
mod regular;
mod setup;
mod sockets;
mod spawn;
mod stdin;
mod survivors;
mod sys;
mod tag;
#[cfg(test)]
mod tests;
mod tree;
mod usage;
mod warden;

pub use account::{LogOwner, account_numbers, check_account, user_name};
pub use brood::{Bounds, Brood, Ended, Excess};
pub use cgroup::{make_room, not_in_force};
pub use clock::{Alarm, Clock, Timer, time_zone};
pub use cpus::cpus;
pub use door::{Door, end_with_parent, outlive_parent, passed_listeners, peer, wait_for_any};
pub use fault::fault_point;
pub use foreground::{Interrupts, Postponed, terminal_size};
pub use home::{KnownUser, MANNERS, Use, default_home, ensure_home, find_user, may, names, user_id};
pub use host::{Event, Host, Reach, ended_child, launch_mark, living_children};
pub use keeper::{
    Follows, KEEPER_SOCKET, KeeperLink, Part, Resumed, Succession, Wish, divide, divide_for_manager, keep, keep_on,
    resume, say_ready, tell_keeper,
};
pub use last_line::end_last_line;
pub use lease::is_written_to;
pub use listeners::{Listener, Listeners, listeners};
pub use lock::{LockFile, LockKind, Shared};
pub use memory::{give_back, low_priority, one_arena};
pub use names::NameWatch;
pub(crate) use notify::short_address;
pub use private::PrivateFolder;
pub use procfs::{deleted_program, is_at_rest, is_same_program, is_suspended, variables_of};
pub use pump::{Heard, PumpCaller, PumpOrder, PumpSocket, PumpStream, reopen_logs, wait_for_log_process};
pub use random::random_bytes;
pub use range_lock::RangeLock;
pub use regular::{must_be_regular, open_regular, read_regular};
pub use setup::{Pending, ProcessSetup, Signals, become_daemon, become_follower, become_foreground, limit_files};
pub use sockets::migrates_requests;
pub use spawn::{Tap, open_log};
pub use survivors::{
    Adopted, Begun, Left, Marked, boot_id, end_abandoned, ended_unseen, is_alive, is_same, marked, pid_in, unwatched,
};
pub use sys::{awaitable, interrupted, is_readable};
pub use usage::{Glance, Look, Usage, since_boot_ms, usage};
pub use warden::ward;

/// The system's words without their number.
#[must_use]
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
