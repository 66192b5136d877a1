//! Users and groups: who they are, and what they may do with files.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getgrouplist, getgroups, setfsgid, setfsuid};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, chownat, fchown, mkdirat, openat2};
use rustix::io::Errno;

use super::spawn::open_log;
use super::{reason, sys};

/// As whom a process runs, where that is not who this process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// All that it is a member of.
    pub(super) groups: Vec<u32>,
    /// For messages.
    pub(super) name: String,
    /// `HOME` and what else login(1) sets.
    pub(super) variables: Vec<(&'static str, String)>,
}

/// Opens logs for another user, as [`Account::open_log`] does.
#[derive(Clone, Debug)]
pub struct LogOwner {
    account: Account,
    home: PathBuf,
}

impl LogOwner {
    /// None is this process's own user. `home` is `PMRUN_HOME`.
    ///
    /// # Errors
    /// In words: there is no such user or group any more.
    pub fn find(user: Option<&str>, group: Option<&str>, home: &Path) -> Result<Option<Self>, String> {
        Ok(find(user, group)?.map(|account| Self { account, home: home.to_owned() }))
    }

    /// Does something beside a log that is open, with the rights that it was opened with.
    ///
    /// # Errors
    /// The system's, and those of `inside`.
    pub fn beside<T>(&self, path: &Path, inside: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if is_below(path, &self.home) { inside() } else { self.account.lend(inside) }
    }

    /// Whether this process opens it with its own rights.
    #[must_use]
    pub fn is_ours(&self, path: &Path) -> bool {
        is_below(path, &self.home)
    }

    /// # Errors
    /// The system's.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        self.account.open_log(path, &self.home, open_log)
    }
}

/// A user's name, where there is one.
#[must_use]
pub fn user_name(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

/// The numbers of a user and of a group, or of the user's own where none is named; none of who is not known.
#[must_use]
pub fn account_numbers(user: Option<&str>, group: Option<&str>) -> (Option<u32>, Option<u32>) {
    let number = user.and_then(|user| user.parse().ok());
    let known = match (user, number) {
        (None, _) => None,
        (Some(_), Some(number)) => User::from_uid(Uid::from_raw(number)).ok().flatten(),
        (Some(name), None) => User::from_name(name).ok().flatten(),
    };
    let gid = match group {
        Some(group) => group_id(group).ok().flatten(),
        None => known.as_ref().map(|known| known.gid),
    };
    (known.map(|known| known.uid.as_raw()).or(number), gid.map(Gid::as_raw))
}

/// What keeps apps from being run as somebody; the end of a sentence.
///
/// # Errors
/// There is no such user or group, or this process may not become it.
pub fn check_account(user: Option<&str>, group: Option<&str>) -> Result<(), String> {
    find(user, group).map(|_| ())
}

/// None is this process's own.
pub(super) fn find(user: Option<&str>, group: Option<&str>) -> Result<Option<Account>, String> {
    if user.is_none() && group.is_none() {
        return Ok(None);
    }
    let me = geteuid();
    let cannot = |what: &str, error: nix::Error| format!("cannot look up the {what}: {}", reason(&error.into()));
    let number = user.and_then(|user| user.parse().ok()).map(Uid::from_raw);
    let known = match (user, number) {
        (Some(name), None) => User::from_name(name),
        (_, number) => User::from_uid(number.unwrap_or(me)),
    };
    let known = known.map_err(|error| cannot("user", error))?;
    let uid = match (&known, number, user) {
        (Some(known), _, _) => known.uid,
        (None, Some(number), _) => number,
        (None, None, Some(name)) => return Err(format!("there is no user `{name}` on this machine")),
        (None, None, None) => me,
    };
    let gid = match group {
        Some(group) => group_id(group).map_err(|error| cannot("group", error))?,
        None => Some(known.as_ref().map(|known| known.gid).ok_or_else(|| {
            format!("the user {uid} has no entry on this machine, which would say its group: `gid` must say it")
        })?),
    };
    let gid = gid.ok_or_else(|| format!("there is no group `{}` on this machine", group.unwrap_or_default()))?;
    if !me.is_root() {
        let is_own = uid == me && (gid == getegid() || group.is_none());
        return if is_own { Ok(None) } else { Err(refusal(user, group, me)) };
    }
    let name = known.as_ref().map(|known| known.name.clone());
    let groups = match name.as_ref().and_then(|name| CString::new(name.as_str()).ok()) {
        Some(name) => getgrouplist(&name, gid).map_err(|error| cannot("user's groups", error))?,
        None => vec![gid],
    };
    let variables = if user.is_some() { variables(uid, known.as_ref()) } else { Vec::new() };
    let groups = groups.into_iter().map(Gid::as_raw).collect();
    let name = name.unwrap_or_else(|| uid.to_string());
    Ok(Some(Account { uid: uid.as_raw(), gid: gid.as_raw(), groups, name, variables }))
}

fn is_below(path: &Path, folder: &Path) -> bool {
    path.components().all(|part| part != std::path::Component::ParentDir) && path.starts_with(folder)
}

fn group_id(group: &str) -> nix::Result<Option<Gid>> {
    match group.parse() {
        Ok(id) => Ok(Some(Gid::from_raw(id))),
        Err(_) => Ok(Group::from_name(group)?.map(|group| group.gid)),
    }
}

fn refusal(user: Option<&str>, group: Option<&str>, me: Uid) -> String {
    let own = User::from_uid(me).ok().flatten().map_or_else(|| me.to_string(), |user| user.name);
    match (user, group) {
        (Some(user), _) => format!("only root can run an app as user `{user}`, and pmrun runs as `{own}`"),
        (None, group) => {
            format!("only root can run an app as group `{}`, and pmrun runs as `{own}`", group.unwrap_or_default())
        }
    }
}

/// Who has no entry has no home either, and surely not that of whom pmrun runs as.
fn variables(uid: Uid, known: Option<&User>) -> Vec<(&'static str, String)> {
    let home = known.map_or_else(|| "/".to_owned(), |user| user.dir.to_string_lossy().into_owned());
    let name = known.map_or_else(|| uid.to_string(), |user| user.name.clone());
    vec![("HOME", home), ("USER", name.clone()), ("LOGNAME", name)]
}

impl Account {
    /// Opens a file for appending as this user would, with `open`; in a folder that the user may not write to
    /// (`/var/log`) as root does, and it is the user's.
    ///
    /// Below `own`, which nobody else may enter, root opens it and gives it away. Nowhere does root follow a symbolic
    /// link: the user could have made it.
    pub(super) fn open_log(
        &self,
        path: &Path,
        own: &Path,
        open: impl Fn(&Path) -> io::Result<File>,
    ) -> io::Result<File> {
        if is_below(path, own) {
            let file = open(path)?;
            self.give(&file)?;
            return Ok(file);
        }
        match self.lend(|| open(path)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => match self.open_as_root(path) {
                Err(Errno::NOENT) => {
                    self.make_folders(path.parent().unwrap_or(path))?;
                    Ok(self.open_as_root(path)?)
                }
                // What the user is told is why the user cannot.
                Err(Errno::LOOP) => Err(error),
                opened => Ok(opened?),
            },
            opened => opened,
        }
    }

    /// Runs `inside` with this user's rights to files, and no others; of all threads this one only.
    pub(super) fn lend<T>(&self, inside: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let own: Vec<u32> = getgroups()?.into_iter().map(Gid::as_raw).collect();
        sys::set_groups_of_thread(&self.groups)?;
        let own_gid = setfsgid(Gid::from_raw(self.gid));
        let own_uid = setfsuid(Uid::from_raw(self.uid));
        let result = inside();
        setfsuid(own_uid);
        setfsgid(own_gid);
        sys::set_groups_of_thread(&own)?;
        result
    }

    fn give(&self, file: &File) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        if file.metadata()?.uid() != self.uid {
            self.own(file)?;
        }
        Ok(())
    }

    fn open_as_root(&self, path: &Path) -> rustix::io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |flags, mode| openat2(CWD, path, flags, Mode::from_raw_mode(mode), ResolveFlags::NO_SYMLINKS);
        match open(flags | OFlags::CREATE | OFlags::EXCL, 0o644) {
            Ok(fresh) => {
                let file = File::from(fresh);
                self.own(&file)?;
                Ok(file)
            }
            Err(Errno::EXIST) => open(flags, 0).map(File::from),
            Err(error) => Err(error),
        }
    }

    fn own(&self, file: &File) -> rustix::io::Result<()> {
        fchown(file, Some(rustix::fs::Uid::from_raw(self.uid)), Some(rustix::fs::Gid::from_raw(self.gid)))
    }

    fn make_folders(&self, folder: &Path) -> rustix::io::Result<()> {
        let open = |folder: &Path| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            openat2(CWD, folder, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
        };
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else { return Ok(()) };
        match open(folder) {
            Err(Errno::NOENT) => {}
            opened => return opened.map(|_| ()),
        }
        self.make_folders(parent)?;
        let parent = open(parent)?;
        mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
        let (uid, gid) = (rustix::fs::Uid::from_raw(self.uid), rustix::fs::Gid::from_raw(self.gid));
        chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn numbers_are_found_by_either() {
        assert_eq!(account_numbers(None, None), (None, None));
        assert_eq!(account_numbers(Some("root"), None), (Some(0), Some(0)));
        assert_eq!(account_numbers(Some("0"), Some("4000000001")), (Some(0), Some(4_000_000_001)));
        assert_eq!(account_numbers(Some("4000000001"), None), (Some(4_000_000_001), None));
        assert_eq!(account_numbers(Some("no-such-user"), Some("no-such-group")), (None, None));
    }

    #[test]
    fn who_is_not_there_is_named_and_who_is_oneself_is_nobody_else() {
        assert_eq!(find(None, None), Ok(None));
        let nobody = find(Some("no-such-user"), None).unwrap_err();
        assert!(nobody.contains("there is no user `no-such-user`"), "{nobody}");
        let own = User::from_uid(geteuid()).unwrap().map(|user| user.name);
        if geteuid().is_root() {
            let group = find(None, Some("no-such-group")).unwrap_err();
            assert!(group.contains("there is no group `no-such-group`"), "{group}");
            let unlisted = find(Some("4000000000"), None).unwrap_err();
            assert!(unlisted.contains("`gid` must say it"), "{unlisted}");
            let found = find(Some("4000000000"), Some("4000000001")).unwrap().unwrap();
            assert_eq!((found.uid, found.gid, found.groups), (4_000_000_000, 4_000_000_001, vec![4_000_000_001]));
            let number = "4000000000".to_owned();
            let want = vec![("HOME", "/".to_owned()), ("USER", number.clone()), ("LOGNAME", number)];
            assert_eq!(found.variables, want, "nothing of root's");
        } else {
            assert_eq!(find(own.as_deref(), None), Ok(None));
            let root = find(Some("0"), None).unwrap_err();
            assert!(root.contains("only root can run an app as user `0`"), "{root}");
        }
    }

    #[test]
    fn logs_are_opened_with_the_users_rights_and_root_follows_no_link_of_theirs() {
        if !geteuid().is_root() {
            return;
        }
        let account =
            Account { uid: 4_000_000_000, gid: 4_000_000_001, groups: vec![], name: "x".into(), variables: vec![] };
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        let open = |path: &Path| {
            let open = || std::fs::OpenOptions::new().append(true).create(true).open(path);
            open().or_else(|_| std::fs::create_dir_all(path.parent().unwrap()).and_then(|()| open()))
        };
        let log = |path: &Path| account.open_log(path, &at("own"), open);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let owner = |path: &Path| path.metadata().map(|metadata| (metadata.uid(), metadata.gid())).unwrap();
        let theirs = (4_000_000_000, 4_000_000_001);

        std::fs::create_dir(at("own")).unwrap();
        std::fs::set_permissions(at("own"), std::fs::Permissions::from_mode(0o700)).unwrap();
        log(&at("own/a.log")).unwrap();
        assert_eq!(owner(&at("own/a.log")), theirs);
        // A folder of root's, and one that is missing in it.
        log(&at("sub/deep/b.log")).unwrap();
        assert_eq!((owner(&at("sub/deep/b.log")), owner(&at("sub"))), (theirs, theirs));
        log(&at("sub/deep/b.log")).unwrap();
        // What the user has put there leads nowhere.
        std::fs::write(at("secret"), "").unwrap();
        std::os::unix::fs::symlink(at("secret"), at("sub/link.log")).unwrap();
        std::os::unix::fs::symlink(at("own"), at("sub/folder")).unwrap();
        for name in ["sub/link.log", "sub/folder/c.log"] {
            assert_eq!(log(&at(name)).unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{name}");
        }
        std::fs::write(at("mine"), "").unwrap();
        assert_eq!((owner(&at("secret")), owner(&at("mine"))), ((0, 0), (0, 0)));
    }
}
