//! Trees as text, in each format that has a reader. What is written reads back as the same tree.

mod braces;
mod scalar;
mod toml;
mod yaml;

use super::{Entry, Kind, Node};

/// What a tree can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Json5,
    Yaml,
    Toml,
    /// `module.exports = {...}`
    CommonJs,
    /// `export default {...}`
    Module,
}

/// The text of a tree. Numbers are finite; for TOML the root is a mapping and there is no null.
#[must_use]
pub fn write(node: &Node, format: Format) -> String {
    match format {
        Format::Json => braces::strict(node) + "\n",
        Format::Json5 => braces::loose(node) + "\n",
        Format::CommonJs => format!("module.exports = {};\n", braces::loose(node)),
        Format::Module => format!("export default {};\n", braces::loose(node)),
        Format::Yaml => yaml::document(node),
        Format::Toml => toml::document(node),
    }
}

fn is_scalar(node: &Node) -> bool {
    !matches!(node.kind, Kind::Sequence(_) | Kind::Mapping(_))
}

fn all_scalars(entries: &[Entry]) -> bool {
    entries.iter().all(|entry| is_scalar(&entry.value))
}
