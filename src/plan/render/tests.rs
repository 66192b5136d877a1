use std::sync::Arc;

use super::*;
use crate::base::Key;
use crate::graph::Graph;
use crate::plan::{Action, ActualApp, ActualInstance, Liveness, Plan, PlanPolicy, Refusal, Snapshot, plan};
use crate::spec::{AppSpec, EcosystemId, Field};

const TEXT: Style = Style { colour: false, unicode: true };

fn sample() -> Plan {
    let old = AppSpec::new("api", "/srv/api.js", "/srv");
    let mut new = old.clone();
    new.env.insert("PORT".into(), "1|2".into());
    new.env.insert("MENTION".into(), "@all `x` <b>".into());
    new.max_memory_restart = Some(300 << 20);
    let mut web = AppSpec::new("web", "/srv/web.js", "/srv");
    web.instances = 2;
    web.env = (0..12).map(|i| (format!("V{i}"), "x".to_owned())).collect();
    let spec = Arc::new(old);
    let instance = ActualInstance { liveness: Liveness::Up, launched: Some(Arc::clone(&spec)) };
    let known =
        ActualApp { ecosystem: Some(id()), file: None, spec, instances: [(0, instance)].into(), downtime_ms: None };
    let actual = Snapshot { generation: 3, apps: [("api".to_owned(), known)].into() };
    plan(&graph(vec![new, web]), &actual, &PlanPolicy::new(Key([1; 32])))
}

fn id() -> EcosystemId {
    EcosystemId("/srv/shop".to_owned())
}

fn graph(apps: Vec<AppSpec>) -> Graph {
    Graph { ecosystem: id(), file: "e.json5".into(), profile: None, apps, deploy: None }
}

fn origin(app: &str, path: &str) -> Option<String> {
    match (app, path) {
        ("api", "env.PORT") => Some("e.json5:4:9".to_owned()),
        ("api", "max_memory_restart") => Some("e.json5:12:9".to_owned()),
        ("web", "script" | "env") => Some("e.json5:20:5".to_owned()),
        _ => None,
    }
}

#[test]
fn text_says_where_and_why() {
    golden("render_text", &render_text(&sample(), &origin, TEXT));
}

#[test]
fn markdown_is_one_table() {
    golden("render_markdown", &render_markdown(&sample(), &origin));
}

#[test]
fn json_has_every_key() {
    let mut value = render_json(&sample(), &origin);
    validate(&value);
    value["steps"].as_array_mut().unwrap().truncate(1);
    golden("render_json", &serde_json::to_string_pretty(&value).unwrap());
}

#[test]
fn colour_is_only_added() {
    let plain = render_text(&sample(), &origin, TEXT);
    let coloured = render_text(&sample(), &origin, Style { colour: true, ..TEXT });
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    assert_eq!(stripped + rest, plain);
    assert!(coloured.len() > plain.len());
}

#[test]
fn ascii_is_ascii() {
    assert!(render_text(&sample(), &origin, Style { unicode: false, ..TEXT }).is_ascii());
}

#[test]
fn a_reload_is_told_from_a_restart_with_downtime() {
    let mut plan = sample();
    plan.steps = plan.steps.into_iter().filter(|step| step.action == Action::Restart).take(1).collect();
    let step = &mut plan.steps[0];
    (step.overlaps, step.downtime) = (true, None);
    let text = |plan: &Plan, unicode| render_text(plan, &origin, Style { unicode, ..TEXT });
    assert!(text(&plan, true).starts_with("↻ ") && text(&plan, false).starts_with("^ "), "{}", text(&plan, true));
    assert!(text(&plan, true).ends_with("Plan: 1 to reload, 0 unchanged\n"), "{}", text(&plan, true));
    plan.steps[0].overlaps = false;
    assert!(text(&plan, true).starts_with("! ") && text(&plan, true).contains("Plan: 1 to restart"));
}

#[test]
fn refused_plans_say_so() {
    let mut refused = sample();
    refused.steps.clear();
    refused.refusals = vec![Refusal::OwnedByOther { app: "api".into(), owner: None }];
    assert_eq!(render_text(&refused, &origin, TEXT), "Plan: refused\n");
    assert!(render_markdown(&refused, &origin).contains("belongs to no file"));
    validate(&render_json(&refused, &origin));
}

#[test]
fn a_comment_is_never_too_long() {
    let mut plan = sample();
    plan.steps = std::iter::repeat_n(plan.steps[0].clone(), 5_000).collect();
    let text = render_markdown(&plan, &origin);
    assert!(text.len() < 65_000);
    assert!(text.contains("more lines are not shown"));
    assert!(text.ends_with("**Plan: 5000 to restart, 0 unchanged**\n"));
}

#[test]
fn the_schema_knows_every_field() {
    let schema = schema();
    let known: Vec<Field> = serde_json::from_value(schema["definitions"]["field"]["enum"].clone()).unwrap();
    assert_eq!(known, Field::ALL);
}

/// Compares with `fixtures/plan/<name>.snap`; `INSTA_UPDATE=always` accepts what has changed.
pub(in crate::plan) fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../fixtures/plan");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn schema() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../schema/plan.schema.json")).unwrap()
}

/// Panics unless a plan's JSON is what the committed schema says.
pub(in crate::plan) fn validate(value: &serde_json::Value) {
    use std::sync::LazyLock;
    static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(|| jsonschema::draft7::new(&schema()).unwrap());
    if let Err(error) = VALIDATOR.validate(value) {
        panic!("{error} at {}", error.instance_path());
    }
}

#[test]
fn who_reads_a_changed_option_is_told() {
    let why = |change: fn(&mut AppSpec)| {
        let old = Arc::new(AppSpec::new("api", "/srv/api.js", "/srv"));
        let mut new = (*old).clone();
        change(&mut new);
        let instance = ActualInstance { liveness: Liveness::Up, launched: Some(Arc::clone(&old)) };
        let known = ActualApp {
            ecosystem: Some(id()),
            file: None,
            spec: old,
            instances: [(0, instance)].into(),
            downtime_ms: None,
        };
        let actual = Snapshot { generation: 3, apps: [("api".to_owned(), known)].into() };
        let made = plan(&graph(vec![new]), &actual, &PlanPolicy::new(Key([1; 32])));
        let json = render_json(&made, &origin);
        json["steps"][0]["changes"][0]["why"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(why(|app| app.pid_file = Some("/x".into())), "it is written when the process starts");
    assert_eq!(why(|app| app.logs.merge = true), "logs are opened when the process starts");
    assert_eq!(why(|app| app.readiness.wait_ready = true), "the process gets its channel at its start");
    assert_eq!(why(|app| app.cwd = "/".into()), "the process reads it at its start");
    assert_eq!(why(|app| app.restart.max_restarts = 1), "takes effect at once");
    assert_eq!(why(|app| app.max_memory_restart = Some(1)), "takes effect at once");
    assert_eq!(why(|app| app.uid = Some("0".into())), "the process reads it at its start");
    assert_eq!(why(|app| app.watch.enabled = true), "takes effect at once");
}
