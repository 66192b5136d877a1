//! An app's description, for people: what it is and whatever is not as it would be anyway.

use serde_json::Value;

use super::terminal::harmless;
use crate::spec::AppSpec;

/// Names and values, in the order of [`AppSpec`]; nested ones by their path (`env.PORT`).
pub(super) fn facts(spec: &AppSpec) -> Vec<(String, String)> {
    let default = AppSpec::new(String::new(), String::new(), String::new());
    let (Ok(Value::Object(spec)), Ok(Value::Object(default))) =
        (serde_json::to_value(spec), serde_json::to_value(&default))
    else {
        return Vec::new();
    };
    let mut facts = Vec::new();
    for (name, value) in &spec {
        if name != "name" {
            collect(name, value, default.get(name), &mut facts);
        }
    }
    facts
}

/// Aligned lines, indented by two.
pub(super) fn lines(facts: &[(String, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    facts.iter().fold(String::new(), |text, (name, value)| text + &format!("  {name:width$}  {value}\n"))
}

fn collect(path: &str, value: &Value, default: Option<&Value>, facts: &mut Vec<(String, String)>) {
    match value {
        _ if default == Some(value) => {}
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                collect(&format!("{path}.{key}"), value, default.and_then(|default| default.get(key)), facts);
            }
        }
        Value::String(text) => facts.push((path.to_owned(), harmless(text.as_bytes(), false))),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let words: Vec<String> = items.iter().filter_map(Value::as_str).map(quoted).collect();
            facts.push((path.to_owned(), words.join(" ")));
        }
        other => facts.push((path.to_owned(), other.to_string())),
    }
}

/// Words that a shell would take apart are shown as JSON strings.
fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./:=@%+,".contains(c));
    if plain { word.to_owned() } else { Value::from(word).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_default_is_said() {
        let mut spec = AppSpec::new("api", "/srv/api.js", "/srv");
        spec.args = vec!["--name".into(), "a b".into()];
        spec.env.insert("PORT".into(), "80".into());
        spec.restart.max_restarts = 3;
        assert_eq!(
            lines(&facts(&spec)),
            "  script                /srv/api.js\n  \
               args                  --name \"a b\"\n  \
               cwd                   /srv\n  \
               env.PORT              80\n  \
               restart.max_restarts  3\n"
        );
    }
}
