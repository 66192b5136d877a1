use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use boa_engine::object::JsObject;
use boa_engine::object::builtins::JsFunction;
use boa_engine::{Context, Module};

use super::files::{Bounds, Files, normalise};
use super::gate::Gate;
use super::orders::{Failure, Orders, Reply, Request};
use crate::config::Journal;

/// Takes what a config prints.
pub(super) type Printer = Box<dyn Fn(&str)>;

/// Has done what a config may not do itself.
pub(super) type Asker = Box<dyn Fn(Request) -> io::Result<Reply>>;

/// What an engine is given of the world outside.
pub(super) struct Outside {
    pub(super) print: Printer,
    pub(super) ask: Asker,
    pub(super) journal: Journal,
    /// Told what `--hermetic` refused, when the run is over.
    pub(super) refused: Box<dyn Fn(Vec<Failure>)>,
}

/// What the natives share: the orders, and what happened so far. It lives as long as its engine.
pub(super) struct Host {
    pub(super) orders: Orders,
    pub(super) files: Files,
    pub(super) started: Instant,
    /// The entry as Node names it: absolute, without symlinks.
    pub(super) entry: PathBuf,
    pub(super) gate: Gate,
    pub(super) print: Printer,
    pub(super) ask: Asker,
    cwd: RefCell<PathBuf>,
    /// Failures whose place is known better than the engine's stack knows it, by the message of the error that was thrown
    /// for them: a config may catch the error, and then nothing has failed.
    faults: RefCell<Vec<(String, Failure)>>,
    /// The call that ended the program, as it would be written.
    ended: RefCell<Option<String>>,
    /// Promises that were rejected, and have no handler so far.
    rejected: RefCell<Vec<JsObject>>,
    timers: RefCell<BTreeMap<(Instant, u32), Timer>>,
    timers_made: Cell<u32>,
    pub(super) modules: RefCell<HashMap<PathBuf, Module>>,
    /// What `boot.js` returned.
    pub(super) boot: RefCell<Option<JsObject>>,
    /// The engine's own frames of an error.
    pub(super) genuine_stack: RefCell<Option<JsFunction>>,
    /// Those of `source::GLOBALS` that are there, as bits.
    pub(super) provided: Cell<u32>,
    /// The entry, when it turned out to be a module: it is evaluated apart, because it may await at its top level.
    pub(super) entry_module: RefCell<Option<Module>>,
}

/// A callback that waits. Its handle is a root for the engine's collector.
#[derive(Clone)]
pub(super) struct Timer {
    pub(super) callback: JsFunction,
    repeat: Option<Duration>,
}

impl Host {
    pub(super) fn new(orders: Orders, print: Printer, ask: Asker, journal: Journal) -> Self {
        let plain = Files::new(orders.mapping.clone());
        let entry = plain.canonical(&orders.entry).unwrap_or_else(|_| orders.entry.clone());
        let bounds = orders.hermetic.clone().map(|hermetic| Rc::new(Bounds::new(&entry, hermetic)));
        Self {
            cwd: RefCell::new(orders.cwd.clone()),
            gate: Gate::new(&orders, bounds.clone(), journal.clone()),
            files: plain.recorded(journal).within(bounds),
            started: Instant::now(),
            entry,
            print,
            ask,
            faults: RefCell::default(),
            ended: RefCell::default(),
            rejected: RefCell::default(),
            timers: RefCell::default(),
            timers_made: Cell::new(0),
            modules: RefCell::default(),
            boot: RefCell::default(),
            genuine_stack: RefCell::default(),
            provided: Cell::new(0),
            entry_module: RefCell::default(),
            orders,
        }
    }

    /// The host of a running engine.
    pub(super) fn of(context: &Context) -> Rc<Self> {
        context.get_data::<Rc<Self>>().cloned().expect("the engine is made with its host")
    }

    pub(super) fn cwd(&self) -> PathBuf {
        self.cwd.borrow().clone()
    }

    pub(super) fn set_cwd(&self, folder: PathBuf) {
        self.cwd.replace(folder);
    }

    /// A path as a native function is given it.
    pub(super) fn path(&self, written: &str) -> PathBuf {
        normalise(&self.cwd.borrow().join(written))
    }

    /// The config looked at a path, as it wrote it, and whether there was something.
    pub(super) fn looked(&self, path: &Path, found: bool) {
        self.gate.journal.looked(&self.absolute(path), found);
    }

    /// The config read a file as data.
    pub(super) fn read(&self, path: &Path, bytes: &[u8]) {
        self.gate.journal.file(&self.absolute(path), bytes);
    }

    /// The config listed a folder.
    pub(super) fn listed<'a>(&self, path: &Path, names: impl Iterator<Item = &'a str>) {
        self.gate.journal.listed(&self.absolute(path), names);
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        normalise(&self.cwd.borrow().join(path))
    }

    /// The name for a person: the entry as it was called, everything else as Node names it.
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        if path == self.entry { self.orders.entry.clone() } else { path.to_owned() }
    }

    pub(super) fn note(&self, message: &str, failure: Failure) {
        self.faults.borrow_mut().push((message.to_owned(), failure));
    }

    pub(super) fn noted(&self, message: &str) -> Option<Failure> {
        self.faults.borrow().iter().rev().find(|(known, _)| known == message).map(|(_, failure)| failure.clone())
    }

    /// The first call counts: what a `finally` does after it would not have run.
    pub(super) fn end(&self, call: String) {
        self.ended.borrow_mut().get_or_insert(call);
    }

    pub(super) fn ended(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    pub(super) fn reject(&self, promise: JsObject) {
        self.rejected.borrow_mut().push(promise);
    }

    /// Somebody looks at how a promise has ended.
    pub(super) fn handle(&self, promise: &JsObject) {
        self.rejected.borrow_mut().retain(|known| !JsObject::equals(known, promise));
    }

    pub(super) fn take_rejected(&self) -> Vec<JsObject> {
        self.rejected.take()
    }

    pub(super) fn add_timer(&self, callback: JsFunction, delay: Duration, repeat: bool) -> u32 {
        let id = self.timers_made.get() + 1;
        self.timers_made.set(id);
        let repeat = repeat.then_some(delay.max(Duration::from_millis(1)));
        self.timers.borrow_mut().insert((Instant::now() + delay, id), Timer { callback, repeat });
        id
    }

    pub(super) fn clear_timer(&self, id: u32) {
        self.timers.borrow_mut().retain(|(_, known), _| *known != id);
    }

    /// The same, where it is due by then.
    pub(super) fn next_timer_until(&self, until: Instant) -> Option<(Instant, Timer)> {
        let is_due = self.timers.borrow().first_key_value().is_some_and(|((due, _), _)| *due <= until);
        if is_due { self.next_timer() } else { None }
    }

    /// The timer that is due next, and when. One that repeats is set again.
    pub(super) fn next_timer(&self) -> Option<(Instant, Timer)> {
        let mut timers = self.timers.borrow_mut();
        let ((due, id), timer) = timers.pop_first()?;
        if let Some(interval) = timer.repeat {
            timers.insert((due + interval, id), timer.clone());
        }
        Some((due, timer))
    }
}
