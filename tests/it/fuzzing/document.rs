use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use pmrun::diag::Report;
use pmrun::document::{Entry, Format, Key, Kind, Node, write};
use pmrun::graph::Selection;
use pmrun::schema::{self, EnvText, FileEntry, Request, Row, Surroundings, options};
use pmrun::{config, spec::AppSpec};

use super::properties::check_shown;

const FORMATS: [Format; 6] =
    [Format::Json, Format::Json5, Format::Yaml, Format::Toml, Format::CommonJs, Format::Module];

/// The crate that reads it goes as far as 80.
const TOML_LEVELS: usize = 78;

/// Any document is an answer, the same one each time, and means the same in every format that can say it.
pub(super) fn document(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let profile = ["", "production", "x"][bytes.below(3)];
    let profile = Some(profile).filter(|profile| !profile.is_empty());
    let document = ecosystem(&mut bytes);
    let (report, meaning) = resolve(&document, profile);
    check_shown(&report);
    assert_eq!(resolve(&document, profile).1, meaning);
    for format in FORMATS {
        let (node, lost) = schema::portable(&document, format);
        if !matches!(node.kind, Kind::Mapping(_) | Kind::Sequence(_)) {
            continue;
        }
        let text = write(&node, format);
        let Some(back) = config::read_back(&text, format) else {
            // `__proto__` and its like are no plain keys of JavaScript, and TOML is not read as deep as it is written.
            // `convert` says so.
            let is_unsaid = matches!(format, Format::CommonJs | Format::Module)
                || format == Format::Toml && levels(&node) > TOML_LEVELS;
            assert!(is_unsaid, "{format:?} does not read:\n{text}");
            continue;
        };
        assert_eq!(bare(&back), node, "{format:?}:\n{text}");
        if meaning.is_some() && lost.iter().all(|lost| lost.meant) {
            assert_eq!(resolve(&node, profile).1, meaning, "{format:?}:\n{text}");
        }
    }
}

type Meaning = (Option<String>, Option<serde_json::Value>, Vec<AppSpec>);

/// What is said of a document, and what it means where there is no error.
fn resolve(document: &Node, profile: Option<&str>) -> (Report, Option<Meaning>) {
    let (file, folder) = (Path::new("eco.json"), Path::new("/srv/site"));
    let decoded = schema::decode(document, file);
    let mut report = Report { diagnostics: decoded.diagnostics, ..Report::default() };
    let (selection, assigned) = (&Selection::All, &std::collections::BTreeMap::new());
    let request = Request { file, folder, profile, selection, assigned };
    let resolved = schema::resolve(decoded.drafts, request, &Machine, &report.sources);
    report.diagnostics.extend(resolved.diagnostics);
    let meaning = (!report.has_errors()).then_some((decoded.ecosystem, decoded.deploy, resolved.apps));
    (report, meaning)
}

fn levels(node: &Node) -> usize {
    let below = match &node.kind {
        Kind::Sequence(items) => items.iter().map(levels).max(),
        Kind::Mapping(entries) => entries.iter().map(|entry| levels(&entry.value)).max(),
        _ => return 0,
    };
    1 + below.unwrap_or(0)
}

/// Without places, which other formats have others of.
fn bare(node: &Node) -> Node {
    let kind = match &node.kind {
        Kind::Sequence(items) => Kind::Sequence(items.iter().map(bare).collect()),
        Kind::Mapping(entries) => {
            Kind::Mapping(entries.iter().map(|found| entry(&found.key.text, bare(&found.value))).collect())
        }
        kind => kind.clone(),
    };
    Node::new(kind, None)
}

/// What a document is made of; when they are used up, zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.next()) % end
    }

    fn text(&mut self) -> String {
        let (length, rest) = (self.below(12), self.0);
        let (text, rest) = rest.split_at(length.min(rest.len()));
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

fn ecosystem(bytes: &mut Bytes<'_>) -> Node {
    let shape = bytes.below(8);
    let apps: Vec<Node> = (0..bytes.below(4)).map(|_| app(bytes)).collect();
    let apps = Node::new(Kind::Sequence(apps), None);
    let mut entries = match shape {
        0 => return apps,
        1 => return app(bytes),
        2 => return value(bytes, 0),
        3 => vec![entry("pm2", apps)],
        4 => vec![entry("pm2", mapping(vec![entry("apps", apps)]))],
        5 => vec![entry("apps", app(bytes))],
        _ => vec![entry("apps", apps)],
    };
    for _ in 0..bytes.below(3) {
        let key = ["name", "deploy", "$schema", "pm2", "static", "version"][bytes.below(6)];
        entries.push(entry(key, value(bytes, 0)));
    }
    mapping(entries)
}

fn app(bytes: &mut Bytes<'_>) -> Node {
    let mut entries = Vec::new();
    if bytes.below(8) > 0 {
        entries.push(entry("script", string("x.sh")));
    }
    for _ in 0..bytes.below(12) {
        let row = row(bytes);
        let key = match bytes.below(10) {
            0 => bytes.text(),
            1 => row.names().last().unwrap_or(row.name).to_owned(),
            _ => row.name.replace("<name>", ["production", "x", "file"][bytes.below(3)]),
        };
        let value = if bytes.below(3) == 0 { value(bytes, 0) } else { example(row, bytes) };
        entries.push(entry(&key, value));
    }
    mapping(entries)
}

fn row(bytes: &mut Bytes<'_>) -> &'static Row {
    let at = bytes.below(options::rows().count());
    options::rows().nth(at).expect("it is below their count")
}

fn example(row: &Row, bytes: &mut Bytes<'_>) -> Node {
    match row.examples {
        [] => value(bytes, 0),
        examples => {
            let example = config::read_back(examples[bytes.below(examples.len())], Format::Json5);
            bare(&example.expect("examples are JSON"))
        }
    }
}

fn value(bytes: &mut Bytes<'_>, depth: usize) -> Node {
    const NUMBERS: [f64; 12] = [0.0, -0.0, 1.0, -1.0, 1.5, 255.0, 513.0, 65_536.0, 1e21, 1e-7, f64::NAN, f64::INFINITY];
    const WORDS: [&str; 20] = [
        "",
        " ",
        "x.sh",
        "max",
        "git",
        "cluster",
        "SIGTERM",
        "3s",
        "1G",
        "a b",
        "a=b",
        "~",
        "~/x",
        "0 3 * * *",
        "null",
        "api",
        "../..",
        "/locked",
        "node",
        "http://u:secret@h/",
    ];
    let kind = match bytes.below(if depth < 4 { 10 } else { 7 }) {
        0 => Kind::Null,
        1 => Kind::Bool(bytes.below(2) == 1),
        2 => Kind::Number(NUMBERS[bytes.below(NUMBERS.len())]),
        3 => Kind::Number(f64::from(i16::from_be_bytes([bytes.next(), bytes.next()]))),
        4 | 5 => Kind::String(WORDS[bytes.below(WORDS.len())].to_owned()),
        6 => Kind::String(bytes.text()),
        7 => return app(bytes),
        8 => Kind::Sequence((0..bytes.below(4)).map(|_| value(bytes, depth + 1)).collect()),
        _ => {
            let count = bytes.below(4);
            Kind::Mapping((0..count).map(|_| entry(&bytes.text(), value(bytes, depth + 1))).collect())
        }
    };
    Node::new(kind, None)
}

fn entry(key: &str, value: Node) -> Entry {
    Entry { key: Key { text: key.to_owned(), span: None }, value }
}

fn mapping(entries: Vec<Entry>) -> Node {
    Node::new(Kind::Mapping(entries), None)
}

fn string(text: &str) -> Node {
    Node::new(Kind::String(text.to_owned()), None)
}

/// What is at a path is decided by the path.
struct Machine;

impl Surroundings for Machine {
    fn merges_logs(&self) -> bool {
        false
    }

    fn overlooks_profiles(&self) -> bool {
        false
    }

    fn account(&self, _: Option<&str>, _: Option<&str>) -> Result<(), String> {
        Ok(())
    }

    fn knows_zone(&self, _: &str) -> bool {
        true
    }

    fn cpus(&self) -> pmrun::base::Cpus {
        pmrun::base::Cpus::of_machine(4)
    }

    fn absolute(&self, base: &Path, written: &str) -> PathBuf {
        let path =
            written.strip_prefix("~/").map_or_else(|| base.join(written), |rest| Path::new("/home/me").join(rest));
        path.components().fold(PathBuf::new(), |mut out, part| {
            match part {
                Component::ParentDir => drop(out.pop()),
                Component::CurDir => {}
                other => out.push(other),
            }
            out
        })
    }

    fn entry(&self, path: &Path) -> FileEntry {
        match path.as_os_str().len() % 8 {
            0 => FileEntry::Missing,
            1 => FileEntry::Other,
            2 => FileEntry::Unusable("permission denied".to_owned()),
            3 => FileEntry::File { executable: false },
            4 => FileEntry::File { executable: true },
            _ if path.extension().is_some() => FileEntry::File { executable: false },
            _ => FileEntry::Folder,
        }
    }

    fn head(&self, path: &Path) -> Vec<u8> {
        let heads: [&[u8]; 4] = [b"#!/usr/bin/env -S node --x\n", b"\x7fELF\0", b"#!\n", b""];
        heads[path.as_os_str().len() % heads.len()].to_vec()
    }

    fn program(&self, name: &str, search: Option<&str>) -> Option<PathBuf> {
        (name.len() % 5 != 4).then(|| Path::new(search.unwrap_or("/bin")).join(name))
    }

    fn finds(&self, name: &str, search: Option<&str>, _: &Path) -> bool {
        self.program(name, search).is_some()
    }

    fn appendable(&self, path: &Path) -> Result<(), String> {
        if path.as_os_str().len() % 9 == 8 { Err("is a folder".to_owned()) } else { Ok(()) }
    }

    fn replaceable(&self, path: &Path) -> Result<(), String> {
        self.appendable(path)
    }

    fn refuses(&self, _: &Path, _: bool) -> bool {
        false
    }

    fn env_file(&self, path: &Path) -> Result<EnvText, String> {
        let text = path.to_string_lossy();
        let read = || EnvText {
            variables: config::parse_dotenv(&text),
            digest: text.to_string(),
            oddities: vec![(1, "is odd")],
        };
        if text.len() % 7 == 6 { Err("is gone".to_owned()) } else { Ok(read()) }
    }

    fn patterns(&self, _: &[String]) -> Result<(), String> {
        Ok(())
    }

    fn digest(&self, path: &Path) -> Result<String, String> {
        Ok(path.display().to_string())
    }

    fn matching(&self, _: &Path, globs: &[String]) -> Result<BTreeMap<String, String>, String> {
        Ok(globs.iter().map(|glob| (glob.clone(), "digest".to_owned())).collect())
    }

    fn revision(&self, _: &Path) -> Result<String, String> {
        Ok("4f2a".to_owned())
    }
}
