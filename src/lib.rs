//! pmrun runs what an ecosystem file declares, and changes only what changed.
//!
//! # The way of a command
//!
//! ```text
//!  ecosystem file ──▶ Document ──▶ AppSpecs ──▶ Graph ──┐
//!      config         document      schema       graph  ├──▶ plan() ──▶ Plan ──▶ shown (diff) or done (apply)
//!                                     Snapshot ─────────┘     plan
//!                                     runtime
//!
//!  daemon:  Input ──▶ runtime::Core ──▶ Effects ──▶ platform: processes, signals, sockets, files
//!             ▲        supervisor                      │
//!             └───── exits, readiness, timers, calls ──┘
//! ```
//!
//! Each arrow goes one way. Nothing to the left of [`plan::plan`] knows that processes exist; nothing to the right
//! of it knows that config files exist.
//!
//! # In reading order
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`base`] | ids, times, sizes, signals, digests |
//! | [`spec`] | [`spec::AppSpec`]: an app, resolved; [`spec::Field::impact`]: what a change of each field costs |
//! | [`graph`] | all apps of an ecosystem, their dependencies, and which are selected |
//! | [`plan`] | what must happen and why: compare, decide, render |
//! | [`document`], [`diag`] | values with the bytes they came from; what is said about them |
//! | [`schema`] | the option table: names, types, defaults, documentation; from a document to specs |
//! | [`supervisor`] | the state machine of one instance |
//! | [`schedule`] | when a cron pattern's time comes |
//! | [`runtime`] | the daemon's one state, its inputs and effects, and what of it is durable |
//! | [`config`] | reading files: JavaScript, JSON, YAML, TOML; the only way in |
//! | [`node`] | Node's cluster protocol, from the primary's side: what workers say and are answered |
//! | [`platform`] | processes, pidfds, signals, process trees, cgroups, locks; the only `unsafe` code |
//! | [`logs`] | reading back and following what apps write |
//! | [`health`] | health checks over the network: what is asked, and how often |
//! | [`watch`] | file notifications: which folders are watched for whom, what is worth telling |
//! | [`rpc`] | what goes over the control socket, and how |
//! | [`http`] | what is asked over HTTP: routes, tokens, limits, and nothing of who knows the answers |
//! | [`daemon`] | the daemon put together |
//! | [`cli`] | one file a command; the only code that prints, but for [`logs::console`] |
//!
//! # Invariants
//!
//! * The first nine rows are pure: no clock, no files, no processes, no environment, no threads, no printing
//!   ([`runtime::store`] excepted). Whatever they need to know is an argument. `tests/tidy.rs` holds them to it.
//! * There is one planner. `diff` shows what it returns and `apply` does it, so that what is shown is what is done.
//! * Two specs are compared by taking both apart without `..`: a new field does not compile until somebody has
//!   decided what changing it costs.
//! * One loop owns the daemon's state. Everything else sends it an [`runtime::Input`]; nothing else changes it.
//! * A process is known by its pidfd and its launch, never by its pid alone: pids are used again.
//! * What should run is on disk before the command that asked for it returns. State is data: never evaluated, and
//!   never deleted because it cannot be read.
//! * No secret is printed, put into a plan, or sent to a command that did not ask with `--reveal`; `render --raw` and
//!   `convert` print a file's own values, which is what they are for.
//!
//! # Files on disk
//!
//! All in `PMRUN_HOME` (default `~/.pmrun`), which is for its owner only. `pmrun run` has a folder of its own, which goes with it, and of
//! these only the sockets, `daemon.lock`, `pids/` and `events.jsonl`.
//!
//! | file | what it is | who writes it |
//! | --- | --- | --- |
//! | `state` | what should run, what did in the last generations, the key for digests: a redb database | the daemon; `diff --out` makes an empty one, `state repair` another |
//! | `state.backup`, `state.backup.1` | copies of what should run, with a digest | the daemon |
//! | `state.damaged-TIME` | one that could not be read, set aside | the daemon; `state repair` |
//! | `saved` | what should run when `save` was said last | the daemon; `save` without one |
//! | `daemon.lock` | held while a daemon runs, so that there is one; shared by who reads `state` | the daemon |
//! | `start.lock` | held while a command starts a daemon, or a service's takes over | the command, the daemon |
//! | `pmrun.sock`, `pmrun.pid` | the control socket and the daemon's pid, while it serves | the daemon |
//! | `rpc.sock`, `pub.sock` | where programs that use PM2's library connect | the daemon |
//! | `pmrun.log` | what the daemon itself has to say | the daemon |
//! | `events.jsonl`, `events.jsonl.1` | what happened to apps, an event a line ([`runtime::history`]) | the daemon |
//! | `preload.cjs` | what Node's workers load before their own code ([`node::PRELOAD`]) | the daemon |
//! | `notify/` | a socket for each app that says `READY=1` | the daemon |
//! | `logs/NAME-out.log`, `logs/NAME-error.log` | what an app writes; `-SLOT` before `.log` from the second instance on | the app itself |
//! | `logs/NAME-all.log` and those where something is added to a line | the same, framed | the log process ([`logs::pump`]) |
//! | `logs/NAME-out.log.1`, `.2.gz` and so on | what was rotated ([`logs::rotate`]) | the daemon; the log process, of what it writes |
//! | `rotate.lock` | which logs are being rotated just now | the daemon, the log process |
//! | `logs-1.sock` | where daemons find that process | the daemon |
//! | `successor.sock` | where a service's daemon waits for what the one before leaves to it | the daemon |
//! | `manners` | says `pm2` where the name `pm2` began the home: logs and pid files are called as PM2 calls them | the first command |
//! | `dump.pm2`, `dump.pm2.bak` | what ran when `pm2 save` was said last, or a signal ended the daemon of such a home | `pm2 save`; the daemon |
//! | `reload.lock` | when a `pm2 reload` began that is not done | that command |
//! | `pids/NAME-ID.pid` | an instance's pid | the daemon |
//! | `usage` | how much time on processors what runs had taken when somebody last looked | `list` and others that show it |
//! | `web-tokens` | digests of the tokens that `web` lets in, and what each may do | `web --new-token` |

pub mod base;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod diag;
pub mod document;
pub mod graph;
pub mod health;
pub mod http;
pub mod logs;
pub mod node;
pub mod plan;
pub mod platform;
pub mod rpc;
pub mod runtime;
pub mod schedule;
pub mod schema;
pub mod spec;
pub mod supervisor;
pub mod watch;
