//! A config that would hang, exhaust or escape ends within its limits; what it read is known; strangers' can be read safely.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, Output, needs_git, needs_node, procs, skipped};

/// What a config may take is over after 5 s; the rest is for a machine that does other things too.
const BOUND: Duration = Duration::from_secs(20);

/// Where another limit than that of time is meant, on a busy machine too.
const PATIENT: &[&str] = &["--eval-timeout", "1m"];

fn with(text: &str) -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("eco.config.js", text);
    home
}

/// It ends in time, with an error of one file, and nothing of it is left.
#[track_caller]
fn ended(home: &Home, flags: &[&str]) -> Output {
    let args: Vec<&str> = ["validate", "eco.config.js"].iter().chain(flags).copied().collect();
    let output = home.exits(65, &args);
    assert!(output.took < BOUND, "{output}");
    output.says("eco.config.js").never_shows("panicked");
    output
}

#[test]
fn an_endless_loop_ends_wherever_it_is() {
    for text in [
        "while (true) {}",
        "module.exports = [1].map(() => { for (;;); });",
        "module.exports = Promise.resolve().then(() => { for (;;); });",
        "module.exports = (async () => { for (;;) await 0; })();",
        "module.exports = { get apps() { for (;;); } };",
        "module.exports = new Proxy({}, { ownKeys() { for (;;); } });",
        "module.exports = () => { for (;;); };",
        "setInterval(() => {}, 1); module.exports = new Promise(() => {});",
        "module.exports = [...(function* () { for (;;) yield; })()].length;",
        "module.exports = /^(a+)+$/.test('a'.repeat(40) + '!');",
        "require('fs').readFileSync('fifo');",
        "require('child_process').execSync('sleep 1000');",
    ] {
        let home = with(text);
        nix::unistd::mkfifo(&home.work.join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
        ended(&home, &["--eval-timeout", "400ms"]).says("the config ran longer than 0.4 s").says("--eval-timeout");
    }
    let output = ended(&with("for (;;);"), &[]);
    output.says("the config ran longer than 5 s");
    assert!(output.took >= Duration::from_secs(5), "{output}");
}

#[test]
fn a_config_that_takes_long_is_given_the_time() {
    let home = with(
        "const done = Date.now() + 300; while (Date.now() < done);\n\
         module.exports = { apps: [{ name: 'a', script: './stay.sh' }] };",
    );
    for args in [["validate", "100ms"], ["render", "100ms"], ["diff", "100ms"], ["apply", "100ms"]] {
        home.exits(65, &[args[0], "eco.config.js", "--eval-timeout", args[1]]).says("longer than 0.1 s");
    }
    home.ok(&["validate", "eco.config.js", "--eval-timeout", "20s"]);
    for (wrong, said) in [("0", "no time"), ("soon", "not a duration"), ("2h", "at most one hour")] {
        home.exits(64, &["validate", "eco.config.js", "--eval-timeout", wrong]).says(said);
    }
}

#[test]
fn memory_recursion_and_nesting_have_limits_that_are_named() {
    let memory = "the config needs more than 512 MB of memory";
    let deep = "at most 9000 calls may be open";
    for (text, said) in [
        ("let s = 'x'; for (;;) s += s;", memory),
        ("const a = []; for (;;) a.push(new Uint8Array(1e7));", memory),
        ("module.exports = new Uint8Array(9e8);", memory),
        ("module.exports = new ArrayBuffer(1e12);", memory),
        ("const f = (n) => f(n + 1) + 1; module.exports = f(0);", deep),
        ("module.exports = { toJSON() { return JSON.stringify(this); } }; JSON.stringify(module.exports);", deep),
        ("let a = []; for (let i = 0; i < 200000; i++) a = [a]; module.exports = a;", "nested deeper than 200 levels"),
        ("require('fs').readFileSync('/dev/zero');", "more than 64 MB"),
    ] {
        ended(&with(text), PATIENT).says(said);
    }
    let deep = format!("module.exports = {}{};\n", "[".repeat(5_000), "]".repeat(5_000));
    ended(&with(&deep), PATIENT).says("brackets are nested too deeply: more than 1000");
}

#[test]
fn output_has_limits_that_are_named() {
    let home = with("for (;;) console.log('x'.repeat(1000));");
    let output = ended(&home, &["--eval-timeout", "1s"]);
    output.says("prints more than 1 MB: the rest is left out").says("longer than 1 s");
    assert!(output.stderr.len() < 2 << 20, "{} bytes", output.stderr.len());
    let text = "module.exports = { apps: Array.from({ length: 70 }, (_, i) => ({ name: String(i).repeat(1e6) })) };";
    ended(&with(text), PATIENT).says("the exported value is too large: more than");
    let text = "require('child_process').execSync('yes');";
    ended(&with(text), PATIENT).says("ENOBUFS");
}

#[test]
fn commands_end_with_everything_that_they_started() {
    // One that has cleared its environment, left its session and lost its parents; a folder's name says who it is.
    let hidden = "(setsid env -i sh -c 'mkdir $$.pid; exec sleep 1000' >/dev/null 2>&1 &)";
    let begun = "until ls -d *.pid >/dev/null 2>&1; do :; done";
    for (after, end) in [(begun, ""), ("sleep 1000 | sleep 1000", "for (;;);")] {
        let apps = "module.exports = { apps: [{ name: 'a', script: './stay.sh' }] };";
        let line = serde_json::to_string(&format!("{hidden}; {after}")).expect("a string");
        let home = with(&format!("require('child_process').execSync({line});\n{end}{apps}"));
        let timeout = if end.is_empty() { PATIENT[1] } else { "3s" };
        let output = home.run(&["validate", "eco.config.js", "--eval-timeout", timeout]);
        if end.is_empty() {
            output.exited(0);
        } else {
            output.exited(65).says("longer than 3 s: it waited for the command `/bin/sh -c ");
        }
        let pid = hidden_of(&home).expect("it has begun");
        assert!(procs::wait_gone(pid, BOUND), "{pid} is left");
    }
}

/// Who has made a folder of the name of its pid.
fn hidden_of(home: &Home) -> Option<u32> {
    let mut names = std::fs::read_dir(&home.work).expect("it is there").flatten();
    names.find_map(|entry| entry.file_name().to_str()?.strip_suffix(".pid")?.parse().ok())
}

#[test]
fn an_interrupt_ends_what_a_config_has_started_too() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let home = with(
            "require('child_process').execSync(\"echo x > $TMPDIR/x; setsid sh -c 'mkdir $$.pid; exec sleep 1000' & sleep 1000\");",
        );
        let mut command = home.command(&["validate", "eco.config.js", "--eval-timeout", "60s"]);
        let (child, _, _) = home.start_command(&mut command);
        let deadline = Instant::now() + BOUND;
        let pid = loop {
            match hidden_of(&home) {
                Some(pid) => break pid,
                None => assert!(Instant::now() < deadline, "it has not begun"),
            }
        };
        procs::signal(child.id(), signal);
        let (status, _) = procs::finish(child);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(signal.as_raw()), "{status}");
        assert!(procs::wait_gone(pid, BOUND), "{pid} is left");
        // Who was killed cannot wait for that.
        let left = || std::fs::read_dir(home.temporary()).expect("it is there").count();
        let patience = if signal == Signal::KILL { BOUND } else { Duration::ZERO };
        let until = Instant::now() + patience;
        while left() > 0 && Instant::now() < until {}
        assert_eq!(left(), 0, "{signal:?}");
    }
}

#[test]
fn who_forks_and_ends_over_and_over_is_ended() {
    if !crate::support::needs_python() {
        return;
    }
    // Ten of them, each a process after the other that nobody waits for; the last ones would make a folder.
    let comet = "import os\nnull = os.open('/dev/null', os.O_RDWR)\nos.dup2(null, 1); os.dup2(null, 2)\nfor _ in range(4):\n  if os.fork() == 0: break\nelse: os._exit(0)\nfor n in range(300):\n  if os.fork(): os._exit(0)\n  os.setsid()\nos.mkdir('survived')";
    let home = with(&format!(
        "require('child_process').execFileSync('python3', ['-c', {}]);\nmodule.exports = {{ apps: [{{ name: 'a', script: './stay.sh' }}] }};",
        serde_json::to_string(comet).expect("a string")
    ));
    let output = home.run(&["validate", "eco.config.js"]);
    assert!(output.took < BOUND, "{output}");
    let left = procs::of_folder(&home.work);
    assert!(left.is_empty() && !home.work.join("survived").exists(), "{left:?}");
}

#[test]
fn a_flood_of_processes_is_ended() {
    let flood = "i=0; while [ $i -lt 650 ]; do sleep 1000 & i=$((i+1)); done; wait";
    for flood in [
        flood.to_owned(),
        // Whose output has ended before it does.
        format!("exec >/dev/null 2>&1; {flood}"),
        // That goes on while the config does something else.
        format!("({flood}) >/dev/null 2>&1 &"),
    ] {
        let home = with(&format!("require('child_process').execSync('{flood}'); for (;;);"));
        // A busy machine takes its time to start so many.
        ended(&home, &["--eval-timeout", "60s"])
            .says("error[process-limit]")
            .says("has started more than 500 processes");
    }
}

#[test]
fn commands_take_no_more_memory_than_the_config_may() {
    // It keeps what may be the last line, which has no end here.
    let grow = "head -c 4000000000 /dev/zero | tail";
    for grow in [grow.to_owned(), format!("({grow}) >/dev/null 2>&1 &")] {
        let home = with(&format!("require('child_process').execSync(`{grow}`); for (;;);"));
        ended(&home, &[]).says("error[memory-limit]").says("more than 512 MB of memory: the command `/bin/sh -c ");
    }
}

#[test]
fn commands_write_nothing_outside_of_their_own_folder() {
    let home = with("");
    let run = |command: &str| {
        let line = serde_json::to_string(command).expect("a string");
        let apps = "module.exports = { apps: [{ name: 'a', script: './stay.sh' }] };";
        home.write("eco.config.js", format!("require('child_process').execSync({line});\n{apps}"));
        home.run(&["validate", "eco.config.js"])
    };
    run("mkdir -p logs/deep && echo x > \"$TMPDIR/x\" && cat \"$TMPDIR/x\" >/dev/null").exited(0);
    home.write("eco.config.js", "module.exports = { apps: [{ name: 'a', script: './stay.sh' }] };");
    let inputs = inputs(&home, &["eco.config.js"]);
    if !inputs["confined_by"].as_array().expect("a list").contains(&"landlock".into()) {
        eprintln!("NOT TESTED: this kernel has no Landlock");
        return;
    }
    for command in ["echo x > written", "rm stay.sh", "mkdir ../outside", "echo x > ../written"] {
        let output = run(command);
        output
            .exited(65)
            .says("error[thrown]")
            .says("Permission denied")
            .says("may write to no file")
            .says("`--js-engine node`");
    }
    assert!(home.work.join("stay.sh").exists() && !home.work.join("written").exists());
}

#[test]
fn what_is_named_after_the_temporary_folder_stays_the_same() {
    let home = with(
        "const said = require('child_process').execSync('echo ${TMPDIR:-/tmp}/x.sock').toString().trim();\n\
         module.exports = { apps: [{ name: 'a', script: './stay.sh', env: { SOCKET: said } }] };",
    );
    home.ok(&["apply", "eco.config.js"]);
    home.exits(0, &["diff", "eco.config.js"]);
    let socket = home.temporary().join("x.sock");
    assert_eq!(procs::environ(home.pid("a:0")).get("SOCKET").map(String::as_str), socket.to_str());
}

#[test]
fn nothing_is_written_but_folders_in_the_project() {
    let home = with("");
    for (call, said) in [
        ("fs.writeFileSync('f', '')", "fs.writeFileSync is not available: a config may only read"),
        ("fs.promises.rm('eco.config.js').catch((e) => { throw e })", "a config may only read"),
        ("fs.mkdirSync('../outside')", "a config makes folders only in its project"),
        ("fs.mkdirSync('/tmp/pmrun-outside/x', { recursive: true })", "a config makes folders only in its project"),
        ("require('child_process').fork('x.js')", "child_process.fork is not available to a config"),
        ("fetch('http://127.0.0.1/')", "a config cannot use the network"),
        ("require('net')", "pmrun's own engine does not have this module of Node's"),
    ] {
        home.write("eco.config.js", format!("const fs = require('fs');\nmodule.exports = {call};"));
        ended(&home, &[]).says(said).says("eco.config.js:2:");
    }
    home.write(
        "eco.config.js",
        "require('fs').mkdirSync('logs/deep', { recursive: true });\n\
         module.exports = { apps: [{ name: 'a', script: './stay.sh' }] };",
    );
    home.ok(&["validate", "eco.config.js"]);
    assert!(home.work.join("logs/deep").is_dir());
    let outside = home.work.parent().expect("it is in a folder").join("outside");
    assert!(!outside.exists() && !std::path::Path::new("/tmp/pmrun-outside").exists());
    let found: Vec<_> = std::fs::read_dir(&home.work).expect("it is there").flatten().map(|e| e.file_name()).collect();
    assert_eq!(found.len(), 3, "{found:?}");
}

/// The layers below the engine, as the kernel shows them to the config itself.
#[test]
fn a_configs_process_has_given_up_everything_else() {
    let home = with(
        "const fs = require('fs');\n\
         const lines = (f) => Object.fromEntries(fs.readFileSync('/proc/self/' + f, 'utf8').trim().split('\\n')\n\
           .map((line) => line.split(/:\\s+|\\s{2,}/)));\n\
         module.exports = { status: lines('status'), limits: lines('limits'),\n\
           fds: fs.readdirSync('/proc/self/fd').length, env: fs.readFileSync('/proc/self/environ', 'utf8') };",
    );
    let output = home.ok(&["render", "--raw", "eco.config.js"]);
    let seen: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    assert_eq!((&seen["status"]["NoNewPrivs"], &seen["status"]["Seccomp"]), (&json!("1"), &json!("2")), "{seen}");
    for (limit, want) in [("Max core file size", "0"), ("Max file size", "0"), ("Max cpu time", "6")] {
        assert_eq!(seen["limits"][limit], want, "{seen}");
    }
    assert_eq!(seen["limits"]["Max address space"], ((256_u64 + 512) << 20).to_string(), "{seen}");
    // The three, and the one that lists them.
    assert_eq!((&seen["fds"], &seen["env"]), (&json!(4), &json!("TZ=UTC\0")), "{seen}");
}

/// The same on a kernel without Landlock and seccomp, as far as a program can tell.
#[test]
#[cfg(target_os = "linux")]
fn where_the_kernel_has_no_means_the_config_is_read_and_that_is_said() {
    use nix::libc::{ENOSYS, SYS_landlock_create_ruleset, SYS_seccomp};
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
    let text = "const { HOME } = process.env;\nmodule.exports = { apps: [{ name: 'a', script: './stay.sh' }] };";
    let home = with(text);
    if !inputs(&home, &["eco.config.js"])["confined_by"].to_string().contains("seccomp") {
        return skipped("this kernel has no seccomp");
    }
    let lacking = [SYS_landlock_create_ruleset, SYS_seccomp].map(|call| (call, Vec::new())).into();
    let refuse = SeccompAction::Errno(ENOSYS.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().expect("a known architecture");
    let filter = SeccompFilter::new(lacking, SeccompAction::Allow, refuse, arch).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    // A filter is a thread's, and inherited by what it starts.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            apply_filter(&program).expect("it is applied");
            assert_eq!(inputs(&home, &["eco.config.js"])["confined_by"], json!(["limits"]));
            let output = home.ok(&["validate", "eco.config.js", "--hermetic", "--allow-env", "HOME"]);
            output.says("this system has neither seccomp nor Landlock");
        });
    });
}

#[track_caller]
fn inputs(home: &Home, flags: &[&str]) -> Value {
    let args: Vec<&str> = ["render", "--inputs", "--json"].iter().chain(flags).copied().collect();
    let output = home.ok(&args);
    let value: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/inputs.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("it is there")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
    value
}

#[test]
fn what_a_config_read_is_shown() {
    let home = with(
        "const { readFileSync, existsSync, readdirSync } = require('fs');\n\
         const { common } = require('./lib/common');\n\
         existsSync('gone'); readdirSync('lib');\n\
         const said = require('child_process').execSync('echo --token s3cret').toString();\n\
         module.exports = { apps: [{ name: 'a', script: './stay.sh', env_file: '.env', env: { ...common, HOME: process.env.HOME } }] };",
    );
    home.write("lib/common.js", "exports.common = JSON.parse(require('fs').readFileSync('lib/data.json'));\n");
    home.write("lib/data.json", "{}");
    home.write(".env", "A=1\n");
    let seen = inputs(&home, &["eco.config.js"]);
    let paths = |key: &str| -> Vec<String> {
        let items = seen[key].as_array().expect("a list");
        items.iter().map(|item| item["path"].as_str().expect("a path").to_owned()).collect()
    };
    assert_eq!(paths("files"), [".env", "eco.config.js", "lib/common.js", "lib/data.json", "stay.sh"]);
    assert_eq!(seen["files"][3]["sha256"], "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    assert_eq!((paths("folders"), paths("checks")), (vec!["lib".to_owned()], vec!["gone".to_owned()]));
    assert_eq!(seen["variables"], json!({ "names": ["HOME"], "all": false }));
    let commands = json!([{ "argv": ["/bin/sh", "-c", "(hidden)"], "cwd": ".", "exit": 0, "ended_by": null }]);
    assert_eq!(seen["commands"], commands);
    home.ok(&["render", "--inputs", "--reveal", "eco.config.js"]).prints("echo --token s3cret");
    let text = home.ok(&["render", "--inputs", "eco.config.js"]);
    text.prints("variables\n  HOME\n").prints("gone  (not there)").prints("/bin/sh -c '(hidden)'  (in ., exit 0)");
    text.never_shows("s3cret");

    home.write("eco.json", r#"{ "apps": [{ "name": "a", "script": "./stay.sh", "env_file": ".env" }] }"#);
    let seen = inputs(&home, &["eco.json"]);
    let files: Vec<&Value> = seen["files"].as_array().expect("a list").iter().map(|file| &file["path"]).collect();
    assert_eq!(files, [".env", "eco.json", "stay.sh"]);
    assert_eq!(seen["confined_by"], json!([]));
}

#[test]
fn a_hermetic_config_sees_nothing_but_itself() {
    let home = with(
        "const fs = require('fs');\n\
         const { name } = require('./lib/name');\n\
         const key = process.env.API_KEY;\n\
         const data = fs.existsSync('data.json') && JSON.parse(fs.readFileSync('data.json'));\n\
         let revision = 'none';\n\
         try { revision = require('child_process').execSync('git rev-parse HEAD') } catch {}\n\
         module.exports = { apps: [{ name, script: './stay.sh', env: { KEY: key ?? '', CI: process.env.CI_JOB ?? '' } }] };",
    );
    home.write("lib/name.js", "exports.name = require('./name.json').name;\n");
    home.write("lib/name.json", r#"{ "name": "a" }"#);
    home.write("data.json", "{}");
    home.ok(&["validate", "eco.config.js"]);
    let output = ended(&home, &["--hermetic"]);
    for (place, what, flag) in [
        ("3:25", "the variable API_KEY", "--allow-env API_KEY"),
        ("4:17", "the file `data.json`", "--allow-read data.json"),
        ("6:43", "the command `/bin/sh -c git rev-parse HEAD`", "no flag allows it"),
        ("7:95", "the variable CI_JOB", "--allow-env CI_JOB"),
    ] {
        output.says(&format!("{what} is refused")).says(flag).says(&format!("eco.config.js:{place}"));
    }
    home.write("eco.config.js", {
        let text = std::fs::read_to_string(home.work.join("eco.config.js")).expect("it is there");
        text.replace("execSync('git rev-parse HEAD')", "toString()")
    });
    std::os::unix::fs::symlink("eco.config.js", home.work.join("link.config.js")).expect("a link");
    home.exits(65, &["validate", "link.config.js", "--hermetic"]).says("link.config.js:3:25");
    let flags = ["eco.config.js", "--hermetic", "--allow-env", "API_KEY,CI_*", "--allow-read", "data.json"];
    for command in ["validate", "render"] {
        let args: Vec<&str> = std::iter::once(command).chain(flags).collect();
        home.ok(&args);
    }
    let seen = inputs(&home, &flags);
    assert_eq!((&seen["hermetic"], &seen["variables"]["names"]), (&json!(true), &json!(["API_KEY", "CI_JOB"])));
    home.exits(64, &["validate", "eco.config.js", "--allow-env", "X"]).says("--hermetic");
    home.exits(64, &["validate", "eco.config.js", "--hermetic", "--allow-read", "no/where"])
        .says("--allow-read no/where");
}

#[test]
fn a_hermetic_config_still_knows_the_time_and_the_machine_and_the_projects_modules() {
    let mut home = with("");
    home.set_env("TZ", "JST-9");
    home.write("package.json", r#"{ "type": "module" }"#);
    home.write("conf/node_modules/dep/index.js", "export const dep = 'dep';");
    home.write(
        "conf/eco.config.js",
        "import os from 'node:os'; import { dep } from 'dep';\n\
         export default [dep, new Date(0).getTimezoneOffset(), os.hostname() !== '', os.totalmem() > 0, os.cpus().length > 0];",
    );
    let raw = |flags: &[&str]| {
        let args: Vec<&str> = ["render", "--raw", "conf/eco.config.js"].iter().chain(flags).copied().collect();
        let output = home.ok(&args);
        serde_json::from_str::<Value>(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
    };
    assert_eq!(raw(&["--hermetic"]), json!(["dep", 0, true, true, true]));
    assert_eq!(raw(&["--hermetic", "--allow-env", "TZ"])[1], -540);
    home.write("node_modules/up/index.js", "export const up = 1;");
    home.write("conf/eco.config.js", "import { up } from 'up';\nexport default [up];");
    let output = home.exits(65, &["render", "--raw", "conf/eco.config.js", "--hermetic"]);
    output.says("the module `node_modules/up/index.js`").says("conf/eco.config.js:1:20").says("--allow-read");
    assert_eq!(raw(&["--hermetic", "--allow-read", "node_modules"]), json!([1]));
}

#[test]
fn data_files_make_nothing_be_read_that_is_not_allowed() {
    let home = with("");
    home.write(".env", "A=1\n");
    home.write("src/x.js", "");
    let mut apps = String::new();
    let _ = write!(apps, r#"{{ "name": "a", "script": "./stay.sh", "env_file": ".env" }}, "#);
    let _ = write!(apps, r#"{{ "name": "b", "script": "./stay.sh", "fingerprint": ["src/**"] }}"#);
    home.write("eco.json", format!(r#"{{ "apps": [{apps}] }}"#));
    let output = home.exits(65, &["validate", "eco.json", "--hermetic"]);
    output.says("is refused by `--hermetic`: `--allow-read .env` allows it").never_shows("create the file");
    output.says("error[refused]").never_shows("not-found");
    // Of an app that nobody asked for nothing is refused.
    home.exits(2, &["diff", "eco.json", "--only", "b", "--hermetic"]);
    home.exits(65, &["diff", "eco.json", "--only", "a", "--hermetic"]).says("error[refused]");
    home.ok(&["validate", "eco.json", "--hermetic", "--allow-read", ".env"]);
    home.write("eco.json", r#"{ "name": "c", "script": "/bin/true", "cwd": "/etc", "fingerprint": ["pass*"] }"#);
    home.exits(65, &["validate", "eco.json", "--hermetic"])
        .says("error[refused]")
        .says("the folder `/etc` is refused by `--hermetic`");
    home.ok(&["validate", "eco.json", "--hermetic", "--allow-read", "/etc"]);
}

#[test]
fn a_pull_request_is_compared_hermetically() {
    if !needs_git() {
        return;
    }
    let home = with("module.exports = { apps: [{ name: 'a', script: './stay.sh', env: require('./env') }] };");
    home.write("env.js", "module.exports = { A: '1' };");
    let commit = "git init -q . && git add -A && git -c user.name=x -c user.email=x@x.example commit -qm x";
    let output = home.run_command(home.shell(commit), BOUND);
    output.exited(0);
    home.write("env.js", "module.exports = { A: '2' };");
    let diff = ["diff", "eco.config.js", "--base", "git:HEAD", "--hermetic"];
    home.exits(2, &diff).prints("env.A: 1 -> 2");
    home.write("env.js", "module.exports = { A: process.env.HOME };");
    home.exits(65, &diff).says("the variable HOME is refused").says("env.js:1:");
}

#[test]
fn every_kind_of_file_that_a_program_reads_is_recorded_and_can_be_refused() {
    let home = with("");
    home.write(
        "conf/eco.config.ts",
        "import { readFileSync } from 'node:fs';\n\
         import dep from 'dep';\n\
         import data from './data.json' with { type: 'json' };\n\
         import { part } from './part';\n\
         import dotenv from 'dotenv';\n\
         const config: object = dotenv.config({ path: '.env.more', quiet: true }).parsed ?? {};\n\
         process.chdir('conf');\n\
         export default { apps: [{ name: dep.name, script: '../stay.sh', env: { ...data, ...part, ...config } }] };\n",
    );
    home.write("conf/data.json", r#"{ "A": "1" }"#);
    home.write("conf/part.ts", "export const part: { B: string } = { B: '2' };");
    home.write("node_modules/dep/package.json", r#"{ "name": "dep", "main": "lib/main" }"#);
    home.write("node_modules/dep/lib/main.js", "exports.name = require('../package.json').name;");
    home.write(".env.more", "C=3\n");
    let entry = "conf/eco.config.ts";
    let seen = inputs(&home, &[entry]);
    let files: Vec<&str> =
        seen["files"].as_array().expect("a list").iter().filter_map(|f| f["path"].as_str()).collect();
    for file in [
        entry,
        "conf/data.json",
        "conf/part.ts",
        "node_modules/dep/package.json",
        "node_modules/dep/lib/main.js",
        ".env.more",
        "stay.sh",
    ] {
        assert!(files.contains(&file), "{file} is not in {seen:#}");
    }
    // A package is refused as one: without its manifest it would only not be found.
    let output = home.exits(65, &["validate", entry, "--hermetic"]);
    output.says("error[refused]").says("the module `node_modules/dep").says("conf/eco.config.ts:2:17");
    let output = home.exits(65, &["validate", entry, "--hermetic", "--allow-read", "node_modules"]);
    output.says("the file `.env.more` is refused").says("conf/eco.config.ts:6:");
    home.ok(&["validate", entry, "--hermetic", "--allow-read", "node_modules", "--allow-read", ".env.more"]);
    for command in ["explain", "convert"] {
        let words: &[&str] = if command == "explain" { &["dep.env.A"] } else { &[] };
        let rest: &[&str] = if command == "convert" { &["--to", "yaml"] } else { &[] };
        home.exits(65, &[&[command], words, &[entry, "--hermetic"], rest].concat()).says("error[refused]");
    }
}

#[test]
fn node_has_the_limits_but_is_no_sandbox() {
    let home = with("const { HOME } = process.env;\nmodule.exports = { apps: [{ name: 'a', script: './stay.sh' }] };");
    for (variable, flags) in [("embedded", &["--js-engine", "node"][..]), ("node", &[])] {
        let mut home = with("const one = 1;\nmodule.exports = { apps: [{ name: 'a', script: './stay.sh' }] };");
        home.set_env("PMRUN_JS_ENGINE", variable);
        let output = ended(&home, &[&["--hermetic"], flags].concat());
        output
            .says("error[unconfined]")
            .says("`--hermetic` cannot keep a config in that runs in Node")
            .says("PMRUN_JS_ENGINE");
    }
    if !needs_node() {
        return;
    }
    assert_eq!(inputs(&home, &["eco.config.js", "--js-engine", "node"])["incomplete"], json!(true));
    for (text, flags, said) in [
        ("for (;;);", &["--eval-timeout", "1s"][..], "error[time-limit]"),
        ("const a = []; for (;;) a.push(Buffer.alloc(1e6, 1));", &["--eval-timeout", "30s"], "error[memory-limit]"),
        ("const a = []; for (;;) a.push({ a });", &["--eval-timeout", "30s"], "error[memory-limit]"),
        ("module.exports = 'x'.repeat(7e7);", &["--eval-timeout", "30s"], "error[output-limit]"),
        ("process.abort();", &["--eval-timeout", "30s"], "error[engine]"),
    ] {
        ended(&with(text), &[&["--js-engine", "node"], flags].concat()).says(said);
    }
}

#[test]
fn a_file_that_may_be_read_need_not_be_there() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let text = "const fs = require('fs');\nmodule.exports = [{ name: 'a', script: './stay.sh', env: { X: String(fs.existsSync('.env')) } }];\n";
    home.write("eco.config.js", text);
    home.exits(65, &["validate", "eco.config.js", "--hermetic"]).says("`--allow-read .env` allows it");
    home.ok(&["validate", "eco.config.js", "--hermetic", "--allow-read", ".env"]);
}
