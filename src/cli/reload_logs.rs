use std::fs::{metadata, read_link};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::exit::Exit;
use super::terminal::{Terminal, counted};
use super::{instances, surroundings};
use crate::platform::{reason, reopen_logs};
use crate::rpc::wire::InstanceView;

pub(super) fn run(terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let views = instances::all(&home)?;
    let reopened = reopen_logs(&home)
        .map_err(|error| CliError::error(format!("the log process does not answer: {}", reason(&error))))?;
    let own: Vec<&InstanceView> = views.iter().filter(|view| view.pid.is_some() && writes_itself(view)).collect();
    let mut said = Vec::new();
    if let Some(count) = reopened {
        said.push(format!("the log process has opened {} anew", counted(count, "file")));
    }
    if !own.is_empty() {
        said.push(format!("{} their logs themselves and keep them open", write(own.len())));
    }
    if said.is_empty() {
        said.push("nothing that runs has a log".to_owned());
    }
    terminal.say(format!("reloaded: {}", said.join("; ")));
    let moved: Vec<String> = own.iter().flat_map(|view| moved(view)).collect();
    if moved.is_empty() {
        return Ok(Exit::Done);
    }
    Err(CliError::error(moved.join("\nerror: ")).hint(
        "restarting them opens the files anew; pmrun's own rotation (`log_max_size`) and logrotate's `copytruncate` need \
         no restart",
    ))
}

fn write(count: usize) -> String {
    if count == 1 { "1 instance writes".to_owned() } else { format!("{count} instances write") }
}

/// Its lines do not pass through the log process.
fn writes_itself(view: &InstanceView) -> bool {
    let added = view.log_date_format.is_some() || view.log_type.is_some() || view.log_file.is_some();
    let goes_to_file = |pid: u32, number: u8| {
        let open = metadata(format!("/proc/{pid}/fd/{number}"));
        open.map_or(true, |open| open.is_file())
    };
    // In a home of PM2's everything that was started since passes through it.
    let itself = |log: &Option<String>, number| log.is_some() && view.pid.is_none_or(|pid| goes_to_file(pid, number));
    !added && (itself(&view.out_file, 1) || itself(&view.error_file, 2))
}

/// What an instance writes to that no longer has its log's name.
fn moved(view: &InstanceView) -> Vec<String> {
    let Some(pid) = view.pid else { return Vec::new() };
    let streams = [(1, &view.out_file), (2, &view.error_file)];
    let moved = streams.into_iter().filter_map(|(number, log)| {
        let log = Path::new(log.as_ref()?);
        let now = elsewhere(&PathBuf::from(format!("/proc/{pid}/fd/{number}")), log)?;
        Some(format!(
            "`{}:{}` still writes to `{}`, which was `{}`",
            view.name,
            view.slot,
            now.display(),
            log.display()
        ))
    });
    moved.collect()
}

/// Its logs that were removed, or moved away, while it writes to them.
pub(super) fn removed(view: &InstanceView) -> Vec<String> {
    let Some(pid) = view.pid.filter(|_| writes_itself(view)) else { return Vec::new() };
    let told = |(number, log): (u8, &String)| {
        let now = elsewhere(&PathBuf::from(format!("/proc/{pid}/fd/{number}")), Path::new(log))?;
        let what = format!("`{}:{}` writes to", view.name, view.slot);
        // As the kernel names it. Where there is another by now, it may be the app that went elsewhere.
        let is_gone = !Path::new(log).exists();
        if now == Path::new(&format!("{log} (deleted)")) || is_gone && now.to_string_lossy().ends_with(" (deleted)") {
            return Some(format!("{what} `{log}`, which was removed: nobody sees that until it is restarted"));
        }
        is_gone.then(|| format!("{what} `{}`, which was `{log}`, until it is restarted", now.display()))
    };
    let streams = [(1, &view.out_file), (2, &view.error_file)];
    streams.into_iter().filter_map(|(number, log)| Some((number, log.as_ref()?))).filter_map(told).collect()
}

/// None where it is what the path names, or nothing that could be moved.
fn elsewhere(open: &Path, log: &Path) -> Option<PathBuf> {
    let there = metadata(open).ok().filter(std::fs::Metadata::is_file)?;
    if let Ok(named) = metadata(log)
        && (named.dev(), named.ino()) == (there.dev(), there.ino())
    {
        return None;
    }
    read_link(open).ok()
}
