//! What surprises people whose apps run in cluster mode, and shows only when it hurts: one line each, with what mends it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::package;
use super::terminal::{Terminal, harmless};
use crate::graph::Graph;
use crate::plan::{Action, Plan};
use crate::platform;
use crate::spec::{AppSpec, Distribution, Runtime};

/// A package that asks code of the app's own in the primary of its cluster, which is pmrun's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Library {
    package: &'static str,
    /// What does not work, and what does.
    remedy: &'static str,
}

const LIBRARIES: [Library; 4] = [
    Library {
        package: "log4js",
        remedy: "if it logs by log4js, workers leave writing to a primary where log4js does not run: `disableClustering: true` in \
                 `log4js.configure()` has each write itself",
    },
    Library {
        package: "prom-client",
        remedy: "if it has metrics of prom-client, a scrape reaches any one worker, and `AggregatorRegistry` has nobody to answer \
                 it in the primary: serve each one's own at a port of its own (`increment_var: \"METRICS_PORT\"`)",
    },
    Library {
        package: STICKY,
        remedy: "if it uses @socket.io/sticky, that wants code in the primary, where there is none of yours: leave it out, and say \
                 `distribution: \"sticky\"`",
    },
    Library {
        package: "@socket.io/cluster-adapter",
        remedy: "if it uses @socket.io/cluster-adapter, its `setupPrimary` has nowhere to run, so that workers do not hear each \
                 other: use an adapter between processes (@socket.io/redis-adapter)",
    },
];
const STICKY: &str = "@socket.io/sticky";

/// Of the apps of a file that run in cluster mode.
pub(super) struct Cautions(BTreeMap<String, (Vec<String>, Option<String>)>);

impl Cautions {
    pub(super) fn of(graph: &Graph) -> Self {
        let mut known = HashMap::new();
        let workers = graph.apps.iter().filter(|spec| spec.is_worker());
        Self(workers.map(|spec| (spec.name.clone(), (libraries(spec, &mut known), reload(spec)))).collect())
    }

    /// Those that a plan makes matter.
    pub(super) fn say(&self, plan: &Plan, terminal: &mut Terminal) {
        for step in &plan.steps {
            let Some((libraries, reload)) = self.0.get(&step.app) else { continue };
            let begins = matches!(step.action, Action::Create | Action::Start | Action::Restart | Action::Scale);
            let said = libraries.iter().filter(|_| begins).chain(reload.as_ref().filter(|_| !step.replace.is_empty()));
            for text in said {
                terminal.note_once(text);
            }
        }
    }
}

/// Of one app.
pub(super) fn of_libraries(spec: &AppSpec) -> Vec<String> {
    libraries(spec, &mut HashMap::new())
}

fn libraries(spec: &AppSpec, known: &mut HashMap<PathBuf, Vec<Library>>) -> Vec<String> {
    let folder = Path::new(&spec.script).parent().filter(|folder| spec.is_worker() && folder.is_absolute());
    let Some(folder) = folder else { return Vec::new() };
    let found = known.entry(folder.to_owned()).or_insert_with(|| {
        let is_there = |library: &Library| package::depends(folder, library.package);
        LIBRARIES.into_iter().filter(is_there).collect()
    });
    let matters = |library: &&Library| library.package != STICKY || spec.distribution != Distribution::Sticky;
    found.iter().filter(matters).map(|library| format!("{}: {}", named(spec), library.remedy)).collect()
}

/// Whom a reload cuts off though it runs in cluster mode.
pub(super) fn reload(spec: &AppSpec) -> Option<String> {
    let is_bun = spec.is_worker() && spec.runtime() == Some(Runtime::Bun);
    (is_bun && !platform::migrates_requests()).then(|| {
        format!(
            "{}: Bun's processes listen each for itself, and a reload cuts off who has connected and is not accepted yet, as long as \
             `net.ipv4.tcp_migrate_req` is 0: `sysctl -w net.ipv4.tcp_migrate_req=1` (as root) has another process take them",
            named(spec)
        )
    })
}

fn named(spec: &AppSpec) -> String {
    format!("`{}`", harmless(spec.name.as_bytes(), false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ExecMode;

    #[test]
    fn a_library_is_named_where_the_app_depends_on_it_and_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for package in ["log4js", "prom-client", "@socket.io/sticky"] {
            write(&format!("node_modules/{package}/package.json"), "{}");
        }
        write(
            "app/package.json",
            r#"{ "dependencies": { "log4js": "6", "@socket.io/sticky": "1", "@socket.io/cluster-adapter": "1" } }"#,
        );
        write("app/src/server.js", "");
        let mut spec = AppSpec::new("web", folder.path().join("app/src/server.js").to_str().unwrap(), "/");
        spec.interpreter = Some("node".to_owned());
        assert_eq!(of_libraries(&spec), [""; 0], "in fork mode each does all by itself");
        spec.exec_mode = ExecMode::Cluster;
        let said = of_libraries(&spec);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("`web`: if it logs by log4js") && said[0].contains("disableClustering: true"));
        assert!(said[1].contains("distribution: \"sticky\""));
        spec.distribution = Distribution::Sticky;
        assert_eq!(of_libraries(&spec).len(), 1);
    }

    #[test]
    fn only_bun_is_cut_off() {
        let mut spec = AppSpec::new("web", "/a/server.js", "/a");
        spec.exec_mode = ExecMode::Cluster;
        for (interpreter, want) in [("bun", !platform::migrates_requests()), ("node", false), ("deno", false)] {
            spec.interpreter = Some(interpreter.to_owned());
            assert_eq!(reload(&spec).is_some(), want, "{interpreter}");
        }
    }
}
