//! What all tests use.

mod fifo;
mod home;
pub(crate) mod procs;
mod pty;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub(crate) use fifo::Fifo;
pub(crate) use home::{Home, Instance, Output, stay};
pub(crate) use pty::Pty;

pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

/// Whether there is a node; says so when there is none.
pub(crate) fn needs_node() -> bool {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    needs("node", answer(&FOUND, "node", &["-p", "process.execPath"]).is_some())
}

pub(crate) fn needs_python() -> bool {
    needs("python3", python_folder().is_some())
}

pub(crate) fn needs_git() -> bool {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    needs("git", answer(&FOUND, "git", &["--version"]).is_some())
}

pub(crate) fn needs_tmux() -> bool {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    needs("tmux", answer(&FOUND, "tmux", &["-V"]).is_some())
}

/// Where the real interpreter is: `python3` may be a shim that needs the developer's own home.
pub(crate) fn python_folder() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    let program = answer(&FOUND, "python3", &["-c", "import sys; print(sys.executable)"])?;
    Path::new(program.trim()).parent().map(Path::to_owned)
}

/// For tests of what only root can set up.
pub(crate) fn needs_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        skipped("it needs root");
    }
    is_root
}

pub(crate) fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not through the test's captured output: a skipped test passes, and would be silent.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

fn needs(program: &str, there: bool) -> bool {
    if !there {
        skipped(&format!("there is no `{program}` on this machine"));
    }
    there
}

/// What a program prints, asked once; none when it cannot be run.
fn answer<'a>(cell: &'a OnceLock<Option<String>>, program: &str, args: &[&str]) -> Option<&'a str> {
    let answer = cell.get_or_init(|| {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = procs::spawn(&mut command).ok()?;
        let (status, text) = procs::finish(child);
        status.success().then_some(text)
    });
    answer.as_deref()
}

/// A small file system; none where this machine does not let us have one.
pub(crate) fn small_disk(home: &mut Home, at: &Path, size: &str) -> bool {
    std::fs::create_dir_all(at).expect("mkdir");
    let line = format!("mount -t tmpfs -o size={size} tmpfs '{}'", at.display());
    let output = home.run_command(home.shell(&line), std::time::Duration::from_secs(20));
    if output.code != Some(0) {
        skipped(&format!("no tmpfs can be mounted: {}", output.stderr.trim()));
        return false;
    }
    home.mounted.push(at.to_owned());
    true
}

/// Takes what is left of it.
pub(crate) fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut file = std::fs::File::create(&path).expect("create");
    let block = [0; 4096];
    while file.write_all(&block).is_ok() {}
    path
}
