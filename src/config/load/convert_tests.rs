//! A document in another format resolves to the same graph.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::document::{to_json, to_json_text, write};
use crate::schema::{Lost, portable};

const FORMATS: [Format; 6] =
    [Format::Json, Format::Json5, Format::Yaml, Format::Toml, Format::CommonJs, Format::Module];

fn world(folder: &Path) -> World {
    let env = std::env::vars().collect();
    World {
        env,
        cwd: folder.to_owned(),
        home: None,
        cpus: crate::base::Cpus::of_machine(2),
        mapping: None,
        engine: crate::config::js::Engine::default(),
        reading: crate::config::Reading::default(),
    }
}

/// The graph less what says where it came from, else the errors.
fn meaning(document: &Node, world: &World) -> Result<serde_json::Value, Vec<String>> {
    let (file, selection, assigned) = (Path::new("eco"), &Selection::All, &std::collections::BTreeMap::new());
    let request = Request { file, folder: &world.cwd, profile: None, selection, assigned };
    let loaded = resolve(&bare(document), Report::default(), request, world);
    match loaded.graph {
        Some(graph) => Ok(serde_json::json!([graph.ecosystem.0, graph.apps, graph.deploy])),
        None => Err(loaded.report.diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect()),
    }
}

fn bare(node: &Node) -> Node {
    let kind = match &node.kind {
        Kind::Sequence(items) => Kind::Sequence(items.iter().map(bare).collect()),
        Kind::Mapping(entries) => Kind::Mapping(
            entries
                .iter()
                .map(|entry| Entry { key: Key { span: None, ..entry.key.clone() }, value: bare(&entry.value) })
                .collect(),
        ),
        kind => kind.clone(),
    };
    Node::new(kind, None)
}

/// The document as it comes back from another format; the text says it exactly.
fn there_and_back(document: &Node, format: Format) -> (Node, Vec<Lost>) {
    let (node, lost) = portable(document, format);
    let text = write(&node, format);
    let back = read_back(&text, format).unwrap_or_else(|| panic!("{format:?} does not read:\n{text}"));
    assert_eq!(bare(&back), node, "{format:?}:\n{text}");
    (back, lost)
}

fn configs() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["fixtures/config/ok", "fixtures/config/equiv", "fixtures/config/js/shop"];
    let mut found = vec![root.join("ecosystem.example.json5")];
    for folder in folders {
        let entries = std::fs::read_dir(root.join(folder)).unwrap().flatten().map(|entry| entry.path());
        found.extend(entries.filter(|path| {
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            ["json", "json5", "jsonc", "yaml", "yml", "toml"].contains(&ending)
        }));
    }
    found
}

#[test]
fn every_fixture_means_the_same_in_every_format() {
    let configs = configs();
    assert!(configs.len() > 8, "{configs:?}");
    for path in configs {
        let world = world(path.parent().unwrap());
        let (document, report) = load_document(&path, &world);
        let document = document.unwrap_or_else(|| panic!("{}: {report:?}", path.display()));
        for format in FORMATS {
            let (back, lost) = there_and_back(&document, format);
            assert_eq!(lost, [], "{}", path.display());
            assert_eq!(meaning(&back, &world), meaning(&document, &world), "{} as {format:?}", path.display());
        }
    }
}

#[test]
fn what_a_format_cannot_say_is_told() {
    let text = "{apps: [{script: 'x.sh', env: {A: null, B: [null]}, watch_options: {depth: null}, cwd: null}], deploy: {a: null}}";
    let (document, _) = crate::config::json::parse(text, SourceId(0));
    let (node, lost) = portable(&document.unwrap(), Format::Toml);
    let lost: Vec<String> =
        lost.into_iter().map(|lost| format!("{} {}: {}", lost.meant, lost.path, lost.why)).collect();
    let want = [
        "true apps[0].env.A: as the text that the variable has in any case",
        "true apps[0].env.B: as the text that the variable has in any case",
        "false apps[0].watch_options.depth: TOML has no `null`",
        "true apps[0].cwd: not at all: TOML has no `null`, which means that it is not set",
        "false deploy.a: TOML has no `null`",
    ];
    assert_eq!(lost, want);
    let env = "script = \"x.sh\"\nwatch_options = {}\n\n[apps.env]\nA = \"null\"\nB = \"[null]\"\n";
    assert_eq!(write(&node, Format::Toml), format!("deploy = {{}}\n\n[[apps]]\n{env}"));
}

#[test]
fn of_a_package_only_the_ecosystem_is_kept() {
    let table = [
        ("{name: 'site', scripts: {a: null}, pm2: [{script: 'x.sh'}]}", "{name: 'site', apps: [{script: 'x.sh'}]}"),
        ("{name: 'site', pm2: {apps: {script: 'x.sh'}}}", "{name: 'site', apps: {script: 'x.sh'}}"),
        ("{name: 'site', pm2: {name: 'shop', apps: []}}", "{name: 'shop', apps: []}"),
        (
            "{name: 'site', pm2: {name: 'api', script: 'x.sh', deploy: {a: {}}}}",
            "{name: 'site', deploy: {a: {}}, apps: [{name: 'api', script: 'x.sh'}]}",
        ),
        (
            "{name: null, version: '1', deploy: {a: {}}, pm2: [{script: 'x.sh'}]}",
            "{deploy: {a: {}}, apps: [{script: 'x.sh'}]}",
        ),
        ("{version: '1', pm2: [{script: 'x.sh'}]}", "[{script: 'x.sh'}]"),
    ];
    for (package, want) in table {
        let parsed = |text| crate::config::json::parse(text, SourceId(0)).0.unwrap();
        let (node, lost) = portable(&parsed(package), Format::Json5);
        assert_eq!((node, lost), (bare(&parsed(want)), vec![]), "{package}");
    }
}

#[test]
fn files_look_as_a_person_would_write_them() {
    let text = "{name: 'shop', apps: [{name: 'api', script: './api.js', args: ['--port', '80'], env: {PORT: 80, GREETING: 'yes: #1'}, instances: 'max'}]}";
    let (document, _) = crate::config::json::parse(text, SourceId(0));
    let shown = |format| write(&portable(document.as_ref().unwrap(), format).0, format);
    assert_eq!(
        shown(Format::Yaml),
        "name: shop\napps:\n  - name: api\n    script: ./api.js\n    args: [\"--port\", \"80\"]\n    env:\n      PORT: 80\n      GREETING: \"yes: #1\"\n    instances: max\n"
    );
    assert_eq!(
        shown(Format::Toml),
        "name = \"shop\"\n\n[[apps]]\nname = \"api\"\nscript = \"./api.js\"\nargs = [\"--port\", \"80\"]\ninstances = \"max\"\n\n[apps.env]\nPORT = 80\nGREETING = \"yes: #1\"\n"
    );
    assert_eq!(
        shown(Format::CommonJs),
        "module.exports = {\n  name: \"shop\",\n  apps: [\n    {\n      name: \"api\",\n      script: \"./api.js\",\n      args: [\"--port\", \"80\"],\n      env: { PORT: 80, GREETING: \"yes: #1\" },\n      instances: \"max\",\n    },\n  ],\n};\n"
    );
}

fn text() -> impl Strategy<Value = String> {
    let odd = [
        "",
        " ",
        "null",
        "yes",
        "No",
        "true",
        "1e3",
        "0x1f",
        "1:30",
        "~",
        "a: b",
        "a #b",
        "- a",
        "'",
        "\"",
        "\\",
        "<<",
        "*a",
        "&a",
        "!t",
        "%",
        "@x",
        "`",
        "{a}",
        "[a]",
        "a,b",
        "./x",
        "2020-01-01",
        ".5",
        ".inf",
        "a\nb",
        "a\r\n",
        "\t",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "é🦀",
        "trailing ",
        "${HOME}",
        "*/",
        "//",
        "=",
    ];
    prop_oneof![
        2 => proptest::sample::select(odd.to_vec()).prop_map(str::to_owned),
        1 => "[ -~]{0,12}",
        1 => "\\PC{0,6}",
        1 => "[\\x01-\\x1f\\x7f-\\u{9f}]{1,3}",
    ]
}

fn value() -> impl Strategy<Value = Node> {
    let number = prop_oneof![
        any::<f64>(),
        (-1_000_000_i32..1_000_000).prop_map(f64::from),
        proptest::sample::select(vec![
            0.0,
            -0.0,
            1e21,
            1e19,
            9_223_372_036_854_775_808.0,
            0.1,
            f64::NAN,
            f64::INFINITY
        ]),
    ];
    let leaf = prop_oneof![
        1 => Just(Kind::Null),
        1 => any::<bool>().prop_map(Kind::Bool),
        2 => number.prop_map(Kind::Number),
        4 => text().prop_map(Kind::String),
    ];
    let leaf = leaf.prop_map(|kind| Node::new(kind, None));
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Kind::Sequence),
            proptest::collection::vec((key(), inner), 0..4).prop_map(mapping),
        ]
        .prop_map(|kind| Node::new(kind, None))
    })
}

/// Not the one by which JavaScript means something else, and the one that is refused for its sake.
fn key() -> impl Strategy<Value = String> {
    let text = text().prop_filter("JavaScript's", |key| !matches!(key.as_str(), "__proto__" | ""));
    prop_oneof![4 => text, 1 => "[0-9]{1,2}"]
}

fn mapping(entries: Vec<(String, Node)>) -> Kind {
    Kind::Mapping(entries.into_iter().map(|(text, value)| Entry { key: Key { text, span: None }, value }).collect())
}

fn document() -> impl Strategy<Value = Node> {
    // Every app has a name and a script already.
    let others = schema::options::rows().filter(|row| !row.is_overlay() && !["name", "script"].contains(&row.name));
    let names: Vec<&str> = others.map(|row| row.name).collect();
    let option = (proptest::sample::select(names), value()).prop_map(|(key, value)| (key.to_owned(), value));
    let env = proptest::collection::vec(("[A-Z]{1,3}|[0-9]{1,2}", value()), 0..5)
        .prop_map(|env| Node::new(mapping(env), None));
    let env = ("env|env_production", env);
    let app = (proptest::collection::vec(option, 0..2), proptest::collection::vec(env, 0..3), "[a-z]{3}");
    let app = app.prop_map(|(options, env, name)| {
        let text = |text: &str| Node::new(Kind::String(text.to_owned()), None);
        let first = [("name".to_owned(), text(&name)), ("script".to_owned(), text("x.sh"))];
        // No document has a name twice.
        let mut known = std::collections::HashSet::new();
        let all = first.into_iter().chain(env).chain(options).filter(|(name, _)| known.insert(name.clone()));
        Node::new(mapping(all.collect()), None)
    });
    (proptest::collection::vec(app, 1..4), 0..4, proptest::option::of(value())).prop_map(|(apps, shape, deploy)| {
        let list = Node::new(Kind::Sequence(apps.clone()), None);
        let first = apps.into_iter().next().expect("one");
        let deploy = deploy.map(|value| ("deploy".to_owned(), value));
        match shape {
            0 => list,
            1 => first,
            2 => Node::new(mapping(vec![("pm2".to_owned(), list)]), None),
            _ => Node::new(mapping(deploy.into_iter().chain([("apps".to_owned(), list)]).collect()), None),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn any_document_means_the_same_in_every_format(document in document()) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.sh"), "#!/bin/sh\n").unwrap();
        let world = world(folder.path());
        let want = meaning(&document, &world);
        for format in FORMATS {
            let (back, lost) = there_and_back(&document, format);
            // A package is not what it was, and TOML has apps in tables, after everything else.
            let whole = format != Format::Toml && document.get("pm2").is_none();
            if whole && lost.is_empty() {
                assert_eq!(to_json_text(&back), to_json_text(&document), "{format:?}");
            }
            let left_out = format == Format::Toml && lost.iter().any(|lost| !lost.meant && lost.why.contains(" no "));
            if want.is_ok() && !left_out {
                assert_eq!(meaning(&back, &world), want, "{format:?}\n{}\n{}", to_json(&document), write(&bare(&back), format));
            }
        }
    }
}
