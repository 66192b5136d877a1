//! What was being stopped for good when the daemon before was killed. Its app, or its slot, is known no more; it is given its time
//! all the same.

use super::Core;
use crate::base::{InstanceId, Now, Signal, first};
use crate::rpc::wire::InstanceView;
use crate::runtime::standing::Farewell;
use crate::runtime::{Effect, Leaving, Standing, view};
use crate::supervisor::LaunchId;

/// Between being asked to end and being killed: what its app had asked for went with its record. This is the default.
const KILL_TIMEOUT_MS: u64 = 1_600;
/// How long a command waits for what was killed.
const PATIENCE_MS: u64 = 5_000;

impl Core {
    pub(super) fn see_off(&mut self, leaving: Vec<Leaving>, now: Now, out: &mut Vec<Effect>) {
        self.leaving = leaving;
        for leaving in &mut self.leaving {
            out.push(Effect::Await { launch: leaving.launch, tree: true });
            if leaving.next == Farewell::AskNow {
                leaving.deadline = now.mono;
            }
        }
        self.hurry(now, out);
    }

    /// Whether it was one of them.
    pub(super) fn has_left(&mut self, launch: LaunchId, out: &mut Vec<Effect>) -> bool {
        let left: Vec<Leaving> = self.leaving.extract_if(.., |leaving| leaving.launch == launch).collect();
        out.extend(left.iter().filter_map(|leaving| self.forgotten(leaving)));
        !left.is_empty()
    }

    /// Goes on with those whose time is over.
    pub(super) fn hurry(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut leaving = std::mem::take(&mut self.leaving);
        leaving.retain_mut(|leaving| {
            let launch = leaving.launch;
            if leaving.deadline > now.mono {
                return true;
            }
            match leaving.next {
                Farewell::AskNow | Farewell::Ask => {
                    leaving.deadline = now.mono.plus_ms(KILL_TIMEOUT_MS);
                    leaving.next = Farewell::Kill;
                    leaving.standing.asked(leaving.deadline);
                    out.push(Effect::Stop { launch, signal: Signal::INT, tree: true });
                    let standing = self.is_free(leaving.number).then(|| leaving.standing.clone());
                    out.extend(
                        standing.map(|standing| Effect::Standing { id: leaving.number, standing: Some(standing) }),
                    );
                }
                Farewell::Kill => {
                    leaving.deadline = now.mono.plus_ms(PATIENCE_MS);
                    leaving.next = Farewell::Forget;
                    out.push(Effect::Kill { launch, tree: true });
                }
                Farewell::Forget => {
                    out.extend(self.forgotten(leaving));
                    return false;
                }
            }
            true
        });
        self.leaving = leaving;
    }

    /// As `list` shows those that leave.
    pub(super) fn views_of_leaving(&self) -> impl Iterator<Item = InstanceView> {
        let view = |leaving: &Leaving| {
            let InstanceId { app, slot } = leaving.instance.as_ref()?.first();
            let detail = "it was being ended for good when the last daemon was killed".to_owned();
            Some(view::leaving(&app, slot, first(leaving.number), leaving.standing.pid(), detail))
        };
        self.leaving.iter().filter_map(view)
    }

    /// Who is waited for by what is to start something.
    pub(super) fn still_leaves(&self, now: Now) -> Option<(String, u32, u64)> {
        let leaving = self.leaving.first()?;
        let instance = leaving.instance.as_ref().map(|instance| format!("`{}`", instance.first()));
        let who = instance.unwrap_or_else(|| "what was being stopped".to_owned());
        Some((
            format!("the end of {who}"),
            leaving.standing.pid().unwrap_or_default(),
            now.mono.ms_since(self.restored),
        ))
    }

    /// Where those stood that leave, by their numbers.
    pub(super) fn standings_of_leaving(&self) -> impl Iterator<Item = (u32, Standing)> {
        let leaving = self.leaving.iter().filter(|leaving| self.is_free(leaving.number));
        leaving.map(|leaving| (leaving.number, Standing::clone(&leaving.standing)))
    }

    fn forgotten(&self, leaving: &Leaving) -> Option<Effect> {
        self.is_free(leaving.number).then_some(Effect::Standing { id: leaving.number, standing: None })
    }

    /// Another may have got its number since.
    fn is_free(&self, number: u32) -> bool {
        self.table.standings().all(|(other, _)| other != number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Key, Mono};
    use crate::runtime::{Input, Past, State};
    use crate::supervisor::{Layout, Names};

    const NUMBER: u32 = 7;
    const GOES: LaunchId = LaunchId(40);

    /// At which milliseconds, and what happens then.
    type Steps<'a> = &'a [(u64, &'a [&'a str])];

    fn at(ms: u64) -> Now {
        Now { mono: Mono(ms), ..Now::default() }
    }

    fn standing(phase: &str, untold: bool) -> Standing {
        let state = format!(r#"{{"Stopping":{{"launch":1,"pid":70,"then":"Stop","phase":{phase}}}}}"#);
        serde_json::from_str(&format!(r#"{{"state":{state},"untold":{untold}}}"#)).unwrap()
    }

    fn words(effects: Vec<Effect>) -> Vec<String> {
        let word = |effect| match effect {
            Effect::Await { launch: GOES, .. } => Some("await".to_owned()),
            Effect::Stop { launch: GOES, .. } => Some("stop".to_owned()),
            Effect::Kill { launch: GOES, .. } => Some("kill".to_owned()),
            Effect::Standing { id: NUMBER, standing: None } => Some("forget".to_owned()),
            Effect::Standing { id: NUMBER, standing: Some(standing) } => match standing.leaving(NUMBER, GOES) {
                Some(Leaving { deadline, next, .. }) => Some(format!("{next:?} at {}", deadline.0)),
                None => Some("nothing".to_owned()),
            },
            _ => None,
        };
        effects.into_iter().filter_map(word).collect()
    }

    #[test]
    fn what_was_being_stopped_for_good_has_its_time_and_the_next_daemon_hears_of_it() {
        let drains = standing(r#"{"Draining":{"deadline":900}}"#, false);
        let asked = standing(r#"{"Asked":{"deadline":900}}"#, false);
        let untold = standing(r#"{"Asked":{"deadline":900}}"#, true);
        let table: [(_, Steps<'_>); 3] = [
            (
                drains,
                &[
                    (0, &["await"]),
                    (899, &[]),
                    (900, &["stop", "Kill at 2500"]),
                    (2_500, &["kill"]),
                    (7_500, &["forget"]),
                ],
            ),
            (asked, &[(0, &["await"]), (900, &["kill"]), (5_899, &[]), (5_900, &["forget"])]),
            (untold, &[(0, &["await", "stop", "Kill at 1600"]), (1_600, &["kill"])]),
        ];
        for (standing, steps) in table {
            let past = Past {
                standings: [(NUMBER, standing.clone())].into(),
                leaving: standing.leaving(NUMBER, GOES).into_iter().collect(),
                ..Past::default()
            };
            let layout = Layout { home: "/h".to_owned(), names: Names::Own };
            let state = State::empty(Key([1; 32]));
            let (mut core, first) = Core::restore(state, past, layout, |_| None, at(0));
            let mut first = Some(first);
            for (ms, want) in steps {
                let out = first.take().unwrap_or_else(|| core.handle(Input::Tick, at(*ms)));
                assert_eq!(words(out), *want, "{standing:?} at {ms}");
                // As it is written when the file is written anew.
                let stands = core.standings().any(|(number, _)| number == NUMBER);
                assert_eq!(stands, !want.contains(&"forget"), "{standing:?} at {ms}");
            }
        }
    }

    #[test]
    fn what_has_left_is_forgotten() {
        let past = Past {
            leaving: standing(r#"{"Asked":{"deadline":900}}"#, false).leaving(NUMBER, GOES).into_iter().collect(),
            ..Past::default()
        };
        let layout = Layout { home: "/h".to_owned(), names: Names::Own };
        let (mut core, _) = Core::restore(State::empty(Key([1; 32])), past, layout, |_| None, at(0));
        assert_eq!(words(core.handle(Input::TreeGone { launch: GOES }, at(5))), ["forget"]);
        assert!(core.handle(Input::Tick, at(10_000)).is_empty());
    }
}
