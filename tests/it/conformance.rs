//! What configs evaluate to, by the kinds that people write: each folder of `fixtures/conformance` is one, with what
//! Node, or the format's reference parser, makes of it. Where there is a Node, it is asked again.
//!
//! A folder holds one config and its companions, `expected.json` or `expected-error.txt` (`line N: words`), perhaps
//! `env.json` (variables) and `setup.sh` (run first). `stand-in` marks what only the embedded engine reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Home, Output, fixture, needs_node, skipped};

const BOUND: Duration = Duration::from_secs(30);

struct Case {
    folder: PathBuf,
    name: String,
    file: String,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = entries(&fixture("conformance"))
        .into_iter()
        .map(|folder| {
            let files = entries(&folder).into_iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
            let file =
                files.into_iter().find(|name| ["ecosystem.", "process."].iter().any(|stem| name.starts_with(stem)));
            let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
            Case { file: file.unwrap_or_else(|| panic!("{name} has no config")), name, folder }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(cases.len() > 20, "where are they?");
    cases
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("readable").path()).collect()
}

impl Case {
    fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.join(name)).ok()
    }

    /// What is wrong with what an engine makes of it.
    fn problem(&self, engine: &str) -> Option<String> {
        let home = Home::new();
        let folder = home.work.join(&self.name);
        let path = |path: &Path| path.display().to_string();
        let mut copy = home.shell(&format!(
            "cp -R '{}' . && cd '{}' && if [ -f setup.sh ]; then sh setup.sh; fi",
            path(&self.folder),
            self.name
        ));
        copy.env("GIT_CONFIG_GLOBAL", "/dev/null");
        home.run_command(copy, BOUND).exited(0);
        let mut command = home.command(&["render", "--raw", "--js-engine", engine, &self.file]);
        let env: BTreeMap<String, String> =
            self.text("env.json").map(|text| serde_json::from_str(&text).expect("env.json")).unwrap_or_default();
        command.current_dir(&folder).envs(env);
        let output = home.run_command(command, BOUND);
        match self.text("expected-error.txt") {
            Some(wanted) => self.refusal(&wanted, &output),
            None => self.value(&path(&folder), &output),
        }
    }

    fn refusal(&self, wanted: &str, output: &Output) -> Option<String> {
        let (line, words) =
            wanted.trim().strip_prefix("line ").and_then(|rest| rest.split_once(": ")).expect("line N: words");
        let place = format!("{}:{line}:", self.file);
        let fits = output.code == Some(65) && output.stderr.contains(&place) && output.stderr.contains(words);
        (!fits).then(|| format!("want {place} and `{words}`, got: {output}"))
    }

    fn value(&self, folder: &str, output: &Output) -> Option<String> {
        let wanted = self.text("expected.json").unwrap_or_else(|| panic!("{} expects nothing", self.name));
        let mut wanted: Value = serde_json::from_str(&wanted).expect("expected.json");
        fill(&mut wanted, folder);
        let Ok(got) = serde_json::from_str::<Value>(&output.stdout) else { return Some(format!("no JSON: {output}")) };
        (output.code != Some(0) || got != wanted).then(|| format!("want {wanted}\n got {got}\n{}", output.stderr))
    }
}

/// `{{DIR}}` is the case's folder, `{{CPUS-1}}` a number by the CPUs that there are.
fn fill(value: &mut Value, folder: &str) {
    match value {
        Value::String(text) => match text.strip_prefix("{{CPUS").and_then(|rest| rest.strip_suffix("}}")) {
            Some(rest) => *value = by_cpus(rest).into(),
            None => *text = text.replace("{{DIR}}", folder),
        },
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, folder)),
        Value::Object(entries) => entries.values_mut().for_each(|item| fill(item, folder)),
        _ => {}
    }
}

fn by_cpus(rest: &str) -> i64 {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").expect("sysfs");
    let cpus: i64 = online
        .trim()
        .split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            last.parse::<i64>().expect("a number") - first.parse::<i64>().expect("a number") + 1
        })
        .sum();
    let Some(operator) = rest.chars().next() else { return cpus };
    let number: i64 = rest[1..].parse().expect("a number");
    match operator {
        '-' => cpus - number,
        '+' => cpus + number,
        _ => cpus * number,
    }
}

fn check(engine: &str, wanted: impl Fn(&Case) -> bool) {
    let problems: Vec<String> = cases()
        .iter()
        .filter(|case| wanted(case))
        .filter_map(|case| Some(format!("{}: {}", case.name, case.problem(engine)?)))
        .collect();
    assert!(problems.is_empty(), "{engine}:\n{}", problems.join("\n\n"));
}

#[test]
fn the_embedded_engine_reads_what_people_write() {
    check("embedded", |_| true);
}

#[test]
fn node_reads_the_same() {
    if needs_node() {
        check("node", |case| !case.folder.join("stand-in").exists());
    }
}

/// Where the packages are: `.ci/run` installs them there.
fn packages() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages/node_modules");
    if folder.join("yaml").is_dir() {
        return Some(folder);
    }
    let manifest = fixture("packages/package.json");
    skipped(&format!(
        "npm's packages are not there: cp {} {1} && npm install --prefix {1}",
        manifest.display(),
        folder.parent().expect("it has one").display()
    ));
    None
}

#[test]
fn packages_of_npm_are_loaded() {
    let Some(packages) = packages() else { return };
    let home = Home::new();
    std::os::unix::fs::symlink(packages, home.work.join("node_modules")).expect("symlink");
    for name in ["ecosystem.config.js", "esm.config.mjs", "app.env"] {
        home.write(name, std::fs::read(fixture("packages").join(name)).expect("a fixture"));
    }
    let raw = |file: &str, engine: &str| -> Value {
        let output = home.ok(&["render", "--raw", "--js-engine", engine, file]);
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
    };
    let got = raw("ecosystem.config.js", "embedded");
    assert_eq!(got["kebab"], "hello-world-two");
    assert_eq!(got["apps"][1]["env"]["LIST"], serde_json::json!([1, 2]));
    assert_eq!(got["template"], "hi you");
    let module = raw("esm.config.mjs", "embedded");
    assert_eq!(module["apps"][0], serde_json::json!({ "name": "aB", "restart_delay": 2000, "script": "x.js" }));
    if needs_node() {
        assert_eq!(got, raw("ecosystem.config.js", "node"));
        assert_eq!(module, raw("esm.config.mjs", "node"));
    }
}

#[test]
fn a_function_is_told_the_profile() {
    let home = Home::new();
    home.write(
        "ecosystem.config.js",
        "process.env.NODE_ENV = 'own';\nmodule.exports = ({ env, mode }) => ({ apps: [{ script: 'ecosystem.config.js', name: mode + env.NODE_ENV, env_live: {} }] });\n",
    );
    let mut engines = vec!["embedded"];
    engines.extend(needs_node().then_some("node"));
    for engine in engines {
        for (profile, want) in [(&[][..], "ownown"), (&["--env", "live"], "liveown")] {
            let output = home.ok(&[&["render", "--json", "--js-engine", engine], profile].concat());
            assert!(output.stdout.contains(&format!("\"name\": \"{want}\"")), "{output}");
        }
    }
}
