use serde::{Deserialize, Serialize};

/// What becomes of a run whose time has come while the one before goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    #[default]
    Skip,
    Queue,
    Replace,
}

impl Overlap {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub const WORDS: [(&'static str, &'static str); 3] = [
        ("skip", "There is no second run."),
        ("queue", "It begins when the one before has ended; one at most waits."),
        ("replace", "The one before is stopped first."),
    ];

    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Skip, Self::Queue, Self::Replace].into_iter().find(|one| one.word() == word)
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Replace => "replace",
        }
    }
}
