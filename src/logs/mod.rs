//! Reading back what apps have written, and following what they go on to write.
//!
//! Log files belong to the apps, which write to them on their own: they may be gigabytes, hold one endless line or
//! no text at all, not be there yet, and be truncated, renamed or replaced at any moment. Reading is bounded by
//! [`LINE_MAX`] whatever they hold; following is woken by the kernel and costs nothing while nothing is written.

mod follow;
mod frame;
mod lines;
pub mod pump;
pub mod rotate;
mod tail;

pub use follow::{FollowError, Follower, Sink};
pub use frame::{Framer, PIECE_MAX};
pub use lines::{LINE_MAX, Line, Lines};
pub use tail::Tail;
