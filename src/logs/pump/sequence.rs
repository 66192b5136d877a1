use std::cell::Cell;
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;

use crate::logs::rotate::rotated;
use crate::platform::PumpOrder;

/// How much of a log's end is looked at for an instance's last record; others may write to the same file.
const TAIL: u64 = 256 << 10;

/// The numbers of records, which go on whenever an instance is started anew: one that is missing is a line that is.
#[derive(Debug, Default)]
pub(super) struct Sequences(HashMap<(String, u32), Rc<Cell<u64>>>);

/// What is looked at of a record.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    app_name: std::borrow::Cow<'a, str>,
    process_id: u32,
    sequence: u64,
}

impl Sequences {
    /// The one of an instance, of which runs may overlap. What an earlier log process has written is found in its files.
    pub(super) fn of(&mut self, order: &PumpOrder) -> Rc<Cell<u64>> {
        if !order.json {
            return Rc::default();
        }
        let find = || {
            let files = order.streams.iter().flat_map(|stream| &stream.files).map(Path::new);
            Rc::new(Cell::new(files.filter_map(|file| next(file, order)).max().unwrap_or(0)))
        };
        Rc::clone(self.0.entry((order.app.clone(), order.process_id)).or_insert_with(find))
    }
}

/// The number behind the last one of this instance in a log, or in what was rotated out of it last.
fn next(log: &Path, order: &PumpOrder) -> Option<u64> {
    let in_file = |path: &Path| behind_last(&tail(path)?, &order.app, order.process_id);
    in_file(log).or_else(|| in_file(&rotated(log).pop().filter(|piece| !piece.compressed)?.path))
}

fn tail(path: &Path) -> Option<Vec<u8>> {
    // It may be no log at all, and in a folder of somebody else's.
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let meta = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let from = meta.len().saturating_sub(TAIL);
    let mut bytes = vec![0; usize::try_from(meta.len() - from).ok()?];
    file.read_exact_at(&mut bytes, from).ok()?;
    Some(bytes)
}

fn behind_last(bytes: &[u8], app: &str, process_id: u32) -> Option<u64> {
    let records =
        bytes.rsplit(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Record<'_>>(line).ok());
    let mut own = records.filter(|record| record.app_name == app && record.process_id == process_id);
    own.next()?.sequence.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::PumpStream;

    #[test]
    fn numbers_go_on_whoever_was_started_anew() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        let record = |app: &str, id: u32, number: u64| {
            format!("{{\"message\":\"x\",\"process_id\":{id},\"app_name\":\"{app}\",\"sequence\":{number}}}\n")
        };
        std::fs::write(&log, [record("a", 1, 7), record("a", 2, 99), record("b", 1, 50), "torn\n".into()].concat())
            .unwrap();
        let streams = vec![PumpStream { error: false, files: vec![log.to_str().unwrap().to_owned()] }];
        let order = |id| PumpOrder {
            app: "a".into(),
            process_id: id,
            json: true,
            streams: streams.clone(),
            ..PumpOrder::default()
        };
        let mut sequences = Sequences::default();
        let first = sequences.of(&order(1));
        assert_eq!([first.get(), sequences.of(&order(2)).get(), sequences.of(&order(3)).get()], [8, 100, 0]);
        first.set(20);
        assert_eq!(sequences.of(&order(1)).get(), 20, "of this process nothing is looked up again");
        // It has just been rotated.
        std::fs::rename(&log, folder.path().join("a.log.1")).unwrap();
        std::fs::write(&log, "").unwrap();
        assert_eq!(Sequences::default().of(&order(2)).get(), 100);
    }
}
