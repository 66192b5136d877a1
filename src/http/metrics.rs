//! For Prometheus and whoever reads its format.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::source::Instance;

pub(super) const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The format that was there before, for all who do not say that they take the other.
pub(super) const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// By what a scraper accepts: it has to name OpenMetrics, and prefer the older format no more than that.
pub(super) fn takes_openmetrics(accept: &str) -> bool {
    let weight = |kind: &str| {
        let ranges = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(kind));
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |weight| weight.parse().ok());
            weight.filter(|_| is_it)
        });
        ranges.fold(0.0, f32::max)
    };
    let openmetrics = weight("application/openmetrics-text");
    openmetrics > 0.0 && openmetrics >= weight("text/plain")
}

/// The same in the older format: a counter's family is called as its samples are, and nothing says units or the end.
pub(super) fn plain(text: &str) -> String {
    let words = |line: &str| -> Option<(String, String, String)> {
        let mut words = line.strip_prefix("# ")?.splitn(3, ' ').map(str::to_owned);
        Some((words.next()?, words.next()?, words.next()?))
    };
    let counters: Vec<String> = text
        .lines()
        .filter_map(words)
        .filter(|(what, _, kind)| what == "TYPE" && kind == "counter")
        .map(|(_, name, _)| name)
        .collect();
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        match words(line) {
            Some((what, name, rest)) if matches!(what.as_str(), "HELP" | "TYPE") => {
                let total = if counters.contains(&name) { "_total" } else { "" };
                plain.extend(["# ", &what, " ", &name, total, " ", &rest, "\n"]);
            }
            _ if line.starts_with('#') => {}
            _ => plain.extend([line, "\n"]),
        }
    }
    plain
}

type Labels = Vec<(String, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;
type Counters = Family<Labels, Counter<f64, AtomicU64>>;

/// What an instance may be; each is there with 0 or 1, so that a state that was left is not missing but over.
const STATES: [&str; 8] = ["online", "starting", "stopping", "stopped", "waiting", "unhealthy", "errored", "completed"];

/// None where no daemon answers.
pub(super) fn text(instances: Option<&[Instance]>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("pmrun");
    let up = Gauge::<i64>::default();
    up.set(i64::from(instances.is_some()));
    registry.register("up", "Whether the daemon answers", up);
    let info = Gauges::default();
    info.get_or_create(&vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]).set(1.0);
    registry.register("build_info", "Which pmrun this is", info);
    let (state, memory, processes, started) =
        (Gauges::default(), Gauges::default(), Gauges::default(), Gauges::default());
    let (restarts, cpu) = (Counters::default(), Counters::default());
    for Instance { view, load } in instances.unwrap_or_default() {
        let labels: Labels = [
            ("app", view.name.clone()),
            ("instance", view.slot.to_string()),
            ("namespace", view.namespace.clone()),
            ("id", view.id.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for word in STATES {
            let mut labels = labels.clone();
            labels.push(("state".to_owned(), word.to_owned()));
            state.get_or_create(&labels).set(f64::from(u8::from(view.state == word)));
        }
        restarts.get_or_create(&labels).inc_by(f64::from(view.restarts));
        if let Some(load) = load {
            memory.get_or_create(&labels).set(float(load.memory_bytes));
            processes.get_or_create(&labels).set(f64::from(load.processes));
            cpu.get_or_create(&labels).inc_by(float(load.cpu_ms) / 1_000.0);
        }
        if let Some(ms) = view.started_at_ms.filter(|_| view.pid.is_some()) {
            started.get_or_create(&labels).set(float(ms) / 1_000.0);
        }
    }
    registry.register("instance_state", "1 for the state that the instance is in", state);
    registry.register("instance_restarts", "Times it was started again", restarts);
    registry.register_with_unit(
        "instance_memory",
        "Resident memory of the process and all that it has started",
        Unit::Bytes,
        memory,
    );
    registry.register_with_unit(
        "instance_cpu",
        "Time on processors of the process and all that it has started",
        Unit::Seconds,
        cpu,
    );
    registry.register("instance_processes", "How many processes it is", processes);
    registry.register_with_unit("instance_start_time", "When it was started, since 1970", Unit::Seconds, started);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[expect(clippy::cast_precision_loss, reason = "the format's numbers are these")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::source::Load;
    use crate::rpc::wire::InstanceView;

    #[test]
    fn who_does_not_name_openmetrics_has_the_older_format() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, want) in [
            ("", false),
            ("*/*", false),
            ("text/plain;version=0.0.4", false),
            ("application/openmetrics-text; version=1.0.0", true),
            (prometheus, true),
            ("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.5", false),
            ("application/openmetrics-text;q=0", false),
        ] {
            assert_eq!(takes_openmetrics(accept), want, "{accept}");
        }
    }

    #[test]
    fn names_have_their_units_and_values_what_was_seen() {
        let mut view = InstanceView::sample(3, "a\"b\n", 1);
        (view.pid, view.restarts, view.state) = (Some(7), 2, "online".to_owned());
        view.started_at_ms = Some(1_500);
        let load = Load { memory_bytes: 1_024, cpu_percent: 1.0, cpu_ms: 2_500, processes: 2 };
        let text = text(Some(&[Instance { view, load: Some(load) }])).unwrap();
        let labels = r#"{app="a\"b\n",instance="1",namespace="default",id="3"}"#;
        for line in [
            "pmrun_up 1".to_owned(),
            format!("pmrun_instance_restarts_total{labels} 2.0"),
            format!("pmrun_instance_memory_bytes{labels} 1024.0"),
            format!("pmrun_instance_cpu_seconds_total{labels} 2.5"),
            format!("pmrun_instance_start_time_seconds{labels} 1.5"),
            "# EOF".to_owned(),
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert_eq!(text.matches("state=\"").count(), STATES.len());
        let plain = plain(&text);
        for line in [
            "# TYPE pmrun_instance_restarts_total counter".to_owned(),
            "# HELP pmrun_instance_restarts_total Times it was started again.".to_owned(),
            "# TYPE pmrun_instance_memory_bytes gauge".to_owned(),
            format!("pmrun_instance_restarts_total{labels} 2.0"),
        ] {
            assert!(plain.lines().any(|known| known == line), "{line}\n{plain}");
        }
        assert!(!plain.contains("# EOF") && !plain.contains("# UNIT"), "{plain}");
        assert!(super::text(None).unwrap().contains("pmrun_up 0"));
    }
}
