//! How a command talks to the daemon: a unix socket, frames of JSON, one call a connection.

pub mod client;
pub mod frame;
pub mod server;
pub mod wire;
