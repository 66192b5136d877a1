//! `static`: PM2's short way to say which folders are served. Each entry is an app of `script: "serve"`.

use super::decode::Decoder;
use super::draft::{Draft, Mark};
use crate::diag::{Code, Diagnostic};
use crate::document::{Entry, Key, Kind, Node, js_number};
use crate::spec::FILE_SERVER;

/// What an entry may say, and in which variable its server finds that.
const KEYS: [(&str, &str); 6] = [
    ("path", "PM2_SERVE_PATH"),
    ("port", "PM2_SERVE_PORT"),
    ("host", "PM2_SERVE_HOST"),
    ("spa", "PM2_SERVE_SPA"),
    ("ftp", "PM2_SERVE_FTP"),
    ("directory", "PM2_SERVE_DIRECTORY"),
];
const CREDENTIALS: [(&str, &str); 2] =
    [("username", "PM2_SERVE_BASIC_AUTH_USERNAME"), ("password", "PM2_SERVE_BASIC_AUTH_PASSWORD")];
const PORT_DEFAULT: &str = "8080";

/// The folders that are to be served, where they are written as such.
pub(super) fn folders(document: &Node) -> Option<&[Node]> {
    let items = document.get("static")?.items()?;
    (!items.is_empty() && items.iter().all(|item| item.entries().is_some())).then_some(items)
}

impl Decoder<'_> {
    /// The apps that come of `static`.
    pub(super) fn statics(&mut self, document: &Node, path: &str) -> Vec<Draft> {
        let at = Mark { span: document.span, path: path.to_owned() }.key("static", None).path;
        let items = folders(document).unwrap_or_default().iter().enumerate();
        items.filter_map(|(index, item)| self.folder(item, &format!("{at}[{index}]"))).collect()
    }

    fn folder(&mut self, item: &Node, path: &str) -> Option<Draft> {
        let whole = Mark { span: item.span, path: path.to_owned() };
        let mut env = Vec::new();
        for entry in item.entries().unwrap_or_default() {
            let key = entry.key.text.as_str();
            let known = KEYS.iter().find(|(known, _)| *known == key);
            match (known, &entry.value.kind) {
                (_, Kind::Null) | (None, _) if matches!(key, "name" | "monitor") => {}
                (_, Kind::Null) => {}
                (Some((_, variable)), _) if plain(&entry.value).is_some() => env.extend(set(variable, &entry.value)),
                (None, Kind::Mapping(_)) if key == "basic_auth" => {
                    env.push(said("PM2_SERVE_BASIC_AUTH", "true"));
                    for (key, variable) in CREDENTIALS {
                        env.extend(entry.value.get(key).and_then(|value| set(variable, value)));
                    }
                }
                _ => {
                    let message = format!("`{}` of a folder that is served is not read", super::resolve::shown(key));
                    let at = whole.key(key, entry.key.span).location(self.file);
                    let hint = "there are `name`, `path`, `port`, `host`, `spa`, `ftp` and `basic_auth`; an app of \
                                `script: \"serve\"` has all options of apps";
                    self.diagnostics.push(Diagnostic::warning(Code::NotHonoured, message, at).hint(hint));
                }
            }
        }
        let name = item.get("name").filter(|name| name.kind != Kind::Null).cloned();
        let name = name.unwrap_or_else(|| {
            let port = item.get("port").and_then(plain).unwrap_or_else(|| PORT_DEFAULT.to_owned());
            text(&format!("static-page-server-{port}"))
        });
        let entries = vec![
            Entry { key: key("name"), value: name },
            said("script", FILE_SERVER),
            Entry { key: key("env"), value: Node::new(Kind::Mapping(env), item.span) },
        ];
        self.app(&Node::new(Kind::Mapping(entries), item.span), path, &[])
    }
}

fn plain(value: &Node) -> Option<String> {
    match &value.kind {
        Kind::String(text) => Some(text.clone()),
        Kind::Number(number) => Some(js_number(*number)),
        Kind::Bool(on) => Some(on.to_string()),
        Kind::Null | Kind::Sequence(_) | Kind::Mapping(_) => None,
    }
}

fn set(variable: &str, value: &Node) -> Option<Entry> {
    let value = Node::new(Kind::String(plain(value)?), value.span);
    Some(Entry { key: key(variable), value })
}

fn said(name: &str, value: &str) -> Entry {
    Entry { key: key(name), value: text(value) }
}

fn key(name: &str) -> Key {
    Key { text: name.to_owned(), span: None }
}

fn text(value: &str) -> Node {
    Node::new(Kind::String(value.to_owned()), None)
}
