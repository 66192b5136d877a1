//! `startup` has a service manager start the daemon with the machine, `unstartup` undoes it.
//!
//! `service` says what the file says; here it is found out whom it is for, and what is there already.

mod service;

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use self::service::{Init, Service};
use super::arguments::{self, InitSystem};
use super::error::CliError;
use super::exit::Exit;
use super::manners::Manners;
use super::surroundings;
use super::terminal::{Terminal, harmless};
use crate::base::shell_word;
use crate::platform::{self, KnownUser, read_regular, reason};

/// Where programs of the system are: not in PATH, which may begin with folders that others write to.
const SYSTEM_FOLDERS: [&str; 6] =
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/run/current-system/sw/bin", "/usr/local/bin"];

/// Which service of which service manager is meant.
struct Meant {
    init: Init,
    user: KnownUser,
    service: Service,
    file: PathBuf,
}

pub(super) fn run(arguments: &arguments::Startup, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let meant = meant(&arguments.whose)?;
    if arguments.whose.platform == Some(InitSystem::Other) {
        terminal.say(format!(
            "services are written for systemd, OpenRC and launchd: this one is for {}, which is here",
            meant.init.name()
        ));
    }
    let text = meant.service.text(meant.init).map_err(CliError::error)?;
    if arguments.print {
        terminal.print(&text)?;
        return Ok(Exit::Done);
    }
    meant.need_rights("startup", &arguments.whose, terminal)?;
    let tool = meant.tool()?;
    let shown = meant.file.display().to_string();
    let present = read(&meant.file)?;
    terminal.say(format!("{shown}:"));
    terminal.print(&text)?;
    terminal.flush()?;
    match &present {
        Some(present) if *present == text => terminal.say(format!("{shown} is there already, just so")),
        present => {
            if let Some(present) = present
                && let Some(kept) = Service::keeps(present, &text)
            {
                let lost = present.lines().filter(|line| !text.lines().any(|new| new == *line));
                let lost: Vec<String> = lost.map(|line| format!("  {}", harmless(line.as_bytes(), false))).collect();
                let what = format!("`{shown}` {}; these lines would go:\n{}", kept.why(), lost.join("\n"));
                let hint = "`--yes` writes over it, `--service-name NAME` writes another";
                ask("write over it", &what, hint, arguments.yes, terminal)?;
            }
            write(&meant.file, &text, meant.init).map_err(|err| CliError::io("write", &meant.file, &err))?;
            terminal.say(format!("written: {shown}"));
        }
    }
    for command in meant.enabling(&tool) {
        perform(&command, terminal)?;
    }
    meant.say_what_now(&tool, &arguments.whose, terminal);
    Ok(Exit::Done)
}

pub(super) fn undo(arguments: &arguments::Unstartup, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let meant = meant(&arguments.whose)?;
    meant.need_rights("unstartup", &arguments.whose, terminal)?;
    let shown = meant.file.display().to_string();
    let Some(present) = read(&meant.file)? else {
        terminal.say(format!("there is no `{shown}`: nothing to undo"));
        return Ok(Exit::Done);
    };
    let text = meant.service.text(meant.init).map_err(CliError::error)?;
    if let Some(kept) = Service::keeps(&present, &text) {
        let what = format!("`{shown}` {}", kept.why());
        ask("remove it", &what, "`--yes` removes it all the same; nothing was done", arguments.yes, terminal)?;
    }
    let tool = meant.tool()?;
    for command in meant.disabling(&tool) {
        perform(&command, terminal)?;
    }
    std::fs::remove_file(&meant.file).map_err(|err| CliError::io("remove", &meant.file, &err))?;
    terminal.say(format!("removed: {shown}"));
    for command in meant.forgetting(&tool) {
        perform(&command, terminal)?;
    }
    terminal.say("what runs goes on; `pmrun kill` ends it");
    Ok(Exit::Done)
}

fn meant(whose: &arguments::Whose) -> Result<Meant, CliError> {
    let init = match whose.platform {
        Some(InitSystem::Systemd) => Init::Systemd,
        Some(InitSystem::Openrc) => Init::OpenRc,
        Some(InitSystem::Launchd) => Init::Launchd,
        Some(InitSystem::Other) => detect().ok_or_else(|| {
            CliError::error("services are written for systemd, OpenRC and launchd, not for what was named")
                .hint("others can run `pmrun daemon` themselves")
        })?,
        None => detect().ok_or_else(|| {
            CliError::error("cannot tell which service manager starts this machine").hint(
                "say it: `pmrun startup systemd`, `openrc` or `launchd`; others can run `pmrun daemon` themselves",
            )
        })?,
    };
    if whose.of_user && init == Init::OpenRc {
        return Err(CliError::usage("OpenRC has no services of users").hint("leave out `--user`"));
    }
    let own = platform::user_id();
    let user = match &whose.account {
        Some(name) => platform::find_user(Some(name))
            .ok_or_else(|| CliError::error(format!("there is no user `{name}` on this machine")))?,
        None => platform::find_user(None)
            .ok_or_else(|| CliError::error(format!("the user {own} has no entry on this machine")))?,
    };
    if whose.of_user && user.id != own {
        let name = &user.name;
        return Err(CliError::usage(format!("only `{name}` can have services of `{name}`'s own"))
            .hint(format!("run it as `{name}`, or leave out `--user`")));
    }
    let is_said = surroundings::names_home();
    let home = match &whose.hp {
        Some(folder) if !is_said || Manners::own().are_pm2s() => {
            surroundings::home_in(&std::path::absolute(folder).unwrap_or_else(|_| folder.clone()))
        }
        None if !is_said && user.id != own => surroundings::home_in(&user.home),
        _ => surroundings::home()?,
    };
    let program = std::env::current_exe()
        .map_err(|err| CliError::error(format!("cannot tell where this pmrun is: {}", reason(&err))))?;
    let name = whose.service_name.clone().unwrap_or_else(|| match (init, whose.of_user) {
        (Init::Launchd, _) => format!("pmrun.{}", tame(&user.name)),
        (_, true) => "pmrun".to_owned(),
        (_, false) => format!("pmrun-{}", tame(&user.name)),
    });
    let service = Service {
        name: name.clone(),
        user: user.name.clone(),
        of_user: whose.of_user,
        program,
        home,
        path: std::env::var("PATH").unwrap_or_default(),
        systemctl: system_program("systemctl").unwrap_or_else(|| "/usr/bin/systemctl".into()),
    };
    let file = match (init, whose.of_user) {
        (Init::Systemd, false) => PathBuf::from(format!("/etc/systemd/system/{name}.service")),
        (Init::Systemd, true) => {
            let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
            let config = config.unwrap_or_else(|| user.home.join(".config"));
            config.join(format!("systemd/user/{name}.service"))
        }
        (Init::OpenRc, _) => PathBuf::from(format!("/etc/init.d/{name}")),
        (Init::Launchd, false) => PathBuf::from(format!("/Library/LaunchDaemons/{name}.plist")),
        (Init::Launchd, true) => user.home.join(format!("Library/LaunchAgents/{name}.plist")),
    };
    Ok(Meant { init, user, service, file })
}

fn detect() -> Option<Init> {
    if Path::new("/run/systemd/system").exists() {
        return Some(Init::Systemd);
    }
    [("rc-update", Init::OpenRc), ("launchctl", Init::Launchd), ("systemctl", Init::Systemd)]
        .into_iter()
        .find(|(program, _)| system_program(program).is_some())
        .map(|(_, init)| init)
}

fn system_program(name: &str) -> Option<PathBuf> {
    SYSTEM_FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// What is before and after the command of a line that has a home found again.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    begin: String,
    end: String,
}

/// Called by that name again, by whoever may: a home is below the folder that `--hp` names, or said.
fn as_pm2(home: &Path, program: &Path) -> Said {
    let program = shell_word(&program.to_string_lossy());
    if let Some(folder) = home.parent().filter(|_| home.file_name().is_some_and(|name| name == ".pm2")) {
        return Said { begin: program, end: format!(" --hp {}", shell_word(&folder.to_string_lossy())) };
    }
    let home = shell_word(&home.to_string_lossy());
    Said { begin: format!("PM2_HOME={home} {program}"), end: String::new() }
}

/// By which path this program was called: a link's, where its name decides what is said.
fn called() -> PathBuf {
    let name = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    if name.components().count() > 1 {
        return std::path::absolute(&name).unwrap_or(name);
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&folders).filter(|folder| folder.is_absolute());
    found.find_map(|folder| Some(folder.join(&name)).filter(|path| path.is_file())).unwrap_or(name)
}

/// A user's name where a service's is to be: nothing that service managers would take for more than a letter.
fn tame(name: &str) -> String {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.chars().map(|c| if is_fit(c) { c } else { '-' }).collect()
}

impl Meant {
    /// Who may not says it to somebody who may.
    fn need_rights(&self, verb: &str, whose: &arguments::Whose, terminal: &mut Terminal) -> Result<(), CliError> {
        if self.service.of_user || platform::user_id() == 0 {
            return Ok(());
        }
        let platform = self.init.name();
        let user = shell_word(&self.service.user);
        let named = whose.service_name.as_ref().map(|name| format!(" --service-name {name}")).unwrap_or_default();
        let said = if terminal.manners.are_pm2s() {
            as_pm2(&self.service.home, &called())
        } else {
            let home = std::env::var_os("PMRUN_HOME").map(|_| self.service.home.to_string_lossy());
            let home = home.map(|home| format!("PMRUN_HOME={} ", shell_word(&home))).unwrap_or_default();
            let program = shell_word(&self.service.program.to_string_lossy());
            let hp = whose.hp.as_deref().unwrap_or(&self.user.home).to_string_lossy();
            Said { begin: home + &program, end: format!(" --hp {}", shell_word(&hp)) }
        };
        let line = format!("sudo env PATH=\"$PATH\" {} {verb} {platform} -u {user}{}{named}", said.begin, said.end);
        terminal.print(format!("{line}\n"))?;
        let problem = format!("`{}` is root's to write: run the line above", self.file.display());
        let error = CliError::error(problem);
        Err(if self.init == Init::OpenRc {
            error
        } else {
            error.hint("or, without root, `--user`: it starts when you log in")
        })
    }

    fn tool(&self) -> Result<PathBuf, CliError> {
        let name = match self.init {
            Init::Systemd => "systemctl",
            Init::OpenRc => "rc-update",
            Init::Launchd => "launchctl",
        };
        system_program(name).ok_or_else(|| {
            CliError::error(format!("there is no `{name}` on this machine"))
                .hint("`--print` prints what would be written, for another one")
        })
    }

    fn command(&self, tool: &Path, words: &[&str]) -> Vec<String> {
        let mut command = vec![tool.to_string_lossy().into_owned()];
        if self.init == Init::Systemd && self.service.of_user {
            command.push("--user".to_owned());
        }
        command.extend(words.iter().map(|word| (*word).to_owned()));
        command
    }

    fn unit(&self) -> String {
        format!("{}.service", self.service.name)
    }

    fn enabling(&self, tool: &Path) -> Vec<Vec<String>> {
        match self.init {
            Init::Systemd => {
                let mut commands = self.reloading(tool);
                commands.push(self.command(tool, &["enable", &self.unit()]));
                commands
            }
            Init::OpenRc => vec![self.command(tool, &["add", &self.service.name, "default"])],
            Init::Launchd => vec![self.command(tool, &["load", "-w", &self.file.to_string_lossy()])],
        }
    }

    fn disabling(&self, tool: &Path) -> Vec<Vec<String>> {
        match self.init {
            Init::Systemd => vec![self.command(tool, &["disable", &self.unit()])],
            Init::OpenRc => vec![self.command(tool, &["del", &self.service.name, "default"])],
            // It would end what runs; without its file it is not loaded again.
            Init::Launchd => Vec::new(),
        }
    }

    fn forgetting(&self, tool: &Path) -> Vec<Vec<String>> {
        if self.init == Init::Systemd { self.reloading(tool) } else { Vec::new() }
    }

    /// Where it does not run, in an image that is being built, there is nothing to be told.
    fn reloading(&self, tool: &Path) -> Vec<Vec<String>> {
        let runs = self.service.of_user || Path::new("/run/systemd/system").exists();
        if runs { vec![self.command(tool, &["daemon-reload"])] } else { Vec::new() }
    }

    fn say_what_now(&self, tool: &Path, whose: &arguments::Whose, terminal: &mut Terminal) {
        let (user, home) = (&self.service.user, self.service.home.display());
        terminal
            .say(format!("the daemon of `{home}` starts with the machine, as `{user}`, and with it what should run"));
        if self.init == Init::Systemd {
            let start = self.command(tool, &["start", &self.unit()]).join(" ");
            terminal.say(format!("now, without a reboot: {start}  (it takes over what runs, nothing is restarted)"));
        }
        if self.init == Init::OpenRc {
            terminal.say(format!("now, without a reboot: rc-service {} start", self.service.name));
        }
        if self.init == Init::Systemd && self.service.of_user && !lingers(user) {
            terminal.say(format!(
                "it starts when `{user}` logs in, and ends with the last session; with the machine, and for good: \
                 loginctl enable-linger {}",
                shell_word(user)
            ));
        }
        let mut words = vec!["pmrun unstartup".to_owned()];
        if self.service.of_user {
            words.push("--user".to_owned());
        }
        if let Some(name) = &whose.account {
            words.push(format!("-u {}", shell_word(name)));
        }
        if let Some(name) = &whose.service_name {
            words.push(format!("--service-name {}", shell_word(name)));
        }
        terminal.say(format!("to undo it: {}", words.join(" ")));
    }
}

fn lingers(user: &str) -> bool {
    Path::new("/var/lib/systemd/linger").join(user).exists()
}

fn read(path: &Path) -> Result<Option<String>, CliError> {
    match read_regular(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(CliError::io("read", path, &err)),
    }
}

/// All of it or nothing. A link that leads elsewhere is followed: who put it there wants the file to be there.
fn write(path: &Path, text: &str, init: Init) -> std::io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let mode = path.metadata().map_or(if init == Init::OpenRc { 0o755 } else { 0o644 }, |meta| meta.mode() & 0o777);
    let new = folder.join(format!(".pmrun-startup-{}", std::process::id()));
    let written =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)
        });
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// Who cannot be asked has said it beforehand, or has not.
fn ask(what: &str, why: &str, hint: &str, yes: bool, terminal: &mut Terminal) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        terminal.say(why);
        terminal.draw(&format!("{what}? [y/N] "));
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        return Err(CliError::error("nothing was done"));
    }
    Err(CliError::error(why).hint(hint))
}

/// What it prints is talk.
fn perform(command: &[String], terminal: &mut Terminal) -> Result<(), CliError> {
    let line = command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ");
    terminal.say(format!("running: {line}"));
    let Some((program, words)) = command.split_first() else { return Ok(()) };
    let ran = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = ran.map_err(|err| CliError::error(format!("cannot run `{line}`: {}", reason(&err))))?;
    for text in [&output.stdout, &output.stderr] {
        for said in text.split(|byte| *byte == b'\n').filter(|said| !said.is_empty()) {
            terminal.say(format!("  {}", harmless(said, false)));
        }
    }
    if output.status.success() {
        return Ok(());
    }
    Err(CliError::error(format!("`{line}` failed ({})", output.status))
        .hint("what was done before stays done; mend it, and run this again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_root_has_pm2s_home_found_again() {
        let said = |home: &str| {
            let Said { begin, end } = as_pm2(Path::new(home), Path::new("/opt/my bin/pm2"));
            format!("{begin}|{end}")
        };
        assert_eq!(said("/home/bob/.pm2"), "'/opt/my bin/pm2'| --hp /home/bob");
        assert_eq!(said("/srv/pm2 home"), "PM2_HOME='/srv/pm2 home' '/opt/my bin/pm2'|");
    }

    #[test]
    fn a_users_name_becomes_part_of_a_services() {
        for (name, want) in [("bob", "bob"), ("DOMAIN\\bob", "DOMAIN-bob"), ("a@b", "a-b"), ("x y/../z", "x-y-..-z")] {
            assert_eq!(tame(name), want);
        }
    }

    #[test]
    fn a_file_is_written_whole_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/unit");
        write(&path, "one", Init::Systemd).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o644);
        let script = folder.path().join("script");
        write(&script, "two", Init::OpenRc).unwrap();
        assert_eq!(script.metadata().unwrap().mode() & 0o777, 0o755);
        write(&path, "three", Init::Systemd).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
