//! The dump of a home that the name `pm2` began.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where it is: in the home, unless a variable that PM2 heeds says otherwise.
#[must_use]
pub fn dump_path(home: &Path) -> PathBuf {
    std::env::var_os("PM2_DUMP_FILE_PATH").map_or_else(|| home.join("dump.pm2"), PathBuf::from)
}

/// The one before is kept beside it.
///
/// # Errors
/// The system's.
pub fn write_dump(path: &Path, processes: &Value) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        crate::platform::ensure_home(folder)?;
    }
    let beside = |ending: &str| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        PathBuf::from(beside)
    };
    if path.exists() {
        std::fs::copy(path, beside(".bak"))?;
    }
    let text = serde_json::to_string_pretty(processes)?;
    // It holds the environments of apps.
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(beside(".new"))?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(beside(".new"), path)
}
