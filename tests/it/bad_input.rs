//! Every kind of bad input, each a clear error or, where it is only odd, no problem at all.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;

use crate::support::{Home, stay};

const FORMATS: [&str; 9] = ["json", "json5", "jsonc", "yaml", "yml", "toml", "config.js", "config.cjs", "config.mjs"];

fn home() -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home
}

#[test]
fn an_empty_file_is_said_to_be_empty() {
    let home = home();
    for ending in FORMATS {
        for (what, text) in [("nothing", ""), ("white space", " \n\t\n"), ("a BOM", "\u{feff}")] {
            let name = format!("eco.{ending}");
            home.write(&name, text);
            let output = home.exits(65, &["validate", &name]);
            output.says(&name);
            assert!(!output.stderr.contains("panicked"), "{what}: {output}");
        }
    }
}

#[test]
fn a_file_of_50_mb_is_refused_at_once() {
    let home = home();
    for ending in FORMATS {
        let name = format!("eco.{ending}");
        home.write(&name, " ".repeat(50 << 20));
        let output = home.exits(65, &["validate", &name]);
        output.says(&format!("`{name}` is too large for a config (50 MB): at most 4 MB are read"));
        assert!(output.took < Duration::from_secs(15), "{output}");
        std::fs::remove_file(home.work.join(&name)).expect("it is there");
    }
    home.write("large.js", " ".repeat(50 << 20));
    for (ending, text) in [
        ("js", "\nmodule.exports = require('./large');\n"),
        ("cjs", "\nmodule.exports = require('./large');\n"),
        ("mjs", "\nimport large from './large.js';\nexport default large;\n"),
    ] {
        let name = format!("eco.config.{ending}");
        home.write(&name, text);
        home.exits(65, &["validate", &name]).says("large.js` is too large for a config (50 MB): at most 4 MB are read");
    }
    // Neither is anything waited for that is no file.
    for name in ["fifo.json", "fifo.yaml", "fifo.toml", "fifo.config.js", "fifo.config.mjs"] {
        nix::unistd::mkfifo(&home.work.join(name), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
        home.exits(65, &["validate", name]).says("is not a regular file");
    }
    // One that never ends is no file at all.
    let output = home.run(&["validate", "/dev/zero"]);
    assert!(!matches!(output.code, Some(0) | None), "{output}");
}

#[test]
fn a_bom_and_windows_line_ends_are_no_problem() {
    let home = home();
    let files = [
        ("eco.json", "{ \"apps\": [\n  { \"name\": \"a\", \"script\": \"./stay.sh\",\n \"max_restarts\": 3 }\n] }\n"),
        ("eco.json5", "{ apps: [\n  { name: 'a', // one\n script: './stay.sh', max_restarts: 3 },\n] }\n"),
        ("eco.yaml", "apps:\n  - name: a\n    script: ./stay.sh\n    max_restarts: 3\n"),
        ("eco.toml", "[[apps]]\nname = \"a\"\nscript = \"./stay.sh\"\nmax_restarts = 3\n"),
        (
            "eco.jsonc",
            "{ \"apps\": [ // one\n  { \"name\": \"a\", \"script\": \"./stay.sh\", \"max_restarts\": 3 }] }\n",
        ),
        ("eco.yml", "apps:\n  - name: a\n    script: ./stay.sh\n    max_restarts: 3\n"),
        ("eco.config.js", "module.exports = { apps: [\n{ name: 'a', script: './stay.sh', max_restarts: 3 }] };\n"),
        ("run.config.js", "const n = 3\nmodule.exports = [{ name: 'a', script: './stay.sh', max_restarts: n }]\n"),
        ("eco.config.cjs", "exports.apps = [\n{ name: 'a', script: './stay.sh', max_restarts: 3 }]\n"),
        ("eco.config.mjs", "const n = 3\nexport const apps = [{ name: 'a', script: './stay.sh', max_restarts: n }]\n"),
    ];
    for (name, text) in files {
        home.write(name, format!("\u{feff}{}", text.replace('\n', "\r\n")));
        let app = home.json(&["render", name, "--json"])["apps"][0].clone();
        assert_eq!((&app["name"], &app["restart"]["max_restarts"]), (&json!("a"), &json!(3)), "{name}");
    }
    // Places are still right.
    home.write("eco.yaml", "\u{feff}apps:\r\n  - name: a\r\n    script: ./stay.sh\r\n    max_restarts: many\r\n");
    home.exits(65, &["validate", "eco.yaml"]).says("eco.yaml:4:19");
}

#[test]
fn what_is_not_utf_8_is_said_to_be_so() {
    let home = home();
    for ending in FORMATS {
        let name = format!("eco.{ending}");
        home.write(&name, b"{\"apps\": [\"\xff\xfe\x80\"]}");
        home.exits(65, &["validate", &name]).says(&name);
    }
}

#[test]
fn two_hundred_thousand_nested_brackets_end_as_an_error_in_every_format() {
    let home = home();
    let many = 200_000;
    let (open, close) = ("[".repeat(many), "]".repeat(many));
    let files = [
        ("a.json", format!("{open}{close}")),
        ("b.json", open.clone()),
        ("c.json", "{\"a\":".repeat(many)),
        ("a.json5", format!("{open}{close}")),
        ("b.json5", "{a:".repeat(many)),
        ("a.jsonc", format!("{open}{close}")),
        ("a.yml", format!("{open}{close}")),
        ("b.yml", "- ".repeat(many)),
        ("a.yaml", format!("{open}{close}")),
        ("b.yaml", "- ".repeat(many)),
        ("c.yaml", format!("{}x{}", "{a: ".repeat(many), "}".repeat(many))),
        (
            "d.yaml",
            (0..5_000).fold(String::new(), |mut text, depth| {
                let _ = writeln!(text, "{}a:", " ".repeat(depth));
                text
            }),
        ),
        ("a.toml", format!("a = {open}{close}\n")),
        ("b.toml", format!("[{}x]\n", "a.".repeat(many))),
        ("c.toml", format!("a = {}1{}\n", "{b = ".repeat(many), "}".repeat(many))),
        ("a.config.js", format!("module.exports = {open}{close};\n")),
        ("a.config.cjs", format!("exports.apps = {open}{close};\n")),
        ("a.config.mjs", format!("export default {open}{close};\n")),
        ("b.config.mjs", format!("export default {}1{};\n", "[".repeat(900), "]".repeat(900))),
        ("b.config.js", format!("module.exports = {}1{};\n", "(".repeat(many), ")".repeat(many))),
    ];
    for (name, text) in files {
        home.write(name, text);
        let output = home.run(&["validate", name]);
        assert_eq!(output.code, Some(65), "{name}: {:.2000}", output.to_string());
        assert!(output.took < Duration::from_secs(30), "{name} took {:?}", output.took);
        assert!(output.stderr.len() < 20_000, "{name} says too much: {} bytes", output.stderr.len());
    }
}

#[test]
fn yaml_that_laughs_a_billion_times_is_refused() {
    let home = home();
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        let _ = writeln!(text, "a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", "));
    }
    text += "apps: *a11\n";
    for name in ["eco.yaml", "eco.yml"] {
        home.write(name, &text);
        let output = home.exits(65, &["validate", name]);
        output.says(name);
        assert!(output.took < Duration::from_secs(10), "{output}");
    }
    // Anchors as people use them are fine.
    home.write(
        "eco.yaml",
        "base: &base { script: ./stay.sh, env: { A: 1 } }\napps:\n  - { <<: *base, name: a }\n  - { <<: *base, name: b }\n",
    );
    assert_eq!(home.json(&["render", "eco.yaml", "--json"])["apps"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_wrong_type_at_any_option_is_named_with_its_place() {
    let home = home();
    let options = [
        "args",
        "cwd",
        "env",
        "env_file",
        "exec_mode",
        "instances",
        "instance_var",
        "increment_var",
        "autostart",
        "autorestart",
        "max_restarts",
        "min_uptime",
        "restart_delay",
        "exp_backoff_restart_delay",
        "stop_exit_codes",
        "stop_signal",
        "kill_timeout",
        "treekill",
        "shutdown_with_message",
        "wait_ready",
        "listen_timeout",
        "out_file",
        "error_file",
        "merge_logs",
        "pid_file",
        "depends_on",
        "fingerprint",
        "renamed_from",
        "max_memory_restart",
        "interpreter",
        "node_args",
        "namespace",
        "filter_env",
        "port",
    ];
    let mut text = "apps:\n  - name: a\n    script: ./stay.sh\n".to_owned();
    for option in options {
        // Right for none of them.
        let _ = writeln!(text, "    {option}: [[{{ x: [1] }}]]");
    }
    home.write("eco.yaml", text);
    let output = home.exits(65, &["validate", "eco.yaml"]);
    for (line, option) in (4..).zip(options) {
        output.says(&format!("`{option}`")).says(&format!("eco.yaml:{line}:"));
    }
}

#[test]
fn what_every_app_must_have_and_may_not_share() {
    let home = home();
    let table = [
        (json!([{ "name": "a" }]), vec!["script", "`a`"]),
        (json!([stay("a"), stay("b"), stay("a")]), vec!["`a`"]),
        (json!([{ "name": "", "script": "./stay.sh" }]), vec!["name"]),
        (json!({ "apps": "x" }), vec!["apps"]),
        (json!({ "aps": [] }), vec!["apps"]),
        (json!("x"), vec!["eco.json"]),
        (json!([1, null, "x"]), vec!["eco.json"]),
    ];
    for (config, words) in table {
        home.write_json("eco.json", &config);
        let output = home.exits(65, &["validate", "eco.json"]);
        for word in words {
            output.says(word);
        }
    }
}

#[test]
fn a_circle_of_dependencies_is_named_and_an_unknown_one_too() {
    let home = home();
    let on = |name: &str, needs: &[&str]| {
        let mut app = stay(name);
        app["depends_on"] = json!(needs);
        app
    };
    home.write_json("eco.json", &json!([on("a", &["b"]), on("b", &["a"]), stay("c")]));
    home.exits(65, &["validate", "eco.json"]).says("a -> b -> a");
    home.write_json("eco.json", &json!([on("a", &["a"])]));
    home.exits(65, &["validate", "eco.json"]).says("a -> a");
    home.write_json("eco.json", &json!([on("api", &["databse"]), stay("database")]));
    home.exits(65, &["validate", "eco.json"]).says("databse").says("did you mean `database`?");
}

#[test]
fn what_is_missing_is_found_before_anything_is_stopped() {
    let home = home();
    home.write("a-file", "");
    home.apply(&json!([stay("a"), stay("b")]));
    let before = home.pids();
    let changed = {
        let mut a = stay("a");
        a["env"] = json!({ "NOTE": "changed" });
        a
    };
    let broken = [
        ("script", json!("./gone.sh"), "gone.sh"),
        ("script", json!("no-such-program-anywhere"), "no-such-program-anywhere"),
        ("interpreter", json!("no-such-interpreter"), "no-such-interpreter"),
        ("interpreter", json!("/no/such/interpreter"), "/no/such/interpreter"),
        ("cwd", json!("./gone-folder"), "gone-folder"),
        ("cwd", json!("./a-file"), "a-file"),
        ("env_file", json!("./gone.env"), "gone.env"),
        ("script", json!("./a-folder"), "a-folder"),
        ("script", json!("./bad-shebang"), "/no/such/interpreter"),
        ("script", json!("./bad-env"), "no-such-program"),
        ("script", json!("no-such-program --port 80"), "no-such-program"),
        ("out_file", json!("./stay.sh/out.log"), "is not a folder"),
        ("error_file", json!("./a-folder"), "is a folder"),
        ("pid_file", json!("./stay.sh/b.pid"), "is not a folder"),
        ("args", json!(["x".repeat(128 << 10)]), "131071"),
        ("env", json!({ "BIG": "x".repeat(128 << 10) }), "131071"),
        ("args", json!(vec!["x".repeat(100_000); 20]), "1536 KB"),
    ];
    for (name, line) in [("bad-shebang", "#!/no/such/interpreter\n"), ("bad-env", "#!/usr/bin/env no-such-program\n")] {
        home.write(name, line);
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(home.work.join(name), executable).expect("chmod");
    }
    std::fs::create_dir(home.work.join("a-folder")).expect("mkdir");
    if !nix::unistd::geteuid().is_root() {
        // Root may go anywhere.
        let locked = home.work.join("locked");
        std::fs::create_dir(&locked).expect("mkdir");
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).expect("chmod");
        let mut b = stay("b");
        (b["cwd"], b["script"]) = (json!("./locked"), json!(home.work.join("stay.sh")));
        home.write_json("eco.json", &json!([changed.clone(), b]));
        home.exits(65, &["apply", "eco.json"]).says("locked");
        // So that it can be removed.
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o700)).expect("chmod");
        assert_eq!(home.pids(), before);
    }
    for (option, value, word) in broken {
        let mut b = stay("b");
        b[option] = value.clone();
        home.write_json("eco.json", &json!([changed.clone(), b]));
        for command in ["apply", "validate", "diff"] {
            let output = home.exits(65, &[command, "eco.json"]);
            output.says(word);
        }
        assert_eq!(home.pids(), before, "{option}: {value}");
    }
}

#[test]
fn a_missing_env_file_is_named_with_the_place_of_its_option_and_what_to_do() {
    let home = home();
    home.write("eco.yaml", "apps:\n  - script: ./stay.sh\n    env_file: [.env, .env.local]\n");
    home.write(".env", "A=1\n");
    let output = home.exits(65, &["validate", "eco.yaml"]);
    output
        .says("eco.yaml:3:22")
        .says(".env.local` does not exist")
        .says("create the file, or take it out of `env_file`");
}

#[test]
fn a_program_that_cannot_be_run_is_reported_by_apply() {
    let home = home();
    // Found, and still not to be executed: nothing that could be known before.
    home.write("bad-program", b"\x7fELF\0 of no machine");
    let path = home.work.join("bad-program");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let bad = json!({ "name": "bad", "script": "./bad-program", "interpreter": "none", "max_restarts": 1 });
    home.write_json("eco.json", &json!([bad, stay("good")]));
    let output = home.run(&["apply", "eco.json"]);
    assert!(matches!(output.code, Some(3 | 65)), "{output}");
    output.says("bad");
    if output.code == Some(3) {
        assert_eq!(home.state("good:0"), "online");
        home.until_state("bad:0", "errored");
    }
}

#[test]
fn weird_names_are_only_names() {
    let home = home();
    let long = "x".repeat(300);
    let names = [
        "two words",
        "emoji 🚀",
        "../x",
        "a/b",
        "-dash",
        ".hidden",
        "semi;colon",
        "$(touch owned)",
        "a:b",
        "quote'\"",
        "ünïcödé",
        &long,
    ];
    let apps: Vec<_> = names.iter().map(|name| stay(name)).collect();
    home.write_json("eco.json", &json!(apps));
    home.ok(&["validate", "eco.json"]);
    home.ok(&["apply", "eco.json"]);
    home.exits(0, &["diff", "eco.json"]);
    let list = home.list();
    assert_eq!(list.len(), names.len());
    let logs = home.folder.join("logs");
    let mut files = std::collections::BTreeSet::new();
    for one in &list {
        assert_eq!(one.state(), "online", "{}", one.name());
        let file = one.0["out_file"].as_str().expect("a path").to_owned();
        assert_eq!(std::path::Path::new(&file).parent(), Some(logs.as_path()), "{}", one.name());
        let written = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(written, format!("started {}:0\n", one.name()));
        files.insert(file);
    }
    assert_eq!(files.len(), names.len(), "no two apps share a file");
    home.ok(&["list"]);
    assert!(!home.work.join("owned").exists());
    for name in names {
        home.ok(&["stop", "--", name]);
        home.ok(&["delete", "--", name]);
    }
    assert_eq!(home.list().len(), 0);
    assert!(home.marked().is_empty());
}

#[test]
fn a_home_that_cannot_be_used_is_a_clear_error() {
    let mut home = home();
    home.write_json("eco.json", &json!([stay("a")]));
    let real = home.folder.to_str().expect("UTF-8").to_owned();
    let file = home.write("a-file", "");
    for bad in [file.to_str().expect("UTF-8"), "/proc/nowhere"] {
        home.set_env("PMRUN_HOME", bad);
        let output = home.run(&["apply", "eco.json"]);
        assert!(!matches!(output.code, Some(0 | 3) | None), "{output}");
        output.says("error:");
        assert!(!output.stderr.contains("panicked"), "{output}");
    }
    home.set_env("PMRUN_HOME", &real);
    // A state file that cannot be read is not thrown away.
    std::fs::create_dir_all(&home.folder).expect("mkdir");
    std::fs::write(home.folder.join("state"), "this is no database").expect("write");
    let output = home.run(&["apply", "eco.json"]);
    assert_ne!(output.code, Some(0), "{output}");
    assert_eq!(std::fs::read_to_string(home.folder.join("state")).expect("it is there"), "this is no database");
    std::fs::remove_file(home.folder.join("state")).expect("it is there");
    home.ok(&["apply", "eco.json"]);
}

#[test]
fn a_home_with_a_long_path_works() {
    let mut home = home();
    home.write_json("eco.json", &json!([stay("a")]));
    // A socket's path has 108 bytes at most; this one has more.
    let long = home.folder.join("d".repeat(200));
    home.set_env("PMRUN_HOME", long.to_str().expect("UTF-8"));
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.state("a:0"), "online");
    home.ok(&["kill"]);
}

#[test]
fn a_stale_socket_and_a_stale_pid_are_no_problem() {
    let home = home();
    // As a crash of the machine leaves them.
    std::fs::create_dir_all(&home.folder).expect("mkdir");
    drop(std::os::unix::net::UnixListener::bind(home.folder.join("pmrun.sock")).expect("bind"));
    assert_eq!(home.list().len(), 0);
    home.apply(&json!([stay("a")]));
    home.lose_daemon();
    // Its pid files now name processes of somebody else.
    let pids = home.folder.join("pids");
    let innocent = std::process::id();
    for entry in std::fs::read_dir(pids).into_iter().flatten().flatten() {
        std::fs::write(entry.path(), format!("{innocent}\n")).expect("write");
    }
    home.ok(&["apply", "eco.json"]);
    home.until_state("a:0", "online");
    home.ok(&["stop", "a"]);
}

#[test]
fn a_program_in_utf_16_is_said_to_be_one() {
    let home = Home::new();
    let text: Vec<u8> = "\u{feff}module.exports = {};".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for name in ["eco.config.js", "eco.config.ts", "eco.json"] {
        home.write(name, &text);
        home.exits(65, &["validate", name]).says(&format!("`{name}` is UTF-16, not UTF-8"));
    }
}

#[test]
fn a_folder_that_is_no_text_is_refused_before_anything_is_started() {
    use std::os::unix::ffi::OsStrExt as _;
    let home = Home::new();
    let folder = home.work.join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&folder).expect("mkdir");
    std::fs::write(folder.join("eco.json"), r#"[{ "script": "sleep 1000" }]"#).expect("write");
    std::fs::write(folder.join("eco.config.js"), "const a = []; module.exports = a;").expect("write");
    for line in
        [&["apply", "eco.json"][..], &["render", "eco.json"], &["validate", "eco.config.js"], &["start", "./x.sh"]]
    {
        let mut command = home.command(line);
        command.current_dir(&folder);
        let output = home.run_command(command, Duration::from_secs(30));
        output.exited(65);
        output.says("is not UTF-8");
    }
    assert!(home.daemon().is_none());
}

#[test]
fn a_log_where_nothing_can_be_made_is_found_before_anything_is_stopped() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut app = stay("api");
    home.apply(&json!([app]));
    let pid = home.pid("api:0");
    app["error_file"] = json!("/proc/nope/x.log");
    home.write_json("eco.json", &json!([app]));
    home.exits(65, &["apply", "eco.json"]).says("`/proc/nope/x.log` cannot be made");
    assert_eq!(home.pid("api:0"), pid);
}
