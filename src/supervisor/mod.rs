//! The state machine of an instance: what happens to it and what it asks for. Pure.
//!
//! [`step`] takes a machine, an event and the time, and returns the next machine and what it asks for. It starts
//! nothing and reads no clock. [`deadline`] says when it wants to be woken. [`launch`] says how a process is started.

mod check;
mod launch;
mod machine;
mod pacing;
mod state;
mod step;
#[cfg(test)]
mod table;

pub use check::{Ask as ProbeAsk, Check, check};
pub use launch::{
    Framing, Launch, LaunchId, Layout, Names, Output, SERVE_FILES, combined_log, declared, launch, log_outputs,
    pid_file, safe_name, unique_id,
};
pub use machine::{Machine, deadline};
pub use state::{Awaits, Cause, ErrorReason, State, StopPhase, Then};
pub use step::{Ask, Event, Transition, step};
