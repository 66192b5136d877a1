use crate::base::Mono;
use crate::rpc::wire::Answer;
use crate::runtime::history::Why;
use crate::runtime::{ClientId, Effect};

/// Who asked for something, and how it is told.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Caller {
    /// None for what the daemon does by itself, and once the client hung up.
    pub(in crate::runtime) client: Option<ClientId>,
    pub(in crate::runtime) pid: u32,
    pub(in crate::runtime) uid: Option<u32>,
    /// What it is at, for others who wait.
    pub(in crate::runtime) holder: String,
    /// As it was typed, where the command said so; secrets are hidden.
    pub(in crate::runtime) command: String,
    /// Does not wait for what runs to prove that it stays up.
    pub(in crate::runtime) hasty: bool,
    pub(in crate::runtime) since: Mono,
}

impl Caller {
    /// What the history says of what is done for it.
    pub(in crate::runtime) fn why(&self) -> Why {
        Why::Command { command: self.holder.clone(), pid: self.pid, uid: self.uid }
    }

    pub(in crate::runtime) fn tell(&self, answer: Answer, last: bool, out: &mut Vec<Effect>) {
        if let Some(client) = self.client {
            out.push(Effect::Answer { client, answer: Box::new(answer), last });
        }
    }
}

/// What comes after the last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Afterwards {
    GoOn,
    EndTheDaemon,
}

/// How hard an operation insists on what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Rigour {
    /// What depends on a failed app is not begun.
    Strict,
    /// Order only: everything is begun sooner or later, and nobody waits for what nothing depends on.
    Lenient,
}
