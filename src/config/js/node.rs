//! `--js-engine node`: the config runs in the Node that is in PATH, for what the embedded engine cannot do. The same
//! limits hold, and what it prints goes to stderr; nothing keeps it in besides, so `--hermetic` refuses it.

use std::collections::BTreeMap;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::Limits;
use super::files::{Files, normalise};
use super::json_words::not_json;
use super::orders::{Failure, shown};
use super::outline::throws;
use super::parent::settled;
use super::provenance::{Shape, exported_whole, likely, token};
use super::running::{Console, Heard, OUTPUT_MAX, Pipe, Running, too_large, too_much, too_slow};
use super::source::find_quoted;
use super::values::{Step, a_bigint, a_circle};
use crate::config::World;
use crate::diag::{Code, Diagnostic};
use crate::document::{Entry, Key, Kind, Node, Sources};
use crate::platform::Postponed;

const DRIVER: &str = include_str!("driver.js");

/// How often its memory is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Of what Node says on its way out.
const TAIL_MAX: usize = 64 << 10;
/// Variables that would make Node talk to whoever started pmrun.
const CHANNEL: [&str; 2] = ["NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE"];

/// What the driver answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Value {
        /// None when there is nothing that JSON could hold.
        json: Option<String>,
        /// What was put into `process.env`.
        assigned: BTreeMap<String, String>,
    },
    Threw(Threw),
    Exited(Exited),
    /// It exports what no file can hold.
    Unfit(Unfit),
    /// Node ran out of things to do.
    Pending,
    /// It exports one.
    Class,
}

#[derive(Debug, Deserialize)]
struct Exited {
    call: String,
    stack: String,
}

#[derive(Debug, Deserialize)]
struct Unfit {
    big: bool,
    path: Vec<Step>,
    /// The rest of it.
    json: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Threw {
    name: Option<String>,
    message: Option<String>,
    code: Option<String>,
    stack: Option<String>,
    from: Option<PathBuf>,
}

/// What a config exports, by Node, with the places that its text shows.
pub(super) fn evaluate(entry: &Path, world: &World, sources: &mut Sources) -> Result<Node, Box<Diagnostic>> {
    let evaluation = Evaluation::new(entry, world);
    let node = evaluation.run(false).and_then(|text| match serde_json::from_str(&text) {
        Ok(value) => {
            let exported = likely::placed(node(value), &evaluation.texts());
            let whole = exported.node.clone();
            let name = |path: PathBuf| shown(evaluation.shown(&path), entry, &evaluation.entry);
            Ok(settled(exported, name, sources).unwrap_or(whole))
        }
        Err(error) => Err(Failure::new(Code::Engine, format!("the config's value cannot be read: {error}"))),
    });
    node.map_err(|failure| failure.into_diagnostic(entry, &evaluation.entry, sources))
}

/// The same, as the text that `JSON.stringify` makes of it.
pub(super) fn stringify(entry: &Path, world: &World, sources: &mut Sources) -> Result<String, Box<Diagnostic>> {
    let evaluation = Evaluation::new(entry, world);
    evaluation.run(true).map_err(|failure| failure.into_diagnostic(entry, &evaluation.entry, sources))
}

struct Evaluation<'a> {
    world: &'a World,
    limits: Limits,
    files: Files,
    /// Absolute, as the user names it.
    entry: PathBuf,
    /// Where its bytes are, without symlinks.
    real: PathBuf,
}

impl<'a> Evaluation<'a> {
    fn new(entry: &Path, world: &'a World) -> Self {
        let limits = world.reading.limits;
        let files = Files::new(world.mapping.clone());
        let entry = normalise(&world.cwd.join(entry));
        let real = files.real(&entry);
        let real = real.canonicalize().unwrap_or(real);
        Self { world, limits, files, entry, real }
    }

    /// The JSON that the driver made of the value.
    fn run(&self, as_text: bool) -> Result<String, Failure> {
        if self.world.reading.hermetic.is_some() {
            let message = "`--hermetic` cannot keep a config in that runs in Node: it would have all your rights";
            return Err(Failure::new(Code::Unconfined, message)
                .hint("leave `--js-engine node` (or PMRUN_JS_ENGINE) out: pmrun's own engine can be confined"));
        }
        self.world.reading.journal.incomplete();
        let console = Console::of(&self.world.env, self.world.reading.for_runner);
        let postponed = Postponed::new();
        let run = Run::start(&mut self.command(as_text)?, self.limits, console);
        let ended = run.and_then(|mut run| run.finish());
        drop(postponed);
        match ended {
            Err(error) => Err(Failure::new(Code::Engine, format!("cannot run the config with Node: {error}"))),
            Ok(End::Late) => Err(too_slow(self.limits)),
            Ok(End::TooLarge) => Err(too_large(self.limits)),
            Ok(End::TooMuch) => Err(too_much()),
            Ok(End::Over { answer, said, status }) => match serde_json::from_slice(&answer) {
                Ok(answer) => self.outcome(answer, &said),
                Err(_) => Err(self.died(status, &said)),
            },
        }
    }

    fn outcome(&self, answer: Answer, said: &str) -> Result<String, Failure> {
        match answer {
            Answer::Value { json: Some(text), assigned } => {
                let seen = |(name, value): (_, String)| (name, self.seen(&value));
                self.world.reading.journal.assign(assigned.into_iter().map(seen).collect());
                Ok(self.seen(&text))
            }
            Answer::Value { json: None, .. } => Err(super::fault::textless()),
            Answer::Exited(Exited { call, stack }) => {
                Err(self.placed(super::fault::exited(&call), stack.lines().find_map(frame)))
            }
            Answer::Unfit(unfit) => Err(self.unfit(&unfit)),
            Answer::Pending => Err(super::fault::unsettled()),
            Answer::Class => Err(self.class()),
            Answer::Threw(threw) => Err(self.failure(&threw, said)),
        }
    }

    fn failure(&self, threw: &Threw, said: &str) -> Failure {
        let stack = threw.stack.as_deref().unwrap_or_default();
        let message = threw.message.as_deref().unwrap_or_default();
        let first = message.lines().next().unwrap_or_default();
        let named = match threw.name.as_deref() {
            Some(name) if name != "Error" && !message.starts_with(name) => format!("{name}: {message}"),
            _ => message.to_owned(),
        };
        let code = threw.code.as_deref().unwrap_or_default();
        let mut failure = Failure::new(Code::Thrown, format!("config threw: {named}"));
        let frames = || stack.lines().filter_map(frame);
        let own = || frames().find(|(file, _, _)| !file.components().any(|part| part.as_os_str() == "node_modules"));
        let mut place = head(stack).or_else(|| own().or_else(|| frames().next()));
        if threw.name.as_deref() == Some("SyntaxError") {
            if let Some(failure) = self.not_json(message) {
                return failure;
            }
            if head(stack).is_some() || place.is_none() {
                failure = Failure::new(Code::Syntax, message);
            }
            place = place.or_else(|| said.lines().find_map(|line| head(&format!("{line}\n"))));
        } else if threw.stack.is_none() {
            place = self.throw(message);
        } else if code.ends_with("MODULE_NOT_FOUND") {
            failure = Failure::new(Code::MissingModule, first).hint("Node looked for it: is it installed?");
            let missing = first.split('\'').nth(1).unwrap_or_default();
            place = self.request(threw.from.as_deref(), first, missing).or(place);
        } else if first.ends_with(" is not defined in ES module scope") {
            let name = threw.name.as_deref().unwrap_or_default();
            let message = format!("config threw: {name}: {first}");
            let advice = super::fault::of_module(&message).unwrap_or(super::fault::RUN_AS_MODULE);
            failure = Failure::new(Code::Thrown, message).hint(advice);
        } else if code == "ERR_UNKNOWN_FILE_EXTENSION" {
            failure = failure.hint("Node 22.18 and later run TypeScript; so does pmrun without `--js-engine node`");
        }
        self.placed(failure, place)
    }

    fn placed(&self, mut failure: Failure, place: Option<(PathBuf, u32, u32)>) -> Failure {
        if let Some((file, line, column)) = place {
            failure.file = Some(self.shown(&file));
            failure.position = Some((line, column));
            failure.excerpt = self.files.read_text(&file).ok().and_then(|text| {
                let (start, end) = word(&text, line, column)?;
                Some(Box::new((text, start, end)))
            });
        }
        failure
    }

    fn class(&self) -> Failure {
        let mut failure = super::fault::class();
        if let Ok(text) = self.files.read_text(&self.real) {
            let found = [Shape::Module, Shape::CommonJs].into_iter().find_map(|shape| exported_whole(&text, shape));
            failure.excerpt = found.map(|at| Box::new((text, at.start, at.end)));
            failure.file = Some(self.shown(&self.real));
        }
        failure
    }

    fn texts(&self) -> Vec<likely::Text> {
        likely::texts(&self.real, |path| self.files.read_text(path).ok())
    }

    /// A required file that is no JSON: Node's message begins with its name.
    fn not_json(&self, message: &str) -> Option<Failure> {
        let file = path(&message[..message.find(".json: ")? + ".json".len()])?;
        let text = self.files.read_text(&file).ok()?;
        let text = text.trim_start_matches('\u{feff}');
        let error = serde_json::from_str::<serde::de::IgnoredAny>(text).err()?;
        let failure = not_json(&self.shown(&file), text, &error);
        let place = failure.position.map(|(line, column)| (file, line, column));
        Some(self.placed(failure, place))
    }

    /// Where what is no error was thrown: only the text can say.
    fn throw(&self, shown: &str) -> Option<(PathBuf, u32, u32)> {
        let texts = self.texts();
        let of = |(path, text): &likely::Text| {
            let found = [Shape::CommonJs, Shape::Module].map(|shape| throws(text, shape, shown));
            let found = found.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
            found.into_iter().map(|((start, _), written)| (path.clone(), text.clone(), start, written)).collect()
        };
        let all: Vec<_> = texts.iter().flat_map(|text| -> Vec<_> { of(text) }).collect();
        let written = all.iter().any(|(.., written)| *written);
        let mut meant = all.iter().filter(|(.., is_written)| *is_written == written);
        let (path, text, start, _) = meant.next().filter(|_| meant.next().is_none())?;
        let line = text[..*start].matches('\n').count() + 1;
        let column = text[..*start].rsplit('\n').next().unwrap_or_default().encode_utf16().count() + 1;
        Some((path.clone(), u32::try_from(line).ok()?, u32::try_from(column).ok()?))
    }

    fn unfit(&self, unfit: &Unfit) -> Failure {
        let message = if unfit.big { a_bigint(&unfit.path) } else { a_circle(&unfit.path) };
        let mut failure = Failure::new(Code::Export, message);
        let Some(Ok(value)) = unfit.json.as_deref().map(serde_json::from_str) else { return failure };
        let exported = likely::placed(node(value), &self.texts());
        let mut at = (exported.node.span, &exported.node);
        for step in &unfit.path {
            let inner = match (step, &at.1.kind) {
                (Step::Index(index), Kind::Sequence(items)) => {
                    items.get(usize::try_from(*index).unwrap_or(usize::MAX)).map(|item| (item.span, item))
                }
                (Step::Key(key), Kind::Mapping(entries)) => {
                    let entry = entries.iter().find(|entry| entry.key.text == *key);
                    entry.map(|entry| (entry.key.span.or(entry.value.span), &entry.value))
                }
                _ => None,
            };
            let Some(inner) = inner else { return failure };
            at = inner;
        }
        if let Some(span) = at.0
            && let Some(origin) = exported.files.get(span.source.0 as usize)
        {
            failure.file = Some(self.shown(&origin.path));
            failure.excerpt = Some(Box::new((origin.text.to_string(), span.start, span.end)));
        }
        failure
    }

    /// Where a file asks for a module that is not there.
    fn request(&self, from: Option<&Path>, message: &str, missing: &str) -> Option<(PathBuf, u32, u32)> {
        let from = from.map(Path::to_owned).or_else(|| Some(message.split_once(" imported from ")?.1.into()))?;
        let text = self.files.read_text(&from).ok()?;
        if let Some((line, column)) = find_quoted(&text, missing) {
            return Some((from, line, column));
        }
        // Of a relative one, Node says what it came to.
        let last = Path::new(missing).file_name()?.to_string_lossy().into_owned();
        let at = text.find(&last)?;
        let line = u32::try_from(text[..at].matches('\n').count() + 1).ok()?;
        Some((from, line, 1))
    }

    fn command(&self, as_text: bool) -> Result<Command, Failure> {
        let node = self.node().ok_or_else(|| {
            Failure::new(Code::Engine, "there is no `node` in PATH")
                .hint("install Node, or leave `--js-engine node` out: pmrun has an engine of its own")
        })?;
        let cwd = self.files.real(&self.world.cwd);
        // The wall deadline is ours; should we be killed, this is the net below it.
        let seconds = self.limits.deadline_ms.div_ceil(1_000) + 1;
        let heap = self.limits.memory_bytes >> 20;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -c 0; ulimit -t \"$0\"; exec \"$@\"", &seconds.to_string()]).arg(node);
        command.args([&format!("--max-old-space-size={heap}"), "-e", DRIVER, "--"]).arg(&self.real);
        command.args(&self.world.reading.mode);
        command.arg(if as_text { "text" } else { "tree" });
        let env: BTreeMap<_, _> = self.world.env.iter().filter(|(name, _)| !CHANNEL.contains(&name.as_str())).collect();
        command.env_clear().envs(env).current_dir(cwd);
        Ok(command)
    }

    /// Node that ended without an answer of the driver's.
    fn died(&self, status: ExitStatus, said: &str) -> Failure {
        if said.contains("heap out of memory") || said.contains("heap limit") {
            return too_large(self.limits);
        }
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        Failure::new(Code::Engine, format!("Node ended without an answer ({status}): {last}"))
    }

    fn node(&self) -> Option<PathBuf> {
        let folders = self.world.env.get("PATH")?.split(':').filter(|folder| !folder.is_empty());
        folders
            .map(|folder| self.world.cwd.join(folder).join("node"))
            .find(|path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file())
    }

    /// What was evaluated where another version of the files lies says so: their usual names.
    fn seen(&self, text: &str) -> String {
        match &self.world.mapping {
            Some(mapping) => [&mapping.canonical, &mapping.named].iter().fold(text.to_owned(), |text, place| {
                text.replace(&*place.real.to_string_lossy(), &place.seen.to_string_lossy())
            }),
            None => text.to_owned(),
        }
    }

    fn shown(&self, file: &Path) -> PathBuf {
        if file == self.real { self.entry.clone() } else { self.seen(&file.to_string_lossy()).into() }
    }
}

/// A running Node.
struct Run {
    running: Running,
    memory_bytes: u64,
    answer: Vec<u8>,
    /// The end of what it printed.
    said: Vec<u8>,
}

enum End {
    Late,
    TooMuch,
    TooLarge,
    Over { answer: Vec<u8>, said: String, status: ExitStatus },
}

impl Run {
    fn start(command: &mut Command, limits: Limits, console: Console) -> io::Result<Self> {
        // As its stdin, from which there is nothing to be read.
        let (answers, theirs) = UnixStream::pair()?;
        answers.shutdown(Shutdown::Write)?;
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        let running = Running::start(command, Some(answers.into()), limits.deadline_ms, console)?;
        Ok(Self { running, memory_bytes: limits.memory_bytes, answer: Vec::new(), said: Vec::new() })
    }

    /// Until there is an answer and Node is gone, or its time is up.
    fn finish(&mut self) -> io::Result<End> {
        // What it started may hold its pipes open: the answer's end is Node's own.
        while self.running.is_open(Pipe::Answers) {
            match self.running.hear(LOOK)? {
                Heard::Late => return Ok(End::Late),
                Heard::Said(Pipe::Answers, bytes) => self.answer.extend(bytes),
                Heard::Said(_, text) => self.print(&text),
                Heard::Closed | Heard::Nothing => {}
            }
            if self.answer.len() > OUTPUT_MAX {
                return Ok(End::TooMuch);
            }
            if resident(self.running.pid()) > self.memory_bytes {
                return Ok(End::TooLarge);
            }
        }
        self.running.end();
        let status = self.running.wait()?;
        // What it said last may still be in the pipes.
        while let Heard::Said(_, text) = self.running.hear(Duration::ZERO)? {
            self.print(&text);
        }
        let said = String::from_utf8_lossy(&self.said).into_owned();
        Ok(End::Over { answer: std::mem::take(&mut self.answer), said, status })
    }

    fn print(&mut self, text: &[u8]) {
        self.said.extend(text);
        let over = self.said.len().saturating_sub(TAIL_MAX);
        self.said.drain(..over);
        self.running.print(text);
    }
}

/// Bytes that a process has in memory. The kernel would limit what Node reserves, which is far more than it uses.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0_u64) << 10
}

/// `/srv/a.js:3` or `file:///srv/a.mjs:3`, alone on the first line: where something does not parse. The caret is below it.
fn head(stack: &str) -> Option<(PathBuf, u32, u32)> {
    let mut lines = stack.lines();
    let (file, line) = lines.next()?.rsplit_once(':')?;
    let path = path(file)?;
    let column = lines.nth(1).and_then(|marks| marks.find('^')).and_then(|at| u32::try_from(at + 1).ok());
    Some((path, line.parse().ok()?, column.unwrap_or(1)))
}

/// `    at name (/srv/a.js:3:7)`, of a file of the user's.
fn frame(line: &str) -> Option<(PathBuf, u32, u32)> {
    let line = line.trim_start().strip_prefix("at ")?;
    let place = line.strip_suffix(')').and_then(|line| line.rsplit_once('(')).map_or(line, |(_, place)| place);
    let mut parts = place.trim_start_matches("async ").rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    Some((path(parts.next()?)?, line, column))
}

/// The bytes of the word at a line and column, as Node counts them.
fn word(text: &str, line: u32, column: u32) -> Option<(u32, u32)> {
    let start: usize = text.split_inclusive('\n').take((line as usize).checked_sub(1)?).map(str::len).sum();
    let mut left = (column as usize).checked_sub(1)?;
    let mut at = start;
    for c in text.get(start..)?.chars().take_while(|c| *c != '\n') {
        if left == 0 {
            break;
        }
        left = left.saturating_sub(c.len_utf16());
        at += c.len_utf8();
    }
    Some((u32::try_from(at).ok()?, u32::try_from(at + token(text, at)).ok()?))
}

fn path(written: &str) -> Option<PathBuf> {
    match written.strip_prefix("file://") {
        Some(url) => Some(super::resolver::percent_decode(url).into()),
        None => written.starts_with('/').then(|| written.into()),
    }
}

fn node(value: Value) -> Node {
    let kind = match value {
        Value::Null => Kind::Null,
        Value::Bool(flag) => Kind::Bool(flag),
        Value::Number(number) => Kind::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::String(text),
        Value::Array(items) => Kind::Sequence(items.into_iter().map(node).collect()),
        Value::Object(entries) => match entries.get(" number") {
            Some(Value::String(text)) => Kind::Number(text.parse().unwrap_or(f64::NAN)),
            _ => Kind::Mapping(
                entries
                    .into_iter()
                    .map(|(text, value)| Entry { key: Key { text, span: None }, value: node(value) })
                    .collect(),
            ),
        },
    };
    Node::new(kind, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_what_node_says() {
        let place = |file: &str, line, column| Some((PathBuf::from(file), line, column));
        assert_eq!(frame("    at f (/srv/a b.js:3:7)"), place("/srv/a b.js", 3, 7));
        assert_eq!(frame("    at async file:///srv/a%20b.mjs:2:1"), place("/srv/a b.mjs", 2, 1));
        assert_eq!(frame("    at Module._load (node:internal/modules/cjs/loader:1091:12)"), None);
        assert_eq!(frame("Error: at /x:1:2"), None);
        assert_eq!(head("/srv/a.js:2\nconst a = ;\n          ^\n"), place("/srv/a.js", 2, 11));
        assert_eq!(head("file:///srv/a.mjs:4\n"), place("/srv/a.mjs", 4, 1));
        assert_eq!(head("SyntaxError: x\n"), None);
    }

    #[test]
    fn numbers_that_json_lacks() {
        let value = serde_json::json!({ "a": { " number": "NaN" }, "b": { " number": "-Infinity" } });
        let Kind::Mapping(entries) = node(value).kind else { panic!() };
        assert!(matches!(entries[0].value.kind, Kind::Number(number) if number.is_nan()));
        assert!(matches!(entries[1].value.kind, Kind::Number(number) if number < 0.0 && number.is_infinite()));
    }
}
