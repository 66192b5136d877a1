use std::ffi::OsStr;
use std::path::Path;

use super::exit::Exit;

/// Whose: by the name that the program was run under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Manners {
    #[default]
    Own,
    /// What scripts written for PM2 expect: its home, its messages on its streams, its exit codes.
    Pm2,
}

impl Manners {
    /// By the name of this process.
    pub(super) fn own() -> Self {
        Self::of(std::env::args_os().next().as_deref())
    }

    fn of(program: Option<&OsStr>) -> Self {
        match program.and_then(|path| Path::new(path).file_name()) {
            Some(name) if name == "pm2" => Self::Pm2,
            _ => Self::Own,
        }
    }

    /// PM2 knows two codes; what was begun and did not come up is none of its errors.
    pub(super) fn exit(self, exit: Exit) -> Exit {
        match (self, exit) {
            (Self::Pm2, Exit::Done | Exit::NotReady | Exit::Changes) => Exit::Done,
            (Self::Own, exit) | (Self::Pm2, exit @ (Exit::Interrupted | Exit::Terminated)) => exit,
            (Self::Pm2, _) => Exit::Error,
        }
    }

    pub(super) fn are_pm2s(self) -> bool {
        self == Self::Pm2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_alone_decides() {
        for (program, want) in [
            (Some("/usr/local/bin/pm2"), Manners::Pm2),
            (Some("pm2"), Manners::Pm2),
            (Some("pmrun"), Manners::Own),
            (Some("/opt/pm2/pmrun"), Manners::Own),
            (None, Manners::Own),
        ] {
            assert_eq!(Manners::of(program.map(OsStr::new)), want, "{program:?}");
        }
    }
}
