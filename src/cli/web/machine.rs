//! What PM2 says of the machine, in the words of Node's `os`.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

/// `system_info` and `monit`.
pub(super) fn facts() -> (Value, Value) {
    let memory = memory(&read("/proc/meminfo"));
    let loads: Vec<f64> = read("/proc/loadavg").split(' ').take(3).filter_map(|load| load.parse().ok()).collect();
    let uptime: f64 = read("/proc/uptime").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let name = read("/proc/sys/kernel/hostname");
    let monit = json!({
        "loadavg": loads,
        "total_mem": memory.0,
        "free_mem": memory.1,
        "cpu": processors(&read("/proc/stat"), &read("/proc/cpuinfo")),
        "interfaces": interfaces(),
    });
    (json!({ "hostname": name.trim(), "uptime": uptime }), monit)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Total and free, in bytes.
fn memory(text: &str) -> (u64, u64) {
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let bytes = |name: &str| field(name).unwrap_or(0) << 10;
    (bytes("MemTotal"), bytes("MemAvailable"))
}

fn processors(stat: &str, info: &str) -> Vec<Value> {
    let field = |line: &str, name: &str| Some(line.strip_prefix(name)?.split_once(':')?.1.trim().to_owned());
    let model = info.lines().find_map(|line| field(line, "model name")).unwrap_or_else(|| "unknown".to_owned());
    let speeds: Vec<f64> =
        info.lines().filter_map(|line| field(line, "cpu MHz")).filter_map(|mhz| mhz.parse().ok()).collect();
    let lines = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
    let processor = |(at, line): (usize, &str)| {
        let ticks: Vec<u64> = line.split_ascii_whitespace().skip(1).filter_map(|part| part.parse().ok()).collect();
        // A tick is ten milliseconds; Node leaves out what waits for disks.
        let ms = |place: usize| ticks.get(place).copied().unwrap_or(0) * 10;
        json!({
            "model": model,
            "speed": speeds.get(at).copied().unwrap_or(0.0).round(),
            "times": { "user": ms(0), "nice": ms(1), "sys": ms(2), "idle": ms(3), "irq": ms(5) },
        })
    };
    lines.enumerate().map(processor).collect()
}

/// The addresses of each, as far as files say them: those that routes of this machine lead to.
fn interfaces() -> BTreeMap<String, Value> {
    let names = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let six = read("/proc/net/if_inet6");
    names
        .map(|name| {
            let mac = read(&format!("/sys/class/net/{name}/address")).trim().to_owned();
            let of_six = six.lines().filter_map(|line| address(line, &name));
            let addresses: Vec<Value> = of_six
                .map(|(address, bits)| {
                    json!({
                        "address": address, "family": "IPv6", "mac": mac, "internal": name == "lo",
                        "cidr": format!("{address}/{bits}"),
                    })
                })
                .collect();
            (name, json!(addresses))
        })
        .collect()
}

/// Of a line of `/proc/net/if_inet6`, where it is that interface's.
fn address(line: &str, name: &str) -> Option<(std::net::Ipv6Addr, u32)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [digits, _, bits, .., of] = fields[..] else { return None };
    (of == name).then_some(())?;
    Some((u128::from_str_radix(digits, 16).ok()?.into(), u32::from_str_radix(bits, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described_as_node_does() {
        let stat = "cpu  1 2 3 4 5 6\ncpu0 10 0 5 100 7 1 0 0\ncpu1 20 0 5 100 7 1 0 0\nintr 1\n";
        let info = "processor\t: 0\nmodel name\t: Some CPU\ncpu MHz\t\t: 2400.4\nprocessor : 1\nmodel name : x\ncpu MHz : 1200\n";
        let found = processors(stat, info);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0],
            json!({ "model": "Some CPU", "speed": 2400.0, "times": { "user": 100, "nice": 0, "sys": 50, "idle": 1000, "irq": 10 } })
        );
        assert_eq!(memory("MemTotal:       100 kB\nMemAvailable:  50 kB\n"), (102_400, 51_200));
        let line = "00000000000000000000000000000001 01 80 10 80       lo";
        assert_eq!(
            address(line, "lo").map(|(address, bits)| (address.to_string(), bits)),
            Some(("::1".to_owned(), 128))
        );
        assert_eq!(address(line, "eth0"), None);
        let (system, monit) = facts();
        assert!(
            system["uptime"].as_f64().unwrap() > 0.0 && monit["total_mem"].as_u64().unwrap() > 0,
            "{system} {monit}"
        );
    }
}
