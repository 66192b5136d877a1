use serde_json::{Value as Json, json};

use super::plain_first_word;
use crate::schema::testing::{Table, run, run_on};

fn check(machine: &Table, options: &Json, want: &[&str]) {
    let mut app = options.clone();
    app.as_object_mut().unwrap().entry("script").or_insert(json!("x.sh"));
    let errors = run_on(&json!({ "apps": [app] }), None, machine).errors();
    let want: Vec<String> = want.iter().map(|line| format!("error at apps[0].{line}")).collect();
    assert_eq!(errors, want, "{:.200}", options.to_string());
}

#[test]
fn interpreters_of_first_lines_have_to_be_there() {
    let mut machine = Table::usual();
    for (name, head) in [
        ("gone", "#!/nope/interp\nx"),
        ("env", "#!/usr/bin/env nopeprog\n"),
        ("windows", "#!/bin/sh\r\nx"),
        ("fine", "#!/usr/bin/env python3\n"),
        ("split", "#!/usr/bin/env -S nopeprog --x\n"),
        ("cut", "#!/nope/interp"),
    ] {
        machine.add(&format!("/srv/site/{name}"), head, true);
    }
    machine.add("/srv/site/reads", "#!/nope/interp\n", false);
    let gone = |name: &str, needs: &str| format!("script: script `/srv/site/{name}` of `apps[0]` needs {needs}");
    check(&machine, &json!({ "script": "gone" }), &[&gone("gone", "`/nope/interp`, which does not exist")]);
    check(&machine, &json!({ "script": "reads" }), &[&gone("reads", "`/nope/interp`, which does not exist")]);
    check(&machine, &json!({ "script": "env" }), &[&gone("env", "`nopeprog`, which is not in PATH")]);
    check(
        &machine,
        &json!({ "script": "gone", "interpreter": "none" }),
        &[&gone("gone", "`/nope/interp`, which does not exist")],
    );
    check(
        &machine,
        &json!({ "script": "windows" }),
        &[
            "script: the first line of script `/srv/site/windows` of `apps[0]` ends with a carriage return (save it with the line ends of Unix)",
        ],
    );
    for script in ["fine", "split", "cut"] {
        check(&machine, &json!({ "script": script }), &[]);
    }
    check(&machine, &json!({ "script": "gone", "interpreter": "python3" }), &[]);
}

#[test]
fn the_program_of_a_command_line_has_to_be_there() {
    let machine = Table::usual();
    for (line, problem) in [
        ("nosuchcmd arg", Some("`nosuchcmd`, which is not in PATH")),
        ("nosuchcmd arg && sleep 1 > x 2>&1", Some("`nosuchcmd`, which is not in PATH")),
        ("./gone.sh arg", Some("`./gone.sh`, which does not exist")),
        ("./x.sh arg", Some("`./x.sh`, which is not executable")),
        ("npm start", None),
        ("cd sub && nosuchcmd", None),
        ("X=1 nosuchcmd", None),
        ("$TOOL arg", None),
        ("nosuchcmd || npm start", None),
        ("nosuchcmd; npm start", None),
        ("\"no such\" cmd", None),
    ] {
        let want = problem.map(|problem| format!("script: the command line of `apps[0]` runs {problem}"));
        check(&machine, &json!({ "script": line }), &want.iter().map(String::as_str).collect::<Vec<_>>());
    }
    assert_eq!(plain_first_word("  a-b.c/d x"), Some("a-b.c/d"));
    assert_eq!(plain_first_word("exec nosuchcmd"), None);
}

#[test]
fn files_of_its_own_have_to_be_writable() {
    let machine = Table::usual();
    for option in ["out_file", "error_file", "log_file", "pid_file"] {
        let want = format!("{option}: `{option}` of `apps[0]`: `/locked/x` cannot be written: permission denied");
        check(&machine, &json!({ option: "/locked/x" }), &[&want]);
        check(&machine, &json!({ option: "logs/x" }), &[]);
    }
    check(&machine, &json!({ "out_file": "/locked/x", "disable_logs": true }), &[]);
    check(&machine, &json!({ "out_file": "/dev/null" }), &[]);
}

#[test]
fn what_a_process_is_given_has_a_size() {
    let mut machine = Table::usual();
    let text = |bytes: usize| "x".repeat(bytes);
    machine.add("/srv/site/big.env", &format!("A=1\nBIG={}\n", text(131_072)), false);
    check(&machine, &json!({ "args": ["a", text(131_071)], "env": { "A": text(131_069) } }), &[]);
    check(
        &machine,
        &json!({ "args": ["a", text(131_072)] }),
        &["args[1]: a text in `args` has 131072 bytes, a process can be given 131071"],
    );
    check(&machine, &json!({ "args": format!("{} {}", text(100_000), text(100_000)) }), &[]);
    check(
        &machine,
        &json!({ "node_args": text(131_072) }),
        &["node_args: a text in `node_args` has 131072 bytes, a process can be given 131071"],
    );
    check(
        &machine,
        &json!({ "env": { "A": text(131_070) } }),
        &["env.A: the variable `A` has 131072 bytes, a process can be given 131071 in one"],
    );
    check(
        &machine,
        &json!({ "env_file": "big.env" }),
        &[
            "env_file: `env_file` of `apps[0]`: the variable `BIG` has 131076 bytes, a process can be given 131071 in one",
        ],
    );
    check(
        &machine,
        &json!({ "args": vec![text(100_000); 16] }),
        &["args: arguments and variables of `apps[0]` have 1562 KB, a process can be given 1536 KB"],
    );
    check(
        &machine,
        &json!({ "script": "npm start", "args": [text(100_000), text(100_000)] }),
        &["script: the command line of `apps[0]` has more than 131071 bytes"],
    );
}

#[test]
fn a_missing_folder_hides_nothing_that_does_not_depend_on_it() {
    check(
        &Table::usual(),
        &json!({ "cwd": "/nodir", "interpreter": "nointerp", "fingerprint": ["["], "out_file": "/locked/x", "pid_file": "x" }),
        &[
            "cwd: `cwd` of `apps[0]`: `/nodir` does not exist",
            "interpreter: interpreter `nointerp` of `apps[0]` is not in PATH",
            "fingerprint: `fingerprint` of `apps[0]`: `[` is not closed",
            "out_file: `out_file` of `apps[0]`: `/locked/x` cannot be written: permission denied",
        ],
    );
    let relative = json!({ "cwd": "/nodir", "interpreter": "./venv/python" });
    check(&Table::usual(), &relative, &["cwd: `cwd` of `apps[0]`: `/nodir` does not exist"]);
}

#[test]
fn names_of_a_wrong_type_are_nobodys() {
    let apps = json!([{ "name": "a", "script": "./a.sh" }, { "name": 7, "script": "./a.sh" }]);
    let mut machine = Table::usual();
    machine.add("/srv/site/a.sh", "#!/bin/sh\n", true);
    let errors = run_on(&apps, None, &machine).errors();
    assert_eq!(errors, ["error at [1].name: `name` must be a string, not `7` (put it in quotes)"]);
}

#[test]
fn odd_lines_of_an_env_file_are_told_once() {
    let mut machine = Table::usual();
    machine.add("/srv/site/.env", "PASSWORD hunter2\nA=1\n", false);
    machine.add("/srv/site/many.env", &"x\n".repeat(8), false);
    let app = |name: &str, file: &str| json!({ "name": name, "script": "x.sh", "env_file": file });
    let lines = run_on(&json!([app("a", ".env"), app("b", ".env")]), None, &machine).lines();
    assert_eq!(lines, ["warning: this line is odd"]);
    let lines = run_on(&json!([app("a", "many.env")]), None, &machine).lines();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[4], "warning: this line is odd; 3 more lines of this file are odd");
}

#[test]
fn an_empty_text_is_pm2s_way_of_not_setting_an_option() {
    let run = run(&json!([{ "script": "x.sh", "namespace": "", "exec_mode": "", "instance_var": "" }]));
    assert_eq!(run.lines(), Vec::<String>::new());
    let app = &run.resolved.apps[0];
    assert_eq!((app.namespace.as_str(), app.instance_var.as_str()), ("default", "NODE_APP_INSTANCE"));
}

#[test]
fn the_canonical_name_wins_over_its_camel_case_twin() {
    for (options, first, second) in [
        (json!({ "script": "x.sh", "max_restarts": 3, "maxRestarts": 4 }), "maxRestarts", "max_restarts"),
        (json!({ "script": "x.sh", "err_log": "e", "errLog": "f", "errorFile": "g", "error_file": "h" }), "", "h"),
    ] {
        let keys: Vec<String> = options.as_object().unwrap().keys().cloned().collect();
        let run = run(&json!([options]));
        let app = &run.resolved.apps[0];
        if first.is_empty() {
            assert_eq!(app.logs.error, crate::spec::LogTarget::Path("/srv/site/h".to_owned()), "{keys:?} {second}");
        } else {
            assert_eq!(app.restart.max_restarts, 3);
            let want = format!("`{first}` and `{second}` are the same option, `max_restarts` counts");
            let other = format!("`{second}` and `{first}` are the same option, `max_restarts` counts");
            let said = &run.diagnostics[0].message;
            assert!(*said == want || *said == other, "{said}");
        }
    }
}

#[test]
fn root_is_a_user_that_somebody_may_wish_for() {
    for (option, value) in [("uid", json!(0)), ("gid", json!("0"))] {
        assert_eq!(run(&json!([{ "script": "x.sh", option: value }])).lines(), Vec::<String>::new(), "{option}");
    }
    let lines = run(&json!([{ "script": "x.sh", "user": "nobody-here" }])).lines();
    assert!(lines[0].contains("there is no user `nobody-here` on this machine"), "{lines:?}");
}
