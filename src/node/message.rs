use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use super::{Endpoint, Family};
use crate::base::Offer;

/// Node's flags of `queryServer`, for TCP and UDP alike: `UV_TCP_IPV6ONLY`, `UV_UDP_IPV6ONLY`.
const IPV6_ONLY: u32 = 1;
/// `UV_UDP_REUSEADDR`; of TCP nothing has this bit.
const REUSE_ADDRESS: u32 = 4;
/// What node listens with when it is not said how many connections may wait; workers send 0 or `false` for that. With a
/// backlog of 0 connections under load are only answered a second later.
pub(super) const BACKLOG: u32 = 511;
/// The longest `data` of a server that is kept for others: that of TLS is an object with 96 digits.
const DATA_BYTES_MAX: usize = 1 << 10;
/// Only messages between node and node begin so. A look for it costs less than to take each message of an app apart.
const INTERNAL: &[u8] = b"\"NODE_";

/// What a line on a worker's channel says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// `process.send("ready")`
    Ready,
    /// It wants to listen.
    Query(Box<Query>),
    /// It listens; once for each server.
    Listening(Option<Endpoint>),
    /// A server of its has closed.
    Close {
        key: String,
    },
    /// It is about to leave by itself, and waits for an answer before it does.
    Leaving {
        seq: u64,
    },
    /// Whether it took the connection that came with the message of this number.
    Took {
        ack: u64,
        accepted: bool,
    },
    /// A descriptor comes with it: until it is told that it arrived, it sends nothing more.
    Handle,
    /// The same about one that was sent to it, or that none arrived.
    Arrived,
    Lost,
    /// What can be asked of the app, or what it measures.
    Offer(Offer),
    /// Between the app and whoever listens to it, or nothing that means something here.
    Other,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub seq: u64,
    /// None where it is not known what is meant.
    pub endpoint: Option<Endpoint>,
    /// The number of a descriptor of the primary's, where the app listens on that.
    pub fd: Option<i64>,
    /// How many servers the worker has asked for before; tells those with any port apart.
    pub index: u64,
    /// How many connections may wait.
    pub backlog: u32,
    /// Of a unix socket: others than its owner may connect.
    pub readable_all: bool,
    pub writable_all: bool,
    /// What all workers are to have in common: of a TLS server, the keys of its tickets.
    pub data: Option<Value>,
}

/// Every field of every message, as it may be missing in any.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    cmd: Option<Value>,
    act: Option<Value>,
    seq: Option<u64>,
    ack: Option<u64>,
    accepted: Option<Value>,
    address: Option<Value>,
    port: Option<Value>,
    address_type: Option<Value>,
    fd: Option<Value>,
    index: Option<Value>,
    flags: Option<Value>,
    backlog: Option<Value>,
    key: Option<Value>,
    data: Option<Value>,
    readable_all: Option<Value>,
    writable_all: Option<Value>,
}

impl Said {
    /// A line without its end. Nothing that a worker may write is an error: what means nothing is [`Said::Other`].
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        // Bun has this byte before its own messages.
        let line = line.strip_prefix(b"\x02").unwrap_or(line).trim_ascii();
        if line == b"\"ready\"" {
            return Self::Ready;
        }
        if line.first() != Some(&b'{') {
            return Self::Other;
        }
        if memmem::find(line, INTERNAL).is_none() {
            return Offer::of(line).map_or(Self::Other, Self::Offer);
        }
        // A key that stands twice, or a number that is none, is nothing that node writes.
        let Ok(message) = serde_json::from_slice::<Message>(line) else { return Self::Other };
        match text(message.cmd.as_ref()) {
            Some("NODE_CLUSTER") => Self::of_cluster(message),
            Some("NODE_HANDLE") => Self::Handle,
            Some("NODE_HANDLE_ACK") => Self::Arrived,
            Some("NODE_HANDLE_NACK") => Self::Lost,
            _ => Self::Other,
        }
    }

    /// A message of the app's own, for whoever listens to it: neither node's nor an offer.
    #[must_use]
    pub fn message(line: &[u8]) -> Option<Value> {
        let line = line.strip_prefix(b"\x02").unwrap_or(line).trim_ascii();
        let value: Value = serde_json::from_slice(line).ok()?;
        let is_nodes = text(value.get("cmd")).is_some_and(|cmd| cmd.starts_with("NODE_"));
        (!is_nodes && Offer::of(line).is_none()).then_some(value)
    }

    fn of_cluster(message: Message) -> Self {
        let seq = message.seq.unwrap_or(0);
        match (text(message.act.as_ref()), message.ack) {
            (Some("queryServer"), _) => {
                let fd = message.fd.as_ref().and_then(Value::as_i64).filter(|fd| *fd >= 0);
                let backlog = message.backlog.as_ref().and_then(Value::as_u64).filter(|backlog| *backlog > 0);
                let is = |flag: &Option<Value>| flag.as_ref().and_then(Value::as_bool).unwrap_or(false);
                Self::Query(Box::new(Query {
                    seq,
                    endpoint: endpoint(&message),
                    fd,
                    index: message.index.as_ref().and_then(Value::as_u64).unwrap_or(0),
                    backlog: backlog.and_then(|backlog| u32::try_from(backlog).ok()).unwrap_or(BACKLOG),
                    readable_all: is(&message.readable_all),
                    writable_all: is(&message.writable_all),
                    data: message.data.filter(|data| !data.is_null() && data.to_string().len() <= DATA_BYTES_MAX),
                }))
            }
            (Some("listening"), _) => Self::Listening(endpoint(&message)),
            (Some("close"), _) => {
                text(message.key.as_ref()).map_or(Self::Other, |key| Self::Close { key: key.to_owned() })
            }
            (Some("exitedAfterDisconnect"), _) => Self::Leaving { seq },
            (None, Some(ack)) if message.accepted.is_some() => {
                Self::Took { ack, accepted: message.accepted == Some(Value::Bool(true)) }
            }
            _ => Self::Other,
        }
    }
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

fn endpoint(message: &Message) -> Option<Endpoint> {
    let family = match message.address_type.as_ref()? {
        Value::String(kind) if kind == "udp4" => Family::Udp4,
        Value::String(kind) if kind == "udp6" => Family::Udp6,
        Value::Number(kind) => match kind.as_i64()? {
            4 => Family::Tcp4,
            6 => Family::Tcp6,
            -1 => Family::Unix,
            _ => return None,
        },
        _ => return None,
    };
    let address = match &message.address {
        None | Some(Value::Null) => None,
        Some(Value::String(address)) => Some(address.clone()),
        Some(_) => return None,
    };
    let port = match &message.port {
        _ if family == Family::Unix => 0,
        None | Some(Value::Null) => 0,
        Some(port) => u16::try_from(port.as_i64()?).ok()?,
    };
    let flags = message.flags.as_ref().and_then(Value::as_u64).and_then(|flags| u32::try_from(flags).ok()).unwrap_or(0);
    let is_udp = matches!(family, Family::Udp4 | Family::Udp6);
    Some(Endpoint {
        family,
        address,
        port,
        ipv6_only: flags & IPV6_ONLY != 0,
        reuse_address: is_udp && flags & REUSE_ADDRESS != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Said {
        Said::of(line.as_bytes())
    }

    #[test]
    fn what_a_worker_of_node_20_says() {
        // As node 20 writes it.
        let query = r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"backlog":0,"address":null,"port":8000,"addressType":4,"fd":null,"flags":0,"seq":2}"#;
        let Said::Query(query) = said(query) else { panic!() };
        assert_eq!((query.seq, query.index, query.backlog, query.fd), (2, 0, BACKLOG, None));
        let endpoint = query.endpoint.unwrap();
        assert_eq!((endpoint.family, endpoint.address.as_deref(), endpoint.port), (Family::Tcp4, None, 8000));
        assert!(endpoint.is_by_slot() && !endpoint.ipv6_only);

        let tls = r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":1,"data":{"ticketKeys":"ab"},"backlog":64,"address":"::1","port":0,"addressType":6,"flags":1,"seq":5}"#;
        let Said::Query(query) = said(tls) else { panic!() };
        assert_eq!((query.backlog, query.data), (64, Some(serde_json::json!({ "ticketKeys": "ab" }))));
        let endpoint = query.endpoint.unwrap();
        assert!(endpoint.ipv6_only && !endpoint.is_by_slot());

        let unix = r#"{"cmd":"NODE_CLUSTER","act":"queryServer","address":"/tmp/x.sock","port":-1,"addressType":-1,"backlog":false,"readableAll":true,"writableAll":true,"seq":1}"#;
        let Said::Query(query) = said(unix) else { panic!() };
        assert!(query.readable_all && query.writable_all);
        assert_eq!(query.endpoint.unwrap().family, Family::Unix);

        let udp = r#"{"cmd":"NODE_CLUSTER","act":"queryServer","address":"0.0.0.0","port":53,"addressType":"udp4","fd":-1,"flags":4,"index":0,"seq":1}"#;
        let Said::Query(query) = said(udp) else { panic!() };
        assert_eq!((query.fd, query.endpoint.as_ref().unwrap().reuse_address), (None, true));
        assert_eq!(query.endpoint.unwrap().handle_type(), "dgram.Native");
    }

    #[test]
    fn everything_else_a_worker_says() {
        let key = "k".to_owned();
        let table = [
            (r#""ready""#, Said::Ready),
            ("\"ready\"\r", Said::Ready),
            (r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#, Said::Other),
            (r#"{"cmd":"NODE_CLUSTER","act":"close","key":"k","seq":7}"#, Said::Close { key }),
            (r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":9}"#, Said::Leaving { seq: 9 }),
            (r#"{"cmd":"NODE_CLUSTER","ack":4,"accepted":true,"seq":1}"#, Said::Took { ack: 4, accepted: true }),
            (r#"{"cmd":"NODE_CLUSTER","ack":4,"accepted":false,"seq":1}"#, Said::Took { ack: 4, accepted: false }),
            (r#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{}}"#, Said::Handle),
            (r#"{"cmd":"NODE_HANDLE_ACK"}"#, Said::Arrived),
            (r#"{"cmd":"NODE_HANDLE_NACK"}"#, Said::Lost),
            (r#"{"cmd":"NODE_CLUSTER","act":"listening"}"#, Said::Listening(None)),
            ("\u{2}{\"cmd\":\"NODE_CLUSTER\",\"act\":\"listening\"}", Said::Listening(None)),
        ];
        for (line, want) in table {
            assert_eq!(said(line), want, "{line}");
        }
    }

    #[test]
    fn what_means_nothing_is_no_error() {
        for line in [
            "",
            "{",
            "ready",
            r#"{"ready":true}"#,
            r#"{"cmd":"NODE_"}"#,
            r#"{"cmd":"NODE_CLUSTER"}"#,
            r#"{"cmd":"NODE_CLUSTER","act":"queryServer","seq":-1}"#,
            r#"{"cmd":"NODE_CLUSTER","act":"close","key":5}"#,
            r#"{"cmd":"NODE_CLUSTER","ack":1}"#,
            r#"{"cmd":["NODE_CLUSTER"],"act":"close"}"#,
            r#"["NODE_CLUSTER"]"#,
            "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"\u{fffd}\"}",
        ] {
            assert_eq!(said(line), Said::Other, "{line}");
        }
        assert_eq!(Said::of(b"{\"cmd\":\"NODE_\xff\"}"), Said::Other);
        let deep = format!("{{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"data\":{}", "[".repeat(100_000));
        assert_eq!(said(&deep), Said::Other);
    }

    #[test]
    fn an_address_that_cannot_be_is_none() {
        for part in [
            r#""addressType":5,"port":1"#,
            r#""addressType":"udp5","port":1"#,
            r#""addressType":4,"port":70000"#,
            r#""addressType":4,"port":-1"#,
            r#""addressType":4,"port":"80""#,
            r#""addressType":4,"port":80,"address":7"#,
            r#""port":80"#,
        ] {
            let line = format!(r#"{{"cmd":"NODE_CLUSTER","act":"queryServer",{part}}}"#);
            let Said::Query(query) = said(&line) else { panic!("{line}") };
            assert_eq!(query.endpoint, None, "{line}");
        }
        let long = format!(r#"{{"cmd":"NODE_CLUSTER","act":"queryServer","data":"{}"}}"#, "x".repeat(2_000));
        assert!(matches!(said(&long), Said::Query(query) if query.data.is_none()));
    }
}
