//! What the parent does for a config's process: runs commands, makes folders.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::files::Files;
use super::natives::code;
use super::orders::{Command, Orders, Ran, Reply, Request};
use crate::base::Signal;
use crate::config::world::replaced;
use crate::config::{CommandRun, FolderMade, Journal};
use crate::platform::{Bounds, Brood, Excess, interrupted};

/// Folders that a config may make.
const FOLDERS_MAX: usize = 1_000;
/// What Node lets a command print unless it is told otherwise.
const OUTPUT_DEFAULT: u64 = 1 << 20;
/// However much it is told.
const OUTPUT_MAX: u64 = 16 << 20;
/// Of all commands of a config together, at one time.
pub(super) const PROCESSES_MAX: u64 = 500;
/// How programs say that they may not write.
const DENIALS: [&str; 3] = ["Permission denied", "EACCES", "permission denied"];
/// How often they are counted.
const LOOK: Duration = Duration::from_millis(50);
/// What Node says has ended a command that it ended.
const SIGTERM: i32 = nix::libc::SIGTERM;

/// Serves one config. What it started ends with it.
#[derive(Debug)]
pub(super) struct Broker {
    files: Files,
    /// Where folders may be made.
    project: PathBuf,
    pub(super) hermetic: bool,
    deadline: Instant,
    journal: Journal,
    brood: Brood,
    /// The command that was run last.
    last: String,
    /// One of them failed of what it may not do.
    pub(super) denied: bool,
    /// That were made.
    folders: usize,
}

impl Broker {
    pub(super) fn new(orders: &Orders, deadline: Instant, journal: Journal) -> Self {
        let files = Files::new(orders.mapping.clone());
        let entry = files.canonical(&orders.entry).unwrap_or_else(|_| orders.entry.clone());
        let folder = entry.parent().unwrap_or(Path::new("/"));
        let project = project(folder, &orders.cwd);
        let bounds = Bounds { tasks: PROCESSES_MAX, memory_bytes: orders.memory_bytes, project: files.real(&project) };
        Self {
            project,
            files,
            hermetic: orders.hermetic.is_some(),
            deadline,
            journal,
            brood: Brood::new(bounds),
            last: String::new(),
            denied: false,
            folders: 0,
        }
    }

    /// What commands leave behind is this process's from now on.
    pub(super) fn take_in_orphans(&mut self) {
        self.brood.take_in_orphans();
        self.brood.be_kept();
    }

    /// What ended the config instead, where something did.
    pub(super) fn serve(&mut self, request: Request) -> Result<Reply, Cut> {
        match request {
            // The child has refused it already, unless it was taken over.
            Request::Command(_) if self.hermetic => Ok(Reply::Refused("`--hermetic` refuses commands".to_owned())),
            Request::Command(command) => self.run(&command),
            Request::Folder { path, recursive } => {
                let reply = self.make_folder(&path, recursive);
                let made = match &reply {
                    Reply::Made(first) => Some(Ok(first.clone())),
                    Reply::Failed(number) => Some(Err(*number)),
                    Reply::Ran(_) | Reply::Refused(_) => None,
                };
                self.journal.made(made.map(|made| FolderMade { path, recursive, made }));
                Ok(reply)
            }
        }
    }

    /// How long nobody has to look whether what was started and left has become too much; None says that nothing was.
    pub(super) fn look(&self) -> Option<Duration> {
        (!self.last.is_empty()).then_some(LOOK)
    }

    /// What was left running is too much.
    pub(super) fn flooded(&self) -> Option<Cut> {
        self.brood.exceeded().map(|excess| Cut { why: excess.into(), command: self.last.clone() })
    }

    /// As `mkdirSync` does, but only inside of the project.
    fn make_folder(&mut self, path: &Path, recursive: bool) -> Reply {
        let real = self.files.real(path);
        let place = self.files.canonical_as_far(path);
        let refused = if !place.starts_with(&self.project) {
            let project = self.project.display();
            Some(format!("a config makes folders only in its project, which is `{project}`"))
        } else if place.components().any(|part| part.as_os_str() == ".git") {
            Some("a config makes no folders in `.git`: git takes some for locks".to_owned())
        } else if self.folders >= FOLDERS_MAX {
            Some(format!("a config makes {FOLDERS_MAX} folders at most"))
        } else {
            None
        };
        // Whether there is something elsewhere is nothing that strangers are told.
        if let Some(why) = refused.clone().filter(|_| self.hermetic) {
            return Reply::Refused(why);
        }
        if recursive && real.is_dir() {
            return Reply::Made(None);
        }
        if real.symlink_metadata().is_ok() {
            return Reply::Failed(nix::errno::Errno::EEXIST as i32);
        }
        if let Some(why) = refused {
            return Reply::Refused(why);
        }
        // Another version's files are left alone.
        if self.files.is_mapped(path) {
            return Reply::Made(None);
        }
        let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
        let (count, first) = (missing.len(), missing.last().map(|first| (*first).to_owned()));
        let made = if recursive { fs::create_dir_all(path) } else { fs::create_dir(path) };
        match made {
            Ok(()) => {
                self.folders += count;
                Reply::Made(first.filter(|_| recursive))
            }
            Err(error) => Reply::Failed(error.raw_os_error().unwrap_or(nix::libc::EIO)),
        }
    }

    fn run(&mut self, command: &Command) -> Result<Reply, Cut> {
        let argv: Vec<String> = std::iter::once(&command.file).chain(&command.args).cloned().collect();
        self.last = argv.join(" ").chars().take(100).map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        let ran = match self.start(command) {
            Ok(started) => {
                let followed = self.follow(started, command);
                followed.map_err(|why| Cut { why, command: self.last.clone() })?
            }
            Err(error) => Ran { code: Some(code(&error).to_owned()), ..Ran::default() },
        };
        let said = String::from_utf8_lossy(&ran.stderr);
        self.denied |= ran.status != Some(0) && DENIALS.iter().any(|denial| said.contains(denial));
        let named =
            |number| Signal::from_number(number).map_or(format!("signal {number}"), |signal| signal.to_string());
        let ended_by = ran.code.clone().or_else(|| ran.signal.map(named));
        self.journal.ran(CommandRun { argv, cwd: command.cwd.clone(), exit: ran.status, ended_by });
        Ok(Reply::Ran(ran))
    }

    fn start<'a>(&mut self, command: &'a Command) -> io::Result<(u32, Streams<'a>)> {
        let cwd = self.files.real(&command.cwd);
        let told = |text: &String| self.files.told(text);
        // Who is asked where it stands goes by `PWD`; other variables name what no revision has: caches, programs.
        let here = |name: &str| matches!(name, "PWD" | "OLDPWD");
        let env = command
            .env
            .iter()
            .map(|(name, value)| (name.clone(), if here(name) { told(value) } else { value.clone() }));
        let env: Vec<(String, String)> = env.collect();
        let program = find(&told(&command.file), &cwd, &env)?;
        let mut process = process::Command::new(program);
        process.args(command.args.iter().map(told)).current_dir(cwd).env_clear().envs(env);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let most = command.output_max.unwrap_or(OUTPUT_DEFAULT).min(OUTPUT_MAX);
        let child = self.brood.start(&mut process)?;
        Ok((child.id(), Streams::of(child, &command.input, usize::try_from(most).unwrap_or(usize::MAX))))
    }

    /// What a command printed, in the names that are the same whenever it is run: not that of the folder which is its
    /// `TMPDIR` this time, or nothing that is named after it would ever stay as it is.
    fn printed(&self, text: Vec<u8>, command: &Command) -> Vec<u8> {
        let text = self.files.printed(text);
        let Some(temporary) = self.brood.temporary() else { return text };
        let usual = command.env.iter().find(|(name, value)| name == "TMPDIR" && !value.is_empty());
        let usual = usual.map_or("/tmp", |(_, value)| value.trim_end_matches('/'));
        replaced(&text, temporary.as_os_str().as_bytes(), usual.as_bytes())
    }

    /// To its end, and that of its output: as Node does.
    fn follow(&mut self, (pid, mut streams): (u32, Streams<'_>), command: &Command) -> Result<Ran, Why> {
        let timeout = command.timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        let timeout = timeout.filter(|timeout| *timeout < self.deadline);
        let until = timeout.unwrap_or(self.deadline);
        let mut followed = streams.follow(until, || self.brood.exceeded());
        let mut ended = None;
        // It may have closed its output long before it ends.
        while followed == Followed::Whole && ended.is_none() {
            ended = self.brood.ended(until.min(Instant::now() + LOOK));
            if ended.is_none() && (Instant::now() >= until || interrupted()) {
                followed = Followed::TooLong;
            } else if let Some(excess) = self.brood.exceeded() {
                followed = Followed::Excess(excess);
            }
        }
        let code = match followed {
            Followed::Whole => None,
            Followed::TooMuch => Some("ENOBUFS"),
            Followed::TooLong if timeout.is_some() => Some("ETIMEDOUT"),
            Followed::TooLong => return Err(Why::Time),
            Followed::Excess(excess) => return Err(excess.into()),
        };
        if code.is_some() {
            self.brood.end();
        }
        let (stdout, stderr) = streams.taken();
        let (stdout, stderr) = (self.printed(stdout, command), self.printed(stderr, command));
        let (status, signal) = ended.map_or((None, Some(SIGTERM)), |ended| (ended.exit, ended.signal));
        Ok(Ran { pid, status, signal, stdout, stderr, code: code.map(str::to_owned) })
    }
}

/// A command that took more than a config has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) why: Why,
    pub(super) command: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Time,
    /// More than `PROCESSES_MAX`.
    Processes,
    /// More than the config itself may have.
    Memory,
    /// They wrote as much to their folder.
    Disk,
}

impl From<Excess> for Why {
    fn from(excess: Excess) -> Self {
        match excess {
            Excess::Tasks => Self::Processes,
            Excess::Memory => Self::Memory,
            Excess::Disk => Self::Disk,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    Whole,
    TooMuch,
    TooLong,
    Excess(Excess),
}

/// A command's pipes, as long as they are open.
struct Streams<'a> {
    input: &'a [u8],
    stdin: Option<process::ChildStdin>,
    stdout: Option<process::ChildStdout>,
    stderr: Option<process::ChildStderr>,
    out: Vec<u8>,
    err: Vec<u8>,
    most: usize,
}

impl<'a> Streams<'a> {
    fn of(child: &mut Child, input: &'a [u8], most: usize) -> Self {
        let stdin = child.stdin.take().filter(|_| !input.is_empty());
        if let Some(stdin) = &stdin {
            // Else a command that does not read would block us: poll(2) says that there is room for some of it only.
            let _ = rustix::io::ioctl_fionbio(stdin, true);
        }
        Self {
            input,
            stdin,
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            out: Vec::new(),
            err: Vec::new(),
            most,
        }
    }

    fn follow(&mut self, until: Instant, flooded: impl Fn() -> Option<Excess>) -> Followed {
        let mut looked = Instant::now();
        while self.stdout.is_some() || self.stderr.is_some() {
            let left = until.checked_duration_since(Instant::now());
            // Whoever was interrupted says that instead.
            let Some(left) = left.filter(|_| !interrupted()) else { return Followed::TooLong };
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                if let Some(excess) = flooded() {
                    return Followed::Excess(excess);
                }
            }
            let Ok((writable, out, err)) = self.ready(left.min(LOOK)) else { return Followed::TooLong };
            if writable {
                self.write();
            }
            if out {
                read(&mut self.stdout, &mut self.out);
            }
            if err {
                read(&mut self.stderr, &mut self.err);
            }
            if self.out.len().max(self.err.len()) > self.most {
                return Followed::TooMuch;
            }
        }
        Followed::Whole
    }

    fn ready(&self, left: Duration) -> io::Result<(bool, bool, bool)> {
        let stdin = self.stdin.as_ref().map(|fd| (fd.as_fd(), PollFlags::OUT));
        let stdout = self.stdout.as_ref().map(|fd| (fd.as_fd(), PollFlags::IN));
        let stderr = self.stderr.as_ref().map(|fd| (fd.as_fd(), PollFlags::IN));
        let all = [stdin, stdout, stderr];
        let mut fds: Vec<PollFd<'_>> =
            all.iter().flatten().map(|(fd, wanted)| PollFd::from_borrowed_fd(*fd, *wanted)).collect();
        match poll(&mut fds, Some(&Timespec::try_from(left).unwrap_or_default())) {
            Err(rustix::io::Errno::INTR) => return Ok((false, false, false)),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let [stdin, stdout, stderr] = all.map(|fd| fd.is_some() && ready.next().unwrap_or(false));
        Ok((stdin, stdout, stderr))
    }

    fn write(&mut self) {
        let Some(stdin) = &mut self.stdin else { return };
        match stdin.write(self.input) {
            Ok(count) if count < self.input.len() => self.input = &self.input[count..],
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // Written, or it may well end without having read everything.
            Ok(_) | Err(_) => self.stdin = None,
        }
    }

    fn taken(mut self) -> (Vec<u8>, Vec<u8>) {
        self.out.truncate(self.most);
        self.err.truncate(self.most);
        (self.out, self.err)
    }
}

/// What is there; none is left of a stream that has ended.
fn read<R: io::Read>(stream: &mut Option<R>, into: &mut Vec<u8>) {
    let mut buffer = [0; 16 << 10];
    let count = stream.as_mut().and_then(|stream| match stream.read(&mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
        read => Some(read.unwrap_or(0)),
    });
    match count {
        Some(0) => *stream = None,
        Some(count) => into.extend(&buffer[..count]),
        None => {}
    }
}

/// In the command's own PATH, as execvp(3) looks.
fn find(file: &str, cwd: &Path, env: &[(String, String)]) -> io::Result<PathBuf> {
    if file.contains('/') {
        return Ok(cwd.join(file));
    }
    let path = env.iter().find(|(key, _)| key == "PATH").map_or("/usr/local/bin:/usr/bin:/bin", |(_, value)| value);
    let found = path.split(':').map(|folder| cwd.join(folder).join(file)).find(|path| path.is_file());
    found.ok_or_else(|| io::Error::from_raw_os_error(2))
}

/// What the config's folder belongs to: the repository, else the working directory above it, else that folder.
fn project(folder: &Path, cwd: &Path) -> PathBuf {
    let repository = folder.ancestors().find(|folder| folder.join(".git").exists());
    let cwd = cwd.canonicalize().ok().filter(|cwd| folder.starts_with(cwd) && cwd.parent().is_some());
    repository.map(Path::to_owned).or(cwd).unwrap_or_else(|| folder.to_owned())
}
