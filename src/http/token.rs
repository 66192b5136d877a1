//! Who may ask: whoever has a token. What is kept is a digest of it: who reads the file cannot use what it says.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::base::sha256_hex;
use crate::platform::{random_bytes, read_regular};

/// In `PMRUN_HOME`: a token a line, its scope and its digest. A line that is taken out is a token that is no longer one.
pub const TOKENS: &str = "web-tokens";
/// By which a token is known for one wherever it turns up.
const BEGINNING: &str = "pmr_";
/// More is not read.
const TOKENS_MAX: usize = 1_000;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Look.
    Read,
    /// And change something.
    Write,
}

/// Makes one, and keeps what it takes to know it again. It is told once.
///
/// # Errors
/// The system's.
pub fn new_token(home: &Path, scope: Scope) -> io::Result<String> {
    let random: [u8; 32] = random_bytes()?;
    let token = random.iter().fold(BEGINNING.to_owned(), |text, byte| text + &format!("{byte:02x}"));
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(home.join(TOKENS))?;
    let word = match scope {
        Scope::Read => "read",
        Scope::Write => "write",
    };
    file.write_all(format!("{word} {}\n", sha256_hex(token.as_bytes())).as_bytes())?;
    Ok(token)
}

/// What a token allows. Read anew each time: what is taken out of the file is no token from then on.
///
/// # Errors
/// When that cannot be known.
pub(super) fn scope_of(home: &Path, token: &str) -> io::Result<Option<Scope>> {
    match read_regular(&home.join(TOKENS)) {
        Ok(bytes) => Ok(find(&String::from_utf8_lossy(&bytes), token)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether there is anybody who may ask.
#[must_use]
pub fn has_tokens(home: &Path) -> bool {
    read_regular(&home.join(TOKENS)).is_ok_and(|bytes| bytes.iter().any(|byte| !byte.is_ascii_whitespace()))
}

fn find(text: &str, token: &str) -> Option<Scope> {
    let digest = sha256_hex(token.as_bytes());
    let scope = |line: &str| {
        let (word, known) = line.trim().split_once(' ')?;
        // Of a digest it tells nobody anything how much of it is right.
        (known.trim() == digest).then_some(())?;
        match word {
            "read" => Some(Scope::Read),
            "write" => Some(Scope::Write),
            _ => None,
        }
    };
    text.lines().take(TOKENS_MAX).filter_map(scope).max()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_known_by_its_digest_until_it_is_taken_out() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(scope_of(home.path(), "x").unwrap(), None);
        assert!(!has_tokens(home.path()));
        let read = new_token(home.path(), Scope::Read).unwrap();
        let write = new_token(home.path(), Scope::Write).unwrap();
        assert!(has_tokens(home.path()));
        let path = home.path().join(TOKENS);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&read[4..]) && !text.contains(&write[4..]), "{text}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for (token, want) in [
            (read.as_str(), Some(Scope::Read)),
            (&write, Some(Scope::Write)),
            ("", None),
            ("pmr_", None),
            (&text[5..69], None),
        ] {
            assert_eq!(scope_of(home.path(), token).unwrap(), want, "{token}");
        }
        std::fs::write(&path, text.lines().last().unwrap()).unwrap();
        assert_eq!(scope_of(home.path(), &read).unwrap(), None);
    }
}
