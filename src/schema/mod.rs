//! The option table and everything that is fed by it.
//!
//! In reading order: [`options`] is the table, one row an option; `decode` turns a document into [`Draft`]s by it;
//! [`resolve()`] turns drafts into [`crate::spec::AppSpec`]s, asking the world through [`Surroundings`]. Nothing in
//! here stops at the first problem, and nothing reads a file. `export` says the table to editors and people.
//!
//! # To add an option
//! 1. Add a row to the fitting file below `options/`. Its [`Value`] says which types are accepted and holds the
//!    function that stores what was decoded, so a row that parses and does nothing cannot be written.
//! 2. Store it: in the draft's `spec` when nothing has to be resolved, else in a field of [`Draft`] that `resolve`
//!    uses. A new field of `AppSpec` makes the compiler ask for its `Field` and impact.
//! 3. Mention it in `ecosystem.example.json5` when it is honoured. A test counts.
//! 4. `BLESS=1 cargo test --lib -- the_committed_files` writes `schema/` anew. A new kind of [`Value`] needs its type
//!    in `export/types.rs`; the test that schema and decoder agree finds a type that is not what the reader takes.
//!
//! The wrong-type test and the alias test run over the table and need no addition.

mod decode;
mod draft;
pub mod export;
pub mod options;
mod origins;
mod parts;
mod portable;
mod resolve;
mod shapes;
mod statics;
mod surroundings;
mod value;
mod words;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use draft::{CodeOption, Count, Draft, Mark, Outdone, Variable};
pub use options::{Row, Status};
pub use origins::{AppOrigin, CommandBy, EnvFile, InterpreterBy, Layer, Origins, PROGRAM, ScriptBy, Written};
pub use portable::{Lost, portable};
pub use resolve::{NO_SOURCE_MAPS, Request, Resolved, resolve};
pub use shapes::{Decoded, decode};
pub use surroundings::{EnvText, FileEntry, Surroundings};
pub use value::{Shape, Value};

/// Whether it is an option of an app, by any of its names.
#[must_use]
pub fn is_option(key: &str) -> bool {
    options::find(key).is_some()
}
