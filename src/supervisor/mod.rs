//! The state machine of an instance: what happens to it and what it asks for. Pure.

mod launch;
mod machine;
mod state;
mod step;

pub use launch::{Launch, LaunchId, Layout, Output, launch};
pub use machine::Machine;
pub use state::{ErrorReason, State};
pub use step::{Ask, Event, Transition, step};
