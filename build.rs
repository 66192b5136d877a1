//! How the program is linked.

#![allow(clippy::print_stdout, reason = "it is how cargo is told")]

/// On Linux it runs at a fixed address. Its tables, those of the JavaScript engine above all, hold 43,000 pointers, which the
/// loader would have to set whenever a command begins: 0.6 of the 2.7 ms that `pmrun list` takes, and 0.7 MB that each of its
/// processes would have for itself (measured). Stack, heap and libraries are where the system puts them, as before.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let said = |name: &str| std::env::var(name).unwrap_or_default();
    let is_static = said("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if said("CARGO_CFG_TARGET_OS") == "linux" && said("CARGO_CFG_TARGET_ENV") == "gnu" && !is_static {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
