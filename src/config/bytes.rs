//! Reading files within limits, and where their bytes are.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::Path;

use crate::diag::{Code, Diagnostic};
use crate::document::{Location, Position, SourceId, Span};

/// The largest file that is taken for a config, or for a module of one, in bytes.
pub(super) const LIMIT: u64 = 4 * 1024 * 1024;

const BOM: &str = "\u{feff}";

/// A file's text as it is, byte order mark and line ends included. `real` is where the bytes are, `shown` what
/// diagnostics call it.
pub(super) fn read(real: &Path, shown: &Path) -> Result<String, Box<Diagnostic>> {
    let text = read_text(real, shown)?;
    if text.trim_start_matches(BOM).trim().is_empty() {
        let problem = refusal(format!("`{}` is empty", shown.display()), shown);
        return Err(Box::new(problem.hint("an ecosystem file has at least `apps`")));
    }
    Ok(text)
}

/// The same of a file that may be empty.
pub(super) fn read_text(real: &Path, shown: &Path) -> Result<String, Box<Diagnostic>> {
    let bytes = read_bytes(real, shown)?;
    String::from_utf8(bytes).map_err(|error| Box::new(not_utf8(error.as_bytes(), shown)))
}

/// A regular file's bytes, if it is not too large.
pub(super) fn read_bytes(real: &Path, shown: &Path) -> Result<Vec<u8>, Box<Diagnostic>> {
    let refuse = |message: String| Box::new(refusal(message, shown));
    let name = shown.display();
    // The kind is looked at before the file is opened: opening a fifo waits for its writer.
    let metadata = fs::metadata(real).map_err(|error| refuse(cannot(&error, shown)))?;
    if metadata.is_dir() {
        return Err(Box::new(refuse(format!("`{name}` is a folder")).hint("name the ecosystem file in it")));
    }
    if !metadata.is_file() {
        return Err(refuse(format!("`{name}` is not a regular file")));
    }
    if metadata.len() > LIMIT {
        return Err(refuse(too_large(shown, Some(metadata.len()))));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // The length is asked again by reading: files of /proc and files that grow say too little before.
    File::open(real)
        .and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|error| refuse(cannot(&error, shown)))?;
    if bytes.len() as u64 > LIMIT {
        return Err(refuse(too_large(shown, None)));
    }
    Ok(bytes)
}

fn refusal(message: String, shown: &Path) -> Diagnostic {
    Diagnostic::error(Code::File, message, Location::File(shown.to_owned()))
}

/// Where a front-end's ranges lie in the file: parsers see the text without its byte order mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    source: SourceId,
    skipped: usize,
}

impl Origin {
    /// The text to parse, and what turns its ranges into spans.
    pub(super) fn of(text: &str, source: SourceId) -> (&str, Self) {
        let bare = text.strip_prefix(BOM).unwrap_or(text);
        (bare, Self { source, skipped: text.len() - bare.len() })
    }

    pub(super) fn span(self, range: &Range<usize>) -> Span {
        let place = |at: usize| u32::try_from(at + self.skipped).unwrap_or(u32::MAX);
        Span { source: self.source, start: place(range.start), end: place(range.end.max(range.start)) }
    }

    pub(super) fn at(self, range: &Range<usize>) -> Location {
        Location::At { span: self.span(range), path: String::new() }
    }
}

/// Digits of a radix as JavaScript reads them: the nearest double, infinity beyond.
pub(super) fn whole(digits: &str, radix: u32) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "numbers are doubles, as in JavaScript")]
    let exact = u128::from_str_radix(digits, radix).map(|value| value as f64);
    exact.unwrap_or_else(|_| {
        let step = |sum: f64, digit: u32| sum * f64::from(radix) + f64::from(digit);
        digits.chars().filter_map(|c| c.to_digit(radix)).fold(0.0, step)
    })
}

/// A parser's message in the manner of ours: lower case, no full stop.
pub(super) fn lower(message: &str) -> String {
    let message = message.trim().trim_end_matches('.');
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        // Names such as YAML stay.
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(chars).collect(),
        _ => message.to_owned(),
    }
}

fn cannot(error: &std::io::Error, shown: &Path) -> String {
    let name = shown.display();
    match error.kind() {
        ErrorKind::NotFound => format!("`{name}` does not exist"),
        ErrorKind::PermissionDenied => format!("`{name}` cannot be read: permission denied"),
        ErrorKind::NotADirectory => format!("`{name}` does not exist: a part of its path is not a folder"),
        _ => format!("`{name}` cannot be read: {error}"),
    }
}

pub(super) fn too_large(shown: &Path, size: Option<u64>) -> String {
    let size = size.map_or(String::new(), |bytes| format!(" ({} MB)", bytes / (1024 * 1024)));
    format!("`{}` is too large for a config{size}: at most 4 MB are read", shown.display())
}

/// What is said of a file that begins as UTF-16 does.
pub(super) fn utf16(bytes: &[u8], shown: &Path) -> Option<Diagnostic> {
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let message = format!("`{}` is UTF-16, not UTF-8", shown.display());
    is_utf16.then(|| refusal(message, shown).hint("save it as UTF-8"))
}

fn not_utf8(bytes: &[u8], shown: &Path) -> Diagnostic {
    if let Some(problem) = utf16(bytes, shown) {
        return problem;
    }
    let valid = std::str::from_utf8(bytes).err().map_or(bytes.len(), |error| error.valid_up_to());
    let before = String::from_utf8_lossy(&bytes[..valid]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().filter(|c| *c != '\u{feff}').count() + 1;
    let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let position = Position { line: count(line), column: count(column) };
    let found = bytes.get(valid).map_or(String::new(), |byte| format!(": byte 0x{byte:02x}"));
    let message = format!("`{}` is not UTF-8{found}", shown.display());
    Diagnostic::error(Code::File, message, Location::Line { file: shown.to_owned(), position }).hint("save it as UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> String {
        let diagnostic = read(path, Path::new("shown.json")).expect_err("is refused");
        assert_eq!(diagnostic.code, Code::File);
        diagnostic.message
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let huge = file("huge", b"");
        File::options().write(true).open(&huge).unwrap().set_len(50 << 20).unwrap();
        let table = [
            (folder.path().join("none"), "`shown.json` does not exist"),
            (file("plain", b"x").join("below"), "`shown.json` does not exist: a part of its path is not a folder"),
            (folder.path().to_owned(), "`shown.json` is a folder"),
            (file("empty", b""), "`shown.json` is empty"),
            (file("blank", b"\xef\xbb\xbf \r\n\t"), "`shown.json` is empty"),
            (file("latin", b"{\n \"\xc3\xa9\xe9\""), "`shown.json` is not UTF-8: byte 0xe9"),
            (file("utf16", b"\xff\xfe{\0"), "`shown.json` is UTF-16, not UTF-8"),
            (huge, "`shown.json` is too large for a config (50 MB): at most 4 MB are read"),
            ("/dev/zero".into(), "`shown.json` is not a regular file"),
        ];
        for (path, want) in table {
            assert_eq!(refused(&path), want, "{}", path.display());
        }
    }

    #[test]
    fn a_fifo_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(refused(&path), "`shown.json` is not a regular file");
    }

    #[test]
    fn broken_bytes_have_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, b"\xef\xbb\xbfa\n\xc3\xa9\xff").unwrap();
        let diagnostic = read(&path, Path::new("x")).unwrap_err();
        let position = Position { line: 2, column: 2 };
        assert_eq!(diagnostic.location, Location::Line { file: "x".into(), position });
    }

    #[test]
    fn text_is_kept_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "\u{feff}a\r\n").unwrap();
        assert_eq!(read(&path, &path).unwrap(), "\u{feff}a\r\n");
    }
}
