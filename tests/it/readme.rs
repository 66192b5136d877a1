//! The README does what it says: its files are written, its `console run` blocks are run one after the other, and
//! what they print is compared, apart from pids, times and sizes. `BLESS=1` writes what was printed into the README.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::support::Home;

const BOUND: Duration = Duration::from_mins(1);

/// A fenced block: what its first line says, and its lines.
struct Block {
    info: String,
    begins: usize,
    lines: Vec<String>,
}

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md")
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(info) => {
                open = true;
                found.push(Block { info: info.to_owned(), begins: number + 1, lines: Vec::new() });
            }
            None if open => found.last_mut().expect("one is open").lines.push(line.to_owned()),
            None => {}
        }
    }
    assert!(!open, "a block of the README has no end");
    found
}

/// Commands and what each prints.
fn steps(block: &Block) -> Vec<(String, Vec<String>)> {
    let mut steps: Vec<(String, Vec<String>)> = Vec::new();
    for line in &block.lines {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push((command.to_owned(), Vec::new())),
            None => steps.last_mut().expect("a block begins with a command").1.push(line.clone()),
        }
    }
    steps
}

/// What differs from one run to the next becomes `#`, and columns move with it. Lines are sorted: those that tell of
/// several apps at once come as they come.
fn alike(lines: &[String]) -> Vec<String> {
    let number = regex_lite::Regex::new(r"\b\d+(\.\d+)?(ms|s|m|h|[KMG])?\b").expect("a pattern");
    // Whoever runs this: apps run as that user.
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name);
    let user = user.unwrap_or_default();
    let mut lines: Vec<String> = lines
        .iter()
        .map(|line| {
            let words = number.replace_all(line, "#").into_owned();
            words.split_whitespace().map(|word| if word == user { "root" } else { word }).collect::<Vec<_>>().join(" ")
        })
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort();
    lines
}

#[test]
fn the_readme_does_what_it_says() {
    let home = Home::new();
    let text = readme();
    let blocks = blocks(&text);
    let mut replaced: Vec<(usize, usize, String)> = Vec::new();
    let mut ran = 0;
    for block in &blocks {
        let words: Vec<&str> = block.info.split(' ').collect();
        if let [_, file] = words[..]
            && file.contains('.')
        {
            home.write(file, block.lines.join("\n") + "\n");
        }
        if block.info != "console run" {
            continue;
        }
        let mut fresh = String::new();
        for (command, want) in steps(block) {
            let output = home.run_command(home.shell(&format!("exec 2>&1; {command}")), BOUND);
            assert!(matches!(output.code, Some(0 | 2)), "{output}{}", home.daemon_log());
            let _ = writeln!(fresh, "$ {command}");
            // A folder of the same length, so that columns stay straight; ours is different each time.
            let printed = output.stdout.replace(home.work.to_str().expect("UTF-8"), "/srv/example/shop");
            fresh += &printed;
            let got: Vec<String> = printed.lines().map(str::to_owned).collect();
            if std::env::var_os("BLESS").is_none() {
                assert_eq!(alike(&got), alike(&want), "the README's `{command}`; BLESS=1 rewrites it\n{output}");
            }
            ran += 1;
        }
        replaced.push((block.begins, block.lines.len(), fresh));
    }
    assert!(ran >= 5, "the README shows less than it did");
    if std::env::var_os("BLESS").is_some() {
        bless(&text, &replaced);
    }
}

fn bless(text: &str, replaced: &[(usize, usize, String)]) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (begins, count, fresh) in replaced.iter().rev() {
        let fresh = fresh.lines().map(|line| line.trim_end().to_owned());
        lines.splice(*begins..*begins + *count, fresh);
    }
    std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"), lines.join("\n") + "\n").expect("write");
}

#[test]
fn every_command_that_the_readme_names_exists() {
    let home = Home::new();
    let text = readme();
    let pattern = regex_lite::Regex::new(r"(?m)(?:^\$ |`)pmrun ([a-zA-Z]+)").expect("a pattern");
    let mut names: Vec<String> = pattern.captures_iter(&text).map(|found| found[1].to_owned()).collect();
    names.sort();
    names.dedup();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        home.ok(&[&name, "--help"]);
    }
}

#[test]
fn every_config_in_the_readme_is_valid() {
    let home = Home::new();
    let mut count = 0;
    for block in blocks(&readme()) {
        let ending = match block.info.split(' ').next().unwrap_or_default() {
            "js" => "config.js",
            "json5" => "json5",
            "json" => "json",
            "yaml" => "yaml",
            "toml" => "toml",
            _ => continue,
        };
        let name = format!("eco-{count}.{ending}");
        home.write(&name, block.lines.join("\n") + "\n");
        // Only whether it is understood: its scripts are not here.
        let output = home.run(&["validate", "--json", &name]);
        for code in ["syntax", "unknown-option", "value", "shape", "thrown", "missing-module", "unsupported"] {
            output.never_shows(&format!("\"{code}\""));
        }
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn the_example_is_applied_and_everything_in_it_comes_up() {
    let home = Home::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Where the README's first command runs it: in the tree itself.
    let example = root.join("ecosystem.example.json5");
    let mut command = home.command(&["apply", example.to_str().expect("UTF-8")]);
    command.current_dir(root);
    home.run_command(command, BOUND).exited(0).says("applied");
    for one in home.list() {
        assert!(matches!(one.state().as_str(), "online" | "completed" | "stopped"), "{one:?}");
    }
    home.exits(0, &["diff", example.to_str().expect("UTF-8")]);
    home.ok(&["validate", "--strict", example.to_str().expect("UTF-8")]);
}
