//! Which processes belong to a launch, and where an ongoing stop of one is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::OwnedFd;

use super::procfs::{Marks, Process, Table};
use super::tag::{Tag, launch_bits, list_bits};
use crate::base::Signal;
use crate::supervisor::Launch;

/// How a launch is recognised among all processes.
#[derive(Clone, Debug, Default)]
pub(super) struct Kin {
    /// The first process, until its end is known.
    pub(super) root: Option<u32>,
    /// When it started, where its pid is not kept from others by being our child.
    pub(super) start: Option<u64>,
    /// Its session, which may outlive it; 0 is not known.
    pub(super) session: u32,
    /// The value of `PMRUN_LAUNCH`.
    pub(super) mark: String,
    /// The value of `PMRUN_INSTANCE`: what an earlier launch of the same instance left behind belongs to this one.
    pub(super) instance: Option<String>,
    /// [`Tag::list_id`], which says the same.
    pub(super) list_id: Option<u64>,
    pub(super) logs: Vec<String>,
    /// Started by an earlier daemon: its orphans are not this one's.
    pub(super) adopted: bool,
}

impl Kin {
    /// All that was ever started of an instance.
    pub(super) fn of_instance(launch: &Launch) -> Self {
        let instance = Some(launch.instance.to_string());
        Self { instance, list_id: Some(list_bits(launch)), adopted: true, ..Self::default() }
    }
}

/// A stop that goes on until nothing is left.
#[derive(Debug)]
pub(super) struct Stopping {
    pub(super) kin: Kin,
    /// False: only the first process counts.
    pub(super) tree: bool,
    pub(super) todo: Todo,
    /// What latecomers are sent: children that were forked while their parents were being signalled.
    pub(super) signal: Signal,
    pub(super) killing: bool,
    /// Everything but the first process, by pid.
    pub(super) members: BTreeMap<u32, Member>,
    /// How often something new was found after all was gone.
    pub(super) rounds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Todo {
    /// Wait for what is watched.
    Nothing,
    /// Find them all and send them the signal.
    Signal,
    /// Find and watch them; the message has gone out already.
    Watch,
    /// Find them all and make an end.
    Kill,
    /// All that was known is gone: see whether that was all.
    Verify,
}

/// A descendant, pinned.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) pidfd: OwnedFd,
    pub(super) start: u64,
    pub(super) key: u64,
}

/// What /proc tells beyond the table, read at most once a look.
pub(super) trait Closer {
    /// None when it cannot be read.
    fn marks(&mut self, process: &Process) -> Option<Marks>;
    fn tag(&mut self, pid: u32) -> Option<Tag>;
    /// Whether what is called our home there is ours.
    fn sees_home(&mut self, pid: u32) -> bool;
    fn outputs(&mut self, pid: u32) -> Vec<(u64, u64)>;
    fn file_id(&mut self, path: &str) -> Option<(u64, u64)>;
}

/// One look at the machine, shared by every stop that is under way.
#[derive(Default)]
pub(super) struct Survey {
    table: Table,
    me: u32,
    by_mark: HashMap<String, Vec<u32>>,
    by_instance: HashMap<String, Vec<u32>>,
    by_tag: HashMap<u64, Vec<u32>>,
    by_list_id: HashMap<u64, Vec<u32>>,
    /// Processes without mark and tag that lost their parents, with what they write to.
    orphans: Vec<(Process, Vec<(u64, u64)>)>,
}

/// The launches that are known to run: their first processes need no closer look and are nobody's descendants.
pub(super) struct Known<'a> {
    pub(super) home: &'a str,
    pub(super) roots: &'a HashMap<u32, crate::supervisor::LaunchId>,
    pub(super) live_marks: &'a HashSet<String>,
    /// Processes older than this were there before pmrun.
    pub(super) oldest: u64,
    pub(super) any_adopted: bool,
}

impl Survey {
    pub(super) fn new(table: Table, me: u32, known: &Known<'_>, closer: &mut impl Closer) -> Self {
        let mut survey = Self { table, me, ..Self::default() };
        let live_tags: HashSet<u64> = known.live_marks.iter().map(|mark| launch_bits(mark)).collect();
        let mut orphans = Vec::new();
        for process in &survey.table.processes {
            let theirs = process.start < known.oldest && !known.any_adopted;
            if process.dead || theirs || process.pid == me || process.pid == 1 || known.roots.contains_key(&process.pid)
            {
                continue;
            }
            // Not to be read where a process has made itself unreadable; what others may see of it still tells.
            let marks = closer.marks(process).unwrap_or_default();
            let ours = marks.home.as_deref() == Some(known.home);
            match marks.launch.filter(|_| ours) {
                Some(launch) => {
                    // A launch that still runs answers for its own processes only. No two have the same mark, while
                    // an instance of another home may be called the same.
                    if let Some(instance) = marks.instance.filter(|_| !known.live_marks.contains(&launch))
                        && closer.sees_home(process.pid)
                    {
                        survey.by_instance.entry(instance).or_default().push(process.pid);
                    }
                    survey.by_mark.entry(launch).or_default().push(process.pid);
                }
                // What an earlier daemon's launches lost went to whoever adopts orphans above it.
                None if process.parent == me || known.any_adopted => match closer.tag(process.pid) {
                    Some(tag) if tag.is_of(known.home) => {
                        if !live_tags.contains(&tag.launch) && closer.sees_home(process.pid) {
                            survey.by_list_id.entry(tag.list_id).or_default().push(process.pid);
                        }
                        survey.by_tag.entry(tag.launch).or_default().push(process.pid);
                    }
                    _ if process.parent == me || process.parent == 1 => orphans.push(*process),
                    _ => {}
                },
                None => {}
            }
        }
        survey.orphans = orphans.into_iter().map(|orphan| (orphan, closer.outputs(orphan.pid))).collect();
        survey
    }

    /// Everything alive that belongs to a launch, its first process left out. `pinned` is what is known to belong, by pid
    /// and start, `shared` says whether others write to a log as well.
    pub(super) fn members<'k>(
        &self,
        kin: &'k Kin,
        pinned: impl Iterator<Item = (u32, u64)>,
        shared: impl Fn(&'k str) -> bool,
        closer: &mut impl Closer,
    ) -> Vec<Process> {
        let mut members = Vec::new();
        let mut seen: HashSet<u32> = HashSet::from([self.me, 1]);
        // The pid of one that has ended may be another's before anybody hears of it.
        let is_still = |pid: u32, start: u64| self.table.get(pid).is_none_or(|process| process.start == start);
        let mut queue: Vec<u32> = pinned.filter(|(pid, start)| is_still(*pid, *start)).map(|(pid, _)| pid).collect();
        queue.extend(self.by_mark.get(&kin.mark).into_iter().flatten());
        queue.extend(kin.instance.iter().filter_map(|instance| self.by_instance.get(instance)).flatten());
        queue.extend(self.by_tag.get(&launch_bits(&kin.mark)).into_iter().flatten());
        queue.extend(kin.list_id.iter().filter_map(|list_id| self.by_list_id.get(list_id)).flatten());
        queue.extend(self.orphans_of(kin, shared, closer));
        queue.extend(kin.root.filter(|root| kin.start.is_none_or(|start| is_still(*root, start))));
        // While the session has members its number is not given to a new process; when there is such a process, the
        // session is another's.
        if kin.root.is_none() && kin.session != 0 && self.table.get(kin.session).is_none() {
            queue.extend(self.table.session(kin.session).map(|member| member.pid));
        }
        while let Some(pid) = queue.pop() {
            if !seen.insert(pid) {
                continue;
            }
            if let Some(process) = self.table.get(pid).filter(|process| !process.dead && Some(pid) != kin.root) {
                members.push(*process);
            }
            queue.extend(self.table.children(pid).map(|child| child.pid));
            // A session is led by the process whose pid it bears. Its members stay in it when the leader is gone.
            queue.extend(self.table.session(pid).map(|member| member.pid));
        }
        members
    }

    /// What was re-parented to us without a mark (`env -i`) but writes to the log of exactly this launch.
    fn orphans_of<'k>(&self, kin: &'k Kin, shared: impl Fn(&'k str) -> bool, closer: &mut impl Closer) -> Vec<u32> {
        if self.orphans.is_empty() {
            return Vec::new();
        }
        let own = kin.logs.iter().filter(|log| !shared(log.as_str()));
        let files: Vec<(u64, u64)> = own.filter_map(|log| closer.file_id(log)).collect();
        let writes = |outputs: &Vec<(u64, u64)>| outputs.iter().any(|file| files.contains(file));
        let ours = |orphan: &Process| orphan.parent == self.me;
        self.orphans
            .iter()
            .filter(|(orphan, outputs)| (ours(orphan) || kin.adopted) && writes(outputs))
            .map(|(orphan, _)| orphan.pid)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::tag::home_bits;
    use crate::supervisor::LaunchId;

    const ME: u32 = 100;

    #[derive(Default)]
    struct Invented {
        marks: HashMap<u32, Marks>,
        tags: HashMap<u32, Tag>,
        elsewhere: HashSet<u32>,
        outputs: HashMap<u32, (u64, u64)>,
    }

    impl Closer for Invented {
        fn marks(&mut self, process: &Process) -> Option<Marks> {
            Some(self.marks.get(&process.pid).cloned().unwrap_or_default())
        }

        fn tag(&mut self, pid: u32) -> Option<Tag> {
            self.tags.get(&pid).copied()
        }

        fn sees_home(&mut self, pid: u32) -> bool {
            !self.elsewhere.contains(&pid)
        }

        fn outputs(&mut self, pid: u32) -> Vec<(u64, u64)> {
            self.outputs.get(&pid).copied().into_iter().collect()
        }

        fn file_id(&mut self, path: &str) -> Option<(u64, u64)> {
            path.strip_prefix("/log/").and_then(|number| Some((1, number.parse().ok()?)))
        }
    }

    fn process((pid, parent, session): (u32, u32, u32)) -> Process {
        Process { pid, parent, session, start: u64::from(pid), dead: false, ends: false }
    }

    fn marks(home: &str, launch: &str, instance: &str) -> Marks {
        Marks {
            home: Some(home.into()),
            launch: Some(launch.into()),
            instance: Some(instance.into()),
            ..Marks::default()
        }
    }

    /// Members of launch `n.1`, whose root is 200 and whose log is file 7, next to launch `n.2` with root 300.
    fn check(processes: &[(u32, u32, u32)], closer: &mut Invented, shared_log: bool, want: &[u32]) {
        check_known((None, &[]), processes, closer, shared_log, want);
    }

    /// `start` of the root, and what is known to belong already.
    fn check_known(
        (start, pinned): (Option<u64>, &[(u32, u64)]),
        processes: &[(u32, u32, u32)],
        closer: &mut Invented,
        shared_log: bool,
        want: &[u32],
    ) {
        let all = [(1, 0, 1), (ME, 50, ME), (200, ME, 200), (300, ME, 300)];
        let table = Table::of(all.iter().chain(processes).copied().map(process).collect());
        let roots = HashMap::from([(200, LaunchId(1)), (300, LaunchId(2))]);
        let live_marks = HashSet::from(["n.1".to_owned(), "n.2".to_owned()]);
        let known = Known { home: "/h", roots: &roots, live_marks: &live_marks, oldest: 0, any_adopted: false };
        let survey = Survey::new(table, ME, &known, closer);
        let kin = Kin {
            root: Some(200),
            start,
            session: 200,
            mark: "n.1".into(),
            instance: Some("a:0".into()),
            list_id: Some(0),
            logs: vec!["/log/7".into()],
            adopted: false,
        };
        let mut got: Vec<u32> = survey
            .members(&kin, pinned.iter().copied(), |_| shared_log, closer)
            .iter()
            .map(|found| found.pid)
            .collect();
        got.sort_unstable();
        assert_eq!(got, want, "{processes:?}");
    }

    #[test]
    fn whoever_got_the_pid_of_one_that_ended_is_not_taken_for_it() {
        // Here a process starts at the time that is its pid.
        let nothing = &mut Invented::default();
        let strangers = [(500, 1, 500), (501, 500, 500), (502, 500, 502)];
        check_known((None, &[(500, 500)]), &strangers, nothing, false, &[500, 501, 502]);
        check_known((None, &[(500, 499)]), &strangers, nothing, false, &[]);
        // Its session is its own as long as nobody else has its number.
        check_known((None, &[(500, 499)]), &strangers[1..2], nothing, false, &[501]);
        // The same with a first process that was taken over.
        let children = [(210, 200, 200), (211, 210, 211)];
        check_known((Some(200), &[]), &children, nothing, false, &[210, 211]);
        check_known((Some(199), &[]), &children, nothing, false, &[]);
    }

    #[test]
    fn descendants_are_found_however_they_hide() {
        let nothing = &mut Invented::default();
        check(&[], nothing, false, &[]);
        check(&[(210, 200, 200), (211, 210, 200), (310, 300, 300)], nothing, false, &[210, 211]);
        // setsid under a living parent, and its own children.
        check(&[(210, 200, 210), (211, 210, 210)], nothing, false, &[210, 211]);
        // The parent in between is gone, the session stays.
        check(&[(211, ME, 200)], nothing, false, &[211]);
        // Double fork with a new session: its mark tells, and brings its session along.
        let marked = &mut Invented { marks: HashMap::from([(220, marks("/h", "n.1", "a:0"))]), ..Invented::default() };
        check(&[(220, ME, 220), (221, ME, 220), (222, 221, 222)], marked, false, &[220, 221, 222]);
        // The same mark of another pmrun, and another launch's mark.
        for foreign in [marks("/other", "n.1", "a:0"), marks("/h", "n.2", "a:0")] {
            let closer = &mut Invented { marks: HashMap::from([(220, foreign)]), ..Invented::default() };
            check(&[(220, ME, 220)], closer, false, &[]);
        }
        // What an earlier launch of the instance left.
        let left = &mut Invented { marks: HashMap::from([(220, marks("/h", "n.0", "a:0"))]), ..Invented::default() };
        check(&[(220, ME, 220)], left, false, &[220]);
        // The same in a container.
        left.elsewhere.insert(220);
        check(&[(220, 1, 220)], left, false, &[]);
        // No mark, no session, no parent: the log that it writes to, unless others write there too.
        let writer = &mut Invented { outputs: HashMap::from([(230, (1, 7)), (231, (1, 8))]), ..Invented::default() };
        check(&[(230, ME, 230), (231, ME, 231)], writer, false, &[230]);
        check(&[(230, ME, 230)], writer, true, &[]);
        check(&[(230, 1, 230)], writer, false, &[]);
        // Nothing of all that: its tag, of this launch or of an earlier one of the instance.
        let tagged = |bits: u64, list_id: u64, mark: &str| {
            Tag::of_limit(bits << 42 | list_id << 24 | launch_bits(mark)).map(|tag| (240, tag)).into_iter().collect()
        };
        for (home, list_id, mark, want) in [
            ("/h", 0, "n.1", true),
            ("/h", 0, "n.0", true),
            ("/h", 0, "n.2", false),
            ("/h", 9, "n.0", false),
            ("/o", 0, "n.1", false),
        ] {
            let bits = home_bits(home);
            let closer = &mut Invented { tags: tagged(bits, list_id, mark), ..Invented::default() };
            let want: &[u32] = if want { &[240, 241] } else { &[] };
            check(&[(240, ME, 240), (241, 240, 241)], closer, true, want);
        }
    }
}
