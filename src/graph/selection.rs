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
    /// Reads `--only a,b`: names parted by commas or white space, as PM2. Only no value at all
    /// selects all: values without a name in them select nothing.
    #[must_use]
    pub fn parse(values: &[String]) -> Self {
        if values.is_empty() {
            return Self::All;
        }
        let names = values
            .iter()
            .flat_map(|value| value.split(|c: char| c == ',' || c.is_whitespace()))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        Self::Only(names)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_no_value_at_all_selects_all() {
        let parse = |values: &[&str]| Selection::parse(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>());
        let only = |names: &[&str]| Selection::Only(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(parse(&[]), Selection::All);
        assert_eq!(parse(&["a,b", "c a"]), only(&["a", "b", "c"]));
        for nothing in ["", ",", " , "] {
            assert_eq!(parse(&[nothing]), only(&[]), "{nothing:?}");
        }
    }
}
