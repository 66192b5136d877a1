//! What no compiler checks: which layer may know which, what pure code may not touch, and what the tree may not
//! contain. It reads the tree as text, and tests itself on strings.
//!
//! A rule that is in the way is changed here, with its reason, and not worked around.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Who may say `crate::...`: a folder or file below `src`, and the folders it may use besides itself. The first
/// row that fits counts; what has no row may not exist.
const LAYERS: &[(&str, &[&str])] = &[
    // Pure: no fs, no net, no process, no clock, no environment, no async, no printing.
    ("base", &[]),
    ("document", &["base"]),
    ("diag", &["base", "document"]),
    ("spec", &["base"]),
    ("graph", &["base", "spec"]),
    ("schedule", &["base"]),
    ("schema", &["base", "document", "diag", "spec", "graph", "schedule"]),
    ("plan", &["base", "spec", "graph"]),
    // Of the plan it knows one thing: the digest that stands for a spec.
    ("supervisor", &["base", "spec", "plan"]),
    ("rpc/wire.rs", PURE_BELOW_RUNTIME),
    ("rpc/mod.rs", PURE_BELOW_RUNTIME),
    // Adapters: the only code that touches the operating system. They know what is pure, and each other's traits.
    ("node", &["base"]),
    ("platform", &["base", "spec", "supervisor", "node"]),
    ("config", &["base", "document", "diag", "spec", "graph", "schema", "plan", "platform"]),
    ("logs", &["base", "spec", "platform"]),
    ("health", &["base", "spec", "supervisor", "platform"]),
    ("watch", &["base", "spec", "platform"]),
    // Shell: where decisions meet the world.
    ("runtime/store.rs", &["base", "spec", "graph", "plan", "supervisor", "rpc", "platform"]),
    ("runtime/store", &["base", "spec", "graph", "plan", "supervisor", "rpc", "platform"]),
    ("runtime", &["base", "spec", "graph", "plan", "supervisor", "schedule", "rpc"]),
    ("rpc", &["base", "spec", "graph", "plan", "platform"]),
    (
        "daemon",
        // Of the config one thing: what stands for an app's code.
        &[
            "base",
            "spec",
            "graph",
            "plan",
            "supervisor",
            "runtime",
            "rpc",
            "config",
            "platform",
            "logs",
            "health",
            "watch",
        ],
    ),
    // Not what the daemon is, only what can be asked of it; and even that is handed in.
    ("http", &["base", "platform", "rpc"]),
    ("cli", ALL),
    ("main.rs", ALL),
    ("lib.rs", &[]),
];

const PURE_BELOW_RUNTIME: &[&str] = &["base", "spec", "graph", "plan"];

const ALL: &[&str] = &[
    "base",
    "document",
    "diag",
    "spec",
    "graph",
    "schema",
    "plan",
    "supervisor",
    "schedule",
    "node",
    "platform",
    "config",
    "logs",
    "health",
    "watch",
    "runtime",
    "rpc",
    "daemon",
    "http",
    "cli",
];

/// Folders and files whose code decides and does nothing else.
const PURE: &[&str] = &[
    "base",
    "document",
    "diag",
    "spec",
    "graph",
    "schedule",
    "schema",
    "plan",
    "supervisor",
    "rpc/wire.rs",
    "runtime",
];

/// Below a pure folder, and allowed to touch the world all the same.
const NOT_PURE: &[&str] = &["runtime/store.rs", "runtime/store"];

/// Paths (by their beginning) that pure code may not name.
const WORLDLY: &[&str] = &[
    "std::fs",
    "std::process",
    "std::env",
    "std::net",
    "std::thread",
    "std::os",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "tokio",
    "rustix",
    "nix",
    "redb",
    "notify",
];

/// Files below `tests` that may wait by the clock, and why.
const MAY_SLEEP: &[(&str, &str)] = &[];

/// More packages than this in Cargo.lock need a reason in the commit that raises it.
const LOCKED_PACKAGES_MAX: usize = 394;

#[test]
fn arrows_between_layers_point_downwards() {
    report(each_source(|path, file| {
        let Some((_, allowed)) = LAYERS.iter().find(|(row, _)| is_below(path, row)) else {
            return vec![format!("`src/{path}` belongs to no layer: give it a row in LAYERS")];
        };
        let own = path.split(['/', '.']).next().unwrap_or_default();
        paths_named(&file.production())
            .into_iter()
            .filter_map(|(line, named)| {
                let layer = named.strip_prefix("crate::")?.split("::").next()?.to_owned();
                let is_layer = ALL.contains(&layer.as_str());
                (is_layer && layer != own && !allowed.contains(&layer.as_str()))
                    .then(|| format!("src/{path}:{line}: `{own}` may not know `{layer}` ({named})"))
            })
            .collect()
    }));
}

#[test]
fn pure_code_touches_nothing() {
    report(each_source(|path, file| {
        if !PURE.iter().any(|row| is_below(path, row)) || NOT_PURE.iter().any(|row| is_below(path, row)) {
            return Vec::new();
        }
        let code = file.production();
        let named = paths_named(&code).into_iter().filter(|(_, named)| is_worldly(named));
        let mut found: Vec<String> =
            named.map(|(line, named)| format!("src/{path}:{line}: pure code names `{named}`")).collect();
        let clocks = ["TimeZone::get(", "TimeZone::system(", "Zoned::now(", "Timestamp::now("];
        let words = ["println!", "eprintln!", "print!", "eprint!", "async fn", "async move", ".await"];
        for word in words.into_iter().chain(clocks) {
            found.extend(lines_with(&code, word).map(|line| format!("src/{path}:{line}: pure code has `{word}`")));
        }
        found
    }));
}

#[test]
fn only_the_command_line_prints_and_exits() {
    report(each_source(|path, file| {
        if is_below(path, "cli") || path == "main.rs" {
            return Vec::new();
        }
        let code = file.production();
        ["println!", "eprintln!", "print!", "eprint!", "process::exit"]
            .iter()
            .flat_map(|word| lines_with(&code, word).map(move |line| format!("src/{path}:{line}: has `{word}`")))
            .collect()
    }));
}

#[test]
fn unsafe_code_is_in_the_platform_only() {
    report(each_source(|path, file| {
        if is_below(path, "platform") {
            return Vec::new();
        }
        lines_with(&file.code, "unsafe ")
            .chain(lines_with(&file.code, "unsafe{"))
            .chain(lines_with(&file.code, "allow(unsafe_code"))
            .map(|line| format!("src/{path}:{line}: `unsafe` outside `src/platform`"))
            .collect()
    }));
}

#[test]
fn comparing_and_deciding_name_every_field() {
    let compare = Source::read(&root().join("src/plan/compare.rs"));
    let field = Source::read(&root().join("src/spec/field.rs"));
    let rest = rest_patterns(&compare.production())
        .map(|line| format!("src/plan/compare.rs:{line}: `..` in a pattern: a new field would go unnoticed"));
    let wild = lines_with(&field.production(), "_ =>")
        .map(|line| format!("src/spec/field.rs:{line}: `_ =>`: a new field would get somebody else's impact"))
        .collect::<Vec<_>>();
    report(rest.chain(wild));
}

#[test]
fn nothing_is_left_half_done() {
    report(each_source(|path, file| {
        let mut found = Vec::new();
        for word in ["todo!", "unimplemented!", "dbg!"] {
            found.extend(lines_with(&file.code, word).map(|line| format!("src/{path}:{line}: `{word}`")));
        }
        for word in [concat!("FIX", "ME"), concat!("X", "XX")] {
            found.extend(lines_with_word(&file.text, word).map(|line| format!("src/{path}:{line}: `{word}`")));
        }
        // One that names the version it is due in is a plan; any other is a wish.
        for line in lines_with_word(&file.text, concat!("TO", "DO")) {
            let text = file.text.lines().nth(line - 1).unwrap_or_default();
            match due_version(text) {
                Some(due) if due > own_version() => {}
                Some(_) => found.push(format!("src/{path}:{line}: was due in an earlier version: {}", text.trim())),
                None => found.push(format!("src/{path}:{line}: names no version it is due in: {}", text.trim())),
            }
        }
        found
    }));
}

#[test]
fn tests_wait_for_states_and_never_sleep() {
    let call = concat!("sleep", "(");
    let mut found = Vec::new();
    for path in files_below("tests").into_iter().chain(files_below("src")) {
        if extension(&path) != "rs" || MAY_SLEEP.iter().any(|(allowed, _)| path == Path::new(allowed)) {
            continue;
        }
        let file = Source::read(&root().join(&path));
        let code = if path.starts_with("tests") { file.code } else { file.test_code() };
        found.extend(lines_with(&code, call).map(|line| format!("{}:{line}: `{call}` in a test", path.display())));
    }
    report(found);
}

#[test]
fn every_test_file_is_part_of_its_binary() {
    let main = Source::read(&root().join("tests/it/main.rs")).code;
    let found: Vec<String> = files_below("tests/it")
        .into_iter()
        .filter_map(|path| {
            let below = path.strip_prefix("tests/it").ok()?;
            let module = below.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
            (module != "main" && extension(&path) == "rs" && !main.contains(&format!("mod {module};")))
                .then(|| format!("{}: `mod {module};` is missing in tests/it/main.rs", path.display()))
        })
        .collect();
    report(found);
}

#[test]
fn every_fixture_is_used() {
    let users: Vec<(PathBuf, String)> = ["src", "tests", "fixtures", ".ci"]
        .into_iter()
        .flat_map(files_below)
        .filter_map(|path| Some((path.clone(), std::fs::read_to_string(root().join(path)).ok()?)))
        .collect();
    let found: Vec<String> = files_below("fixtures")
        .into_iter()
        .filter(|path| !users.iter().any(|(user, text)| user != path && mentions(text, path)))
        .map(|path| format!("{}: no test and no source mentions it", path.display()))
        .collect();
    report(found);
}

#[test]
fn nothing_lies_about_at_the_top() {
    let known = [
        ".deny.toml",
        ".gitignore",
        ".rustfmt.toml",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "build.rs",
        "clippy.toml",
        "ecosystem.example.json5",
    ];
    let at_the_top = files_below("").into_iter().filter(|path| path.components().count() == 1);
    report(at_the_top.map(|path| path.display().to_string()).filter(|name| !known.contains(&name.as_str())));
}

#[test]
fn the_tree_speaks_of_no_machine_and_no_session() {
    // In halves, so that this file may be looked at as well.
    let machine = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let session = [
        concat!("cla", "ude"),
        concat!("anthro", "pic"),
        concat!("chat", "gpt"),
        concat!("open", "ai"),
        concat!("copi", "lot"),
        concat!("lan", "guage model"),
        concat!("this ", "session"),
        concat!("sub", "agent"),
    ];
    let mut found = Vec::new();
    for path in files_below("") {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            let lower = line.to_lowercase();
            for word in machine
                .iter()
                .filter(|word| line.contains(*word))
                .chain(session.iter().filter(|word| lower.contains(*word)))
            {
                found.push(format!("{}:{number}: `{word}`", path.display()));
            }
        }
    }
    report(found);
}

#[test]
fn lines_end_as_lines_do() {
    let mut found = Vec::new();
    for path in files_below("") {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        if path.starts_with("fixtures") || path.starts_with("LICENSE-APACHE") || extension(&path) == "snap" {
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            found.push(format!("{}: no newline at its end", path.display()));
        }
        if extension(&path) == "rs" {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            if line.ends_with([' ', '\t', '\r']) {
                found.push(format!("{}:{number}: white space at the end", path.display()));
            }
        }
    }
    report(found);
}

#[test]
fn the_changelog_knows_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(read("CHANGELOG.md").contains(version), "CHANGELOG.md does not mention {version}");
}

#[test]
fn ci_runs_the_readmes_second_command() {
    let readme = read("README.md");
    let commands: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("$ ")).take(2).collect();
    assert!(
        commands.first().is_some_and(|first| first.starts_with("cargo run -- apply ecosystem.example.json5")),
        "the README's first command: {commands:?}"
    );
    let second = commands.get(1).expect("the README has a second command");
    assert!(
        read(".ci/run").lines().any(|line| line == format!("step {second}")),
        ".ci/run does not run `{second}` as it stands in the README"
    );
}

#[test]
fn the_rust_version_is_the_same_everywhere() {
    let manifest = read("Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))
        .map(|rest| rest.trim_end_matches('"'))
        .expect("Cargo.toml has a rust-version");
    assert!(read(".ci/run").contains(&format!("rust_min={version}\n")), ".ci/run installs another Rust than {version}");
    assert!(read("README.md").contains(version), "README.md names another Rust than {version}");
}

#[test]
fn the_lock_file_stays_within_its_budget() {
    let packages = read("Cargo.lock").lines().filter(|line| *line == "[[package]]").count();
    assert!(
        packages <= LOCKED_PACKAGES_MAX,
        "Cargo.lock has {packages} packages, more than {LOCKED_PACKAGES_MAX}: is the new dependency worth it?"
    );
}

// ---- the tree --------------------------------------------------------------------------------------------------

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|ending| ending.to_str()).unwrap_or_default()
}

/// Relative to the root, sorted. What git and cargo keep for themselves is left out.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if [".git", "target", "node_modules", "__pycache__"].iter().any(|skipped| name == *skipped) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.extend(entry.path().strip_prefix(root()).map(Path::to_owned)),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn each_source(check: impl Fn(&str, &Source) -> Vec<String>) -> Vec<String> {
    let sources: Vec<(String, Source)> = files_below("src")
        .into_iter()
        .filter(|path| extension(path) == "rs")
        .map(|path| {
            let below = path.strip_prefix("src").expect("it is below src").to_string_lossy().into_owned();
            (below, Source::read(&root().join(path)))
        })
        .collect();
    let of_tests = test_modules(&sources);
    sources
        .iter()
        .filter(|(path, _)| !of_tests.iter().any(|module| is_below(path, module) || path == &format!("{module}.rs")))
        .flat_map(|(path, file)| check(path, file))
        .collect()
}

/// Modules that are declared below `#[cfg(test)]`: `plan/properties`.
fn test_modules(sources: &[(String, Source)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, file) in sources {
        let folder = match path.rsplit_once('/') {
            Some((folder, "mod.rs")) => format!("{folder}/"),
            None if path == "lib.rs" || path == "main.rs" => String::new(),
            _ => format!("{}/", path.trim_end_matches(".rs")),
        };
        let lines: Vec<&str> = file.code.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0].starts_with("#[cfg(") && pair[0].contains("test")) {
            let declared = pair[1].rsplit("mod ").next().and_then(|rest| rest.strip_suffix(';'));
            if let Some(name) = declared.filter(|_| pair[1].contains("mod ")) {
                found.insert(format!("{folder}{name}"));
            }
        }
    }
    found
}

fn report<I: IntoIterator<Item = String>>(found: I) {
    let text = found.into_iter().fold(String::new(), |mut text, line| {
        let _ = write!(text, "\n  {line}");
        text
    });
    assert!(text.is_empty(), "{text}");
}

/// `plan/compare.rs` is below `plan`, and `runtime/store.rs` below itself.
fn is_below(path: &str, row: &str) -> bool {
    path == row || path.strip_prefix(row).is_some_and(|rest| rest.starts_with('/')) || path == format!("{row}.rs")
}

fn is_worldly(named: &str) -> bool {
    WORLDLY.iter().any(|forbidden| {
        named == *forbidden || named.strip_prefix(forbidden).is_some_and(|rest| rest.starts_with("::"))
    })
}

fn own_version() -> (u32, u32) {
    let number = |text: &str| text.parse().unwrap_or(0);
    (number(env!("CARGO_PKG_VERSION_MAJOR")), number(env!("CARGO_PKG_VERSION_MINOR")))
}

/// Reads the version in the parentheses after the word.
fn due_version(line: &str) -> Option<(u32, u32)> {
    let (_, rest) = line.split_once(concat!("TO", "DO("))?;
    let (version, _) = rest.split_once(')')?;
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether a text names a fixture: its path, its name, its name without the ending, or a folder it lies in.
fn mentions(text: &str, fixture: &Path) -> bool {
    let name = fixture.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if text.contains(name) {
        return true;
    }
    let stem = name.split('.').next().unwrap_or_default();
    let quoted = [format!("\"{stem}\""), format!("/{stem}\""), format!("/{stem}'")];
    if !stem.is_empty() && quoted.iter().any(|quoted| text.contains(quoted)) {
        return true;
    }
    fixture
        .ancestors()
        .skip(1)
        .filter(|folder| folder.components().count() > 1)
        .any(|folder| text.contains(&*folder.to_string_lossy()))
}

// ---- Rust, as far as it matters here ---------------------------------------------------------------------------

struct Source {
    text: String,
    /// The same with comments and the insides of literals blanked out: every line stays where it was.
    code: String,
}

impl Source {
    fn read(path: &Path) -> Self {
        Self::of(&std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn of(text: &str) -> Self {
        Self { text: text.to_owned(), code: blank_out(text) }
    }

    /// Without the test module, which comes last in a file.
    fn production(&self) -> String {
        self.code[..self.tests_begin()].to_owned()
    }

    /// Only the test module, on its own lines.
    fn test_code(&self) -> String {
        let begin = self.tests_begin();
        let lines_before = self.code[..begin].matches('\n').count();
        "\n".repeat(lines_before) + &self.code[begin..]
    }

    fn tests_begin(&self) -> usize {
        let mut marks = self.code.match_indices("#[cfg(test)]").map(|(at, _)| at);
        marks
            .find(|at| {
                let rest = self.code[*at..].lines().skip(1).map(str::trim_start);
                rest.take(1).any(|line| line.starts_with("mod ") && line.trim_end().ends_with('{'))
            })
            .unwrap_or(self.code.len())
    }
}

/// Blanks out comments and what is inside string and character literals, byte by byte.
fn blank_out(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match (bytes[at], bytes.get(at + 1)) {
            (b'/', Some(b'/')) => line_end(bytes, at),
            (b'/', Some(b'*')) => block_end(bytes, at),
            (b'r', Some(b'"' | b'#')) if !follows_word(bytes, at) => raw_end(bytes, at),
            (b'"', _) => string_end(bytes, at),
            (b'\'', _) => char_end(bytes, at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        // Quotes stay, so that what is left still looks like code.
        let keep = usize::from(matches!(bytes[at], b'"' | b'\''));
        for byte in &mut out[at + keep..end - keep] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("blanks are ASCII and cover whole literals")
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn block_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0usize);
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'/', Some(b'*')) => (depth, at) = (depth + 1, at + 2),
            (b'*', Some(b'/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_end(bytes: &[u8], start: usize) -> usize {
    let hashes = bytes[start + 1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(start + 1 + hashes) != Some(&b'"') {
        // `r#type`
        return start;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let body = start + 2 + hashes;
    let length = bytes[body..].windows(close.len()).position(|window| window == close);
    length.map_or(bytes.len(), |length| body + length + close.len())
}

/// A character literal, or the same place when it is a lifetime.
fn char_end(bytes: &[u8], start: usize) -> usize {
    if bytes.get(start + 1) == Some(&b'\\') {
        let close = bytes[start + 3..].iter().position(|byte| *byte == b'\'');
        return close.map_or(start, |length| start + 3 + length + 1);
    }
    // One character of up to four bytes.
    (start + 2..=start + 5).find(|at| bytes.get(*at) == Some(&b'\'')).map_or(start, |at| {
        let is_one = std::str::from_utf8(&bytes[start + 1..at]).is_ok_and(|text| text.chars().count() == 1);
        if is_one { at + 1 } else { start }
    })
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn lines_with(code: &str, word: &str) -> impl Iterator<Item = usize> + use<> {
    let starts_a_word = word.starts_with(|c: char| c.is_alphanumeric());
    let places: Vec<usize> = code
        .match_indices(word)
        .filter(|(at, _)| !(starts_a_word && follows_word(code.as_bytes(), *at)))
        .map(|(at, _)| line_of(code, at))
        .collect();
    places.into_iter()
}

fn lines_with_word(text: &str, word: &str) -> impl Iterator<Item = usize> + use<> {
    let places: Vec<usize> = text
        .match_indices(word)
        .filter(|(at, _)| {
            let after = text.as_bytes().get(at + word.len());
            !follows_word(text.as_bytes(), *at) && !after.is_some_and(u8::is_ascii_alphanumeric)
        })
        .map(|(at, _)| line_of(text, at))
        .collect();
    places.into_iter()
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

/// Lines with `..` as the rest of a pattern: `Spec { name, .. }`, `Some(..)`.
fn rest_patterns(code: &str) -> impl Iterator<Item = usize> + use<> {
    let places: Vec<usize> = code
        .match_indices("..")
        .filter(|(at, _)| {
            let before = code[..*at].trim_end().chars().next_back();
            let after = code[at + 2..].trim_start().chars().next();
            matches!(before, Some('{' | ',' | '(')) && matches!(after, Some('}' | ')' | ','))
        })
        .map(|(at, _)| line_of(code, at))
        .collect();
    places.into_iter()
}

/// Every path that code names, with its line: `use` trees are taken apart, paths inside expressions are taken as
/// they are.
fn paths_named(code: &str) -> Vec<(usize, String)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !(bytes[at].is_ascii_alphabetic() || bytes[at] == b'_') || follows_word(bytes, at) {
            at += 1;
            continue;
        }
        let line = line_of(code, at);
        let begins = !code[..at].trim_end().ends_with("::");
        let end = read_tree(code, at, "", &mut |path| found.push((line, path)));
        if !begins {
            found.pop();
        }
        at = end.max(at + 1);
    }
    let crates: BTreeSet<&str> = WORLDLY.iter().map(|path| path.split("::").next().unwrap_or(path)).collect();
    found.retain(|(_, path)| {
        let mut parts = path.split("::");
        let first = parts.next().unwrap_or_default();
        (first == "crate" || crates.contains(first)) && parts.next().is_some()
    });
    found
}

/// Reads `a::b::{c, d::e}` and tells each path that it holds. Returns where it ends.
fn read_tree(code: &str, start: usize, prefix: &str, tell: &mut dyn FnMut(String)) -> usize {
    let word_end = |from: usize| {
        code[from..].find(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(code.len(), |length| from + length)
    };
    let mut path = prefix.to_owned();
    let mut at = start;
    loop {
        let end = word_end(at);
        path.push_str(&code[at..end]);
        at = end;
        let Some(rest) = code[at..].strip_prefix("::") else { break };
        at += 2;
        path.push_str("::");
        if rest.starts_with('{') {
            return read_group(code, at + 1, &path, tell);
        }
        if !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            // `Vec::<u8>`, `a::*`
            break;
        }
    }
    tell(path.trim_end_matches("::").to_owned());
    at
}

fn read_group(code: &str, start: usize, prefix: &str, tell: &mut dyn FnMut(String)) -> usize {
    let mut at = start;
    while let Some(next) = code[at..].chars().next() {
        match next {
            '}' => return at + 1,
            c if c.is_alphanumeric() || c == '_' => {
                let end = read_tree(code, at, prefix, tell);
                // ` as name`
                at = end + code[end..].find([',', '}']).unwrap_or(code.len() - end);
            }
            c => at += c.len_utf8(),
        }
    }
    at
}

// ---- it tests itself -------------------------------------------------------------------------------------------

#[test]
fn self_test_comments_and_literals_are_no_code() {
    let text = concat!(
        "let a = \"unsafe { \\\" }\"; // unsafe\n",
        "/* println! /* nested */ dbg! */ let b = r#\"todo!\"#;\n",
        "let c = 'u'; let d: &'static str = \"é\"; let e = '\\''; let f = '\\u{1F600}';\n",
        "fn r<'a>(x: &'a str) {} // ü\n",
    );
    let code = blank_out(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(code.lines().count(), 4);
    for word in ["unsafe", "println!", "dbg!", "todo!", "nested", "1F600"] {
        assert!(!code.contains(word), "{word} in {code}");
    }
    for word in ["let a", "let b", "let c", "'static str", "let e", "let f", "fn r<'a>(x: &'a str)"] {
        assert!(code.contains(word), "{word} not in {code}");
    }
}

#[test]
fn self_test_paths_are_taken_out_of_trees() {
    let code = "use crate::base::{Key, time::{Mono, Now as N}};\nuse std::{fs, io::{self, Read}};\n\
                fn f() { crate::plan::plan(&std::env::vars()); Vec::<u8>::new(); let nix = my::crate_::x; }\n\
                use std::time::Duration;\nuse super::crate_name;\npub(crate) fn g() { tokio::spawn(h()); }\n";
    let named: Vec<(usize, String)> = paths_named(code);
    let named: Vec<(usize, &str)> = named.iter().map(|(line, path)| (*line, path.as_str())).collect();
    assert_eq!(
        named,
        [
            (1, "crate::base::Key"),
            (1, "crate::base::time::Mono"),
            (1, "crate::base::time::Now"),
            (2, "std::fs"),
            (2, "std::io::self"),
            (2, "std::io::Read"),
            (3, "crate::plan::plan"),
            (3, "std::env::vars"),
            (4, "std::time::Duration"),
            (6, "tokio::spawn"),
        ]
    );
    let worldly: Vec<&str> = named.iter().map(|(_, path)| *path).filter(|path| is_worldly(path)).collect();
    assert_eq!(worldly, ["std::fs", "std::env::vars", "tokio::spawn"]);
}

#[test]
fn self_test_rest_patterns_are_told_from_ranges() {
    let count = |code: &str| rest_patterns(code).count();
    assert_eq!(count("let Spec { name, .. } = old;"), 1);
    assert_eq!(count("let Spec {\n    name,\n    ..\n} = old;"), 1);
    assert_eq!(count("Some(..) => {}"), 1);
    assert_eq!(count("for i in 0..3 { &a[1..]; &a[..2]; f(a, ..=3); }"), 0);
    assert_eq!(count("Spec { name, ..Spec::default() }"), 0);
}

#[test]
fn self_test_words_are_whole() {
    assert_eq!(lines_with("fn printer() { eprintln!(); }\nprintln!()", "println!").collect::<Vec<_>>(), [2]);
    let mark = concat!("X", "XX");
    let text = format!("a {mark}YYY\n{mark}: no\n{mark}X {mark}");
    assert_eq!(lines_with_word(&text, mark).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(due_version(concat!("// TO", "DO(0.4): remove")), Some((0, 4)));
    assert_eq!(due_version(concat!("// TO", "DO: remove")), None);
}

#[test]
fn self_test_test_modules_are_set_apart() {
    let file = Source::of("use a;\n#[cfg(test)]\nuse b;\nfn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n");
    assert!(file.production().contains("fn f"));
    assert!(!file.production().contains("std::fs"));
    assert!(file.test_code().contains("std::fs"));
    assert_eq!(lines_with(&file.test_code(), "std::fs").collect::<Vec<_>>(), [7]);

    let sources = [
        ("plan/mod.rs".to_owned(), Source::of("mod steps;\n#[cfg(test)]\nmod properties;\n")),
        ("base/id.rs".to_owned(), Source::of("#[cfg(test)]\npub(crate) mod tests;\nmod real;\n")),
    ];
    let found = test_modules(&sources);
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), ["base/id/tests", "plan/properties"]);
}

#[test]
fn self_test_fixtures_are_found_by_name_or_folder() {
    let fixture = Path::new("fixtures/config/bad/cycle.json5");
    assert!(mentions("load(\"cycle.json5\")", fixture));
    assert!(mentions("check(\"cycle\")", fixture));
    assert!(mentions("for file in all(\"fixtures/config/bad\")", fixture));
    assert!(!mentions("fixtures/ and a cycle", fixture));
}

#[test]
fn self_test_rows_fit_folders_and_files() {
    assert!(is_below("plan/compare.rs", "plan"));
    assert!(is_below("schema.rs", "schema"));
    assert!(!is_below("planner/x.rs", "plan"));
    for row in LAYERS.iter().map(|(row, _)| row).chain(PURE) {
        let known = root().join("src").join(row).exists() || *row == "logs";
        assert!(known, "the row `{row}` fits nothing");
    }
}
