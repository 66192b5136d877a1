//! `reload.lock`: one reload at a time, and the second is told so.

use std::path::PathBuf;

use super::super::error::CliError;
use super::super::{list, surroundings};

/// How old one may be, where `PM2_RELOAD_LOCK_TIMEOUT` does not say otherwise: whoever took it may have been killed.
const STALE_MS: u64 = 30_000;

#[derive(Debug)]
pub(in super::super) struct ReloadLock(PathBuf);

impl ReloadLock {
    pub(in super::super) fn take(force: bool) -> Result<Self, CliError> {
        let path = surroundings::home()?.join("reload.lock");
        let stale_ms = std::env::var("PM2_RELOAD_LOCK_TIMEOUT").ok().and_then(|ms| ms.parse().ok()).unwrap_or(STALE_MS);
        let now = list::now_ms();
        let taken = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let left_ms = taken.map_or(0, |at| at.saturating_add(stale_ms).saturating_sub(now).min(stale_ms));
        if left_ms > 0 && !force {
            return Err(CliError::error(format!(
                "Reload already in progress, please try again in {} seconds or use --force",
                left_ms / 1_000
            )));
        }
        std::fs::write(&path, now.to_string()).map_err(|err| CliError::io("write", &path, &err))?;
        Ok(Self(path))
    }
}

impl Drop for ReloadLock {
    fn drop(&mut self) {
        // Left behind it is stale before long.
        let _ = std::fs::remove_file(&self.0);
    }
}
