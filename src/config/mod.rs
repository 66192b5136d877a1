//! From a file to a graph: the front-ends, what they may read, and the way through the pure layers.

mod bytes;
mod discovery;
mod dotenv;
mod fingerprint;
mod glob;
mod inputs;
pub mod js;
mod json;
mod literal;
mod load;
mod machine;
#[cfg(test)]
mod samples;
mod toml;
mod world;
mod yaml;

pub use discovery::{Discovery, DiscoveryError, discover};
pub use inputs::{CommandRun, Hermetic, Inputs, Journal, Reading};
pub use load::{Loaded, load, load_node, load_raw, load_selected};
pub use world::{Mapping, Place, World};
