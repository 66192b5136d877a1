//! Who listens on a port of this machine, as /proc shows it (proc(5), proc_pid_net(5)).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::procfs;

/// The state of a socket that listens (net/tcp_states.h).
const LISTENS: &str = "0A";
/// Nobody's parents go further back; pids that are given out anew meanwhile could go in a circle.
const GENERATIONS_MAX: usize = 64;
/// Of a command line, that is shown to people.
const COMMAND_BYTES_MAX: usize = 80;

/// Who listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listeners {
    Nobody,
    /// Processes that may not be looked at: another user's.
    Hidden,
    Known(Vec<Listener>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub pid: u32,
    /// Cut off where it is long.
    pub command: String,
    /// It, its parent, and so on.
    pub lineage: Vec<u32>,
}

/// Who listens on a TCP port, on whichever address, by pid.
#[must_use]
pub fn listeners(port: u16) -> Listeners {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let sockets: BTreeSet<String> = tables.iter().flat_map(|table| sockets_of(table, port)).collect();
    if sockets.is_empty() {
        return Listeners::Nobody;
    }
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_one = |pid: &u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| is_one_of(&target, &sockets))
    };
    let listener = |pid| Listener { pid, command: command(pid).unwrap_or_default(), lineage: lineage(pid) };
    let mut known: Vec<Listener> = pids.filter(has_one).map(listener).collect();
    known.sort_by_key(|listener| listener.pid);
    if known.is_empty() { Listeners::Hidden } else { Listeners::Known(known) }
}

/// The numbers of the sockets in a table that listen on a port.
fn sockets_of(table: &str, port: u16) -> impl Iterator<Item = String> {
    let wanted = format!("{port:04X}");
    table.lines().skip(1).filter_map(move |line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (local, state, socket) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (_, at) = local.rsplit_once(':')?;
        (*state == LISTENS && at == wanted).then(|| (*socket).to_owned())
    })
}

fn is_one_of(target: &Path, sockets: &BTreeSet<String>) -> bool {
    let number = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
    number.is_some_and(|number| sockets.contains(number))
}

fn lineage(pid: u32) -> Vec<u32> {
    let parent = |pid: &u32| procfs::process(*pid).ok().flatten().map(|process| process.parent).filter(|pid| *pid != 0);
    std::iter::successors(Some(pid), parent).take(GENERATIONS_MAX).collect()
}

fn command(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<String> = (bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()))
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let mut text = words.join(" ");
    if text.len() > COMMAND_BYTES_MAX {
        let end = (0..=COMMAND_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_found_by_port() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let Listeners::Known(found) = listeners(port) else { panic!("nobody") };
        // A child of another test's, between fork and exec, has it as well.
        let me = found.iter().find(|one| one.pid == std::process::id()).expect("this process");
        assert!(!me.command.is_empty() && me.lineage.len() > 1);
        assert!(found.iter().all(|one| one.lineage.contains(&me.pid)));
        drop(listener);
        // Whoever else has got it meanwhile is not this process, which has tests of its own.
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n   \
                     1: 0100007F:0BB8 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n";
        assert_eq!(sockets_of(table, 3000).collect::<Vec<_>>(), ["4711"]);
        assert_eq!(sockets_of(table, 3001).count(), 0);
    }
}
