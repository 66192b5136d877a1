//! Where each instance stands, for the daemon that follows when this one is killed: `PMRUN_HOME/standings`.
//!
//! A line is JSON, the last about an instance counts. It is written to the page cache and not to the disk: it has to
//! outlive processes, not the machine. What cannot be read of it is done without: then the processes alone say what is.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::log;
use crate::platform::reason;
use crate::runtime::{Core, Standing};

const FILE: &str = "standings";
/// It is written anew when it has grown to this and to so many times what is of use in it.
const GROWN_BYTES: u64 = 256 << 10;
const GROWN_TIMES: u64 = 4;

#[derive(Debug)]
pub(super) struct Standings {
    path: PathBuf,
    boot: String,
    /// None when it cannot be written.
    file: Option<File>,
    bytes: u64,
    /// What it had when it was written anew.
    useful: u64,
    /// Said and not written yet.
    pending: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line<'a> {
    /// The first: which start of the machine it is about.
    Boot { boot: std::borrow::Cow<'a, str> },
    /// None: it is no more.
    Standing { id: u32, standing: Option<std::borrow::Cow<'a, Standing>> },
}

/// Of a line that cannot be understood whole.
#[derive(Deserialize)]
struct About {
    id: u32,
}

impl Standings {
    /// With what an earlier daemon has left.
    pub(super) fn open(home: &Path, boot: String) -> (Self, BTreeMap<u32, Standing>) {
        let path = home.join(FILE);
        let known = std::fs::read(&path).map(|text| read(&text, &boot)).unwrap_or_default();
        let mut standings = Self { path, boot, file: None, bytes: 0, useful: 0, pending: Vec::new() };
        standings.begin(known.iter().map(|(id, standing)| (*id, standing)));
        (standings, known)
    }

    pub(super) fn note(&mut self, id: u32, standing: Option<&Standing>) {
        let standing = standing.map(std::borrow::Cow::Borrowed);
        write_line(&mut self.pending, &Line::Standing { id, standing });
    }

    pub(super) fn flush(&mut self, core: &Core) {
        if self.pending.is_empty() {
            return;
        }
        let grown = self.bytes > GROWN_BYTES && self.bytes > GROWN_TIMES * self.useful;
        if grown || self.file.is_none() {
            self.pending.clear();
            let all: Vec<(u32, Standing)> = core.standings().collect();
            self.begin(all.iter().map(|(id, standing)| (*id, standing)));
            return;
        }
        let Some(file) = &mut self.file else { return };
        match file.write_all(&self.pending) {
            Ok(()) => self.bytes += self.pending.len() as u64,
            Err(error) => self.give_up(&error),
        }
        self.pending.clear();
    }

    /// Nothing is left that should go on.
    pub(super) fn end(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Under another name first: the old one counts until the new one is whole.
    fn begin<'a>(&mut self, all: impl Iterator<Item = (u32, &'a Standing)>) {
        let mut text = Vec::new();
        write_line(&mut text, &Line::Boot { boot: self.boot.as_str().into() });
        for (id, standing) in all {
            write_line(&mut text, &Line::Standing { id, standing: Some(std::borrow::Cow::Borrowed(standing)) });
        }
        match replace(&self.path, &text) {
            Ok(file) => {
                self.file = Some(file);
                self.bytes = text.len() as u64;
                self.useful = self.bytes;
            }
            Err(error) => self.give_up(&error),
        }
    }

    /// What is old is worse than nothing. It is tried again with the next change.
    fn give_up(&mut self, error: &io::Error) {
        if self.file.take().is_some() || self.bytes == 0 {
            let (path, reason) = (self.path.display(), reason(error));
            log::line(format_args!(
                "cannot write `{path}`: {reason}; should the daemon be killed now, the next one counts restarts from 0"
            ));
            self.bytes = 1;
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn replace(path: &Path, text: &[u8]) -> io::Result<File> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text)?;
    std::fs::rename(&fresh, path)?;
    Ok(file)
}

fn write_line(out: &mut Vec<u8>, line: &Line<'_>) {
    // Only strings, numbers and names: there is nothing that JSON could refuse.
    if serde_json::to_writer(&mut *out, line).is_ok() {
        out.push(b'\n');
    }
}

/// What it says of this start of the machine.
fn read(text: &[u8], boot: &str) -> BTreeMap<u32, Standing> {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let about = |_| serde_json::from_slice::<About>(line).map(|about| about.id).ok();
        serde_json::from_slice::<Line>(line).map_err(about)
    });
    let mut known = BTreeMap::new();
    if !matches!(lines.next(), Some(Ok(Line::Boot { boot: of })) if of == boot) {
        return known;
    }
    for line in lines {
        match line {
            Ok(Line::Standing { id, standing: Some(standing) }) => {
                known.insert(id, standing.into_owned());
            }
            Ok(Line::Standing { id, standing: None }) => {
                known.remove(&id);
            }
            Ok(Line::Boot { .. }) => {}
            // A newer pmrun's. What is older does not count in its place.
            Err(Some(id)) => {
                known.remove(&id);
            }
            Err(None) => {}
        }
    }
    known
}
