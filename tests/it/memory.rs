//! `max_memory_restart` counts a process with all that it has started.

use serde_json::json;

use crate::support::{Home, needs_python};

/// Takes 60 MB in a grandchild that left its session, and stays.
const GREEDY: &str = "import signal, subprocess, sys
if len(sys.argv) > 1:
    held = bytearray(60 << 20)
    signal.pause()
subprocess.Popen([sys.executable, __file__, 'child'], start_new_session=True)
signal.pause()
";

#[test]
fn an_instance_whose_children_use_too_much_is_restarted_and_it_is_said_why() {
    if !needs_python() {
        return;
    }
    let home = Home::new();
    home.write("greedy.py", GREEDY);
    home.write("plain.py", "import signal\nsignal.pause()\n");
    let app = |name: &str, limit: &str| json!({ "name": name, "script": format!("{name}.py"), "max_memory_restart": limit, "min_uptime": 100 });
    home.write_json("eco.json", &json!([app("greedy", "50M"), app("plain", "50M")]));
    home.ok(&["apply", "eco.json"]);
    let all = home.until("it is restarted", |all| all.iter().any(|one| one.name() == "greedy" && one.restarts() == 1));
    assert!(all.iter().any(|one| one.name() == "plain" && one.restarts() == 0));
    home.until_state("greedy:0", "online");
    home.ok(&["show", "greedy"]).prints("restarted: it used ").prints("(max_memory_restart)");
    home.ok(&["why", "greedy"]).prints("(max_memory_restart)").prints("max_memory_restart: 50M");
    let log = home.daemon_log();
    assert!(log.contains("`greedy:0` is restarted: it uses ") && log.contains("more than 50M"), "{log}");
}
