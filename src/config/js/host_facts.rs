//! What `os` and `process` say about the machine.
#![expect(clippy::unnecessary_wraps, reason = "the engine calls functions of one type")]

use std::fs;
use std::path::Path;

use boa_engine::{Context, JsResult, JsString, JsValue};

use super::host::Host;
use super::modules::text_value;
use super::natives::record;

pub(super) fn process(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let host = Host::of(context);
    let pairs = vec![
        ("arch", word(arch())),
        ("entry", text_value(&host.entry)),
        ("pid", f64::from(std::process::id()).into()),
        ("ppid", rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get()).into()),
        ("uid", f64::from(rustix::process::getuid().as_raw()).into()),
        ("gid", f64::from(rustix::process::getgid().as_raw()).into()),
    ];
    Ok(record(pairs, context))
}

pub(super) fn machine(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let host = Host::of(context);
    host.gate.journal.host();
    let kernel = |name: &str| word(first_line(&format!("/proc/sys/kernel/{name}")));
    let (total, free) = memory();
    let user = user(&host);
    let pairs = vec![
        ("arch", word(arch())),
        ("machine", word(std::env::consts::ARCH)),
        ("hostname", kernel("hostname")),
        ("release", kernel("osrelease")),
        ("version", kernel("version")),
        ("cpusOnline", online().unwrap_or(host.orders.cpus).into()),
        ("cpusAllowed", host.orders.cpus.into()),
        ("cpuModel", word(cpu_model())),
        ("totalMemory", total.into()),
        ("freeMemory", free.into()),
        ("load", word(first_line("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "))),
        ("uptime", first_line("/proc/uptime").split(' ').next().and_then(|s| s.parse().ok()).unwrap_or(0.0).into()),
        ("uid", f64::from(rustix::process::getuid().as_raw()).into()),
        ("gid", f64::from(rustix::process::getgid().as_raw()).into()),
        ("user", word(user.name)),
        ("home", word(user.home)),
        ("shell", word(user.shell)),
    ];
    Ok(record(pairs, context))
}

struct User {
    name: String,
    home: String,
    shell: String,
}

/// From /etc/passwd, as `os.userInfo` says it; the environment where there is no such line.
fn user(host: &Host) -> User {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let fields = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.as_str()));
    let given = |name: &str| host.orders.env.get(name).cloned().unwrap_or_default();
    match fields.as_deref() {
        Some([name, _, _, _, _, home, shell, ..]) => {
            User { name: (*name).to_owned(), home: (*home).to_owned(), shell: (*shell).to_owned() }
        }
        _ => User {
            name: given("USER"),
            home: host.orders.home.as_deref().unwrap_or(Path::new("/")).to_string_lossy().into_owned(),
            shell: given("SHELL"),
        },
    }
}

/// The number of CPUs that the kernel runs: `0-3,5` is five.
fn online() -> Option<u32> {
    let text = first_line("/sys/devices/system/cpu/online");
    text.split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
            Some(last.checked_sub(first)? + 1)
        })
        .sum()
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).and_then(|rest| rest.split_once(':'));
    model.map_or_else(|| "unknown".to_owned(), |(_, model)| model.trim().to_owned())
}

/// Total and available memory in bytes.
fn memory() -> (f64, f64) {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<f64>().ok()
    };
    (field("MemTotal").unwrap_or(0.0) * 1024.0, field("MemAvailable").unwrap_or(0.0) * 1024.0)
}

/// As Node names it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        "x86" => "ia32",
        other => other,
    }
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

fn word(text: impl Into<String>) -> JsValue {
    JsString::from(text.into()).into()
}
