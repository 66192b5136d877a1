//! Which literals numbers, booleans and nulls come from that something is said of, where one run of the config does not tell: it
//! is run again for that, with nothing that it could do besides (`provenance::Trial`). So it is for the words of what fails in a
//! package.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;

use super::engine;
use super::fault::NEAR;
use super::host::Outside;
use super::orders::{Aside, Failure, Orders, Reply, Request, shown};
use super::parent;
use super::provenance::{Scalar, Spot, Trace, Trial, With, is_tagged};
use super::values::{Exported, Origin};
use super::{Engine, Limits};
use crate::config::{Journal, Reading, World};
use crate::document::{Kind, Node, SourceId, Sources, Span};

/// Runs of the config.
const TRIALS_MAX: usize = 12;
/// Nobody waits long for a better place.
const DEADLINE_MS: u64 = 2_000;
/// Different values.
const DOUBTS_MAX: usize = 200;

/// The config's value once more, with the places of those `doubted`, which were computed as far as was known. None where
/// there is nothing more to know.
#[must_use]
pub fn settle(entry: &Path, world: &World, node: &Node, doubted: &[&Node], sources: &mut Sources) -> Option<Node> {
    let mut doubts: Vec<Scalar> = Vec::new();
    for scalar in doubted.iter().filter_map(|node| scalar(&node.kind)) {
        if !doubts.contains(&scalar) && doubts.len() < DOUBTS_MAX {
            doubts.push(scalar);
        }
    }
    // What Node ran has no places so far: where the embedded engine comes to the same, it knows them.
    let embedded = world.engine == Engine::Embedded;
    if embedded && doubts.is_empty() {
        return None;
    }
    let orders = Orders::new(entry, world);
    let exported = again(&orders, Aside::Places(doubts), &world.reading)?.0.ok()?;
    let settled = parent::settled(exported, |path| shown(path, entry, &orders.entry), sources)?;
    if same(&settled, node) {
        return Some(settled);
    }
    // The time of day, a process's number: what is the same has the same places.
    let mut node = node.clone();
    take(&mut node, &settled);
    embedded.then_some(node)
}

/// The same failure of a package's, in the words that its marks have for it.
pub(super) fn worded(orders: &Orders, failure: Failure, reading: &Reading) -> Failure {
    match again(orders, Aside::Words, reading) {
        Some((Err(other), _))
            if (other.code, &other.file, other.position) == (failure.code, &failure.file, failure.position) =>
        {
            Failure { message: other.message, ..failure }
        }
        _ => failure,
    }
}

/// The same error with the place where it was thrown, and in the words that belong there.
pub(super) fn placed(orders: &Orders, failure: Failure, reading: &Reading) -> Failure {
    match again(orders, Aside::Error, reading) {
        Some((Err(other), _)) => told_by(failure, other),
        _ => failure,
    }
}

/// What a failure is if another run knows more of the same error.
pub(super) fn told_by(failure: Failure, other: Failure) -> Failure {
    let (Some(first), Some(known)) = (&failure.doubt, &other.doubt) else { return failure };
    if known.message != first.message || !known.has_place || first.has_place && !known.has_words {
        return failure;
    }
    // Elsewhere it is another error, unless that is where this one was caught before.
    if first.has_place && !first.thrown_on && !refines(&failure, &other) {
        return failure;
    }
    let message = if known.has_words { other.message } else { failure.message };
    if first.has_place && first.thrown_on {
        let from = other.position.filter(|from| other.file == failure.file && Some(*from) != failure.position);
        let comes = from.map(|(line, column)| format!("it was caught, and comes from line {line}, column {column}"));
        return Failure { message, hint: failure.hint.or(comes), ..failure };
    }
    let hint = failure.hint.filter(|hint| hint != NEAR);
    let (file, position, excerpt) = (other.file, other.position, other.excerpt);
    Failure { message, file, position, hint, excerpt, near: other.near, ..failure }
}

/// Whether another place is on the same line, or on one that goes on from it as a chain of calls does.
fn refines(failure: &Failure, other: &Failure) -> bool {
    let (Some((from, _)), Some((to, _))) = (failure.position, other.position) else { return false };
    let goes_on = |text: &str| {
        let mut between = text.lines().skip(from as usize).take(to.saturating_sub(from) as usize);
        between.all(|line| [".", "?.", "["].iter().any(|start| line.trim_start().starts_with(start)))
    };
    let text = other.excerpt.as_deref().map(|(text, ..)| text.as_str());
    failure.file == other.file && (from == to || from < to && text.is_some_and(goes_on))
}

/// Gives refusals the places that the engine did not know.
pub(super) fn placed_refusals(orders: &Orders, refusals: &mut [Failure], reading: &Reading) {
    let Some((_, known)) = again(orders, Aside::Error, reading) else { return };
    for refusal in refusals.iter_mut().filter(|refusal| refusal.position.is_none()) {
        if let Some(known) = known.iter().find(|known| known.message == refusal.message && known.position.is_some()) {
            refusal.clone_from(known);
        }
    }
}

/// Runs it again, in a child of its own: it may need more than there is, and then nothing has happened. Commands are not
/// run again, and without what they said the config would go another way.
fn again(orders: &Orders, aside: Aside, reading: &Reading) -> Option<(Result<Exported, Failure>, Vec<Failure>)> {
    if !reading.journal.inputs().commands.is_empty() {
        return None;
    }
    let limits = Limits { deadline_ms: reading.limits.deadline_ms.min(DEADLINE_MS), ..reading.limits };
    let folders = reading.journal.folders();
    let orders = Orders { aside: Some(aside), deadline_ms: limits.deadline_ms, folders, ..orders.clone() };
    parent::outcome(&orders, &Reading { limits, journal: Journal::default(), ..reading.clone() })
}

/// Takes over the places of what is the same.
fn take(node: &mut Node, settled: &Node) {
    let known = match (&mut node.kind, &settled.kind) {
        (Kind::Sequence(items), Kind::Sequence(others)) if items.len() == others.len() => {
            items.iter_mut().zip(others).for_each(|(item, other)| take(item, other));
            true
        }
        (Kind::Mapping(entries), Kind::Mapping(others)) => {
            for (entry, other) in entries.iter_mut().zip(others) {
                if entry.key.text != other.key.text {
                    break;
                }
                take(&mut entry.value, &other.value);
            }
            false
        }
        (one, other) => one == other,
    };
    if known {
        node.span = settled.span.or(node.span);
    }
}

/// Whether two nodes are the same but for their places.
fn same(one: &Node, other: &Node) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Sequence(one), Kind::Sequence(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Kind::Mapping(one), Kind::Mapping(other)) => {
            let equal = |(one, other): (&crate::document::Entry, &crate::document::Entry)| {
                one.key.text == other.key.text && same(&one.value, &other.value)
            };
            one.len() == other.len() && one.iter().zip(other).all(equal)
        }
        (one, other) => one == other,
    }
}

fn scalar(kind: &Kind) -> Option<Scalar> {
    match kind {
        Kind::Null => Some(Scalar::Null),
        Kind::Bool(flag) => Some(Scalar::Bool(*flag)),
        Kind::Number(number) if number.is_finite() => Some(Scalar::Number(*number)),
        _ => None,
    }
}

/// A literal, and what stood for it.
struct Stood<'a> {
    scalar: &'a Scalar,
    spot: Spot,
    other: Kind,
}

/// The child's side.
///
/// # Errors
/// As when the config is run.
pub(super) fn run(orders: Orders, aside: Aside, refused: Box<dyn Fn(Vec<Failure>)>) -> Result<Exported, Failure> {
    match aside {
        Aside::Places(doubts) => located(&orders, &doubts),
        Aside::Words => {
            let trial = Trial { packages: true, ..Trial::default() };
            engine::tried(orders.clone(), nothing_outside(&orders), trial).map(|(exported, _)| exported)
        }
        Aside::Error => {
            let trial = Trial { guarded: true, ..Trial::default() };
            let outside = Outside { refused, ..nothing_outside(&orders) };
            engine::tried(orders, outside, trial).map(|(exported, _)| exported)
        }
    }
}

/// The config's value, with the places that trials find.
fn located(orders: &Orders, doubts: &[Scalar]) -> Result<Exported, Failure> {
    let tried = |with: With| {
        let trial = Trial { wanted: doubts.to_vec(), with, ..Trial::default() };
        engine::tried(orders.clone(), nothing_outside(orders), trial)
    };
    let (mut exported, trace) = tried(With::Own)?;
    if trace.is_by_chance() {
        return Ok(exported);
    }
    let seen = trace.observed();
    let alone = seen.literals.iter().filter(|(_, _, scalar)| !is_tagged(scalar)).map(|(site, ..)| With::Nothing(*site));
    let tags = Some(With::Tags).filter(|_| !seen.literals.is_empty());
    let trials: Vec<With> = tags.into_iter().chain(alone).take(TRIALS_MAX).collect();
    for with in trials {
        let Ok((other, passed)) = tried(with) else { continue };
        // Whoever goes another way may find another one there.
        if passed.observed().way != seen.way {
            continue;
        }
        let trial = Trial { wanted: Vec::new(), with, ..Trial::default() };
        let stood = seen.literals.iter().filter_map(|(site, spot, scalar)| {
            Some(Stood { scalar, spot: *spot, other: trial.stands(*site, scalar)? })
        });
        let mut found =
            Found { trace: &trace, stood: stood.collect(), sources: HashMap::new(), files: &mut exported.files };
        found.compare(&mut exported.node, &other.node);
    }
    Ok(exported)
}

/// It is not to be noticed that the config is run again: of its folders it hears what it heard before, and none is made.
fn nothing_outside(orders: &Orders) -> Outside {
    let folders = RefCell::new(orders.folders.clone());
    Outside {
        print: Box::new(|_| ()),
        ask: Box::new(move |request| {
            let Request::Folder { path, recursive } = request else { return Err(ErrorKind::Unsupported.into()) };
            let mut folders = folders.borrow_mut();
            let heard = folders.iter().position(|folder| folder.path == path && folder.recursive == recursive);
            match heard.map(|at| folders.remove(at).made) {
                Some(Ok(first)) => Ok(Reply::Made(first)),
                Some(Err(number)) => Ok(Reply::Failed(number)),
                None => Err(ErrorKind::Unsupported.into()),
            }
        }),
        journal: Journal::default(),
        refused: Box::new(|_| ()),
    }
}

struct Found<'a> {
    trace: &'a Trace,
    stood: Vec<Stood<'a>>,
    /// By the file of the trace.
    sources: HashMap<u32, u32>,
    files: &'a mut Vec<Origin>,
}

impl Found<'_> {
    fn compare(&mut self, node: &mut Node, other: &Node) {
        match (&mut node.kind, &other.kind) {
            (Kind::Sequence(items), Kind::Sequence(others)) => {
                items.iter_mut().zip(others).for_each(|(item, other)| self.compare(item, other));
            }
            (Kind::Mapping(entries), Kind::Mapping(others)) => {
                for (entry, other) in entries.iter_mut().zip(others) {
                    if entry.key.text == other.key.text {
                        self.compare(&mut entry.value, &other.value);
                    }
                }
            }
            (kind, other) => {
                let computed = |span: Span| self.files.get(span.source.0 as usize).is_some_and(|file| file.computed);
                if is_same(kind, other) || !node.span.is_none_or(computed) {
                    return;
                }
                let mut from = self
                    .stood
                    .iter()
                    .filter(|stood| scalar(kind).as_ref() == Some(stood.scalar) && is_same(&stood.other, other));
                if let Some(spot) = from.next().map(|stood| stood.spot) {
                    node.span = self.span(spot).or(node.span);
                }
            }
        }
    }

    fn span(&mut self, spot: Spot) -> Option<Span> {
        let source = if let Some(known) = self.sources.get(&spot.file) {
            *known
        } else {
            let (path, text) = self.trace.file(spot.file)?;
            let known = self.files.iter().position(|file| file.path == path && !file.computed);
            let known = known.unwrap_or(self.files.len());
            if known == self.files.len() {
                self.files.push(Origin { path, text: text.as_ref().into(), computed: false, guessed: false });
            }
            let known = u32::try_from(known).ok()?;
            self.sources.insert(spot.file, known);
            known
        };
        Some(Span { source: SourceId(source), start: spot.bytes.start, end: spot.bytes.end })
    }
}

/// To the last bit.
fn is_same(one: &Kind, other: &Kind) -> bool {
    match (one, other) {
        (Kind::Number(one), Kind::Number(other)) => one.to_bits() == other.to_bits(),
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests;
