//! Which value is meant.

use super::super::error::CliError;
use crate::base::closest;
use crate::diag::Code;
use crate::graph::Graph;
use crate::schema::Row;
use crate::schema::options::{self, OVERLAY_PREFIX};
use crate::spec::AppSpec;

pub(super) struct Asked<'a> {
    pub app: &'a AppSpec,
    pub value: Value,
}

#[derive(Clone, Copy)]
pub(super) enum Which {
    All,
    /// All variables.
    Env,
}

pub(super) enum Value {
    Several(Which),
    Variable(String),
    Option(&'static Row),
}

/// `a`, `a.b` and `a.b.c` of `a.b.c`: the names of apps have dots, too.
pub(super) fn beginnings(what: &str) -> impl Iterator<Item = &str> {
    what.match_indices('.').map(|(at, _)| &what[..at]).chain([what])
}

pub(super) fn asked<'a>(what: &str, graph: &'a Graph) -> Result<Asked<'a>, CliError> {
    let of = |name: &str| graph.apps.iter().find(|app| app.name == name);
    let found = beginnings(what).filter_map(of).last();
    let Some(app) = found else { return Err(no_app(what, graph)) };
    let rest = what[app.name.len()..].trim_start_matches('.');
    Ok(Asked { app, value: value(rest, &app.name)? })
}

fn no_app(what: &str, graph: &Graph) -> CliError {
    let names = || graph.apps.iter().map(|app| app.name.as_str());
    // The name may be wrong in a part of it, or the whole be a code.
    let meant = beginnings(what).find_map(|begin| {
        let near = closest(begin, names())?;
        Some(format!("{near}{}", &what[begin.len()..]))
    });
    let code = || closest(what, Code::ALL.iter().map(|code| code.name())).map(str::to_owned);
    let name = what.split('.').next().unwrap_or(what);
    let error = CliError::error(format!("no app `{name}` in `{}`, and no code of that name", graph.file));
    if let Some(meant) = meant.or_else(code) {
        return error.suggest(Some(&meant));
    }
    let some: Vec<String> = names().take(10).map(|name| format!("`{name}`")).collect();
    error.hint(format!("there are: {}", some.join(", ")))
}

fn value(path: &str, app: &str) -> Result<Value, CliError> {
    if path.is_empty() {
        return Ok(Value::Several(Which::All));
    }
    if path == "env" {
        return Ok(Value::Several(Which::Env));
    }
    if let Some(name) = path.strip_prefix("env.") {
        return Ok(Value::Variable(name.to_owned()));
    }
    if let Some((profile, name)) = path.strip_prefix(OVERLAY_PREFIX).and_then(|rest| rest.split_once('.')) {
        let hint = format!("`pmrun explain {app}.env.{name} --env {profile}`");
        return Err(CliError::usage(format!("`{path}` is a layer of `env.{name}`")).hint(hint));
    }
    // What plans call the files that stand for an app's code.
    let option = if path == "code" || path.starts_with("code.") { "fingerprint" } else { path };
    match options::find(option) {
        Some((row, _)) if row.is_overlay() => {
            let profile = path.strip_prefix(OVERLAY_PREFIX).unwrap_or(path);
            let hint = format!("`pmrun explain {app}.env --env {profile}`");
            Err(CliError::usage(format!("`{path}` is a layer of `env`")).hint(hint))
        }
        Some((row, _)) => Ok(Value::Option(row)),
        None => {
            let near = options::meant(path).map(|near| format!("{app}.{near}"));
            let error = CliError::error(format!("apps have no option `{path}`"));
            let hint = format!("`pmrun explain {app}` lists what it has; a variable is `{app}.env.NAME`");
            Err(if near.is_some() { error.suggest(near.as_deref()) } else { error.hint(hint) })
        }
    }
}
