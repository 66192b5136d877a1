//! What is said where a server fails that is right by itself.

use std::net::TcpListener;

use serde_json::json;

use crate::support::{Home, needs_node};

const SERVER: &str = "require('http').createServer((_, answer) => answer.end()).listen(process.env.PORT)";

#[test]
fn a_port_that_is_taken_is_said_to_be_whose_and_what_mends_it() {
    if !needs_node() {
        return;
    }
    let home = Home::new();
    home.write("server.js", SERVER);
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let app = json!({
        "name": "web", "script": "server.js", "max_restarts": 2, "env": { "PORT": port.to_string(), "HOST": "127.0.0.1" },
    });
    home.write("eco.json", json!({ "apps": [app] }).to_string());
    home.write("server.js", SERVER.replace("PORT)", "PORT, '127.0.0.1')"));
    let whose = format!("port {port} belongs to process {} (", std::process::id());
    home.exits(3, &["apply", "eco.json"]).says(&whose);
    home.ok(&["why", "web"]).prints(&whose);
    let why = home.json(&["why", "web", "--json"]);
    assert!(why["instances"][0]["remedy"].as_str().expect("a remedy").starts_with(&whose), "{why}");
    drop(taken);
    home.ok(&["why", "web"]).prints(&format!("somebody had port {port}, which is free now"));
}

#[test]
fn instances_that_cannot_share_their_port_are_told_how_they_could() {
    if !needs_node() {
        return;
    }
    let home = Home::new();
    home.write("server.js", SERVER);
    let port = crate::cluster::free_port();
    let app = json!({
        "name": "web", "script": "server.js", "instances": 2, "exec_mode": "fork", "max_restarts": 2,
        "env": { "PORT": port.to_string() },
    });
    home.write("eco.json", json!({ "apps": [app] }).to_string());
    home.exits(3, &["apply", "eco.json"]).says(&format!("of the same app has port {port} already")).says("cluster");
}

#[test]
fn a_library_that_wants_code_in_the_primary_is_named_with_its_remedy() {
    let home = Home::new();
    home.write("server.js", SERVER);
    home.write("package.json", r#"{ "dependencies": { "log4js": "6" } }"#);
    home.write("node_modules/log4js/package.json", "{}");
    home.write("node_modules/prom-client/package.json", "{}");
    let app = |mode: &str| json!({ "name": "web", "script": "server.js", "interpreter": "node", "exec_mode": mode });
    let write = |mode: &str| home.write("eco.json", json!({ "apps": [app(mode)] }).to_string());
    if !needs_node() {
        return;
    }
    write("cluster");
    let said = home.exits(2, &["diff", "eco.json"]);
    said.says("`web`: if it logs by log4js").says("disableClustering: true");
    assert!(!said.stderr.contains("prom-client"), "it is there for somebody else: {said}");
    write("fork");
    assert!(!home.exits(2, &["diff", "eco.json"]).stderr.contains("log4js"));
}

#[test]
fn a_reload_with_downtime_says_so_before_how_long_it_took_and_what_to_set() {
    let home = Home::new();
    home.app("stay.sh", "api.sh");
    let app = |version: &str| {
        json!({ "apps": [{ "name": "api", "script": "./api.sh", "env": { "V": version }, "min_uptime": 1 }] })
            .to_string()
    };
    home.write("eco.json", app("1"));
    home.ok(&["apply", "eco.json"]);
    home.until_state("api:0", "online");
    home.write("eco.json", app("2"));
    let remedy = "listen: [\"tcp:0.0.0.0:PORT\"]";
    home.exits(2, &["diff", "eco.json"]).prints("restart 1 instance (downtime)\n").prints(remedy);
    let said = home.ok(&["reload", "api"]);
    said.says("`api` is restarted, with downtime; a server is reloaded without it by").says(remedy);
    home.until_state("api:0", "online");
    home.exits(2, &["diff", "eco.json"]).prints("restart 1 instance (downtime, ").prints(" last time)\n");
    let plan = home.exits(2, &["diff", "eco.json", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).expect("JSON");
    assert!(plan["steps"][0]["downtime"]["last_ms"].is_u64(), "{plan}");
    home.ok(&["reload", "api"]).says(" last time); a server");
    // What somebody has stopped is not missing meanwhile.
    let last = |home: &Home| home.json(&["list", "--json"])["instances"][0]["downtime_ms"].clone();
    let before = last(&home);
    home.ok(&["stop", "api"]);
    home.ok(&["start", "api"]);
    home.until_state("api:0", "online");
    assert_eq!(last(&home), before);
}
