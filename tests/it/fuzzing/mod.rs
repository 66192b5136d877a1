//! The inputs that `fuzz/` begins with, and those that once were a fault: all of them hold to the same properties here.

mod document;
mod engine;
mod properties;

use std::path::{Path, PathBuf};

use pmrun::config::{self, World};
use pmrun::document::Format;
use pmrun::schema;

use crate::support::fixture;

#[test]
fn every_seed_and_every_fault_that_was_found_holds() {
    for (target, check) in properties::TARGETS {
        let seeds = files(&fixture("fuzz").join(target));
        assert!(seeds.len() > 2, "{target}: {seeds:?}");
        for seed in seeds {
            println!("{}", seed.display());
            check(&std::fs::read(seed).expect("it can be read"));
        }
    }
}

/// Whatever else lies in the tree, to all of them, whole and cut off.
#[test]
fn every_config_holds_whole_and_cut_off() {
    let configs: Vec<PathBuf> = ["equiv", "ok"].iter().flat_map(|name| files(&fixture("config").join(name))).collect();
    assert!(configs.len() > 8, "{configs:?}");
    for config in configs {
        let bytes = std::fs::read(&config).expect("it can be read");
        for (_, check) in properties::TARGETS {
            check(&bytes);
            for at in (0..bytes.len()).step_by(1 + bytes.len() / 16) {
                println!("{} up to {at}", config.display());
                check(&bytes[..at]);
            }
        }
    }
}

/// Texts of megabytes that took minutes: whatever looks back at all that was read before, for each value, is seen here.
#[test]
fn large_texts_are_read_in_time() {
    let nested: Vec<String> = (0..250).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let texts = [
        (Format::Yaml, nested.concat() + &"#\n".repeat(1_000_000)),
        (Format::Yaml, format!("- {}", "<<: {}\n  ".repeat(49_000))),
    ];
    for (format, text) in texts {
        assert!(config::parse(&text, format).0.is_some());
    }
    let env: Vec<String> = (0..100_000).map(|index| format!("K{index}=1\n")).collect();
    assert_eq!(config::parse_dotenv(&env.concat()).len(), 100_000);
    let keys: Vec<String> = (0..50_000).map(|index| format!("k{index}: null,")).collect();
    let document = config::read_back(&format!("{{apps: [{{env: {{A: {{{}}}}}}}]}}", keys.concat()), Format::Json5);
    let document = document.expect("it is JSON5");
    assert!(schema::portable(&document, Format::Toml).1.iter().all(|lost| lost.meant));
}

#[test]
fn very_many_problems_are_told_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World {
        env: std::collections::BTreeMap::default(),
        cwd: folder.path().to_owned(),
        home: None,
        cpus: pmrun::base::Cpus::of_machine(2),
        mapping: None,
        engine: config::js::Engine::default(),
        reading: pmrun::config::Reading::default(),
    };
    let texts = [
        ("lines.json5", format!("{{apps: [\n{}]}}", "5,\n".repeat(3_000))),
        ("line.json5", format!("{{apps: [{}]}}", "{script: 5, é: 1},".repeat(3_000))),
        ("tags.yaml", "- !x y\n".repeat(3_000)),
    ];
    for (name, text) in texts {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it can be written");
        let mut report = config::load(&path, None, &world).report;
        assert_eq!(report.diagnostics.len(), 1_001, "{name}");
        report.diagnostics.drain(..990);
        properties::check_shown(&report);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}
