//! u32 length (big endian), then that many bytes of JSON.
//!
//! Lengths come from whoever connects: the daemon reserves nothing for a length that was only announced.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The most that one message may have. A graph of 2,000 apps with long environments fits many times.
pub const MAX_BYTES: u32 = 64 << 20;

/// So much room is there at once for an announced length: a list of a thousand instances. Without it an answer is read in a
/// dozen pieces.
const RESERVED_MAX: usize = 512 << 10;

/// A whole frame, ready to be written.
///
/// # Errors
/// When it would be longer than [`MAX_BYTES`].
pub fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|length| *length <= MAX_BYTES).ok_or_else(too_long)?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// # Errors
/// When the other end is gone, or the message too long.
pub fn write(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    stream.write_all(&encode(message)?)?;
    stream.flush()
}

/// # Errors
/// `UnexpectedEof` when the other end is gone, `InvalidData` when what came is no message.
pub fn read<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    decode(&read_body(stream)?)
}

/// As [`read`], and its bytes are decoded by the caller. For who has connected to a daemon, and trusts it with some room.
///
/// # Errors
/// As [`read`].
pub fn read_body(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let length = checked_length(head)?;
    let mut body = Vec::with_capacity((length as usize).min(RESERVED_MAX));
    stream.take(u64::from(length)).read_to_end(&mut body)?;
    if body.len() < length as usize { Err(cut_short()) } else { Ok(body) }
}

/// As [`read`], without blocking the daemon; the bytes are decoded by the caller.
///
/// # Errors
/// As [`read`].
pub async fn read_bytes(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let length = checked_length(head)?;
    let mut body = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut body).await?;
    if body.len() < length as usize { Err(cut_short()) } else { Ok(body) }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    serde_json::from_slice(body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn checked_length(head: [u8; 4]) -> io::Result<u32> {
    let length = u32::from_be_bytes(head);
    if length > MAX_BYTES { Err(too_long()) } else { Ok(length) }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a message of more than {} MB", MAX_BYTES >> 20))
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the message was cut short")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_both(bytes: &[u8]) -> Result<serde_json::Value, io::ErrorKind> {
        let blocking = read::<serde_json::Value>(&mut &*bytes).map_err(|error| error.kind());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let asynchronous =
            runtime.block_on(read_bytes(&mut &*bytes)).and_then(|body| Ok(serde_json::from_slice(&body)?));
        assert_eq!(blocking, asynchronous.map_err(|error: io::Error| error.kind()), "{bytes:?}");
        blocking
    }

    #[test]
    fn hostile_bytes_are_clean_errors() {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        let deep = "[".repeat(200_000);
        let deep: Vec<u8> = u32::try_from(deep.len()).unwrap().to_be_bytes().into_iter().chain(deep.bytes()).collect();
        let table: Vec<(Vec<u8>, io::ErrorKind)> = vec![
            (vec![], UnexpectedEof),
            (vec![0, 0], UnexpectedEof),
            (vec![0, 0, 0, 9, b'1'], UnexpectedEof),
            (vec![3, 255, 255, 255, b'1'], UnexpectedEof),
            (vec![255, 255, 255, 255, b'1'], InvalidData),
            (vec![4, 0, 0, 1, b'1'], InvalidData),
            (vec![0, 0, 0, 2, b'{', b'{'], InvalidData),
            (vec![0, 0, 0, 3, 255, 254, 253], InvalidData),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), InvalidData),
            (deep, InvalidData),
        ];
        for (bytes, want) in table {
            let head = &bytes[..bytes.len().min(8)];
            let got = read_both(&bytes);
            // serde_json calls text that ends too early an unexpected end as well.
            assert!(got == Err(want) || (want == InvalidData && got == Err(UnexpectedEof)), "{head:?}: {got:?}");
        }
    }

    #[test]
    fn frames_follow_each_other() {
        let mut wire = Vec::new();
        let messages = [serde_json::json!({"a": "é\n"}), serde_json::json!([]), serde_json::json!("x".repeat(100_000))];
        for message in &messages {
            write(&mut wire, message).unwrap();
        }
        let mut rest = wire.as_slice();
        for message in &messages {
            assert_eq!(&read::<serde_json::Value>(&mut rest).unwrap(), message);
        }
        assert!(rest.is_empty());
    }
}
