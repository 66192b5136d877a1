//! Commands about apps in all the forms that PM2's users type: `start`, `restart`, `reload`, `stop`, `delete`, of files,
//! scripts, command lines and known apps.

mod app;
mod file;
mod words;

use std::path::Path;

use self::words::{Ground, Word};
use super::ambient::ambient;
use super::arguments::{Act, Logs, Targets, Turn};
use super::error::CliError;
use super::exit::Exit;
use super::options::AppOptions;
use super::terminal::{Terminal, harmless};
use super::{cautions, change, exchange, logs, pm2, show, surroundings};
use crate::config::World;
use crate::document::{Node, to_json_text};
use crate::plan::render_text;
use crate::rpc::client::Connection;
use crate::rpc::wire::{Alter, Altered, AppView, Request, Scale};
use crate::spec::AppSpec;

/// What brings apps up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Restart,
    Reload,
    /// What does not run is started, whatever else is named.
    StartOrRestart,
    StartOrReload,
}

/// What ends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Stop,
    Delete,
}

impl Verb {
    fn done(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Restart | Self::StartOrRestart => "restarted",
            Self::Reload | Self::StartOrReload => "reloaded",
        }
    }

    /// Whether what runs is replaced.
    fn renews(self) -> bool {
        self != Self::Start
    }
}

/// What all words of one command have in common.
struct Scene<'a> {
    verb: Verb,
    arguments: &'a Act,
    world: World,
}

pub(super) fn run(verb: Verb, arguments: &Act, terminal: &mut Terminal) -> Result<Exit, CliError> {
    for note in arguments.app.meaningless() {
        if !terminal.manners.are_pm2s() {
            terminal.note(&note);
        }
    }
    let mut arguments = arguments.clone();
    rescue_target(&mut arguments);
    if arguments.what.is_empty() {
        if matches!(verb, Verb::Restart | Verb::Reload) && !terminal.manners.are_pm2s() {
            return Err(CliError::usage("which apps?").hint("`all` is all of them"));
        }
        if verb != Verb::Start && terminal.manners.are_pm2s() {
            return Err(CliError::usage("missing required argument `id|name|namespace|file|json|stdin`"));
        }
        // The file of this folder.
        arguments.what.push(".".to_owned());
    }
    if arguments.no_daemon && !terminal.manners.are_pm2s() {
        return foreground(&arguments, terminal);
    }
    // Asked before this command starts one.
    let served = arguments.no_daemon && Connection::open(&surroundings::home()?).is_ok();
    let scene = Scene { verb, arguments: &arguments, world: surroundings::world()? };
    let _lock = (verb == Verb::Reload && terminal.manners.are_pm2s())
        .then(|| pm2::ReloadLock::take(arguments.force))
        .transpose()?;
    let mut exit = Exit::Done;
    if let (false, Some(targets)) = (terminal.manners.are_pm2s(), scene.only_targets(terminal)?) {
        // All or nothing of what is known: one command, one generation.
        let known = known(terminal)?;
        exit = scene.known_apps(&targets, &known, terminal)?;
        return if arguments.attach { attach(terminal) } else { Ok(exit) };
    }
    for word in &arguments.what {
        let one = scene.one(word, terminal)?;
        exit = if exit == Exit::Done { one } else { exit };
    }
    if arguments.no_daemon {
        return pm2::stay(served, terminal);
    }
    if arguments.attach {
        return attach(terminal);
    }
    Ok(exit)
}

/// An app that another command describes.
pub(super) fn start_described(
    node: &Node,
    word: &str,
    arguments: &Act,
    check: &dyn Fn() -> Result<(), CliError>,
    terminal: &mut Terminal,
) -> Result<Exit, CliError> {
    let scene = Scene { verb: Verb::Start, arguments, world: surroundings::world()? };
    let known = known(terminal)?;
    scene.described(node, word, &known, check, terminal)
}

/// Whether what `start` is told is an ecosystem file, by its name.
pub(super) fn is_file(word: &str) -> bool {
    word == "." || words::is_ecosystem(word, true)
}

/// A script as a file of one app would describe it, where nothing of that name is known.
pub(super) fn described_by(word: &str, options: &AppOptions) -> Result<Node, CliError> {
    let world = surroundings::world()?;
    let ground = Ground { world: &world, known: &[], by_pm2s_names: true, forces: false, folder: folder(options) };
    let meant = match ground.word(word) {
        Word::Target(script) => Word::Script(script),
        meant => meant,
    };
    Ok(app::node(&meant, options, &world))
}

/// `--watch app.js`: who names a file after an option that may do without a value, and no other, means it.
fn rescue_target(arguments: &mut Act) {
    for key in ["watch", "log_file", "max_restarts"] {
        if !arguments.what.is_empty() {
            return;
        }
        let Some(value) = arguments.app.only_word(key) else { continue };
        let is_meant = Path::new(&value).is_file() || words::is_ecosystem(&value, false);
        if is_meant {
            arguments.app.switch_on(key);
            arguments.what.push(value);
        }
    }
}

fn attach(terminal: &mut Terminal) -> Result<Exit, CliError> {
    terminal.flush()?;
    logs::run(&Logs { follow: true, lines: Some(0), ..Logs::default() }, terminal)
}

/// As `pmrun run` does it, which knows files only.
fn foreground(arguments: &Act, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let [file] = &arguments.what[..] else {
        return Err(CliError::usage("`--no-daemon` runs one file in the foreground"));
    };
    if file != "." && !words::is_ecosystem(file, true) {
        return Err(CliError::usage("`--no-daemon` runs an ecosystem file in the foreground, and this is none")
            .hint("a script runs in the foreground by itself; `pmrun init` writes a file"));
    }
    let source = super::arguments::Source {
        file: Some(file.into()),
        env: arguments.picks.env.clone(),
        ..super::arguments::Source::default()
    };
    let only = arguments.picks.only.clone();
    let code =
        super::run::run(&super::arguments::Run { source, only, ..super::arguments::Run::default() }, None, terminal)?;
    terminal.exit_with(code);
    Ok(Exit::Done)
}

pub(super) fn end(end: End, arguments: &Targets, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let world = surroundings::world()?;
    let (mut targets, mut said) = (Vec::new(), pm2::Said::Here);
    for word in &arguments.targets {
        let known = known(terminal)?;
        let by_pm2s_names = terminal.manners.are_pm2s();
        let ground = Ground { world: &world, known: &known, by_pm2s_names, forces: false, folder: None };
        match ground.known_word(word) {
            Word::Stdin | Word::File(_) => {
                said = pm2::Said::InFile;
                targets.extend(file::names(word, &arguments.picks, &world, &known, terminal)?);
            }
            _ => targets.extend(ground.targets(word)),
        }
    }
    if targets.is_empty() {
        // Of a file none of whose apps is known.
        return pm2::or_nothing(terminal);
    }
    let (request, verb) = match end {
        End::Stop => (Request::Stop { targets: targets.clone() }, "stopped"),
        End::Delete => (Request::Delete { targets: targets.clone() }, "deleted"),
    };
    if terminal.manners.are_pm2s() {
        if said == pm2::Said::InFile {
            return pm2::act(&request, &targets, said, terminal);
        }
        for target in targets {
            let one = vec![target];
            let request = match end {
                End::Stop => Request::Stop { targets: one.clone() },
                End::Delete => Request::Delete { targets: one.clone() },
            };
            pm2::act(&request, &one, said, terminal)?;
        }
        return pm2::table(terminal);
    }
    change::run(&request, verb, arguments.turn, terminal)
}

fn known(terminal: &mut Terminal) -> Result<Vec<AppView>, CliError> {
    show::apps(&surroundings::home()?, &["all".to_owned()], true, terminal)
}

/// Where scripts are looked for first.
fn folder(options: &AppOptions) -> Option<String> {
    options.only_word("cwd")
}

impl Scene<'_> {
    fn ground<'a>(&'a self, known: &'a [AppView], by_pm2s_names: bool) -> Ground<'a> {
        let (forces, folder) = (self.arguments.force, folder(&self.arguments.app));
        Ground { world: &self.world, known, by_pm2s_names, forces, folder }
    }

    /// Where nothing but apps that are known was named. What may be a file's name is no app's.
    fn only_targets(&self, terminal: &mut Terminal) -> Result<Option<Vec<String>>, CliError> {
        let words = &self.arguments.what;
        if self.arguments.picks.env.is_some() || words.iter().any(|word| word == ".") {
            return Ok(None);
        }
        let known = known(terminal)?;
        let ground = self.ground(&known, false);
        let meant = |word: &String| match self.verb {
            Verb::Start => ground.word(word),
            Verb::Restart | Verb::Reload | Verb::StartOrRestart | Verb::StartOrReload => ground.known_word(word),
        };
        let mut targets = Vec::new();
        for word in words {
            match meant(word) {
                Word::Target(_) => targets.extend(ground.targets(word)),
                Word::Stdin | Word::File(_) | Word::Script(_) | Word::Line(_) => {
                    // What is not known is no reason to do half of it.
                    let unknown = words
                        .iter()
                        .find(|word| matches!(meant(word), Word::Target(_)) && !ground.names(&ground.targets(word)[0]));
                    return match unknown {
                        Some(word) => pm2::named(std::slice::from_ref(word), &known).map(|_| None),
                        None => Ok(None),
                    };
                }
            }
        }
        Ok(Some(targets))
    }

    fn one(&self, word: &str, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let known = known(terminal)?;
        let ground = self.ground(&known, terminal.manners.are_pm2s());
        let is_folder = word == ".";
        let meant = match self.verb {
            _ if is_folder => Word::File(word.to_owned()),
            Verb::Start => ground.word(word),
            Verb::Restart | Verb::Reload | Verb::StartOrRestart | Verb::StartOrReload => ground.known_word(word),
        };
        match meant {
            Word::Stdin | Word::File(_) => file::apply(self, word, &known, terminal),
            Word::Target(_) => {
                let targets = ground.targets(word);
                if self.verb == Verb::Start
                    && terminal.manners.are_pm2s()
                    && !pm2::is_selector(word)
                    && !ground.names(&targets[0])
                {
                    let path = self.world.resolve(&self.world.cwd, word);
                    return Err(CliError::error(format!("Script not found: {}", path.display())));
                }
                if self.arguments.picks.env.is_some() {
                    return Err(CliError::usage(format!(
                        "`--env` lays a profile of a file over it, and `{word}` is none"
                    ))
                    .hint("name the ecosystem file"));
                }
                self.known_apps(&targets, &known, terminal)
            }
            script @ (Word::Script(_) | Word::Line(_)) => self.script(&script, word, &known, terminal),
        }
    }

    fn script(&self, script: &Word, word: &str, known: &[AppView], terminal: &mut Terminal) -> Result<Exit, CliError> {
        let found = terminal
            .manners
            .are_pm2s()
            .then(|| words::in_path(script, folder(&self.arguments.app).as_deref(), &self.world))
            .flatten();
        let script = found.as_ref().unwrap_or(script);
        let node = app::node(script, &self.arguments.app, &self.world);
        self.described(&node, word, known, &|| Ok(()), terminal)
    }

    /// One that is there already by name and script is started where it does not run. Where it is not, `check` may have something
    /// against it.
    fn described(
        &self,
        node: &Node,
        word: &str,
        known: &[AppView],
        check: &dyn Fn() -> Result<(), CliError>,
        terminal: &mut Terminal,
    ) -> Result<Exit, CliError> {
        let mut spec = app::spec(node.clone(), word, &self.world, terminal)?;
        if terminal.manners.are_pm2s() {
            pm2::by_environment(&mut spec, &self.world);
        }
        if self.arguments.write {
            write_down(node, &spec.name, &self.world, terminal)?;
        }
        let same = known.iter().find(|app| app.spec.name == spec.name && is_same(&app.spec, &spec));
        // One more of an app is as the others are: what is said otherwise is another app's.
        let is_other = |app: &AppView| self.arguments.force && app::differs(&app.spec, &spec, &self.arguments.app);
        let (same, what) = match same {
            Some(app) if is_other(app) && terminal.manners.are_pm2s() => (None, "is there with other options"),
            Some(app) if is_other(app) && is_up(app) => {
                let name = harmless(spec.name.as_bytes(), false);
                terminal.note(&format!(
                    "`{name}` runs with other options than these: one more of it has what the others have; `--name` \
                     starts another app beside it"
                ));
                (same, "")
            }
            same => (same, "runs another script"),
        };
        if terminal.manners.are_pm2s() && same.is_none() {
            free_name(&mut spec, what, known, terminal)?;
        }
        let Some(app) = same else {
            // Of one that is there under that name the daemon says so.
            if !known.iter().any(|app| app.spec.name == spec.name) {
                check()?;
            }
            let request = Request::StartScript { spec: Box::new(spec.clone()), ambient: ambient(&self.world.env) };
            if terminal.manners.are_pm2s() {
                return pm2::start(&request, &spec, terminal);
            }
            return change::bring_up(&request, &[], "started", self.arguments.turn, terminal);
        };
        let targets = vec![spec.name.clone()];
        match (is_up(app), self.arguments.force) {
            (true, false) => {
                let name = harmless(spec.name.as_bytes(), false);
                Err(CliError::error(format!("`{word}` runs already, as `{name}`"))
                    .hint(format!("`-f` starts one more instance; `pmrun restart {name}` starts it anew"))
                    .in_pm2s_words("Script already launched, add -f option to force re-execution"))
            }
            (true, true) => {
                let more = i32::try_from(spec.instances).unwrap_or(i32::MAX);
                let request = Request::Scale { targets: targets.clone(), to: Scale::By(more) };
                if terminal.manners.are_pm2s() {
                    return pm2::start(&request, &spec, terminal);
                }
                change::bring_up(&request, &targets, "started", self.arguments.turn, terminal)
            }
            (false, _) => self.known_apps(&targets, known, terminal),
        }
    }

    /// As they are, or with what the options say otherwise.
    pub(super) fn known_apps(
        &self,
        targets: &[String],
        known: &[AppView],
        terminal: &mut Terminal,
    ) -> Result<Exit, CliError> {
        let Self { verb, arguments, .. } = self;
        let turn = arguments.turn;
        let renews = verb.renews() || terminal.manners.are_pm2s();
        let owned = || targets.to_vec();
        if !arguments.app.is_empty() || arguments.update_env {
            return self.alter(targets, known, renews, terminal);
        }
        let is_pm2 = terminal.manners.are_pm2s();
        if !is_pm2 && verb.renews() {
            let apps = change::check_code(targets)?;
            let reloads = matches!(verb, Verb::Reload | Verb::StartOrReload);
            let notes = |app: &AppView| [change::downtime(app), cautions::reload(&app.spec)];
            for note in apps.iter().filter(|_| reloads).flat_map(notes).flatten() {
                terminal.note(&note);
            }
        }
        let request = match verb {
            _ if !renews => Request::Start { targets: owned() },
            Verb::Reload | Verb::StartOrReload => Request::Reload { targets: owned(), parallel: arguments.parallel },
            Verb::Start | Verb::Restart | Verb::StartOrRestart => Request::Restart { targets: owned() },
        };
        if is_pm2 {
            let said = if *verb == Verb::Start { pm2::Said::ToStart } else { pm2::Said::Here };
            return pm2::act(&request, targets, said, terminal);
        }
        change::bring_up(&request, targets, verb.done(), turn, terminal)
    }

    fn alter(
        &self,
        targets: &[String],
        known: &[AppView],
        renew: bool,
        terminal: &mut Terminal,
    ) -> Result<Exit, CliError> {
        let Self { verb, arguments, world } = self;
        let named = pm2::named(targets, known)?;
        let mut apps = Vec::with_capacity(named.len());
        for app in known.iter().filter(|app| named.iter().any(|id| id.app == app.spec.name)) {
            let (spec, idle) = app::changed(&app.spec, &arguments.app, world, terminal)?;
            for key in idle {
                terminal.note(&format!(
                    "`{key}` of an app that is known stays as it is; `pmrun scale` changes how many there are"
                ));
            }
            let spec = if terminal.manners.are_pm2s() { pm2::altered(spec, &app.spec, arguments, world) } else { spec };
            apps.push(Altered { name: app.spec.name.clone(), spec });
        }
        let ambient = arguments.update_env.then(|| ambient(&world.env));
        let request = Request::Alter(Box::new(Alter { apps, targets: targets.to_vec(), renew, ambient }));
        if terminal.manners.are_pm2s() {
            return pm2::act(&request, targets, pm2::Said::Here, terminal);
        }
        bring_up(&request, targets, verb.done(), arguments.turn, terminal)
    }
}

/// Says what changes, where something does.
fn bring_up(
    request: &Request,
    targets: &[String],
    verb: &str,
    turn: Turn,
    terminal: &mut Terminal,
) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let outcome = exchange::perform(&home, request, turn.no_queue, terminal, &mut |mut plan, terminal| {
        plan.steps.retain(|step| !step.changes.is_empty());
        if !plan.steps.is_empty() {
            let text = render_text(&plan, &|_, _| None, super::diff::style(terminal));
            let _ = terminal.print(format!("{}\n", text.trim_end()));
        }
    })?;
    change::concluded(&home, targets, verb, &outcome, terminal)
}

fn is_up(app: &AppView) -> bool {
    app.instances.iter().any(|view| !matches!(view.state.as_str(), "stopped" | "errored" | "completed"))
}

/// PM2 runs two scripts under one name, which here is an app's own: the second gets one like it.
fn free_name(spec: &mut AppSpec, what: &str, known: &[AppView], terminal: &mut Terminal) -> Result<(), CliError> {
    let is_taken = |name: &str| known.iter().any(|app| app.spec.name == name);
    if !is_taken(&spec.name) {
        return Ok(());
    }
    let taken = std::mem::take(&mut spec.name);
    let mut names = (1_u32..).map(|number| format!("{taken}-{number}"));
    spec.name = names.find(|name| !is_taken(name)).unwrap_or_default();
    let said = format!("`{taken}` {what}: this one is called `{}`", spec.name);
    pm2::warn(&harmless(said.as_bytes(), false), terminal)
}

/// Whether both run the same; what a command line runs is among its shell's arguments.
fn is_same(known: &AppSpec, wanted: &AppSpec) -> bool {
    if wanted.is_file_server() {
        return known.is_file_server() && known.env == wanted.env;
    }
    known.script == wanted.script && (wanted.script.starts_with('/') || known.args == wanted.args)
}

/// `NAME-pm2.json`, as PM2 calls it: a file that says what the command line did.
fn write_down(node: &Node, name: &str, world: &World, terminal: &mut Terminal) -> Result<(), CliError> {
    let path = world.cwd.join(format!("{}-pm2.json", name.replace('/', "-")));
    let text = format!("{{\"apps\":[{}]}}\n", to_json_text(node));
    std::fs::write(&path, text).map_err(|err| CliError::io("write", &path, &err))?;
    terminal.note(&format!("written to {}", path.display()));
    Ok(())
}
