use std::fmt::Write as _;

use super::{description_of_value, types};
use crate::schema::options::{self, Row, Status};
use crate::schema::parts::{HEALTH_CHECK, NEED, PROBES, Part, PartKind};
use crate::schema::value::{Shape, Value};
use crate::spec::{Condition, WatchOption};

const HEAD: &str = r#"// Types of a pmrun ecosystem file, made from pmrun's option table; `pmrun schema --format ts` prints them.
//
// In a `.js` file, with this file beside it as `pmrun.d.ts`:
//
//     // @ts-check
//     /** @type {import("./pmrun").Config} */
//     const config = { apps: [{ name: "api", script: "./api.js" }] };
//     module.exports = config;

/** What a config exports: an ecosystem, a list of apps, one app, or a function or promise of one of these. */
export type Config = Plain | Promise<Plain> | ((given: Given) => Plain | Promise<Plain>);

type Plain = Ecosystem | Folders | App[] | App;

/** What an exported function is called with. */
export interface Given {
  /** The variables of the shell that runs pmrun. */
  env: Record<string, string | undefined>;
  /** The profile of `--env`; without one `NODE_ENV`, where that is set. */
  mode?: string;
}

/** Returns what it is given: it is there for its types. */
export declare function defineConfig<T extends Config>(config: T & Config): T;

export interface Ecosystem {
  /** The apps: a list, or one. */
  apps: App[] | App;
  /** Folders that are served, each by an app of its own. */
  static?: Folder[];
  /** What the ecosystem is called: what `apply` prunes by. Default: the folder that holds the file. */
  name?: string | null;
  /** Where the ecosystem is deployed to. Not honoured yet: nothing is deployed. */
  deploy?: Record<string, Deployment>;
  $schema?: string;
}

/** Nothing but folders that are served. */
export interface Folders extends Omit<Ecosystem, "apps" | "static"> {
  static: Folder[];
}

/** A folder that is served. */
export interface Folder {
  name?: string;
  path?: string;
  port?: number | string;
  host?: string;
  spa?: boolean;
  ftp?: boolean;
  basic_auth?: { username: string; password: string };
}

/** Carried along and not looked at. */
export interface Deployment {
  user?: string;
  host?: string | string[];
  key?: string;
  port?: number | string;
  ssh_options?: string | string[];
  ref?: string;
  repo?: string;
  path?: string;
  env?: Variables;
  "pre-setup"?: string;
  "post-setup"?: string;
  "pre-deploy-local"?: string;
  "pre-deploy"?: string;
  "post-deploy"?: string;
  [key: string]: unknown;
}

/** Numbers and booleans become text, lists and objects JSON. */
export type Variables = Record<string, string | number | boolean | object | null | undefined>;

"#;

/// TypeScript's types of what a config program exports. What is more than a type (ranges, units) is in the comments.
#[must_use]
pub fn typescript() -> String {
    let mut text = HEAD.to_owned();
    text += "/** One app. */\nexport interface App extends OtherSpellings {\n";
    for row in options::rows() {
        text += &comment(row);
        let value = typed(row);
        let _ = if row.is_overlay() {
            // TypeScript wants every key that begins like this to fit, `env_file` among them.
            writeln!(text, "  [overlay: `env_${{string}}`]: {value} | string | string[] | undefined;")
        } else {
            writeln!(text, "  {}?: {value};", row.name)
        };
    }
    text += "}\n\n/** Options under their other names. */\nexport interface OtherSpellings {\n";
    for row in options::rows() {
        for spelling in row.other_spellings() {
            let _ = writeln!(text, "  /** @deprecated The same as `{0}`. */\n  {spelling}?: App[\"{0}\"];", row.name);
        }
    }
    text + "}\n"
}

fn comment(row: &Row) -> String {
    let mut lines = vec![description_of_value(row)];
    for (value, doc) in row.value.choices().iter().filter(|(value, _)| !value.is_empty()) {
        lines.push(format!("* `{value}`: {doc}"));
    }
    if let Some(default) = types::default(row) {
        lines.push(format!("@default {default}"));
    }
    if matches!(row.status, Status::Meaningless(_)) {
        lines.push("@deprecated".to_owned());
    }
    lines.extend(row.examples.iter().map(|example| format!("@example {example}")));
    // `**/` in a glob would end the comment.
    let lines: Vec<String> = lines.iter().map(|line| line.replace("*/", "*\u{2215}")).collect();
    match lines.as_slice() {
        [line] => format!("  /** {line} */\n"),
        _ => format!("  /**\n   * {}\n   */\n", lines.join("\n   * ")),
    }
}

fn typed(row: &Row) -> String {
    let value = match row.value {
        Value::Text(_) | Value::Umask(_) => "string",
        Value::Flag(_) => "boolean",
        Value::Whole { .. } | Value::Millis(_) | Value::Bytes(_) | Value::Account(_) => "number | string",
        Value::Cron(_) => "string | 0",
        // `string & {}` keeps the words before it among what is offered.
        Value::Count(_) => "number | \"max\" | (string & {})",
        Value::Words(_) => "(string | number | boolean)[] | string",
        Value::Names(_) | Value::Sockets(_) => "string[] | string",
        Value::Needs(_) => &needs(),
        Value::HealthCheck(_) => &object(HEALTH_CHECK, &PROBES),
        Value::Filter(_) => "string[] | string | false",
        Value::ExitCodes(_) => "(number | string)[] | number | string",
        Value::Mode(_) | Value::LogType(_) | Value::Overlap(_) | Value::Distribution(_) => &choices(row),
        Value::Signal(_) => &(signals() + " | (string & {}) | number"),
        Value::Variables(_) | Value::Overlay(_) => "Variables",
        Value::PathOrFlag(_) => "string | boolean",
        Value::Watch(_) => "boolean | string[] | string",
        Value::Patterns(_) => "(string | RegExp)[] | string",
        Value::Code(_) => "string[] | \"git\" | (string & {}) | boolean",
        Value::Limits(_) => "Record<string, number | string>",
        Value::Uses(_) => {
            "{ memory?: number | string | null; cpu?: number | string | null; pids?: number | string | null }"
        }
        Value::WatchOptions(_) => &watch_options(),
        Value::Ignored(shapes) | Value::Off(shapes, _) => {
            &shapes.iter().map(|shape| name(*shape)).collect::<Vec<_>>().join(" | ")
        }
    };
    let unset = if row.false_is_unset() { "false | null" } else { "null" };
    format!("{value} | {unset}")
}

fn choices(row: &Row) -> String {
    row.value.choices().iter().map(|(value, _)| format!("{value:?}")).collect::<Vec<_>>().join(" | ")
}

fn needs() -> String {
    let words = words(&Condition::WORDS);
    format!("string[] | string | Record<string, {words} | {}>", object(NEED, &[]))
}

/// With `one_of` it has exactly one of these: that is one type for each.
fn object(parts: &[Part], one_of: &[&str]) -> String {
    let field = |part: &Part, mark: &str| {
        let value = match part.kind {
            PartKind::Millis | PartKind::Count { .. } => "number | string".to_owned(),
            PartKind::Word(list) => words(list),
            PartKind::Text { .. } => "string".to_owned(),
            PartKind::Command => "string | string[]".to_owned(),
        };
        format!("{}{mark}: {value}", part.name)
    };
    let common = parts.iter().filter(|part| !one_of.contains(&part.name)).map(|part| field(part, "?"));
    let common: Vec<String> = common.collect();
    if one_of.is_empty() {
        return format!("{{ {} }}", common.join("; "));
    }
    let kinds = parts.iter().filter(|part| one_of.contains(&part.name)).map(|part| {
        let mut fields = vec![field(part, "")];
        fields.extend(common.iter().cloned());
        format!("{{ {} }}", fields.join("; "))
    });
    kinds.collect::<Vec<_>>().join(" | ")
}

fn words(words: &[(&str, &str)]) -> String {
    words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" | ")
}

fn watch_options() -> String {
    let fields = WatchOption::ALL.map(|(name, option, _)| {
        let value = match option {
            WatchOption::Flag => "boolean",
            WatchOption::Number => "number",
            WatchOption::Patterns => "string | RegExp | (string | RegExp)[]",
            WatchOption::Stability => "boolean | { stabilityThreshold?: number; pollInterval?: number }",
            WatchOption::FlagOrNumber => "boolean | number",
        };
        format!("{name}?: {value} | null")
    });
    format!("{{ {} }}", fields.join("; "))
}

fn signals() -> String {
    crate::base::Signal::names().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" | ")
}

fn name(shape: Shape) -> &'static str {
    match shape {
        Shape::Boolean => "boolean",
        Shape::Number => "number",
        Shape::String => "string",
        Shape::List => "unknown[]",
        Shape::Object => "object",
    }
}
