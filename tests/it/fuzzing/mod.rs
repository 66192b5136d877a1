//! The inputs that `fuzz/` begins with, and those that once were a fault: all of them hold to the same properties here.

mod document;
mod engine;
mod properties;

use std::path::{Path, PathBuf};

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

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}
