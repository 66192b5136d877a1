//! What a config may see, and the record of what it saw.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use boa_engine::{Context, JsError, JsNativeError, js_string};

use super::fault;
use super::files::{Bounds, Files};
use super::orders::{Failure, Orders};
use super::provenance::Trace;
use crate::config::Journal;
use crate::diag::Code;

/// More refusals than this say nothing new.
const REFUSALS_MAX: usize = 50;

/// Every look at the world passes here.
#[derive(Debug)]
pub(super) struct Gate {
    bounds: Option<Rc<Bounds>>,
    cwd: PathBuf,
    pub(super) journal: Journal,
    refusals: RefCell<Vec<Failure>>,
}

impl Gate {
    pub(super) fn new(orders: &Orders, bounds: Option<Rc<Bounds>>, journal: Journal) -> Self {
        Self { bounds, cwd: orders.cwd.clone(), journal, refusals: RefCell::default() }
    }

    /// Whether a variable is there to be seen.
    pub(super) fn shows(&self, variable: &str) -> bool {
        self.bounds.as_ref().is_none_or(|bounds| bounds.hermetic.allows_variable(variable))
    }

    /// The config asks for a variable.
    pub(super) fn variable(&self, name: &str, context: &mut Context) {
        self.journal.variable(name);
        if !self.shows(name) {
            // Without quotes: quoted in a diagnostic, a part of what stands behind a secret's name would be hidden.
            self.refuse(&format!("the variable {name}"), &format!("--allow-env {name}"), place_of(name, context));
        }
    }

    /// The config asks for a file or a folder as data. What it may not see is an error to throw.
    pub(super) fn path(&self, path: &Path, files: &Files, context: &mut Context) -> Result<(), JsError> {
        let Some(bounds) = &self.bounds else { return Ok(()) };
        if bounds.hermetic.allows_path(&files.canonical_as_far(path)) {
            return Ok(());
        }
        let shown = self.shown(path);
        self.refuse(&format!("the file `{shown}`"), &format!("--allow-read {shown}"), place(context));
        Err(denied(&format!("EACCES: permission denied, `--hermetic` refuses '{}'", path.display()), context))
    }

    /// The config wants to be in a folder: its own, and those below, are not asked for.
    pub(super) fn folder(&self, path: &Path, files: &Files, context: &mut Context) -> Result<(), JsError> {
        match &self.bounds {
            Some(bounds) if !bounds.is_own(&files.canonical_as_far(path)) => self.path(path, files, context),
            _ => Ok(()),
        }
    }

    /// Whether a file may be run, or required as JSON: below the entry's folder, or allowed. Its path has no symlinks.
    pub(super) fn module(
        &self,
        path: &Path,
        from: &Path,
        position: impl FnOnce() -> Option<(u32, u32)>,
        context: &mut Context,
    ) -> Result<(), JsError> {
        if self.bounds.as_ref().is_none_or(|bounds| bounds.may_be_run(path)) {
            return Ok(());
        }
        let shown = self.shown(path);
        let place = position().map(|position| (from.to_owned(), position)).or_else(|| place(context));
        self.refuse(
            &format!("the module `{shown}`, which is not below the config's folder"),
            &format!("--allow-read {shown}"),
            place,
        );
        Err(denied(&format!("EACCES: permission denied, `--hermetic` refuses '{}'", path.display()), context))
    }

    /// The config wants a command to be run.
    pub(super) fn command(&self, argv: &[String], context: &mut Context) -> Result<(), JsError> {
        if self.bounds.is_none() {
            return Ok(());
        }
        let line = shortened(&argv.join(" "));
        let mut failure = refusal(&format!("the command `{line}`"), place(context));
        failure.hint =
            Some("no flag allows it: run it before, and pass what it says as a variable (`--allow-env`)".to_owned());
        self.note(failure);
        Err(denied(&format!("EACCES: permission denied, `--hermetic` refuses to run '{line}'"), context))
    }

    /// Everything that was refused.
    pub(super) fn refusals(&self) -> Vec<Failure> {
        self.refusals.borrow().clone()
    }

    fn refuse(&self, what: &str, flag: &str, place: Option<(PathBuf, (u32, u32))>) {
        self.note(refusal(what, place).hint(format!("`{flag}` allows it")));
    }

    /// The same place may be passed many times.
    fn note(&self, failure: Failure) {
        let mut refusals = self.refusals.borrow_mut();
        if refusals.len() < REFUSALS_MAX && !refusals.contains(&failure) {
            refusals.push(failure);
        }
    }

    /// As it would be typed.
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.cwd)
            .ok()
            .filter(|rest| !rest.as_os_str().is_empty())
            .unwrap_or(path)
            .display()
            .to_string()
    }
}

fn refusal(what: &str, place: Option<(PathBuf, (u32, u32))>) -> Failure {
    let (file, position) = place.unzip();
    Failure {
        file,
        position,
        ..Failure::new(Code::Refused, format!("{what} is refused: the config is read with `--hermetic`"))
    }
}

/// An error to throw, as Node has it for what the system forbids.
pub(super) fn denied(message: &str, context: &mut Context) -> JsError {
    let error = JsNativeError::error().with_message(message.to_owned()).into_opaque(context);
    // A fresh object refuses nothing.
    let _ = error.set(js_string!("code"), js_string!("EACCES"), false, context);
    JsError::from_opaque(error.into())
}

fn place(context: &mut Context) -> Option<(PathBuf, (u32, u32))> {
    place_of("", context)
}

/// Where the config is, and takes this property. The engine tells it to errors alone, so one is made.
fn place_of(name: &str, context: &mut Context) -> Option<(PathBuf, (u32, u32))> {
    let trace = Trace::of(context);
    let spot = if trace.is_guarded() {
        trace.guarded_now(name, context)
    } else {
        let constructor = context.intrinsics().constructors().error().constructor();
        let error = constructor.construct(&[], None, context).ok()?;
        let (file, line, column) = fault::place(&fault::frames(&error.into(), context)?)?;
        let spot = trace.spot(Path::new(&file), line, column);
        trace.callee(spot).or(spot)
    }?;
    Some((trace.file(spot.file)?.0, trace.position(spot)?))
}

fn shortened(line: &str) -> String {
    const CHARS_MAX: usize = 100;
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}
