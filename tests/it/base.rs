//! `diff --base git:REV`: what a program of another revision finds, and that nothing is left of it.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::planning::{action, commit_all, git, validated};
use crate::support::{Home, needs_git, needs_node, procs, stay};

/// A home whose files are all committed.
fn committed(files: &[(&str, &str)]) -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    for (name, text) in files {
        home.write(name, text);
    }
    commit_all(&home);
    home
}

fn is_empty(home: &Home) -> bool {
    std::fs::read_dir(home.temporary()).expect("it is there").next().is_none()
}

#[test]
fn a_config_that_asks_git_is_told_of_the_revision() {
    if !needs_git() {
        return;
    }
    let home = committed(&[(
        "site/ecosystem.config.js",
        "const { execSync } = require('child_process');\nconst ask = (words) => execSync('git ' + words).toString().trim();\n\
         module.exports = [{ name: 'a', script: '../stay.sh', env: {\n  REVISION: ask('rev-parse HEAD'),\n  \
         BRANCH: ask('rev-parse --abbrev-ref HEAD'),\n  STATE: ask('status --short --untracked-files=no'),\n} }];\n",
    )]);
    let file = "site/ecosystem.config.js";
    home.exits(0, &["diff", file, "--base", "git:HEAD"]);
    home.exits(0, &["diff", file, "--base", "git:main"]);
    let first = git(&home, "rev-parse HEAD").stdout;
    home.write("more.txt", "x");
    commit_all(&home);
    let output = home.exits(2, &["diff", file, "--base", "git:main~1", "--json"]);
    let plan = validated(&output);
    let changes = plan["steps"][0]["changes"].as_array().expect("changes");
    let old = |path: &str| &changes.iter().find(|change| change["path"] == path).expect(path)["old"];
    assert_eq!((old("env.REVISION"), old("env.BRANCH")), (&json!(first.trim()), &json!("HEAD")));
    assert_eq!(changes.len(), 2);
    // As in a hook.
    let mut command = home.command(&["diff", file, "--base", "git:HEAD"]);
    command.env("GIT_DIR", home.work.join(".git")).env("GIT_INDEX_FILE", home.work.join(".git/index"));
    home.run_command(command, Duration::from_secs(30)).exited(0);
    assert!(is_empty(&home));
}

#[test]
fn paths_that_git_is_asked_for_and_told_are_those_of_the_work_tree() {
    if !needs_git() {
        return;
    }
    let program = "const { execSync, execFileSync } = require('child_process');\nconst path = require('path');\n\
         const ask = (words) => execSync(words).toString().trim();\n\
         module.exports = [{ name: 'a', script: path.join(__dirname, 'stay.sh'), cwd: ask('git rev-parse --show-toplevel'), env: {\n  \
         HERE: ask('pwd'),\n  SUBJECT: execFileSync('git', ['log', '-1', '--format=%s', '--', __filename]).toString(),\n  \
         INSIDE: ask(`cd '${__dirname}' && git rev-parse HEAD`),\n  WORDS: ask(`cat ${__dirname}/words`),\n  \
         LOCAL: ask(`cat ${__dirname}/local`),\n  \
         NAME: ask('basename $(git rev-parse --show-toplevel)'),\n  TOOL: ask('tool'),\n  OWN: ask('f=$(mktemp); echo ok > $f; cat $f'),\n} }];\n";
    let home = committed(&[("ecosystem.config.js", program), ("words", "one"), (".gitignore", "local\n")]);
    home.write("local", "mine");
    // What the environment names stays where it is: it is in no revision.
    let tool = home.write("tools/tool", "#!/bin/sh\necho tool\n");
    std::fs::set_permissions(tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    let tools = home.work.join("tools");
    let diff = |flags: &[&str]| {
        let mut command = home.command(&[&["diff", "--base", "git:HEAD"], flags].concat());
        let path = std::env::var("PATH").expect("there is one");
        command.env("PATH", format!("{}:{path}", tools.display())).env("TMPDIR", &tools);
        home.run_command(command, Duration::from_secs(30))
    };
    diff(&[]).exited(0);
    home.write("words", "two");
    let output = diff(&["--json"]);
    output.exited(2);
    let plan = validated(&output);
    let changes = plan["steps"][0]["changes"].as_array().expect("changes");
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!((&changes[0]["old"], &changes[0]["new"]), (&json!("one"), &json!("two")));
}

#[test]
fn a_base_file_goes_by_the_name_that_it_stands_for_in_commands_too() {
    let program = "const { execSync } = require('child_process');\n\
         module.exports = [{ name: 'a', script: './stay.sh', env: {\n  \
         V: execSync(`cat $(dirname ${__filename})/.env; basename ${__filename}`).toString(),\n} }];\n";
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("ecosystem.config.js", program);
    home.write(".env", "X=1");
    home.write("elsewhere/base.config.js", program);
    home.exits(0, &["diff", "--base", "elsewhere/base.config.js"]);
}

#[test]
fn submodules_are_those_of_the_work_tree_where_they_are_at_the_same_commit() {
    if !needs_git() {
        return;
    }
    let home = committed(&[("ecosystem.config.js", "")]);
    home.write("sub/x.js", "exports.x = 'one';\n");
    git(&home, "init -q sub");
    git(&home, "-C sub add .");
    git(&home, "-C sub commit -q -m first");
    home.write(".gitmodules", "[submodule \"sub\"]\n\tpath = sub\n\turl = ./sub\n");
    home.write(
        "ecosystem.config.js",
        "module.exports = [{ name: 'a', script: './stay.sh', fingerprint: ['sub/**'], env: { X: require('./sub/x').x } }];\n",
    );
    commit_all(&home);
    home.exits(0, &["diff", "--base", "git:HEAD"]);
}

#[test]
fn what_git_ignores_is_the_same_on_both_sides() {
    if !needs_git() {
        return;
    }
    let program = "require('dotenv').config();\nconst fs = require('fs');\nmodule.exports = [{ name: 'a', script: './stay.sh', env: {\n  \
                   PORT: process.env.PORT, BUILT: fs.readFileSync('dist/built.txt', 'utf8'), LOCAL: require('./local').x,\n} }];\n";
    let home = committed(&[("ecosystem.config.js", program), (".gitignore", ".env\ndist/\nlocal.js\n")]);
    home.write(".env", "PORT=3000\n");
    home.write("dist/built.txt", "one");
    home.write("local.js", "exports.x = 1;\n");
    home.exits(0, &["diff", "--base", "git:HEAD"]);
    if needs_node() {
        home.write("node_modules/dotenv/index.js", "exports.config = () => process.loadEnvFile('.env');\n");
        home.write(".git/info/exclude", "node_modules\n");
        home.exits(0, &["diff", "--base", "git:HEAD", "--js-engine", "node"]);
    }
    // What is only not added yet is a change.
    home.write(".gitignore", ".env\ndist/\n");
    home.exits(65, &["diff", "--base", "git:HEAD"]).says("in the base, `git:HEAD`").says("./local");
}

#[test]
fn the_revision_need_not_have_the_folder_that_one_stands_in() {
    if !needs_git() {
        return;
    }
    let home = committed(&[(
        "ecosystem.config.js",
        "require('child_process').execSync('true');\nmodule.exports = [{ name: 'a', script: './stay.sh' }];\n",
    )]);
    home.write("new/folder/x", "");
    let mut command = home.command(&["diff", "../../ecosystem.config.js", "--base", "git:HEAD"]);
    command.current_dir(home.work.join("new/folder"));
    home.run_command(command, Duration::from_secs(30)).exited(0);
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    if !needs_git() {
        return;
    }
    let apps = "module.exports = [{ name: 'a', script: './stay.sh' }];\n";
    for (end, signal, code, word) in
        [("for (;;);", Signal::INT, 130, "interrupted"), ("execSync('sleep 1000');", Signal::TERM, 143, "terminated")]
    {
        let home = Home::new();
        home.app("stay.sh", "stay.sh");
        // Opened by nobody: a process that another test is just starting would have it open as well.
        let path = home.work.with_file_name("gate");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("mkfifo");
        let waits = format!("execSync('mkdir here; read x < {}');", path.display());
        home.write(
            "ecosystem.config.js",
            format!("const {{ execSync }} = require('child_process');\n{waits}\n{end}\n{apps}"),
        );
        commit_all(&home);
        home.write("ecosystem.config.js", apps);
        let line = ["diff", "--base", "git:HEAD", "--eval-timeout", "60s"];
        let (child, _, err) = home.start_command(&mut home.command(&line));
        // There is somebody to read it once the base is evaluated.
        let deadline = Instant::now() + Duration::from_mins(1);
        let mut writer = std::fs::File::options();
        writer.write(true).custom_flags(nix::libc::O_NONBLOCK);
        let mut writer = loop {
            match writer.open(&path) {
                Ok(writer) => break writer,
                Err(error) => assert!(Instant::now() < deadline, "nobody reads: {error}"),
            }
        };
        writer.write_all(b"go\n").expect("a reader");
        assert!(!is_empty(&home));
        let begun = Instant::now();
        procs::signal(child.id(), signal);
        let (status, _) = procs::finish(child);
        let said = std::fs::read_to_string(err).expect("it is there");
        assert_eq!(status.code(), Some(code), "{said}");
        assert!(said.contains(word) && begun.elapsed() < Duration::from_secs(20), "{said}");
        assert!(is_empty(&home), "{word}");
        assert!(!home.work.join("here").exists());
    }
}

#[test]
fn a_profile_that_the_base_lacks_lies_over_nothing_there() {
    if !needs_git() {
        return;
    }
    let mut app = stay("api");
    app["env"] = json!({ "A": "1" });
    app["append_env_to_name"] = json!(true);
    let home = committed(&[("eco.json", &json!([app]).to_string())]);
    app["env_staging"] = json!({ "B": "2" });
    home.write_json("eco.json", &json!([app]));
    for base in ["git:HEAD", "old.json"] {
        app.as_object_mut().expect("an app").remove("env_staging");
        home.write_json("old.json", &json!([app]));
        let output = home.exits(2, &["diff", "eco.json", "--base", base, "--env", "staging", "--json"]);
        output.says(&format!("`{base}` has no profile `staging` yet"));
        let plan = validated(&output);
        assert_eq!(action(&plan, "api-staging"), "restart");
        assert_eq!(plan["steps"][0]["changes"].as_array().map(Vec::len), Some(1));
    }
    home.exits(65, &["diff", "eco.json", "--base", "git:HEAD", "--env", "stagin"]).says("no app defines `env_stagin`");
}

#[test]
fn what_is_wrong_with_a_base_file_is_said_of_that_file() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    for (entry, base, text, place) in [
        ("ecosystem.json5", "br.json5", "{", "br.json5:1:1"),
        ("ecosystem.json5", "empty.json5", "", "`empty.json5` is empty"),
        ("ecosystem.json5", "old.yaml", "apps: [", "old.yaml:1:"),
        ("ecosystem.json5", "old/eco.json5", "[{script: 'stay.sh', instances: 'x'}]", "old/eco.json5:1:33"),
        ("ecosystem.config.js", "br.config.js", "module.exports = [1,\n;", "br.config.js:2:1"),
        ("ecosystem.config.js", "throws.config.js", "\nnull.x; module.exports = [];", "throws.config.js:2:"),
        ("ecosystem.config.js", "old.config.js", "const a = 7; module.exports = [a];", "old.config.js:1:"),
    ] {
        let good = if entry.ends_with("js") {
            "module.exports = [{ script: './stay.sh' }];"
        } else {
            "[{script: './stay.sh'}]"
        };
        home.write(entry, good);
        home.write(base, text);
        let output = home.exits(65, &["diff", entry, "--base", base]);
        output.says(place).says(&format!("in the base, `{base}`")).never_shows(entry);
    }
}
