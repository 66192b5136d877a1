//! pmrun runs what an ecosystem file declares, and changes only what changed.
pub mod base;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod diag;
pub mod document;
pub mod graph;
pub mod logs;
pub mod plan;
pub mod platform;
pub mod rpc;
pub mod runtime;
pub mod schema;
pub mod spec;
pub mod supervisor;
