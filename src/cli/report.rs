//! `report`: what helps whoever looks into a problem. No environment, no secret.

use std::fmt::Write as _;

use super::error::CliError;
use super::exit::Exit;
use super::terminal::{Terminal, harmless};
use super::{arguments, exchange, instances, list, surroundings};
use crate::rpc::wire::{Answer, Request};

/// Lines of the daemon's own log.
const LINES: usize = 20;

pub(super) fn run(terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let kernel = file("/proc/sys/kernel/osrelease");
    let release = file("/etc/os-release");
    let system = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("unknown")
        .trim_matches('"')
        .to_owned();
    let mut text = format!("pmrun {}\n", env!("CARGO_PKG_VERSION"));
    match exchange::ask(&home, Request::Ping)? {
        Some(Answer::Pong { version, protocol, pid, .. }) => {
            let _ = writeln!(text, "daemon: {version}, protocol {protocol}, pid {pid}");
        }
        _ => text += "daemon: none runs\n",
    }
    let _ = write!(
        text,
        "home: {}\nsystem: {system}, {} {} {}\nprocessors: {}\nuser: {}\n",
        home.display(),
        std::env::consts::OS,
        kernel.trim(),
        std::env::consts::ARCH,
        crate::platform::cpus().usable,
        crate::platform::user_id(),
    );
    let known = instances::known(&home)?;
    let up = known.instances.iter().filter(|view| view.pid.is_some()).count();
    let _ = write!(text, "instances: {}, of which {up} run\n\n", known.instances.len());
    terminal.print(text)?;
    list::run(&arguments::List::default(), terminal)?;
    let log = home.join(crate::rpc::client::DAEMON_LOG);
    let said = std::fs::read(&log).unwrap_or_default();
    let said = harmless_lines(&said);
    terminal.print(format!("\nthe last lines of {}:\n{said}", log.display()))?;
    Ok(Exit::Done)
}

fn harmless_lines(bytes: &[u8]) -> String {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LINES));
    let last: Vec<String> = last.map(|line| format!("  {}", harmless(line, false))).collect();
    last.join("\n") + "\n"
}
