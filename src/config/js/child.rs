//! The child: takes its orders from stdin, limits itself, runs the engine, writes frames to stdout.

use std::fs;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use super::orders::{Failure, Orders};
use super::{engine, wire};

/// Address space that is reserved and never used: the allocator's arena for a second thread.
const ARENA_BYTES: u64 = 160 << 20;
/// Console output beyond this is thrown away here; the parent says so.
const CONSOLE_MAX: usize = 4 << 20;

/// The child: reads its orders from stdin, evaluates, writes the result to stdout (`pmrun __eval`, hidden).
#[must_use]
pub fn child_main() -> ExitCode {
    // Whoever asked for the value is gone, or will kill us after the answer: errors have nobody to be told to.
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    let orders: Orders = serde_json::from_slice(&text)?;
    limit_time(orders.deadline_ms)?;
    let thread = std::thread::Builder::new().name("config".to_owned()).stack_size(engine::STACK_BYTES);
    let worker = thread.spawn(move || work(orders))?;
    worker.join().map_err(|_| io::Error::other("the engine panicked"))?
}

fn work(orders: Orders) -> io::Result<()> {
    limit_memory(orders.memory_bytes)?;
    let printed = std::cell::Cell::new(0);
    let print = move |text: &str| {
        if printed.get() <= CONSOLE_MAX {
            printed.set(printed.get() + text.len());
            // A parent that is gone reads nothing, and then the config's end does not matter either.
            let _ = send(wire::CONSOLE, text.as_bytes());
        }
    };
    match engine::run(orders, Box::new(print)) {
        Ok(exported) => send(wire::VALUE, &wire::encode(&exported)),
        Err(failure) => send_failure(&failure),
    }
}

fn send_failure(failure: &Failure) -> io::Result<()> {
    send(wire::FAILURE, &serde_json::to_vec(failure)?)
}

fn send(tag: u8, payload: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(&wire::header(tag, payload.len()))?;
    out.write_all(payload)?;
    out.flush()
}

/// The wall deadline is the parent's; this is the net below it. Core files of a config help nobody.
fn limit_time(deadline_ms: u64) -> io::Result<()> {
    let seconds = deadline_ms.div_ceil(1_000) + 1;
    limit(Resource::RLIMIT_CPU, seconds)?;
    limit(Resource::RLIMIT_CORE, 0)
}

/// What is mapped now, the stack among it, does not count: the limit is for what the config asks for.
fn limit_memory(bytes: u64) -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mapped =
        status.lines().find_map(|line| line.strip_prefix("VmSize:")).and_then(|rest| rest.split_whitespace().next());
    let mapped_kb: u64 = mapped.and_then(|size| size.parse().ok()).unwrap_or(0);
    limit(Resource::RLIMIT_AS, mapped_kb * 1_024 + ARENA_BYTES + bytes)
}

/// The soft limit only: commands that a config runs get theirs back.
fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let value = if hard == RLIM_INFINITY { value } else { value.min(hard) };
    setrlimit(resource, value, hard)?;
    Ok(())
}
