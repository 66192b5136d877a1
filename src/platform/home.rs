use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::read_regular;
use crate::supervisor::Names;

/// In `PMRUN_HOME`: who began it, where that was not this program under its own name.
pub const MANNERS: &str = "manners";

/// `PMRUN_HOME`, else `.pmrun` in the user's home folder. Absolute; not made.
///
/// `variable` looks a variable up, so that tests need not change the real ones.
///
/// # Errors
/// In words, when no variable and no entry in the user database says where it is.
pub fn default_home(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, String> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if variable("PMRUN_HOME").is_some_and(|value| value.is_empty()) {
        // Most likely a variable in a script that is not set: the user's own apps are not what was meant.
        return Err("PMRUN_HOME is set, and empty".to_owned());
    }
    if let Some(home) = set("PMRUN_HOME") {
        return std::path::absolute(&home)
            .map_err(|error| format!("cannot tell where `{}` is: {error}", home.display()));
    }
    let user_home = set("HOME").filter(|home| home.is_absolute()).or_else(passwd_home);
    user_home.map(|home| home.join(".pmrun")).ok_or_else(|| "neither PMRUN_HOME nor HOME says where to work".to_owned())
}

/// Makes the folder for its owner alone; one that exists is left as it is.
///
/// # Errors
/// The system's, when it cannot be made.
pub fn ensure_home(home: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(home)
}

/// What files of apps are called in a home.
#[must_use]
pub fn names(home: &Path) -> Names {
    match read_regular(&home.join(MANNERS)) {
        Ok(text) if text.trim_ascii() == b"pm2" => Names::Pm2,
        Ok(_) | Err(_) => Names::Own,
    }
}

/// What somebody wants of a file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Read,
    Run,
    Enter,
}

/// # Errors
/// Why this process may not.
pub fn may(path: &Path, wanted: Use) -> io::Result<()> {
    let access = match wanted {
        Use::Read => Access::READ_OK,
        Use::Run | Use::Enter => Access::EXEC_OK,
    };
    Ok(rustix::fs::access(path, access)?)
}

/// Who this process is.
#[must_use]
pub fn user_id() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// A user that the machine knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownUser {
    pub name: String,
    pub id: u32,
    /// Its home folder.
    pub home: PathBuf,
}

/// None is who this process is.
#[must_use]
pub fn find_user(name: Option<&str>) -> Option<KnownUser> {
    let found = match name {
        Some(name) => nix::unistd::User::from_name(name),
        None => nix::unistd::User::from_uid(nix::unistd::geteuid()),
    };
    let user = found.ok().flatten()?;
    Some(KnownUser { name: user.name, id: user.uid.as_raw(), home: user.dir })
}

fn passwd_home() -> Option<PathBuf> {
    nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_what_the_variables_say_and_absolute() {
        let here = std::env::current_dir().unwrap();
        let table: [(&[(&str, &str)], PathBuf); 3] = [
            (&[("PMRUN_HOME", "/a/b"), ("HOME", "/root")], "/a/b".into()),
            (&[("PMRUN_HOME", "rel"), ("HOME", "/root")], here.join("rel")),
            (&[("HOME", "/home/x")], "/home/x/.pmrun".into()),
        ];
        for (variables, want) in table {
            let look = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            assert_eq!(default_home(look).unwrap(), want);
        }
        assert!(default_home(|_| Some(OsString::new())).is_err(), "empty is a mistake");
        assert!(default_home(|_| None).unwrap().is_absolute(), "the user database knows");
    }
}
