//! Another program in place of this one: the same process, with the same children and what it had open.

use std::collections::BTreeMap;
use std::fs::{DirEntry, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{MemfdFlags, memfd_create};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::sys;

/// What the next program is told.
#[derive(Serialize, Deserialize)]
struct Handed<T> {
    /// By name, descriptors that stay open.
    fds: BTreeMap<String, i32>,
    note: T,
}

/// Names of what is only not to be closed meanwhile.
const WATCH: &str = "watch/";

/// Becomes `program`, which is run with `word` and the number of a descriptor that [`taken_over`] reads.
///
/// Returns only when that cannot be; everything is as before then.
pub(super) fn hand_over(
    program: &Path,
    word: &str,
    fds: &BTreeMap<String, OwnedFd>,
    note: &impl Serialize,
) -> io::Error {
    let prepare = || -> io::Result<(Vec<OwnedFd>, File)> {
        // Copies, which alone go on: should it fail, nothing that is open here goes on to what is started later.
        let mut copies: Vec<OwnedFd> = fds.values().map(rustix::io::dup).collect::<Result<_, _>>()?;
        let watches = watches();
        let names = fds.keys().cloned().chain((0..watches.len()).map(|number| format!("{WATCH}{number}")));
        copies.extend(watches);
        let numbers = names.zip(copies.iter().map(AsRawFd::as_raw_fd)).collect();
        let mut told = File::from(memfd_create("pmrun", MemfdFlags::empty())?);
        told.write_all(&serde_json::to_vec(&Handed { fds: numbers, note })?)?;
        told.rewind()?;
        Ok((copies, told))
    };
    match prepare() {
        Ok((_copies, told)) => Command::new(program).arg(word).arg(told.as_raw_fd().to_string()).exec(),
        Err(error) => error,
    }
}

/// Copies of this process's inotify descriptors. The last of each is closed when there is time for it: that waits until no
/// processor can be looking at what was watched, which takes 20 ms (measured; `fsnotify_destroy_group`), and `exec` would, too.
fn watches() -> Vec<OwnedFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let is_watch =
        |entry: &DirEntry| std::fs::read_link(entry.path()).is_ok_and(|what| what.as_os_str() == "anon_inode:inotify");
    let watches = entries.flatten().filter(is_watch);
    watches.filter_map(|entry| sys::copy_of(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// What the program before this one has left to it. To be called first thing.
pub(super) fn taken_over<T: DeserializeOwned>(fd: i32) -> io::Result<(BTreeMap<String, OwnedFd>, T)> {
    let told = sys::inherited(fd).ok_or(rustix::io::Errno::BADF)?;
    let mut text = Vec::new();
    File::from(told).read_to_end(&mut text)?;
    let Handed { fds, note } = serde_json::from_slice(&text)?;
    let open = fds.into_iter().filter_map(|(name, fd)| Some((name, sys::inherited(fd)?))).collect();
    Ok((open, note))
}

/// Of what [`taken_over`] has given, that which is only to be closed, and takes its time for it.
pub(super) fn take_watches(fds: &mut BTreeMap<String, OwnedFd>) -> Vec<OwnedFd> {
    fds.extract_if(.., |name, _| name.starts_with(WATCH)).map(|(_, fd)| fd).collect()
}
