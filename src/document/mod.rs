//! The format-neutral tree that every front-end produces: values with the bytes they came from.

mod json;
mod node;
mod source;
mod write;

pub use json::{javascript_order, js_number, to_json, to_json_text};
pub use node::{Entry, Key, Kind, Node};
pub use source::{Location, Position, Source, SourceId, Sources, Span};
pub use write::{Format, write};
