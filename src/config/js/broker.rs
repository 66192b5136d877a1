//! What the parent does for a config's process: runs commands, makes folders.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::files::{Files, normalise};
use super::natives::code;
use super::orders::{Command, Orders, Ran, Reply, Request};
use crate::base::Signal;
use crate::config::{CommandRun, Journal};
use crate::platform::Brood;

/// What Node lets a command print unless it is told otherwise.
const OUTPUT_DEFAULT: u64 = 1 << 20;
/// However much it is told.
const OUTPUT_MAX: u64 = 16 << 20;
/// What was killed is gone within this, unless the system holds it.
const REAPING_MAX: Duration = Duration::from_secs(1);

/// Serves one config. What it started ends with it.
#[derive(Debug)]
pub(super) struct Broker {
    files: Files,
    /// Where folders may be made.
    project: PathBuf,
    hermetic: bool,
    deadline: Instant,
    journal: Journal,
    brood: Brood,
    /// What runs, or ran when the time was up.
    pub(super) running: Option<String>,
}

impl Broker {
    pub(super) fn new(orders: &Orders, deadline: Instant, journal: Journal) -> Self {
        let files = Files::new(orders.mapping.clone());
        let entry = files.canonical(&orders.entry).unwrap_or_else(|_| orders.entry.clone());
        let folder = entry.parent().unwrap_or(Path::new("/"));
        Self {
            project: project(folder, orders.home.as_deref()),
            files,
            hermetic: orders.hermetic.is_some(),
            deadline,
            journal,
            brood: Brood::default(),
            running: None,
        }
    }

    /// None when the time was up before it was done.
    pub(super) fn serve(&mut self, request: Request) -> Option<Reply> {
        match request {
            // The child has refused it already, unless it was taken over.
            Request::Command(_) if self.hermetic => Some(Reply::Refused("`--hermetic` refuses commands".to_owned())),
            Request::Command(command) => self.run(&command),
            Request::Folder { path, recursive } => Some(self.make_folder(&path, recursive)),
        }
    }

    fn make_folder(&self, path: &Path, recursive: bool) -> Reply {
        if path.is_dir() {
            return if recursive { Reply::Made } else { Reply::Failed(nix::errno::Errno::EEXIST as i32) };
        }
        let target = self.files.canonical_as_far(&normalise(path));
        if !target.starts_with(&self.project) {
            let project = self.project.display();
            return Reply::Refused(format!("a config makes no folder outside of its project, which is `{project}`"));
        }
        // Another version's files are left alone.
        if self.files.is_mapped(path) {
            return Reply::Made;
        }
        let made = if recursive { fs::create_dir_all(&target) } else { fs::create_dir(&target) };
        match made {
            Ok(()) => Reply::Made,
            Err(error) => Reply::Failed(error.raw_os_error().unwrap_or(5)),
        }
    }

    fn run(&mut self, command: &Command) -> Option<Reply> {
        let argv: Vec<String> = std::iter::once(&command.file).chain(&command.args).cloned().collect();
        self.running = Some(argv.join(" "));
        let ran = match self.start(command) {
            Ok(child) => self.follow(child, command)?,
            Err(error) => Ran { code: Some(code(&error).to_owned()), ..Ran::default() },
        };
        self.running = None;
        let signal =
            ran.signal.map(|number| Signal::from_number(number).map_or(format!("signal {number}"), |s| s.to_string()));
        let ended_by = signal.or_else(|| ran.code.clone());
        self.journal.ran(CommandRun { argv, cwd: command.cwd.clone(), exit: ran.status, ended_by });
        Some(Reply::Ran(ran))
    }

    fn start(&mut self, command: &Command) -> io::Result<Child> {
        let cwd = self.files.real(&command.cwd);
        let program = find(&command.file, &cwd, &command.env)?;
        let mut process = process::Command::new(program);
        process.args(&command.args).current_dir(cwd).env_clear();
        process.envs(command.env.iter().map(|(name, value)| (name, value)));
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.brood.start(&mut process)
    }

    /// To its end, and that of its output: as Node does. None at the deadline.
    fn follow(&mut self, mut child: Child, command: &Command) -> Option<Ran> {
        let most = command.output_max.unwrap_or(OUTPUT_DEFAULT).min(OUTPUT_MAX);
        let mut streams = Streams::of(&mut child, &command.input, usize::try_from(most).unwrap_or(usize::MAX));
        let timeout = command.timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        let timeout = timeout.filter(|timeout| *timeout < self.deadline);
        let until = timeout.unwrap_or(self.deadline);
        let mut status = None;
        let followed = match streams.follow(until) {
            Followed::Whole => {
                status = wait(&mut child, until);
                if status.is_some() { Followed::Whole } else { Followed::TooLong }
            }
            cut => cut,
        };
        let code = match followed {
            Followed::Whole => None,
            Followed::TooMuch => Some("ENOBUFS"),
            Followed::TooLong => Some("ETIMEDOUT"),
        };
        if code.is_some() {
            self.brood.end();
            status = wait(&mut child, Instant::now() + REAPING_MAX);
        }
        if matches!(followed, Followed::TooLong) && timeout.is_none() {
            return None;
        }
        let (stdout, stderr) = streams.taken();
        Some(Ran {
            pid: child.id(),
            status: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            stdout,
            stderr,
            code: code.map(str::to_owned),
        })
    }
}

/// None when it has not ended by then.
fn wait(child: &mut Child, until: Instant) -> Option<ExitStatus> {
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed())?;
    let pinned = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
    let left = until.saturating_duration_since(Instant::now());
    // Whatever it says, the next line knows.
    let _ = poll(&mut [PollFd::new(&pinned, PollFlags::IN)], Some(&Timespec::try_from(left).unwrap_or_default()));
    child.try_wait().ok()?
}

enum Followed {
    Whole,
    TooMuch,
    TooLong,
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

    fn follow(&mut self, until: Instant) -> Followed {
        while self.stdout.is_some() || self.stderr.is_some() {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return Followed::TooLong };
            let Ok((writable, out, err)) = self.ready(left) else { return Followed::TooLong };
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

/// The nearest folder at or above the config's that a package or a repository begins in, else the config's own. Never the
/// home folder because of something that lies there, and never a folder above it.
fn project(folder: &Path, home: Option<&Path>) -> PathBuf {
    let home = home.and_then(|home| home.canonicalize().ok());
    let candidates = folder.ancestors().take_while(|folder| Some(*folder) != home.as_deref());
    let found =
        candidates.into_iter().find(|folder| folder.join("package.json").is_file() || folder.join(".git").exists());
    found.unwrap_or(folder).to_owned()
}
