//! The service manager that has started this process, where one has and wants to be told (sd_notify(3)).

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where it listens.
pub(super) const MANAGER: &str = "NOTIFY_SOCKET";

/// That this process serves, to whoever has started it and waits for that.
pub fn say_ready() {
    tell("READY=1");
}

/// That it does not hear it is its own affair.
pub(super) fn tell(text: &str) {
    let Some(address) = std::env::var_os(MANAGER) else { return };
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        path => SocketAddr::from_pathname(OsStr::from_bytes(path)),
    };
    let _ = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address));
}
