//! Config programs: `.js`, `.cjs` and `.mjs` files, run by an embedded engine in a child process of ours.
//!
//! ```text
//! evaluate()  ── Orders (JSON, stdin) ──▶  child_main()  ──▶  engine::run()   the only users of the engine:
//!      ▲                                       │               engine, host, natives, modules, values, fault
//!      └── frames (stdout): console, result ◀──┘
//! ```
//!
//! Invariants:
//! * A config can not stop, grow or crash pmrun: the engine has no deadline and no memory limit of its own, a long
//!   regex or a deep source ends it, so it always runs in a child with `RLIMIT_AS`, `RLIMIT_CPU` and a wall deadline.
//! * What a config prints goes to stderr. stdout of the child carries frames, and nothing that a config does can forge one.
//! * Files are read through `Files`, so that `diff --base` evaluates another version of them under the same names.

mod child;
mod engine;
mod fault;
mod files;
mod host;
mod host_facts;
mod modules;
mod natives;
mod orders;
mod parent;
mod resolver;
mod source;
mod spawning;
#[cfg(test)]
mod tests;
mod values;
mod wire;

pub use child::child_main;
pub use parent::evaluate;

/// What a config program may use before it is ended.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub deadline_ms: u64,
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline_ms: 5_000, memory_bytes: 512 << 20 }
    }
}
