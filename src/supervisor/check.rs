use std::collections::BTreeMap;
use std::sync::Arc;

use super::launch::{Launch, LaunchId, Layout, NODE_UNIQUE_ID, Output, launch};
use super::pacing;
use crate::base::InstanceId;
use crate::spec::{AppSpec, HealthCheck, Probe};

/// The first probes of a process come fast: whoever waits for it wants to know as soon as it is up.
const FIRST_MS: u64 = 100;

/// Everything that is needed to look after the health of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub launch: LaunchId,
    pub ask: Ask,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    /// Passes in a row that are told; later ones are no news.
    pub passes_told: u32,
    /// It is a worker of Node's cluster: who connects to its port is served by any of them.
    pub worker: bool,
}

/// What is asked, with the instance's variables in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Http(String),
    Tcp(String),
    /// Each time under a launch of its own.
    Exec(Box<Launch>),
}

impl Check {
    /// How long to wait before the next probe, after `probes` of which the last `passed`.
    ///
    /// At first soon and then less and less often; once one has passed, at the interval, a tenth more or less: what was
    /// started together shall not be asked together. Where the interval is long, whoever asks has other ways to that.
    #[must_use]
    pub fn wait_ms(&self, probes: u32, ever_passed: bool) -> u64 {
        let spread = |ms: u64| pacing::around(ms, LaunchId(self.launch.0.wrapping_mul(31).wrapping_add(probes.into())));
        if ever_passed {
            return spread(self.interval_ms);
        }
        let grown = (0..probes.min(40)).fold(FIRST_MS, |ms, _| ms.saturating_mul(3) / 2);
        grown.min(self.interval_ms)
    }
}

/// None where the app has no health check.
#[must_use]
pub fn check(
    id: LaunchId,
    spec: &AppSpec,
    slot: u32,
    list_id: u32,
    layout: &Layout,
    ambient: &Arc<BTreeMap<String, String>>,
) -> Option<Check> {
    let HealthCheck { probe, interval_ms, timeout_ms, healthy_threshold, .. } = spec.health_check.as_ref()?;
    let process = launch(id, spec, slot, list_id, layout, ambient);
    let variable = |name: &str| process.env.get(name).or_else(|| process.ambient.get(name)).map(String::as_str);
    let worker = process.worker;
    let ask = match probe {
        Probe::Http(url) => Ask::Http(expanded(url, variable)),
        Probe::Tcp(address) => Ask::Tcp(expanded(address, variable)),
        Probe::Exec(words) => {
            let (program, args) = words.split_first()?;
            let mut process = process;
            // It is no worker of the cluster that the instance may be one of.
            process.env.remove(NODE_UNIQUE_ID);
            Ask::Exec(Box::new(Launch {
                // Nobody takes it for the instance itself.
                instance: InstanceId::new(format!("{} health_check", spec.name), slot),
                program: program.clone(),
                args: args.to_vec(),
                out: Output::Null,
                error: Output::Null,
                framing: None,
                pid_file: String::new(),
                channel: false,
                // They are the app's: who asks how it is accepts nobody for it.
                listen: Vec::new(),
                worker: false,
                preload: false,
                mapped: None,
                notify: false,
                ready_log: None,
                stdin: false,
                tree: true,
                relieves: false,
                steered: false,
                // As the app: where, as whom, with what, and within which bounds.
                id: process.id,
                cwd: process.cwd,
                ambient: process.ambient,
                env: process.env,
                user: process.user,
                group: process.group,
                umask: process.umask,
                nice: process.nice,
                rlimits: process.rlimits,
                limits: process.limits,
                // Of no use to what has no files and no sockets.
                rotation: process.rotation,
                distribution: process.distribution,
            }))
        }
    };
    let (interval_ms, timeout_ms, passes_told) = (*interval_ms, *timeout_ms, *healthy_threshold);
    Some(Check { launch: id, ask, interval_ms, timeout_ms, passes_told, worker })
}

/// `$NAME` and `${NAME}`; what is not known stays as it is.
fn expanded<'a>(text: &str, variable: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let end = after.find(|c| !is_part(c)).unwrap_or(after.len());
        let (name, length) = braced.map_or((&after[..end], end), |(name, _)| (name, name.len() + 2));
        match variable(name) {
            Some(value) => out.push_str(value),
            None => out.push_str(&rest[at..=at + length]),
        }
        rest = &after[length..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(probe: Probe) -> Check {
        let mut spec = AppSpec::new("api", "/a/api.js", "/a");
        spec.env = BTreeMap::from([("PORT".to_owned(), "3000".to_owned())]);
        spec.increment_var = Some("PORT".to_owned());
        spec.health_check = Some(HealthCheck::new(probe));
        spec.listen = vec!["tcp:8000".to_owned()];
        let ambient = Arc::new(BTreeMap::from([("HOST".to_owned(), "db".to_owned())]));
        check(
            LaunchId(7),
            &spec,
            2,
            3,
            &Layout { home: "/h".to_owned(), names: crate::supervisor::Names::Own },
            &ambient,
        )
        .unwrap()
    }

    #[test]
    fn variables_are_the_instances_own() {
        let table = [
            ("http://127.0.0.1:$PORT/health", "http://127.0.0.1:3002/health"),
            ("http://${HOST}:${PORT}/$", "http://db:3002/$"),
            ("http://$NOBODY:80/${NOBODY}", "http://$NOBODY:80/${NOBODY}"),
            ("http://a/${", "http://a/${"),
        ];
        for (written, want) in table {
            assert_eq!(checked(Probe::Http(written.to_owned())).ask, Ask::Http(want.to_owned()));
        }
    }

    #[test]
    fn a_command_is_a_launch_that_leaves_nothing_behind() {
        let words = ["./check.sh", "--fast"].map(str::to_owned).to_vec();
        let Ask::Exec(launch) = checked(Probe::Exec(words)).ask else { panic!("no command") };
        assert_eq!((launch.program.as_str(), launch.args.as_slice()), ("./check.sh", ["--fast".to_owned()].as_slice()));
        assert_eq!((&launch.out, &launch.error, launch.cwd.as_str()), (&Output::Null, &Output::Null, "/a"));
        assert_eq!(launch.env["PORT"], "3002");
        assert!(launch.pid_file.is_empty() && launch.tree && launch.instance.app != "api");
        assert!(launch.listen.is_empty() && !launch.shares_sockets(), "what the app listens on is its own");
    }

    #[test]
    fn the_first_probes_come_fast_and_the_later_ones_are_spread() {
        let check = checked(Probe::Tcp("localhost:1".to_owned()));
        let first: Vec<u64> = (0..14).map(|probes| check.wait_ms(probes, false)).collect();
        assert_eq!(first[..4], [100, 150, 225, 337]);
        assert_eq!(first[13], 10_000);
        let later: std::collections::BTreeSet<u64> = (0..50).map(|probes| check.wait_ms(probes, true)).collect();
        assert!(later.len() > 40 && later.iter().all(|ms| (9_000..=11_000).contains(ms)), "{later:?}");
    }
}
