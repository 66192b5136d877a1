//! Frames as PM2's clients write and read them: a byte with a version and a count, then for each argument its length and its
//! bytes, of which the first two say what they are. Knows no sockets.

use serde_json::Value;

/// One frame. What is started with a large environment is far smaller.
pub(in crate::cli) const FRAME_BYTES_MAX: usize = 8 << 20;
const VERSION: u8 = 1;

#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Arg {
    Text(String),
    Json(Value),
    Bytes(Vec<u8>),
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Garbage(pub &'static str);

pub(in crate::cli) fn encode(args: &[Arg]) -> Vec<u8> {
    let count = u8::try_from(args.len().min(15)).unwrap_or(15);
    let mut frame = vec![VERSION << 4 | count];
    for arg in args.iter().take(15) {
        let bytes = match arg {
            Arg::Text(text) => [b"s:", text.as_bytes()].concat(),
            Arg::Json(value) => [b"j:", value.to_string().as_bytes()].concat(),
            Arg::Bytes(bytes) => bytes.clone(),
        };
        frame.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend(bytes);
    }
    frame
}

/// What has come, as far as it has.
#[derive(Debug, Default)]
pub(in crate::cli) struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    pub(in crate::cli) fn take(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Somebody has begun to say something.
    pub(in crate::cli) fn is_within(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next frame, once it is whole.
    pub(in crate::cli) fn next(&mut self) -> Result<Option<Vec<Arg>>, Garbage> {
        let Some(meta) = self.buffer.first() else { return Ok(None) };
        if meta >> 4 != VERSION {
            return Err(Garbage("another version of frames, or none"));
        }
        let mut args = Vec::new();
        let mut at = 1;
        for _ in 0..meta & 15 {
            let Some(length) = self.buffer.get(at..at + 4) else { return Ok(None) };
            let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            at += 4;
            if length > FRAME_BYTES_MAX || at + length > FRAME_BYTES_MAX {
                return Err(Garbage("a frame that is too large"));
            }
            let Some(bytes) = self.buffer.get(at..at + length) else { return Ok(None) };
            args.push(bytes.to_vec());
            at += length;
        }
        self.buffer.drain(..at);
        args.into_iter().map(arg).collect::<Result<Vec<_>, _>>().map(Some)
    }
}

fn arg(bytes: Vec<u8>) -> Result<Arg, Garbage> {
    match bytes.get(..2) {
        Some(b"s:") => Ok(Arg::Text(String::from_utf8_lossy(&bytes[2..]).into_owned())),
        Some(b"j:") => serde_json::from_slice(&bytes[2..]).map(Arg::Json).map_err(|_| Garbage("what is no JSON")),
        _ => Ok(Arg::Bytes(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_frame_comes_back_however_it_is_cut() {
        let call = [Arg::Json(json!({ "type": "call", "method": "ping", "args": [{}] })), Arg::Text("id:0".to_owned())];
        let bytes = encode(&call);
        assert_eq!((bytes[0], &bytes[5..7]), (0x12, &b"j:"[..]));
        for size in [1, 3, bytes.len()] {
            let mut decoder = Decoder::default();
            let twice = [&bytes[..], &bytes[..]].concat();
            let mut frames = Vec::new();
            for piece in twice.chunks(size) {
                decoder.take(piece);
                while let Some(frame) = decoder.next().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [call.to_vec(), call.to_vec()]);
            assert!(!decoder.is_within());
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_before_it_is_read() {
        let refused = |bytes: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.take(bytes);
            decoder.next().is_err()
        };
        assert!(refused(b"GET / HTTP/1.1\r\n"));
        assert!(refused(b"{}"));
        assert!(refused(b"\x11\xff\xff\xff\xff"));
        assert!(refused(b"\x11\x00\x00\x00\x04j:{]"));
        assert!(!refused(b"\x12\x00\x00\x00\x03s:a\x00"));
        assert!(!refused(b"\x11\x00\x00\x00\x00"));
    }
}
