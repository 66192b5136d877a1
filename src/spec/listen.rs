use core::net::{IpAddr, SocketAddr};
use std::fmt;
use std::str::FromStr;

/// A socket that is opened for an app before it starts: `tcp:0.0.0.0:8000`, `udp:[::1]:53`, `unix:/run/x.sock`, with a name
/// before it where the app tells its sockets apart by their names: `web=tcp:8000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// As sd_listen_fds_with_names(3) says it; what it is without one.
    pub name: Option<String>,
    pub address: ListenAddress,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// Without an address: all.
    Tcp {
        address: Option<IpAddr>,
        port: u16,
    },
    Udp {
        address: Option<IpAddr>,
        port: u16,
    },
    /// An absolute path.
    Unix(String),
}

/// As long as the system takes it, with the zero byte at its end (unix(7)).
const PATH_BYTES_MAX: usize = 107;

impl Listener {
    /// What its app is told that it is called.
    #[must_use]
    pub fn called(&self) -> &str {
        self.name.as_deref().unwrap_or(match self.address {
            ListenAddress::Tcp { .. } => "tcp",
            ListenAddress::Udp { .. } => "udp",
            ListenAddress::Unix(_) => "unix",
        })
    }
}

/// Fails with what would be right.
impl FromStr for Listener {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "must be an address such as `tcp:0.0.0.0:8000`, `udp:[::1]:53` or `unix:/run/app.sock`";
        let (name, address) = match text.split_once('=') {
            Some((name, address)) if !name.contains([':', '/']) => (Some(name), address),
            _ => (None, text),
        };
        let is_name = |name: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            !name.is_empty() && name.len() <= 255 && name.bytes().all(plain)
        };
        if name.is_some_and(|name| !is_name(name)) {
            return Err("must have letters, digits, `.`, `_` and `-` in its name only");
        }
        let (kind, place) = address.split_once(':').ok_or(WANTED)?;
        let address = match kind {
            "unix" if !place.starts_with('/') => return Err("must have an absolute path after `unix:`"),
            "unix" if place.len() > PATH_BYTES_MAX => {
                return Err("must have a path of 107 bytes at most, as the system has");
            }
            "unix" => ListenAddress::Unix(place.to_owned()),
            "tcp" | "udp" => {
                let local = place.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
                let place = local.as_deref().unwrap_or(place);
                let (address, port) = match (place.parse::<SocketAddr>(), place.parse::<u16>()) {
                    (Ok(address), _) => (Some(address.ip()), address.port()),
                    (_, Ok(port)) => (None, port),
                    _ => return Err(WANTED),
                };
                if port == 0 {
                    return Err("must have a port from 1 to 65535");
                }
                if kind == "tcp" { ListenAddress::Tcp { address, port } } else { ListenAddress::Udp { address, port } }
            }
            _ => return Err(WANTED),
        };
        Ok(Self { name: name.map(str::to_owned), address })
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}=")?;
        }
        let inet = |f: &mut fmt::Formatter<'_>, kind, address: &Option<IpAddr>, port| match address {
            Some(address) => write!(f, "{kind}:{}", SocketAddr::new(*address, port)),
            None => write!(f, "{kind}:{port}"),
        };
        match &self.address {
            ListenAddress::Tcp { address, port } => inet(f, "tcp", address, *port),
            ListenAddress::Udp { address, port } => inet(f, "udp", address, *port),
            ListenAddress::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_back_as_one_text() {
        for (text, want, called) in [
            ("tcp:0.0.0.0:8000", "tcp:0.0.0.0:8000", "tcp"),
            ("tcp:8000", "tcp:8000", "tcp"),
            ("tcp:localhost:80", "tcp:127.0.0.1:80", "tcp"),
            ("udp:[::1]:53", "udp:[::1]:53", "udp"),
            ("unix:/run/a b=c.sock", "unix:/run/a b=c.sock", "unix"),
            ("web=tcp:[::]:443", "web=tcp:[::]:443", "web"),
        ] {
            let listener: Listener = text.parse().unwrap();
            assert_eq!((listener.to_string().as_str(), listener.called()), (want, called));
            assert_eq!(want.parse(), Ok(listener));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let long = format!("unix:/{}", "x".repeat(107));
        for text in [
            "",
            "8000",
            "tcp:",
            "tcp:0",
            "tcp:host:80",
            "tcp:::1:80",
            "tcp:70000",
            "unix:x",
            "http:80",
            "a b=tcp:80",
            "=tcp:80",
            &long,
        ] {
            assert!(text.parse::<Listener>().is_err(), "{text}");
        }
    }
}
