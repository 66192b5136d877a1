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

/// While one process relieves another there are two of them in a slot, and two names are needed. Numbers with this bit are
/// those of second names; slots, and what `list` numbers, never get as far.
const SECOND: u32 = 1 << 31;

impl InstanceId {
    pub fn new(app: impl Into<String>, slot: u32) -> Self {
        Self { app: app.into(), slot }
    }

    /// The second name of the same slot.
    #[must_use]
    pub fn second(&self) -> Self {
        Self::new(&self.app, second(self.slot))
    }

    #[must_use]
    pub fn is_second(&self) -> bool {
        is_second(self.slot)
    }

    /// The slot as everybody knows it, whichever name this is.
    #[must_use]
    pub fn first(&self) -> Self {
        Self::new(&self.app, first(self.slot))
    }
}

/// Whether a number is that of a second name.
#[must_use]
pub fn is_second(number: u32) -> bool {
    number & SECOND != 0
}

#[must_use]
pub fn second(number: u32) -> u32 {
    number | SECOND
}

#[must_use]
pub fn first(number: u32) -> u32 {
    number & !SECOND
}

/// A second name ends with `~`.
impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}{}", self.app, first(self.slot), if self.is_second() { "~" } else { "" })
    }
}

/// An app's name may hold colons itself, so the last one separates the slot.
impl FromStr for InstanceId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (app, slot) = text.rsplit_once(':').ok_or(())?;
        let number = slot.strip_suffix('~').unwrap_or(slot);
        let id = Self::new(app, number.parse().ok().filter(|number| !is_second(*number)).ok_or(())?);
        Ok(if number.len() < slot.len() { id.second() } else { id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_of_a_slot_are_read_as_they_are_written() {
        let id = InstanceId::new("a:b", 7);
        for (id, text) in [(id.clone(), "a:b:7"), (id.second(), "a:b:7~")] {
            assert_eq!((id.to_string().as_str(), text.parse().as_ref()), (text, Ok(&id)));
            assert_eq!(id.first(), InstanceId::new("a:b", 7));
        }
        for text in ["a", "a:", "a:~", "a:-1", "a:2147483648", "a:7~~"] {
            assert!(text.parse::<InstanceId>().is_err(), "{text}");
        }
    }
}
