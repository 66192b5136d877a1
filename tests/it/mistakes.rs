//! What is said about mistakes: every code has a page, whose own example has the mistake and whose fix has not; a file
//! with many mistakes hears of all of them at once.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Home, fixture};

/// A home with the scripts that the fixtures name.
fn home() -> Home {
    let home = Home::new();
    for script in ["api.sh", "web.sh"] {
        home.app("stay.sh", script);
    }
    home
}

/// The codes that `validate` finds, and its exit code.
fn codes(home: &Home, file: &str, arguments: &[&str]) -> (Vec<String>, Option<i32>) {
    let output = home.run(&[&["validate", "--json", file], arguments].concat());
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{output}"));
    let all = report["diagnostics"].as_array().expect("a list");
    (all.iter().map(|one| one["code"].as_str().expect("a code").to_owned()).collect(), output.code)
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|word| word.as_str().expect("a word")).collect()
}

#[test]
fn every_code_has_a_page_whose_mistake_shows_it_and_whose_fix_does_not() {
    let home = home();
    let listed = home.json(&["explain", "--json"]);
    let names: BTreeSet<String> = listed["codes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["code"].as_str().expect("text").into())
        .collect();
    let folders = std::fs::read_dir(fixture("mistakes")).expect("the folder");
    let folders: BTreeSet<String> = folders
        .filter_map(|entry| Some(entry.ok()?).filter(|entry| entry.path().is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, folders, "each code has a folder in fixtures/mistakes, and each folder a code");
    for name in &names {
        let page = home.json(&["explain", name, "--json"]);
        for (kind, shows) in [("mistake", true), ("fix", false)] {
            let sample = &page[kind];
            let (file, text) = (sample["file"].as_str().expect("text"), sample["text"].as_str().expect("text"));
            home.write(file, text);
            let (found, exit) = codes(&home, file, &words(&sample["arguments"]));
            assert_eq!(found.contains(name), shows, "{name}, {kind}: {found:?}");
            if !shows {
                assert_eq!((found, exit), (Vec::new(), Some(0)), "{name}: the fix is not all right");
            }
        }
        home.ok(&["explain", name]).prints(&format!("{name}: "));
    }
}

#[test]
fn a_code_is_found_as_it_is_shown() {
    let home = home();
    home.write("eco.json", r#"{"apps": [{"script": "./api.sh", "instnaces": 2}]}"#);
    home.ok(&["validate", "eco.json"]).says("warning[unknown-option]");
    home.ok(&["explain", "warning[unknown-option]"]).prints("unknown-option: ");
    home.exits(1, &["explain", "unknown-opton"]).says("did you mean `unknown-option`?");
}

/// Severity, code and line of each, in the order that they are told in.
const TWENTY: &str = "\
    error value 10, error value 11, error value 12, error value 13, error value 14, error value 15, error value 17, \
    error not-found 21, error unknown-dependency 24, error value 25, error value 28, error duplicate-name 30, \
    error missing 31, error shape 32, warning unknown-option 3, warning unknown-option 8, warning unknown-option 9, \
    warning unknown-option 16, warning no-effect 22, warning duplicate-option 27, info meaningless 23";

/// The same of a file whose lines say it.
fn told_by_comments(text: &str) -> String {
    let mut all: Vec<(usize, usize, String)> = Vec::new();
    for (line, text) in text.lines().enumerate().skip(1) {
        let Some((_, told)) = text.split_once(" # ") else { continue };
        let rank = ["error", "warning", "info"].iter().position(|severity| told.starts_with(severity));
        all.push((rank.expect("a severity"), line + 1, format!("{told} {}", line + 1)));
    }
    all.sort_unstable();
    all.into_iter().map(|(.., told)| told).collect::<Vec<_>>().join(", ")
}

#[test]
fn twenty_mistakes_are_twenty_diagnostics_the_most_severe_first_then_by_place() {
    let home = home();
    let read = |name: &str| std::fs::read_to_string(fixture("mistakes").join(name)).expect("it is there");
    let json5 = read("twenty.json5");
    let mut files = vec![("twenty.json5", json5.clone(), TWENTY.to_owned())];
    for (file, head) in [
        ("twenty.config.js", "module.exports = {"),
        // Lists and calls, so that it has to be run.
        ("twenty.config.cjs", "module.exports = Object.assign({}, {"),
        ("twenty.config.mjs", "export default {"),
        ("twenty.config.ts", "interface Any { [key: string]: unknown }; const all: Any = {"),
    ] {
        let tail = match file {
            "twenty.config.cjs" => ");\n",
            "twenty.config.ts" => ";\nexport default all satisfies Any;\n",
            _ => "",
        };
        files.push((file, json5.replacen('{', head, 1) + tail, TWENTY.to_owned()));
    }
    for file in ["twenty.yaml", "twenty.toml"] {
        let text = read(file);
        let want = told_by_comments(&text);
        files.push((file, text, want));
    }
    for (file, text, want) in files {
        home.write(file, text);
        assert_eq!(want.split(", ").count(), 21, "{want}");
        let output = home.exits(65, &["validate", "--json", file]);
        let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let line = |one: &Value| {
            let word = |key: &str| one[key].as_str().expect("text").to_owned();
            format!("{} {} {}", word("severity"), word("code"), one["line"])
        };
        let found: Vec<String> = report["diagnostics"].as_array().expect("a list").iter().map(line).collect();
        assert_eq!(found.join(", "), want, "{file}");
        let text = home.exits(65, &["validate", file]).stderr;
        let places: Vec<_> = found.iter().map(|one| one.rsplit(' ').next().expect("a line")).collect();
        let mut rest = text.as_str();
        for (found, place) in found.iter().zip(places) {
            let at = rest.find(&format!("{file}:{place}:")).unwrap_or_else(|| panic!("{found} is not next in {text}"));
            rest = &rest[at + 1..];
        }
    }
}

#[test]
fn what_was_meant_is_suggested_wherever_something_is_named() {
    let home = home();
    home.write(
        "eco.yaml",
        "apps:\n- {name: api, script: ./api.sh, env_production: {A: 1}}\n- {name: web, script: ./web.sh}\n",
    );
    let table: [(&str, &[&str], &str); 16] = [
        ("envProduction: {A: 1}", &["validate", "a.yaml"], "`env_production`"),
        ("env-production: {A: 1}", &["validate", "a.yaml"], "`env_production`"),
        ("envproduction: {A: 1}", &["validate", "a.yaml"], "`env_production`"),
        ("ENV_production: {A: 1}", &["validate", "a.yaml"], "`env_production`"),
        ("instance: 2", &["validate", "a.yaml"], "`instances`"),
        ("replicas: 2", &["validate", "a.yaml"], "`instances`"),
        ("maxMemory: 1G", &["validate", "a.yaml"], "`max_memory_restart`"),
        ("max_memory: 1G", &["validate", "a.yaml"], "`max_memory_restart`"),
        ("instnaces: 2", &["validate", "a.yaml"], "`instances`"),
        ("waitRedy: true", &["validate", "a.yaml"], "`wait_ready`"),
        ("stop_signal: SIGTREM", &["validate", "a.yaml"], "`SIGTERM`"),
        ("depends_on: [ap]", &["validate", "a.yaml"], "`a`"),
        ("", &["validate", "eco.yaml", "--env", "prodution"], "`production`"),
        ("", &["diff", "eco.yaml", "--only", "wbe"], "`web`"),
        ("", &["validat"], "`validate`"),
        ("", &["restrat", "all"], "`restart`"),
    ];
    for (option, line, meant) in table {
        home.write("a.yaml", format!("apps:\n- name: a\n  script: ./api.sh\n  {option}\n"));
        let output = home.run(line);
        let near = output.stderr.contains("did you mean") || output.stderr.contains("similar");
        assert!(near && output.stderr.contains(meant), "{option}: {output}");
    }
    home.write("top.yaml", "envProduction: {A: 1}\napps: [{name: a, script: ./api.sh}]\n");
    home.ok(&["validate", "top.yaml"]).says("did you mean `env_production`? options belong to an app, in `apps`");
}

#[test]
fn an_unknown_key_of_an_object_is_shown_as_a_key() {
    let home = home();
    let text = "[[apps]]\nname = 'a'\nscript = './stay.sh'\nhealth_check.foo = 1\nhealth_check.tcp = 'localhost:1'\n";
    home.write("a.toml", text);
    let output = home.run(&["validate", "--json", "a.toml"]);
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let mut all = report["diagnostics"].as_array().expect("a list").iter();
    let one = all.find(|one| one["code"] == "unknown-option").expect("the warning");
    assert_eq!((one["line"].as_u64(), one["column"].as_u64()), (Some(4), Some(14)), "{output}");
}

#[test]
fn an_error_and_a_refusal_have_a_line_where_the_engine_has_none() {
    let home = home();
    let text = "const { HOME,\n  SECRET: s } = process.env;\nfor (const { LATER } of\n  [process.env]) ;\n\
                const o = { f() {} };\nmodule.exports = ({ mode }) => o?.f(mode)\n  .name;\n";
    home.write("a.config.js", text);
    let places = |arguments: &[&str]| {
        let output = home.run(&[&["validate", "--json", "a.config.js"], arguments].concat());
        let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let all = report["diagnostics"].as_array().expect("a list");
        let place = |one: &Value| (one["line"].as_u64().unwrap_or(0), one["column"].as_u64().unwrap_or(0));
        let mut all: Vec<_> = all.iter().map(place).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(places(&[]), [(7, 4)]);
    assert_eq!(places(&["--hermetic"]), [(1, 9), (2, 3), (3, 14)]);
}

/// Where the first problem of a config is, whether that is certain, and what it is.
fn first_problem(home: &Home, text: &str, arguments: &[&str]) -> (u64, bool, String) {
    home.write("a.config.js", text);
    let output = home.run(&[&["validate", "--json", "a.config.js"], arguments].concat());
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{output}"));
    let one = &report["diagnostics"][0];
    let said = one["message"].as_str().unwrap_or_default().to_owned();
    (one["line"].as_u64().unwrap_or(0), one["computed"] == true, said)
}

#[test]
fn a_config_that_ran_commands_is_not_run_again_for_a_place() {
    let home = home();
    let text = |then: &str, or: &str| {
        format!(
            "const {{ execSync }} = require('child_process');\nlet branch;\n\
             try {{ branch = execSync('echo main', {{ encoding: 'utf8' }}).trim(); }} catch {{ branch = null; }}\n\
             const h = {{}}, sql = {{}};\nif (branch) {{\n  {then};\n}} else {{\n  {or};\n}}\n"
        )
    };
    let text = text("Object.assign({}, ...h.prod)", "Object.assign({}, ...h.dev)");
    let (line, _, said) = first_problem(&home, &text, &[]);
    assert!(line == 6 && said.contains("h.prod"), "{line}: {said}");
}

#[test]
fn a_place_that_stands_in_for_the_errors_own_is_called_a_guess() {
    let home = home();
    let text = "require('child_process').execSync('true');\nconst o = { a: 1 };\n(o.q)`x`;\n";
    let (line, guessed, said) = first_problem(&home, text, &[]);
    assert!(line > 0 && guessed, "{line}: {said}");
    let output = home.run(&["validate", "--format", "github", "a.config.js"]);
    assert!(output.stdout.contains("(perhaps from here)"), "{output}");
    home.run(&["validate", "a.config.js"]).says("perhaps from here");
    // Found for certain.
    let (line, guessed, said) = first_problem(&home, text.split_once('\n').unwrap().1, &[]);
    assert_eq!((line, guessed), (2, false), "{said}");
}

#[test]
fn folders_that_a_config_makes_do_not_keep_its_error_from_being_found() {
    for make in [
        "fs.mkdirSync('logs/a', { recursive: true })",
        "fs.mkdirSync('logs')",
        "if (!fs.existsSync('logs')) fs.mkdirSync('logs')",
    ] {
        let home = home();
        let text = format!("const fs = require('fs');\n{make};\nconst o = {{}};\n(o.q)`x`;\n");
        let (line, guessed, said) = first_problem(&home, &text, &[]);
        assert_eq!((line, guessed), (4, false), "{make}: {said}");
        // Now it is there; who looks for it is refused that first.
        if make.contains("existsSync") {
            continue;
        }
        let text =
            format!("const fs = require('fs');\ntry {{ {make}; }} catch {{}}\nconst {{\n  SECRET }} = process.env;\n");
        assert_eq!(first_problem(&home, &text, &["--hermetic"]).0, 4, "{make}");
    }
}
