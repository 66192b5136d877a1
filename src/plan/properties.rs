//! What holds for every plan, whatever is declared and whatever runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::render::tests::validate;
use super::{
    Action, ActualApp, ActualInstance, Liveness, Plan, PlanPolicy, Reason, Snapshot, Style, check_stale, plan,
    process_visible_eq, render_json, render_markdown, render_text, restrict, simulate,
};
use crate::base::Key;
use crate::graph::{Graph, Selection};
use crate::spec::{AppSpec, EcosystemId, ExecMode, Fingerprint, FingerprintBy, Impact};

/// Few, so that what is declared and what runs meet.
const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

fn ours() -> EcosystemId {
    EcosystemId("ours".to_owned())
}

/// Everything a plan is made from.
#[derive(Clone, Debug)]
struct Case {
    graph: Graph,
    actual: Snapshot,
    policy: PlanPolicy,
}

impl Case {
    fn plan(&self) -> Plan {
        plan(&self.graph, &self.actual, &self.policy)
    }

    fn plan_from(&self, actual: &Snapshot) -> Plan {
        plan(&self.graph, actual, &self.policy)
    }
}

fn app() -> impl Strategy<Value = AppSpec> {
    let process = (
        btree_map(select(vec!["A", "B"]), select(vec!["1", "2"]), 0..2),
        option::of(select(vec!["x", "y"])),
        select(vec![ExecMode::Fork, ExecMode::Fork, ExecMode::Cluster]),
    );
    let live = (1..4_u32, prop::bool::weighted(0.8), 0..2_u32, vec(select(&NAMES[..]), 0..3));
    let from = option::weighted(0.2, select(&NAMES[..]));
    (process, live, from).prop_map(|((env, code, exec_mode), (instances, autostart, max, needs), from)| {
        let mut app = AppSpec::new("", "/srv/x.js", "/srv");
        app.env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        app.fingerprint = Fingerprint(code.into_iter().map(|code| ("x.js".to_owned(), code.to_owned())).collect());
        // With two kinds of fingerprint, by what else is drawn.
        if max == 1 {
            app.fingerprint_by = FingerprintBy::Git;
        }
        app.exec_mode = exec_mode;
        app.instances = instances;
        app.autostart = autostart;
        app.restart.max_restarts = max;
        app.depends_on = needs.into_iter().map(str::to_owned).collect();
        app.renamed_from = from.map(str::to_owned);
        app
    })
}

/// Dependencies run along a random order of the names, so there is no circle; the file has its own order.
fn graph() -> impl Strategy<Value = Graph> {
    let names = Just(NAMES.to_vec()).prop_shuffle();
    (names, vec(option::of(app()), NAMES.len()), any::<u64>()).prop_map(|(ranked, apps, file_order)| {
        let mut apps: Vec<AppSpec> = ranked
            .iter()
            .zip(apps)
            .filter_map(|(name, app)| app.map(|app| AppSpec { name: (*name).to_owned(), ..app }))
            .collect();
        for i in 0..apps.len() {
            let earlier: BTreeSet<String> = apps[..i].iter().map(|app| app.name.clone()).collect();
            apps[i].depends_on.retain(|need| earlier.contains(need));
        }
        apps.sort_by_key(|app| file_order.rotate_left(u32::from(app.name.as_bytes()[0]) * 7));
        let file = "e.json5".to_owned();
        Graph { ecosystem: ours(), file, profile: None, apps, deploy: None }
    })
}

/// A process up to date, behind, or of unknown age; or none.
fn instance() -> impl Strategy<Value = (Liveness, Option<AppSpec>, bool)> {
    let liveness = prop_oneof![
        4 => Just(Liveness::Up),
        1 => Just(Liveness::Stopped),
        1 => Just(Liveness::Completed),
        1 => Just(Liveness::Errored),
    ];
    (liveness, option::weighted(0.3, app()), prop::bool::weighted(0.1))
}

fn known(owners: &'static [Option<&'static str>]) -> impl Strategy<Value = ActualApp> {
    (app(), btree_map(0..4_u32, instance(), 0..4), select(owners)).prop_map(|(app, instances, owner)| {
        let spec = Arc::new(app);
        let instances = instances.into_iter().map(|(slot, (liveness, behind, unknown))| {
            let launched = behind.map_or_else(|| Arc::clone(&spec), Arc::new);
            // How a process that ended by itself was started stays known.
            let unknown = unknown && liveness != Liveness::Completed || liveness == Liveness::Stopped;
            (slot, ActualInstance { liveness, launched: (!unknown).then_some(launched) })
        });
        ActualApp {
            ecosystem: owner.map(|id| EcosystemId(id.to_owned())),
            file: None,
            instances: instances.collect(),
            spec,
            downtime_ms: None,
        }
    })
}

fn snapshot(owners: &'static [Option<&'static str>]) -> impl Strategy<Value = Snapshot> {
    (0..9_u64, btree_map(select(&NAMES[..]), known(owners), 0..NAMES.len())).prop_map(|(generation, apps)| {
        let named = |(name, app): (&str, ActualApp)| {
            let rename = |spec: &AppSpec| Arc::new(AppSpec { name: name.to_owned(), ..spec.clone() });
            (name.to_owned(), ActualApp { spec: rename(&app.spec), ..app })
        };
        Snapshot { generation, apps: apps.into_iter().map(named).collect() }
    })
}

fn policy() -> impl Strategy<Value = PlanPolicy> {
    let only = option::weighted(0.3, btree_set(select(&NAMES[..]), 1..4));
    (only, prop::bool::weighted(0.8), any::<bool>(), prop::bool::weighted(0.9)).prop_map(
        |(only, prune, adopt, allow_empty)| PlanPolicy {
            selection: only
                .map_or(Selection::All, |names| Selection::Only(names.into_iter().map(str::to_owned).collect())),
            prune,
            adopt,
            allow_empty,
            key: Key([3; 32]),
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let owners = prop_oneof![
        3 => snapshot(&[Some("ours")]),
        1 => snapshot(&[Some("ours"), Some("ours"), Some("theirs"), None]),
    ];
    (graph(), owners, policy()).prop_map(|(graph, actual, policy)| Case { graph, actual, policy })
}

/// What of a state matters: who owns what, what is on record, what runs and from what.
fn essence(state: &Snapshot) -> impl PartialEq + std::fmt::Debug {
    let instance = |app: &ActualApp, instance: &ActualInstance| {
        let current = instance.launched.as_ref().is_some_and(|launched| process_visible_eq(launched, &app.spec));
        (instance.liveness, current)
    };
    let app = |app: &ActualApp| {
        let spec = AppSpec { renamed_from: None, ..AppSpec::clone(&app.spec) };
        let instances: BTreeMap<u32, _> = app.instances.iter().map(|(slot, one)| (*slot, instance(app, one))).collect();
        (app.ecosystem.clone(), spec, instances)
    };
    state.apps.iter().map(|(name, known)| (name.clone(), app(known))).collect::<BTreeMap<_, _>>()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn what_was_applied_needs_nothing(case in case()) {
        let first = case.plan();
        prop_assume!(first.refusals.is_empty());
        let after = simulate::apply(&first, usize::MAX, &case.actual, &case.graph);
        let second = case.plan_from(&after);
        prop_assert!(second.is_empty(), "{first:#?}\n{second:#?}");
    }

    #[test]
    fn any_prefix_converges_to_the_same(case in case(), cut in any::<Index>(), begun in any::<bool>()) {
        let first = case.plan();
        prop_assume!(first.refusals.is_empty() && !first.steps.is_empty());
        let cut = cut.index(first.steps.len());
        let mut broken = simulate::apply(&first, cut, &case.actual, &case.graph);
        if begun {
            broken = simulate::begin(&first, cut, &broken, &case.graph);
        }
        let second = case.plan_from(&broken);
        prop_assert_eq!(&second.refusals, &[]);
        let detour = simulate::apply(&second, usize::MAX, &broken, &case.graph);
        let straight = simulate::apply(&first, usize::MAX, &case.actual, &case.graph);
        prop_assert_eq!(essence(&detour), essence(&straight));
    }

    #[test]
    fn nothing_else_is_touched(case in case()) {
        let plan = case.plan();
        let after = simulate::apply(&plan, usize::MAX, &case.actual, &case.graph);
        let declared: BTreeSet<&str> = case.graph.apps.iter().map(|app| app.name.as_str()).collect();
        for step in &plan.steps {
            let is_gone = !declared.contains(step.app.as_str());
            prop_assert!(is_gone || case.policy.selection.contains(&step.app));
            prop_assert!(!is_gone || case.policy.selection == Selection::All);
            prop_assert!(step.action != Action::Delete || is_gone && case.policy.prune);
            for name in step.renamed_from.iter().chain([&step.app]) {
                let owner = case.actual.apps.get(name).map(|app| app.ecosystem.clone());
                let foreign = owner.is_some_and(|owner| owner != Some(ours()));
                prop_assert!(!foreign || case.policy.adopt && step.action != Action::Delete);
            }
        }
        let acted: BTreeSet<&String> = plan.steps.iter().filter(|step| !step.is_keep())
            .flat_map(|step| step.renamed_from.iter().chain([&step.app])).collect();
        for (name, app) in case.actual.apps.iter().filter(|(name, _)| !acted.contains(name)) {
            prop_assert_eq!(format!("{:?}", app), format!("{:?}", after.apps[name]));
        }
    }

    #[test]
    fn steps_follow_dependencies(case in case()) {
        let plan = case.plan();
        let place = |name: &str| plan.steps.iter().position(|step| step.app == name && !step.is_keep());
        for (here, step) in plan.steps.iter().enumerate() {
            for name in &step.after {
                prop_assert!(place(name).is_some_and(|there| there < here), "{} after {name}", step.app);
            }
            if step.is_keep() || step.action == Action::Delete {
                continue;
            }
            let app = case.graph.apps.iter().find(|app| app.name == step.app).unwrap();
            for need in app.depends_on.iter().filter(|need| place(need).is_some()) {
                prop_assert!(step.after.contains(need));
            }
            let runs = |app: &str| case.actual.apps[app].instances.values().any(|one| one.liveness == Liveness::Up);
            let ends = |gone: &&super::Step| gone.action == Action::Delete && runs(&gone.app);
            let waits = !step.start.is_empty() || !step.replace.is_empty();
            for gone in plan.steps.iter().filter(ends) {
                prop_assert_eq!(step.after.contains(&gone.app), waits);
            }
        }
        let last_delete = plan.steps.iter().rposition(|step| step.action == Action::Delete);
        let first_other = plan.steps.iter().position(|step| step.action != Action::Delete && !step.is_keep());
        prop_assert!(last_delete.is_none() || first_other.is_none() || last_delete < first_other);
    }

    #[test]
    fn the_files_order_does_not_matter(case in case(), seed in any::<u64>()) {
        let mut other = case.clone();
        other.graph.apps.sort_by_key(|app| seed.rotate_right(u32::from(app.name.as_bytes()[0]) * 5));
        prop_assert_eq!(case.plan(), other.plan());
    }

    #[test]
    fn every_step_and_every_change_has_a_reason(case in case()) {
        for step in case.plan().steps {
            prop_assert!(!step.reasons.is_empty());
            prop_assert!(!step.is_keep() || step.changes.is_empty());
            for change in step.changes.iter().filter(|_| step.action != Action::Create) {
                let explained = step.reasons.iter().any(|reason| match reason {
                    Reason::Changed { path, impact } => *path == change.path && *impact == change.impact,
                    Reason::CodeChanged { file } => change.path == format!("code.{file}"),
                    Reason::Renamed { .. } => change.path == "name",
                    Reason::ScaledUp { .. } | Reason::ScaledDown { .. } => change.path == "instances",
                    _ => false,
                });
                prop_assert!(explained, "{} of {step:#?}", change.path);
            }
        }
    }

    #[test]
    fn slots_are_what_they_are_said_to_be(case in case()) {
        for step in case.plan().steps.iter().filter(|step| !step.is_keep()) {
            let known = case.actual.apps.get(step.renamed_from.as_ref().unwrap_or(&step.app));
            let up = |slot: &u32| {
                known.and_then(|app| app.instances.get(slot)).is_some_and(|one| one.liveness == Liveness::Up)
            };
            prop_assert!(step.replace.iter().all(up));
            prop_assert!(!step.start.iter().any(up));
            prop_assert!(step.remove.iter().all(|slot| known.is_some_and(|app| app.instances.contains_key(slot))));
            let all: Vec<u32> = [&step.start[..], &step.replace, &step.remove].concat();
            prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
            prop_assert!(step.start.is_sorted() && step.replace.is_sorted() && step.remove.is_sorted());
            prop_assert_eq!(step.action == Action::Restart, !step.replace.is_empty());
        }
    }

    #[test]
    fn gentle_changes_replace_nothing(graph in graph(), edits in vec((1..5_u32, 0..3_u32, any::<bool>()), NAMES.len())) {
        let policy = PlanPolicy { allow_empty: true, ..PlanPolicy::new(Key([3; 32])) };
        let nothing = Snapshot::default();
        let running = simulate::apply(&plan(&graph, &nothing, &policy), usize::MAX, &nothing, &graph);
        let mut edited = graph;
        for (app, (instances, max_restarts, autostart)) in edited.apps.iter_mut().zip(edits) {
            app.instances = instances;
            app.restart.max_restarts = max_restarts;
            app.autostart = autostart;
        }
        for step in plan(&edited, &running, &policy).steps {
            prop_assert!(step.changes.iter().all(|change| change.impact < Impact::Reload));
            prop_assert!(step.replace.is_empty());
            prop_assert!(step.action < Action::Restart);
        }
    }

    #[test]
    fn json_is_what_the_schema_says_and_reads_back(case in case()) {
        let plan = case.plan();
        validate(&render_json(&plan, &|app, path| path.starts_with("env").then(|| format!("{app}:1:1"))));
        let text = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn a_saved_plan_is_stale_or_done_as_it_was_shown(saved in case(), now in case()) {
        let plan = saved.plan();
        prop_assert_eq!(check_stale(&plan, &plan), Ok(()));
        prop_assert_eq!(&restrict(&plan, &plan), &plan);
        let fresh = plan_with(&saved, &now);
        if check_stale(&plan, &fresh).is_ok() {
            let left = restrict(&fresh, &plan);
            let acts = |plan: &Plan| {
                let steps = plan.steps.iter().filter(|step| !step.is_keep());
                let all = steps.map(|step| (step.app.clone(), super::Step { after: Vec::new(), ..step.clone() }));
                all.collect::<BTreeMap<_, _>>()
            };
            prop_assert_eq!(acts(&left), acts(&plan));
        }
    }
}

/// The same file after half of the state has moved.
fn plan_with(saved: &Case, now: &Case) -> Plan {
    let mut actual = saved.actual.clone();
    actual.apps.extend(now.actual.apps.iter().take(2).map(|(name, app)| (name.clone(), app.clone())));
    saved.plan_from(&actual)
}

/// Stands in every secret, at both ends of its odd characters.
const MARK: &str = "zq9X7";

fn secret() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!$%^*+@/:=&;,.#?_~'\"\\\\|<>(){}-]{0,12}".prop_map(|odd| format!("{MARK}{odd}{MARK}"))
}

/// What may stand in a URL's password without encoding, in the hand of a careless person.
fn url_secret() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!$%^*+@/:=&;,.#?_~-]{0,12}".prop_map(|odd| format!("{MARK}{odd}{MARK}"))
}

fn with_secrets() -> impl Strategy<Value = AppSpec> {
    let env =
        vec((select(vec!["API_KEY", "dbPassword", "TOKEN_2", "SENTRY_DSN", "MY_SECRET", "A-AUTH"]), secret()), 0..4);
    let urls = vec(
        (select(vec!["DATABASE_URL", "REDIS", "B"]), select(vec!["postgres://u:", "x redis://:", "u:"]), url_secret()),
        0..3,
    );
    let args = vec((select(vec!["--token=", "--api-key", "PASSWORD=", "-password"]), secret()), 0..3);
    (env, urls, args, secret()).prop_map(|(env, urls, args, one)| {
        let mut app = AppSpec::new("api", format!("curl -H 'Authorization: Bearer {MARK}' --token {MARK}"), "/srv");
        app.env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        app.env
            .extend(urls.into_iter().map(|(name, begin, secret)| (name.to_owned(), format!("{begin}{secret}@db/x"))));
        for (flag, secret) in args {
            if flag.ends_with('=') {
                app.args.push(format!("{flag}{secret}"));
            } else {
                app.args.extend([flag.to_owned(), secret]);
            }
        }
        app.watch.options = Some(serde_json::json!({ "auth": { "password": one, "n": 1 } }));
        app
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn no_secret_is_shown(old in option::of(with_secrets()), new in with_secrets()) {
        let file = "e.json5".to_owned();
        let graph = Graph { ecosystem: ours(), file, profile: None, apps: vec![new], deploy: None };
        let known = old.map(|old| {
            let spec = Arc::new(old);
            let instance = ActualInstance { liveness: Liveness::Up, launched: Some(Arc::clone(&spec)) };
            ("api".to_owned(), ActualApp { ecosystem: Some(ours()), file: None, spec, instances: [(0, instance)].into(), downtime_ms: None })
        });
        let actual = Snapshot { generation: 1, apps: known.into_iter().collect() };
        let policy = PlanPolicy::new(Key([3; 32]));
        let plan = plan(&graph, &actual, &policy);
        let fresh = super::plan(&graph, &Snapshot::default(), &policy);
        let nowhere = |_: &str, _: &str| None;
        let shown = [
            render_text(&plan, &nowhere, Style { colour: true, unicode: true }),
            render_markdown(&plan, &nowhere),
            render_json(&plan, &nowhere).to_string(),
            serde_json::to_string(&plan).unwrap(),
            format!("{plan:?} {:?} {:?}", check_stale(&plan, &fresh), check_stale(&fresh, &plan)),
        ];
        for text in shown {
            prop_assert!(!text.contains(MARK), "{text}");
        }
    }
}
