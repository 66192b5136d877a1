//! Reading back what apps have written, and following what they go on to write.
//!
//! Log files belong to the apps, which write to them on their own: they may be gigabytes, hold one endless line or
//! no text at all, not be there yet, and be truncated, renamed or replaced at any moment. Reading is bounded by
//! [`LINE_MAX`] whatever they hold; following is woken by the kernel and costs nothing while nothing is written.
//!
//! A log is one stream of bytes from its first to its last: each byte has a place in it, which extended attributes of the
//! living file and of what was rotated tell ([`rotate`]). [`Lines`] reads that stream forwards whatever becomes of its
//! files, [`Reader`] several of them by the times that their lines bear ([`Stamps`]), [`Follower`] goes on from there.

mod awaited;
pub mod console;
mod follow;
mod frame;
mod history;
mod lines;
pub mod pump;
mod reader;
pub mod rotate;
mod stamps;
mod tail;
mod when;

pub use awaited::Awaited;
pub use follow::{FollowError, Follower};
pub use frame::{Framer, PIECE_MAX};
pub use lines::{LINE_MAX, Line, Lines};
pub use reader::{Log, Reader, Sink, Wanted};
pub use stamps::{Stamps, Told, civil};
pub use tail::Tail;
pub use when::{MOMENTS, parse_moment};
