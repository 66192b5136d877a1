use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::account::{self, Account};
use super::channel::Channel;
use super::forked::{Forker, LISTEN_PID, NO_PID, Own};
use super::last_line::end_last_line;
use super::piped::{self, MARK_PIPES, Piped};
use super::procfs::{MARK_HOME, MARK_INSTANCE, MARK_LAUNCH};
use super::reason;
use super::regular::open_regular;
use super::stdin;
use super::sys::Spawner;
use super::tag::Tag;
use crate::base::InstanceId;
use crate::spec::Listener;
use crate::supervisor::{Launch, LaunchId, Output};

/// Where programs are looked for without a PATH, as execvp(3) does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";
/// Runs what is executable and in no format that the system knows, as execvp(3) does.
const SHELL: &CStr = c"/bin/sh";
/// How often a file is opened that somebody has a lease on, for microseconds.
const LEASE_TRIES: u32 = 1_000;
/// At the end of a script, where it names its source map.
const MAPPED_BYTES: u64 = 4 << 10;
/// Descriptors that a process is started with where it is given no sockets: its streams, and the channel.
pub(super) const TARGETS: usize = 4;

/// What the host adds to a launch.
pub(super) struct Extras<'a> {
    pub(super) home: &'a str,
    /// The value of `PMRUN_LAUNCH`.
    pub(super) mark: &'a str,
    pub(super) tag: Tag,
    pub(super) notify: Option<&'a str>,
    /// The limit of open files that the app gets, where this process has another.
    pub(super) files: Option<Rlimit>,
    /// As whom it runs, where that is not as this process.
    pub(super) account: Option<&'a Account>,
    /// What it is given to listen on.
    pub(super) sockets: Vec<OwnedFd>,
    /// What node is to load before the app's own code.
    pub(super) preload: Option<&'a Path>,
    /// The folder of its cgroup.
    pub(super) group: Option<OwnedFd>,
}

pub(super) struct Spawned {
    pub(super) pid: u32,
    pub(super) error_log_offset: u64,
    pub(super) channel: Option<Channel>,
}

/// As whom a launch runs; none is as this process.
///
/// Errors are in words that name what was wrong with the app.
pub(super) fn account(launch: &Launch) -> Result<Option<Account>, String> {
    account::find(launch.user.as_deref(), launch.group.as_deref())
}

/// What an instance writes to stdout, or stderr, to be read.
#[derive(Debug)]
pub struct Tap {
    pub launch: LaunchId,
    pub instance: InstanceId,
    /// As in [`Launch`].
    pub ready_log: Option<String>,
    pub error: bool,
    pub pipe: OwnedFd,
}

/// What a process gets as stdout and stderr.
pub(super) struct Outputs {
    out: OwnedFd,
    error: OwnedFd,
    error_log_offset: u64,
    /// Where those are pipes.
    pub(super) piped: Option<Piped>,
}

impl Outputs {
    /// Files are opened even when they are written by somebody else: what is wrong with them is wrong with the app.
    pub(super) fn open(launch: &Launch, home: &str, account: Option<&Account>) -> Result<Self, String> {
        // What passes through the log process has its line's end from there.
        let is_raw = launch.framing.is_none();
        let (mut out, _) = open_output(&launch.out, home, account, is_raw)?;
        let (mut error, error_log_offset) = open_output(&launch.error, home, account, is_raw)?;
        let mut piped = None;
        if let Some(framing) = &launch.framing {
            if let Some(path) = &framing.combined {
                open_output(&Output::File(path.clone()), home, account, false)?;
            }
            let pipes = Piped::open(launch, framing);
            let (ours, theirs) =
                pipes.map_err(|error| format!("cannot make the pipes for its output: {}", reason(&error)))?;
            piped = Some(ours);
            for (is_error, theirs) in theirs {
                *(if is_error { &mut error } else { &mut out }) = theirs;
            }
        }
        Ok(Self { out, error, error_log_offset, piped })
    }

    /// Whoever runs this reads both itself, whatever they were to go to.
    pub(super) fn tap(launch: &Launch) -> Result<(Self, [Tap; 2]), String> {
        let pipe =
            || piped::pipe().map_err(|error| format!("cannot make the pipes for its output: {}", reason(&error)));
        let ((from_out, out), (from_error, error)) = (pipe()?, pipe()?);
        let tap = |pipe, error| {
            let (instance, ready_log) = (launch.instance.clone(), launch.ready_log.clone());
            Tap { launch: launch.id, instance, ready_log, error, pipe }
        };
        Ok((Self { out, error, error_log_offset: 0, piped: None }, [tap(from_out, false), tap(from_error, true)]))
    }
}

/// Starts the process; it has called exec when this returns.
///
/// Errors are in words that name what was wrong with the app.
pub(super) fn spawn(
    launch: &Launch,
    extras: &Extras<'_>,
    outputs: Outputs,
) -> Result<(Spawned, Option<Piped>), String> {
    let Outputs { out, error, error_log_offset, piped } = outputs;
    let (channel, theirs) = open_channel(launch.channel)?;
    let mut fds = vec![out, error];
    // Sockets come first, from 3 on: sd_listen_fds(3).
    for socket in &extras.sockets {
        fds.push(socket.try_clone().map_err(|error| format!("cannot copy a socket: {}", reason(&error)))?);
    }
    fds.extend(theirs);
    let pipes = piped.as_ref().map(Piped::mark);
    let pid = start(launch, extras, pipes.as_deref(), fds).map_err(|error| explain(launch, &error))?;
    Ok((Spawned { pid, error_log_offset, channel }, piped))
}

/// `fds` follow stdin.
fn start(launch: &Launch, extras: &Extras<'_>, pipes: Option<&str>, fds: Vec<OwnedFd>) -> io::Result<u32> {
    let stdin = if launch.stdin { stdin::open(extras.account)? } else { File::open("/dev/null")?.into() };
    let targets = TARGETS + extras.sockets.len();
    let fds =
        std::iter::once(stdin).chain(fds).map(|fd| out_of_the_way(fd, targets)).collect::<io::Result<Vec<_>>>()?;
    let instance = launch.instance.to_string();
    let channel_fd = (3 + extras.sockets.len()).to_string();
    let (count, names) = (extras.sockets.len().to_string(), socket_names(&launch.listen));
    let mut env = environment(launch, extras, &instance, &channel_fd);
    env.extend(pipes.map(|pipes| (MARK_PIPES, pipes)));
    if !extras.sockets.is_empty() {
        // The process itself says who it is, as soon as it is there.
        env.extend([("LISTEN_FDS", count.as_str()), ("LISTEN_FDNAMES", &names), (LISTEN_PID, NO_PID)]);
    }
    let pairs = env.iter().map(|(name, value)| CString::new(format!("{name}={value}")));
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    let preload = extras.preload.and_then(Path::to_str).map(|path| ["--require", path]);
    let maps = launch.mapped.as_deref().filter(|script| has_source_map(Path::new(script)));
    let maps = maps.map(|_| "--enable-source-maps");
    let args = preload.into_iter().flatten().chain(maps).chain(launch.args.iter().map(String::as_str));
    let words = std::iter::once(launch.program.as_str()).chain(args).map(CString::new);
    let words = words.collect::<Result<Vec<_>, _>>()?;
    let words: Vec<&CStr> = words.iter().map(CString::as_c_str).collect();
    let candidates = candidates(launch, env.get("PATH").copied());
    let cwd = CString::new(launch.cwd.as_str())?;
    let group = extras.group.as_ref();
    let names_itself = !extras.sockets.is_empty();
    let own = Own {
        account: extras.account,
        umask: launch.umask,
        nice: launch.nice,
        limits: &launch.rlimits,
        group,
        names_itself,
    };
    let forker = own.is_any().then(|| Forker::new(&fds, &cwd, own, extras.files));
    let spawner = Spawner::new(&fds, &cwd)?;
    let start = |program: &CStr, words: &[&CStr]| match &forker {
        Some(forker) => forker.start(program, words, &pairs),
        None => spawner.start(program, words, &pairs),
    };
    let first_that_runs = || {
        // As execvp(3): what cannot be run does not hide what comes later, and is the better reason.
        let mut problem = io::Error::from(rustix::io::Errno::NOENT);
        for path in candidates {
            let path = CString::new(path.into_os_string().into_vec())?;
            match start(&path, &words) {
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
                    let shell: Vec<&CStr> = [SHELL, &path].into_iter().chain(words[1..].iter().copied()).collect();
                    return start(SHELL, &shell);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied => {
                        if problem.kind() != io::ErrorKind::PermissionDenied {
                            problem = error;
                        }
                    }
                    _ => return Err(error),
                },
                Ok(pid) => return Ok(pid),
            }
        }
        Err(problem)
    };
    // A forked process sets the limit for itself.
    extras.tag.on(|| with_files(extras.files.filter(|_| forker.is_none()), first_that_runs))
}

/// Beside it, or named at its end.
fn has_source_map(script: &Path) -> bool {
    let mut beside = script.as_os_str().to_owned();
    beside.push(".map");
    if Path::new(&beside).is_file() {
        return true;
    }
    let tail = || {
        let mut file = open_regular(script)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAPPED_BYTES)))?;
        let mut tail = Vec::new();
        file.take(MAPPED_BYTES).read_to_end(&mut tail)?;
        io::Result::Ok(tail)
    };
    tail().is_ok_and(|tail| memchr::memmem::find(&tail, b"sourceMappingURL=").is_some())
}

/// As `LISTEN_FDNAMES` has them.
fn socket_names(listen: &[String]) -> String {
    let called = |text: &String| text.parse::<Listener>().map(|one| one.called().to_owned()).unwrap_or_default();
    listen.iter().map(called).collect::<Vec<_>>().join(":")
}

/// Later ones win.
fn environment<'a>(
    launch: &'a Launch,
    extras: &Extras<'a>,
    instance: &'a str,
    channel_fd: &'a str,
) -> BTreeMap<&'a str, &'a str> {
    let pair = |(name, value): (&'a String, &'a String)| (name.as_str(), value.as_str());
    let mut env: BTreeMap<&str, &str> = launch.ambient.iter().map(pair).collect();
    let own = extras.account.into_iter().flat_map(|account| &account.variables);
    env.extend(own.map(|(name, value)| (*name, value.as_str())));
    // A shell's own is left out of what is inherited: it is of another folder.
    env.insert("PWD", &launch.cwd);
    env.extend(launch.env.iter().map(pair));
    env.extend([(MARK_HOME, extras.home), (MARK_LAUNCH, extras.mark), (MARK_INSTANCE, instance)]);
    env.extend(extras.notify.map(|address| ("NOTIFY_SOCKET", address)));
    if launch.channel {
        env.extend([("NODE_CHANNEL_FD", channel_fd), ("NODE_CHANNEL_SERIALIZATION_MODE", "json")]);
    }
    env
}

/// Where the program may be, seen from its folder: in the new process's PATH, not in ours.
fn candidates<'a>(launch: &'a Launch, path: Option<&'a str>) -> impl Iterator<Item = PathBuf> + use<'a> {
    let program = Path::new(&launch.program);
    let is_path = launch.program.is_empty() || launch.program.contains('/');
    let folders = (!is_path).then(|| path.unwrap_or(DEFAULT_PATH).split(':'));
    let paths = folders.into_iter().flatten().map(move |folder| Path::new(folder).join(program));
    // A look costs less than a process that finds nothing to run.
    let found = paths.filter(|path| !matches!(Path::new(&launch.cwd).join(path).try_exists(), Ok(false)));
    is_path.then(|| program.to_owned()).into_iter().chain(found)
}

/// No descriptor may lie where another one goes, of so many.
pub(super) fn out_of_the_way(fd: OwnedFd, targets: usize) -> io::Result<OwnedFd> {
    let first_free = i32::try_from(targets).map_err(io::Error::other)?;
    if fd.as_raw_fd() >= first_free { Ok(fd) } else { Ok(rustix::io::fcntl_dupfd_cloexec(&fd, first_free)?) }
}

/// With the limit of open files that this process was given; what it starts inherits that. Descriptors above the
/// limit stay what they are, but `inside` must not open any.
fn with_files<T>(given: Option<Rlimit>, inside: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some(given) = given else { return inside() };
    let raised = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, given)?;
    let result = inside();
    // Cannot fail: it was so a moment ago.
    let _ = setrlimit(Resource::Nofile, raised);
    result
}

fn open_channel(wanted: bool) -> Result<(Option<Channel>, Option<OwnedFd>), String> {
    if !wanted {
        return Ok((None, None));
    }
    let (ours, theirs) =
        Channel::pair().map_err(|error| format!("cannot make the channel for messages: {}", reason(&error)))?;
    Ok((Some(ours), Some(theirs)))
}

/// And how long it is already; where wanted, with an end to its last line, which an earlier run has left without.
fn open_output(
    output: &Output,
    home: &str,
    account: Option<&Account>,
    end_line: bool,
) -> Result<(OwnedFd, u64), String> {
    match output {
        Output::Null => match OpenOptions::new().write(true).open("/dev/null") {
            Ok(null) => Ok((null.into(), 0)),
            Err(error) => Err(format!("cannot open `/dev/null`: {}", reason(&error))),
        },
        Output::File(path) => {
            let said = |error: io::Error| format!("cannot open the log `{path}`: {}", reason(&error));
            let open = || match account {
                Some(account) => account.open_log(Path::new(path), Path::new(home), open_log).map_err(|error| {
                    format!("cannot open the log `{path}` as user `{}`: {}", account.name, reason(&error))
                }),
                None => open_log(Path::new(path)).map_err(said),
            };
            let mut file = open()?;
            if end_line {
                file = end_last_line(file, || open().map_err(io::Error::other)).map_err(|error| error.to_string())?.0;
            }
            let length = file.metadata().map_err(said)?.len();
            Ok((file.into(), length))
        }
    }
}

/// Opens a file to append to; its folder is made when missing.
///
/// # Errors
/// The system's.
pub fn open_log(path: &Path) -> io::Result<File> {
    let open = || {
        // Opening a fifo that nobody reads would block the whole daemon.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
        let open = || OpenOptions::new().append(true).create(true).custom_flags(flags.cast_signed()).open(path);
        // Just now it is looked whether anybody writes to it: `is_written_to`.
        let is_lease =
            |opened: &io::Result<File>| opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        (1..LEASE_TRIES).map(|_| open()).find(|opened| !is_lease(opened)).unwrap_or_else(open)
    };
    let file = match (open(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
            open()?
        }
        (opened, _) => opened?,
    };
    rustix::io::ioctl_fionbio(&file, false)?;
    Ok(file)
}

/// The system gives one number for several mistakes.
fn explain(launch: &Launch, error: &io::Error) -> String {
    let program = &launch.program;
    if error.get_ref().is_some() {
        return error.to_string();
    }
    if let Some(problem) = folder_problem(&launch.cwd) {
        return format!("cannot enter the folder `{}`: {problem}", launch.cwd);
    }
    let what = reason(error);
    match error.kind() {
        io::ErrorKind::NotFound if !program.contains('/') => {
            format!("cannot run `{program}`: {what} (is the interpreter installed?)")
        }
        io::ErrorKind::NotFound => match shebang(&Path::new(&launch.cwd).join(program)) {
            Some(interpreter) => format!("cannot run `{program}`: its interpreter `{interpreter}` does not exist"),
            None => format!("cannot run `{program}`: {what}"),
        },
        io::ErrorKind::PermissionDenied => {
            format!("cannot run `{program}`: {what} (is it executable, or is an interpreter missing?)")
        }
        io::ErrorKind::InvalidInput => {
            format!("cannot run `{program}`: its arguments or variables hold a zero byte")
        }
        _ => format!("cannot run `{program}`: {what}"),
    }
}

fn folder_problem(folder: &str) -> Option<String> {
    match std::fs::metadata(folder) {
        Err(error) => Some(reason(&error)),
        Ok(metadata) if !metadata.is_dir() => Some("it is not a folder".to_owned()),
        Ok(_) => {
            rustix::fs::access(folder, rustix::fs::Access::EXEC_OK).err().map(|error| reason(&io::Error::from(error)))
        }
    }
}

fn shebang(program: &Path) -> Option<String> {
    use io::Read as _;
    let mut head = [0; 256];
    let length = File::open(program).ok()?.read(&mut head).ok()?;
    let line = head[..length].split(|byte| *byte == b'\n').next()?.strip_prefix(b"#!")?;
    let interpreter = String::from_utf8_lossy(line).split_whitespace().next()?.to_owned();
    Some(interpreter)
}
