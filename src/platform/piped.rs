use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::procfs::{self, MARK_LIST_ID};
use super::pump::{PumpOrder, PumpStream};
use crate::supervisor::{Framing, Launch, Output};

/// The pipes that a process was given, by their inodes: stdout's, stderr's. By this a later daemon knows them from
/// others that the process has put in their place.
pub(super) const MARK_PIPES: &str = "PMRUN_PIPES";
/// As much as an app can write while others are read, before it has to wait. Not more: what all pipes of a user may
/// hold is limited to 64 MB (`pipe-user-pages-soft`), and beyond that every further one, an app's own too, is tiny.
const PIPE_BYTES: usize = 256 << 10;

/// How often a pipe is looked for, which may be moved about meanwhile.
const LOOKS: u32 = 50;

/// The reading ends of a process's output, and what is to be done with it.
///
/// They are read by another process. As long as they are kept here, too, the end of that one is not the app's.
#[derive(Debug)]
pub(super) struct Piped {
    pub(super) order: PumpOrder,
    /// As many as the order has streams.
    pub(super) pipes: Vec<OwnedFd>,
}

impl Piped {
    /// With the writing ends, and whether each is stderr's.
    pub(super) fn open(launch: &Launch, framing: &Framing) -> io::Result<(Self, Vec<(bool, OwnedFd)>)> {
        let order = order(launch, framing);
        let (mut pipes, mut theirs) = (Vec::new(), Vec::new());
        for stream in &order.streams {
            let (read, write) = pipe()?;
            pipes.push(read);
            theirs.push((stream.error, write));
        }
        Ok((Self { order, pipes }, theirs))
    }

    /// The value of [`MARK_PIPES`].
    pub(super) fn mark(&self) -> String {
        let mut inodes = [0, 0];
        for (stream, pipe) in self.order.streams.iter().zip(&self.pipes) {
            inodes[usize::from(stream.error)] = rustix::fs::fstat(pipe).map_or(0, |stat| stat.st_ino);
        }
        let [out, error] = inodes;
        format!("{out},{error}")
    }

    /// Of a process that an earlier daemon has started; none where it writes elsewhere, or does by now. What it was started with
    /// counts: whether lines are to pass through pmrun may have changed since.
    pub(super) fn of_survivor(launch: &Launch, pid: u32) -> Option<Self> {
        let is_pipe = |fd: u32| {
            std::fs::read_link(format!("/proc/{pid}/fd/{fd}"))
                .is_ok_and(|link| link.as_os_str().as_encoded_bytes().starts_with(b"pipe:"))
        };
        if launch.framing.is_none() && !is_pipe(1) && !is_pipe(2) {
            return None;
        }
        let plain = || Framing {
            process_id: launch.env.get(MARK_LIST_ID).and_then(|id| id.parse().ok()).unwrap_or_default(),
            combined: None,
            date_format: None,
            json: false,
            shared: true,
        };
        let mut order = order(launch, &launch.framing.clone().unwrap_or_else(plain));
        let mark = procfs::variable(pid, MARK_PIPES)?;
        let (out, error) = mark.split_once(',')?;
        let mut pipes = Vec::new();
        order.streams.retain(|stream| {
            let pipe = reading_end(pid, if stream.error { error } else { out });
            let is_there = pipe.is_some();
            pipes.extend(pipe);
            is_there
        });
        (!pipes.is_empty()).then_some(Self { order, pipes })
    }
}

/// The end that is read, and the app's.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    // The app's end blocks, as a file would.
    rustix::io::ioctl_fionbio(&read, true)?;
    // There is a limit for all of a user's pipes.
    let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
    Ok((read, write))
}

fn order(launch: &Launch, framing: &Framing) -> PumpOrder {
    let stream = |error: bool, output: &Output| {
        let own = match output {
            Output::File(path) => Some(path.clone()),
            Output::Null => None,
        };
        let mut files: Vec<String> = own.into_iter().chain(framing.combined.clone()).collect();
        files.dedup();
        (!files.is_empty()).then_some(PumpStream { error, files })
    };
    PumpOrder {
        app: launch.instance.app.clone(),
        process_id: framing.process_id,
        raw: framing.is_raw(),
        json: framing.json,
        date_format: framing.date_format.clone(),
        user: launch.user.clone(),
        group: launch.group.clone(),
        rotation: Some(launch.rotation.clone()),
        reopen: false,
        end: false,
        streams: [(false, &launch.out), (true, &launch.error)].into_iter().filter_map(|(e, o)| stream(e, o)).collect(),
    }
}

/// Of a pipe that another process has the writing end of, under whatever number: a shell that runs `echo x >&2` has put
/// its stdout aside for that long.
fn reading_end(pid: u32, inode: &str) -> Option<OwnedFd> {
    let name = format!("pipe:[{inode}]");
    let find = || {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten().map(|fd| fd.path());
        let path = fds
            .into_iter()
            .find(|path| std::fs::read_link(path).is_ok_and(|link| link.as_os_str() == name.as_str()))?;
        let pipe = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).ok()?;
        // It may have been moved just now, and something else be there.
        rustix::fs::fstat(&pipe).is_ok_and(|stat| stat.st_ino.to_string() == inode).then_some(pipe)
    };
    (0..LOOKS).find_map(|_| find())
}
