//! One loop, one closed enum of inputs, one owner of state.
//!
//! [`Core`] holds everything that the daemon knows and decides everything that it does. It is given inputs and the
//! time, and returns effects; it reads no clock, opens no file and starts no process. The daemon performs the
//! effects on a real host, the simulation on an invented one.
//!
//! In reading order: `table` (the apps and their machines), `request` (what is asked for, as tasks), `work` (a task
//! against what there is: what becomes durable, what is then done), `operation` (tasks in waves), `generation` (what is
//! remembered of a command, and read again when it is asked for), `core`.
//!
//! Invariants:
//! * One command that changes something is at work at a time, the others wait in the order in which they came.
//! * The table's records are those on disk: they change only when a save has succeeded, and only then is anything
//!   started or stopped because of the change. A save that fails therefore leaves nothing to undo.
//! * A machine's state is changed by `step` alone, and each change is seen by the command at work.

mod alter;
mod code;
mod core;
pub mod drift;
mod dump;
mod effect;
pub mod generation;
pub mod history;
mod input;
mod needs;
mod operation;
mod rebuild;
mod record;
mod relief;
mod rename;
mod request;
mod restore;
mod roster;
#[cfg(test)]
mod simulation;
mod standing;
pub mod store;
mod table;
mod target;
pub mod verdict;
mod view;
mod watching;
mod work;

pub use core::{Core, Survivor, Zones};
pub use dump::{Around, pm2_dump};
pub use effect::{Effect, Errand, Partner, Save, Talk};
pub use generation::{Recall, RecallError, Recalled};
pub use input::{ClientId, Input, Ticket};
pub use rebuild::{Found, Stranger, rebuild};
pub use record::{AppRecord, InstanceRecord, Intent, State};
pub use request::offline_plan_to as plan_to;
pub use restore::{close_jobs, open_jobs, possible_launches};
pub use standing::{Leaving, Past, Standing};
pub use target::{Target, TargetError, resolve};
pub use view::{Unwatched, offline_ambients, offline_apps, offline_snapshot, offline_views, stranger};
pub use watching::Watches;
