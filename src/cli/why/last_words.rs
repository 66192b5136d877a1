//! What a process wrote to stderr before it ended.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use serde::Serialize;

use crate::logs::Tail;
use crate::rpc::wire::InstanceView;
use crate::runtime::history::{Entry, What};

const LINES_MAX: usize = 10;
/// Of a line; `pmrun logs` shows it whole.
const LINE_MAX: usize = 2_000;
const BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct LastWords {
    pub file: String,
    pub lines: Vec<String>,
}

/// Of what was to relieve it, where that has failed last; else of the last process that ended unasked among the latest `count` of an instance's events; of one that runs and is not
/// as it should be, its own.
pub(super) fn of(own: &[&Entry], count: usize, view: &InstanceView) -> Option<LastWords> {
    let recent = own.len() - count;
    let is_news = |entry: &&&Entry| matches!(entry.what, What::Started { .. } | What::Unrelieved { .. });
    if let Some(Entry { what: What::Unrelieved { error_log, error_log_offset: from, .. }, at_ms, .. }) =
        own.iter().rev().find(is_news).copied()
    {
        let file = error_log.as_ref()?;
        let lines = lines(Path::new(file), *from, None, *at_ms)?;
        return (!lines.is_empty()).then(|| LastWords { file: file.clone(), lines });
    }
    let is_start = |entry: &&Entry| matches!(entry.what, What::Started { .. });
    let runs_badly = view.pid.is_some() && matches!(view.state.as_str(), "errored" | "unhealthy");
    let end = if runs_badly {
        own.len()
    } else {
        recent + own[recent..].iter().rposition(|entry| matches!(entry.what, What::Exited { asked: false, .. }))?
    };
    let start = own[..end].iter().rposition(is_start)?;
    let next = own[end..].iter().find(|entry| is_start(entry));
    let What::Started { error_log: Some(file), error_log_offset: from, .. } = &own[start].what else { return None };
    let until = match next.map(|entry| &entry.what) {
        Some(What::Started { error_log, error_log_offset, .. }) if error_log.as_ref() == Some(file) => {
            Some(*error_log_offset)
        }
        _ => None,
    };
    let lines = lines(Path::new(file), *from, until, own[start].at_ms)?;
    (!lines.is_empty()).then(|| LastWords { file: file.clone(), lines })
}

/// None where it cannot be told any more which they were.
fn lines(path: &Path, from: u64, until: Option<u64>, started_ms: u64) -> Option<Vec<String>> {
    let rotated = was_rotated(path, started_ms);
    match until {
        Some(_) if rotated => None,
        Some(until) => between(path, from, until).ok(),
        None => tail(path, if rotated { 0 } else { from }).ok(),
    }
}

fn tail(path: &Path, from: u64) -> io::Result<Vec<String>> {
    let mut tail = Tail::open(path, LINES_MAX, from)?;
    let mut lines = Vec::new();
    while let Some(line) = tail.next_line()? {
        lines.push(excerpt(&line.bytes));
    }
    Ok(lines)
}

fn between(path: &Path, from: u64, until: u64) -> io::Result<Vec<String>> {
    // Opening a pipe would wait for its writer.
    if !path.metadata()?.is_file() {
        return Ok(Vec::new());
    }
    let from = from.max(until.saturating_sub(BYTES_MAX));
    let mut bytes = vec![0; usize::try_from(until.saturating_sub(from)).unwrap_or(0)];
    File::open(path)?.read_exact_at(&mut bytes, from)?;
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|_| !text.is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(LINES_MAX)..].iter().map(|line| excerpt(line)).collect())
}

fn excerpt(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(LINE_MAX)]).into_owned()
}

/// Whether something was taken out of the file since then: places in it mean something else now.
fn was_rotated(path: &Path, since_ms: u64) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return true;
    };
    let Ok(files) = std::fs::read_dir(folder) else { return true };
    files.flatten().any(|file| {
        let is_part = file
            .file_name()
            .to_str()
            .and_then(|part| part.strip_prefix(name)?.strip_prefix('.'))
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
        let changed_ms = |meta: std::fs::Metadata| {
            u64::try_from(meta.ctime()).unwrap_or(0).saturating_mul(1_000).saturating_add(999)
        };
        is_part && file.metadata().map_or(true, |meta| changed_ms(meta) >= since_ms)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ExitStatus, InstanceId, Now};
    use crate::runtime::history::Why;

    #[test]
    fn the_words_are_those_of_the_run_that_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("error.log");
        let file = path.to_str().unwrap().to_owned();
        std::fs::write(&path, "old\nfirst\nboom\nnew run\n").unwrap();
        let start = |offset: u64| What::Started {
            pid: 1,
            restarts: 0,
            why: Why::Cron,
            error_log: Some(file.clone()),
            error_log_offset: offset,
        };
        let ended = |asked| What::Exited { status: ExitStatus::Code(1), after_ms: None, asked };
        let said = |all: Vec<What>, state: &str| {
            let id = InstanceId::new("a", 0);
            let now = Now { wall: crate::base::Wall(u64::MAX / 2), ..Now::default() };
            let entries: Vec<Entry> = all.into_iter().map(|what| Entry::of_instance(&id, what, now)).collect();
            let mut view = InstanceView::sample(0, "a", 0);
            (view.state, view.pid) = (state.to_owned(), Some(1));
            of(&entries.iter().collect::<Vec<_>>(), entries.len(), &view).map(|words| words.lines)
        };
        let lines = |all: &[&str]| Some(all.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        assert_eq!(said(vec![start(4), ended(false)], "errored"), lines(&["first", "boom", "new run"]));
        assert_eq!(said(vec![start(4), ended(false), start(15)], "online"), lines(&["first", "boom"]));
        assert_eq!(said(vec![start(4), ended(true), start(15)], "online"), None);
        assert_eq!(said(vec![start(4), ended(false), start(15)], "unhealthy"), lines(&["new run"]));
        assert_eq!(said(vec![start(4), ended(false), start(4)], "online"), None);
        // It is shorter than it was.
        assert_eq!(said(vec![start(4), ended(false), start(900)], "online"), None);
    }

    #[test]
    fn places_in_a_log_that_was_rotated_mean_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("error.log");
        std::fs::write(&path, "a\nb\nc\n").unwrap();
        std::fs::write(folder.path().join("error.log.bak"), "").unwrap();
        assert_eq!(lines(&path, 2, Some(4), 0), Some(vec!["b".to_owned()]));
        std::fs::write(folder.path().join("error.log.1"), "").unwrap();
        assert_eq!(lines(&path, 2, Some(4), 0), None);
        assert_eq!(lines(&path, 2, None, 0).map(|lines| lines.len()), Some(3));
        assert_eq!(lines(&path, 2, None, u64::MAX).map(|lines| lines.len()), Some(2));
    }
}
