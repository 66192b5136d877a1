use std::fmt;

use serde::{Deserialize, Serialize};

/// Who owns an app: the ecosystem's top-level `name`, else the folder that holds its file, as the user named it
/// (symlinks kept, so that a `current` symlink stays one ecosystem).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EcosystemId(pub String);

impl fmt::Display for EcosystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
