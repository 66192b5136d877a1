//! Node's cluster protocol, from the primary's side: what workers say on their channel, and what they are answered.
//!
//! It is what node's own `cluster` speaks between a primary and its workers, versions 18 to 25: a JSON value a line, on the
//! stream socket whose number is in `NODE_CHANNEL_FD`. A worker that calls `listen` asks for the socket (`queryServer`) and
//! gets a descriptor of it; from then on it accepts connections by itself. No request passes through here.
//!
//! [`Said`] is what was said, [`Primary`] answers for one app. Neither knows descriptors or system calls: sockets are opened
//! by whoever asks, and are any type that can be copied.

/// What workers of node's are given to load before their own code, so that they can be replaced without losing a request.
pub const PRELOAD: &str = include_str!("preload.cjs");

mod endpoint;
#[cfg(test)]
mod fuzz;
mod message;
mod primary;

pub use self::endpoint::{Endpoint, Family};
pub use self::message::{Query, Said};
pub use self::primary::{Answer, Connection, Handed, Kept, Primary, Share, Steering, Told, Worker};
