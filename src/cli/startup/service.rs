//! What a service manager is told of a daemon, in its own words. Pure: who and where is asked before.

use std::path::{Path, PathBuf};

use crate::base::{sha256_hex, shell_word};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Init {
    Systemd,
    OpenRc,
    Launchd,
}

impl Init {
    /// As `startup` is told it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::OpenRc => "openrc",
            Self::Launchd => "launchd",
        }
    }
}

/// One daemon, and who runs it.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub name: String,
    pub user: String,
    /// Of the user's own service manager, not of the machine's.
    pub of_user: bool,
    pub program: PathBuf,
    /// `PMRUN_HOME`.
    pub home: PathBuf,
    /// Of the shell that this is asked for in: what an app's interpreter is found by, where its config says nothing else.
    pub path: String,
    /// Where systemctl is.
    pub systemctl: PathBuf,
}

/// In one of the first two lines.
const SEAL: &str = "pmrun startup, seal ";

/// Why a file is not simply written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Edited,
    /// Of another `PMRUN_HOME` or user.
    Another,
    Foreign,
}

impl Kept {
    /// The end of a sentence about the file.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Edited => "was edited since pmrun wrote it",
            Self::Another => "is of another PMRUN_HOME or user",
            Self::Foreign => "was not written by pmrun",
        }
    }
}

impl Service {
    /// The file's whole text, sealed, so that it can be told whether somebody has edited it.
    ///
    /// # Errors
    /// What cannot be said in it.
    pub(super) fn text(&self, init: Init) -> Result<String, String> {
        for (what, value) in [
            ("pmrun's own path", self.program.to_str()),
            ("PMRUN_HOME", self.home.to_str()),
            ("PATH", Some(self.path.as_str())),
            ("the user's name", Some(self.user.as_str())),
        ] {
            let value = value.ok_or_else(|| format!("{what} is not valid UTF-8"))?;
            if value.chars().any(char::is_control) {
                return Err(format!("{what} has a line break or another control character in it: {value:?}"));
            }
        }
        let (head, body, end) = match init {
            Init::Systemd => (String::new(), self.systemd(), ("# ", "\n")),
            Init::OpenRc => ("#!/sbin/openrc-run\n".to_owned(), self.openrc(), ("# ", "\n")),
            Init::Launchd => {
                ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(), self.launchd(), ("<!-- ", " -->\n"))
            }
        };
        Ok(format!("{head}{}{SEAL}{}{}{body}", end.0, &sha256_hex(body.as_bytes())[..16], end.1))
    }

    /// Why `present` is not to be written over with `text` unasked.
    pub(super) fn keeps(present: &str, text: &str) -> Option<Kept> {
        match sealed(present) {
            None => Some(Kept::Foreign),
            Some(false) => Some(Kept::Edited),
            Some(true) if home_of(present) != home_of(text) => Some(Kept::Another),
            Some(true) => None,
        }
    }

    fn systemd(&self) -> String {
        let (home, program) = (shown(&self.home), shown(&self.program));
        let user = if self.of_user { String::new() } else { format!("User={}\n", specifiers(&self.user)) };
        let (plus, scope) = if self.of_user { ("", " --user") } else { ("+", "") };
        let systemctl = shown(&self.systemctl);
        let order = if self.of_user {
            String::new()
        } else {
            "Wants=network-online.target\nAfter=network.target network-online.target nss-user-lookup.target\n"
                .to_owned()
        };
        let target = if self.of_user { "default.target" } else { "multi-user.target" };
        format!(
            "\
[Unit]
Description=pmrun of {user_name}
Documentation=https://github.com/pmrun/pmrun
{order}RequiresMountsFor={mounts}
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
{user}Environment={home_variable}
Environment={path_variable}
ExecStart={exec} daemon
# A restart ends only the process that systemd knows: the daemon goes on until the next one has taken over, and apps run
# on. Only what systemd is about to do says which it is.
ExecStop=-{plus}/bin/sh -c 'case \"$$({systemctl}{scope} list-jobs --full --plain --no-legend %n)\" in *\" restart \"*) kill -USR1 \"$$MAINPID\";; esac'
# Makes room in the cgroup for the next one, where apps with limits run on in it.
ExecStopPost=-{exec} daemon --make-room
KillMode=process
Restart=on-failure
RestartSec=1
TimeoutStartSec=120
# Longer as long as apps take their kill_timeout: the daemon says so.
TimeoutStopSec=90
OOMPolicy=continue
Delegate=yes
TasksMax=infinity
LimitNOFILE=65536:524288

[Install]
WantedBy={target}
",
            user_name = specifiers(&self.user),
            mounts = word(&home),
            home_variable = word(&format!("PMRUN_HOME={home}")),
            path_variable = word(&format!("PATH={}", self.path)),
            // A variable in the program's path is none.
            exec = word(&program).replace('$', "$$"),
        )
    }

    fn openrc(&self) -> String {
        let (home, program) = (shown(&self.home), shown(&self.program));
        format!(
            "
description={description}
pidfile=\"/run/${{RC_SVCNAME}}.pid\"

depend() {{
	need localmount
	use net dns logger
	after bootmisc
}}

start() {{
	ebegin \"Starting ${{RC_SVCNAME}}\"
	# By env(1): whatever else runs of pmrun is not taken for the service.
	start-stop-daemon --start --background --make-pidfile --pidfile \"$pidfile\" \\
		--chuid {user} --exec /usr/bin/env -- \\
		PMRUN_HOME={home} \\
		PATH={path} \\
		{program} daemon
	eend $?
}}

stop() {{
	ebegin \"Stopping ${{RC_SVCNAME}}\"
	if [ \"$RC_CMD\" = restart ]; then
		# Apps run on: the daemon goes on until the next one has taken over.
		kill -USR1 \"$(cat \"$pidfile\")\"
	else
		# As long as apps may take to end.
		start-stop-daemon --stop --retry TERM/600 --pidfile \"$pidfile\"
	fi
	eend $?
}}
",
            description = shell_word(&format!("pmrun of {}", self.user)),
            program = shell_word(&program),
            home = shell_word(&home),
            path = shell_word(&self.path),
            user = shell_word(&self.user),
        )
    }

    fn launchd(&self) -> String {
        let user = if self.of_user {
            String::new()
        } else {
            format!("\t<key>UserName</key>\n\t<string>{}</string>\n", escaped(&self.user))
        };
        format!(
            "\
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<plist version=\"1.0\">
<dict>
	<key>Label</key>
	<string>{name}</string>
{user}	<key>ProgramArguments</key>
	<array>
		<string>{program}</string>
		<string>daemon</string>
	</array>
	<key>EnvironmentVariables</key>
	<dict>
		<key>PMRUN_HOME</key>
		<string>{home}</string>
		<key>PATH</key>
		<string>{path}</string>
	</dict>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<dict>
		<key>SuccessfulExit</key>
		<false/>
	</dict>
	<key>AbandonProcessGroup</key>
	<true/>
	<key>ExitTimeOut</key>
	<integer>90</integer>
	<key>SoftResourceLimits</key>
	<dict>
		<key>NumberOfFiles</key>
		<integer>65536</integer>
	</dict>
</dict>
</plist>
",
            name = escaped(&self.name),
            program = escaped(&shown(&self.program)),
            home = escaped(&shown(&self.home)),
            path = escaped(&self.path),
        )
    }
}

/// Whether it is as it was written; none where it was not written here.
pub(super) fn sealed(text: &str) -> Option<bool> {
    let line = text.lines().take(2).find(|line| line.contains(SEAL))?;
    let seal = line[line.find(SEAL)? + SEAL.len()..].trim_end_matches(" -->");
    let (_, body) = text.split_once(&format!("{line}\n"))?;
    Some(sha256_hex(body.as_bytes()).get(..16) == Some(seal))
}

/// The lines that say which daemon it is.
fn home_of(text: &str) -> Vec<&str> {
    let is_home = |line: &str| line.to_ascii_lowercase().contains("pmrun_home");
    let after = text.lines().skip_while(|line| !is_home(line)).take(2);
    let says = |line: &&str| is_home(line) || line.contains("<string>");
    let user = text.lines().filter(|line| line.starts_with("User=") || line.contains("--chuid "));
    after.filter(says).chain(user).collect()
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Systemd's own `%`.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// A word of systemd's.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.,:=+@".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    format!("\"{}\"", specifiers(text).replace('\\', "\\\\").replace('"', "\\\""))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn bob() -> Service {
        Service {
            name: "pmrun-bob".into(),
            user: "bob".into(),
            of_user: false,
            program: "/usr/local/bin/pmrun".into(),
            home: "/home/bob/.pmrun".into(),
            path: "/usr/local/bin:/usr/bin".into(),
            systemctl: "/usr/bin/systemctl".into(),
        }
    }

    fn odd() -> Service {
        let mut odd = bob();
        odd.home = "/srv/a b/100%/$HOME/it's \"x\"\\&<y>".into();
        odd.program = "/opt/a b/$x/pmrun".into();
        odd
    }

    #[test]
    fn each_service_manager_is_told_in_its_own_words() {
        insta::assert_snapshot!("systemd", bob().text(Init::Systemd).unwrap());
        let own = Service { of_user: true, name: "pmrun".into(), ..bob() };
        insta::assert_snapshot!("systemd_of_user", own.text(Init::Systemd).unwrap());
        insta::assert_snapshot!("openrc", bob().text(Init::OpenRc).unwrap());
        insta::assert_snapshot!("launchd", bob().text(Init::Launchd).unwrap());
    }

    #[test]
    fn odd_paths_are_said_so_that_they_are_understood() {
        let unit = odd().text(Init::Systemd).unwrap();
        let home = r#"Environment="PMRUN_HOME=/srv/a b/100%%/$HOME/it's \"x\"\\&<y>""#;
        assert!(unit.contains(home), "{unit}");
        assert!(unit.contains("ExecStart=\"/opt/a b/$$x/pmrun\" daemon\n"), "{unit}");
        let plist = odd().text(Init::Launchd).unwrap();
        assert!(plist.contains("it's \"x\"\\&amp;&lt;y&gt;</string>"), "{plist}");
        let script = odd().text(Init::OpenRc).unwrap();
        // What a shell makes of it.
        let around = "ebegin() { :; }\neend() { :; }\nstarter() { printf '%s\\n' \"$@\"; }\n";
        let asked = format!("{around}{}\nstart\n", script.replace("start-stop-daemon", "starter"));
        let shell = Command::new("sh").arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut shell = shell.unwrap();
        shell.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
        let words = String::from_utf8(shell.wait_with_output().unwrap().stdout).unwrap();
        let want =
            format!("PMRUN_HOME={}\nPATH={}\n{}\ndaemon\n", odd().home.display(), odd().path, odd().program.display());
        assert!(words.ends_with(&want), "{words}");
        let broken = Service { home: "/a\nExecStart=/bin/false".into(), ..bob() };
        assert!(broken.text(Init::Systemd).unwrap_err().contains("PMRUN_HOME has a line break"));
    }

    #[test]
    fn what_was_edited_or_is_anothers_is_not_written_over_unasked() {
        for init in [Init::Systemd, Init::OpenRc, Init::Launchd] {
            let text = bob().text(init).unwrap();
            assert_eq!(Service::keeps(&text, &text), None);
            let newer = Service { path: "/new".into(), ..bob() }.text(init).unwrap();
            assert_eq!(Service::keeps(&text, &newer), None);
            let edited = text.replace("daemon", "daemon --other");
            assert_eq!(Service::keeps(&edited, &text), Some(Kept::Edited));
            let another = Service { home: "/other".into(), ..bob() }.text(init).unwrap();
            assert_eq!(Service::keeps(&another, &text), Some(Kept::Another));
            assert_eq!(Service::keeps("[Unit]\nDescription=mine\n", &text), Some(Kept::Foreign));
        }
    }
}
