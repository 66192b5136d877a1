//! The table of everything that can be asked for: what is served, what is checked, and what the OpenAPI document says all
//! come from here.

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::{Value, json};

use super::problem::Problem;
use super::source::{Action, Feed, Source, Streams};
use super::token::Scope;
use super::{metrics, openapi};

/// As many instances as an app may have.
const INSTANCES_MAX: u32 = 512;
/// In characters. A name is shorter; what is longer names nothing.
pub(super) const TEXT_MAX: usize = 128;
pub(super) const PATH_MAX: usize = 4_096;

/// A way to ask for something.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    /// With `{parameters}`.
    pub(super) path: &'static str,
    /// Its name in the document.
    pub(super) id: &'static str,
    /// None: everybody may.
    pub(super) scope: Option<Scope>,
    pub(super) doc: &'static str,
    pub(super) parameters: &'static [Parameter],
    /// What has to be sent along, by the name of a schema.
    pub(super) body: Option<&'static str>,
    /// What comes back.
    pub(super) answer: Kind,
    pub(super) handler: Handler,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// JSON, by the name of a schema.
    Json(&'static str),
    /// In these formats.
    Text(&'static [&'static str]),
    Events,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Handler {
    /// It looks. Who asks for the same at the same time is told the same.
    Look(fn(&dyn Source, &Input) -> Result<Reply, Problem>),
    /// It changes something.
    Change(fn(&dyn Source, &Input) -> Result<Reply, Problem>),
    /// What happens, to all who listen.
    Happenings,
    /// What is written, to one.
    Stream(fn(&dyn Source, &Input, Feed) -> Result<(), Problem>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// In the path, and else in the query.
    pub(super) in_path: bool,
    pub(super) of: Of,
    pub(super) doc: &'static str,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    Text,
    /// Of a file.
    Path,
    Whole {
        min: u64,
        max: u64,
        usual: u64,
    },
    Word(&'static [&'static str]),
}

/// What was sent, checked.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) parameters: BTreeMap<&'static str, String>,
    pub(super) body: Option<Value>,
}

#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) text: String,
}

const JSON: &str = "application/json";

const TARGET: Parameter = Parameter {
    name: "target",
    in_path: true,
    of: Of::Text,
    doc: "An app's name, `name:instance`, an id, a namespace, or `all`, as commands take it",
};
const WANTED: Parameter = Parameter { in_path: false, doc: "Only these; as in paths", ..TARGET };
const LINES: Parameter = Parameter {
    name: "lines",
    in_path: false,
    of: Of::Whole { min: 0, max: 1_000, usual: 15 },
    doc: "So many of the last lines of each file",
};
const STREAM: Parameter =
    Parameter { name: "stream", in_path: false, of: Of::Word(&["out", "error"]), doc: "Only that; both without it" };
const AFTER: Parameter = Parameter {
    name: "after",
    in_path: false,
    of: Of::Whole { min: 0, max: MANY, usual: 0 },
    doc: "Only those with a greater number",
};
const LIMIT: Parameter = Parameter {
    name: "limit",
    in_path: false,
    of: Of::Whole { min: 1, max: 1_000, usual: 100 },
    doc: "So many of the last at most",
};
/// What every language's numbers hold.
const MANY: u64 = (1 << 53) - 1;

/// In the order of the document.
pub(super) static ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/",
        id: "pm2",
        scope: Some(Scope::Read),
        doc: "The machine and all processes in the shape of PM2's web interface, without any variables",
        parameters: &[],
        body: None,
        answer: Kind::Json("Pm2"),
        handler: Handler::Look(|source, _| Ok(Reply::json(&source.pm2()?))),
    },
    Route {
        method: Method::GET,
        path: "/health",
        id: "health",
        scope: None,
        doc: "Whether this serves, and whether a daemon answers it (200 in both cases)",
        parameters: &[],
        body: None,
        answer: Kind::Json("Health"),
        handler: Handler::Look(|source, _| {
            let daemon = if source.is_up() { "up" } else { "down" };
            Ok(Reply::json(&json!({ "status": "ok", "daemon": daemon })))
        }),
    },
    Route {
        method: Method::GET,
        path: "/metrics",
        id: "metrics",
        scope: Some(Scope::Read),
        doc: "For Prometheus: in the OpenMetrics format to who accepts that, else in its text format 0.0.4",
        parameters: &[],
        body: None,
        answer: Kind::Text(&[metrics::PLAIN, metrics::KIND]),
        handler: Handler::Look(|source, _| {
            let instances = if source.is_up() { Some(source.instances(None)?) } else { None };
            let text = metrics::text(instances.as_deref());
            let text = text.map_err(|error| Problem::broken(format!("the metrics cannot be written: {error}")))?;
            Ok(Reply { status: 200, kind: metrics::KIND, text })
        }),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/openapi.json",
        id: "openapi",
        scope: Some(Scope::Read),
        doc: "This document",
        parameters: &[],
        body: None,
        answer: Kind::Json("Document"),
        handler: Handler::Look(|_, _| Ok(Reply::json(&openapi::document(ROUTES)))),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/instances",
        id: "listInstances",
        scope: Some(Scope::Read),
        doc: "Every running copy of every app, with what it uses",
        parameters: &[WANTED],
        body: None,
        answer: Kind::Json("Instances"),
        handler: Handler::Look(|source, input| {
            let instances = source.instances(input.text("target"))?;
            let instances: Vec<Value> = instances.iter().map(super::Instance::json).collect();
            Ok(Reply::json(&json!({ "instances": instances })))
        }),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/apps",
        id: "listApps",
        scope: Some(Scope::Read),
        doc: "Every app as it is declared, with the names of its variables and none of their values",
        parameters: &[],
        body: None,
        answer: Kind::Json("Apps"),
        handler: Handler::Look(|source, _| {
            Ok(Reply { status: 200, kind: JSON, text: source.all_apps()?.as_ref().to_owned() })
        }),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/apps/{target}",
        id: "showApps",
        scope: Some(Scope::Read),
        doc: "The same of some apps",
        parameters: &[TARGET],
        body: None,
        answer: Kind::Json("Apps"),
        handler: Handler::Look(|source, input| {
            Ok(Reply::json(&json!({ "apps": source.apps(input.text("target").unwrap_or_default())? })))
        }),
    },
    Route {
        method: Method::DELETE,
        path: "/api/v1/apps/{target}",
        id: "deleteApps",
        scope: Some(Scope::Write),
        doc: "Stop apps and forget them",
        parameters: &[TARGET],
        body: None,
        answer: Kind::Json("Done"),
        handler: Handler::Change(|source, input| input.act(source, Action::Delete)),
    },
    Route {
        method: Method::POST,
        path: "/api/v1/apps/{target}/start",
        id: "startApps",
        scope: Some(Scope::Write),
        doc: "Start apps that are known",
        parameters: &[TARGET],
        body: None,
        answer: Kind::Json("Done"),
        handler: Handler::Change(|source, input| input.act(source, Action::Start)),
    },
    Route {
        method: Method::POST,
        path: "/api/v1/apps/{target}/stop",
        id: "stopApps",
        scope: Some(Scope::Write),
        doc: "Stop apps; they stay known, and stay stopped",
        parameters: &[TARGET],
        body: None,
        answer: Kind::Json("Done"),
        handler: Handler::Change(|source, input| input.act(source, Action::Stop)),
    },
    Route {
        method: Method::POST,
        path: "/api/v1/apps/{target}/restart",
        id: "restartApps",
        scope: Some(Scope::Write),
        doc: "Restart apps, one instance after the other",
        parameters: &[TARGET],
        body: None,
        answer: Kind::Json("Done"),
        handler: Handler::Change(|source, input| input.act(source, Action::Restart)),
    },
    Route {
        method: Method::POST,
        path: "/api/v1/apps/{target}/reload",
        id: "reloadApps",
        scope: Some(Scope::Write),
        doc: "Restart apps, each instance when it has finished what it is at",
        parameters: &[TARGET],
        body: None,
        answer: Kind::Json("Done"),
        handler: Handler::Change(|source, input| input.act(source, Action::Reload)),
    },
    Route {
        method: Method::PUT,
        path: "/api/v1/apps/{target}/instances",
        id: "scaleApps",
        scope: Some(Scope::Write),
        doc: "Have so many instances of each app",
        parameters: &[TARGET],
        body: Some("Scale"),
        answer: Kind::Json("Done"),
        handler: Handler::Change(|source, input| {
            // To JSON `2.0` is a whole number.
            let count = input.body.as_ref().and_then(|body| body["instances"].as_f64());
            let count = count.and_then(|count| count.to_string().parse().ok());
            let count = count.filter(|count| (1..=INSTANCES_MAX).contains(count));
            let count = count.ok_or_else(|| {
                Problem::invalid(format!("`instances` has to be a whole number from 1 to {INSTANCES_MAX}"))
            })?;
            input.act(source, Action::Scale(count))
        }),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/apps/{target}/logs",
        id: "readLogs",
        scope: Some(Scope::Read),
        doc: "The last that apps have written",
        parameters: &[TARGET, LINES, STREAM],
        body: None,
        answer: Kind::Json("Logs"),
        handler: Handler::Look(|source, input| {
            let lines = source.logs(input.text("target").unwrap_or_default(), input.streams(), input.lines())?;
            Ok(Reply::json(&json!({ "lines": lines })))
        }),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/apps/{target}/logs/stream",
        id: "followLogs",
        scope: Some(Scope::Read),
        doc: "What apps write, as it is written: an event `log` for each line",
        parameters: &[TARGET, LINES, STREAM],
        body: None,
        answer: Kind::Events,
        handler: Handler::Stream(|source, input, feed| {
            source.follow_logs(input.text("target").unwrap_or_default(), input.streams(), input.lines(), feed)
        }),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/events",
        id: "listEvents",
        scope: Some(Scope::Read),
        doc: "What has happened to apps, oldest first",
        parameters: &[AFTER, LIMIT],
        body: None,
        answer: Kind::Json("Events"),
        handler: Handler::Look(|source, input| {
            let most = usize::try_from(input.whole("limit", 100)).unwrap_or(100);
            Ok(Reply::json(&json!({ "events": source.events(input.whole("after", 0), most)? })))
        }),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/events/stream",
        id: "followEvents",
        scope: Some(Scope::Read),
        doc: "What happens to apps, as it happens: an event `app` for each, with its number as id. With `Last-Event-ID` \
              it goes on after that one",
        parameters: &[],
        body: None,
        answer: Kind::Events,
        handler: Handler::Happenings,
    },
    Route {
        method: Method::GET,
        path: "/api/v1/plan",
        id: "plan",
        scope: Some(Scope::Read),
        doc: "What applying an ecosystem file would do, of those that apps have come from",
        parameters: &[
            Parameter {
                name: "file",
                in_path: false,
                of: Of::Path,
                doc: "Which, as `apps` names it; needless where there is one",
            },
            Parameter { name: "env", in_path: false, of: Of::Text, doc: "Lay `env_NAME` over `env`" },
        ],
        body: None,
        answer: Kind::Json("Plan"),
        handler: Handler::Look(|source, input| Ok(Reply::json(&source.plan(input.text("file"), input.text("env"))?))),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/history",
        id: "listGenerations",
        scope: Some(Scope::Read),
        doc: "What was changed: when, by whom, from which file, with which result; oldest first",
        parameters: &[LIMIT],
        body: None,
        answer: Kind::Json("History"),
        handler: Handler::Look(|source, input| {
            Ok(Reply::json(&json!({ "generations": source.history(input.whole("limit", 100))? })))
        }),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/history/{number}",
        id: "showGeneration",
        scope: Some(Scope::Read),
        doc: "One generation, and what it did",
        parameters: &[Parameter {
            name: "number",
            in_path: true,
            of: Of::Whole { min: 0, max: MANY, usual: 0 },
            doc: "Of a generation",
        }],
        body: None,
        answer: Kind::Json("Generation"),
        handler: Handler::Look(|source, input| Ok(Reply::json(&source.generation(input.whole("number", 0))?))),
    },
];

impl Reply {
    fn json(value: &Value) -> Self {
        Self { status: 200, kind: JSON, text: value.to_string() }
    }
}

impl Input {
    fn text(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    fn whole(&self, name: &str, usual: u64) -> u64 {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(usual)
    }

    fn lines(&self) -> usize {
        usize::try_from(self.whole("lines", 15)).unwrap_or(15)
    }

    fn streams(&self) -> Streams {
        let only = self.text("stream");
        Streams { out: only != Some("error"), error: only != Some("out") }
    }

    fn act(&self, source: &dyn Source, action: Action) -> Result<Reply, Problem> {
        Ok(Reply::json(&source.act(self.text("target").unwrap_or_default(), action)?))
    }
}

/// What was sent, where it is what the route takes.
pub(super) fn checked(
    route: &Route,
    path: &[(String, String)],
    query: Option<&str>,
    body: &[u8],
) -> Result<Input, Problem> {
    let mut parameters = BTreeMap::new();
    let sent = path.iter().map(|(name, value)| (true, name.clone(), value.clone()));
    for (in_path, name, value) in sent.chain(pairs(query)?.into_iter().map(|(name, value)| (false, name, value))) {
        let known = route.parameters.iter().find(|known| known.name == name && known.in_path == in_path);
        let known = known.ok_or_else(|| Problem::invalid(format!("there is no parameter `{name}`")))?;
        known.check(&value)?;
        if parameters.insert(known.name, value).is_some() {
            return Err(Problem::invalid(format!("`{name}` is there twice")));
        }
    }
    let body = match route.body {
        Some(_) => {
            let value: Value = serde_json::from_slice(body)
                .map_err(|error| Problem::invalid(format!("the body is not JSON: {error}")))?;
            let fields = value.as_object().ok_or_else(|| Problem::invalid("the body has to be an object"))?;
            if let Some(other) = fields.keys().find(|name| *name != "instances") {
                return Err(Problem::invalid(format!("there is no field `{other}`")));
            }
            Some(value)
        }
        None => None,
    };
    Ok(Input { parameters, body })
}

impl Parameter {
    fn check(&self, value: &str) -> Result<(), Problem> {
        let name = self.name;
        match self.of {
            Of::Text | Of::Path => {
                let most = if matches!(self.of, Of::Path) { PATH_MAX } else { TEXT_MAX };
                if !(1..=most).contains(&value.chars().count()) {
                    return Err(Problem::invalid(format!("`{name}` has to have from 1 to {most} characters")));
                }
                if value.chars().any(char::is_control) {
                    return Err(Problem::invalid(format!("`{name}` has control characters")));
                }
                Ok(())
            }
            Of::Whole { min, max, .. } => {
                let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
                let is_in = value.parse().is_ok_and(|number: u64| (min..=max).contains(&number));
                (is_plain && is_in)
                    .then_some(())
                    .ok_or_else(|| Problem::invalid(format!("`{name}` has to be a whole number from {min} to {max}")))
            }
            Of::Word(words) if !words.contains(&value) => {
                Err(Problem::invalid(format!("`{name}` has to be one of {}", words.join(", "))))
            }
            Of::Word(_) => Ok(()),
        }
    }
}

/// Of `a=1&b=%20`.
fn pairs(query: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decoded(name)?, decoded(value)?))
    };
    let parts = query.unwrap_or_default().split('&').filter(|part| !part.is_empty());
    parts.map(|part| pair(part).ok_or_else(|| Problem::invalid("the query is not valid UTF-8"))).collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(id: &str) -> &'static Route {
        ROUTES.iter().find(|route| route.id == id).unwrap()
    }

    fn check(id: &str, query: &str) -> Result<BTreeMap<&'static str, String>, u16> {
        let input = checked(route(id), &[], Some(query), b"");
        input.map(|input| input.parameters).map_err(|problem| problem.status.as_u16())
    }

    #[test]
    fn what_is_sent_is_what_is_taken_or_turned_down() {
        assert_eq!(check("readLogs", "lines=10&stream=out").unwrap().len(), 2);
        assert_eq!(check("listInstances", "target=a%20b+c").unwrap()["target"], "a b c");
        for query in [
            "lines=",
            "lines=-1",
            "lines=+1",
            "lines=1001",
            "lines=1e3",
            "lines=1&lines=2",
            "stream=both",
            "other=1",
            "target=a",
            "lines=%ff",
            "lines=%1",
        ] {
            assert_eq!(check("readLogs", query), Err(400), "{query}");
        }
        for query in ["target=", "target=%00", &format!("target={}", "x".repeat(129))] {
            assert_eq!(check("listInstances", query), Err(400), "{query}");
        }
    }

    #[test]
    fn a_body_is_what_it_should_be() {
        let check = |body: &str| checked(route("scaleApps"), &[], None, body.as_bytes()).is_ok();
        assert!(check("{\"instances\": 2}") && check("{}"), "who scales looks at the number");
        for body in ["", "2", "[]", "{\"instances\": 2, \"more\": 1}", "{", "\u{0}"] {
            assert!(!check(body), "{body}");
        }
    }

    #[test]
    fn what_changes_something_takes_more_than_a_look() {
        for route in ROUTES {
            let changes = matches!(route.handler, Handler::Change(_));
            assert_eq!(changes, route.method != Method::GET, "{}", route.id);
            assert_eq!(changes, route.scope == Some(Scope::Write), "{}", route.id);
            assert!(route.scope.is_some() || route.path == "/health", "{}", route.id);
        }
    }
}
