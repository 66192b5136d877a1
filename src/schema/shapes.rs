use std::collections::BTreeSet;
use std::path::Path;

use super::decode::{Decoder, found};
use super::draft::{Draft, Mark};
use super::options;
use super::resolve::shown;
use super::statics;
use crate::base::closest;
use crate::diag::{Code, Diagnostic};
use crate::document::{Entry, Kind, Node, to_json};

/// What a file says, as far as its types are right.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// The top-level `name`.
    pub ecosystem: Option<String>,
    pub drafts: Vec<Draft>,
    /// `deploy`, as written.
    pub deploy: Option<serde_json::Value>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Keys that a file may have beside its apps.
const TOP_LEVEL: [&str; 6] = ["apps", "name", "deploy", "$schema", "pm2", "static"];

/// Keys that are the file's even where the file is one bare app.
const BESIDE_A_BARE_APP: [&str; 2] = ["deploy", "$schema"];

/// Decodes a document of any of the accepted shapes: `{apps: [...]}`, `{apps: {...}}` with one app, `{pm2: ...}`
/// with either of them (the one for package.json), a bare list of apps, one bare app.
#[must_use]
pub fn decode(document: &Node, file: &Path) -> Decoded {
    let mut decoder = Decoder { file, diagnostics: Vec::new() };
    let mut decoded = decoder.document(document, "");
    decoded.diagnostics = decoder.diagnostics;
    decoded
}

impl Decoder<'_> {
    fn document(&mut self, document: &Node, path: &str) -> Decoded {
        match &document.kind {
            Kind::Sequence(_) => Decoded { drafts: self.apps(document, path), ..Decoded::default() },
            Kind::Mapping(_) if document.get("apps").is_some() => self.ecosystem(document, path),
            Kind::Mapping(_) if document.get("pm2").is_some() && path.is_empty() => self.package(document),
            Kind::Mapping(_) if statics::folders(document).is_some() => self.ecosystem(document, path),
            Kind::Mapping(_) if is_app(document) => Decoded {
                drafts: self.app(document, path, &BESIDE_A_BARE_APP).into_iter().collect(),
                deploy: document.get("deploy").map(to_json),
                ..Decoded::default()
            },
            _ => {
                self.no_apps(document, path);
                Decoded::default()
            }
        }
    }

    fn ecosystem(&mut self, document: &Node, path: &str) -> Decoded {
        self.top_level_keys(document, path);
        let at = Mark { span: document.span, path: path.to_owned() }.key("apps", None).path;
        let mut drafts = document.get("apps").map(|apps| self.apps(apps, &at)).unwrap_or_default();
        drafts.extend(self.statics(document, path));
        Decoded {
            ecosystem: self.ecosystem_name(document, path),
            drafts,
            deploy: document.get("deploy").map(to_json),
            diagnostics: Vec::new(),
        }
    }

    /// `{"name": ..., "dependencies": ..., "pm2": ...}`: the other keys are npm's, its name is the ecosystem's.
    fn package(&mut self, document: &Node) -> Decoded {
        let Some(pm2) = document.get("pm2") else { return Decoded::default() };
        let whole = Mark { span: document.span, path: String::new() };
        for second in document.entries().into_iter().flatten().filter(|entry| entry.key.text == "pm2").skip(1) {
            self.twice(&whole, second);
        }
        let inner = self.document(pm2, "pm2");
        Decoded {
            ecosystem: inner.ecosystem.or_else(|| self.ecosystem_name(document, "")),
            deploy: inner.deploy.or_else(|| document.get("deploy").map(to_json)),
            ..inner
        }
    }

    /// The value of `apps`, or what stands in its place.
    fn apps(&mut self, apps: &Node, path: &str) -> Vec<Draft> {
        match &apps.kind {
            Kind::Sequence(items) if items.is_empty() => {
                let mark = Mark { span: apps.span, path: path.to_owned() };
                let hint = "`apply` refuses it; with `--allow-empty` it deletes every app that was applied from here";
                let message = "there are no apps in this file";
                self.push(Diagnostic::warning(Code::Missing, message, mark.location(self.file)).hint(hint));
                Vec::new()
            }
            Kind::Sequence(items) => {
                // Drafts are large: they are not moved about while the list grows.
                let mut drafts = Vec::with_capacity(items.len());
                let apps = items.iter().enumerate();
                drafts.extend(apps.filter_map(|(index, item)| self.app(item, &format!("{path}[{index}]"), &[])));
                drafts
            }
            Kind::Mapping(entries) => {
                // `apps: { api: {...}, web: {...} }` would be one app whose every option is unknown.
                let by_name = !is_app(apps) && entries.iter().any(|entry| entry.value.entries().is_some());
                if by_name {
                    let mark = Mark { span: apps.span, path: path.to_owned() };
                    let message = format!("`{path}` must be a list of apps, or one app, not an object of apps");
                    let hint = "write `apps: [{ name: \"...\", script: \"...\" }]`";
                    self.push(Diagnostic::error(Code::Shape, message, mark.location(self.file)).hint(hint));
                    return Vec::new();
                }
                self.app(apps, path, &[]).into_iter().collect()
            }
            _ => {
                let mark = Mark { span: apps.span, path: path.to_owned() };
                let message = format!("`{path}` must be a list of apps, or one app, not {}", found(apps));
                self.error(Code::Shape, message, &mark);
                Vec::new()
            }
        }
    }

    fn ecosystem_name(&mut self, document: &Node, path: &str) -> Option<String> {
        let name = document.get("name").filter(|name| name.kind != Kind::Null)?;
        match &name.kind {
            Kind::String(text) if !text.trim().is_empty() && !text.contains(char::is_control) => Some(text.clone()),
            _ => {
                let mark = Mark { span: None, path: path.to_owned() }.key("name", name.span);
                let message = format!("the ecosystem's `name` must be a string that is not empty, not {}", found(name));
                self.error(Code::Value, message, &mark);
                None
            }
        }
    }

    fn top_level_keys(&mut self, document: &Node, path: &str) {
        let whole = Mark { span: document.span, path: path.to_owned() };
        let mut seen = BTreeSet::new();
        for entry in document.entries().unwrap_or_default() {
            let key = entry.key.text.as_str();
            let mark = whole.key(key, entry.key.span);
            if !seen.insert(key) {
                self.twice(&whole, entry);
                continue;
            }
            match key {
                "pm2" => self.warning(Code::UnknownOption, "`pm2` is not read where there is `apps`".to_owned(), &mark),
                "static" if statics::folders(document).is_none() => {
                    let message = "`static` is not read: it is to be a list of folders that are served".to_owned();
                    let hint = "write `static: [{ path: \"public\", port: 8080 }]`";
                    let diagnostic = Diagnostic::warning(Code::NotHonoured, message, mark.location(self.file));
                    self.diagnostics.push(diagnostic.hint(hint));
                }
                _ if TOP_LEVEL.contains(&key) => {}
                _ => {
                    let message = format!("unknown top-level key `{}`", shown(key));
                    let diagnostic = Diagnostic::warning(Code::UnknownOption, message, mark.location(self.file));
                    let belongs = "options belong to an app, in `apps`";
                    let hint = match (closest(key, TOP_LEVEL), options::find(key)) {
                        (_, Some(_)) => Some(belongs.to_owned()),
                        (Some(known), None) => Some(format!("did you mean `{known}`?")),
                        (None, None) => options::meant(key).map(|near| format!("did you mean `{near}`? {belongs}")),
                    };
                    self.push(match hint {
                        Some(hint) => diagnostic.hint(hint),
                        None => diagnostic,
                    });
                }
            }
        }
    }

    /// A second list of apps silently hiding the first would delete them all.
    fn twice(&mut self, whole: &Mark, entry: &Entry) {
        let key = &entry.key.text;
        let message = format!("`{}` is written twice at the top level", shown(key));
        let at = whole.key(key, entry.key.span).location(self.file);
        self.push(Diagnostic::error(Code::DuplicateOption, message, at).hint("keep one of them"));
    }

    fn no_apps(&mut self, document: &Node, path: &str) {
        let mark = Mark { span: document.span, path: path.to_owned() };
        let message = match &document.kind {
            Kind::Mapping(entries) if entries.is_empty() => "the file holds an empty object, no apps".to_owned(),
            Kind::Mapping(_) => "the file has no `apps`".to_owned(),
            Kind::Null => "the file holds nothing, no apps".to_owned(),
            other => format!("the file holds {}, no apps", other.name()),
        };
        let meant = document
            .entries()
            .unwrap_or_default()
            .iter()
            .find(|entry| closest(&entry.key.text, ["apps"]).is_some())
            .map(|entry| format!("`{}` should be `apps`", entry.key.text));
        let package = self.file.file_name().is_some_and(|name| name == "package.json");
        let usual = if package { "pm2" } else { "apps" };
        let hint = meant.unwrap_or_else(|| format!("write `{usual}: [{{ name: \"api\", script: \"./api.js\" }}]`"));
        self.push(Diagnostic::error(Code::Shape, message, mark.location(self.file)).hint(hint));
    }
}

/// Whether an object is an app: it has a key that only apps have.
fn is_app(node: &Node) -> bool {
    node.entries()
        .unwrap_or_default()
        .iter()
        .any(|entry| entry.key.text != "name" && options::find(&entry.key.text).is_some())
}
