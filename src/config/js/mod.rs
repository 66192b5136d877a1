//! Config programs: `.js`, `.ts` files and their like, run by an embedded engine in a child process of ours.
//!
//! ```text
//! evaluate()  ── Orders, Replies (JSON, stdin) ──▶  child_main()  ──▶  engine::run()   the only users of the engine:
//!   │  ▲                                                │            engine, host, gate, natives, modules, values, fault
//!   │  └── frames (stdout): console, requests, result ◀──┘
//!   └─ broker: runs the commands that are requested, makes the folders
//! ```
//!
//! Before the engine sees a file, `provenance` marks the expressions that values come from, so that every value and every
//! error has its bytes; `values` walks what is exported and asks it for them.
//!
//! Invariants:
//! * A config can not stop, grow or crash pmrun: the engine has no deadline and no memory limit of its own, a long
//!   regex or a deep source ends it, so it always runs in a child with `RLIMIT_AS`, `RLIMIT_CPU` and a wall deadline.
//! * The child can compute and read, and nothing else (`platform::confine`): a hole in the engine leads nowhere. What a
//!   config may have done besides, its parent does, which trusts nothing that it is told.
//! * Every look at a variable, file or folder passes `Gate`: it is recorded, and under `--hermetic` refused.
//! * What a config prints goes to stderr. stdout of the child carries frames, and nothing that a config does can forge one.
//! * `--js-engine node` runs the config in the user's Node instead (`node`), with the limits but without the sandbox.
//! * Marks change nothing that a config can see, and a place is exact, says that it was computed there, or is not given.
//! * Files are read through `Files`, so that `diff --base` evaluates another version of them under the same names.

mod assigned;
mod broker;
mod child;
mod doubts;
mod early;
mod engine;
mod fault;
mod files;
mod gate;
mod host;
mod host_facts;
mod json_words;
mod language;
mod modules;
mod natives;
mod node;
mod orders;
mod outline;
mod parent;
mod paths;
mod provenance;
mod resolver;
mod running;
mod source;
mod spawning;
#[cfg(test)]
mod tests;
mod typescript;
mod values;
mod wire;
mod words;

use std::path::{Path, PathBuf};

pub use assigned::{Assigned, assigned};
pub use child::child_main;
pub use doubts::settle;
pub(super) use parent::SOON;
#[cfg(test)]
pub(super) use tests::exported_by_the_engine;

use self::resolver::Format;
use super::World;
use crate::diag::Diagnostic;
use crate::document::{Node, Sources};

/// What a config program may use before it is ended.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub deadline_ms: u64,
    pub memory_bytes: u64,
}

/// What runs a config program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The engine that pmrun brings along.
    #[default]
    Embedded,
    /// The Node in PATH.
    Node,
}

/// Runs a config program and returns what it exports; what its places are in comes to `sources`.
///
/// # Errors
/// One diagnostic: a syntax error, what was thrown, a missing module, a limit that was hit.
pub fn evaluate(entry: &Path, world: &World, sources: &mut Sources) -> Result<Node, Box<Diagnostic>> {
    match world.engine {
        Engine::Embedded => parent::evaluate(entry, world, sources),
        Engine::Node => node::evaluate(entry, world, sources),
    }
}

/// The same, as the text that `JSON.stringify` makes of it.
///
/// # Errors
/// As [`evaluate`]; also when there is no such text.
pub fn stringify(entry: &Path, world: &World, sources: &mut Sources) -> Result<String, Box<Diagnostic>> {
    match world.engine {
        Engine::Embedded => parent::stringify(entry, world, sources),
        Engine::Node => node::stringify(entry, world, sources),
    }
}

/// A program as the engine is given it, without its marks and, where it can have them, with: `$pmrun(number, value)`
/// gives back the value. For whoever checks that both mean the same.
#[must_use]
pub fn marked(code: &str, is_module: bool) -> (String, Option<String>) {
    provenance::marked(code, if is_module { provenance::Shape::Module } else { provenance::Shape::CommonJs })
}

/// TypeScript without its types; None for what is none, or has more than types.
#[must_use]
pub fn without_types(text: &str) -> Option<String> {
    typescript::strip(text).ok()
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
        _ if resolver::is_typescript(&path) => None,
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
