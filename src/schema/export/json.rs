use serde_json::{Map, Value as Json, json};

use super::{description_of_value, types};
use crate::schema::options::{self, OVERLAY_PREFIX, Row, Status};
use crate::schema::value::Value;

const ID: &str = "https://pmrun.dev/schema/ecosystem.schema.json";

/// The JSON Schema (draft-07) of an ecosystem file, in every shape that is accepted.
#[must_use]
pub fn json_schema() -> String {
    let text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    text + "\n"
}

/// Which shape a file has is decided by its keys, so that an editor speaks of that one and of no other.
pub(super) fn schema() -> Json {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": ID,
        "title": "pmrun ecosystem",
        "description": "What runs: apps, and how each of them is started, watched over and stopped. \
            Made from pmrun's option table; `pmrun schema` prints it.",
        "type": ["object", "array"],
        "items": { "$ref": "#/definitions/app" },
        "properties": {
            "apps": { "$ref": "#/definitions/apps" },
            "deploy": { "$ref": "#/definitions/deploy" },
            "$schema": { "$ref": "#/definitions/schema" },
        },
        "if": { "type": "object", "required": ["apps"] },
        "then": { "$ref": "#/definitions/ecosystem" },
        "else": {
            "if": { "type": "object", "required": ["pm2"] },
            "then": { "$ref": "#/definitions/package" },
            "else": {
                "if": { "$ref": "#/definitions/servesFolders" },
                "then": { "$ref": "#/definitions/ecosystem" },
                "else": { "if": { "type": "object" }, "then": { "$ref": "#/definitions/bareApp" } },
            },
        },
        "definitions": {
            "ecosystem": ecosystem(),
            "package": package(),
            "servesFolders": {
                "type": "object",
                "required": ["static"],
                "properties": { "static": { "type": "array", "minItems": 1, "items": { "type": "object" } } },
            },
            "apps": {
                "description": "The apps: a list, or one.",
                "type": ["array", "object"],
                "items": { "$ref": "#/definitions/app" },
                "if": { "type": "object" },
                "then": { "$ref": "#/definitions/app" },
            },
            "app": app(),
            "bareApp": bare_app(),
            "deploy": deploy(),
            "schema": { "description": "For editors: where this schema is. Not looked at." },
        },
    })
}

fn ecosystem() -> Json {
    json!({
        "description": "A file with `apps`, or with folders that are served.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "apps": { "$ref": "#/definitions/apps" },
            "name": ecosystem_name(),
            "deploy": { "$ref": "#/definitions/deploy" },
            "$schema": { "$ref": "#/definitions/schema" },
            "static": {
                "description": "Folders that are served, each by an app of its own: `path`, `port`, `host`, `spa`, `ftp`, \
                    `basic_auth` with `username` and `password`, and `name`.",
            },
        },
    })
}

/// `package.json`: the other keys are npm's.
fn package() -> Json {
    json!({
        "description": "A package.json that holds the ecosystem as `pm2`.",
        "type": "object",
        "properties": {
            "name": ecosystem_name(),
            "pm2": {
                "description": "The ecosystem: an object with `apps`, a list of apps, or one app.",
                "type": ["object", "array"],
                "items": { "$ref": "#/definitions/app" },
                "if": {
                    "type": "object",
                    "anyOf": [{ "required": ["apps"] }, { "$ref": "#/definitions/servesFolders" }],
                },
                "then": { "$ref": "#/definitions/ecosystem" },
                "else": { "if": { "type": "object" }, "then": { "$ref": "#/definitions/bareApp" } },
            },
        },
    })
}

fn ecosystem_name() -> Json {
    json!({
        "description": "What the ecosystem is called: what `apply` prunes by. Default: the folder that holds the file.",
        "type": ["string", "null"],
        "pattern": types::TITLE,
    })
}

fn app() -> Json {
    let mut properties = Map::new();
    for row in options::rows().filter(|row| !row.is_overlay()) {
        properties.insert(row.name.to_owned(), option(row));
        for spelling in row.other_spellings() {
            let schema = other_spelling(row, &spelling);
            properties.insert(spelling, schema);
        }
    }
    json!({
        "description": "One app.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "patternProperties": overlays(),
        "anyOf": has_script(),
    })
}

/// The same where the app is all that the file holds, beside keys that are the file's.
fn bare_app() -> Json {
    let mut properties = Map::new();
    properties.insert("deploy".to_owned(), json!({ "$ref": "#/definitions/deploy" }));
    properties.insert("$schema".to_owned(), json!({ "$ref": "#/definitions/schema" }));
    for row in options::rows().filter(|row| !row.is_overlay()) {
        let spellings = std::iter::once(row.name.to_owned()).chain(row.other_spellings());
        properties.extend(spellings.map(|spelling| {
            let pointer = format!("#/definitions/app/properties/{spelling}");
            (spelling, json!({ "$ref": pointer }))
        }));
    }
    json!({
        "description": "A file that is one app.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "patternProperties": overlays(),
        "anyOf": has_script(),
    })
}

fn option(row: &Row) -> Json {
    let mut schema = Map::new();
    schema.insert("description".to_owned(), description_of_value(row).into());
    schema.append(&mut types::json_type(row));
    explain_mistake(&mut schema, row, row.name);
    if let Some(default) = types::default(row) {
        schema.insert("default".to_owned(), default);
    }
    let examples: Vec<Json> = row.examples.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    if !examples.is_empty() {
        schema.insert("examples".to_owned(), examples.into());
    }
    if !is_suggested(row) {
        quieten(&mut schema);
    }
    schema.into()
}

/// Nobody begins to write what means nothing.
fn is_suggested(row: &Row) -> bool {
    !matches!(row.status, Status::Meaningless(_))
}

/// The same type, whole: a `$ref` with a key beside it is read by some servers and not by others.
fn other_spelling(row: &Row, spelling: &str) -> Json {
    let mut schema = Map::new();
    schema.insert("description".to_owned(), format!("The same as `{}`.", row.name).into());
    schema.append(&mut types::json_type(row));
    explain_mistake(&mut schema, row, spelling);
    quieten(&mut schema);
    schema.into()
}

/// What JSON's and YAML's servers say of a wrong value, in place of a regular expression.
fn explain_mistake(schema: &mut Map<String, Json>, row: &Row, name: &str) {
    let expects = match row.value {
        Value::Text(_) if row.name == "interpreter" => {
            "a program's name or path; no version of Node is installed".to_owned()
        }
        Value::Text(_) => "a string of more than white space".to_owned(),
        _ => row.value.expects(),
    };
    schema.insert("errorMessage".to_owned(), format!("`{name}` must be {expects}").into());
}

/// Known, and not offered: JSON's and YAML's servers read this; TOML's has nothing that does it.
fn quieten(schema: &mut Map<String, Json>) {
    schema.insert("doNotSuggest".to_owned(), true.into());
}

/// `env_<name>`, which options of such a name are not.
fn overlays() -> Json {
    let others: Vec<String> = options::rows()
        .filter(|row| !row.is_overlay())
        .flat_map(Row::names)
        .filter_map(|name| name.strip_prefix(OVERLAY_PREFIX))
        .map(|rest| format!("{rest}$"))
        .collect();
    let pattern = format!("^{OVERLAY_PREFIX}(?!{})\\S+$", others.join("|"));
    let schemas = options::rows().filter(|row| row.is_overlay()).map(|row| (pattern.clone(), option(row)));
    Json::Object(schemas.collect())
}

/// One of the script's names has to have a value.
fn has_script() -> Json {
    let names = options::rows().filter(|row| row.name == "script").flat_map(Row::names);
    names.map(|name| json!({ "required": [name], "not": { "properties": { name: { "type": "null" } } } })).collect()
}

/// Carried along and not looked at, so nothing in it is wrong; the keys that PM2 knows are offered.
fn deploy() -> Json {
    let known = [
        ("user", "Who logs in."),
        ("host", "Where: a host, or a list of them."),
        ("key", "The file of the key to log in with."),
        ("port", "The port of the SSH server."),
        ("ssh_options", "Options for SSH: a text, or a list."),
        ("ref", "What is checked out, such as `origin/main`."),
        ("repo", "The git repository."),
        ("path", "The folder on the host."),
        ("env", "Variables for the commands below."),
        ("pre-setup", "A command on the host before the first checkout."),
        ("post-setup", "A command on the host after it."),
        ("pre-deploy-local", "A command here before each deployment."),
        ("pre-deploy", "A command on the host before each deployment."),
        ("post-deploy", "A command on the host after each deployment."),
    ];
    let properties: Map<String, Json> =
        known.map(|(name, doc)| (name.to_owned(), json!({ "description": doc }))).into_iter().collect();
    json!({
        "description": "Where the ecosystem is deployed to, by the name of an environment. \
            Not honoured yet: nothing is deployed.",
        "additionalProperties": { "properties": properties },
    })
}
