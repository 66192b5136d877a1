use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The secret that keeps short digests of secret values from being guessed by trying values.
/// One a `PMRUN_HOME`; a plan that is made without a home uses a random one.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key(pub [u8; 32]);

/// Hidden, so that no debug output gives the key away.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// HMAC-SHA-256 (RFC 2104) cut to 32 bits: enough to see that a value changed, too little to tell which it is.
#[must_use]
pub fn keyed_digest(key: &Key, value: &str) -> String {
    hex(&hmac(key, value)[..4])
}

/// The same uncut: what only who has the key can give a text.
#[must_use]
pub fn keyed_checksum(key: &Key, text: &str) -> String {
    hex(&hmac(key, text))
}

fn hmac(key: &Key, value: &str) -> [u8; 32] {
    let pad = |byte: u8| key.0.iter().map(|k| k ^ byte).chain(std::iter::repeat_n(byte, 32)).collect::<Vec<u8>>();
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(value).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// SHA-256 in lower-case hexadecimal, 64 characters.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_the_empty_string_is_the_standard_vector() {
        assert_eq!(sha256_hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn keyed_digest_depends_on_key_and_value() {
        let (a, b) = (Key([1; 32]), Key([2; 32]));
        assert_eq!(keyed_digest(&a, "x").len(), 8);
        assert_ne!(keyed_digest(&a, "x"), keyed_digest(&b, "x"));
        assert_ne!(keyed_digest(&a, "x"), keyed_digest(&a, "y"));
        assert_eq!(keyed_digest(&a, "x"), keyed_digest(&a, "x"));
    }
}
