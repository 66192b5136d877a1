//! Another version of a config as what runs (`diff --base`): no daemon is asked, no work tree is touched.

use std::path::{Path, PathBuf};

use super::checkout::Checkout;
use super::error::CliError;
use super::loading::{self, EntryFile, Talk};
use super::terminal::Terminal;
use crate::config::{self, Mapping, World, git};
use crate::diag::Code;
use crate::graph::Selection;
use crate::plan::Snapshot;

/// What would run had the other version been applied.
pub(super) fn snapshot(
    written: &str,
    entry: &EntryFile,
    profile: Option<&str>,
    selection: &Selection,
    world: &World,
    terminal: &mut Terminal,
) -> Result<Snapshot, CliError> {
    let Some(revision) = written.strip_prefix("git:") else {
        let file = loading::absolute(Path::new(written), world);
        if !file.exists() {
            let error = CliError::error(format!("no such file: `{written}`"));
            // `main` and `HEAD~1` may be meant as revisions, `old/eco.json` hardly.
            let is_revision = Path::new(written).extension().is_none() && written != "git";
            return Err(if is_revision {
                error.hint(format!("a revision is written as `git:{written}`"))
            } else {
                error
            });
        }
        let seen = seen_as(&entry.path, &file);
        let mapping = Mapping { shown: Some(written.into()), ..Mapping::new(seen.clone(), file) };
        let entry = EntryFile::at(seen, world);
        let world = World { mapping: Some(mapping), ..world.clone() };
        return read(&entry, written, profile, selection, &world, &|| Ok(()), terminal);
    };
    if revision.is_empty() {
        return Err(CliError::usage("`--base git:` names no revision").hint("like `git:HEAD` or `git:origin/main`"));
    }
    let checkout = Checkout::new(revision, &entry.path, world)?;
    if !checkout.has(&entry.path) {
        terminal.say(format!("`{}` is new since `{revision}`", entry.named.display()));
        return Ok(Snapshot::default());
    }
    // Its programs' commands are to find the checkout, whoever runs us.
    let mapping = Some(checkout.mapping.clone());
    let world = World { env: git::wherever(&world.env), mapping, ..world.clone() };
    read(entry, written, profile, selection, &world, &|| checkout.check(), terminal)
}

/// A base file stands where the entry stands. One of another format keeps its own name there.
fn seen_as(entry: &Path, file: &Path) -> PathBuf {
    if entry.extension() == file.extension() {
        return entry.to_owned();
    }
    entry.with_file_name(file.file_name().unwrap_or_default())
}

fn read(
    entry: &EntryFile,
    written: &str,
    profile: Option<&str>,
    selection: &Selection,
    world: &World,
    check: &dyn Fn() -> Result<(), CliError>,
    terminal: &mut Terminal,
) -> Result<Snapshot, CliError> {
    let loaded = config::load_selected(&entry.named, profile, selection, world);
    // What came of a file that was not read to its end is nobody's concern.
    check()?;
    if loaded.report.has_errors() {
        terminal.say(format!("in the base, `{written}`:"));
    }
    if let Some(profile) = profile.filter(|_| loaded.report.diagnostics.iter().any(|d| d.code == Code::Profile)) {
        terminal.say(format!("`{written}` has no profile `{profile}` yet: its apps are compared without it"));
    }
    // Its warnings are no longer anybody's concern.
    let talk = if loaded.report.has_errors() { Talk::Warnings } else { Talk::None };
    let graph = loading::judge(loaded.graph, &loaded.report, false, talk, terminal)?;
    Ok(Snapshot::of(&graph))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_of_another_format_keeps_its_ending() {
        let entry = Path::new("/srv/ecosystem.config.js");
        assert_eq!(seen_as(entry, Path::new("/tmp/old.js")), entry);
        assert_eq!(seen_as(entry, Path::new("/tmp/old.yaml")), Path::new("/srv/old.yaml"));
    }
}
