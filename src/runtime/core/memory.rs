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
/// How fast it grows is known from the second look on.
const SECOND_MS: u64 = 5_000;
/// Looks that are due so soon share one with what is due now.
const TOGETHER_MS: u64 = 500;
/// What is too large from its start gains nothing from being restarted each second; PM2's pace.
const AGAIN_MS: u64 = 30_000;

/// The looks at one process's memory.
#[derive(Debug)]
pub(in crate::runtime) struct Measured {
    launch: LaunchId,
    last: Option<(Mono, u64)>,
    next: Mono,
    /// At the first look already.
    too_large: bool,
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
        let wait_ms = wait_ms(limit, bytes, last.map(|(at, before)| (now.mono.ms_since(at), before)));
        let mut next = now.mono.plus_ms(wait_ms);
        let again = matches!(instance.machine.cause, Some(Cause::Memory { .. }));
        let too_soon = again && too_large && now.mono.ms_since(since) < AGAIN_MS;
        if too_soon {
            next = next.max(since.plus_ms(AGAIN_MS));
        }
        instance.measured = Some(Measured { launch, last: Some((now.mono, bytes)), next, too_large });
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

/// Until the next look. One that grows is looked at when it is half way to its limit, as fast as it grows now.
fn wait_ms(limit: u64, bytes: u64, last: Option<(u64, u64)>) -> u64 {
    if bytes >= limit / 5 * 4 {
        return NEAR_MS;
    }
    let Some((passed_ms, before)) = last else { return SECOND_MS };
    match bytes.checked_sub(before) {
        None | Some(0) => FAR_MS,
        Some(grown) => {
            let until_full = u128::from(limit - bytes) * u128::from(passed_ms) / u128::from(grown);
            u64::try_from(until_full / 2).unwrap_or(u64::MAX).clamp(NEAR_MS, FAR_MS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_as_often_as_matters() {
        let table = [
            (10, None, SECOND_MS),
            (10, Some((5_000, 10)), FAR_MS),
            (10, Some((5_000, 20)), FAR_MS),
            (79, Some((30_000, 79)), FAR_MS),
            (80, Some((30_000, 80)), NEAR_MS),
            (100, None, NEAR_MS),
            (1_000, None, NEAR_MS),
            // Ten a second, fifty to go: in two and a half seconds half of that is gone.
            (50, Some((1_000, 40)), 2_500),
            (70, Some((1_000, 10)), NEAR_MS),
            (11, Some((10_000, 10)), FAR_MS),
        ];
        for (bytes, last, want) in table {
            assert_eq!(wait_ms(100, bytes, last), want, "{bytes} {last:?}");
        }
        assert_eq!(wait_ms(u64::MAX, 1, Some((1, 0))), FAR_MS);
    }
}
