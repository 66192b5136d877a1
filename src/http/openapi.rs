//! The OpenAPI document, from the table of routes.

use serde_json::{Map, Value, json};

use super::routes::{Kind, Of, PATH_MAX, Parameter, Route, TEXT_MAX};

pub(super) fn document(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pmrun",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What runs, why, and what to do about it. Fields are only ever added.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "`pmrun web --new-token` makes one; with `--write` it may change something",
            } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let content = match route.answer {
        Kind::Json(schema) => json!({ "application/json": { "schema": reference(schema) } }),
        Kind::Text(kinds) => {
            let text = |kind: &&str| ((*kind).to_owned(), json!({ "schema": { "type": "string" } }));
            kinds.iter().map(text).collect::<serde_json::Map<_, _>>().into()
        }
        Kind::Events => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
    };
    let problem = json!({ "application/json": { "schema": reference("Problem") } });
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.doc,
        "parameters": route.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": {
            "200": { "description": "It was done as asked", "content": content },
            "default": { "description": "It was not done, and why", "content": problem },
        },
    });
    if let Some(schema) = route.body {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": reference(schema) } } });
    }
    if route.scope.is_none() {
        operation["security"] = json!([]);
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.of {
        Of::Text => text(TEXT_MAX),
        Of::Path => text(PATH_MAX),
        Of::Whole { min, max, .. } if parameter.in_path => {
            json!({ "type": "integer", "minimum": min, "maximum": max })
        }
        Of::Whole { min, max, usual } => {
            json!({ "type": "integer", "minimum": min, "maximum": max, "default": usual })
        }
        Of::Word(words) => json!({ "type": "string", "enum": words }),
    };
    json!({
        "name": parameter.name,
        "in": if parameter.in_path { "path" } else { "query" },
        "required": parameter.in_path,
        "description": parameter.doc,
        "schema": schema,
    })
}

/// Without control characters.
fn text(most: usize) -> Value {
    let pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";
    json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": pattern })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// An object with at least these.
fn object(fields: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|(name, of)| ((*name).to_owned(), of.clone())).collect();
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let maybe_text = json!({ "type": ["string", "null"] });
    let whole = json!({ "type": "integer", "minimum": 0 });
    let maybe_whole = json!({ "type": ["integer", "null"], "minimum": 0 });
    let maybe_number = json!({ "type": ["number", "null"], "minimum": 0 });
    let states = ["stopped", "waiting", "starting", "online", "unhealthy", "stopping", "errored", "completed"];
    let anything = json!({ "type": "object" });
    json!({
        "Problem": {
            "type": "object",
            "properties": { "error": text, "hint": text },
            "required": ["error"],
        },
        "Health": object(&[
            ("status", json!({ "const": "ok" })),
            ("daemon", json!({ "enum": ["up", "down"] })),
        ]),
        "Document": object(&[("openapi", text.clone()), ("paths", anything.clone())]),
        "Instance": object(&[
            ("id", whole.clone()),
            ("name", text.clone()),
            ("slot", whole.clone()),
            ("namespace", text.clone()),
            ("ecosystem", maybe_text.clone()),
            ("mode", json!({ "enum": ["fork", "cluster"] })),
            ("pid", maybe_whole.clone()),
            ("state", json!({ "enum": states })),
            ("detail", maybe_text.clone()),
            ("restarts", whole.clone()),
            ("started_at_ms", maybe_whole.clone()),
            ("memory_bytes", maybe_whole.clone()),
            ("cpu_percent", maybe_number),
            ("processes", maybe_whole.clone()),
        ]),
        "Instances": object(&[("instances", list(&reference("Instance")))]),
        "App": object(&[
            ("name", text.clone()),
            ("file", maybe_text.clone()),
            ("variables", list(&text)),
            ("spec", anything.clone()),
            ("instances", list(&anything)),
        ]),
        "Apps": object(&[("apps", list(&reference("App")))]),
        "Scale": {
            "type": "object",
            "properties": { "instances": { "type": "integer", "minimum": 1, "maximum": 512 } },
            "required": ["instances"],
            "additionalProperties": false,
        },
        "Done": object(&[
            ("touched", whole.clone()),
            ("failed", list(&object(&[("app", text.clone()), ("slot", maybe_whole.clone()), ("reason", text.clone())]))),
        ]),
        "Line": object(&[
            ("app", text.clone()),
            ("id", maybe_whole),
            ("stream", json!({ "enum": ["out", "error"] })),
            ("at", maybe_text),
            ("line", text.clone()),
        ]),
        "Logs": object(&[("lines", list(&reference("Line")))]),
        "Event": object(&[("number", whole.clone()), ("at_ms", whole.clone()), ("event", text.clone())]),
        "Events": object(&[("events", list(&reference("Event")))]),
        "Plan": object(&[("file", text), ("changes", json!({ "type": "boolean" })), ("plan", anything.clone())]),
        "Record": object(&[("number", whole.clone()), ("at_ms", whole)]),
        "History": object(&[("generations", list(&reference("Record")))]),
        "Generation": object(&[("generation", reference("Record")), ("plan", anything.clone())]),
        "Pm2": object(&[
            ("system_info", anything.clone()),
            ("monit", anything.clone()),
            ("processes", list(&anything)),
        ]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::ROUTES;

    #[test]
    fn every_route_is_in_it_and_everything_it_refers_to() {
        let document = document(ROUTES);
        let mut ids = std::collections::BTreeSet::new();
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
            assert_eq!(operation["operationId"], route.id);
            assert!(ids.insert(route.id), "{} is there twice", route.id);
            let in_path = route.parameters.iter().filter(|parameter| parameter.in_path);
            let named: Vec<String> = in_path.map(|parameter| format!("{{{}}}", parameter.name)).collect();
            assert_eq!(route.path.matches('{').count(), named.len(), "{}", route.path);
            assert!(named.iter().all(|name| route.path.contains(name)), "{}", route.path);
        }
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
