//! What the child writes to its stdout, and its parent to the child's stdin: frames of a tag, a length (u32, little
//! endian) and that many bytes. Values have an encoding of their own because JSON has no NaN and serde_json refuses to
//! read what is nested deeply.

use std::path::PathBuf;

use super::values::{Exported, Origin};
use crate::document::{Entry, Key, Kind, Node, SourceId, Span};

/// Text for the user's stderr.
pub(super) const CONSOLE: u8 = b'c';
/// The exported value, encoded by `encode`.
pub(super) const VALUE: u8 = b'v';
/// A `Failure` as JSON.
pub(super) const FAILURE: u8 = b'f';

/// A `Request` as JSON, which waits for its `Reply`.
pub(super) const REQUEST: u8 = b'r';
/// An `Account` as JSON.
pub(super) const ACCOUNT: u8 = b'a';
/// From the parent: the `Orders`, and then each `Reply`, as JSON.
pub(super) const ORDERS: u8 = b'o';

/// Bytes before a frame's payload.
pub(super) const HEADER: usize = 5;

/// More than `values` lets through. Who answers in the child's place must not end its parent.
const DEPTH_MAX: u32 = 250;

/// A frame's first bytes.
pub(super) fn header(tag: u8, length: usize) -> [u8; HEADER] {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    [tag, length[0], length[1], length[2], length[3]]
}

/// Takes the first whole frame off the buffer.
pub(super) fn take(buffer: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let &[tag, a, b, c, d, ..] = buffer.as_slice() else { return None };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if buffer.len() < HEADER + length {
        return None;
    }
    let rest = buffer.split_off(HEADER + length);
    let mut frame = std::mem::replace(buffer, rest);
    Some((tag, frame.split_off(HEADER)))
}

pub(super) fn encode(exported: &Exported) -> Vec<u8> {
    let mut out = Vec::new();
    write_length(exported.files.len(), &mut out);
    for file in &exported.files {
        write_text(&file.path.to_string_lossy(), &mut out);
        write_text(&file.text, &mut out);
        out.push(u8::from(file.computed));
    }
    write(&exported.node, &mut out);
    out
}

/// The value, or None when the bytes are not one.
pub(super) fn decode(bytes: &[u8]) -> Option<Exported> {
    let mut rest = bytes;
    let mut files = Vec::new();
    for _ in 0..read_length(&mut rest)? {
        let path = PathBuf::from(read_text(&mut rest)?);
        let text = read_text(&mut rest)?.into();
        files.push(Origin { path, text, computed: *rest.split_off_first()? != 0, guessed: false });
    }
    let node = read(&mut rest, 0)?;
    rest.is_empty().then_some(Exported { node, files })
}

fn write(node: &Node, out: &mut Vec<u8>) {
    write_span(node.span, out);
    match &node.kind {
        Kind::Null => out.push(b'n'),
        Kind::Bool(value) => out.push(if *value { b't' } else { b'f' }),
        Kind::Number(value) => {
            out.push(b'd');
            out.extend(value.to_le_bytes());
        }
        Kind::String(text) => {
            out.push(b's');
            write_text(text, out);
        }
        Kind::Sequence(items) => {
            out.push(b'[');
            write_length(items.len(), out);
            for item in items {
                write(item, out);
            }
        }
        Kind::Mapping(entries) => {
            out.push(b'{');
            write_length(entries.len(), out);
            for entry in entries {
                write_span(entry.key.span, out);
                write_text(&entry.key.text, out);
                write(&entry.value, out);
            }
        }
    }
}

fn write_span(span: Option<Span>, out: &mut Vec<u8>) {
    out.push(u8::from(span.is_some()));
    if let Some(span) = span {
        for number in [span.source.0, span.start, span.end] {
            out.extend(number.to_le_bytes());
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_length(text.len(), out);
    out.extend(text.as_bytes());
}

fn write_length(length: usize, out: &mut Vec<u8>) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn read(rest: &mut &[u8], depth: u32) -> Option<Node> {
    if depth > DEPTH_MAX {
        return None;
    }
    let span = read_span(rest).ok()?;
    let tag = *rest.split_off_first()?;
    let kind = match tag {
        b'n' => Kind::Null,
        b't' => Kind::Bool(true),
        b'f' => Kind::Bool(false),
        b'd' => Kind::Number(f64::from_le_bytes(rest.split_off(..8)?.try_into().ok()?)),
        b's' => Kind::String(read_text(rest)?),
        b'[' => {
            let length = read_length(rest)?;
            Kind::Sequence((0..length).map(|_| read(rest, depth + 1)).collect::<Option<_>>()?)
        }
        b'{' => {
            let length = read_length(rest)?;
            let entry = |_| {
                let span = read_span(rest).ok()?;
                let key = Key { text: read_text(rest)?, span };
                Some(Entry { key, value: read(rest, depth + 1)? })
            };
            Kind::Mapping((0..length).map(entry).collect::<Option<_>>()?)
        }
        _ => return None,
    };
    Some(Node::new(kind, span))
}

/// Err when the bytes are no span, nor say that there is none.
fn read_span(rest: &mut &[u8]) -> Result<Option<Span>, ()> {
    if *rest.split_off_first().ok_or(())? == 0 {
        return Ok(None);
    }
    let mut number = || -> Option<u32> { Some(u32::from_le_bytes(rest.split_off(..4)?.try_into().ok()?)) };
    let mut number = || number().ok_or(());
    Ok(Some(Span { source: SourceId(number()?), start: number()?, end: number()? }))
}

fn read_text(rest: &mut &[u8]) -> Option<String> {
    let length = read_length(rest)?;
    String::from_utf8(rest.split_off(..length)?.to_vec()).ok()
}

fn read_length(rest: &mut &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(rest.split_off(..4)?.try_into().ok()?) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: Kind) -> Node {
        Node::new(kind, Some(Span { source: SourceId(1), start: 2, end: 300 }))
    }

    fn exported(node: Node) -> Exported {
        let file = |computed| Origin { path: "/srv/é.js".into(), text: "a\nb".into(), computed, guessed: false };
        Exported { node, files: vec![file(false), file(true)] }
    }

    #[test]
    fn values_come_back_as_they_were() {
        let entry = |key: &str, kind| Entry {
            key: Key { text: key.into(), span: Some(Span { source: SourceId(0), start: 1, end: 2 }) },
            value: node(kind),
        };
        let value = exported(node(Kind::Mapping(vec![
            entry(
                "a",
                Kind::Sequence(vec![node(Kind::Null), node(Kind::Bool(true)), node(Kind::Number(f64::INFINITY))]),
            ),
            entry("", Kind::String("é😀\n".into())),
            entry("b", Kind::Mapping(vec![])),
        ])));
        assert_eq!(decode(&encode(&value)), Some(value));
        let bare = Exported { node: Node::new(Kind::Null, None), files: Vec::new() };
        assert_eq!(decode(&encode(&bare)), Some(bare));
    }

    #[test]
    fn broken_values_are_none() {
        let whole = encode(&exported(node(Kind::Sequence(vec![node(Kind::String("text".into()))]))));
        for end in 0..whole.len() {
            assert_eq!(decode(&whole[..end]), None, "{end}");
        }
        assert_eq!(decode(b"nn"), None);
        assert_eq!(decode(b"\0\0\0\0\0["), None);
        let deep = [&[0; 4], b"\0[\x01\0\0\0".repeat(1_000_000).as_slice()].concat();
        assert_eq!(decode(&deep), None);
    }

    #[test]
    fn frames_are_taken_whole() {
        let mut buffer = header(CONSOLE, 2).to_vec();
        assert_eq!(take(&mut buffer), None);
        buffer.extend(b"hi");
        buffer.extend(header(VALUE, 0));
        assert_eq!(take(&mut buffer), Some((CONSOLE, b"hi".to_vec())));
        assert_eq!(take(&mut buffer), Some((VALUE, vec![])));
        assert_eq!(take(&mut buffer), None);
    }
}
