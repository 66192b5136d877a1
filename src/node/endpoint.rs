use serde::{Deserialize, Serialize};

/// What a server listens on, as its worker asks for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    pub family: Family,
    /// An address, never a host's name (the worker has looked that up), or the path of a unix socket; none is any address.
    pub address: Option<String>,
    /// 0 is any that is free; of a unix socket it says nothing.
    pub port: u16,
    /// Of an address of IPv6: no IPv4 beside it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ipv6_only: bool,
    /// Of UDP, as its sockets ask for it: `reuseAddr`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reuse_address: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    Tcp4,
    Tcp6,
    Unix,
    Udp4,
    Udp6,
}

impl Endpoint {
    /// Without a port.
    #[must_use]
    pub fn new(family: Family, address: Option<String>) -> Self {
        Self { family, address, port: 0, ipv6_only: false, reuse_address: false }
    }

    /// Whether each slot can have a socket of its own for it, among which the system shares out connections. Of a port that
    /// is yet to be found, a path and of datagrams there is one for all.
    #[must_use]
    pub fn is_by_slot(&self) -> bool {
        matches!(self.family, Family::Tcp4 | Family::Tcp6) && self.port != 0
    }

    /// What the handle of such a socket is called in a message that brings it.
    #[must_use]
    pub fn handle_type(&self) -> &'static str {
        match self.family {
            Family::Tcp4 | Family::Tcp6 | Family::Unix => "net.Native",
            Family::Udp4 | Family::Udp6 => "dgram.Native",
        }
    }

    /// Whether who serves here can be connected to: a socket for datagrams says nothing of an app being up.
    #[must_use]
    pub fn is_served(&self) -> bool {
        !matches!(self.family, Family::Udp4 | Family::Udp6)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}
