use std::fmt;
use std::io::Write as _;
use std::sync::OnceLock;

type Sink = Box<dyn Fn(&str) + Send + Sync>;

/// Where lines go instead, in a process that has no log.
static SINK: OnceLock<Sink> = OnceLock::new();

/// One line into `PMRUN_HOME/pmrun.log`, which is the daemon's standard error. Few: what nobody is there to be told.
pub(super) fn line(text: impl fmt::Display) {
    if let Some(sink) = SINK.get() {
        return sink(&text.to_string());
    }
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    // With the log's disk full there is nothing left to say it to.
    let _ = writeln!(std::io::stderr().lock(), "{now} {text}");
}

/// From now on, for as long as this process lives.
pub(super) fn into(sink: Sink) {
    // Only a run in the foreground has one, and there is one of those in a process.
    let _ = SINK.set(sink);
}
