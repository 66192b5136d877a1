//! What should run as text, beside the database: `state.backup`, the one before it, and what `pmrun save` keeps.
//!
//! A line is JSON: the head, then an app or an inherited environment each, and last a digest of all that came before.
//! A copy is written under another name, is on disk when it gets its own, and what it replaces is kept as `.1`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{StoreError, io_error};
use crate::base::{Key, sha256_hex};
use crate::runtime::{AppRecord, State, Stranger};

/// The copies of the state, newest first.
pub const BACKUPS: [&str; 2] = ["state.backup", "state.backup.1"];
/// What `pmrun save` keeps for `pmrun resurrect`.
pub const SAVED: &str = "saved";
/// Grows when an older pmrun could misread what this one writes.
const FORMAT: u32 = 1;
/// No state is as large.
const SIZE_MAX: u64 = 1 << 30;

/// A copy that is as it was written.
#[derive(Clone, Debug)]
pub struct Backup {
    pub state: State,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct Head {
    backup: u32,
    at_ms: u64,
    saves: u64,
    generation: u64,
    boot: String,
    key: Key,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    strangers: Vec<Stranger>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    App { app: (&'a str, &'a AppRecord) },
    Ambient { ambient: (&'a str, &'a BTreeMap<String, String>) },
    Sum { sha256: String },
}

/// Not one kind or another: the numbers of instances could not be read through such a choice.
#[derive(Deserialize)]
struct Read {
    app: Option<(String, Box<AppRecord>)>,
    ambient: Option<(String, BTreeMap<String, String>)>,
}

#[derive(Deserialize)]
struct Sum {
    sha256: String,
}

/// Which copies of a home can be used, newest first; of each other what is wrong with it. Those that are not there are left out.
#[must_use]
pub fn backups(home: &Path) -> Vec<(PathBuf, Result<Backup, String>)> {
    let paths = BACKUPS.iter().map(|name| home.join(name));
    paths.filter_map(|path| Some((path.clone(), read(&path)?))).collect()
}

/// Whether there is one, of whatever worth.
pub(super) fn is_there(home: &Path) -> bool {
    BACKUPS.iter().any(|name| home.join(name).symlink_metadata().is_ok())
}

/// None when there is none; else what it says, or why that cannot be known.
#[must_use]
pub fn read(path: &Path) -> Option<Result<Backup, String>> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        other => other,
    };
    let text = metadata.and_then(|metadata| match metadata.len() {
        _ if !metadata.is_file() => Err(io::Error::other("it is not a file")),
        length if length > SIZE_MAX => Err(io::Error::other("it is larger than any state")),
        _ => std::fs::read(path),
    });
    Some(text.map_err(|error| crate::platform::reason(&error)).and_then(|text| decode(&text)))
}

/// Whether a copy was written after `state` was last saved: then that is not what it was.
pub(super) fn is_ahead(home: &Path, state: &State) -> bool {
    let ahead = |path: &Path| {
        let head = first_line(path).and_then(|line| serde_json::from_slice::<Head>(&line).ok());
        head.is_some_and(|head| head.saves > state.saves && head.key == state.key)
            && matches!(read(path), Some(Ok(backup)) if backup.state.saves > state.saves)
    };
    BACKUPS.iter().any(|name| ahead(&home.join(name)))
}

/// Whether the newest copy is of what was saved last.
#[must_use]
pub fn is_current(home: &Path, state: &State) -> bool {
    let head = first_line(&home.join(BACKUPS[0])).and_then(|line| serde_json::from_slice::<Head>(&line).ok());
    head.is_some_and(|head| head.saves == state.saves && head.key == state.key)
}

fn first_line(path: &Path) -> Option<Vec<u8>> {
    use std::io::{BufRead as _, Read as _};
    // Whoever opens a pipe waits for who writes to it.
    let file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()).then(|| File::open(path).ok())??;
    let mut line = Vec::new();
    io::BufReader::new(file).take(1 << 20).read_until(b'\n', &mut line).ok()?;
    Some(line)
}

/// Replaces the newest copy; the one before it is kept.
///
/// # Errors
/// When it cannot be written; what was there is there.
pub fn write(home: &Path, state: &State, at_ms: u64) -> Result<(), StoreError> {
    let path = home.join(BACKUPS[0]);
    let fresh = home.join("state.backup.new");
    let failed = |error: &io::Error| io_error("write the backup of", &path, error);
    put(&fresh, &encode(state, at_ms)).map_err(|error| {
        // What is left of it only takes room.
        let _ = std::fs::remove_file(&fresh);
        failed(&error)
    })?;
    match std::fs::rename(&path, home.join(BACKUPS[1])) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
        Ok(()) | Err(_) => {}
    }
    std::fs::rename(&fresh, &path).map_err(|error| failed(&error))?;
    sync(home).map_err(|error| failed(&error))
}

/// Keeps what should run under a name of its own.
///
/// # Errors
/// When it cannot be written; what was kept before is kept.
pub fn keep(home: &Path, state: &State, at_ms: u64) -> Result<(), StoreError> {
    let (path, fresh) = (home.join(SAVED), home.join("saved.new"));
    let written = put(&fresh, &encode(state, at_ms)).and_then(|()| std::fs::rename(&fresh, &path));
    written.and_then(|()| sync(home)).map_err(|error| {
        let _ = std::fs::remove_file(&fresh);
        io_error("save", &path, &error)
    })
}

fn put(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Without this the name itself may be lost with the power.
pub(super) fn sync(home: &Path) -> io::Result<()> {
    File::open(home).and_then(|folder| folder.sync_all())
}

fn encode(state: &State, at_ms: u64) -> Vec<u8> {
    let State { generation, key, boot, saves, strangers, apps, ambients } = state;
    let head = Head {
        backup: FORMAT,
        at_ms,
        saves: *saves,
        generation: *generation,
        boot: boot.clone(),
        key: *key,
        strangers: strangers.clone(),
    };
    let mut text = Vec::new();
    line(&mut text, &head);
    for (name, record) in apps {
        line(&mut text, &Line::App { app: (name, record) });
    }
    for (digest, variables) in ambients {
        line(&mut text, &Line::Ambient { ambient: (digest, variables) });
    }
    let sha256 = sha256_hex(&text);
    line(&mut text, &Line::Sum { sha256 });
    text
}

fn line(text: &mut Vec<u8>, value: &impl Serialize) {
    // Strings, numbers and maps of text: there is nothing that JSON could refuse.
    if serde_json::to_writer(&mut *text, value).is_ok() {
        text.push(b'\n');
    }
}

fn decode(text: &[u8]) -> Result<Backup, String> {
    let whole = text.strip_suffix(b"\n").ok_or("it does not end where it should")?;
    let end = memchr::memrchr(b'\n', whole).ok_or("it does not end where it should")? + 1;
    let sum: Sum = serde_json::from_slice(&whole[end..]).map_err(|_| "it does not end where it should")?;
    if sum.sha256 != sha256_hex(&text[..end]) {
        return Err("it is not what was written".to_owned());
    }
    let mut lines = text[..end].split_inclusive(|byte| *byte == b'\n');
    let head: Head = lines.next().and_then(|line| serde_json::from_slice(line).ok()).ok_or("it is not pmrun's")?;
    let Head { backup, at_ms, saves, generation, boot, key, strangers } = head;
    if backup > FORMAT {
        return Err(format!("a newer pmrun wrote it (its format is {backup}, this one knows {FORMAT})"));
    }
    let mut state = State { generation, key, boot, saves, strangers, apps: BTreeMap::new(), ambients: BTreeMap::new() };
    for (number, line) in lines.enumerate() {
        match serde_json::from_slice(line) {
            Ok(Read { app: Some((name, record)), ambient: None }) => _ = state.apps.insert(name, *record),
            Ok(Read { app: None, ambient: Some((digest, variables)) }) => {
                state.ambients.insert(digest, Arc::new(variables));
            }
            Ok(_) | Err(_) => return Err(format!("line {} is neither an app nor an environment", number + 2)),
        }
    }
    Ok(Backup { state, at_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{InstanceRecord, Intent};
    use crate::spec::AppSpec;

    fn state(saves: u64) -> State {
        let spec = Arc::new(AppSpec::new("a\n\"é", "/bin/true", "/"));
        let instances = BTreeMap::from([(0, Box::new(InstanceRecord::new(7, Intent::Up)))]);
        let record = AppRecord { ecosystem: None, file: None, spec, ambient: "d".to_owned(), instances };
        State {
            saves,
            generation: 3,
            boot: "b".to_owned(),
            apps: BTreeMap::from([("a\n\"é".to_owned(), record)]),
            ambients: BTreeMap::from([("d".to_owned(), Arc::new(BTreeMap::from([("X".into(), "1\n2".into())])))]),
            ..State::empty(Key([9; 32]))
        }
    }

    #[test]
    fn a_copy_says_what_was_copied_and_any_change_of_it_is_noticed() {
        let text = encode(&state(5), 77);
        let Backup { state: read, at_ms } = decode(&text).unwrap();
        let want = state(5);
        assert_eq!((at_ms, read.saves, read.generation, read.boot.as_str(), read.key), (77, 5, 3, "b", want.key));
        assert_eq!((&read.apps, &read.ambients), (&want.apps, &want.ambients));
        for length in 0..text.len() {
            assert!(decode(&text[..length]).is_err(), "cut at {length}");
        }
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut flipped = text.clone();
                flipped[at] ^= 1 << bit;
                // The digest may be written in another way; what it is of may not change.
                if let Ok(read) = decode(&flipped) {
                    assert_eq!((read.state.apps, read.at_ms), (want.apps.clone(), 77), "bit {bit} of byte {at}");
                }
            }
        }
    }

    #[test]
    fn the_copy_before_is_kept_and_a_newer_one_is_not_misread() {
        let home = tempfile::tempdir().unwrap();
        assert!(backups(home.path()).is_empty() && !is_there(home.path()));
        for saves in 1..=3 {
            write(home.path(), &state(saves), saves).unwrap();
        }
        let known = || backups(home.path()).into_iter().map(|(_, one)| one.map(|one| one.state.saves));
        assert_eq!(known().collect::<Vec<_>>(), [Ok(3), Ok(2)]);
        assert!(is_ahead(home.path(), &state(2)) && !is_ahead(home.path(), &state(3)));
        let newer = String::from_utf8(encode(&state(4), 0)).unwrap().replace("{\"backup\":1", "{\"backup\":2");
        let end = newer.trim_end().rfind('\n').unwrap() + 1;
        let newer = format!("{}{{\"sha256\":\"{}\"}}\n", &newer[..end], sha256_hex(&newer.as_bytes()[..end]));
        std::fs::write(home.path().join(BACKUPS[0]), newer).unwrap();
        let said = known().next().unwrap().unwrap_err();
        assert!(said.starts_with("a newer pmrun wrote it"), "{said}");
    }
}
