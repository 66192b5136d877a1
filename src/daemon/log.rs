use std::fmt;
use std::io::Write as _;

/// One line into `PMRUN_HOME/pmrun.log`, which is the daemon's standard error. Few: what nobody is there to be told.
pub(super) fn line(text: impl fmt::Display) {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    // With the log's disk full there is nothing left to say it to.
    let _ = writeln!(std::io::stderr().lock(), "{now} {text}");
}
