//! What the daemon has written down of what happened, whether one runs or not.

use std::io;
use std::path::Path;

use super::error::CliError;
use crate::platform::read_regular;
use crate::runtime::history::{Entry, HISTORY, OLDER_HISTORY, What};

/// Lines, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    older: String,
    text: String,
}

impl History {
    pub(super) fn read(home: &Path) -> Result<Self, CliError> {
        let read = |name| {
            let path = home.join(name);
            match read_regular(&path) {
                Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
                Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(String::new()),
                Err(err) if err.kind() == io::ErrorKind::InvalidInput => {
                    Err(CliError::io("read", &path, &err).hint("what happened is written there: move it away"))
                }
                Err(err) => Err(CliError::io("read", &path, &err)),
            }
        };
        // In this order: a file that becomes the older one meanwhile is read twice, not never.
        let text = read(HISTORY)?;
        Ok(Self { older: read(OLDER_HISTORY)?, text })
    }

    /// Each line once, with its number.
    pub(super) fn lines(&self) -> Vec<(u64, &str)> {
        let of = |text| str::lines(text).filter_map(|line| Some((number(line)?, line)));
        let mut lines: Vec<(u64, &str)> = of(self.older.as_str()).chain(of(self.text.as_str())).collect();
        lines.sort_by_key(|(number, _)| *number);
        lines.dedup_by_key(|(number, _)| *number);
        lines
    }
}

/// What happened to an app, by whatever name, since it was made; oldest first.
pub(super) fn of_app(lines: &[(u64, &str)], app: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let (mut name, mut mark) = (app.to_owned(), quoted(app));
    for (_, line) in lines.iter().rev() {
        // Most lines are about others, and reading them all takes longer.
        let Some(entry) = line.contains(&mark).then(|| parse(line)).flatten() else { continue };
        if entry.app.as_ref() != Some(&name) {
            continue;
        }
        let is_first = matches!(entry.what, What::Created { .. });
        if let What::Renamed { from, .. } = &entry.what {
            (name, mark) = (from.clone(), quoted(from));
        }
        entries.push(entry);
        if is_first {
            break;
        }
    }
    entries.reverse();
    entries
}

/// None of a line that was cut short by the end of its writer.
pub(super) fn parse(line: &str) -> Option<Entry> {
    serde_json::from_str(line).ok()
}

pub(super) fn number(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("{\"number\":").filter(|_| line.ends_with('}'))?;
    rest.split(',').next()?.parse().ok()
}

fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{InstanceId, Now};
    use crate::runtime::history::Why;

    fn lines(entries: Vec<(u64, &str, What)>) -> String {
        let line = |(number, app, what)| {
            let entry = Entry::of_instance(&InstanceId::new(app, 0), what, Now::default());
            serde_json::to_string(&Entry { number, ..entry }).unwrap() + "\n"
        };
        entries.into_iter().map(line).collect()
    }

    #[test]
    fn an_app_keeps_its_history_through_renames_and_begins_with_its_making() {
        let renamed = |from: &str| What::Renamed { from: from.to_owned(), why: Why::Cron };
        let created = || What::Created { instances: 1, why: Why::Cron };
        let older = lines(vec![(1, "a", What::Healthy), (2, "a", created()), (3, "a", What::Healthy)]);
        let text = lines(vec![
            (3, "a", What::Healthy),
            (4, "x", What::Healthy),
            (5, "b", renamed("a")),
            (6, "a", created()),
            (7, "a", What::Healthy),
            (8, "b", What::Healthy),
        ]) + "{\"number\":9,\"app\":\"b\",";
        let history = History { older, text };
        let numbers = |app: &str| of_app(&history.lines(), app).iter().map(|entry| entry.number).collect::<Vec<_>>();
        assert_eq!(numbers("b"), [2, 3, 5, 8]);
        assert_eq!(numbers("a"), [6, 7]);
        assert_eq!(numbers("nobody"), [0; 0]);
        assert_eq!(history.lines().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
