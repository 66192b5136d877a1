//! All apps of an ecosystem with their dependencies, validated; and which of them a command selects.

mod order;
mod selection;

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
}
