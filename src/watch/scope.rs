use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::spec::{AppSpec, WatchOptions};

/// What is no change to an app, wherever it is: hidden files, what is installed, and what editors leave while they
/// save. Patterns of the app come after these and may take them back in.
const NEVER: [&str; 9] =
    [".*", "node_modules", "*~", "*.swp", "*.swx", "\\#*#", "*___jb_tmp___", "*___jb_old___", "__pycache__"];

/// What is watched for one app, and what of it counts. Pure but for one look: whether a path that reads like a glob is
/// the name of something.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) cwd: PathBuf,
    pub(super) roots: Vec<Root>,
    pub(super) options: WatchOptions,
    ignore: Gitignore,
    /// `PMRUN_HOME`, unless the app lives in it.
    home: Option<PathBuf>,
    /// Patterns that cannot be read.
    pub(super) problem: Option<String>,
}

/// vim makes and removes a file of this name to learn whether it may. A folder may be called so.
const VIMS: &str = "4913";

#[derive(Debug)]
pub(super) struct Root {
    /// Up to the first wild card.
    pub(super) base: PathBuf,
    glob: Option<Glob>,
}

#[derive(Debug)]
struct Glob {
    matcher: GlobMatcher,
    /// Folders below the base that may hold what matches.
    depth: Option<usize>,
}

impl Scope {
    pub(super) fn new(spec: &AppSpec, home: &Path) -> Self {
        let cwd = PathBuf::from(&spec.cwd);
        let options = WatchOptions::of(&spec.watch);
        let mut problem = None;
        let here = [".".to_owned()];
        let paths = if spec.watch.paths.is_empty() { &here } else { spec.watch.paths.as_slice() };
        let (out, within): (Vec<&String>, Vec<&String>) = paths.iter().partition(|path| path.starts_with('!'));
        let mut roots = Vec::with_capacity(within.len());
        for written in within {
            match Root::new(&cwd, written, options.literal) {
                Ok(root) => roots.push(root),
                Err(error) => problem = Some(format!("the glob `{written}`: {error}")),
            }
        }
        let mut ignore = GitignoreBuilder::new("/");
        let taken_out = out.iter().map(|path| path[1..].to_owned());
        let patterns = spec.watch.ignore.iter().chain(&options.ignored).map(|pattern| pattern.trim().to_owned());
        let lines =
            NEVER.iter().map(|line| (*line).to_owned()).chain(patterns.chain(taken_out).map(|p| anchored(&cwd, &p)));
        for line in lines {
            if let Err(error) = ignore.add_line(None, &line) {
                problem = Some(format!("ignore_watch: {error}"));
            }
        }
        let ignore = ignore.build().unwrap_or_else(|error| {
            problem = Some(format!("ignore_watch: {error}"));
            Gitignore::empty()
        });
        let home = Some(home.to_owned()).filter(|home| !roots.iter().any(|root| root.base.starts_with(home)));
        Self { cwd, roots, options, ignore, home, problem }
    }

    /// Whether a file is one that the app wants to hear of. Of its folders it is known that none is ignored.
    pub(super) fn counts(&self, file: &Path) -> bool {
        self.roots.iter().any(|root| root.covers(file, self.options.depth)) && !self.ignores(file, false)
    }

    /// By its own name, not by the folders that it is in. What is named in `watch` is never ignored.
    pub(super) fn ignores(&self, path: &Path, is_folder: bool) -> bool {
        if self.roots.iter().any(|root| root.base == path) {
            return false;
        }
        (!is_folder && path.file_name() == Some(OsStr::new(VIMS)))
            || self.home.as_ref().is_some_and(|home| path.starts_with(home))
            || self.ignore.matched(path, is_folder).is_ignore()
    }

    /// Whether a folder may hold, at whatever depth, something that counts.
    pub(super) fn may_hold(&self, folder: &Path) -> bool {
        self.roots.iter().any(|root| root.reaches(folder, self.options.depth))
    }

    /// Whether a root lies at or below this path: what happens to it may be the end, or the beginning, of the root.
    pub(super) fn depends_on(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| root.base.starts_with(path))
    }

    /// As people name it.
    pub(super) fn shown(&self, path: &Path) -> String {
        let short = path.strip_prefix(&self.cwd).ok().filter(|rest| !rest.as_os_str().is_empty());
        short.unwrap_or(path).to_string_lossy().into_owned()
    }
}

impl Root {
    fn new(cwd: &Path, written: &str, literal: bool) -> Result<Self, globset::Error> {
        let path = absolute(cwd, written);
        let is_wild = |part: &OsStr| part.as_encoded_bytes().iter().any(|byte| b"*?[{".contains(byte));
        // The app's folder may have such a name itself.
        let (start, below) = path.strip_prefix(cwd).map_or((Path::new("/"), &*path), |below| (cwd, below));
        if literal || !below.iter().any(is_wild) || path.symlink_metadata().is_ok() {
            return Ok(Self { base: path, glob: None });
        }
        let base = start.join(below.iter().take_while(|part| !is_wild(part)).collect::<PathBuf>());
        let rest = path.strip_prefix(&base).map_or_else(|_| String::new(), |rest| rest.to_string_lossy().into_owned());
        let matcher = GlobBuilder::new(&rest).literal_separator(true).backslash_escape(true).build()?.compile_matcher();
        let depth = (!rest.contains("**")).then(|| rest.matches('/').count());
        Ok(Self { base, glob: Some(Glob { matcher, depth }) })
    }

    fn covers(&self, file: &Path, depth: Option<u32>) -> bool {
        let Ok(below) = file.strip_prefix(&self.base) else { return false };
        match &self.glob {
            Some(glob) => glob.matcher.is_match(below),
            None => is_within(below.components().count().saturating_sub(1), depth),
        }
    }

    fn reaches(&self, folder: &Path, depth: Option<u32>) -> bool {
        let Ok(below) = folder.strip_prefix(&self.base) else { return false };
        let folders = below.components().count();
        let by_glob = self.glob.as_ref().and_then(|glob| glob.depth).is_none_or(|most| folders <= most);
        by_glob && is_within(folders, depth)
    }
}

fn is_within(folders: usize, depth: Option<u32>) -> bool {
    depth.is_none_or(|depth| u32::try_from(folders).is_ok_and(|folders| folders <= depth))
}

/// Against the folder, with `.` and `..` resolved in the text.
pub(super) fn absolute(cwd: &Path, written: impl AsRef<Path>) -> PathBuf {
    let mut path = PathBuf::new();
    for part in cwd.join(written).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => _ = path.pop(),
            part => path.push(part),
        }
    }
    path
}

/// A line of a `.gitignore` in the app's folder, as one in `/`.
fn anchored(cwd: &Path, pattern: &str) -> String {
    let (not, pattern) = match pattern.strip_prefix('!') {
        Some(rest) => ("!", rest),
        None => ("", pattern),
    };
    // Everywhere: no slash but perhaps at its end, or said so.
    let everywhere = !pattern.trim_end_matches('/').contains('/') || pattern.starts_with("**/");
    if everywhere || pattern.is_empty() {
        return format!("{not}{pattern}");
    }
    let absolute_already = Path::new(pattern).starts_with(cwd) || Path::new(pattern).exists();
    if pattern.starts_with('/') && absolute_already {
        return format!("{not}{pattern}");
    }
    let is_folder = if pattern.ends_with('/') { "/" } else { "" };
    let relative = pattern.trim_start_matches('/');
    let up = relative.split('/').take_while(|part| *part == "..").count();
    let rest: Vec<&str> = relative.split('/').filter(|part| !part.is_empty() && *part != ".").skip(up).collect();
    let base = cwd.ancestors().nth(up).unwrap_or(Path::new("/"));
    let base = escaped(&base.to_string_lossy());
    format!("{not}{}/{}{is_folder}", base.trim_end_matches('/'), rest.join("/"))
}

fn escaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for c in path.chars() {
        if "*?[]{}\\!#,".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(paths: &[&str], ignore: &[&str], options: serde_json::Value) -> Scope {
        let mut spec = AppSpec::new("a", "/srv/app/x.js", "/srv/a[1]pp");
        spec.watch.enabled = true;
        spec.watch.paths = paths.iter().map(|path| (*path).to_owned()).collect();
        spec.watch.ignore = ignore.iter().map(|path| (*path).to_owned()).collect();
        spec.watch.options = Some(options);
        let scope = Scope::new(&spec, Path::new("/srv/a[1]pp/state"));
        assert_eq!(scope.problem, None);
        scope
    }

    /// As a walk would find it: no folder on the way is ignored, or out of reach.
    fn is_seen(scope: &Scope, path: &str) -> bool {
        let path = absolute(&scope.cwd, path);
        let root = scope.roots.iter().find(|root| path.starts_with(&root.base));
        root.is_some_and(|root| {
            let folders = path.ancestors().skip(1).take_while(|folder| folder.starts_with(&root.base));
            folders.clone().all(|folder| scope.may_hold(folder) && !scope.ignores(folder, true)) && scope.counts(&path)
        })
    }

    #[test]
    fn what_counts() {
        let none = || serde_json::json!({});
        let table: Vec<(Scope, &[&str], &[&str])> = vec![
            (
                scope(&[], &[], none()),
                &["x.js", "src/a.js", "src/deep/er/b.js", "é/ü.js"],
                &[
                    ".env",
                    "src/.x",
                    ".git/HEAD",
                    "node_modules/a/b.js",
                    "x/node_modules/a.js",
                    "a.js~",
                    "state/x",
                    "../y",
                ],
            ),
            (
                scope(&[], &["logs", "/build", "*.sqlite", "public/up", "!.env", "./tmp/"], none()),
                &["x.js", ".env", "src/build/a.js", "x/public/up/a", "src/tmp/x"],
                &["logs/a", "src/logs/b", "build/a.js", "db.sqlite", "x/y.sqlite", "public/up/a", ".other", "tmp/x"],
            ),
            (
                scope(&[], &["/srv/a[1]pp/abs", "../up", "**/gen/*.ts", "dist/**", "!dist/keep.js"], none()),
                &["src/abs/x", "gen/x.js", "dist/keep.js"],
                &["x/gen/a.ts", "gen/a.ts", "dist/a.js"],
            ),
            (
                scope(&["src", ".env", "node_modules/mine", "../shared/x.json"], &["*.md"], none()),
                &["src/a", "src/b/c", ".env", "node_modules/mine/a.js", "../shared/x.json"],
                &["x.js", "src/.y", "src/z.md", "node_modules/other/a", "../shared/y.json", ".env.local"],
            ),
            (
                scope(&["*.js", "lib/**/*.{ts,json}", "conf/*", "!lib/x"], &[], none()),
                &["a.js", "lib/a.ts", "lib/b/c.json", "conf/a"],
                &["src/a.js", "a.ts", "lib/a.js", "conf/b/c", "lib/x/a.ts"],
            ),
            (
                scope(&["src"], &[], serde_json::json!({ "depth": 1, "ignored": ["*.tmp"] })),
                &["src/a", "src/b/c"],
                &["src/b/c/d", "src/a.tmp"],
            ),
        ];
        for (scope, seen, unseen) in table {
            for path in seen {
                assert!(is_seen(&scope, path), "{path} counts: {scope:?}");
            }
            for path in unseen {
                assert!(!is_seen(&scope, path), "{path} does not count: {scope:?}");
            }
        }
    }

    #[test]
    fn a_glob_looks_no_deeper_than_it_reaches() {
        let scope = scope(&["*.js", "conf/*/x"], &[], serde_json::json!({}));
        let reaches = |path: &str| scope.may_hold(&absolute(&scope.cwd, path));
        assert!(reaches(".") && reaches("conf") && reaches("conf/a"));
        assert!(!reaches("src") && !reaches("conf/a/b"));
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_told() {
        let mut spec = AppSpec::new("a", "/x", "/srv");
        spec.watch.ignore = vec!["a{b".to_owned(), "logs".to_owned()];
        let scope = Scope::new(&spec, Path::new("/h"));
        assert!(scope.problem.as_ref().is_some_and(|problem| problem.contains("a{b")), "{:?}", scope.problem);
        assert!(scope.ignores(Path::new("/srv/logs"), true), "the others hold");
    }
}
