use std::process::ExitCode;

/// Every exit code there is. Codes from 64 on are those of sysexits(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Done,
    Error,
    Changes,
    NotReady,
    RolledBack,
    Stale,
    Usage,
    Config,
    Unreachable,
    Busy,
    Interrupted,
    Terminated,
}

impl Exit {
    #[cfg(test)]
    pub(super) const ALL: [Self; 12] = [
        Self::Done,
        Self::Error,
        Self::Changes,
        Self::NotReady,
        Self::RolledBack,
        Self::Stale,
        Self::Usage,
        Self::Config,
        Self::Unreachable,
        Self::Busy,
        Self::Interrupted,
        Self::Terminated,
    ];

    pub(super) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Changes => 2,
            Self::NotReady => 3,
            Self::RolledBack => 4,
            Self::Stale => 5,
            Self::Usage => 64,
            Self::Config => 65,
            Self::Unreachable => 69,
            Self::Busy => 75,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// What `pmrun --help` says of them; a test holds it against [`Exit::code`].
pub(super) const HELP: &str = "\
Exit codes:
   0  done; for `diff`: no changes
   1  error
   2  changes pending (`diff`, `drift`, `rollback --dry-run`)
   3  done, but not everything came up
   4  something did not come up, and everything is what it was before (`apply --auto-rollback`)
   5  the saved plan is stale
  64  wrong usage
  65  invalid config
  69  the daemon cannot be reached
  75  busy: another command is at work
 130  interrupted by Ctrl-C: what was begun goes on, nothing else is begun
 143  the same by SIGTERM";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_code_and_no_other() {
        let listed: Vec<u8> = HELP.lines().skip(1).map(|line| line[..4].trim().parse().unwrap()).collect();
        assert_eq!(listed, Exit::ALL.map(Exit::code));
    }
}
