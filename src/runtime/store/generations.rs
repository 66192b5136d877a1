//! What was asked for and what the apps were then, beside what should run now.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `generations` | number | [`Generation`] as JSON, less its result |
//! | `results` | number | [`Outcome`] as JSON |
//! | `indexes` | number | each app's name with the key of what it was, as JSON |
//! | `completions` | number | of each app's jobs that had done their work, how they ended, as JSON |
//! | `formers` | digest | [`Former`] as JSON: what is the same in many generations is there once |
//! | `applied` | ecosystem | the generation in which all of its file was last found to hold |
//!
//! The index of the last generation is that of what should run now: whatever else is saved about an app goes there, so
//! that several saves of one command are one generation. A pmrun that knows none of these tables reads and writes the
//! others all the same; what it has changed is found by the number, which it counts up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{AMBIENTS, Fault, META, json};
use crate::base::sha256_hex;
use crate::plan::{Completions, Former, Formers, GENERATIONS_KEPT, Generation, Outcome};
use crate::runtime::AppRecord;
use crate::runtime::generation::{
    ByHand, Recall, RecallError, Recalled, by_hand, completions_of, differing, former_of,
};
use crate::spec::EcosystemId;

const GENERATIONS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("generations");
const RESULTS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("results");
const INDEXES: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("indexes");
const COMPLETIONS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("completions");
const FORMERS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("formers");
const APPLIED: TableDefinition<'static, &str, u64> = TableDefinition::new("applied");

/// What nobody refers to any more is looked for once in so many generations.
const SWEPT_EVERY: u64 = 16;

/// Each app's name with the key of what it was.
type Index = BTreeMap<String, String>;

/// What the saves of one transaction make of the generations.
pub(super) struct Ledger<'t> {
    generations: Table<'t, u64, &'static [u8]>,
    results: Table<'t, u64, &'static [u8]>,
    indexes: Table<'t, u64, &'static [u8]>,
    completions: Table<'t, u64, &'static [u8]>,
    formers: Table<'t, &'static str, &'static [u8]>,
    applied: Table<'t, &'static str, u64>,
    number: u64,
    index: Index,
    completed: Completions,
    changed: bool,
    sweep: bool,
}

impl<'t> Ledger<'t> {
    /// Before anything else of the transaction is done.
    pub(super) fn begin(
        transaction: &'t WriteTransaction,
        meta: &impl ReadableTable<&'static str, &'static [u8]>,
        apps: &impl ReadableTable<&'static str, &'static [u8]>,
    ) -> Result<Self, Fault> {
        let number = meta.get("generation")?.and_then(|text| String::from_utf8_lossy(text.value()).parse().ok());
        let mut ledger = Self {
            generations: transaction.open_table(GENERATIONS)?,
            results: transaction.open_table(RESULTS)?,
            indexes: transaction.open_table(INDEXES)?,
            completions: transaction.open_table(COMPLETIONS)?,
            formers: transaction.open_table(FORMERS)?,
            applied: transaction.open_table(APPLIED)?,
            number: number.unwrap_or(0),
            index: Index::new(),
            completed: Completions::new(),
            changed: false,
            sweep: false,
        };
        let last = ledger.indexes.last()?.map(|(number, index)| (number.value(), parse::<Index>(index.value())));
        match last {
            Some((number, Ok(index))) if number == ledger.number => {
                ledger.index = index;
                let completed = ledger.completions.get(number)?.and_then(|row| parse(row.value()).ok());
                ledger.completed = completed.unwrap_or_default();
            }
            // An older pmrun was at work, or there was never a newer one: what is there now is where it begins.
            _ => {
                for entry in apps.iter()? {
                    let (name, record) = entry?;
                    if let Ok(record) = parse::<AppRecord>(record.value()) {
                        ledger.set(name.value(), Some(&record))?;
                    }
                }
                ledger.changed = true;
            }
        }
        Ok(ledger)
    }

    /// From now on the app is this; none is gone.
    pub(super) fn set(&mut self, name: &str, record: Option<&AppRecord>) -> Result<(), Fault> {
        let completed = record.map(completions_of).filter(|completed| !completed.is_empty());
        if self.completed.get(name) != completed.as_ref() {
            self.changed = true;
            match completed {
                Some(completed) => _ = self.completed.insert(name.to_owned(), completed),
                None => _ = self.completed.remove(name),
            }
        }
        let Some(record) = record else {
            self.changed |= self.index.remove(name).is_some();
            return Ok(());
        };
        let former = json(&former_of(record))?;
        let digest: String = sha256_hex(&former).chars().take(32).collect();
        if self.index.get(name) == Some(&digest) {
            return Ok(());
        }
        if self.formers.get(digest.as_str())?.is_none() {
            self.formers.insert(digest.as_str(), former.as_slice())?;
        }
        self.index.insert(name.to_owned(), digest);
        self.changed = true;
        Ok(())
    }

    /// What comes from now on belongs to this one.
    pub(super) fn turn(&mut self, number: u64) -> Result<(), Fault> {
        self.flush()?;
        self.number = number;
        self.changed = true;
        let oldest = number.saturating_sub(GENERATIONS_KEPT);
        self.generations.retain_in(..=oldest, |_, _| false)?;
        self.results.retain_in(..=oldest, |_, _| false)?;
        // One more, for what the oldest that is kept has changed.
        self.indexes.retain_in(..oldest, |_, _| false)?;
        self.completions.retain_in(..oldest, |_, _| false)?;
        self.sweep |= number.is_multiple_of(SWEPT_EVERY);
        Ok(())
    }

    pub(super) fn note(&mut self, generation: &Generation) -> Result<(), Fault> {
        self.generations.insert(generation.number, json(generation)?.as_slice())?;
        // Of one that is done when it begins, nobody says so later.
        generation.result.as_ref().map_or(Ok(()), |outcome| self.end(generation.number, outcome))
    }

    pub(super) fn end(&mut self, number: u64, outcome: &Outcome) -> Result<(), Fault> {
        self.results.insert(number, json(outcome)?.as_slice())?;
        Ok(())
    }

    pub(super) fn applied(&mut self, ecosystem: &EcosystemId, number: u64) -> Result<(), Fault> {
        self.applied.insert(ecosystem.0.as_str(), number)?;
        Ok(())
    }

    /// Looks for what nobody refers to any more when all is saved.
    pub(super) fn sweep_after(&mut self) {
        self.sweep = true;
    }

    fn flush(&mut self) -> Result<(), Fault> {
        if std::mem::take(&mut self.changed) {
            self.indexes.insert(self.number, json(&self.index)?.as_slice())?;
            if self.completed.is_empty() {
                self.completions.remove(self.number)?;
            } else {
                self.completions.insert(self.number, json(&self.completed)?.as_slice())?;
            }
        }
        Ok(())
    }

    /// When everything else of the transaction is done.
    pub(super) fn finish(
        mut self,
        ambients: &mut Table<'_, &'static str, &'static [u8]>,
        apps: &impl ReadableTable<&'static str, &'static [u8]>,
    ) -> Result<(), Fault> {
        self.flush()?;
        if !self.sweep {
            return Ok(());
        }
        let mut kept: BTreeSet<String> = BTreeSet::new();
        for entry in self.indexes.iter()? {
            kept.extend(parse::<Index>(entry?.1.value()).unwrap_or_default().into_values());
        }
        self.formers.retain(|digest, _| kept.contains(digest))?;
        let mut used = BTreeSet::new();
        for entry in self.formers.iter()? {
            used.extend(parse::<Started>(entry?.1.value()).map(|started| started.ambient));
        }
        for entry in apps.iter()? {
            used.extend(parse::<Started>(entry?.1.value()).map(|started| started.ambient));
        }
        ambients.retain(|digest, _| used.contains(digest))?;
        Ok(())
    }
}

/// What an app is started with, as far as that is stored elsewhere.
#[derive(Deserialize)]
struct Started {
    ambient: String,
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
}

/// Reads what was asked for.
pub(super) fn recall(transaction: &ReadTransaction, wanted: &Recall) -> Result<Result<Recalled, RecallError>, Fault> {
    let Some(book) = Book::open(transaction)? else {
        let now = current(transaction)?;
        return Ok(Recalled::without_any(wanted, now));
    };
    let found = match wanted {
        Recall::Last { count } => Ok(Recalled { generations: book.generations(*count)?, ..Recalled::default() }),
        Recall::One { number } => book.one(*number)?,
        Recall::Two { old, new } => book.several([Some(*old), *new].into_iter().flatten())?,
        Recall::Back { to: Some(to) } => book.back(*to)?,
        Recall::Back { to: None } => {
            let indexes = book.all_indexes()?;
            match differing(&indexes) {
                Some(number) => book.back(number)?,
                None => Err(RecallError::NothingBefore),
            }
        }
        Recall::ByHand => {
            let rows = book.generations(u64::MAX)?;
            let traces = by_hand(&rows, &book.all_indexes()?);
            let mut found = Vec::with_capacity(traces.len());
            for trace in traces {
                let former = |digest: &str| parse(book.formers.get(digest).ok()??.value()).ok();
                let applied = |ecosystem: &EcosystemId| Some(book.applied.get(ecosystem.0.as_str()).ok()??.value());
                found.extend(ByHand::of(trace, former, applied));
            }
            Ok(Recalled { by_hand: found, generations: rows, ..Recalled::default() })
        }
    };
    Ok(found)
}

/// Those whose command was at work when the daemon was killed, oldest first.
pub(super) fn unfinished(transaction: &ReadTransaction) -> Result<Vec<Generation>, Fault> {
    let Some(book) = Book::open(transaction)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in book.generations.iter()? {
        let (number, row) = entry?;
        if book.results.get(number.value())?.is_none() {
            found.extend(parse::<Generation>(row.value()).ok().filter(|generation| generation.result.is_none()));
        }
    }
    Ok(found)
}

/// The number that the next generation comes after.
fn current(transaction: &ReadTransaction) -> Result<u64, Fault> {
    let meta = transaction.open_table(META)?;
    let text = meta.get("generation")?;
    Ok(text.and_then(|text| String::from_utf8_lossy(text.value()).parse().ok()).unwrap_or(0))
}

/// The tables, for reading.
struct Book<'t> {
    transaction: &'t ReadTransaction,
    generations: ReadOnlyTable<u64, &'static [u8]>,
    results: ReadOnlyTable<u64, &'static [u8]>,
    indexes: ReadOnlyTable<u64, &'static [u8]>,
    /// None: by a pmrun that did not have it.
    completions: Option<ReadOnlyTable<u64, &'static [u8]>>,
    formers: ReadOnlyTable<&'static str, &'static [u8]>,
    applied: ReadOnlyTable<&'static str, u64>,
}

impl<'t> Book<'t> {
    /// None: nothing was ever saved by a pmrun that has generations, or an older one was at work since.
    fn open(transaction: &'t ReadTransaction) -> Result<Option<Self>, Fault> {
        let indexes = match transaction.open_table(INDEXES) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            other => other?,
        };
        Ok(Some(Self {
            transaction,
            generations: transaction.open_table(GENERATIONS)?,
            results: transaction.open_table(RESULTS)?,
            indexes,
            completions: match transaction.open_table(COMPLETIONS) {
                Err(TableError::TableDoesNotExist(_)) => None,
                other => Some(other?),
            },
            formers: transaction.open_table(FORMERS)?,
            applied: transaction.open_table(APPLIED)?,
        }))
    }

    /// Whether what it was is known.
    fn known(&self, number: u64) -> Result<Result<(), RecallError>, Fault> {
        if self.indexes.get(number)?.is_some() {
            return Ok(Ok(()));
        }
        let of = |entry: Option<u64>| entry.unwrap_or(0);
        let first = of(self.indexes.first()?.map(|(number, _)| number.value()));
        let last = of(self.indexes.last()?.map(|(number, _)| number.value()));
        Ok(Err(RecallError::Unknown { number, first, last }))
    }

    fn generation(&self, number: u64) -> Result<Option<Generation>, Fault> {
        let found = self.generations.get(number)?.and_then(|row| parse::<Generation>(row.value()).ok());
        let result = self.results.get(number)?.and_then(|row| parse::<Outcome>(row.value()).ok());
        Ok(found.map(|generation| Generation { result, ..generation }))
    }

    /// The last so many, oldest first.
    fn generations(&self, count: u64) -> Result<Vec<Generation>, Fault> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut numbers = Vec::new();
        for entry in self.generations.iter()?.rev().take(count) {
            numbers.push(entry?.0.value());
        }
        let mut found = Vec::with_capacity(numbers.len());
        for number in numbers.into_iter().rev() {
            found.extend(self.generation(number)?);
        }
        Ok(found)
    }

    /// Of one whose beginning could not be saved there is nothing: nothing changed with it.
    fn index(&self, number: u64) -> Result<Option<Index>, Fault> {
        let last = self.indexes.range(..=number)?.next_back().transpose()?;
        Ok(last.and_then(|(_, index)| parse(index.value()).ok()))
    }

    fn all_indexes(&self) -> Result<BTreeMap<u64, Index>, Fault> {
        let mut all = BTreeMap::new();
        for entry in self.indexes.iter()? {
            let (number, index) = entry?;
            all.insert(number.value(), parse(index.value()).unwrap_or_default());
        }
        Ok(all)
    }

    /// By the names that they had.
    fn formers<'a>(&self, digests: impl Iterator<Item = &'a String>) -> Result<Formers, Fault> {
        let mut found = Formers::new();
        for digest in digests {
            let former = self.formers.get(digest.as_str())?.and_then(|row| parse::<Former>(row.value()).ok());
            found.extend(former.map(|former| (former.spec.name.clone(), former)));
        }
        Ok(found)
    }

    fn several(&self, numbers: impl Iterator<Item = u64>) -> Result<Result<Recalled, RecallError>, Fault> {
        let mut recalled = Recalled::default();
        for number in numbers {
            if let Err(error) = self.known(number)? {
                return Ok(Err(error));
            }
            let index = self.index(number)?.unwrap_or_default();
            recalled.formers.push((number, self.formers(index.values())?));
        }
        Ok(Ok(recalled))
    }

    /// With what there was before it.
    fn one(&self, number: u64) -> Result<Result<Recalled, RecallError>, Fault> {
        if let Err(error) = self.known(number)? {
            return Ok(Err(error));
        }
        let generations = self.generation(number)?.into_iter().collect();
        let mut recalled = Recalled { generations, ..Recalled::default() };
        for number in [number.checked_sub(1), Some(number)].into_iter().flatten() {
            if let Some(index) = self.index(number)? {
                recalled.formers.push((number, self.formers(index.values())?));
            }
        }
        Ok(Ok(recalled))
    }

    /// With the environments that it takes.
    fn back(&self, number: u64) -> Result<Result<Recalled, RecallError>, Fault> {
        let mut recalled = match self.several(std::iter::once(number))? {
            Ok(recalled) => recalled,
            Err(error) => return Ok(Err(error)),
        };
        // With the index that counts for it.
        let last = self.indexes.range(..=number)?.next_back().transpose()?.map(|(number, _)| number.value());
        if let (Some(completions), Some(last)) = (&self.completions, last) {
            recalled.completions = completions.get(last)?.and_then(|row| parse(row.value()).ok()).unwrap_or_default();
        }
        let ambients = self.transaction.open_table(AMBIENTS)?;
        let used: BTreeSet<&String> =
            recalled.formers.iter().flat_map(|(_, formers)| formers.values()).map(|former| &former.ambient).collect();
        for digest in used {
            if let Some(variables) = ambients.get(digest.as_str())?.and_then(|row| parse(row.value()).ok()) {
                recalled.ambients.insert(digest.clone(), Arc::new(variables));
            }
        }
        Ok(Ok(recalled))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use redb::{Database, ReadableDatabase as _};

    use super::super::{Store, create, read, read_back};
    use super::*;
    use crate::base::Key;
    use crate::runtime::{InstanceRecord, Intent, Save, State};
    use crate::spec::AppSpec;

    fn record(name: &str, env: &str, ambient: &str, intent: Intent) -> AppRecord {
        let mut spec = AppSpec::new(name, "/bin/true", "/");
        spec.env.insert("X".into(), env.into());
        let ecosystem = Some(EcosystemId("one".into()));
        let instances = [(0, Box::new(InstanceRecord::new(7, intent)))].into();
        AppRecord { ecosystem, file: None, spec: Arc::new(spec), ambient: ambient.to_owned(), instances }
    }

    fn generation(number: u64, by_hand: bool) -> Generation {
        let command = format!("command {number}");
        Generation { command, by_hand, result: None, ..Generation::rebuilt(number, 1, 0, 1, 0) }
    }

    fn began(number: u64, by_hand: bool) -> [Save; 2] {
        [Save::Generation(number), Save::Began(Box::new(generation(number, by_hand)))]
    }

    fn app(name: &str, env: &str, ambient: &str, intent: Intent) -> Save {
        Save::App(name.into(), record(name, env, ambient, intent).into())
    }

    fn ambient(digest: &str) -> Save {
        Save::Ambient(digest.to_owned(), Arc::new([("D".to_owned(), digest.to_owned())].into()))
    }

    fn save(store: &mut Store, begun: [Save; 2], rest: Vec<Save>) {
        store.save(&begun.into_iter().chain(rest).collect::<Vec<_>>()).unwrap();
    }

    fn stored(home: &Path, table: TableDefinition<'static, &str, &[u8]>) -> usize {
        let database = Database::open(home.join("state")).unwrap();
        let transaction = database.begin_read().unwrap();
        transaction.open_table(table).unwrap().iter().unwrap().count()
    }

    #[test]
    fn what_was_is_found_again_and_what_is_the_same_is_there_once() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(home.path()).unwrap();
        assert_eq!(store.recall(&Recall::One { number: 1 }).unwrap_err(), RecallError::None);
        save(
            &mut store,
            began(1, false),
            vec![ambient("d"), app("a", "1", "d", Intent::Up), app("b", "1", "d", Intent::Up)],
        );
        // A later wave of the same command.
        store.save(&[app("b", "2", "d", Intent::Up)]).unwrap();
        store.save(&[Save::Ended { number: 1, outcome: Outcome::Done { touched: 2 } }]).unwrap();
        save(&mut store, began(2, true), vec![app("a", "1", "d", Intent::Stopped)]);
        save(&mut store, began(3, true), vec![app("a", "1", "d", Intent::Up)]);
        save(
            &mut store,
            began(4, false),
            vec![ambient("e"), app("b", "3", "e", Intent::Up), Save::DeleteApp("a".into())],
        );

        let found = store.recall(&Recall::Last { count: 3 }).unwrap().generations;
        assert_eq!(found.iter().map(|one| one.number).collect::<Vec<_>>(), [2, 3, 4]);
        let one = store.recall(&Recall::One { number: 1 }).unwrap();
        assert_eq!(one.generations[0].result, Some(Outcome::Done { touched: 2 }));
        assert_eq!(one.formers[0], (0, Formers::new()), "there was nothing before the first");
        assert_eq!(one.formers[1].1["b"].spec.env["X"], "2", "its last wave counts");
        let two = store.recall(&Recall::Two { old: 1, new: Some(3) }).unwrap().formers;
        assert_eq!(two[0].1, two[1].1);
        let back = store.recall(&Recall::Back { to: None }).unwrap();
        assert_eq!((back.formers[0].0, back.formers[0].1.len()), (3, 2));
        assert_eq!(back.ambients["d"]["D"], "d", "though no app has it any more");
        assert_eq!(store.load().unwrap().ambients.into_keys().collect::<Vec<_>>(), ["e"]);
        let error = store.recall(&Recall::Two { old: 1, new: Some(9) }).unwrap_err();
        assert_eq!(error, RecallError::Unknown { number: 9, first: 0, last: 4 });
        drop(store);
        let offline = read_back(home.path(), &Recall::Last { count: 9 }).unwrap().unwrap();
        assert_eq!(offline.generations.len(), 4);
        // a up and stopped, b twice: what it was between two waves was nobody's generation.
        assert_eq!(stored(home.path(), FORMERS), 4);
    }

    #[test]
    fn what_was_changed_by_hand_is_found_until_its_file_holds_again() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(home.path()).unwrap();
        let found = |store: &mut Store| -> Vec<(String, u64, usize)> {
            let found = store.recall(&Recall::ByHand).unwrap().by_hand;
            let last = |one: &ByHand| one.befores.last_key_value().map_or(0, |(number, _)| *number);
            found.into_iter().map(|one| (one.app.clone(), last(&one), one.befores.len())).collect()
        };
        save(
            &mut store,
            began(1, false),
            vec![ambient("d"), app("a", "1", "d", Intent::Up), app("b", "1", "d", Intent::Up)],
        );
        assert_eq!(found(&mut store), []);
        save(&mut store, began(2, true), vec![app("a", "1", "d", Intent::Stopped)]);
        save(&mut store, began(3, true), vec![Save::DeleteApp("a".into())]);
        assert_eq!(found(&mut store), [("a".to_owned(), 3, 2)]);
        store.save(&[Save::Applied { ecosystem: EcosystemId("one".into()), number: 3 }]).unwrap();
        assert_eq!(found(&mut store), []);
        save(&mut store, began(4, true), vec![app("b", "1", "d", Intent::Stopped)]);
        assert_eq!(found(&mut store), [("b".to_owned(), 4, 1)]);
        save(&mut store, began(5, false), vec![app("b", "1", "d", Intent::Up)]);
        assert_eq!(found(&mut store), []);
    }

    #[test]
    fn the_last_hundred_are_kept_and_what_none_of_them_needs_goes() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(home.path()).unwrap();
        for number in 1..=240 {
            let digest = format!("d{}", number / 50);
            let saves = vec![ambient(&digest), app("a", &number.to_string(), &digest, Intent::Up)];
            save(&mut store, began(number, false), saves);
        }
        let kept = store.recall(&Recall::Last { count: 1_000 }).unwrap().generations;
        assert_eq!((kept.len(), kept[0].number), (100, 141));
        assert!(store.recall(&Recall::Two { old: 140, new: Some(141) }).is_ok(), "what the oldest has changed");
        assert!(store.recall(&Recall::Back { to: Some(139) }).is_err());
        drop(store);
        assert!((101..=116).contains(&stored(home.path(), FORMERS)));
        assert!((3..=4).contains(&stored(home.path(), AMBIENTS)));
    }

    #[test]
    fn a_state_without_generations_is_read_and_goes_on_from_where_it_is() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state");
        create(home.path(), &path, &State::empty(Key([7; 32]))).unwrap();
        let older = |number: &str, env: &str| {
            let database = Database::open(&path).unwrap();
            let transaction = database.begin_write().unwrap();
            {
                let mut meta = transaction.open_table(META).unwrap();
                meta.insert("generation", number.as_bytes()).unwrap();
                let mut apps = transaction.open_table(super::super::APPS).unwrap();
                let bytes = serde_json::to_vec(&record("a", env, "d", Intent::Up)).unwrap();
                apps.insert("a", bytes.as_slice()).unwrap();
            }
            transaction.commit().unwrap();
        };
        older("7", "old");
        assert_eq!(read(home.path()).unwrap().unwrap().generation, 7);
        let mut store = Store::open(home.path()).unwrap();
        assert!(store.recall(&Recall::Last { count: 9 }).unwrap().generations.is_empty());
        save(&mut store, began(8, false), vec![app("a", "new", "d", Intent::Up)]);
        let back = store.recall(&Recall::Back { to: None }).unwrap();
        assert_eq!((back.formers[0].0, back.formers[0].1["a"].spec.env["X"].as_str()), (7, "old"));
        drop(store);
        // An older pmrun was at work meanwhile.
        older("12", "older");
        let mut store = Store::open(home.path()).unwrap();
        save(&mut store, began(13, true), vec![app("a", "newer", "d", Intent::Up)]);
        let back = store.recall(&Recall::Back { to: None }).unwrap();
        assert_eq!((back.formers[0].0, back.formers[0].1["a"].spec.env["X"].as_str()), (12, "older"));
    }
}
