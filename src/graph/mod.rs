//! All apps of an ecosystem with their dependencies, validated; and which of them a command selects.

mod order;
mod selection;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use order::{Cycle, circles, dependency_order};
pub use selection::{Selection, UnknownName};

use crate::spec::{AppSpec, EcosystemId};

/// What a file asks for, after overlays and expansion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    pub ecosystem: EcosystemId,
    /// The file it was read from, as the user named it.
    pub file: String,
    pub profile: Option<String>,
    /// In the file's order; names are unique, dependencies exist and form no circle.
    pub apps: Vec<AppSpec>,
    /// `deploy`, kept aside as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<serde_json::Value>,
    /// Where each value was written: app name, then path within the app (`env.PORT`, `script`), to
    /// `file:line:column` or `file (apps[0].env.PORT)`. Not part of what the file means.
    #[serde(skip)]
    pub origins: Origins,
}

/// Where values were written, for "what set this". App name, path within the app, place.
pub type Origins = BTreeMap<String, BTreeMap<String, String>>;
