//! Node's module resolution: <https://nodejs.org/api/modules.html#all-together>, with extensions also tried for `import`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::files::{Files, normalise};

/// What a file is run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    CommonJs,
    /// CommonJS unless only a module parses: a `.js` file whose package does not say.
    Either,
    Module,
    Json,
    /// Something that the engine cannot run, by its ending.
    Foreign,
}

/// Which `exports` conditions hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Require,
    Import,
}

const ENDINGS: [&str; 7] = [".js", ".json", ".cjs", ".mjs", ".ts", ".cts", ".mts"];
/// What TypeScript's authors write for what a compiler would have made of their files.
const COMPILED: [(&str, &str); 3] = [("js", "ts"), ("cjs", "cts"), ("mjs", "mts")];

/// Packages that pmrun stands in for where they are not installed.
const STAND_INS: [&str; 2] = ["dotenv", "dotenv/config"];

/// Whether pmrun's own module is meant: one of Node's, or a package that a module in `folder` would not find.
pub(super) fn is_builtin(files: &Files, specifier: &str, folder: Option<&Path>, style: Style) -> bool {
    if STAND_INS.contains(&specifier) {
        return folder.is_some_and(|folder| resolve(files, specifier, folder, style).is_none());
    }
    let name = specifier.strip_prefix("node:").unwrap_or(specifier);
    !STAND_INS.contains(&name) && super::source::builtin(name).is_some()
}

/// The file that a specifier names, for a module in `folder`.
pub(super) fn resolve(files: &Files, specifier: &str, folder: &Path, style: Style) -> Option<PathBuf> {
    let found = if let Some(url) = specifier.strip_prefix("file://") {
        as_file(files, Path::new(&percent_decode(url)))
    } else if is_path(specifier) {
        let path = normalise(&folder.join(specifier));
        let file =
            if specifier.ends_with('/') || matches!(specifier, "." | "..") { None } else { as_file(files, &path) };
        file.or_else(|| as_folder(files, &path))
    } else if specifier.starts_with('#') {
        from_imports(files, specifier, folder, style)
    } else {
        from_packages(files, specifier, folder, style)
    };
    // What is imported is named by a URL.
    let found = found.or_else(|| match specifier.split_once(['?', '#']) {
        Some((bare, _)) if style == Style::Import && !bare.is_empty() => resolve(files, bare, folder, style),
        _ if style == Style::Import && specifier.contains('%') => {
            let decoded = percent_decode(specifier);
            if decoded == specifier { None } else { resolve(files, &decoded, folder, style) }
        }
        _ => None,
    })?;
    Some(files.canonical(&found).unwrap_or(found))
}

/// What a file is run as, by its ending and its package's `type`.
pub(super) fn format(files: &Files, path: &Path) -> Format {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => Format::Json,
        Some("mjs" | "mts") => Format::Module,
        Some("cjs" | "cts") => Format::CommonJs,
        Some("tsx" | "jsx" | "node" | "wasm") => Format::Foreign,
        _ => match package_type(files, path).as_deref() {
            Some("module") => Format::Module,
            Some("commonjs") => Format::CommonJs,
            _ => Format::Either,
        },
    }
}

pub(super) fn is_typescript(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "ts" || ending == "mts" || ending == "cts")
}

fn is_path(specifier: &str) -> bool {
    specifier.starts_with('/')
        || specifier.starts_with("./")
        || specifier.starts_with("../")
        || matches!(specifier, "." | "..")
}

fn as_file(files: &Files, path: &Path) -> Option<PathBuf> {
    if files.is_file(path) {
        return Some(path.to_owned());
    }
    let compiled = || {
        let ending = path.extension()?;
        let (_, source) = COMPILED.iter().find(|(compiled, _)| ending == *compiled)?;
        Some(path.with_extension(source))
    };
    ENDINGS.iter().map(|ending| with_ending(path, ending)).chain(compiled()).find(|path| files.is_file(path))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(ending);
    text.into()
}

fn as_folder(files: &Files, path: &Path) -> Option<PathBuf> {
    if !files.is_dir(path) {
        return None;
    }
    let main = manifest(files, path).and_then(|manifest| Some(manifest.get("main")?.as_str()?.to_owned()));
    if let Some(main) = main {
        let target = normalise(&path.join(main));
        if let Some(found) = as_file(files, &target).or_else(|| index(files, &target)) {
            return Some(found);
        }
    }
    index(files, path)
}

fn index(files: &Files, folder: &Path) -> Option<PathBuf> {
    ENDINGS.iter().map(|ending| folder.join(format!("index{ending}"))).find(|path| files.is_file(path))
}

fn manifest(files: &Files, folder: &Path) -> Option<Value> {
    serde_json::from_str(&files.read_text(&folder.join("package.json")).ok()?).ok()
}

fn package_type(files: &Files, path: &Path) -> Option<String> {
    let (_, manifest) = scope(files, path.parent()?)?;
    Some(manifest.get("type")?.as_str()?.to_owned())
}

/// The nearest folder with a package.json; `node_modules` ends the search.
fn scope(files: &Files, folder: &Path) -> Option<(PathBuf, Value)> {
    folder
        .ancestors()
        .take_while(|folder| folder.file_name().is_none_or(|name| name != "node_modules"))
        .find(|folder| files.is_file(&folder.join("package.json")))
        .map(|folder| (folder.to_owned(), manifest(files, folder).unwrap_or_default()))
}

fn from_imports(files: &Files, specifier: &str, folder: &Path, style: Style) -> Option<PathBuf> {
    let (base, manifest) = scope(files, folder)?;
    let target = select(manifest.get("imports")?, specifier, style)?;
    if target.starts_with("./") {
        Some(normalise(&base.join(target))).filter(|path| files.is_file(path))
    } else {
        from_packages(files, &target, &base, style)
    }
}

fn from_packages(files: &Files, specifier: &str, folder: &Path, style: Style) -> Option<PathBuf> {
    let (name, subpath) = split_name(specifier);
    if let Some(own) = own_package(files, name, folder) {
        return in_package(files, &own, subpath, style);
    }
    packages(name, folder)
        .filter(|package| files.is_dir(package) || subpath.is_empty())
        .find_map(|package| in_package(files, &package, subpath, style))
}

/// Where a package may be, the nearest first.
fn packages(name: &str, folder: &Path) -> impl Iterator<Item = PathBuf> {
    folder
        .ancestors()
        .filter(|folder| folder.file_name().is_none_or(|name| name != "node_modules"))
        .map(move |folder| folder.join("node_modules").join(name))
}

/// A package may name itself, where it says what it exports.
fn own_package(files: &Files, name: &str, folder: &Path) -> Option<PathBuf> {
    let (base, manifest) = scope(files, folder)?;
    let named = manifest.get("name").and_then(Value::as_str) == Some(name);
    (named && manifest.get("exports").is_some_and(|exports| !exports.is_null())).then_some(base)
}

/// The package that is there and keeps to itself what was asked for: its manifest.
pub(super) fn unexported(files: &Files, specifier: &str, folder: &Path) -> Option<PathBuf> {
    let (name, _) = split_name(specifier);
    if is_path(specifier) || name.is_empty() {
        return None;
    }
    let package = own_package(files, name, folder)
        .or_else(|| packages(name, folder).find(|package| exports(files, package).is_some()))?;
    Some(package.join("package.json"))
}

fn exports(files: &Files, package: &Path) -> Option<Value> {
    manifest(files, package)?.get("exports").filter(|exports| !exports.is_null()).cloned()
}

fn in_package(files: &Files, package: &Path, subpath: &str, style: Style) -> Option<PathBuf> {
    if let Some(exports) = exports(files, package) {
        let target = select_export(&exports, &format!(".{subpath}"), style)?;
        return Some(normalise(&package.join(target))).filter(|path| files.is_file(path));
    }
    let path = if subpath.is_empty() { package.to_owned() } else { normalise(&package.join(&subpath[1..])) };
    as_file(files, &path).or_else(|| as_folder(files, &path))
}

/// `@scope/name/sub/path` as (`@scope/name`, `/sub/path`).
fn split_name(specifier: &str) -> (&str, &str) {
    let skip = if specifier.starts_with('@') { specifier.find('/').map_or(0, |at| at + 1) } else { 0 };
    let end = specifier[skip..].find('/').map_or(specifier.len(), |at| skip + at);
    specifier.split_at(end)
}

fn select_export(exports: &Value, subpath: &str, style: Style) -> Option<String> {
    let has_subpaths = exports.as_object().is_some_and(|map| map.keys().any(|key| key.starts_with('.')));
    if has_subpaths { select(exports, subpath, style) } else { (subpath == ".").then(|| target(exports, style))? }
}

/// The entry for a subpath: exact, else the pattern with the longest part before its `*`.
fn select(table: &Value, subpath: &str, style: Style) -> Option<String> {
    let table = table.as_object()?;
    if let Some(value) = table.get(subpath) {
        return target(value, style);
    }
    let matching = table.iter().filter_map(|(key, value)| {
        let (head, tail) = key.split_once('*')?;
        let star = subpath.strip_prefix(head)?.strip_suffix(tail)?;
        Some((head.len(), star, value))
    });
    let (_, star, value) = matching.max_by_key(|(length, ..)| *length)?;
    Some(target(value, style)?.replace('*', star))
}

fn target(value: &Value, style: Style) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => items.iter().find_map(|item| target(item, style)),
        Value::Object(conditions) => {
            conditions.iter().filter(|(name, _)| holds(name, style)).find_map(|(_, value)| target(value, style))
        }
        _ => None,
    }
}

fn holds(condition: &str, style: Style) -> bool {
    match condition {
        "node" | "default" | "module-sync" | "node-addons" => true,
        "require" => style == Style::Require,
        "import" => style == Style::Import,
        _ => false,
    }
}

pub(super) fn percent_decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = tail.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        if let Some(byte) = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            out.push(byte);
            rest = &tail[2..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(layout: &[(&str, &str)], cases: &[(&str, Style, Option<&str>)]) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (path, text) in layout {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        for (specifier, style, want) in cases {
            let got = resolve(&Files::new(None), specifier, &root.join("app"), *style);
            assert_eq!(got, want.map(|want| root.join(want)), "{specifier}");
        }
    }

    #[test]
    fn relative_files_and_folders() {
        use Style::Require;
        check(
            &[
                ("app/a.js", ""),
                ("app/a", ""),
                ("app/b.json", ""),
                ("app/c/index.js", ""),
                ("app/c.js", ""),
                ("app/d/package.json", r#"{"main": "lib/main"}"#),
                ("app/d/lib/main.js", ""),
                ("app/e/package.json", r#"{"main": "gone.js"}"#),
                ("app/e/index.json", "{}"),
                ("app/types.ts", ""),
                ("up.cjs", ""),
            ],
            &[
                ("./a", Require, Some("app/a")),
                ("./a.js", Require, Some("app/a.js")),
                ("./b", Require, Some("app/b.json")),
                ("./c", Require, Some("app/c.js")),
                ("./c/", Require, Some("app/c/index.js")),
                ("./d", Require, Some("app/d/lib/main.js")),
                ("./e", Require, Some("app/e/index.json")),
                ("../up", Require, Some("up.cjs")),
                ("../app/./a.js", Require, Some("app/a.js")),
                ("./none", Require, None),
                ("a.js", Require, None),
                ("./types", Require, Some("app/types.ts")),
                ("./types.js", Require, Some("app/types.ts")),
            ],
        );
    }

    #[test]
    fn packages() {
        use Style::{Import, Require};
        let exports =
            r#"{"exports": {".": {"import": "./m.mjs", "require": "./c.cjs"}, "./sub/*": "./src/*.js", "./no": null}}"#;
        check(
            &[
                ("node_modules/plain/index.js", ""),
                ("node_modules/plain/deep/x.js", ""),
                ("app/node_modules/near/package.json", r#"{"main": "./m.js"}"#),
                ("app/node_modules/near/m.js", ""),
                ("node_modules/@org/both/package.json", exports),
                ("node_modules/@org/both/m.mjs", ""),
                ("node_modules/@org/both/c.cjs", ""),
                ("node_modules/@org/both/src/one.js", ""),
                ("node_modules/one/package.json", r#"{"exports": "./x.js"}"#),
                ("node_modules/one/x.js", ""),
                (
                    "app/package.json",
                    r##"{"name": "self", "imports": {"#lib/*": "./lib/*.js", "#plain": "plain"}, "exports": {"./q": "./lib/q.js"}}"##,
                ),
                ("app/lib/q.js", ""),
                ("app/with space.mjs", ""),
                ("node_modules/bare/package.json", r#"{"exports": "./x"}"#),
                ("node_modules/bare/x.js", ""),
                (
                    "node_modules/nested/package.json",
                    r#"{"exports": {".": {"node": {"import": "./i.js"}, "default": "./d.js"}}}"#,
                ),
                ("node_modules/nested/i.js", ""),
                ("node_modules/nested/d.js", ""),
            ],
            &[
                ("plain", Require, Some("node_modules/plain/index.js")),
                ("plain/deep/x", Require, Some("node_modules/plain/deep/x.js")),
                ("near", Require, Some("app/node_modules/near/m.js")),
                ("@org/both", Require, Some("node_modules/@org/both/c.cjs")),
                ("@org/both", Import, Some("node_modules/@org/both/m.mjs")),
                ("@org/both/sub/one", Require, Some("node_modules/@org/both/src/one.js")),
                ("@org/both/no", Require, None),
                ("@org/both/c.cjs", Require, None),
                ("one", Require, Some("node_modules/one/x.js")),
                ("one/x.js", Require, None),
                ("#lib/q", Require, Some("app/lib/q.js")),
                ("#plain", Require, Some("node_modules/plain/index.js")),
                ("gone", Require, None),
                ("self/q", Require, Some("app/lib/q.js")),
                ("self", Require, None),
                ("bare", Require, None),
                ("nested", Import, Some("node_modules/nested/i.js")),
                ("nested", Require, Some("node_modules/nested/d.js")),
                ("./with%20space.mjs?v=1", Import, Some("app/with space.mjs")),
                ("./with%20space.mjs", Require, None),
            ],
        );
    }

    #[test]
    fn formats() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("esm/deep")).unwrap();
        std::fs::write(root.join("esm/package.json"), r#"{"type": "module"}"#).unwrap();
        let table = [
            ("a.js", Format::Either),
            ("a.cjs", Format::CommonJs),
            ("a.mjs", Format::Module),
            ("a.json", Format::Json),
            ("a.ts", Format::Either),
            ("a.mts", Format::Module),
            ("a.cts", Format::CommonJs),
            ("a.tsx", Format::Foreign),
            ("esm/deep/a.js", Format::Module),
            ("esm/a.cjs", Format::CommonJs),
        ];
        for (path, want) in table {
            assert_eq!(format(&Files::new(None), &root.join(path)), want, "{path}");
        }
    }

    #[test]
    fn names_are_split_from_subpaths() {
        for (specifier, want) in
            [("a", ("a", "")), ("a/b/c", ("a", "/b/c")), ("@s/a", ("@s/a", "")), ("@s/a/b", ("@s/a", "/b"))]
        {
            assert_eq!(split_name(specifier), want);
        }
    }
}
