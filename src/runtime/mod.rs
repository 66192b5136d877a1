//! One loop, one closed enum of inputs, one owner of state.
//!
//! [`Core`] holds everything that the daemon knows and decides everything that it does. It is given inputs and the
//! time, and returns effects; it reads no clock, opens no file and starts no process. The daemon performs the
//! effects on a real host, the simulation on an invented one.

mod core;
mod effect;
mod input;
mod operation;
mod record;
pub mod store;
mod target;
mod view;

pub use core::{Core, Survivor};
pub use effect::{Effect, Save};
pub use input::{ClientId, Input, Ticket};
pub use record::{AppRecord, InstanceRecord, Intent, State};
pub use target::{Target, TargetError, resolve};
pub use view::{offline_apps, offline_snapshot, offline_views};
