//! Where the values of a program that ran elsewhere were written: as far as its text shows it.
//!
//! Nothing is run or parsed: keys and literals are looked for in the files by their words. An entry whose key and value
//! both stand there is most likely where a value comes from; of several, in the order in which they stand. That the same
//! words stand there proves nothing, so each of these places says that it is a guess.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::brackets::{is_pattern, pattern, string, template};
use super::site::Scalar;
use super::text::Bytes;
use crate::config::js::values::{Exported, Origin};
use crate::document::{Entry, Kind, Node, SourceId, Span};

/// More files than a config has.
const FILES_MAX: usize = 50;
/// Larger ones are bundles or data.
const TEXT_MAX: usize = 256 << 10;

/// A file and its text.
pub(in crate::config::js) type Text = (PathBuf, Arc<str>);

/// Gives every value its likely place. `files` begin with the entry.
pub(in crate::config::js) fn placed(node: Node, files: &[Text]) -> Exported {
    let mut index = Index::default();
    for (file, (_, text)) in files.iter().enumerate() {
        index.read(file, text);
    }
    let (taken, origins, sources) = (HashMap::new(), Vec::new(), HashMap::new());
    let mut search = Search { index: &index, files, taken, origins, sources };
    let node = search.whole(node, None);
    Exported { node, files: search.origins }
}

/// The entry's text and those of the files that it and they name by relative paths, as far as `read` has them.
pub(in crate::config::js) fn texts(entry: &Path, read: impl Fn(&Path) -> Option<String>) -> Vec<Text> {
    let mut files: Vec<Text> = Vec::new();
    let mut wanted = vec![entry.to_owned()];
    while let Some(path) = wanted.pop() {
        if files.len() >= FILES_MAX || files.iter().any(|(known, _)| *known == path) {
            continue;
        }
        let Some(text) = read(&path).filter(|text| text.len() <= TEXT_MAX) else { continue };
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        for token in tokens(&text) {
            let Word::Text(name) = token.word else { continue };
            if !name.starts_with("./") && !name.starts_with("../") {
                continue;
            }
            let endings = ["", ".js", ".json", ".cjs", ".mjs", ".ts", "/index.js"];
            let named = endings.iter().map(|ending| normal(&folder.join(format!("{name}{ending}"))));
            wanted.extend(named.into_iter().find(|path| path.is_file()));
        }
        files.push((path, text.into()));
    }
    files
}

fn normal(path: &Path) -> PathBuf {
    crate::config::js::files::normalise(path)
}

#[derive(Clone, Copy)]
struct Spot {
    file: usize,
    bytes: Bytes,
}

/// What stands in the files, in their order.
#[derive(Default)]
struct Index {
    /// `key: literal`
    entries: HashMap<String, Vec<(Spot, Spot, Scalar)>>,
    /// Every `key:`, and every name that stands alone between commas.
    keys: HashMap<String, Vec<Spot>>,
    literals: Vec<(Spot, Scalar)>,
}

struct Token {
    bytes: Bytes,
    word: Word,
}

enum Word {
    Text(String),
    /// A name, or a number without its sign.
    Name(String),
    Mark(char),
}

impl Index {
    fn read(&mut self, file: usize, text: &str) {
        let tokens = tokens(text);
        let mark = |at: usize| match tokens.get(at).map(|token| &token.word) {
            Some(Word::Mark(mark)) => Some(*mark),
            _ => None,
        };
        for (at, token) in tokens.iter().enumerate() {
            let spot = |bytes| Spot { file, bytes };
            if mark(at.wrapping_sub(1)) != Some('-')
                && let Some((bytes, scalar, _)) = literal(&tokens, at)
            {
                self.literals.push((spot(bytes), scalar));
            }
            let name = match &token.word {
                Word::Text(name) | Word::Name(name) => name,
                Word::Mark(_) => continue,
            };
            let alone = matches!(mark(at.wrapping_sub(1)), Some('{' | ',')) && matches!(mark(at + 1), Some('}' | ','));
            let key = mark(at + 1) == Some(':') && mark(at.wrapping_sub(1)) != Some('?');
            if key || alone && matches!(token.word, Word::Name(_)) {
                self.keys.entry(name.clone()).or_default().push(spot(token.bytes));
            }
            if key
                && let Some((bytes, scalar, next)) = literal(&tokens, at + 2)
                && matches!(mark(next), Some(',' | '}') | None)
            {
                let entry = (spot(token.bytes), spot(bytes), scalar);
                self.entries.entry(name.clone()).or_default().push(entry);
            }
        }
    }
}

/// The scalar that begins with a token, and the token behind it.
fn literal(tokens: &[Token], at: usize) -> Option<(Bytes, Scalar, usize)> {
    let token = tokens.get(at)?;
    Some(match &token.word {
        Word::Text(text) => (token.bytes, Scalar::Text(text.clone()), at + 1),
        Word::Name(name) => (token.bytes, scalar(name)?, at + 1),
        Word::Mark('-') => match &tokens.get(at + 1)?.word {
            // Between two values it subtracts.
            Word::Name(name)
                if matches!(tokens.get(at.wrapping_sub(1)), None | Some(Token { word: Word::Mark(_), .. })) =>
            {
                match scalar(name)? {
                    Scalar::Number(number) => {
                        let bytes = Bytes { end: tokens[at + 1].bytes.end, ..token.bytes };
                        (bytes, Scalar::Number(-number), at + 2)
                    }
                    _ => return None,
                }
            }
            _ => return None,
        },
        Word::Mark(_) => return None,
    })
}

fn scalar(name: &str) -> Option<Scalar> {
    Some(match name {
        "true" => Scalar::Bool(true),
        "false" => Scalar::Bool(false),
        "null" => Scalar::Null,
        _ if name.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            Scalar::Number(name.replace('_', "").parse().ok()?)
        }
        _ => return None,
    })
}

/// How long the block is that a text begins with.
pub(super) fn block(text: &str) -> Option<usize> {
    let mut open = 0_u32;
    for token in tokens(text) {
        match token.word {
            Word::Mark('{') => open += 1,
            Word::Mark('}') if open == 1 => return Some(token.bytes.end as usize),
            Word::Mark('}') => open = open.checked_sub(1)?,
            _ if open == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Words and marks, without comments and regular expressions. What does not end ends them.
fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    // Templates whose `${` is open, with the braces open in it.
    let mut templates: Vec<u32> = Vec::new();
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let (start, rest) = (at, &text[at..]);
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
        at += c.len_utf8();
        let before = || text[..start].trim_end();
        let word = match c {
            _ if c.is_whitespace() => continue,
            '/' if rest.starts_with("//") => {
                at = start + rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '/' if rest.starts_with("/*") => {
                at = start + rest.find("*/").map_or(rest.len(), |end| end + 2);
                continue;
            }
            '/' if is_pattern(before()) => match pattern(rest) {
                Some(length) => {
                    at = start + length;
                    continue;
                }
                None => Word::Mark(c),
            },
            '\'' | '"' => {
                let Some(length) = string(rest, c) else { break };
                at = start + length;
                Word::Text(unescaped(&rest[1..length - 1]))
            }
            '`' => {
                let Some((length, ended)) = template(&text[at..]) else { break };
                at += length;
                if !ended {
                    templates.push(0);
                    continue;
                }
                Word::Text(unescaped(&text[start + 1..at - 1]))
            }
            '{' => {
                templates.last_mut().into_iter().for_each(|open| *open += 1);
                Word::Mark(c)
            }
            '}' if templates.last() == Some(&0) => {
                let Some((length, ended)) = template(&text[at..]) else { break };
                at += length;
                if ended {
                    templates.pop();
                }
                continue;
            }
            '}' => {
                templates.last_mut().into_iter().for_each(|open| *open -= 1);
                Word::Mark(c)
            }
            _ if is_word(c) || c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let in_number = c.is_ascii_digit() || c == '.';
                let length = rest.find(|c: char| !(is_word(c) || in_number && c == '.')).unwrap_or(rest.len());
                at = start + length;
                Word::Name(rest[..length].to_owned())
            }
            _ => Word::Mark(c),
        };
        out.push(Token { bytes: Bytes::new(start, at), word });
    }
    out
}

/// Of escapes, those that configs have.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(match c {
            '\\' => match chars.next() {
                Some('n') => Some('\n'),
                Some('t') => Some('\t'),
                Some('r') => Some('\r'),
                Some('\n') => None,
                other => other,
            },
            _ => Some(c),
        });
    }
    out
}

struct Search<'a> {
    index: &'a Index,
    files: &'a [Text],
    /// How often one of several places of the same key and value was taken.
    taken: HashMap<String, usize>,
    origins: Vec<Origin>,
    /// By the file.
    sources: HashMap<usize, u32>,
}

impl Search<'_> {
    /// What has no place of its own is where `above` is, which it is a part of.
    fn whole(&mut self, mut node: Node, above: Option<Span>) -> Node {
        let above = node.span.or(above);
        node.kind = match node.kind {
            Kind::Sequence(items) => Kind::Sequence(items.into_iter().map(|item| self.item(item, above)).collect()),
            Kind::Mapping(entries) => {
                Kind::Mapping(entries.into_iter().map(|entry| self.entry(entry, above)).collect())
            }
            other => other,
        };
        // What is wrong with a whole is told where its first part is.
        let first = match &node.kind {
            Kind::Sequence(items) => items.iter().find_map(|item| item.span),
            Kind::Mapping(entries) => entries.iter().find_map(|entry| entry.key.span.or(entry.value.span)),
            _ => None,
        };
        node.span = node.span.or(first).or(above);
        node
    }

    fn item(&mut self, mut node: Node, above: Option<Span>) -> Node {
        if let Some(scalar) = scalar_of(&node.kind) {
            node.span = self.literal(&scalar);
        }
        self.whole(node, above)
    }

    fn entry(&mut self, mut entry: Entry, above: Option<Span>) -> Entry {
        let key = entry.key.text.clone();
        let Some(scalar) = scalar_of(&entry.value.kind) else {
            entry.key.span = self.key(&key).or(above);
            entry.value = self.whole(entry.value, entry.key.span);
            return entry;
        };
        let index = self.index;
        let entries = index.entries.get(&key).into_iter().flatten();
        let same: Vec<_> = entries.filter(|(_, _, known)| *known == scalar).collect();
        let turn = if same.len() > 1 { self.turn(format!("{key} {scalar:?}")) } else { 0 };
        if let Some((at, value, _)) = same.get(turn.min(same.len().wrapping_sub(1))) {
            entry.key.span = self.span(*at);
            entry.value.span = self.span(*value);
            return entry;
        }
        entry.key.span = self.key(&key).or(above);
        entry.value.span = self.literal(&scalar).or(entry.key.span);
        entry
    }

    /// Where a key stands; of several places, the next one.
    fn key(&mut self, key: &str) -> Option<Span> {
        let places = self.index.keys.get(key)?;
        let turn = if places.len() > 1 { self.turn(key.to_owned()) } else { 0 };
        self.span(*places.get(turn.min(places.len() - 1))?)
    }

    /// The only place where such a text or number stands.
    fn literal(&mut self, scalar: &Scalar) -> Option<Span> {
        if matches!(scalar, Scalar::Bool(_) | Scalar::Null) {
            return None;
        }
        let mut same = self.index.literals.iter().filter(|(_, known)| known == scalar);
        let (spot, _) = same.next().filter(|_| same.next().is_none())?;
        self.span(*spot)
    }

    fn turn(&mut self, what: String) -> usize {
        let taken = self.taken.entry(what).or_default();
        *taken += 1;
        *taken - 1
    }

    fn span(&mut self, spot: Spot) -> Option<Span> {
        let source = if let Some(known) = self.sources.get(&spot.file) {
            *known
        } else {
            let (path, text) = self.files.get(spot.file)?.clone();
            let new = u32::try_from(self.origins.len()).ok()?;
            self.origins.push(Origin { path, text, computed: true, guessed: true });
            self.sources.insert(spot.file, new);
            new
        };
        Some(Span { source: SourceId(source), start: spot.bytes.start, end: spot.bytes.end })
    }
}

fn scalar_of(kind: &Kind) -> Option<Scalar> {
    Some(match kind {
        Kind::Null => Scalar::Null,
        Kind::Bool(value) => Scalar::Bool(*value),
        Kind::Number(value) => Scalar::Number(*value),
        Kind::String(text) => Scalar::Text(text.clone()),
        Kind::Sequence(_) | Kind::Mapping(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `path = text`
    fn places(exported: &Exported) -> Vec<String> {
        fn shown(exported: &Exported, span: Option<Span>) -> String {
            span.map_or("nowhere".to_owned(), |span| {
                let file = &exported.files[span.source.0 as usize];
                assert!(file.guessed);
                file.text[span.start as usize..span.end as usize].to_owned()
            })
        }
        fn walk(exported: &Exported, node: &Node, path: &str, out: &mut Vec<String>) {
            out.push(format!("{path} = {}", shown(exported, node.span)));
            match &node.kind {
                Kind::Sequence(items) => {
                    for (index, item) in items.iter().enumerate() {
                        walk(exported, item, &format!("{path}[{index}]"), out);
                    }
                }
                Kind::Mapping(entries) => {
                    for entry in entries {
                        let path = format!("{path}.{}", entry.key.text);
                        out.push(format!("{path}: {}", shown(exported, entry.key.span)));
                        walk(exported, &entry.value, &path, out);
                    }
                }
                _ => {}
            }
        }
        let mut out = Vec::new();
        walk(exported, &exported.node, "", &mut out);
        out
    }

    fn bare(mut node: Node) -> Node {
        node.span = None;
        node.kind = match node.kind {
            Kind::Sequence(items) => Kind::Sequence(items.into_iter().map(bare).collect()),
            Kind::Mapping(entries) => {
                Kind::Mapping(entries.into_iter().map(|entry| Entry { value: bare(entry.value), ..entry }).collect())
            }
            other => other,
        };
        node
    }

    #[test]
    fn keys_and_values_are_found_by_their_words() {
        let entry = "// name: 'comment'\nconst N = 'lots'; const re = /name: 'x'/; const t = `a ${{ b: `c` }.b} name: 'y'`;\n\
                     const app = (name, port) => ({ name, script: \"it's.js\", port, instances: N, watch: a ? 'w' : 'v' });\n\
                     module.exports = { apps: [app('web', -80), app('api', 81), { instnaces: 2, name: 'web', args: ['-x', 5_000], delay: 9 -1 }] };";
        let files = [(PathBuf::from("/a.js"), Arc::from(entry))];
        let value = json!({ "apps": [
            { "name": "web", "script": "it's.js", "port": -80, "instances": "lots", "watch": "v" },
            { "name": "api", "script": "it's.js", "port": 81, "instances": "lots", "computed": 7, "delay": -1 },
            { "instnaces": 2, "name": "web", "args": ["-x", 5000] },
        ] });
        let node = crate::config::json::parse(&value.to_string(), SourceId(0)).0.unwrap();
        let node = bare(node);
        let got = places(&placed(node, &files));
        for want in [
            ".apps: apps",
            ".apps[0].script = \"it's.js\"",
            ".apps[0].port = -80",
            ".apps[0].instances = 'lots'",
            ".apps[0].instances: instances",
            ".apps[0].watch = 'v'",
            ".apps[1].name = 'api'",
            ".apps[1].port = 81",
            ".apps[1].computed = apps",
            ".apps[1].delay = delay",
            ".apps[2].instnaces: instnaces",
            ".apps[2].instnaces = 2",
            ".apps[2].args[0] = '-x'",
            ".apps[2].args[1] = 5_000",
        ] {
            assert!(got.iter().any(|line| line == want), "{want}\n{got:#?}");
        }
    }

    #[test]
    fn files_that_are_named_are_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a.js", "require('./lib'); require('./p.json'); require('fs'); require('./gone');");
        write("lib/index.js", "import '../a.js'; // './p.json'");
        write("p.json", "{}");
        let files = texts(&folder.path().join("a.js"), |path| std::fs::read_to_string(path).ok());
        let names: Vec<_> =
            files.iter().map(|(path, _)| path.strip_prefix(folder.path()).unwrap().to_owned()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(names[0], Path::new("a.js"));
    }
}
