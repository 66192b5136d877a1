//! What process trees use of the machine, at the moment at which somebody asks. It takes no privileges for one's own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::procfs;

/// What a process uses, with everything that it has started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// When the first process started, in clock ticks since the machine did: with its pid it is known by that.
    pub start: u64,
    /// Resident. Of what further processes share with others (libraries, shared memory) nothing is counted: else a server
    /// that forks eight times would seem to use eight times what it does.
    pub memory_bytes: u64,
    /// Time on processors, in clock ticks: of those that have ended, too, where a parent has seen to them.
    pub cpu_ticks: u64,
    pub processes: u32,
}

/// What there was to see of some trees at one moment.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Since the machine started.
    pub at_ms: u64,
    /// By the pid of each tree's first process. Who is gone is not there.
    pub trees: BTreeMap<u32, Usage>,
}

/// Linux shows times to programs in hundredths of a second on every architecture.
const TICK_MS: u64 = 10;

impl Usage {
    /// Time on processors since its start.
    #[must_use]
    pub fn cpu_ms(&self) -> u64 {
        self.cpu_ticks.saturating_mul(TICK_MS)
    }

    /// Of one processor, in tenths of a percent: 1000 is one that is never idle. Since an earlier look at the same process,
    /// or where there was none since its start.
    #[must_use]
    pub fn cpu_permille(&self, at_ms: u64, before: Option<(u64, u64)>) -> u32 {
        let (before_ms, before_ticks) = before.unwrap_or((self.start.saturating_mul(TICK_MS), 0));
        let span_ms = at_ms.saturating_sub(before_ms);
        let busy_ms = self.cpu_ticks.saturating_sub(before_ticks).saturating_mul(TICK_MS);
        let permille = busy_ms.saturating_mul(1_000).checked_div(span_ms).unwrap_or(0);
        u32::try_from(permille).unwrap_or(u32::MAX)
    }
}

/// Every process of the machine, looked at meanwhile.
#[derive(Debug)]
pub struct Glance(std::thread::JoinHandle<io::Result<(u64, Vec<Stat>)>>);

impl Glance {
    /// Begins to look. Who has to ask somebody which processes are meant asks in the meantime.
    ///
    /// # Errors
    /// When there can be no thread for it.
    pub fn begin() -> io::Result<Self> {
        std::thread::Builder::new().name("usage".to_owned()).stack_size(128 << 10).spawn(everything).map(Self)
    }

    /// What trees use, by the pids of their first processes.
    ///
    /// # Errors
    /// As [`usage`].
    pub fn at(self, roots: impl IntoIterator<Item = u32>) -> io::Result<Look> {
        let (at_ms, all) = self.0.join().map_err(|_| io::Error::other("it was given up"))??;
        Ok(look(at_ms, &roots.into_iter().collect::<Vec<_>>(), &all))
    }
}

/// Looks once at every process of the machine, and a second time only at those that the first of a tree has started.
///
/// A tree is a process with its descendants, and whoever is in its session: that of one that nobody is the parent of any
/// more. Who left for a session of its own and lost its parents is found by its mark, as the daemon's limits find it.
///
/// # Errors
/// When /proc cannot be read.
pub fn usage(roots: impl IntoIterator<Item = u32>) -> io::Result<Look> {
    let roots: Vec<u32> = roots.into_iter().collect();
    if roots.is_empty() {
        return Ok(Look { at_ms: since_boot_ms(), trees: BTreeMap::new() });
    }
    let (at_ms, all) = everything()?;
    Ok(look(at_ms, &roots, &all))
}

fn everything() -> io::Result<(u64, Vec<Stat>)> {
    let at_ms = since_boot_ms();
    let mut all = Vec::with_capacity(1_024);
    procfs::each_stat(|text| all.extend(parse(text)))?;
    Ok((at_ms, all))
}

fn look(at_ms: u64, roots: &[u32], all: &[Stat]) -> Look {
    let page = rustix::param::page_size() as u64;
    let private = |pid| procfs::memory(pid).map(|pages| pages.resident.saturating_sub(pages.shared));
    let mark = |pid| procfs::marks(pid)?.launch;
    Look { at_ms, trees: trees(roots, all, page, private, mark) }
}

/// By the clock that start times are by.
#[must_use]
pub fn since_boot_ms() -> u64 {
    let read = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
    u64::try_from(read.as_millis()).unwrap_or(0)
}

/// One process, by proc_pid_stat(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    parent: u32,
    session: u32,
    start: u64,
    ticks: u64,
    pages: u64,
}

fn trees(
    roots: &[u32],
    all: &[Stat],
    page: u64,
    private: impl Fn(u32) -> Option<u64>,
    mark: impl Fn(u32) -> Option<String>,
) -> BTreeMap<u32, Usage> {
    let by_pid: HashMap<u32, &Stat> = all.iter().map(|stat| (stat.pid, stat)).collect();
    let is_root: HashSet<u32> = roots.iter().copied().collect();
    let mut below: HashMap<u32, Vec<u32>> = HashMap::new();
    for stat in all {
        below.entry(stat.parent).or_default().push(stat.pid);
        if stat.session != stat.pid && stat.session != stat.parent && is_root.contains(&stat.session) {
            below.entry(stat.session).or_default().push(stat.pid);
        }
    }
    for (root, pid) in lost(roots, &by_pid, all, mark) {
        below.entry(root).or_default().push(pid);
    }
    let tree = |root: u32| {
        let first = by_pid.get(&root)?;
        let mut tree = Usage { start: first.start, memory_bytes: first.pages * page, ..Usage::default() };
        let mut seen = HashSet::new();
        let mut todo = vec![root];
        while let Some(pid) = todo.pop() {
            // An app that another has started (`pmrun start` in it) is the other's only where it is its child.
            let Some(stat) = by_pid.get(&pid).filter(|_| seen.insert(pid)) else { continue };
            tree.processes += 1;
            tree.cpu_ticks += stat.ticks;
            if pid != root {
                tree.memory_bytes += private(pid).unwrap_or(0) * page;
            }
            todo.extend(below.get(&pid).into_iter().flatten());
        }
        Some((root, tree))
    };
    roots.iter().filter_map(|root| tree(*root)).collect()
}

/// Who leads a session and has lost its parents, and whose it is. Whoever adopts orphans is the parent of first processes, too:
/// mostly there are no others to look at.
fn lost(
    roots: &[u32],
    by_pid: &HashMap<u32, &Stat>,
    all: &[Stat],
    mark: impl Fn(u32) -> Option<String>,
) -> Vec<(u32, u32)> {
    let is_root: HashSet<u32> = roots.iter().copied().collect();
    let known: Vec<&Stat> = roots.iter().filter_map(|root| by_pid.get(root).copied()).collect();
    let parents: HashSet<u32> = known.iter().map(|stat| stat.parent).collect();
    let Some(oldest) = known.iter().map(|stat| stat.start).min() else { return Vec::new() };
    let may_be = |stat: &&Stat| {
        stat.session == stat.pid
            && stat.start >= oldest
            && parents.contains(&stat.parent)
            && !is_root.contains(&stat.pid)
            && !parents.contains(&stat.pid)
    };
    let marked: Vec<(u32, String)> =
        all.iter().filter(may_be).filter_map(|stat| Some((stat.pid, mark(stat.pid)?))).collect();
    if marked.is_empty() {
        return Vec::new();
    }
    let root_of: HashMap<String, u32> = roots.iter().filter_map(|root| Some((mark(*root)?, *root))).collect();
    marked.into_iter().filter_map(|(pid, mark)| Some((*root_of.get(&mark)?, pid))).collect()
}

/// The second field is the program's name in parentheses, and may itself hold spaces and parentheses.
fn parse(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(text.get(..open)?).ok()?.trim().parse().ok()?;
    // From the third on.
    let mut fields = std::str::from_utf8(text.get(close + 1..)?).ok()?.split_ascii_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    // utime is field 14, then stime and those of children that were waited for.
    let mut ticks = fields.nth(7)?.parse().ok()?;
    for _ in 0..3 {
        // Said to be signed, and never negative.
        let more: u64 = fields.next()?.parse().unwrap_or(0);
        ticks += more;
    }
    // starttime is field 22, rss field 24.
    let start = fields.nth(4)?.parse().ok()?;
    let pages = fields.nth(1)?.parse().unwrap_or(0);
    Some(Stat { pid, parent, session, start, ticks, pages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_are_read_whatever_the_program_is_called() {
        for name in ["sh", "a b", "x) R 1 2 3 (y", ")"] {
            let line = format!("12 ({name}) S 7 8 9 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 4711 1000 77 2 3\n");
            let want = Stat { pid: 12, parent: 7, session: 9, start: 4711, ticks: 127, pages: 77 };
            assert_eq!(parse(line.as_bytes()), Some(want), "{name:?}");
        }
        for junk in ["", "12", "12 (sh", "12 (sh) S 7 8 9 0 -1 4194560 1 2 3 4 100", "x (sh) S 1 2 3"] {
            assert_eq!(parse(junk.as_bytes()), None, "{junk:?}");
        }
    }

    #[test]
    fn a_tree_is_its_descendants_and_its_session() {
        let stat = |pid, parent, session| Stat { pid, parent, session, start: 5, ticks: 10, pages: 3 };
        let all = [
            stat(1, 0, 1),
            stat(10, 1, 10),
            stat(11, 10, 10),
            stat(12, 11, 12),
            // It lost its parent, and brings its child along.
            stat(13, 1, 10),
            stat(14, 13, 14),
            stat(20, 1, 20),
            // They left for sessions of their own, and lost their parents. One is nobody's.
            stat(30, 1, 30),
            stat(31, 30, 30),
            stat(32, 1, 32),
            stat(33, 1, 33),
        ];
        let mark = |pid| match pid {
            10 => Some("ten".to_owned()),
            20 | 30 => Some("twenty".to_owned()),
            33 => Some("of another home".to_owned()),
            _ => None,
        };
        let found = trees(&[10, 20, 99], &all, 100, |pid| (pid != 14).then_some(2), mark);
        let tree = |memory_bytes, cpu_ticks, processes| Usage { start: 5, memory_bytes, cpu_ticks, processes };
        assert_eq!(found, BTreeMap::from([(10, tree(900, 50, 5)), (20, tree(700, 30, 3))]));
    }

    #[test]
    fn cpu_is_since_the_look_before_or_the_start() {
        let usage = Usage { start: 100, cpu_ticks: 50, ..Usage::default() };
        // 500 ms of work.
        for (at_ms, before, want) in [
            (2_000, None, 500),
            (1_000, None, 0),
            (2_000, Some((1_000, 0)), 500),
            (2_000, Some((1_000, 40)), 100),
            (2_000, Some((1_750, 0)), 2_000),
            (2_000, Some((1_000, 60)), 0),
            (2_000, Some((3_000, 0)), 0),
        ] {
            assert_eq!(usage.cpu_permille(at_ms, before), want, "{at_ms} {before:?}");
        }
    }

    #[test]
    fn this_process_uses_something() {
        let me = std::process::id();
        let look = usage([me, u32::MAX]).unwrap();
        let mine = look.trees[&me];
        assert_eq!(look.trees.len(), 1);
        assert!(mine.memory_bytes > 100 * 1024 && mine.processes >= 1, "{mine:?}");
        assert!(mine.start * TICK_MS <= look.at_ms, "{mine:?}");
        assert!(usage([]).unwrap().trees.is_empty());
        assert_eq!(Glance::begin().unwrap().at([me]).unwrap().trees[&me].start, mine.start);
    }
}
