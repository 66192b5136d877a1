//! What is remembered of commands: what is asked of the store about it, and what its answers mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AppRecord, Intent};
use crate::base::{ExitStatus, Key};
use crate::graph::Selection;
use crate::plan::{Completions, Destination, Former, Formers, Generation, Meant, Plan, Snapshot, plan_back};
use crate::spec::EcosystemId;

/// What is to be read of what was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recall {
    /// The last so many generations.
    Last { count: u64 },
    /// One, with what the apps were before it and after it.
    One { number: u64 },
    /// What the apps were in one, and in another.
    Two { old: u64, new: Option<u64> },
    /// What it takes to be there again; none is the last that is not what there is now.
    Back { to: Option<u64> },
    /// What was changed by hand since it was applied.
    ByHand,
}

/// The answer to a [`Recall`]; what was not asked for is empty.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    /// Oldest first.
    pub generations: Vec<Generation>,
    pub formers: Vec<(u64, Formers)>,
    /// Of those that a way back goes to.
    pub completions: Completions,
    pub ambients: BTreeMap<String, Arc<BTreeMap<String, String>>>,
    pub by_hand: Vec<ByHand>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecallError {
    #[error("there is no generation @{number}: @{first} to @{last} are known")]
    Unknown { number: u64, first: u64, last: u64 },
    #[error("there is no generation yet: nothing was ever changed")]
    None,
    #[error("there is no generation before this one that differs from it")]
    NothingBefore,
    #[error("{0}")]
    Unreadable(String),
}

impl Recalled {
    /// Where nothing is remembered; `now` is the number that the next would come after.
    ///
    /// # Errors
    /// What was asked for is one that there must be.
    pub fn without_any(wanted: &Recall, now: u64) -> Result<Self, RecallError> {
        match wanted {
            Recall::Last { .. } | Recall::ByHand => Ok(Self::default()),
            Recall::One { number } | Recall::Two { old: number, .. } | Recall::Back { to: Some(number) } if now > 0 => {
                Err(RecallError::Unknown { number: *number, first: now, last: now })
            }
            Recall::Back { to: None } => Err(RecallError::NothingBefore),
            Recall::One { .. } | Recall::Two { .. } | Recall::Back { .. } => Err(RecallError::None),
        }
    }
}

/// What a generation keeps of an app's record.
#[must_use]
pub fn former_of(record: &AppRecord) -> Former {
    let meant = |known: &super::InstanceRecord| match known.intent {
        Intent::Up | Intent::Done { .. } => Meant::Up,
        Intent::Stopped if known.until_kill => Meant::Killed,
        Intent::Stopped => Meant::Stopped,
    };
    Former {
        ecosystem: record.ecosystem.clone(),
        file: record.file.clone(),
        spec: Arc::clone(&record.spec),
        ambient: record.ambient.clone(),
        slots: record.instances.iter().map(|(slot, known)| (*slot, meant(known))).collect(),
    }
}

/// How those of an app ended that have done their work.
#[must_use]
pub fn completions_of(record: &AppRecord) -> BTreeMap<u32, ExitStatus> {
    let intents = record.instances.iter().map(|(slot, known)| (*slot, known.intent));
    let done = |(slot, intent)| match intent {
        Intent::Done { status } => Some((slot, status)),
        Intent::Up | Intent::Stopped => None,
    };
    intents.filter_map(done).collect()
}

/// What changed from one generation to another, or to what there is now. `formers` are those of the two, or of the one.
#[must_use]
pub fn between(new: Option<u64>, formers: Vec<(u64, Formers)>, now: Formers, key: &Key) -> Plan {
    let mut formers = formers.into_iter();
    let (old, before) = formers.next().unwrap_or_default();
    let after = formers.next().map_or(now, |(_, after)| after);
    change(&Snapshot::of_generation(old, &before), new, &after, key)
}

/// What the command of a generation changed.
#[must_use]
pub fn step_to(number: u64, formers: &[(u64, Formers)], key: &Key) -> Plan {
    let of = |wanted| formers.iter().find(|(number, _)| *number == wanted).map(|(_, formers)| formers);
    let (none, before) = (Formers::new(), number.saturating_sub(1));
    let after = of(number).unwrap_or(&none);
    // What nobody knows any more is taken for the same.
    change(&Snapshot::of_generation(before, of(before).unwrap_or(after)), Some(number), after, key)
}

fn change(from: &Snapshot, generation: Option<u64>, formers: &Formers, key: &Key) -> Plan {
    let completions = &Completions::new();
    plan_back(&Destination { formers, completions, generation, selection: &Selection::All, key }, from)
}

/// The last generation that is not what there is now.
#[must_use]
pub fn differing(indexes: &BTreeMap<u64, BTreeMap<String, String>>) -> Option<u64> {
    let (_, now) = indexes.last_key_value()?;
    indexes.iter().rev().find(|(_, index)| *index != now).map(|(number, _)| *number)
}

/// The generations by hand that an app has gone through last, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    pub app: String,
    /// What it was before each, by its number; one that it came with is left out.
    pub digests: BTreeMap<u64, String>,
}

/// What was changed by hand since a file, or a way back, last had its say about an app.
#[must_use]
pub fn by_hand(rows: &[Generation], indexes: &BTreeMap<u64, BTreeMap<String, String>>) -> Vec<Trace> {
    let rows: BTreeMap<u64, &Generation> = rows.iter().map(|row| (row.number, row)).collect();
    let names: std::collections::BTreeSet<&String> = indexes.values().flat_map(BTreeMap::keys).collect();
    let trace = |name: &String| {
        let mut digests = BTreeMap::new();
        for number in indexes.keys().rev() {
            let Some(before) = number.checked_sub(1).and_then(|before| indexes.get(&before)) else { break };
            let (was, is) = (before.get(name), indexes.get(number).and_then(|index| index.get(name)));
            if was == is {
                continue;
            }
            match (rows.get(number), was) {
                (Some(row), Some(was)) if row.by_hand => _ = digests.insert(*number, was.clone()),
                _ => break,
            }
        }
        (!digests.is_empty()).then(|| Trace { app: name.clone(), digests })
    };
    names.into_iter().filter_map(trace).collect()
}

/// What an app was before somebody changed it by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct ByHand {
    pub app: String,
    pub ecosystem: Option<EcosystemId>,
    /// What it was before each generation that changed it.
    pub befores: BTreeMap<u64, Former>,
}

impl ByHand {
    /// The last generation in which something about the app has changed, where anything has by now.
    #[must_use]
    pub fn culprit<T: PartialEq>(&self, now: Option<&Former>, of: impl Fn(Option<&Former>) -> T) -> Option<u64> {
        let befores = || self.befores.values().map(Some);
        let mut after: Vec<Option<&Former>> = befores().skip(1).collect();
        after.push(now);
        let mut steps = self.befores.keys().zip(befores()).zip(after).rev();
        steps.find_map(|((number, before), after)| (of(before) != of(after)).then_some(*number))
    }

    /// None where its file was found to hold, all of it, since then, and for what no file has. `applied` says in which
    /// generation that was.
    #[must_use]
    pub fn of(
        trace: Trace,
        former: impl Fn(&str) -> Option<Former>,
        applied: impl Fn(&EcosystemId) -> Option<u64>,
    ) -> Option<Self> {
        let any = trace.digests.values().next().and_then(|digest| former(digest))?;
        let since = applied(any.ecosystem.as_ref()?).unwrap_or(0);
        let befores = trace.digests.range(since + 1..).map(|(number, digest)| Some((*number, former(digest)?)));
        let befores: BTreeMap<u64, Former> = befores.collect::<Option<_>>()?;
        let ecosystem = befores.values().next()?.ecosystem.clone();
        Some(Self { app: trace.app, ecosystem, befores })
    }
}
