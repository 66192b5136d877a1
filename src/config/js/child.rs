//! The child: takes its orders from stdin, gives up everything else, runs the engine, writes frames to stdout.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use nix::sys::resource::Resource;

use super::host::Outside;
use super::orders::{Account, Failure, Orders, Reply, Request};
use super::{doubts, engine, wire};
use crate::config::{Hermetic, Journal};
use crate::platform::{confine, one_arena};

/// The program itself, its thread and what it has read so far.
const OWN_BYTES: u64 = 32 << 20;
/// Console output beyond this is thrown away here; the parent says so.
const CONSOLE_MAX: usize = 4 << 20;

/// What the engine and the stand-ins for Node's modules look at by themselves: the time zone, facts about the machine.
const OWN_READING: [&str; 10] = [
    "/dev/urandom",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/etc/passwd",
    "/proc/sys/kernel",
    "/proc/cpuinfo",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/uptime",
    "/sys/devices/system/cpu",
];

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
    confine::leave_everything()?;
    one_arena();
    let orders: Orders = serde_json::from_slice(&receive()?)?;
    // The wall deadline is the parent's; this is the net below it.
    confine::limit(Resource::RLIMIT_CPU, orders.deadline_ms.div_ceil(1_000) + 1)?;
    let status = File::open("/proc/self/status").ok();
    let means = confine::only_read(orders.hermetic.as_ref().map(|hermetic| readable(hermetic, &orders)).as_deref());
    let thread = std::thread::Builder::new().name("config".to_owned()).stack_size(engine::STACK_BYTES);
    let worker = thread.spawn(move || work(orders, status, means))?;
    worker.join().map_err(|_| io::Error::other("the engine panicked"))?
}

fn work(orders: Orders, status: Option<File>, means: Option<&'static str>) -> io::Result<()> {
    limit_memory(status, orders.memory_bytes)?;
    let journal = Journal::default();
    let means = ["limits"].into_iter().chain(means).chain(confine::only_compute());
    journal.confined_by(means.map(str::to_owned).collect());
    let printed = Cell::new(0);
    let refusals = Rc::new(RefCell::new(Vec::new()));
    let refused = Box::new({
        let refusals = Rc::clone(&refusals);
        move |refused| *refusals.borrow_mut() = refused
    });
    let outside = Outside {
        print: Box::new(move |text| {
            if printed.get() <= CONSOLE_MAX {
                printed.set(printed.get() + text.len());
                // A parent that is gone reads nothing, and then the config's end does not matter either.
                let _ = send(wire::CONSOLE, text.as_bytes());
            }
        }),
        ask: Box::new(|request| ask(&request)),
        journal: journal.clone(),
        refused,
    };
    let outcome = match orders.aside.clone() {
        Some(aside) => doubts::run(orders, aside, outside.refused),
        None => engine::run(orders, outside),
    };
    let account = Account { inputs: journal.inputs(), assigned: journal.take_assigned(), refusals: refusals.take() };
    send(wire::ACCOUNT, &serde_json::to_vec(&account)?)?;
    match outcome {
        Ok(exported) => send(wire::VALUE, &wire::encode(&exported)),
        Err(failure) => send_failure(&failure),
    }
}

fn send_failure(failure: &Failure) -> io::Result<()> {
    send(wire::FAILURE, &serde_json::to_vec(failure)?)
}

fn ask(request: &Request) -> io::Result<Reply> {
    send(wire::REQUEST, &serde_json::to_vec(request)?)?;
    Ok(serde_json::from_slice(&receive()?)?)
}

fn send(tag: u8, payload: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(&wire::header(tag, payload.len()))?;
    out.write_all(payload)?;
    out.flush()
}

/// The next frame from the parent. There is nothing else on stdin.
fn receive() -> io::Result<Vec<u8>> {
    let mut input = io::stdin().lock();
    let mut header = [0; wire::HEADER];
    input.read_exact(&mut header)?;
    let [wire::ORDERS, length @ ..] = header else { return Err(io::ErrorKind::InvalidData.into()) };
    let mut payload = vec![0; u32::from_le_bytes(length) as usize];
    input.read_exact(&mut payload)?;
    Ok(payload)
}

/// All that has to be read under `--hermetic`, where the bytes are.
fn readable(hermetic: &Hermetic, orders: &Orders) -> Vec<PathBuf> {
    let entry = orders.entry.canonicalize().unwrap_or_else(|_| orders.entry.clone());
    let folder = entry.parent().unwrap_or(Path::new("/"));
    // Node's rules ask these whether a file is a module.
    let manifests = folder.ancestors().map(|folder| folder.join("package.json"));
    let mapped = orders.mapping.iter().map(|mapping| mapping.named.real.clone());
    let own = OWN_READING.iter().map(PathBuf::from);
    hermetic.paths.iter().cloned().chain([folder.to_owned()]).chain(manifests).chain(mapped).chain(own).collect()
}

/// Of the whole process but for the stack's room, most of which is never touched.
fn limit_memory(status: Option<File>, bytes: u64) -> io::Result<()> {
    let mut text = String::new();
    if let Some(mut status) = status {
        status.read_to_string(&mut text)?;
    }
    let mapped =
        text.lines().find_map(|line| line.strip_prefix("VmSize:")).and_then(|rest| rest.split_whitespace().next());
    let mapped_kb: u64 = mapped.and_then(|size| size.parse().ok()).unwrap_or(0);
    let stack = engine::STACK_BYTES as u64;
    confine::limit(Resource::RLIMIT_AS, (stack + bytes).max(mapped_kb * 1_024 + OWN_BYTES))
}
