//! The file of revoked tokens, read again when it changes. The last list that could be read stays in force.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tminus_identity::{REVOCATIONS_BYTES_MAX, Revocations};
use tokio::{io::AsyncReadExt as _, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::error::StartError;

/// How soon a change counts, at the latest.
const EVERY: Duration = Duration::from_secs(1);

/// The list in force.
#[derive(Debug, Clone)]
pub struct Revoked(watch::Receiver<Arc<Revocations>>);

/// What tells one state of a file from another.
type Mark = (u64, Option<SystemTime>, u64);

impl Revoked {
    /// # Errors
    /// There is a path, and no list at it.
    pub async fn start(
        path: Option<&Path>,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Self, StartError> {
        let Some(path) = path else {
            return Ok(Self(watch::channel(Arc::default()).1));
        };
        let path = path.to_owned();
        let mark = mark(&path).await;
        let list = read(&path).await.map_err(|what| {
            StartError::Credentials(format!(
                "--revocations {}: {what}; an empty file revokes nothing",
                path.display()
            ))
        })?;
        let (publish, list) = watch::channel(Arc::new(list));
        tasks.spawn(follow(path, mark.ok(), publish, stop.clone()));
        Ok(Self(list))
    }

    #[must_use]
    pub fn now(&self) -> Arc<Revocations> {
        self.0.borrow().clone()
    }
}

async fn follow(
    path: PathBuf,
    mut seen: Option<Mark>,
    publish: watch::Sender<Arc<Revocations>>,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let found = mark(&path).await;
        if found.is_ok() && found.as_ref().ok() == seen.as_ref() {
            continue;
        }
        let list = match found {
            Ok(found) => read(&path).await.map(|list| (found, list)),
            Err(what) => Err(what),
        };
        match list {
            Ok((found, list)) => {
                tracing::info!(
                    revocations = list.len(),
                    "the list of revoked tokens was read again"
                );
                (seen, failing) = (Some(found), false);
                publish.send_replace(Arc::new(list));
            }
            // Once, not every second: it may be in the middle of being written.
            Err(what) if !failing => {
                failing = true;
                tracing::error!(path = %path.display(), %what, "the list of revoked tokens stays as it was");
            }
            Err(_) => {}
        }
    }
}

async fn mark(path: &Path) -> Result<Mark, String> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = tokio::fs::metadata(path)
        .await
        .map_err(|error| error.to_string())?;
    Ok((metadata.len(), metadata.modified().ok(), metadata.ino()))
}

async fn read(path: &Path) -> Result<Revocations, String> {
    let file = tokio::fs::File::open(path)
        .await
        .map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    let limit = REVOCATIONS_BYTES_MAX as u64 + 1;
    file.take(limit)
        .read_to_end(&mut text)
        .await
        .map_err(|error| error.to_string())?;
    Revocations::parse(&text).map_err(|error| error.to_string())
}
