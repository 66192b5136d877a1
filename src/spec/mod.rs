//! What an app is once everything is decided: plain data, total, no option where there is a default.
//!
//! The JSON of an [`AppSpec`] is one format with three uses: `render --json`, the state store and the control
//! socket. A new field therefore needs a serde default that means "as before", and nothing here is ever renamed.

mod app;
mod distribution;
mod field;
mod graph_id;
mod health;
mod listen;
mod needs;
mod overlap;
mod runtime;
mod take;
mod watch_options;

pub use app::{
    AppSpec, ExecMode, FILE_SERVER, Fingerprint, FingerprintBy, LIMITS, Limits, LogTarget, Logs, Readiness,
    RestartPolicy, Rotation, StopPolicy, Watch,
};
pub use distribution::Distribution;
pub use field::{Field, Impact};
pub use graph_id::EcosystemId;
pub use health::{HealthAction, HealthCheck, Probe};
pub use listen::{ListenAddress, Listener};
pub use needs::{Condition, Need, OnExit};
pub use overlap::Overlap;
pub use runtime::Runtime;
pub use watch_options::{WatchOption, WatchOptions};
