//! Where the values of a config program come from.
//!
//! ```text
//! text ── rewrite ──▶ text with marks ──▶ engine: each mark tells `met` its site and its value
//!             │                               │
//!           sites: bytes of literals, keys    └─▶ records: which object was made where, what was written to it
//!             └────────────── find ◀──────────────────┘    (after the run, for every key and value)
//! ```
//!
//! Records hang on objects by a `WeakMap`, so nothing lives longer for them. A text is known by its bytes, wherever it is
//! carried (`origin`); a number only as far as the program's text says what a name stands for (`rewrite::flow`). Whatever cannot be traced with certainty
//! has no place of its own; the nearest one around it then stands for it, and says that it does.

mod brackets;
mod chain;
mod doing;
mod explain;
mod find;
mod guards;
mod hooks;
mod keys;
mod known;
pub(super) mod likely;
mod origin;
mod rewrite;
mod site;
#[cfg(test)]
mod tests;
mod text;
mod trial;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use boa_engine::object::JsObject;
use boa_engine::object::builtins::JsWeakMap;
use boa_engine::property::PropertyKey;
use boa_engine::{
    Context, Finalize, JsData, JsNativeError, JsResult, JsString, JsValue, Trace as Traceable, js_string,
};

pub(super) use self::brackets::Odd;
use self::chain::{Followed, is_no_list};
use self::doing::Doing;
use self::explain::callee_text;
pub(super) use self::explain::token;
pub(super) use self::find::Found;
use self::guards::Guards;
use self::keys::Looped;
use self::origin::Texts;
use self::rewrite::Facts;
pub(super) use self::rewrite::Shape;
use self::site::{Entry, Item, Object, Site, Value, Worth};
pub(super) use self::site::{Place, Scalar, SiteId, Spot};
use self::text::{Bytes, Insertions};
pub(super) use self::trial::{Trial, With, is_tagged};
use crate::document::{Kind, Node, js_number};

/// The name of the function that marks values. A file that has this name is left alone.
const MARK: &str = "$pmrun";
/// What begins a mark.
const OPEN: &str = "$pmrun(";
/// What ends a mark, so that it can be told from the program's own brackets.
const CLOSE: &str = "/*$pmrun*/)";
/// The same, where the object is told whose field it is.
const FIELD: &str = ",/*$pmrun*/this/*$pmrun*/)";
/// Behind a mark before the value of a field, which is told that the field is written over: `= $pmrun(7,0,this)?0: f()`.
/// What the value begins with is all that has to be known of it.
const OVER: &str = "0,/*$pmrun*/this/*$pmrun*/)?0:/*$pmrun:*/";
/// What a mark is given that stands for nothing of the program's.
const NOTHING: &str = "$pmrun";
/// What ends a mark that is a statement.
const STATEMENT: &str = ";/*$pmrun*/";
/// What stands in, around and behind a pattern that a `catch` takes apart, and behind its block.
const TAKING: &str = "$pmrun$e){let/*$pmrun*/ ";
const TAKEN: &str = ",$pmrun$e/*$pmrun*/";
const TOOK: &str = ";/*$pmrun;*/";
const TAKEN_END: &str = "/*$pmrun}*/}";
/// Between a mark and the word before it.
const APART: &str = "/*$pmrun*/";

/// More spreads that wait for their literal than a program nests; what throws leaves some behind.
const PENDING_MAX: usize = 10_000;
/// What is spread and assigned is kept alive for the places that it knows: so many of one literal, and in all.
const OPERANDS_MAX: u32 = 2_000;
const ASSIGNED_MAX: u32 = 10_000;
/// Longer lists are compared as wholes.
const SEEN_MAX: usize = 256;
/// Larger JSON files are data, not configs.
const JSON_MAX: usize = 256 << 10;

/// The program as the engine is given it: without marks, and with them where that can be.
pub(super) fn marked(code: &str, shape: Shape) -> (String, Option<String>) {
    let rewritten = rewrite::rewrite(code, shape, &[], (0, 0), &Trial::default());
    (rewrite::plain(code, shape, &[]).0, rewritten.map(|rewritten| rewritten.text))
}

/// Where the one value is written that a program exports as a whole.
pub(super) fn exported_whole(text: &str, shape: Shape) -> Option<Bytes> {
    let code = super::source::without_shebang(text);
    let rewritten = rewrite::rewrite(&code, shape, &[], (0, 0), &Trial::default())?;
    rewritten.facts.whole.map(|whole| whole.spot.bytes)
}

/// What happened to one object.
#[derive(Debug, Default, Traceable, Finalize, JsData)]
struct Record {
    /// The literal that made it.
    #[unsafe_ignore_trace]
    literal: Option<SiteId>,
    /// What was spread into it, by number.
    operands: Vec<JsValue>,
    /// Its values when it was made, for those entries that can only be told by them.
    seen: Vec<JsValue>,
    /// Keys that were written since.
    #[unsafe_ignore_trace]
    written: HashMap<String, Written>,
    /// What `Object.assign` copied into it, in order; null for what is not known any more.
    assigned: Vec<JsValue>,
    #[unsafe_ignore_trace]
    assigned_order: Vec<u32>,
}

/// How a key was written: in which order, where, and what its name was taken from, if it was computed.
#[derive(Clone, Copy, Debug)]
struct Written {
    order: u32,
    site: SiteId,
    name: Option<Place>,
}

/// A file that was run.
struct File {
    path: PathBuf,
    /// As it is on disk, less its types.
    text: Rc<str>,
    /// As the engine has it.
    given: String,
    insertions: Insertions,
    facts: Facts,
}

/// What one run knows of its values.
pub(super) struct Trace {
    files: RefCell<Vec<File>>,
    /// Files as they are on disk, types and all.
    typed: RefCell<HashMap<PathBuf, Rc<str>>>,
    sites: RefCell<Vec<Rc<Site>>>,
    records: JsWeakMap,
    texts: RefCell<Texts>,
    /// Spread operands and written objects whose literal or key is not evaluated yet.
    pending: RefCell<Vec<(SiteId, u32, JsValue)>>,
    /// What marks have refused, by the message.
    refused: RefCell<Vec<(String, Spot)>>,
    doing: RefCell<Doing>,
    /// What was caught last.
    caught: RefCell<Option<JsValue>>,
    /// There was an error of a package's, which has no marks.
    vague: Cell<bool>,
    /// What was to be written to null (or undefined), by the place of the name: whether it was null, and the name.
    nothing: RefCell<HashMap<Spot, (bool, String)>>,
    /// Chains of which nobody can say beforehand whether they fail.
    unsure: RefCell<HashSet<Spot>>,
    /// What is about to be read of null (or undefined), by the mark of its name.
    awaited: RefCell<HashMap<SiteId, bool>>,
    order: Cell<u32>,
    /// What loops have gone through the keys of, and the keys that are told so far.
    loops: RefCell<HashMap<SiteId, Looped>>,
    /// How many names have bytes of their own.
    names: Cell<u32>,
    /// How many operands are kept for each literal.
    operands: RefCell<HashMap<SiteId, u32>>,
    on: bool,
    trial: Trial,
    /// The way that the program has taken so far, in a trial.
    way: Cell<u64>,
    guards: RefCell<Guards>,
    /// Errors whose words were given Node's, and what the engine had said.
    reworded: RefCell<Vec<(JsValue, String)>>,
    /// The mark that was passed last.
    last: Cell<SiteId>,
}

impl Trace {
    /// Sets the mark up in a fresh engine.
    pub(super) fn install(on: bool, trial: Trial, context: &mut Context) -> JsResult<Rc<Self>> {
        let trace = Rc::new(Self {
            files: RefCell::default(),
            typed: RefCell::default(),
            sites: RefCell::default(),
            records: JsWeakMap::new(context),
            texts: RefCell::default(),
            pending: RefCell::default(),
            refused: RefCell::default(),
            doing: RefCell::default(),
            caught: RefCell::default(),
            vague: Cell::new(false),
            nothing: RefCell::default(),
            unsure: RefCell::default(),
            awaited: RefCell::default(),
            order: Cell::new(0),
            loops: RefCell::default(),
            names: Cell::new(0),
            operands: RefCell::default(),
            on,
            trial,
            way: Cell::new(0),
            guards: RefCell::default(),
            reworded: RefCell::default(),
            last: Cell::new(SiteId::MAX),
        });
        context.insert_data(trace.clone());
        if on {
            hooks::install(context)?;
            keys::wrap(context)?;
        }
        if trace.trial.guarded {
            guards::install(&trace, context)?;
        }
        Ok(trace)
    }

    pub(super) fn of(context: &Context) -> Rc<Self> {
        context.get_data::<Rc<Self>>().cloned().expect("the engine is made with its trace")
    }

    /// The text to run for a file; `code` is `text` as far as the engine understands it, byte for byte. `before` has to be
    /// inserted for that.
    pub(super) fn prepare(
        &self,
        path: &Path,
        text: &str,
        code: &str,
        shape: Shape,
        before: &[(usize, &'static str)],
    ) -> String {
        let foreign = is_foreign(path);
        if self.trial.guarded && !foreign && text.len() == code.len() {
            return self.prepare_guarded(path, text, code, shape, before);
        }
        let mut sites = self.sites.borrow_mut();
        let mut files = self.files.borrow_mut();
        let (Ok(file), Ok(first)) = (u32::try_from(files.len()), u32::try_from(sites.len())) else {
            return rewrite::plain(code, shape, before).0;
        };
        let rewritten = if self.on && (!foreign || self.trial.packages) && text.len() == code.len() {
            rewrite::rewrite(code, shape, before, (file, first), &self.trial)
        } else {
            None
        };
        let (given, insertions, facts) = if let Some(rewritten) = rewritten {
            sites.extend(rewritten.sites.into_iter().map(Rc::new));
            (rewritten.text, rewritten.insertions, rewritten.facts)
        } else {
            let (given, insertions) = rewrite::plain(code, shape, before);
            (given, insertions, Facts::default())
        };
        files.push(File { path: path.to_owned(), text: text.into(), given: given.clone(), insertions, facts });
        given
    }

    fn prepare_guarded(
        &self,
        path: &Path,
        text: &str,
        code: &str,
        shape: Shape,
        before: &[(usize, &'static str)],
    ) -> String {
        let mut files = self.files.borrow_mut();
        let file = u32::try_from(files.len()).unwrap_or(u32::MAX);
        let guarded = self.guarded(code, shape, before, file);
        let (plain, insertions) = rewrite::plain(code, shape, before);
        files.push(File {
            path: path.to_owned(),
            text: text.into(),
            given: plain.clone(),
            insertions,
            facts: Facts::default(),
        });
        guarded.unwrap_or(plain)
    }

    /// The file cannot be run with its marks: forgets them, and gives the text without.
    pub(super) fn without(&self, code: &str, shape: Shape, before: &[(usize, &'static str)]) -> String {
        let (given, insertions) = rewrite::plain(code, shape, before);
        if let Some(file) = self.files.borrow_mut().last_mut() {
            file.given.clone_from(&given);
            file.insertions = insertions;
            file.facts = Facts::default();
        }
        given
    }

    /// The path of a file, and its text as its user sees it, which has the same bytes but for types.
    pub(super) fn file(&self, index: u32) -> Option<(PathBuf, Rc<str>)> {
        let (path, text) =
            self.files.borrow().get(index as usize).map(|file| (file.path.clone(), file.text.clone()))?;
        let typed = self.typed.borrow().get(&path).cloned();
        Some((path, typed.filter(|typed| typed.len() == text.len()).unwrap_or(text)))
    }

    /// What a file holds before its types are taken out.
    pub(super) fn know_typed(&self, path: &Path, text: &str) {
        self.typed.borrow_mut().insert(path.to_owned(), text.into());
    }

    /// Whether the file that was prepared last surely declares no name twice.
    pub(super) fn is_unambiguous(&self) -> bool {
        self.files.borrow().last().is_some_and(|file| file.facts.unambiguous)
    }

    /// A text that errors may point into.
    pub(super) fn know_text(&self, path: &Path, text: &str) {
        self.files.borrow_mut().push(File {
            path: path.to_owned(),
            text: text.into(),
            given: text.to_owned(),
            insertions: Insertions::default(),
            facts: Facts::default(),
        });
    }

    /// The whole value of a JSON file came from it.
    pub(super) fn know_json(&self, path: &Path, text: &str, value: &JsValue, context: &mut Context) -> JsResult<()> {
        if !self.on || text.len() > JSON_MAX {
            return Ok(());
        }
        let Ok(file) = u32::try_from(self.files.borrow().len()) else { return Ok(()) };
        let (Some(node), problems) = crate::config::json::parse(text, crate::document::SourceId(0)) else {
            return Ok(());
        };
        if problems.is_empty() {
            self.know_text(path, text);
            self.json(file, &node, value, context)?;
        }
        Ok(())
    }

    fn json(&self, file: u32, node: &Node, value: &JsValue, context: &mut Context) -> JsResult<()> {
        let (Some(object), Some(whole)) = (value.as_object(), spot(file, node)) else { return Ok(()) };
        let mut nested = Vec::new();
        let mut worth = |node: &Node, inner: Option<JsValue>| match &node.kind {
            Kind::Null => Worth::Scalar(Scalar::Null),
            Kind::Bool(value) => Worth::Scalar(Scalar::Bool(*value)),
            Kind::Number(value) => Worth::Scalar(Scalar::Number(*value)),
            Kind::String(text) => {
                if let (Some(inner), Some(spot)) = (inner.and_then(|inner| inner.as_string()), spot(file, node)) {
                    self.texts.borrow_mut().know(&inner, spot);
                }
                Worth::Scalar(Scalar::Text(text.clone()))
            }
            Kind::Sequence(_) | Kind::Mapping(_) => {
                nested.extend(inner.map(|inner| (node.clone(), inner)));
                Worth::Computed
            }
        };
        let site = match &node.kind {
            Kind::Mapping(entries) => Site::Object(Object::new(
                whole,
                entries
                    .iter()
                    .filter_map(|entry| {
                        let span = entry.key.span?;
                        let at = Spot { file, bytes: Bytes { start: span.start, end: span.end } };
                        let inner = data(&object, &key_of(&entry.key.text));
                        let value = Value { spot: spot(file, &entry.value)?, worth: worth(&entry.value, inner) };
                        Some(Entry::Named { key: entry.key.text.clone(), at, value })
                    })
                    .collect(),
            )),
            Kind::Sequence(items) => Site::Array {
                whole,
                items: items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| {
                        let inner = data(&object, &key_of(&index.to_string()));
                        let spot = spot(file, item).unwrap_or(whole);
                        Item::Value(Value { spot, worth: worth(item, inner) })
                    })
                    .collect(),
            },
            _ => return Ok(()),
        };
        self.doubt(&site, &object, context)?;
        let id = self.add(site);
        self.made(id, &object, context)?;
        nested.iter().try_for_each(|(node, value)| self.json(file, node, value, context))
    }

    fn add(&self, site: Site) -> SiteId {
        let mut sites = self.sites.borrow_mut();
        sites.push(Rc::new(site));
        u32::try_from(sites.len() - 1).unwrap_or(u32::MAX)
    }

    /// Tells of a module's namespace, or of what was taken out of it, where each name was exported.
    pub(super) fn know_exports(&self, path: &Path, object: &JsObject, context: &mut Context) -> JsResult<()> {
        let site = {
            let files = self.files.borrow();
            let Some((index, file)) = files.iter().enumerate().find(|(_, file)| file.path == path) else {
                return Ok(());
            };
            let whole = Spot { file: u32::try_from(index).unwrap_or(u32::MAX), bytes: Bytes::new(0, 0) };
            let entry = |export: &site::Export| Entry::Named {
                key: export.name.clone(),
                at: export.at,
                value: export.value.clone().unwrap_or(Value { spot: export.at, worth: Worth::Computed }),
            };
            let entries: Vec<Entry> = file.facts.exports.iter().map(entry).collect();
            if entries.is_empty() {
                return Ok(());
            }
            Site::Object(Object::new(whole, entries))
        };
        let id = self.add(site);
        self.made(id, object, context)
    }

    /// Whether nothing is known of an object.
    pub(super) fn is_unknown(&self, object: &JsObject, context: &mut Context) -> bool {
        matches!(self.record(object, context), Ok(None))
    }

    /// What the entry exports as a whole.
    pub(super) fn whole(&self, path: &Path) -> Option<Place> {
        let files = self.files.borrow();
        let value = files.iter().find(|file| file.path == path)?.facts.whole.as_ref()?;
        Some(match value.worth {
            Worth::Computed | Worth::OneOf(_) | Worth::Member { .. } => Place::computed(value.spot),
            Worth::Scalar(_) | Worth::Literal(_) => Place::written(value.spot),
        })
    }

    /// What was evaluated last that has a place.
    pub(in crate::config::js) fn last_met(&self) -> Option<Spot> {
        self.site(self.last.get())?.place()
    }

    fn record(&self, object: &JsObject, context: &mut Context) -> JsResult<Option<JsObject>> {
        Ok(self.records.get(object, context)?.as_object())
    }

    fn recorded(&self, object: &JsObject, context: &mut Context) -> JsResult<JsObject> {
        if let Some(known) = self.record(object, context)? {
            return Ok(known);
        }
        let record = JsObject::from_proto_and_data(None, Record::default());
        self.records.set(object, record.clone().into(), context)?;
        Ok(record)
    }

    fn next_order(&self) -> u32 {
        let order = self.order.get().saturating_add(1);
        self.order.set(order);
        order
    }

    fn site(&self, id: SiteId) -> Option<Rc<Site>> {
        self.sites.borrow().get(id as usize).cloned()
    }

    /// A text of the program, as a string by which it can be told; None where the mark is about something else.
    fn own(&self, id: SiteId, value: &JsValue) -> Option<JsValue> {
        let site = self.site(id)?;
        let Site::Text { at, own } = site.as_ref() else { return None };
        let own = own.get_or_init(|| {
            let text = value.as_string().unwrap_or_default();
            self.texts.borrow_mut().add(&text, *at)
        });
        Some(own.clone().into())
    }

    /// A mark was evaluated.
    fn met(&self, id: SiteId, value: &JsValue, context: &mut Context) -> JsResult<()> {
        enum Step {
            Made,
            Pending(SiteId, u32),
            Key(SiteId),
            Written(String),
            Refuse(String, Spot),
            Nothing,
        }
        let site = self.site(id);
        if site.as_deref().is_some_and(|site| site.place().is_some()) {
            self.last.set(id);
        }
        let step = match site.as_deref() {
            Some(Site::Chain(chain)) => match self.followed(chain, value, context) {
                Followed::Fails(said, at) => Step::Refuse(said, at),
                Followed::Unsure => {
                    self.unsure.borrow_mut().insert(chain.whole);
                    Step::Nothing
                }
                Followed::Awaits(key, null) => {
                    self.awaits(key, &if null { JsValue::null() } else { JsValue::undefined() });
                    Step::Nothing
                }
                Followed::Sound => Step::Nothing,
            },
            Some(Site::ReadOf { key }) => {
                self.awaits(*key, value);
                Step::Nothing
            }
            Some(Site::ReadKey { at }) => match self.named(id, value) {
                Some(said) => Step::Refuse(said, *at),
                None => Step::Nothing,
            },
            Some(Site::Caught) => {
                super::fault::in_nodes_words(value, context);
                self.caught.replace(Some(value.clone()));
                Step::Nothing
            }
            Some(Site::Keys) => {
                self.looped(id, value);
                Step::Nothing
            }
            Some(Site::Object(_) | Site::Array { .. }) => Step::Made,
            Some(Site::Spread { literal, slot }) => match self.spread_list(*literal, *slot) {
                Some(at) if is_no_list(value, context) => Step::Refuse(no_list(&self.text_at(at)), self.name_in(at)),
                _ => Step::Pending(*literal, *slot),
            },
            Some(Site::Write { key: Some(key), at, .. }) if value.is_null_or_undefined() => {
                self.nothing.borrow_mut().insert(*at, (value.is_null(), key.clone()));
                Step::Nothing
            }
            Some(Site::Write { key: Some(key), .. }) => Step::Written(key.clone()),
            Some(Site::Write { key: None, .. }) => Step::Pending(id, 0),
            Some(Site::Key { write }) => Step::Key(*write),
            Some(Site::Read { name, at }) if value.is_null_or_undefined() => {
                Step::Refuse(format!("Cannot read properties of {} (reading '{name}')", value.display()), *at)
            }
            Some(Site::Unpack { first, place, at }) if value.is_null_or_undefined() => {
                let (said, text) = (value.display(), callee_text(&self.text_at(*at)));
                let property = first.as_ref().map_or(String::new(), |first| format!("property '{first}' of "));
                Step::Refuse(format!("Cannot destructure {property}'{text}' as it is {said}."), *place)
            }
            Some(Site::Done { whole }) => {
                self.unsure.borrow_mut().remove(whole);
                Step::Nothing
            }
            Some(Site::Missing { said, at }) => Step::Refuse(said.clone(), *at),
            Some(Site::Iterate { at }) if is_no_list(value, context) => {
                let place = if value.is_null_or_undefined() { *at } else { self.name_in(*at) };
                Step::Refuse(no_list(&self.text_at(*at)), place)
            }
            Some(Site::Operation { of, .. }) => {
                self.doing.borrow_mut().note(of, id, value);
                Step::Nothing
            }
            _ => Step::Nothing,
        };
        match step {
            Step::Made => match value.as_object() {
                Some(object) => self.made(id, &object, context),
                None => Ok(()),
            },
            Step::Pending(literal, slot) => {
                let mut pending = self.pending.borrow_mut();
                if pending.len() >= PENDING_MAX {
                    pending.drain(..PENDING_MAX / 2);
                }
                pending.push((literal, slot, value.clone()));
                Ok(())
            }
            Step::Key(write) => {
                let found = {
                    let mut pending = self.pending.borrow_mut();
                    let at = pending.iter().rposition(|(known, _, _)| *known == write);
                    at.and_then(|at| pending.drain(at..).next())
                };
                let key = match value.as_string() {
                    Some(text) => text.to_std_string_lossy(),
                    None => match value.as_number() {
                        Some(number) => js_number(number),
                        None => return Ok(()),
                    },
                };
                if let Some((_, _, target)) = found.as_ref().filter(|(_, _, target)| target.is_null_or_undefined())
                    && let Some(Site::Write { at, .. }) = self.site(write).as_deref()
                {
                    self.nothing.borrow_mut().insert(*at, (target.is_null(), key.clone()));
                }
                match found.and_then(|(_, _, target)| target.as_object()) {
                    Some(object) => {
                        let name = value.as_string().and_then(|name| self.texts.borrow().find(&name));
                        self.wrote(&object, key, (write, name), context)
                    }
                    None => Ok(()),
                }
            }
            Step::Written(key) => match value.as_object() {
                Some(object) => self.wrote(&object, key, (id, None), context),
                None => Ok(()),
            },
            Step::Refuse(message, at) => {
                self.refused.borrow_mut().push((message.clone(), at));
                Err(JsNativeError::typ().with_message(message).into())
            }
            Step::Nothing => Ok(()),
        }
    }

    /// A literal made an object.
    fn made(&self, id: SiteId, object: &JsObject, context: &mut Context) -> JsResult<()> {
        let mut record = Record::default();
        record.literal = Some(id);
        {
            let site = self.site(id);
            match site.as_deref() {
                Some(Site::Object(literal)) => {
                    for entry in &literal.entries {
                        match entry {
                            Entry::Named { key, value, .. } if value.worth.is_computed() => {
                                record.seen.push(data(object, &key_of(key)).unwrap_or_default());
                            }
                            _ => {}
                        }
                    }
                    record.operands = vec![JsValue::undefined(); literal.slots as usize];
                }
                Some(Site::Array { items, .. }) => {
                    record.operands = items
                        .iter()
                        .filter(|item| matches!(item, Item::Spread { .. }))
                        .map(|_| JsValue::undefined())
                        .collect();
                    let length = length(object);
                    if length <= SEEN_MAX {
                        let item = |index: usize| data(object, &key_of(&index.to_string())).unwrap_or_default();
                        record.seen = (0..length).map(item).collect();
                    }
                }
                _ => return Ok(()),
            }
        }
        if !record.operands.is_empty() {
            let mut pending = self.pending.borrow_mut();
            let mut above = u32::MAX;
            // Inner evaluations of the same literal have taken theirs.
            while let Some((literal, slot, _)) = pending.last() {
                if *literal != id || *slot >= above {
                    break;
                }
                above = *slot;
                if let Some((_, slot, operand)) = pending.pop()
                    && let Some(place) = record.operands.get_mut(slot as usize)
                    && self.may_keep(id)
                {
                    *place = operand;
                }
            }
        }
        let record = JsObject::from_proto_and_data(None, record);
        self.records.set(object, record.into(), context)?;
        Ok(())
    }

    /// What a list spreads, by its number.
    fn spread_list(&self, literal: SiteId, slot: u32) -> Option<Spot> {
        let site = self.site(literal)?;
        let Site::Array { items, .. } = site.as_ref() else { return None };
        items.iter().find_map(|item| match item {
            Item::Spread { slot: known, value } if *known == slot => Some(*value),
            _ => None,
        })
    }

    fn may_keep(&self, literal: SiteId) -> bool {
        let mut operands = self.operands.borrow_mut();
        let kept = operands.entry(literal).or_default();
        *kept = kept.saturating_add(1);
        *kept <= OPERANDS_MAX
    }

    fn wrote(
        &self,
        object: &JsObject,
        key: String,
        (site, name): (SiteId, Option<Place>),
        context: &mut Context,
    ) -> JsResult<()> {
        let order = self.next_order();
        let record = self.recorded(object, context)?;
        if let Some(mut record) = record.downcast_mut::<Record>() {
            record.written.insert(key, Written { order, site, name });
        }
        Ok(())
    }

    /// A field of a class was given its value, if the mark is one of those.
    fn has_field(&self, id: SiteId, object: &JsObject, context: &mut Context) -> JsResult<bool> {
        let site = self.site(id);
        match site.as_deref() {
            Some(Site::Write { key: Some(key), .. }) => self.wrote(object, key.clone(), (id, None), context)?,
            Some(Site::Write { key: None, .. }) => self.forget(object, context)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Something was written, and nobody knows which key: what was written before may be gone.
    fn forget(&self, object: &JsObject, context: &mut Context) -> JsResult<()> {
        let order = self.next_order();
        let record = self.recorded(object, context)?;
        if let Some(mut record) = record.downcast_mut::<Record>() {
            record.assigned.push(JsValue::null());
            record.assigned_order.push(order);
        }
        Ok(())
    }

    /// A property of a known object holds what nobody has seen being written.
    fn replaced(&self, object: &JsObject, key: &JsValue, context: &mut Context) -> JsResult<()> {
        let Some(key) = key.as_string().map(|key| key.to_std_string_lossy()) else { return Ok(()) };
        let Some(held) = data(object, &key_of(&key)) else { return Ok(()) };
        let found = self.find(object, &key, &held, context)?;
        let (Some(at), Some(value)) = (found.key, found.value) else { return Ok(()) };
        if self.order.get() >= ASSIGNED_MAX {
            return self.assigned(object, &[JsObject::with_null_proto().into()], context);
        }
        let value = Value { spot: value.spot, worth: Worth::Computed };
        let site = self.add(Site::Write { key: (!at.computed).then(|| key.clone()), at: at.spot, value });
        self.wrote(object, key, (site, None), context)
    }

    fn assigned(&self, target: &JsObject, sources: &[JsValue], context: &mut Context) -> JsResult<()> {
        let record = self.recorded(target, context)?;
        if let Some(mut record) = record.downcast_mut::<Record>() {
            for source in sources.iter().filter(|source| source.is_object()) {
                let order = self.next_order();
                if order > ASSIGNED_MAX && record.assigned.last().is_some_and(JsValue::is_null) {
                    continue;
                }
                // Null hides what was there before.
                record.assigned.push(if order > ASSIGNED_MAX { JsValue::null() } else { source.clone() });
                record.assigned_order.push(order);
            }
        }
        Ok(())
    }

    /// Of `a.b.c`, the `c`.
    fn name_in(&self, spot: Spot) -> Spot {
        let files = self.files.borrow();
        let text = files.get(spot.file as usize).map_or("", |file| spot.bytes.of(&file.text));
        let name = text.rsplit('.').next().unwrap_or_default();
        let is_name = name.len() < text.len() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'));
        let end = spot.bytes.end;
        let start = if is_name { end.saturating_sub(u32::try_from(name.len()).unwrap_or(0)) } else { spot.bytes.start };
        Spot { bytes: Bytes { start, end }, ..spot }
    }

    fn text_at(&self, spot: Spot) -> String {
        let files = self.files.borrow();
        let text = files.get(spot.file as usize).map_or("", |file| spot.bytes.of(&file.text));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// What V8 says of what it cannot go through.
fn no_list(text: &str) -> String {
    let shown = callee_text(text);
    match shown.strip_suffix("(...)") {
        Some(called) => format!("{called} is not a function or its return value is not iterable"),
        None => format!("{shown} is not iterable"),
    }
}

/// Whether a file is a package's.
pub(super) fn is_foreign(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "node_modules")
}

fn spot(file: u32, node: &Node) -> Option<Spot> {
    node.span.map(|span| Spot { file, bytes: Bytes { start: span.start, end: span.end } })
}

fn key_of(text: &str) -> PropertyKey {
    JsString::from(text).into()
}

/// An own value, without running anything of the config's.
fn data(object: &JsObject, key: &PropertyKey) -> Option<JsValue> {
    object.borrow().properties().get(key).and_then(|property| property.value().cloned())
}

fn length(object: &JsObject) -> usize {
    let length = data(object, &js_string!("length").into()).and_then(|length| length.as_number());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths are whole and not negative")]
    length.map_or(0, |length| length as usize)
}
