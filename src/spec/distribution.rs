use serde::{Deserialize, Serialize};

/// How the instances of a cluster share out who connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    #[default]
    Reuseport,
    Shared,
    RoundRobin,
    Sticky,
}

impl Distribution {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub const WORDS: [(&'static str, &'static str); 4] = [
        ("reuseport", "The system does, by a socket for each instance: nothing is faster."),
        ("shared", "Whoever is idle first takes the next, from one socket."),
        (
            "round_robin",
            "pmrun accepts, and gives each to the instance that has the fewest on their way to it, in turn.",
        ),
        (
            "sticky",
            "As `round_robin`, but who comes from one address comes to one instance as long as that is there. By a path, where \
             nobody has an address, as `round_robin`.",
        ),
    ];

    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Reuseport, Self::Shared, Self::RoundRobin, Self::Sticky].into_iter().find(|one| one.word() == word)
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Reuseport => "reuseport",
            Self::Shared => "shared",
            Self::RoundRobin => "round_robin",
            Self::Sticky => "sticky",
        }
    }
}
