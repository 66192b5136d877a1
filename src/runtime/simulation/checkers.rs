//! What must hold, said apart from the code that makes it hold.

use super::{ClientId, World, user};
use crate::plan::Action;
use crate::rpc::wire::{Answer, Call, InstanceView, PlanOptions, Request};
use crate::runtime::{Effect, Input, Intent, State};
use crate::spec::OnExit;

/// Asked without a turn of the world.
fn list(world: &mut World) -> Vec<InstanceView> {
    let client = ClientId(0);
    let call = Call {
        protocol: 1,
        version: String::new(),
        pid: 0,
        no_wait: false,
        hasty: false,
        uid: None,
        words: Vec::new(),
        request: Request::List,
    };
    let now = world.host.now();
    let mut listed = Vec::new();
    for effect in world.core.handle(Input::Call { client, call }, now) {
        let Effect::Answer { answer, .. } = effect else {
            world.host.fail(&format!("what only reads leads to {effect:?}"));
        };
        if let Answer::List { instances, .. } = *answer {
            listed = instances;
        }
    }
    listed
}

/// Every process that runs is known, and as there is one pid an instance, none has two but while one relieves the other. No
/// timer runs for nothing.
pub(super) fn after_each(world: &mut World) {
    if world.host.exited {
        return;
    }
    let views = list(world);
    let beside = views.iter().filter_map(|view| view.beside.as_ref()?.pid);
    let pids: Vec<u32> = views.iter().filter_map(|view| view.pid).chain(beside).collect();
    for tree in world.host.trees.values().filter(|tree| tree.root_alive && tree.announced) {
        // Listed twice where the end of its pid's former owner has not been heard of yet.
        if !pids.contains(&tree.pid) {
            world.host.fail(&format!("process {} of {} is not known: {pids:?}", tree.pid, tree.marker));
        }
    }
    // Nobody waits for a process that is about to end, nor for one that may never be up, while another serves.
    let serving = views.iter().filter(|view| matches!(view.state.as_str(), "starting" | "online" | "unhealthy"));
    for view in serving {
        // Its pid may be another's by now, where its end has not been heard of.
        let slot = view.id.to_string();
        let trees = world.host.trees.values().filter(|tree| tree.root_alive && Some(tree.pid) == view.pid);
        let is_other = view.beside.as_ref().is_some_and(|beside| beside.pid == view.pid);
        let mut its = trees.filter(|tree| tree.list_id == slot && tree.announced && !is_other);
        if its.any(|tree| !world.host.is_given(tree)) {
            world.host.fail(&format!("nobody who connects is given to {}:{}, which serves", view.name, view.slot));
        }
    }
    let resting = |view: &InstanceView| {
        // What could not be started is tried again.
        let again = view.detail.as_deref().is_some_and(|detail| detail.contains("tried again in"));
        let alone = view.beside.is_none();
        matches!(view.state.as_str(), "stopped" | "online" | "errored" | "completed") && !again && alone
    };
    // What has a limit of memory, or of age, is looked at now and then.
    let limited = world.host.disk.apps.values().chain(world.host.heard_disk.apps.values());
    let unlimited =
        limited.map(|app| &app.spec).all(|spec| spec.max_memory_restart.is_none() && spec.restart.max_age_ms == 0);
    let watched = world.host.watches.apps.keys().filter(|_| !world.core.is_ending());
    for app in watched {
        let not_stopped = |view: &&InstanceView| view.name == *app && view.state != "stopped";
        if !views.iter().any(|view| not_stopped(&view)) {
            world.host.fail(&format!("{app} is watched, and nobody wants it to run"));
        }
    }
    // What runs until its dependents have ended goes by rules that the disk need not have any more.
    let waits = world.core.is_to_resume() || world.core.is_to_renew() || world.core.is_ending();
    if unlimited && views.iter().all(resting) && world.core.deadline().is_some() && !waits {
        world.host.fail("a timer runs for nothing");
    }
    let next = views.iter().filter_map(|view| view.next_run_at_ms).min();
    if views.iter().all(|view| view.state == "stopped") && (world.core.wall_deadline().is_some() || next.is_some()) {
        world.host.fail("a time is waited for that nothing is started at");
    }
    the_history_says_so(world, &views);
    let mut ids: Vec<u32> = views.iter().map(|view| view.id).collect();
    ids.dedup();
    if ids.len() != views.len() {
        world.host.fail(&format!("two instances have one id: {ids:?}"));
    }
}

/// Who has read nothing but the history knows what state everything is in, and which process it is.
fn the_history_says_so(world: &World, views: &[InstanceView]) {
    for view in views {
        let told = world.host.told.get(&(view.name.clone(), view.slot));
        let asked_for = view.state == "starting" && view.pid.is_none();
        let as_restored = told.is_none() && matches!(view.state.as_str(), "stopped" | "completed");
        let runs = matches!(view.state.as_str(), "starting" | "online" | "unhealthy");
        let is_told = told.is_some_and(|(state, pid)| *state == view.state && (!runs || Some(*pid) == view.pid));
        // Whom it relieved, of an instance that is gone.
        let is_gone = |known: &crate::runtime::AppRecord| !known.instances.contains_key(&view.slot);
        let is_last = matches!(view.state.as_str(), "stopping" | "errored")
            && world.host.disk.apps.get(&view.name).is_none_or(is_gone);
        if !asked_for && !as_restored && !is_told && !is_last {
            world
                .host
                .fail(&format!("{}:{} is {} {:?}, told was {told:?}", view.name, view.slot, view.state, view.pid));
        }
    }
}

/// Nothing is left but what cannot be killed.
pub(super) fn after_exit(world: &World) {
    for tree in world.host.trees.values() {
        if tree.root_alive && tree.announced && tree.script != "undead" {
            world.host.fail(&format!("{} outlives the daemon's end", tree.marker));
        }
    }
}

/// What should run runs, or was given up on, or ends again and again by itself. What should not does not.
pub(super) fn at_rest(world: &mut World) {
    world.settle_after_the_hour();
    let views = list(world);
    let mut known = 0;
    for (name, app) in world.host.disk.apps.clone() {
        for (slot, instance) in &app.instances {
            known += 1;
            let Some(view) = views.iter().find(|view| view.name == name && view.slot == *slot) else {
                world.host.fail(&format!("{name}:{slot} is not known"));
            };
            // A rollout that was given up leaves processes of an earlier version.
            let runs = world.host.trees.values().find(|tree| tree.root_alive && Some(tree.pid) == view.pid);
            let script = runs.map_or(app.spec.script.as_str(), |tree| tree.script.as_str());
            let allowed: &[&str] = match (instance.intent, script) {
                (Intent::Stopped, _) => &["stopped"],
                (Intent::Done { .. } | Intent::Up, _)
                    if view.state == "stopped" && world.host.unrecorded_stops.contains(&name) =>
                {
                    &["stopped"]
                }
                (Intent::Done { .. }, _) => &["completed"],
                (Intent::Up, _) if app.spec.schedule.is_some() => {
                    &["waiting", "starting", "online", "unhealthy", "stopping", "errored"]
                }
                (Intent::Up, "exit 1500 1") => &["online", "waiting", "starting", "errored"],
                // One that was adopted counts as up: nobody knows whether it ever said so.
                (Intent::Up, "never") => &["starting", "online", "errored"],
                // Sixteen launches, each of them waited for before and after, take longer than anybody looks.
                (Intent::Up, "ill" | "ill 1500") => {
                    &["starting", "online", "errored", "unhealthy", "stopping", "waiting"]
                }
                (Intent::Up, _) => &["online", "errored", "completed"],
            };
            let stuck = |detail: &str| detail.starts_with("would not die");
            if let Some(beside) = &view.beside
                && !beside.detail.as_deref().is_some_and(stuck)
            {
                world.host.fail(&format!("{name}:{slot} has two processes: {beside:?}"));
            }
            // What depends on something that is not up waits for it.
            let waits = view.state == "waiting" && view.detail.as_deref().is_some_and(|detail| is_true(detail, &views));
            // What outlived SIGKILL is shown as such until somebody asks again.
            let immortal = view.detail.as_deref().is_some_and(|detail| detail.starts_with("would not die"));
            let given_up = view.detail.as_deref().is_some_and(|detail| detail.starts_with("no job any more"));
            let restless = instance.intent == Intent::Up && is_restless(&world.host.disk, &name);
            if !allowed.contains(&view.state.as_str()) && !immortal && !waits && !restless && !given_up {
                let intent = instance.intent;
                world
                    .host
                    .fail(&format!("{name}:{slot} is to be {intent:?} and is {} ({:?})", view.state, view.detail));
            }
        }
    }
    // A deleted app that would not die and could not be put back on disk either is shown until the daemon ends.
    let extra = views.iter().filter(|view| {
        let app = world.host.disk.apps.get(&view.name);
        app.is_none_or(|app| !app.instances.contains_key(&view.slot))
    });
    if extra.clone().any(|view| !matches!(view.state.as_str(), "stopped" | "errored"))
        || known + extra.count() != views.len()
    {
        world.host.fail("something is shown that is not on disk");
    }
}

/// Whether an app goes up and down with one that ends again and again by itself.
fn is_restless(disk: &State, name: &str) -> bool {
    let Some(app) = disk.apps.get(name) else { return false };
    app.spec.depends_on.iter().any(|other| {
        let ends = disk
            .apps
            .get(other)
            .is_some_and(|other| ["exit 1500 1", "ill", "ill 1500"].contains(&other.spec.script.as_str()));
        app.spec.need(other).on_exit != OnExit::Ignore && ends || is_restless(disk, other)
    })
}

/// Whether an instance waits for what really is not as it must be: "for `db` to be ready, ...".
fn is_true(detail: &str, views: &[InstanceView]) -> bool {
    let Some(wanted) = detail.strip_prefix("for ") else { return false };
    wanted.split(", ").all(|want| {
        let mut parts = want.split('`').skip(1);
        let (Some(app), Some(condition)) = (parts.next(), parts.next()) else { return false };
        let (condition, gone) =
            condition.strip_suffix(" (deleted)").map_or((condition, false), |condition| (condition, true));
        if gone && views.iter().any(|view| view.name == app) {
            return false;
        }
        let met: &[&str] = match condition {
            " to be started" => &["starting", "online", "unhealthy", "completed"],
            " to be ready" => &["online", "unhealthy", "completed"],
            " to be completed" => &["completed"],
            _ => return false,
        };
        views.iter().filter(|view| view.name == app).all(|view| !met.contains(&view.state.as_str()))
    })
}

/// What runs has seen the last change of its files, no burst was answered twice, and what should be watched is.
pub(super) fn changes_are_answered(world: &mut World) {
    let views = list(world);
    for view in views.iter().filter(|view| matches!(view.state.as_str(), "online" | "starting")) {
        let runs = world.host.trees.values().find(|tree| tree.root_alive && Some(tree.pid) == view.pid);
        if let (Some(last), Some(tree)) = (world.files.last.get(&view.name), runs)
            && tree.started < *last
        {
            world.host.fail(&format!("{}:{} has not seen the change at {last}", view.name, view.slot));
        }
    }
    // In all, for a change that waits goes along with an app's new name.
    let restarts: u32 = world.host.restarts_by_files.values().sum();
    let bursts: u32 = world.files.bursts.values().sum();
    if restarts > bursts {
        world.host.fail(&format!("{restarts} restarts for {bursts} bursts"));
    }
    for (name, app) in &world.host.disk.apps {
        let up = views.iter().any(|view| view.name == *name && view.state == "online");
        let is_watched = app.spec.watch.enabled && app.spec.schedule.is_none();
        if up && is_watched != world.host.watches.apps.contains_key(name) {
            world.host.fail(&format!("{name} is to be watched: {}, and is not so", app.spec.watch.enabled));
        }
    }
}

pub(super) fn every_client_was_answered_once(world: &World) {
    for client in (1..=world.next_client).map(ClientId) {
        let count = world.host.finished.get(&client).copied().unwrap_or(0);
        if count > 1 || (count == 0 && !world.vanished.contains(&client)) {
            world.fail(&format!("client {} got {count} last answers", client.0));
        }
    }
}

/// Applied without faults, nothing is left to do but to try again what was given up on.
pub(super) fn apply_converges(world: &mut World) {
    let mut request = user::apply(&world.file, &mut world.host.rng);
    let Request::Apply(apply) = &mut request else { return };
    apply.options.adopt = true;
    apply.auto_rollback = false;
    let options = PlanOptions { allow_empty: true, ..PlanOptions::default() };
    let plan = Request::Plan { graph: Box::new(apply.graph.clone()), options };
    let failed: Vec<String> = match world.ask(request) {
        Answer::Done { failed, .. } => failed.into_iter().map(|failure| failure.app).collect(),
        Answer::Refused { .. } => return,
        other => world.host.fail(&format!("apply ends with {other:?}")),
    };
    let calm = world.host.mono + super::CALM_MS;
    world.run_until(calm);
    world.settle_after_the_hour();
    let Answer::Plan { plan } = world.ask(plan) else { world.host.fail("no plan") };
    // A rollout that failed, and what waited for it, is tried again; so is what was given up on.
    let failing = |name: &str| {
        let mut names = vec![name.to_owned()];
        let mut index = 0;
        while index < names.len() {
            let app = world.file.apps.iter().find(|app| app.name == names[index]);
            if app.is_none_or(|app| {
                !matches!(app.script.as_str(), "stay" | "stay 2" | "forks" | "deaf" | "ready 20" | "ready 900")
            }) {
                return true;
            }
            names.extend(app.into_iter().flat_map(|app| app.depends_on.iter().cloned()));
            index += 1;
        }
        false
    };
    for step in &plan.steps {
        if step.action != Action::Keep && !failing(&step.app) && !failed.contains(&step.app) {
            world.host.fail(&format!("left to do after apply: {step:?}"));
        }
    }
    at_rest(world);
}
