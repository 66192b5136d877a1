use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::history::Entry;
use super::{AppRecord, ClientId, Recall, Standing, Stranger, Ticket, Watches};
use crate::base::{InstanceId, Signal};
use crate::plan::{Generation, Outcome};
use crate::rpc::wire::{Answer, Failure};
use crate::spec::{AppSpec, EcosystemId, Limits, Rotation};
use crate::supervisor::{Check, Launch, LaunchId};

/// What the core asks of the world. Effects are performed in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Answered by `Spawned` or `SpawnFailed`.
    Spawn(Box<Launch>),
    /// Look at the code of what is spawned next, as soon as it is; answered by `Code` where that is not what `of` says.
    Code { launch: LaunchId, of: Arc<AppSpec> },
    /// Signal the first process, with `tree` all its descendants too, wherever they have gone; then watch them
    /// and answer `TreeGone` when none is left (with `tree: false`: when the first process has ended). Answered by `Told`
    /// before that.
    Stop { launch: LaunchId, signal: Signal, tree: bool },
    /// Have it accept no more connections; answered by `Drained` when it has finished with those that it has, at once where it
    /// cannot be told.
    Drain { launch: LaunchId },
    /// One serves from now on, and another of the same slot that did goes.
    TakeOver { launch: LaunchId, from: LaunchId },
    /// Send its first process a signal that means nothing to the daemon.
    Signal { launch: LaunchId, signal: Signal },
    /// Talk to processes that run; whoever does it answers.
    Converse { client: ClientId, talk: Box<Talk>, with: Vec<Partner>, failed: Vec<Failure> },
    /// It is told everything that apps say from now on, until it hangs up; each comes back as `Said`.
    Heed { client: ClientId },
    /// What an app said, to all that listen.
    Said(Box<Answer>),
    /// As `Stop`, but the signal is the string `"shutdown"` over Node's channel.
    StopByMessage { launch: LaunchId, tree: bool },
    /// SIGKILL to the whole tree until nothing is left; answered by `TreeGone`. May follow `Stop`.
    Kill { launch: LaunchId, tree: bool },
    /// What an earlier daemon began to stop: answered by `TreeGone`, as `Stop`, but nobody is sent anything.
    Await { launch: LaunchId, tree: bool },
    /// Whether the descendants of a process end when it ends by itself; at first as its `Launch` says.
    Tree { launch: LaunchId, tree: bool },
    /// Look how much memory they use; answered by a `Memory` for each that runs.
    Measure { launches: Vec<LaunchId> },
    /// Look after its health by this, or no longer; answered by `Probed`.
    Check { launch: LaunchId, check: Option<Box<Check>> },
    /// When its logs are rotated; at first as its `Launch` says.
    Rotation { launch: LaunchId, rotation: Rotation },
    /// What it may use; at first as its `Launch` says. Answered by `Limits`.
    Limits { launch: LaunchId, limits: Limits },
    /// Nobody will serve in this slot for some time: who connects is to be refused, and not to wait.
    Unlisten { instance: InstanceId },
    /// An app has another name from now on.
    Rename { from: String, to: String },
    /// Make it durable, all of it or nothing; answered by `Saved`.
    Save { ticket: Ticket, saves: Vec<Save> },
    /// Something is wanted of the state as it is on disk; whoever does it answers.
    Errand { client: ClientId, errand: Errand },
    /// Read what was; answered by `Recalled`, after all that was to be saved before.
    Recall { ticket: Ticket, wanted: Recall },
    /// `last` closes the exchange.
    Answer { client: ClientId, answer: Box<Answer>, last: bool },
    /// From now on exactly this is watched; changes come back as `FilesChanged`.
    Watch(Box<Watches>),
    /// Where an instance stands, by its number, or that it is no more. Kept for a daemon that follows when this one is killed.
    Standing { id: u32, standing: Option<Box<Standing>> },
    /// Something happened that is worth remembering.
    History(Box<Entry>),
    /// A line for the daemon's own log.
    Log(String),
    /// End the daemon; everything before has been done.
    Exit,
    /// As `Exit`, but the daemon goes on as this program and everything that runs with it.
    Become { program: String },
    /// As `Exit`, and another daemon goes on with everything that runs.
    Leave,
}

/// A process that is talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    pub instance: InstanceId,
    /// As `list` numbers it.
    pub list_id: u32,
    pub launch: LaunchId,
}

/// What about.
#[derive(Clone, Debug, PartialEq)]
pub enum Talk {
    /// To its standard input.
    Feed(String),
    /// Over Node's channel.
    Tell(Value),
    /// What of their actions and measures they have told.
    Offers,
}

/// What a command wants of the state as it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Whether it is as it was written.
    Check,
    /// Write it anew, where it is not.
    Repair,
    /// Keep what should run for `resurrect`.
    Keep,
}

/// One part of a durable change.
#[derive(Clone, Debug, PartialEq)]
pub enum Save {
    App(String, Box<AppRecord>),
    DeleteApp(String),
    /// An inherited environment, under the digest that records refer to it by.
    Ambient(String, Arc<BTreeMap<String, String>>),
    /// A command begins to change something: what comes after this is its work. Grows by one.
    Generation(u64),
    /// Who asked for that, and what for.
    Began(Box<Generation>),
    /// What came of it.
    Ended {
        number: u64,
        outcome: Outcome,
    },
    /// All that a file says was found to hold, or made to: what was changed by hand before is nothing to go back on.
    Applied {
        ecosystem: EcosystemId,
        number: u64,
    },
    /// The machine was started anew.
    Boot(String),
    /// Who is left alone though nobody knows it.
    Strangers(Vec<Stranger>),
}

impl Save {
    /// The app that it is about, and what is recorded of that from then on.
    #[must_use]
    pub fn app(&self) -> Option<(&str, Option<&AppRecord>)> {
        match self {
            Self::App(name, record) => Some((name, Some(record))),
            Self::DeleteApp(name) => Some((name, None)),
            Self::Ambient(..)
            | Self::Generation(_)
            | Self::Began(_)
            | Self::Ended { .. }
            | Self::Applied { .. }
            | Self::Boot(_)
            | Self::Strangers(_) => None,
        }
    }
}
