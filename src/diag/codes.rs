/// What there is to know about a code: what `pmrun explain CODE` prints.
#[derive(Debug)]
pub struct Page {
    /// What `--json` calls it. Stable: scripts test for it.
    pub name: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it means, and what to do.
    pub text: &'static str,
    pub mistake: Sample,
    pub fix: Sample,
}

/// A config file, whole.
#[derive(Debug)]
pub struct Sample {
    pub file: &'static str,
    /// What `validate` is given besides.
    pub arguments: &'static [&'static str],
    pub text: &'static str,
}

/// The kinds of problems. A code is declared together with its page, whose two samples are the code's fixture in
/// `fixtures/mistakes/NAME`: a test runs both.
macro_rules! codes {
    ($($code:ident $name:literal { title: $title:literal, text: $text:literal,
        mistake: $mistake:literal $mistaken:expr, fix: $fix:literal $fixed:expr })*) => {
        /// What kind of problem it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $code,)*
        }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            #[must_use]
            pub fn page(self) -> &'static Page {
                match self {
                    $(Self::$code => const { &Page {
                        name: $name,
                        title: $title,
                        text: $text,
                        mistake: sample!($name, $mistake, $mistaken),
                        fix: sample!($name, $fix, $fixed),
                    } },)*
                }
            }
        }
    };
}

macro_rules! sample {
    ($name:literal, $file:literal, $arguments:expr) => {
        Sample {
            file: $file,
            arguments: &$arguments,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/mistakes/", $name, "/", $file)),
        }
    };
}

impl Code {
    #[must_use]
    pub fn name(self) -> &'static str {
        self.page().name
    }

    /// The code of a name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

codes! {
    File "file" {
        title: "the file cannot be read as a config file at all",
        text: "It is not there, may not be read, is no regular file, is empty or too large, is not UTF-8, or has an ending that \
               says nothing of its format. The format goes by the ending: .js, .cjs, .mjs, .ts, .cts and .mts are programs, .json, \
               .json5, .jsonc, .yaml, .yml and .toml are data.",
        mistake: "mistake.conf" [],
        fix: "fix.yaml" []
    }
    Syntax "syntax" {
        title: "the file is not what its ending says",
        text: "The text breaks a rule of its format: a comma or a bracket is missing, a quote is not closed, an indent \
               does not fit. The place is where reading could not go on; the cause is there or just before.",
        mistake: "mistake.json5" [],
        fix: "fix.json5" []
    }
    Thrown "thrown" {
        title: "the config program threw an error",
        text: "A variable that is set on one machine and not on the next is the usual cause: give it a value to fall back on. The \
               place is the innermost one in your own files.",
        mistake: "mistake.config.js" [],
        fix: "fix.config.js" []
    }
    MissingModule "missing-module" {
        title: "the config program asks for a module that is not there",
        text: "Paths are relative to the file that asks, names are looked for in the `node_modules` folders at and above it, and \
               a package gives only what its `exports` say. Where dependencies are installed later than the config is read, do \
               without them.",
        mistake: "mistake.config.js" [],
        fix: "fix.config.js" []
    }
    Unsupported "unsupported" {
        title: "the config program uses what pmrun's own engine does not have",
        text: "Some of Node's modules, native modules, and parts of the language that need large tables (`Intl`) are not there. \
               Do without, or run the config with Node: `--js-engine node`, which nothing keeps in.",
        mistake: "mistake.config.js" [],
        fix: "fix.config.js" []
    }
    Exit "exit" {
        title: "the config program ended itself",
        text: "It called `process.exit` or its like, so there is nothing that it exports. A config only describes apps: to refuse, it \
               throws an error that says why.",
        mistake: "mistake.config.js" [],
        fix: "fix.config.js" []
    }
    Unsettled "unsettled" {
        title: "the config program waits for what never comes",
        text: "It exports, or awaits at its top level, a promise that is neither kept nor broken when there is nothing left to do. \
               Timers and files are waited for; there is no network.",
        mistake: "mistake.config.js" [],
        fix: "fix.config.js" []
    }
    Export "export" {
        title: "the config program exports what no config can hold",
        text: "A config is plain data, as JSON has it: no BigInt, nothing that contains itself, no functions that return functions \
               without end. The message names the value by its path.",
        mistake: "mistake.config.js" [],
        fix: "fix.config.js" []
    }
    TimeLimit "time-limit" {
        title: "the config program ran for too long",
        text: "It has 5 s, commands that it runs included; `--eval-timeout` says otherwise. Usually a loop has no end, a regular \
               expression tries too many ways, or a command waits for the network.",
        mistake: "mistake.config.js" ["--eval-timeout", "300ms"],
        fix: "fix.config.js" []
    }
    MemoryLimit "memory-limit" {
        title: "the config program needs too much memory",
        text: "It has 512 MB. Usually something grows in a loop that has no end.",
        mistake: "mistake.config.js" ["--eval-timeout", "1m"],
        fix: "fix.config.js" []
    }
    DepthLimit "depth-limit" {
        title: "the config program, or its value, is nested too deeply",
        text: "At most 9,000 calls may be open, brackets be nested 1,000 deep and the exported value 200. Usually a function calls \
               itself without end.",
        mistake: "mistake.config.js" [],
        fix: "fix.config.js" []
    }
    OutputLimit "output-limit" {
        title: "the config program exports too much",
        text: "The exported value may have a million values and 48 MB of text. What a config prints is cut off after 1 MB.",
        mistake: "mistake.config.js" ["--eval-timeout", "1m"],
        fix: "fix.config.js" []
    }
    ProcessLimit "process-limit" {
        title: "a command of the config program starts too many processes",
        text: "All commands of a config together may have 500 processes at one time. They were ended, with everything that they had \
               started.",
        mistake: "mistake.config.js" [],
        fix: "fix.config.js" []
    }
    Refused "refused" {
        title: "the config program wants to do what it may not",
        text: "A config computes and reads. It cannot write files, use the network, or start what outlives it; it makes folders \
               (`mkdirSync`) in its project only. With `--hermetic` it runs no commands and sees no variables and files but those \
               that `--allow-env` and `--allow-read` name; the hint says which flag would allow what was asked for. So it is with an \
               `env_file`, and with a `fingerprint` outside of the project.",
        mistake: "mistake.config.js" ["--hermetic"],
        fix: "fix.config.js" ["--hermetic", "--allow-env", "NO_SUCH_PORT"]
    }
    Unconfined "unconfined" {
        title: "nothing keeps the config program in, where `--hermetic` asks for that",
        text: "Node has all the rights of whoever runs it: `--hermetic` and `--js-engine node` exclude each other, which is an \
               error. It is a warning where the system has neither seccomp nor Landlock (old kernels, some containers): \
               then the engine refuses what is not allowed, but a flaw in it would lead out.",
        mistake: "mistake.config.js" ["--hermetic", "--js-engine", "node"],
        fix: "fix.config.js" ["--hermetic", "--js-engine", "embedded"]
    }
    Engine "engine" {
        title: "what runs the config program failed itself",
        text: "With `--js-engine node`: there is no Node in PATH, or it ended without an answer. Otherwise the process of pmrun's own \
               engine could not be started, or was killed, as by a system that has run out of memory.",
        mistake: "mistake.config.js" ["--js-engine", "node"],
        fix: "fix.config.js" []
    }
    Shape "shape" {
        title: "there are no apps where apps are looked for",
        text: "A file holds `apps`, which is a list of apps or one app; or it is that list, or one app, itself. Each app is \
               an object. In a package.json they are under `pm2`.",
        mistake: "mistake.yaml" [],
        fix: "fix.yaml" []
    }
    Value "value" {
        title: "a value has the wrong type, or is one that the option cannot have",
        text: "The message says what would be right. Numbers may be written as strings, durations and sizes with a unit \
               (`3s`, `300M`); `true` and `false` may not.",
        mistake: "mistake.toml" [],
        fix: "fix.toml" []
    }
    UnknownOption "unknown-option" {
        title: "an option that does not exist",
        text: "It is read as if it were not there, so an app may run without what it was meant to set. Names may be written \
               in camelCase (`maxRestarts`). With `--strict` it is an error.",
        mistake: "mistake.json5" [],
        fix: "fix.json5" []
    }
    NotHonoured "not-honoured" {
        title: "a part of a file that pmrun knows of and does not act on",
        text: "The message says what does not happen, and what to write instead. The rest of the file is read.",
        mistake: "mistake.yaml" [],
        fix: "fix.yaml" []
    }
    NoEffect "no-effect" {
        title: "an option that does nothing without another, or with another",
        text: "Such as `schedule_overlap` where there is no `schedule`: the other one is missing, or written under a name that does \
               not exist. Or such as `watch` where there is one: one of them has to go.",
        mistake: "mistake.yaml" [],
        fix: "fix.yaml" []
    }
    Meaningless "meaningless" {
        title: "an option of PM2 that has nothing to act on here",
        text: "It is accepted, so that a file can serve both, and nothing becomes of it. Only `validate` tells of it.",
        mistake: "mistake.json5" [],
        fix: "fix.json5" []
    }
    NoCode "no-code" {
        title: "nothing stands for an app's code",
        text: "An apply replaces an app whose code changed, which it knows by the script's content. This app's command names \
               no file of its own, so that new code is not noticed. `fingerprint` says what to look at: globs against `cwd`, \
               `\"git\"` for the work tree's revision, or `false` for nothing.",
        mistake: "mistake.json5" [],
        fix: "fix.json5" []
    }
    Cpus "cpus" {
        title: "`instances` comes to fewer than the machine has CPUs",
        text: "`max`, 0, negative numbers and shares count the CPUs that whoever runs the command may use: CPU affinity \
               (`taskset`, a cpuset) and the quota of the cgroup (a container's limit) leave fewer, and the message says which does. \
               At least one instance runs in any case.",
        mistake: "mistake.json5" [],
        fix: "fix.json5" []
    }
    Missing "missing" {
        title: "something that there has to be is not written",
        text: "An app needs a `script`, a file needs apps. Where `apps` is meant to be empty, `apply --allow-empty` deletes \
               every app that came from the file before.",
        mistake: "mistake.yaml" [],
        fix: "fix.yaml" []
    }
    DuplicateName "duplicate-name" {
        title: "two apps have the same name",
        text: "Commands, logs and the next apply know an app by its name. An app without `name` is called after its script. \
               For several copies of one app there is `instances`.",
        mistake: "mistake.yaml" [],
        fix: "fix.yaml" []
    }
    DuplicateOption "duplicate-option" {
        title: "one option is written twice",
        text: "Some options have several names (`script`, `exec`), and each may be written in camelCase. Of two names the \
               canonical one counts, of the same key the last one. `pmrun explain APP.OPTION` says which did.",
        mistake: "mistake.json5" [],
        fix: "fix.json5" []
    }
    ReservedName "reserved-name" {
        title: "an app's name that commands take for something else",
        text: "`all` is every app, so that an app of that name cannot be named in a command. A number means the app of that \
               name, so that the instance with this id cannot be named by it.",
        mistake: "mistake.yaml" [],
        fix: "fix.yaml" []
    }
    Conflict "conflict" {
        title: "two options, or two apps, contradict each other",
        text: "Such as `renamed_from` with a name that an app of the file still has, `node_args` where no interpreter runs, or \
               `max_age` of a job that is run once (`autorestart: false`). Each is right by itself; one of them has to go.",
        mistake: "mistake.json5" [],
        fix: "fix.json5" []
    }
    UnknownDependency "unknown-dependency" {
        title: "`depends_on` names an app that the file does not have",
        text: "Apps can wait only for apps of their own file, by the name under which those are listed: `--env` may have \
               changed it where `append_env_to_name` is set.",
        mistake: "mistake.yaml" [],
        fix: "fix.yaml" []
    }
    DependencyCircle "dependency-circle" {
        title: "apps depend on each other in a circle",
        text: "None of them could be started first. Take one of the `depends_on` out: usually the app that can do without \
               the other for a moment.",
        mistake: "mistake.toml" [],
        fix: "fix.toml" []
    }
    Profile "profile" {
        title: "`--env` names a profile that no app has",
        text: "The profile `production` is what `env_production` of an app holds. Apps without it run with their plain \
               `env`, but at least one has to have it.",
        mistake: "mistake.yaml" ["--env", "prodution"],
        fix: "fix.yaml" ["--env", "production"]
    }
    NotFound "not-found" {
        title: "a script, interpreter, folder or env file is not there",
        text: "A `script` is looked for against `cwd`, and by its name alone in PATH; `cwd` itself, and nothing else, against the \
               folder of the config file. An interpreter has to be in the PATH of whoever runs the command, or in that \
               which the app declares. With `--only` just the apps named are looked at.",
        mistake: "mistake.json5" [],
        fix: "fix.json5" []
    }
}
