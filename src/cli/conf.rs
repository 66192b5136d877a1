//! `set`, `get`, `unset`, `multiset`, `conf`: values under keys, in `module_conf.json` of the home, as PM2 keeps them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};

use super::error::CliError;
use super::exit::Exit;
use super::pm2;
use super::surroundings;
use super::terminal::{Terminal, harmless};

const FILE: &str = "module_conf.json";

#[derive(Args, Debug)]
pub(super) struct Set {
    /// `app.key` or `app:key`
    pub key: String,
    pub value: String,
}

#[derive(Args, Debug)]
pub(super) struct Get {
    pub key: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Config {
    pub key: String,
    pub value: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Multiset {
    /// `"key value key value"`
    #[arg(required = true, value_name = "KEY VALUE")]
    pub words: Vec<String>,
}

#[derive(Args, Debug)]
pub(super) struct Unset {
    pub key: String,
}

pub(super) fn set(arguments: &Set, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let (path, mut kept) = read()?;
    put(&mut kept, &arguments.key, &arguments.value)?;
    write(&path, &kept)?;
    if terminal.manners.are_pm2s() {
        pm2::say("Setting changed", terminal)?;
        pm2::renew(first(&arguments.key), terminal)?;
        show(&kept, first(&arguments.key), terminal)?;
    }
    Ok(Exit::Done)
}

/// What is kept of an app, as variables.
pub(super) fn of_app(name: &str) -> Vec<(String, String)> {
    let kept = read().map(|(_, kept)| kept).unwrap_or_default();
    let Some(Value::Object(inner)) = kept.get(name) else { return Vec::new() };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let whole = (name.to_owned(), Value::Object(inner.clone()).to_string());
    inner.iter().map(|(key, value)| (key.clone(), text(value))).chain([whole]).collect()
}

pub(super) fn multiset(arguments: &Multiset, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let (path, mut kept) = read()?;
    let words: Vec<&str> = arguments.words.iter().flat_map(|word| word.split_whitespace()).collect();
    for pair in words.chunks(2) {
        let [key, value] = pair else {
            return Err(CliError::usage(format!("`{}` has no value: nothing was kept", pair.join(" "))));
        };
        put(&mut kept, key, value)?;
    }
    write(&path, &kept)?;
    if terminal.manners.are_pm2s() {
        let apps: std::collections::BTreeSet<&str> = words.chunks(2).map(|pair| first(pair[0])).collect();
        for app in apps {
            pm2::renew(app, terminal)?;
        }
        for pair in words.chunks(2) {
            show(&kept, first(pair[0]), terminal)?;
        }
    }
    Ok(Exit::Done)
}

pub(super) fn get(arguments: &Get, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let (_, kept) = read()?;
    let Some(key) = arguments.key.as_deref().filter(|key| *key != "all") else {
        for name in kept.keys() {
            show(&kept, name, terminal)?;
        }
        return Ok(Exit::Done);
    };
    let mut parts = key.split(['.', ':']);
    let mut found = parts.next().and_then(|part| kept.get(part));
    for part in parts {
        found = found.and_then(|value| value.get(part));
    }
    match found {
        None => Err(CliError::error(format!("nothing is kept under `{key}`")).in_pm2s_words("")),
        Some(Value::Object(_)) => show(&kept, first(key), terminal).map(|()| Exit::Done),
        Some(value) if terminal.manners.are_pm2s() => {
            let (module, rest) = key.split_once(['.', ':']).unwrap_or((key, key));
            terminal.print(format!("Value for module {module} key {rest}: {}\n", plain(value)))?;
            Ok(Exit::Done)
        }
        Some(value) => terminal.print(format!("{}\n", plain(value))).map(|()| Exit::Done),
    }
}

pub(super) fn config(arguments: &Config, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let Config { key, value } = arguments;
    match value {
        Some(value) => set(&Set { key: key.clone(), value: value.clone() }, terminal),
        None => get(&Get { key: Some(key.clone()) }, terminal),
    }
}

pub(super) fn unset(arguments: &Unset, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let (path, mut kept) = read()?;
    let key = &arguments.key;
    let removed = match key.split_once(['.', ':']) {
        _ if key == "all" => {
            kept.clear();
            true
        }
        None => kept.remove(key).is_some(),
        Some((name, rest)) => {
            let inner = kept.get_mut(name).and_then(Value::as_object_mut);
            inner.is_some_and(|inner| inner.remove(rest).is_some())
        }
    };
    write(&path, &kept)?;
    if terminal.manners.are_pm2s() {
        show(&kept, first(key), terminal)?;
    } else if !removed {
        terminal.say(format!("nothing was kept under `{key}`"));
    }
    Ok(Exit::Done)
}

fn first(key: &str) -> &str {
    key.split(['.', ':']).next().unwrap_or(key)
}

/// As text without quotes.
fn plain(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    harmless(text.as_bytes(), false)
}

/// Everything below a first part, as the commands that would keep it.
fn show(kept: &Map<String, Value>, name: &str, terminal: &mut Terminal) -> Result<(), CliError> {
    let shown = harmless(name.as_bytes(), false);
    let program = if terminal.manners.are_pm2s() { "pm2" } else { "pmrun" };
    match kept.get(name) {
        Some(Value::Object(inner)) => {
            terminal.print(format!("Module: {shown}\n"))?;
            for (key, value) in inner {
                let key = harmless(key.as_bytes(), false);
                terminal.print(format!("$ {program} set {shown}:{key} {}\n", plain(value)))?;
            }
            Ok(())
        }
        Some(value) => terminal.print(format!("$ {program} set {shown} {}\n", plain(value))),
        None => terminal.print(format!("Module: {shown}\n")),
    }
}

fn put(kept: &mut Map<String, Value>, key: &str, value: &str) -> Result<(), CliError> {
    let parts: Vec<&str> = key.split(['.', ':']).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(CliError::usage(format!("`{key}` is no key")).hint("`app.key` or `app:key`"));
    }
    let (last, folders) = parts.split_last().ok_or_else(|| CliError::usage("there is no key"))?;
    let mut place = kept;
    for part in folders {
        let inner = place.entry((*part).to_owned()).or_insert_with(|| Value::Object(Map::new()));
        if !inner.is_object() {
            *inner = Value::Object(Map::new());
        }
        let Value::Object(inner) = inner else { return Err(CliError::error("no object")) };
        place = inner;
    }
    place.insert((*last).to_owned(), Value::String(value.to_owned()));
    Ok(())
}

fn read() -> Result<(PathBuf, Map<String, Value>), CliError> {
    let path = surroundings::home()?.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok((path, Map::new())),
        Err(err) => return Err(CliError::io("read", &path, &err)),
    };
    let kept = serde_json::from_str(&text).map_err(|err| {
        CliError::error(format!("`{}` cannot be used: {err}", path.display())).hint("put it right, or remove it")
    })?;
    Ok((path, kept))
}

fn write(path: &Path, kept: &Map<String, Value>) -> Result<(), CliError> {
    if let Some(home) = path.parent() {
        crate::platform::ensure_home(home).map_err(|err| CliError::io("make", home, &err))?;
    }
    let text = serde_json::to_string_pretty(kept).unwrap_or_default();
    let beside = path.with_extension("json.new");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, path))
        .map_err(|err| CliError::io("write", path, &err))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_places_in_an_object() {
        let mut kept = Map::new();
        for (key, value) in [("a.b", "1"), ("a:c", "2"), ("d", "x"), ("d.e", "y")] {
            put(&mut kept, key, value).unwrap();
        }
        assert_eq!(Value::Object(kept.clone()).to_string(), r#"{"a":{"b":"1","c":"2"},"d":{"e":"y"}}"#);
        assert_eq!(put(&mut kept, "a..b", "1").unwrap_err().exit, Exit::Usage);
    }
}
