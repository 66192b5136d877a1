//! Config programs: `.js`, `.cjs` and `.mjs` files, run by an embedded engine in a child process of ours.
//!
//! ```text
//! evaluate()  ── Orders, Replies (JSON, stdin) ──▶  child_main()  ──▶  engine::run()   the only users of the engine:
//!   │  ▲                                                │            engine, host, gate, natives, modules, values, fault
//!   │  └── frames (stdout): console, requests, result ◀──┘
//!   └─ broker: runs the commands that are requested, makes the folders
//! ```
//!
//! Invariants:
//! * A config can not stop, grow or crash pmrun: the engine has no deadline and no memory limit of its own, a long
//!   regex or a deep source ends it, so it always runs in a child with `RLIMIT_AS`, `RLIMIT_CPU` and a wall deadline.
//! * The child can compute and read, and nothing else (`platform::confine`): a hole in the engine leads nowhere. What a
//!   config may have done besides, its parent does, which trusts nothing that it is told.
//! * Every look at a variable, file or folder passes `Gate`: it is recorded, and under `--hermetic` refused.
//! * What a config prints goes to stderr. stdout of the child carries frames, and nothing that a config does can forge one.
//! * Files are read through `Files`, so that `diff --base` evaluates another version of them under the same names.

mod broker;
mod child;
mod engine;
mod fault;
mod files;
mod gate;
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

use std::path::{Path, PathBuf};

pub use child::child_main;
pub use parent::{evaluate, stringify};
#[cfg(test)]
pub(super) use tests::exported_by_the_engine;

use self::resolver::Format;
use super::World;

/// What a config program may use before it is ended.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub deadline_ms: u64,
    pub memory_bytes: u64,
}

/// How a config program says what it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `module.exports = ...`
    CommonJs,
    /// `export default ...`
    Module,
}

/// A path without symlinks, as far as it is there.
pub(super) fn canonical(path: &Path, world: &World) -> PathBuf {
    files::Files::new(world.mapping.clone()).canonical_as_far(path)
}

/// How the entry surely says what it exports.
pub(super) fn form(entry: &Path, world: &World) -> Option<Form> {
    let files = files::Files::new(world.mapping.clone());
    let path = files.canonical(&world.cwd.join(entry)).ok()?;
    match resolver::format(&files, &path) {
        Format::CommonJs | Format::Either => Some(Form::CommonJs),
        Format::Module if path.extension().is_some_and(|ending| ending == "mjs") => Some(Form::Module),
        Format::Module | Format::Json | Format::Foreign => None,
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline_ms: 5_000, memory_bytes: 512 << 20 }
    }
}
