//! `monit`: everything on one screen. What is told and typed goes through one channel to one loop; the model decides, the view
//! draws.

mod feed;
mod model;
mod view;

use std::io::{self, IsTerminal as _, PipeReader};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;

use self::model::{Model, News, Wish};
use self::view::Theme;
use super::error::CliError;
use super::exit::Exit;
use super::surroundings;
use super::terminal::Terminal;
use super::web::Knowledge;

/// News that wait; who has more to tell waits, too.
const NEWS_MAX: usize = 256;
/// At most so often it is drawn, whatever happens.
const FRAME: Duration = Duration::from_millis(50);
/// The logs of an app that is only passed by are not opened.
const SETTLED: Duration = Duration::from_millis(120);

pub(super) fn run(terminal: &mut Terminal) -> Result<Exit, CliError> {
    if !terminal.interactive || !io::stdin().is_terminal() {
        return Err(CliError::usage("`monit` draws on a terminal and reads its keys, and this is none")
            .hint("`pmrun list --json` and `pmrun events --follow --json` are for programs"));
    }
    if std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
        return Err(CliError::usage("`monit` draws all over the terminal, and this one cannot (TERM)")
            .hint("`pmrun list` prints what runs"));
    }
    let home = surroundings::home()?;
    let theme = Theme { colour: terminal.colour, unicode: terminal.unicode };
    let knowledge = Arc::new(Knowledge::new(home.clone(), "monit:"));
    let (to, news) = sync_channel(NEWS_MAX);
    // Before anybody else is there who could hear them.
    let signals = feed::block_signals().map_err(|err| CliError::error(format!("cannot hear signals: {err}")))?;
    let screen = ratatui::try_init().map_err(|err| CliError::error(format!("cannot draw here: {err}")))?;
    feed::signals(signals, to.clone());
    feed::keys(to.clone());
    feed::figures(Arc::clone(&knowledge), to.clone());
    feed::events(home, to.clone());
    let shell = Shell { screen, theme, knowledge, to, model: Model::new(), followed: None, look_at: None };
    let ended = shell.go_on(&news);
    ratatui::restore();
    ended.map_err(|err| CliError::output(&err))
}

struct Shell {
    screen: DefaultTerminal,
    theme: Theme,
    knowledge: Arc<Knowledge>,
    to: SyncSender<News>,
    model: Model,
    /// Without it the logs are followed no longer.
    followed: Option<PipeReader>,
    look_at: Option<Instant>,
}

impl Shell {
    fn go_on(mut self, news: &Receiver<News>) -> io::Result<Exit> {
        let (mut is_drawn, mut next_frame) = (false, Instant::now());
        loop {
            let wake = [(!is_drawn).then_some(next_frame), self.look_at].into_iter().flatten().min();
            let heard = match wake {
                None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => news.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match heard {
                Ok(news) => {
                    let exit = if matches!(news, News::End) { Exit::Terminated } else { Exit::Done };
                    match self.model.update(news) {
                        Some(Wish::Quit) => return Ok(exit),
                        Some(Wish::Do(deed)) => feed::act(Arc::clone(&self.knowledge), deed, self.to.clone()),
                        Some(Wish::Look) => {
                            self.followed = None;
                            self.look_at = Some(Instant::now() + SETTLED);
                        }
                        None => {}
                    }
                    is_drawn = false;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Exit::Done),
            }
            let now = Instant::now();
            if self.look_at.is_some_and(|at| at <= now) {
                self.look_at = None;
                let views = self.model.app().map(|app| app.instances.clone()).unwrap_or_default();
                self.followed = feed::logs(views, self.model.following, self.to.clone());
            }
            if !is_drawn && next_frame <= now {
                let (model, theme) = (&self.model, self.theme);
                self.screen.draw(|frame| view::draw(frame, model, theme))?;
                (is_drawn, next_frame) = (true, now + FRAME);
            }
        }
    }
}
