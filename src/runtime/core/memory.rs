//! `max_memory_restart`: who is looked at, how often, and what is too much.

use super::Core;
use crate::base::{Mono, Now, format_bytes};
use crate::runtime::Effect;
use crate::runtime::roster::has_limit;
use crate::runtime::table::{Instance, Table};
use crate::supervisor::{Cause, Event, LaunchId, State};

/// How often is enough far from the limit; PM2 looks every 30 s, in which an app may grow by gigabytes.
const FAR_MS: u64 = 10_000;
/// And near it, from four fifths on.
const NEAR_MS: u64 = 1_000;
/// Looks that are due so soon share one with what is due now.
const TOGETHER_MS: u64 = 500;
/// What is too large from its start gains nothing from being restarted each second; PM2's pace.
const AGAIN_MS: u64 = 30_000;

/// The looks at one process's memory.
#[derive(Debug)]
pub(in crate::runtime) struct Measured {
    launch: LaunchId,
    last: Option<Look>,
    next: Mono,
    /// At the first look already.
    too_large: bool,
}

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    at: Mono,
    bytes: u64,
    /// As fast as it has grown lately, in a second.
    growth: u64,
}

impl Core {
    /// When somebody is to be looked at. Never where nobody has a limit.
    pub(super) fn memory_deadline(&self) -> Option<Mono> {
        debug_assert!(
            self.table.apps.iter().all(|(name, app)| !has_limit(app) || self.table.roster.limited.contains(name))
        );
        let apps = self.table.roster.limited.iter().filter_map(|name| self.table.apps.get(name));
        let instances = apps.flat_map(|app| app.instances.values());
        instances.filter_map(|instance| watched(instance).map(|watched| watched.next)).min()
    }

    pub(super) fn measure(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.memory_deadline().is_none_or(|at| at > now.mono) {
            return;
        }
        let mut launches = Vec::new();
        let Table { apps, roster, .. } = &mut self.table;
        let limited = apps.iter_mut().filter(|(name, _)| roster.limited.contains(*name));
        for instance in limited.flat_map(|(_, app)| app.instances.values_mut()) {
            let due = watched(instance).filter(|watched| watched.next <= now.mono.plus_ms(TOGETHER_MS));
            if let Some(Watched { launch, .. }) = due {
                launches.push(launch);
                let known = instance.measured.as_ref().filter(|known| known.launch == launch);
                let (last, too_large) =
                    (known.and_then(|known| known.last), known.is_some_and(|known| known.too_large));
                // Whom nobody can tell anything of is asked after again in a while.
                instance.measured = Some(Measured { launch, last, next: now.mono.plus_ms(FAR_MS), too_large });
            }
        }
        out.push(Effect::Measure { launches });
    }

    /// What a process, and what it has started, takes.
    pub(super) fn measured(&mut self, launch: LaunchId, bytes: u64, now: Now, out: &mut Vec<Effect>) {
        let Some(id) = self.table.owner(launch) else { return };
        let is_at_work = self.is_at_work_on(&id.app);
        let app = self.table.apps.get_mut(&id.app);
        let Some(instance) = app.and_then(|app| app.instances.get_mut(&id.slot)) else { return };
        let Some(Watched { limit, since, .. }) = watched(instance).filter(|watched| watched.launch == launch) else {
            return;
        };
        let last = instance.measured.as_ref().and_then(|known| known.last);
        let too_large = match last {
            None => bytes > limit,
            Some(_) => instance.measured.as_ref().is_some_and(|known| known.too_large),
        };
        let look = Look::after(last, now.mono, bytes);
        let mut next = now.mono.plus_ms(look.wait_ms(limit, now.mono.ms_since(since)));
        let again = matches!(instance.machine.cause, Some(Cause::Memory { .. }));
        let too_soon = again && too_large && now.mono.ms_since(since) < AGAIN_MS;
        if too_soon {
            next = next.max(since.plus_ms(AGAIN_MS));
        }
        instance.measured = Some(Measured { launch, last: Some(look), next, too_large });
        // What a command is at work on may be about to end anyway.
        if bytes > limit && !too_soon && !is_at_work {
            out.push(Effect::Log(format!(
                "`{id}` is restarted: it uses {}, more than {} (max_memory_restart)",
                format_bytes(bytes),
                format_bytes(limit)
            )));
            self.feed(&id, Event::Renew { cause: Cause::Memory { bytes } }, now, out);
        }
    }
}

/// A process with a limit.
struct Watched {
    launch: LaunchId,
    since: Mono,
    limit: u64,
    next: Mono,
}

fn watched(instance: &Instance) -> Option<Watched> {
    let limit = instance.machine.policy.max_memory_restart?;
    let (State::Starting { launch, since, .. } | State::Online { launch, since, .. }) = instance.machine.state else {
        return None;
    };
    let known = instance.measured.as_ref().filter(|known| known.launch == launch);
    let next = known.map_or_else(|| since.plus_ms(NEAR_MS), |known| known.next);
    Some(Watched { launch, since, limit, next })
}

impl Look {
    fn after(last: Option<Self>, at: Mono, bytes: u64) -> Self {
        let growth = last.map_or(0, |last| {
            let grown = u128::from(bytes.saturating_sub(last.bytes)) * 1_000;
            let growth = u64::try_from(grown / u128::from(at.ms_since(last.at).max(1))).unwrap_or(u64::MAX);
            // What has just grown may do so again.
            growth.max(last.growth / 2)
        });
        Self { at, bytes, growth }
    }

    /// Until the next look. Soon after the start, when most is taken; and when it is half way to its limit, as fast as it
    /// has grown lately.
    fn wait_ms(&self, limit: u64, age_ms: u64) -> u64 {
        if self.bytes >= limit / 5 * 4 {
            return NEAR_MS;
        }
        let until_full = (u128::from(limit - self.bytes) * 1_000).checked_div(u128::from(self.growth));
        let half_way_ms = until_full.map_or(FAR_MS, |ms| u64::try_from(ms / 2).unwrap_or(u64::MAX));
        half_way_ms.min(age_ms / 2).clamp(NEAR_MS, FAR_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_as_often_as_matters() {
        let table = [
            // Bytes, growth, age, and until the next look.
            (10, 0, 1_000, NEAR_MS),
            (10, 0, 5_000, 2_500),
            (10, 0, 60_000, FAR_MS),
            (10, 2, 60_000, FAR_MS),
            (79, 0, 60_000, FAR_MS),
            (80, 0, 60_000, NEAR_MS),
            (100, 0, 60_000, NEAR_MS),
            (1_000, 0, 60_000, NEAR_MS),
            // Ten a second, fifty to go: in two and a half seconds half of that is gone.
            (50, 10, 60_000, 2_500),
            (70, 60, 60_000, NEAR_MS),
            (11, 1, 60_000, FAR_MS),
        ];
        for (bytes, growth, age_ms, want) in table {
            let look = Look { at: Mono(0), bytes, growth };
            assert_eq!(look.wait_ms(100, age_ms), want, "{bytes} {growth} {age_ms}");
        }
        assert_eq!(Look { at: Mono(0), bytes: 1, growth: u64::MAX }.wait_ms(u64::MAX, 60_000), NEAR_MS);
    }

    /// The times of looks at something that takes so many megabytes at each moment, until it is more than a hundred.
    fn looks(until_ms: u64, megabytes: impl Fn(u64) -> u64) -> Vec<(u64, u64)> {
        let (mut last, mut now, mut looks) = (None, NEAR_MS, Vec::new());
        while now < until_ms {
            let look = Look::after(last, Mono(now), megabytes(now) << 20);
            looks.push((now, megabytes(now)));
            if look.bytes > 100 << 20 {
                break;
            }
            now += look.wait_ms(100 << 20, now);
            last = Some(look);
        }
        looks
    }

    #[test]
    fn a_leak_is_seen_before_it_has_taken_much_more_than_it_may() {
        for (a_second, begins_ms, most) in [(2, 0, 105), (10, 0, 112), (30, 0, 140), (50, 0, 150), (50, 3_000, 160)] {
            let seen = looks(600_000, |now| 20 + now.saturating_sub(begins_ms) * a_second / 1_000);
            let (_, megabytes) = seen[seen.len() - 1];
            assert!(megabytes > 100 && megabytes <= most, "{a_second} a second from {begins_ms}: {seen:?}");
        }
        // By leaps, a minute after its start.
        let seen = looks(600_000, |now| 20 + now.saturating_sub(60_000) / 10_000 * 15);
        assert!(seen[seen.len() - 1].1 <= 110, "{seen:?}");
    }

    #[test]
    fn what_does_not_grow_is_looked_at_a_few_times_a_minute() {
        let flat = looks(3_600_000, |_| 60);
        assert!(flat.len() < 6 * 60 + 20, "{}", flat.len());
        // A start that takes much, and then nothing any more.
        let settled = looks(3_600_000, |now| (now / 50).min(60));
        assert!(settled.len() < 6 * 60 + 20, "{}", settled.len());
    }
}
