use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::OFlags;

use super::channel::Channel;
use super::procfs::{MARK_HOME, MARK_INSTANCE, MARK_LAUNCH};
use super::reason;
use super::sys::{ChildSetup, prepare_child};
use crate::supervisor::{Launch, Output};

/// Variables that describe another process's own channels; inherited, they would make an app talk into nothing.
const NOT_INHERITED: [&str; 4] =
    ["NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NODE_UNIQUE_ID", "NOTIFY_SOCKET"];

/// What the host adds to a launch.
pub(super) struct Extras<'a> {
    pub(super) home: &'a str,
    /// The value of `PMRUN_LAUNCH`.
    pub(super) mark: &'a str,
    pub(super) notify: Option<&'a str>,
    pub(super) files: Option<(u64, u64)>,
}

pub(super) struct Spawned {
    pub(super) pid: u32,
    pub(super) error_log_offset: u64,
    pub(super) channel: Option<Channel>,
}

/// Starts the process; it has called exec when this returns.
///
/// Errors are in words that name what was wrong with the app.
pub(super) fn spawn(launch: &Launch, extras: &Extras<'_>) -> Result<Spawned, String> {
    let (out, _) = open_output(&launch.out)?;
    let (error, error_log_offset) = open_output(&launch.error)?;
    let mut command = Command::new(&launch.program);
    command.args(&launch.args).current_dir(&launch.cwd).stdin(Stdio::null()).stdout(out).stderr(error).env_clear();
    command.envs(launch.ambient.iter().filter(|(name, _)| !NOT_INHERITED.contains(&name.as_str())));
    command.envs(&launch.env);
    command.env(MARK_HOME, extras.home).env(MARK_LAUNCH, extras.mark);
    command.env(MARK_INSTANCE, launch.instance.to_string());
    if let Some(address) = extras.notify {
        command.env("NOTIFY_SOCKET", address);
    }
    let (channel, theirs) = open_channel(launch.channel)?;
    if theirs.is_some() {
        command.env("NODE_CHANNEL_FD", "3").env("NODE_CHANNEL_SERIALIZATION_MODE", "json");
    }
    let channel_fd = theirs.as_ref().map(|fd| fd.as_raw_fd());
    prepare_child(&mut command, ChildSetup { channel: channel_fd, files: extras.files });
    let child = command.spawn().map_err(|error| explain(launch, &error))?;
    Ok(Spawned { pid: child.id(), error_log_offset, channel })
}

fn open_channel(wanted: bool) -> Result<(Option<Channel>, Option<OwnedFd>), String> {
    if !wanted {
        return Ok((None, None));
    }
    let (ours, theirs) =
        Channel::pair().map_err(|error| format!("cannot make the channel for messages: {}", reason(&error)))?;
    Ok((Some(ours), Some(theirs)))
}

/// And how long it is already.
fn open_output(output: &Output) -> Result<(Stdio, u64), String> {
    match output {
        Output::Null => Ok((Stdio::null(), 0)),
        Output::File(path) => {
            let said = |error: io::Error| format!("cannot open the log `{path}`: {}", reason(&error));
            let file = open_log(Path::new(path)).map_err(said)?;
            let length = file.metadata().map_err(said)?.len();
            Ok((file.into(), length))
        }
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    let open = || {
        // Opening a fifo that nobody reads would block the whole daemon.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
        OpenOptions::new().append(true).create(true).custom_flags(flags.cast_signed()).open(path)
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
