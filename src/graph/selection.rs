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
    /// Exactly these names; no name at all is all apps.
    #[must_use]
    pub fn named(names: &[String]) -> Self {
        if names.is_empty() { Self::All } else { Self::Only(names.iter().cloned().collect()) }
    }

    /// What `--only a,b` may mean, as long as nobody knows the names that there are: at least all that it does mean.
    #[must_use]
    pub fn possible(values: &[String]) -> Self {
        if values.is_empty() {
            return Self::All;
        }
        let names = values.iter().flat_map(|value| pieces(value));
        Self::Only(names.flat_map(|name| name.split_whitespace().chain([name])).map(str::to_owned).collect())
    }

    /// What `--only a,b` means: names parted by commas or, as for PM2, by white space, unless an app is called so. Only
    /// no value at all selects all: values without a name in them select nothing.
    ///
    /// # Errors
    /// The first name that is not among `known`.
    pub fn among<'a>(values: &[String], known: &(impl Iterator<Item = &'a str> + Clone)) -> Result<Self, UnknownName> {
        if values.is_empty() {
            return Ok(Self::All);
        }
        let is_known = |name: &str| known.clone().any(|known| known == name);
        let mut names = BTreeSet::new();
        for piece in values.iter().flat_map(|value| pieces(value)) {
            let words = || piece.split_whitespace();
            if is_known(piece) {
                names.insert(piece.to_owned());
            } else if let Some(unknown) = words().find(|word| !is_known(word)) {
                // One word that is none of several names is most likely misspelt by itself.
                let name = if words().any(is_known) { unknown } else { piece };
                let suggestion = closest(name, known.clone()).map(str::to_owned);
                return Err(UnknownName { name: name.to_owned(), suggestion });
            } else {
                names.extend(words().map(str::to_owned));
            }
        }
        Ok(Self::Only(names))
    }

    /// None for all.
    #[must_use]
    pub fn names(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::All => None,
            Self::Only(names) => Some(names),
        }
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

/// Between commas, less the white space around them.
fn pieces(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn names_are_parted_by_commas_or_spaces_unless_one_has_a_space() {
        let known = ["a", "b", "c", "my app", "my"];
        let among = |values: &[&str]| Selection::among(&owned(values), &known.into_iter());
        let only = |names: &[&str]| Ok(Selection::Only(owned(names).into_iter().collect()));
        assert_eq!(among(&[]), Ok(Selection::All));
        assert_eq!(among(&["a,b", "c a"]), only(&["a", "b", "c"]));
        assert_eq!(among(&["my app", " a , b"]), only(&["my app", "a", "b"]));
        for nothing in ["", ",", " , "] {
            assert_eq!(among(&[nothing]), only(&[]), "{nothing:?}");
        }
        let unknown = |values: &[&str]| among(values).unwrap_err().name;
        assert_eq!(unknown(&["a bb"]), "bb");
        assert_eq!(unknown(&["my apq"]), "apq");
        assert_eq!(unknown(&["no such"]), "no such");
    }

    #[test]
    fn nothing_that_may_be_meant_is_left_out() {
        let possible = Selection::possible(&owned(&["my app,a", "b c"]));
        for name in ["my app", "a", "b", "c"] {
            assert!(possible.contains(name), "{name}");
        }
        assert_eq!(Selection::possible(&[]), Selection::All);
    }
}
