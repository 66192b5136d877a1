//! What the dashboard knows, and what becomes of it by what is told and typed. Knows neither a terminal nor a clock.

use std::collections::{BTreeMap, VecDeque};

use crate::http::{Action, Instance};
use crate::rpc::wire::InstanceView;

/// Of each app: a minute of figures.
pub(super) const HISTORY: usize = 60;
/// Of the app that is looked at.
const LINES_MAX: usize = 1_000;
const EVENTS_MAX: usize = 300;
/// Of a line; what comes after that is seen by nobody.
const LINE_CHARS_MAX: usize = 2_000;

/// Something to know.
#[derive(Debug)]
pub(super) enum News {
    /// What there is, at this time.
    Figures {
        instances: Vec<Instance>,
        now_ms: u64,
    },
    /// Nobody answers, and why.
    Away(String),
    /// Written by an app, while this following of its logs goes on.
    Line {
        following: u64,
        line: Line,
    },
    Event(Line),
    /// What was asked for is done, or why it is not.
    Done {
        deed: Deed,
        result: Result<(), String>,
    },
    Key(Key),
    /// The terminal has another size.
    Resized,
    /// This is to end.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Tab,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Interrupt,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) label: String,
    pub(super) is_bad: bool,
    pub(super) text: String,
}

/// What is done to an app when that is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deed {
    pub(super) app: String,
    pub(super) action: Action,
}

impl Deed {
    pub(super) fn words(&self) -> String {
        let Self { app, action } = self;
        match action {
            Action::Start => format!("start `{app}`"),
            Action::Stop => format!("stop `{app}`"),
            Action::Restart => format!("restart `{app}`"),
            Action::Reload => format!("reload `{app}`"),
            Action::Delete => format!("delete `{app}`"),
            Action::Scale(count) => format!("scale `{app}` to {count}"),
        }
    }
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Do(Deed),
    /// Another app is looked at.
    Look,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Plain,
    Help,
    Search(String),
    Confirm(Deed),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Logs,
    Events,
}

#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) name: String,
    pub(super) instances: Vec<InstanceView>,
    /// Tenths of a percent of a processor, and bytes: oldest first.
    pub(super) cpu: VecDeque<u64>,
    pub(super) memory: VecDeque<u64>,
}

impl App {
    /// What is worst of its instances, and how many are as they should be.
    pub(super) fn state(&self) -> (&str, usize) {
        const WORST_FIRST: [&str; 8] =
            ["errored", "unhealthy", "waiting", "starting", "stopping", "online", "completed", "stopped"];
        let rank = |state: &str| WORST_FIRST.iter().position(|known| *known == state).unwrap_or(0);
        let worst = self.instances.iter().map(|view| view.state.as_str()).min_by_key(|state| rank(state));
        (worst.unwrap_or("stopped"), self.instances.iter().filter(|view| view.state == "online").count())
    }

    pub(super) fn restarts(&self) -> u32 {
        self.instances.iter().map(|view| view.restarts).sum()
    }

    /// Since when all that runs of it does.
    pub(super) fn started_at_ms(&self) -> Option<u64> {
        self.instances.iter().filter(|view| view.pid.is_some()).filter_map(|view| view.started_at_ms).max()
    }

    fn note(&mut self, cpu: u64, memory: u64) {
        for (history, value) in [(&mut self.cpu, cpu), (&mut self.memory, memory)] {
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(value);
        }
    }
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) apps: Vec<App>,
    pub(super) selected: usize,
    pub(super) now_ms: u64,
    /// Nothing has been heard yet.
    pub(super) is_new: bool,
    pub(super) away: Option<String>,
    pub(super) lines: VecDeque<Line>,
    pub(super) events: VecDeque<Line>,
    pub(super) following: u64,
    /// How many lines back from the newest the pane ends.
    pub(super) back: usize,
    pub(super) search: String,
    pub(super) pane: Pane,
    pub(super) mode: Mode,
    pub(super) said: Option<String>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            apps: Vec::new(),
            selected: 0,
            now_ms: 0,
            is_new: true,
            away: None,
            lines: VecDeque::new(),
            events: VecDeque::new(),
            following: 0,
            back: 0,
            search: String::new(),
            pane: Pane::Logs,
            mode: Mode::Plain,
            said: None,
        }
    }

    pub(super) fn app(&self) -> Option<&App> {
        self.apps.get(self.selected)
    }

    /// What is shown in the lower pane, oldest first: all of it, or what has the words that are looked for.
    pub(super) fn shown(&self) -> Vec<&Line> {
        let lines = match self.pane {
            Pane::Logs => &self.lines,
            Pane::Events => &self.events,
        };
        let wanted = self.search.to_lowercase();
        let is_wanted = |line: &&Line| {
            wanted.is_empty() || line.text.to_lowercase().contains(&wanted) || line.label.contains(&wanted)
        };
        lines.iter().filter(is_wanted).collect()
    }

    pub(super) fn update(&mut self, news: News) -> Option<Wish> {
        match news {
            News::Figures { instances, now_ms } => {
                (self.now_ms, self.away, self.is_new) = (now_ms, None, false);
                return self.figures(instances);
            }
            News::Away(why) => (self.away, self.is_new) = (Some(why), false),
            News::Line { following, line } if following == self.following => {
                let is_shown = self.pane == Pane::Logs;
                keep(&mut self.lines, line, LINES_MAX);
                self.stay(is_shown);
            }
            News::Line { .. } | News::Resized => {}
            News::Event(line) => {
                let is_shown = self.pane == Pane::Events;
                keep(&mut self.events, line, EVENTS_MAX);
                self.stay(is_shown);
            }
            News::Done { deed, result } => {
                self.said = Some(match result {
                    Ok(()) => format!("{}: done", deed.words()),
                    Err(why) => format!("{}: {why}", deed.words()),
                });
            }
            News::Key(key) => return self.key(key),
            News::End => return Some(Wish::Quit),
        }
        None
    }

    /// Who reads what was before goes on reading it.
    fn stay(&mut self, is_shown: bool) {
        if is_shown && self.back > 0 {
            self.back = (self.back + 1).min(LINES_MAX);
        }
    }

    fn figures(&mut self, instances: Vec<Instance>) -> Option<Wish> {
        let (name, files) = (self.app().map(|app| app.name.clone()), self.files());
        let mut before: BTreeMap<String, App> =
            std::mem::take(&mut self.apps).into_iter().map(|app| (app.name.clone(), app)).collect();
        let mut places = BTreeMap::<String, usize>::new();
        let mut loads = Vec::<(u64, u64)>::new();
        for Instance { view, load } in instances {
            let at = *places.entry(view.name.clone()).or_insert_with(|| {
                let known = before.remove(&view.name);
                let history = known.map_or_else(Default::default, |app| (app.cpu, app.memory));
                let (cpu, memory) = history;
                self.apps.push(App { name: view.name.clone(), instances: Vec::new(), cpu, memory });
                loads.push((0, 0));
                loads.len() - 1
            });
            if let Some(load) = load {
                loads[at].0 += permille(load.cpu_percent);
                loads[at].1 += load.memory_bytes;
            }
            self.apps[at].instances.push(view);
        }
        for (app, (cpu, memory)) in self.apps.iter_mut().zip(loads) {
            app.note(cpu, memory);
        }
        let same = name.as_ref().and_then(|name| self.apps.iter().position(|app| app.name == *name));
        self.selected = same.unwrap_or(self.selected).min(self.apps.len().saturating_sub(1));
        let is_same = self.app().map(|app| &app.name) == name.as_ref() && self.files() == files;
        if is_same { None } else { Some(self.look()) }
    }

    /// Which logs are looked at.
    fn files(&self) -> Vec<String> {
        let files = |view: &InstanceView| [view.out_file.clone(), view.error_file.clone(), view.log_file.clone()];
        self.app().into_iter().flat_map(|app| app.instances.iter().flat_map(files)).flatten().collect()
    }

    /// At another app from now on.
    fn look(&mut self) -> Wish {
        self.lines.clear();
        self.following += 1;
        self.back = 0;
        Wish::Look
    }

    fn select(&mut self, at: usize) -> Option<Wish> {
        let at = at.min(self.apps.len().saturating_sub(1));
        if at == self.selected {
            return None;
        }
        self.selected = at;
        Some(self.look())
    }

    fn key(&mut self, key: Key) -> Option<Wish> {
        if key == Key::Interrupt {
            return Some(Wish::Quit);
        }
        self.said = None;
        match std::mem::replace(&mut self.mode, Mode::Plain) {
            Mode::Plain => self.plain(key),
            // Any key ends it.
            Mode::Help => None,
            Mode::Confirm(deed) => match key {
                Key::Char('y' | 'Y') | Key::Enter => {
                    self.said = Some(format!("{} ...", deed.words()));
                    Some(Wish::Do(deed))
                }
                _ => None,
            },
            Mode::Search(mut text) => {
                match key {
                    Key::Enter => {
                        (self.search, self.back) = (text, 0);
                        return None;
                    }
                    Key::Escape => return None,
                    Key::Backspace => _ = text.pop(),
                    Key::Char(c) => text.push(c),
                    _ => {}
                }
                self.mode = Mode::Search(text);
                None
            }
        }
    }

    fn plain(&mut self, key: Key) -> Option<Wish> {
        match key {
            Key::Char('q') => return Some(Wish::Quit),
            Key::Up | Key::Char('k') => return self.select(self.selected.saturating_sub(1)),
            Key::Down | Key::Char('j') => return self.select(self.selected + 1),
            Key::Home | Key::Char('g') => return self.select(0),
            Key::End | Key::Char('G') => return self.select(usize::MAX),
            Key::PageUp => self.back = (self.back + 10).min(self.shown().len().saturating_sub(1)),
            Key::PageDown => self.back = self.back.saturating_sub(10),
            Key::Tab => {
                self.pane = if self.pane == Pane::Logs { Pane::Events } else { Pane::Logs };
                self.back = 0;
            }
            Key::Escape => (self.search, self.back) = (String::new(), 0),
            Key::Char('/') => self.mode = Mode::Search(String::new()),
            Key::Char('?' | 'h') => self.mode = Mode::Help,
            Key::Char(c) => self.propose(c),
            Key::Enter | Key::Backspace | Key::Interrupt => {}
        }
        None
    }

    fn propose(&mut self, c: char) {
        let Some(app) = self.app() else { return };
        let count = u32::try_from(app.instances.len()).unwrap_or(u32::MAX);
        let action = match c {
            'r' => Action::Restart,
            'l' => Action::Reload,
            's' => Action::Stop,
            'S' => Action::Start,
            '+' => Action::Scale(count.saturating_add(1)),
            '-' if count > 1 => Action::Scale(count - 1),
            '-' => {
                self.said = Some("it has one instance: `s` stops it".to_owned());
                return;
            }
            _ => return,
        };
        self.mode = Mode::Confirm(Deed { app: app.name.clone(), action });
    }
}

fn keep(lines: &mut VecDeque<Line>, mut line: Line, most: usize) {
    if let Some((end, _)) = line.text.char_indices().nth(LINE_CHARS_MAX) {
        line.text.truncate(end);
    }
    if lines.len() == most {
        lines.pop_front();
    }
    lines.push_back(line);
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage of some processors")]
fn permille(percent: f64) -> u64 {
    (percent * 10.0).max(0.0) as u64
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::http::Load;

    pub(in crate::cli::monit) fn instance(id: u32, name: &str, slot: u32, state: &str) -> Instance {
        let mut view = InstanceView::sample(id, name, slot);
        state.clone_into(&mut view.state);
        let runs = matches!(state, "online" | "starting" | "unhealthy");
        (view.pid, view.started_at_ms) = (runs.then_some(100 + id), runs.then_some(1_000));
        let load = Load { memory_bytes: u64::from(id + 1) << 20, cpu_percent: 12.5, cpu_ms: 0, processes: 1 };
        Instance { view, load: runs.then_some(load) }
    }

    pub(in crate::cli::monit) fn figures(instances: Vec<Instance>) -> News {
        News::Figures { instances, now_ms: 61_000 }
    }

    pub(in crate::cli::monit) fn typed(model: &mut Model, keys: &str) -> Vec<Wish> {
        keys.chars().filter_map(|c| model.update(News::Key(Key::Char(c)))).collect()
    }

    pub(in crate::cli::monit) fn line(text: &str) -> Line {
        Line { label: "api".to_owned(), is_bad: false, text: text.to_owned() }
    }

    pub(in crate::cli::monit) fn two() -> Model {
        let mut model = Model::new();
        let instances =
            vec![instance(0, "api", 0, "online"), instance(1, "api", 1, "errored"), instance(2, "web", 0, "online")];
        assert_eq!(model.update(figures(instances)), Some(Wish::Look));
        model
    }

    #[test]
    fn instances_add_up_to_apps_and_the_history_is_bounded() {
        let mut model = two();
        assert_eq!(model.apps.len(), 2);
        assert_eq!(
            (model.apps[0].state(), model.apps[0].cpu[0], model.apps[0].memory[0]),
            (("errored", 1), 125, 1 << 20)
        );
        for _ in 0..2 * HISTORY {
            model.update(figures(vec![instance(0, "api", 0, "online"), instance(2, "web", 0, "online")]));
        }
        assert_eq!(model.apps[1].cpu.len(), HISTORY);
        for at in 0..2 * LINES_MAX {
            model.update(News::Line { following: model.following, line: line(&at.to_string()) });
        }
        assert_eq!((model.lines.len(), model.lines[0].text.as_str()), (LINES_MAX, "1000"));
        model.update(News::Line { following: model.following, line: line(&"\u{1f980}".repeat(9_999)) });
        assert_eq!(model.lines.back().unwrap().text.chars().count(), LINE_CHARS_MAX);
    }

    #[test]
    fn the_app_that_is_looked_at_stays_so_whatever_comes_and_goes() {
        let mut model = two();
        assert_eq!(model.update(News::Key(Key::Down)), Some(Wish::Look));
        let following = model.following;
        assert_eq!(model.update(News::Key(Key::Down)), None, "there are no more");
        let first = instance(3, "a", 0, "online");
        assert_eq!(model.update(figures(vec![first, instance(2, "web", 0, "online")])), None);
        assert_eq!((model.selected, model.app().unwrap().name.as_str()), (1, "web"));
        assert_eq!(model.update(figures(vec![instance(3, "a", 0, "online")])), Some(Wish::Look), "it is gone");
        assert_eq!(model.app().unwrap().name, "a");
        model.update(News::Line { following, line: line("late") });
        assert!(model.lines.is_empty(), "of another app");
        assert_eq!(model.update(figures(Vec::new())), Some(Wish::Look));
        assert!(typed(&mut model, "rls+-jkG").is_empty(), "there is nothing to do it to");
    }

    #[test]
    fn nothing_is_done_that_is_not_confirmed() {
        let deed = |action| Wish::Do(Deed { app: "api".to_owned(), action });
        let mut model = two();
        for (keys, want) in [
            ("ry", vec![deed(Action::Restart)]),
            ("ly", vec![deed(Action::Reload)]),
            ("sY", vec![deed(Action::Stop)]),
            ("Sy", vec![deed(Action::Start)]),
            ("+y", vec![deed(Action::Scale(3))]),
            ("-y", vec![deed(Action::Scale(1))]),
            ("rn", vec![]),
            ("rr", vec![]),
            ("sq", vec![]),
            ("y", vec![]),
            ("?r", vec![]),
        ] {
            assert_eq!(typed(&mut model, keys), want, "{keys}");
            assert_eq!(model.mode, Mode::Plain, "{keys}");
        }
        typed(&mut model, "j-");
        assert_eq!(model.said.as_deref(), Some("it has one instance: `s` stops it"));
        let done = Deed { app: "api".to_owned(), action: Action::Stop };
        model.update(News::Done { deed: done, result: Err("busy".to_owned()) });
        assert_eq!(model.said.as_deref(), Some("stop `api`: busy"));
        assert_eq!(typed(&mut model, "q"), [Wish::Quit]);
        assert_eq!(model.update(News::End), Some(Wish::Quit));
    }

    #[test]
    fn what_is_looked_for_is_what_is_shown() {
        let mut model = two();
        for text in ["GET /a", "boom", "get /b"] {
            model.update(News::Line { following: model.following, line: line(text) });
        }
        typed(&mut model, "/geq");
        model.update(News::Key(Key::Backspace));
        typed(&mut model, "t");
        assert_eq!(model.shown().len(), 3, "not yet");
        model.update(News::Key(Key::Enter));
        let shown: Vec<&str> = model.shown().iter().map(|line| line.text.as_str()).collect();
        assert_eq!(shown, ["GET /a", "get /b"]);
        model.update(News::Key(Key::Escape));
        assert_eq!(model.shown().len(), 3);
    }

    #[test]
    fn who_reads_what_was_before_goes_on_reading_it() {
        let mut model = two();
        let write = |model: &mut Model, text: &str| {
            model.update(News::Line { following: model.following, line: line(text) });
        };
        (0..50).for_each(|at| write(&mut model, &at.to_string()));
        model.update(News::Key(Key::PageUp));
        assert_eq!(model.back, 10);
        write(&mut model, "more");
        assert_eq!(model.back, 11);
        (0..20).for_each(|_| _ = model.update(News::Key(Key::PageUp)));
        assert_eq!(model.back, 50, "the first is still to be seen");
        (0..20).for_each(|_| _ = model.update(News::Key(Key::PageDown)));
        assert_eq!(model.back, 0);
    }

    #[test]
    fn that_nobody_answers_is_known_until_somebody_does() {
        let mut model = two();
        model.update(News::Away("no daemon runs".to_owned()));
        assert_eq!((model.away.as_deref(), model.apps.len()), (Some("no daemon runs"), 2));
        model.update(figures(Vec::new()));
        assert_eq!(model.away, None);
    }
}
