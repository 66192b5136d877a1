//! Why a server fails that is right by itself, as far as its last words and the machine show: one line, with what mends it.

use std::path::Path;

use super::{exchange, surroundings};
use crate::base::shell_word;
use crate::platform::{self, Listener, Listeners};
use crate::rpc::wire::{Answer, AppView, Request};
use crate::spec::{AppSpec, ExecMode};
use crate::supervisor::SERVE_FILES;

/// How runtimes say that somebody else listens there: node and bun, Python, Go and Rust, gunicorn.
const IN_USE: [&str; 3] = ["EADDRINUSE", "ddress already in use", "onnection in use"];

/// What the last words of an app's process show. Nothing is asked of the daemon, or looked for, where they show nothing.
pub(super) fn seen(app: &str, lines: &[String]) -> Option<String> {
    let port = port_in_use(lines)?;
    let home = surroundings::home().ok()?;
    let request = Request::Show { targets: vec!["all".to_owned()], reveal: false, ambient: false };
    let Ok(Some(Answer::Show { apps, .. })) = exchange::ask(&home, request) else { return None };
    let spec = &apps.iter().find(|view| view.spec.name == app)?.spec;
    Some(explain(spec, port, &holder(&apps, platform::listeners(port))))
}

/// Whose a port is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    Nobody,
    /// Another user's process.
    Hidden,
    /// An instance, its app, and whether it is its first process that listens, and none that this has started.
    Instance {
        label: String,
        app: String,
        itself: bool,
    },
    /// pmrun itself, for an app in cluster mode or with `listen`.
    Pmrun,
    Stranger(Listener),
}

fn holder(apps: &[AppView], found: Listeners) -> Holder {
    let known = match found {
        Listeners::Nobody => return Holder::Nobody,
        Listeners::Hidden => return Holder::Hidden,
        Listeners::Known(known) => known,
    };
    // The daemon and the keeper have what their apps share, too.
    if known.iter().any(|listener| is_pmrun(&listener.command, platform::is_same_program(listener.pid))) {
        return Holder::Pmrun;
    }
    let instances = || apps.iter().flat_map(|app| &app.instances);
    // A wrapper's server is below it.
    let is_its = |listener: &Listener| {
        let view = instances().find(|view| view.pid.is_some_and(|pid| listener.lineage.contains(&pid)))?;
        let label = format!("{}:{}", view.name, view.slot);
        Some(Holder::Instance { label, app: view.name.clone(), itself: view.pid == Some(listener.pid) })
    };
    match (known.iter().find_map(is_its), known.into_iter().next()) {
        (Some(holder), _) => holder,
        (None, Some(listener)) => Holder::Stranger(listener),
        (None, None) => Holder::Nobody,
    }
}

/// A process that serves files is an app, though its program is the `same` as ours.
fn is_pmrun(command: &str, same: bool) -> bool {
    let mut words = command.split(' ');
    let program = words.next().and_then(|program| Path::new(program).file_name()?.to_str());
    let is_ours = same || program == Some("pmrun");
    is_ours && words.next().is_some_and(|word| (word.starts_with("__") && word != SERVE_FILES) || word == "daemon")
}

fn explain(spec: &AppSpec, port: u16, holder: &Holder) -> String {
    let name = &spec.name;
    let again = format!("`pmrun restart {}` tries again", shell_word(name));
    match holder {
        Holder::Nobody if spec.is_worker() => {
            format!("somebody had port {port}, which is free now, or `{name}` listens on it twice: {again}")
        }
        Holder::Nobody => format!("somebody had port {port}, which is free now: {again}"),
        Holder::Hidden => format!(
            "port {port} belongs to a process of another user, which `ss -ltnp 'sport = :{port}'` names as root: end that, or \
             give `{name}` another port"
        ),
        Holder::Stranger(Listener { pid, command, .. }) => format!(
            "port {port} belongs to process {pid} (`{command}`), which is none of pmrun's instances: end that, or give `{name}` \
             another port"
        ),
        Holder::Instance { label, app, .. } if app != name => {
            format!("port {port} is `{label}`'s: give `{name}` another one")
        }
        Holder::Instance { label, itself: true, .. } if spec.is_worker() => format!(
            "`{label}` has opened port {port} by itself, so that nobody can share it, nor take it over in a reload: its code says so \
             (`exclusive: true`, or a runtime that is not Node's cluster). Without `exclusive` instances share it; where it has to \
             be, `pmrun restart {}` replaces it with downtime",
            shell_word(name)
        ),
        Holder::Instance { label, .. } if spec.is_worker() => format!(
            "`{label}` has opened port {port} by itself, so that nobody can share it: something between pmrun and Node's cluster \
             (a shell, `npm`, `tsx`) keeps the channel to itself. Have Node run the server: `script: \"server.js\"`, for \
             TypeScript with `node_args: \"--import tsx\"`"
        ),
        Holder::Instance { label, itself, .. } => format!(
            "`{label}` of the same app has port {port} already. {} or give each a port of its own with `increment_var: \"PORT\"`",
            match spec.exec_mode {
                ExecMode::Fork if spec.is_node() && *itself =>
                    "Let them share it with `exec_mode: \"cluster\"`,".to_owned(),
                ExecMode::Fork if spec.is_node() => {
                    "Have Node run the server itself, and not what starts it (`npm`, a shell), with `exec_mode: \"cluster\"`,".to_owned()
                }
                _ => format!("Let them share it with `listen: [\"tcp:0.0.0.0:{port}\"]` (README, sockets),"),
            }
        ),
        Holder::Pmrun if spec.is_worker() => format!(
            "pmrun has port {port} open for an app in cluster mode or with `listen`: for another one, or `{name}` listens on it \
             twice. Each server needs a port of its own"
        ),
        Holder::Pmrun => format!(
            "pmrun has port {port} open for an app in cluster mode or with `listen`: give `{name}` another port{}",
            if spec.listen.is_empty() { "" } else { ", or have it take the socket that it is given (LISTEN_FDS)" }
        ),
    }
}

/// The port that somebody else has, where that is what they say.
fn port_in_use(lines: &[String]) -> Option<u16> {
    let at = lines.iter().rposition(|line| IN_USE.iter().any(|words| line.contains(words)))?;
    // Node has the port in a line of its own where the message is too far above.
    let own = |line: &String| line.trim().strip_prefix("port: ")?.trim_end_matches(',').parse::<u16>().ok();
    last_port(&lines[at]).or_else(|| lines.iter().rev().find_map(own)).filter(|port| *port != 0)
}

/// The last number in a line that follows a colon or a comma, as in `:::3000`, `127.0.0.1:80`, `('0.0.0.0', 8000)`.
fn last_port(line: &str) -> Option<u16> {
    let ends: Vec<usize> = line.match_indices([':', ',']).map(|(at, _)| at + 1).collect();
    ends.into_iter().rev().find_map(|at| {
        let rest = line[at..].trim_start();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_port_is_read_from_what_runtimes_write() {
        let table = [
            ("Error: listen EADDRINUSE: address already in use :::3000\n    at x (a.js:1:2)", Some(3000)),
            ("Error: bind EADDRINUSE 127.0.0.1:81", Some(81)),
            (
                "  code: 'EADDRINUSE',\n  errno: -98,\n  syscall: 'listen',\n  address: '::',\n  port: 4000\n}",
                Some(4000),
            ),
            (
                "OSError: [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
                Some(8000),
            ),
            ("panic: listen tcp :8080: bind: address already in use", Some(8080)),
            ("[ERROR] Connection in use: ('127.0.0.1', 8001)", Some(8001)),
            ("cannot listen on `tcp:127.0.0.1:8002` (listen): Address already in use", Some(8002)),
            ("OSError: [Errno 98] Address already in use", None),
            ("Error: connect ECONNREFUSED 127.0.0.1:5432", None),
            ("port: 3000", None),
            ("", None),
        ];
        for (text, port) in table {
            assert_eq!(port_in_use(&lines(text)), port, "{text}");
        }
    }

    #[test]
    fn each_holder_has_its_remedy() {
        let mut spec = AppSpec::new("web", "/x/a.js", "/x");
        spec.interpreter = Some("node".to_owned());
        let instance =
            |label: &str, app: &str, itself| Holder::Instance { label: label.to_owned(), app: app.to_owned(), itself };
        let sibling = instance("web:0", "web", false);
        assert!(explain(&spec, 80, &sibling).contains("not what starts it"));
        assert!(
            explain(&spec, 80, &instance("web:0", "web", true))
                .contains("Let them share it with `exec_mode: \"cluster\"")
        );
        spec.exec_mode = ExecMode::Cluster;
        assert!(explain(&spec, 80, &sibling).contains("--import tsx"));
        let exclusive = explain(&spec, 80, &instance("web:0", "web", true));
        assert!(exclusive.contains("exclusive: true") && !exclusive.contains("tsx"), "{exclusive}");
        assert!(explain(&spec, 80, &Holder::Pmrun).contains("twice"));
        assert!(explain(&spec, 80, &Holder::Nobody).contains("or `web` listens on it twice"));
        spec.interpreter = Some("python3".to_owned());
        assert!(explain(&spec, 80, &sibling).contains("listen: [\"tcp:0.0.0.0:80\"]"));
        let other = instance("api:1", "api", true);
        assert_eq!(explain(&spec, 80, &other), "port 80 is `api:1`'s: give `web` another one");
        let stranger = Listener { pid: 7, command: "nginx -g x".to_owned(), lineage: vec![7] };
        assert!(explain(&spec, 80, &Holder::Stranger(stranger)).contains("process 7 (`nginx -g x`)"));
        assert!(explain(&spec, 80, &Holder::Nobody).ends_with("`pmrun restart web` tries again"));
        assert!(explain(&spec, 80, &Holder::Hidden).contains("sport = :80"));
    }

    #[test]
    fn the_daemon_is_known_by_its_command() {
        let table = [
            ("/usr/bin/pmrun __daemon", false, true),
            ("pmrun daemon", false, true),
            ("/opt/pm2 __daemon", true, true),
            ("/opt/pm2 __daemon", false, false),
            ("pmrun __serve", true, false),
            ("pmrun list", true, false),
            ("node pmrun", false, false),
        ];
        for (command, same, want) in table {
            assert_eq!(is_pmrun(command, same), want, "{command}");
        }
    }
}
