//! Properties that hold of any input. They are the tests' own: `cargo test` goes through the seeds with them.

#[path = "../../tests/it/fuzzing/document.rs"]
mod document;
#[path = "../../tests/it/fuzzing/engine.rs"]
mod engine;
#[path = "../../tests/it/fuzzing/properties.rs"]
mod properties;

/// Checks an input of a target.
pub fn run(target: &str, bytes: &[u8]) {
    let (_, check) = properties::TARGETS.iter().find(|(name, _)| *name == target).expect("it is one of them");
    check(bytes);
}
