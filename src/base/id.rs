use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One running copy of an app: `api:0`.
///
/// `slot` counts from 0 within the app and is what the app sees as `NODE_APP_INSTANCE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId {
    pub app: String,
    pub slot: u32,
}

impl InstanceId {
    pub fn new(app: impl Into<String>, slot: u32) -> Self {
        Self { app: app.into(), slot }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.app, self.slot)
    }
}

/// An app's name may hold colons itself, so the last one separates the slot.
impl FromStr for InstanceId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (app, slot) = text.rsplit_once(':').ok_or(())?;
        Ok(Self::new(app, slot.parse().map_err(|_| ())?))
    }
}
