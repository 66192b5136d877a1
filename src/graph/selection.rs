use std::collections::BTreeSet;

use crate::base::closest;

/// Which apps of an ecosystem a command is about (`--only`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    All,
    Only(BTreeSet<String>),
}

/// A selected name that no app has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no app `{name}` in the file")]
pub struct UnknownName {
    pub name: String,
    pub suggestion: Option<String>,
}

impl Selection {
    /// Reads `--only a,b`: names parted by commas or white space, as PM2; empty selects all.
    #[must_use]
    pub fn parse(values: &[String]) -> Self {
        let names: BTreeSet<String> = values
            .iter()
            .flat_map(|value| value.split(|c: char| c == ',' || c.is_whitespace()))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        if names.is_empty() { Self::All } else { Self::Only(names) }
    }

    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }

    /// # Errors
    /// The first selected name that is not among `known`.
    pub fn check<'a>(&self, known: impl Iterator<Item = &'a str> + Clone) -> Result<(), UnknownName> {
        let Self::Only(names) = self else { return Ok(()) };
        match names.iter().find(|name| !known.clone().any(|k| k == name.as_str())) {
            None => Ok(()),
            Some(name) => Err(UnknownName { name: name.clone(), suggestion: closest(name, known).map(str::to_owned) }),
        }
    }
}
