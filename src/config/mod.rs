//! From a file to a graph: the front-ends, what they may read, and the way through the pure layers.

mod bytes;
mod digests;
mod discovery;
mod dotenv;
mod fingerprint;
pub mod git;
mod glob;
mod inputs;
pub mod js;
mod json;
mod literal;
mod load;
mod machine;
pub mod pm2_dump;
#[cfg(test)]
mod samples;
mod toml;
mod world;
mod writing;
mod yaml;

pub use digests::Digests;
pub use discovery::{DATA, Discovery, DiscoveryError, PROGRAMS, discover, endings};
pub use dotenv::parse as parse_dotenv;
pub use fingerprint::retake;
use inputs::FolderMade;
pub use inputs::{CommandRun, Hermetic, Inputs, Journal, Reading};
pub use load::{
    Loaded, assigned, env_file, is_program, load, load_document, load_node, load_raw, load_selected, load_text, parse,
    read_back,
};
pub use world::{Mapping, Place, World};
