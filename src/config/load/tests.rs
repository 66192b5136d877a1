use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::base::sha256_hex;
use crate::config::Mapping;
use crate::schema::{FileEntry, Surroundings as _};
use crate::spec::Fingerprint;

fn world(cwd: &Path) -> World {
    World {
        env: BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())]),
        cwd: cwd.to_owned(),
        home: Some("/home/app".into()),
        cpus: crate::base::Cpus::of_machine(2),
        mapping: None,
        engine: crate::config::js::Engine::Embedded,
        reading: crate::config::Reading::default(),
    }
}

fn graph(file: &str, folder: &Path) -> Graph {
    let loaded = load(Path::new(file), None, &world(folder));
    loaded.graph.unwrap_or_else(|| panic!("{file}: {:#?}", loaded.report.diagnostics))
}

fn fixture(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config").join(folder)
}

/// The config programs of the same folder are compared end to end: they need the pmrun binary.
#[test]
fn the_same_file_in_every_format_is_the_same_graph() {
    let folder = fixture("equiv");
    let plain = |file: &str| {
        let Graph { ecosystem, file: _, profile, apps, deploy } = graph(file, &folder);
        serde_json::to_value((ecosystem, profile, apps, deploy)).unwrap()
    };
    let want = plain("ecosystem.json");
    assert_eq!(want[2][0]["env"]["RATIO"], "0.5");
    for ending in ["json5", "jsonc", "yaml", "yml", "toml"] {
        assert_eq!(plain(&format!("ecosystem.{ending}")), want, "{ending}");
    }
}

#[test]
fn origins_name_lines_and_columns() {
    let Loaded { graph, origins, .. } = load(Path::new("ecosystem.json"), None, &world(&fixture("equiv")));
    let place = |path| origins.place("api", path);
    assert_eq!(place("script").as_deref(), Some("ecosystem.json:6:17"));
    assert_eq!(place("env.LEVEL").as_deref(), Some("ecosystem.json:11:25"));
    assert_eq!(place("env.FROM_FILE").as_deref(), Some("api.env"));
    assert_eq!((place("env.NONE"), place("uid")), (None, None));
    assert_eq!(graph.unwrap().ecosystem.0, "equiv");
}

/// The engine needs the pmrun binary: in a unit test nothing but a literal has a value.
#[test]
fn a_literal_program_needs_no_engine() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let common = "module.exports = [\n  { name: 'a', script: 'sleep 100' }]";
    fs::create_dir_all(folder.path().join("esm/sub")).unwrap();
    fs::create_dir_all(folder.path().join("linked")).unwrap();
    write("esm/package.json", r#"{"type": "module"}"#);
    for name in ["a.js", "a.cjs", "a.mjs", "esm/sub/a.js", "esm/sub/a.cjs", "esm/sub/a.mjs"] {
        write(
            name,
            if name.contains(".mjs") { "export default [\n  { name: 'a', script: 'sleep 100' }]" } else { common },
        );
    }
    std::os::unix::fs::symlink("../esm/sub/a.js", folder.path().join("linked/a.js")).unwrap();
    std::os::unix::fs::symlink("../a.js", folder.path().join("linked/b.mjs")).unwrap();
    let files =
        ["a.js", "a.cjs", "a.mjs", "esm/sub/a.js", "esm/sub/a.cjs", "esm/sub/a.mjs", "linked/a.js", "linked/b.mjs"];
    let read = |file: &&str| {
        let program = read_program(Path::new(file), &world(folder.path()), &mut Report::default());
        matches!(program, Some(Program::Literal(_)))
    };
    let read: Vec<&str> = files.into_iter().filter(read).collect();
    assert_eq!(read, ["a.js", "a.cjs", "a.mjs", "esm/sub/a.cjs", "esm/sub/a.mjs", "linked/b.mjs"]);
    let loaded = load(Path::new("a.cjs"), None, &world(folder.path()));
    assert_eq!(loaded.origins.place("a", "script").as_deref(), Some("a.cjs:2:24"));
}

#[test]
fn an_ecosystem_without_a_name_is_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("apps.json"), r#"[{"script": "sleep 100"}]"#).unwrap();
    let graph = graph("./sub/../apps.json", folder.path());
    assert_eq!(graph.ecosystem.0, folder.path().to_str().unwrap());
    assert_eq!(graph.file, "./sub/../apps.json");
    assert_eq!(graph.apps[0].cwd, folder.path().to_str().unwrap());
}

#[test]
fn one_app_of_a_command_line_goes_by_the_same_rules() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.sh"), "").unwrap();
    let text = |text: &str| Node::new(Kind::String(text.to_owned()), None);
    let entry = |key: &str, value| Entry { key: Key { text: key.to_owned(), span: None }, value };
    let app = |script: &str| Node::new(Kind::Mapping(vec![entry("script", text(script))]), None);
    let loaded = load_node(folder.path(), Path::new("command line"), app("./x.sh"), &world(folder.path()));
    let apps = loaded.graph.unwrap().apps;
    assert_eq!((apps[0].name.as_str(), apps.len()), ("x", 1));
    assert!(apps[0].interpreter.is_some());
    let loaded = load_node(folder.path(), Path::new("command line"), app("./gone.sh"), &world(folder.path()));
    assert!(loaded.graph.is_none());
    assert_eq!(loaded.report.diagnostics.len(), 1);
}

#[test]
fn an_unknown_ending_lists_the_known_ones() {
    let loaded = load(Path::new("apps.ini"), None, &world(Path::new("/")));
    assert!(loaded.graph.is_none());
    assert_eq!(loaded.report.diagnostics.len(), 1);
    assert_eq!(loaded.report.diagnostics[0].message, "`apps.ini` has no ending that a config file has");
    assert!(loaded.report.diagnostics[0].hint.as_deref().is_some_and(|hint| hint.contains(".toml")));
}

#[test]
fn edited_code_is_another_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    write("a.sh", "exit 0\n");
    write("lib.sh", "1");
    write("apps.json", r#"[{"script": "a.sh", "fingerprint": ["lib.*"]}]"#);
    let code = || graph("apps.json", folder.path()).apps[0].fingerprint.clone();
    let before = code();
    let want =
        [("a.sh", "exit 0\n"), ("lib.sh", "1")].map(|(name, text)| (name.to_owned(), sha256_hex(text.as_bytes())));
    assert_eq!(before, Fingerprint(BTreeMap::from(want)));
    assert_eq!(before, code());
    write("lib.sh", "2");
    assert_ne!(before, code());
}

#[test]
fn the_machine_tells_what_is_at_a_path() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("plain"), "x").unwrap();
    fs::write(path("tool"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(path("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    let mut world = world(folder.path());
    world.env.insert("PATH".to_owned(), format!("relative::{}", folder.path().display()));
    let machine = Machine::new(&world, &world.cwd);
    assert_eq!(machine.entry(&path("plain")), FileEntry::File { executable: false });
    assert_eq!(machine.entry(&path("tool")), FileEntry::File { executable: true });
    assert_eq!(machine.entry(&path("socket")), FileEntry::Other);
    assert_eq!(machine.entry(folder.path()), FileEntry::Folder);
    assert_eq!(machine.entry(&path("none")), FileEntry::Missing);
    assert_eq!(machine.entry(&path("plain/below")), FileEntry::Missing);
    assert!(matches!(machine.entry(&path(&"n".repeat(300))), FileEntry::Unusable(_)));
    assert_eq!(machine.program("tool", None), Some(path("tool")));
    assert_eq!(machine.program("plain", None), None);
    assert_eq!(machine.program("tool", Some("/nowhere")), None);
    assert_eq!(machine.head(&path("tool")), b"#!/bin/sh\n");
}

#[test]
fn another_revision_is_read_from_its_copy_and_the_rest_from_the_work_tree() {
    let tree = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("a.sh"), "new").unwrap();
    fs::write(copy.path().join("a.sh"), "old").unwrap();
    fs::write(tree.path().join("built.js"), "built").unwrap();
    let mapping =
        Mapping { revision: Some("4f2a".to_owned()), ..Mapping::new(tree.path().to_owned(), copy.path().to_owned()) };
    let world = World { mapping: Some(mapping), ..world(tree.path()) };
    let machine = Machine::new(&world, &world.cwd);
    assert_eq!(machine.digest(&tree.path().join("a.sh")).unwrap(), sha256_hex(b"old"));
    assert_eq!(machine.digest(&tree.path().join("built.js")).unwrap(), sha256_hex(b"built"));
    assert_eq!(machine.revision(tree.path()).unwrap(), "4f2a");
}
