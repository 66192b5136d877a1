//! Waits at the sockets of PM2's library, and has somebody answer when one comes. Costs nothing until then.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::log;
use crate::platform::{Door, awaitable, reason};

/// How long it waits before who has ended is started once more: something may be wrong with it.
const PAUSE: Duration = Duration::from_secs(1);

/// None where there is no door: another process has it, or the system gives none.
pub(super) fn attend(home: &Path) -> Option<JoinHandle<()>> {
    match Door::open(home) {
        Ok(door) => Some(tokio::spawn(async move {
            if let Err(error) = wait(&door).await {
                log::line(format_args!(
                    "programs that use PM2's library are not answered any more: {}",
                    reason(&error)
                ));
            }
        })),
        Err(error) => {
            log::line(format_args!("programs that use PM2's library cannot connect: {}", reason(&error)));
            None
        }
    }
}

async fn wait(door: &Door) -> std::io::Result<()> {
    let [asked, told] = door.listeners()?;
    let (asked, told) = (awaitable(asked)?, awaitable(told)?);
    loop {
        // Told once of each who comes: they may be there already.
        while !door.is_knocked_at() {
            tokio::select! {
                guard = asked.readable() => guard?.clear_ready(),
                guard = told.readable() => guard?.clear_ready(),
            }
        }
        let answers = awaitable(door.answer()?)?;
        let _ = answers.readable().await?;
        tokio::time::sleep(PAUSE).await;
    }
}
