//! The file system of groups, as the kernel has it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::place::{Me, Tree, folder_of};
use crate::base::sha256_hex;
use crate::platform::procfs::{self, Table};

#[derive(Debug)]
pub(super) struct Kernel;

impl Tree for Kernel {
    fn read(&self, path: &Path) -> io::Result<String> {
        fs::read_to_string(path)
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        // One call: each is an order of its own.
        fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
    }

    fn make(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir(folder)
    }

    fn remove(&self, folder: &Path) -> io::Result<()> {
        fs::remove_dir(folder)
    }

    fn below(&self, folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
    }

    fn is_delegated(&self, folder: &Path) -> bool {
        // The first can be read by everybody, and has been set since systemd 251.
        ["user.delegate", "trusted.delegate"].into_iter().any(|name| {
            let mut value = [0_u8; 8];
            rustix::fs::getxattr(folder, name, &mut value[..]).is_ok_and(|length| value.get(..length) == Some(b"1"))
        })
    }

    fn is_ours(&self, pid: u32) -> bool {
        let program = |pid: u32| procfs::file_id(&format!("/proc/{pid}/exe"));
        let me = std::process::id();
        if pid == me || program(pid).is_some_and(|theirs| Some(theirs) == program(me)) {
            return true;
        }
        let Ok(table) = Table::scan() else { return false };
        let mut at = pid;
        // Parents that are given anew while it is read could lead in a circle.
        for _ in 0..table.processes.len() {
            match table.get(at) {
                None => return false,
                Some(process) if process.parent == me => return true,
                Some(process) => at = process.parent,
            }
        }
        false
    }
}

/// What groups of a home are called after.
pub(super) fn name(home: &str) -> String {
    format!("pmrun-{}", &sha256_hex(home.as_bytes())[..8])
}

/// None without cgroup v2.
pub(super) fn me(home: &str) -> Option<Me> {
    let (group, mount) = folder(std::process::id())?;
    Some(Me {
        mount,
        group,
        name: name(home),
        is_root: rustix::process::geteuid().is_root(),
        systemd: Path::new("/run/systemd/system").exists(),
    })
}

/// Whether it is worth a look in which group a process is: where all are mounted is a long text, made for each who reads it.
pub(super) fn may_be_below(pid: u32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|cgroup| cgroup.contains(name))
}

/// Of the group that a process is in, and where the hierarchy is mounted.
pub(super) fn folder(pid: u32) -> Option<(PathBuf, PathBuf)> {
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    folder_of(&cgroup, &fs::read_to_string("/proc/self/mountinfo").ok()?)
}
