//! Whatever workers say, in whatever order: the primary neither fails nor grows without end, and nobody is answered who
//! has not asked.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{Connection, Primary, Said, Share, Told, Worker};

/// What may stand where node has a number, a text or a truth.
fn value() -> impl Strategy<Value = Value> {
    let numbers = select(vec![-1_i64, 0, 1, 3, 80, 65_535, 65_536, i64::MAX, i64::MIN]).prop_map(Value::from);
    let texts =
        select(vec!["", "::", "127.0.0.1", "/tmp/x.sock", "udp4", "udp6", "\u{0}", "k", "é"]).prop_map(Value::from);
    prop_oneof![
        4 => numbers,
        4 => texts,
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!([1, { "a": [] }])),
        1 => any::<f64>().prop_map(Value::from),
        1 => "\\PC{0,12}".prop_map(Value::from),
    ]
}

/// A message of node's with anything in any of its fields.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let names = vec![
        "act",
        "seq",
        "ack",
        "accepted",
        "address",
        "port",
        "addressType",
        "fd",
        "index",
        "flags",
        "backlog",
        "key",
        "data",
        "readableAll",
        "writableAll",
        "other",
    ];
    let cmd = select(vec!["NODE_CLUSTER", "NODE_CLUSTER", "NODE_CLUSTER", "NODE_HANDLE", "NODE_X"]);
    let act = select(vec!["queryServer", "queryServer", "listening", "close", "exitedAfterDisconnect", "newconn"]);
    let fields = prop::collection::vec((select(names), value()), 0..10);
    (cmd, prop::option::weighted(0.8, act), fields).prop_map(|(cmd, act, fields)| {
        let mut message = json!({ "cmd": cmd });
        for (name, value) in fields {
            message[name] = value;
        }
        if let Some(act) = act {
            message["act"] = Value::from(act);
        }
        message.to_string().into_bytes()
    })
}

/// Such a message, perhaps torn, or anything at all.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let torn =
        (message(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>()).prop_map(|(mut line, at, byte, cut)| {
            let at = at.index(line.len());
            line[at] = byte;
            line.truncate(if cut { at } else { line.len() });
            line
        });
    prop_oneof![6 => message(), 2 => torn, 1 => prop::collection::vec(any::<u8>(), 0..80)]
}

#[derive(Clone, Debug)]
enum Deed {
    Says(u64, Vec<u8>),
    Gone(u64),
    Released(u32),
    /// Somebody connects to what the worker asked for last.
    Connects(u64),
    Sweeps,
    Leaves(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    let worker = 0..6_u64;
    prop_oneof![
        8 => (worker.clone(), line()).prop_map(|(worker, line)| Deed::Says(worker, line)),
        1 => worker.clone().prop_map(Deed::Gone),
        1 => (0..3_u32).prop_map(Deed::Released),
        2 => worker.clone().prop_map(Deed::Connects),
        1 => Just(Deed::Sweeps),
        1 => worker.prop_map(Deed::Leaves),
    ]
}

/// Two to a slot, as while one relieves the other.
fn worker(id: u64) -> Worker {
    let shares = [Share::BySlot, Share::One, Share::Told(Told::RoundRobin), Share::Told(Told::Sticky)];
    Worker { id, slot: u32::try_from(id / 2).unwrap(), share: shares[usize::try_from(id).unwrap() % 4] }
}

proptest! {
    #[test]
    fn no_worker_harms_the_primary(deeds in prop::collection::vec(deed(), 0..120), holds in any::<bool>()) {
        let mut primary: Primary<u32> = Primary::default();
        let (mut opened, mut last) = (0_u32, None);
        for deed in deeds {
            match deed {
                Deed::Says(id, line) => match Said::of(&line) {
                    Said::Query(query) => {
                        last = query.endpoint.clone().or(last);
                        let seq = query.seq;
                        let fresh = id % 2 == 1 && primary.is_beside(worker(id));
                        let answered = primary.query(worker(id), *query, fresh, |_, _, _| {
                            opened += 1;
                            if opened % 5 == 0 { Err(98) } else { Ok(opened) }
                        });
                        let Some((answer, kept)) = answered else { continue };
                        prop_assert_eq!(answer.line.last(), Some(&b'\n'));
                        let text: Value = serde_json::from_slice(&answer.line).expect("JSON");
                        let inner = text.get("msg").unwrap_or(&text);
                        prop_assert_eq!(inner["ack"].as_u64(), Some(seq));
                        // Who is refused is given nothing.
                        prop_assert!(answer.fd.is_none() || inner["errno"] == 0);
                        prop_assert!(kept.is_none_or(|kept| primary.kept().any(|one| one.name == kept.name)));
                    }
                    Said::Close { key } => primary.close(worker(id), &key),
                    Said::Took { ack, accepted } => _ = primary.took(ack, accepted),
                    Said::Leaving { seq } => drop(primary.leave(worker(id), seq)),
                    _ => {}
                },
                Deed::Gone(id) => primary.gone(worker(id)),
                Deed::Leaves(id) => drop(primary.disconnect(worker(id))),
                Deed::Released(slot) => drop(primary.release(slot)),
                Deed::Sweeps => drop((primary.sweep(), primary.shed())),
                Deed::Connects(origin) => {
                    if let Some(endpoint) = last.clone() {
                        primary.accept(Connection { endpoint, fd: 7, origin });
                    }
                    for (_, answer) in primary.give(|_| holds) {
                        prop_assert!(answer.fd.is_some());
                    }
                }
            }
            // Bounded, whoever asks.
            prop_assert!(primary.kept().count() <= 256);
            prop_assert!(primary.orphans().len() <= 256);
        }
        // When all have gone, and their slots, nothing is left.
        for id in 0..6 {
            primary.gone(worker(id));
        }
        for slot in 0..3 {
            primary.release(slot);
        }
        prop_assert!(primary.is_empty());
    }

    #[test]
    fn no_line_is_an_error(line in line()) {
        let _ = Said::of(&line);
    }
}
