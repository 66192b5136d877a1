use std::collections::BTreeSet;

use super::Host;
use super::running::Running;
use crate::platform::procfs::{self, Table};
use crate::platform::reason;
use crate::platform::tag::{Tag, launch_bits};
use crate::supervisor::LaunchId;

impl Host {
    /// The memory in bytes that launches use with everything that they have started, wherever that has gone. One that
    /// does not run is left out.
    ///
    /// Resident memory, as PM2 counts it. What further processes share with others (libraries, shared memory) is
    /// theirs only once: else a server that forks eight times would seem to use eight times what it does.
    pub fn memory(&mut self, launches: &[LaunchId]) -> Vec<(LaunchId, u64)> {
        let table = match self.with_spare_files(|_| Table::scan()) {
            Ok(table) => table,
            Err(error) => {
                self.notice(format!("cannot look how much memory is used: {}", reason(&error)));
                return Vec::new();
            }
        };
        let orphans = self.orphans(&table);
        let page = rustix::param::page_size() as u64;
        let running = launches.iter().filter_map(|launch| Some((*launch, self.running.get(launch)?)));
        let measured = running.map(|(launch, running)| {
            let members = of_launch(&table, &orphans, running);
            let pages = members.into_iter().filter_map(|pid| {
                let used = procfs::memory(pid)?;
                Some(if pid == running.pid { used.resident } else { used.resident.saturating_sub(used.shared) })
            });
            (launch, pages.sum::<u64>() * page)
        });
        measured.collect()
    }

    /// Everybody of a launch, its first process among them.
    pub(super) fn members(&mut self, launch: LaunchId) -> Vec<u32> {
        let table = self.with_spare_files(|_| Table::scan()).unwrap_or_default();
        let orphans = self.orphans(&table);
        let running = self.running.get(&launch);
        running.map(|running| of_launch(&table, &orphans, running).into_iter().collect()).unwrap_or_default()
    }

    /// Processes of this home that lost their parents and became ours, and whose launch's they are.
    fn orphans(&self, table: &Table) -> Vec<(u32, u64)> {
        let others = table.children(std::process::id()).filter(|child| !self.roots.contains_key(&child.pid));
        let launch = |pid: u32| {
            let tag = procfs::file_locks(pid).and_then(Tag::of_limit).filter(|tag| tag.is_of(&self.home))?;
            Some((pid, tag.launch))
        };
        others.filter_map(|child| launch(child.pid)).collect()
    }
}

fn of_launch(table: &Table, orphans: &[(u32, u64)], running: &Running) -> BTreeSet<u32> {
    let theirs = launch_bits(&running.mark);
    let strays = orphans.iter().filter(|(_, launch)| *launch == theirs).map(|(pid, _)| *pid);
    let strays = strays.chain(table.session(running.pid).map(|process| process.pid));
    descendants(table, std::iter::once(running.pid).chain(strays))
}

fn descendants(table: &Table, first: impl Iterator<Item = u32>) -> BTreeSet<u32> {
    let mut todo: Vec<u32> = first.collect();
    let mut found = BTreeSet::new();
    while let Some(pid) = todo.pop() {
        if found.insert(pid) {
            todo.extend(table.children(pid).map(|child| child.pid));
        }
    }
    found
}
