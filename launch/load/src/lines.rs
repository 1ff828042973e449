//! Logs of one JSON object per line: of what players were told is durable
//! (`{"game_id","command_id","sequence","player_id"}`, which a journal check reads), and of
//! [what they observed](crate::history).
//!
//! Owns the file and one writer task. Never drops a line: a full queue makes players wait, and a
//! disk that fails ends the run with an error.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncWriteExt as _, BufWriter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::LoadError;

const LINES_QUEUED_MAX: usize = 8192;
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// A command that was acknowledged.
#[derive(Debug, Serialize)]
pub(crate) struct Acknowledged {
    pub game_id: String,
    pub command_id: String,
    pub sequence: u32,
    pub player_id: String,
}

#[derive(Debug)]
pub(crate) struct LineLog<L> {
    lines: mpsc::Sender<L>,
}

pub(crate) struct Writer {
    path: PathBuf,
    close: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

/// Creates the file (an existing one is replaced) and starts its writer.
pub(crate) async fn open<L: Serialize + Send + 'static>(
    path: &Path,
) -> Result<(LineLog<L>, Writer), LoadError> {
    let failed = |source| LoadError::Log {
        path: path.to_owned(),
        source,
    };
    let file = tokio::fs::File::create(path).await.map_err(failed)?;
    let (lines, inbox) = mpsc::channel(LINES_QUEUED_MAX);
    let close = CancellationToken::new();
    let task = tokio::spawn(write(
        BufWriter::with_capacity(64 * 1024, file),
        inbox,
        close.clone(),
    ));
    Ok((
        LineLog { lines },
        Writer {
            path: path.to_owned(),
            close,
            task,
        },
    ))
}

impl<L> LineLog<L> {
    /// Waits when the disk is behind. A writer that has failed is reported by [`Writer::finish`].
    pub async fn append(&self, line: L) {
        let _ = self.lines.send(line).await;
    }
}

impl Writer {
    /// Takes no more lines; returns when all that were taken are on the disk.
    pub async fn finish(self) -> Result<(), LoadError> {
        self.close.cancel();
        match self.task.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(LoadError::Log {
                path: self.path,
                source,
            }),
            Err(panic) => Err(LoadError::Generator(panic.to_string())),
        }
    }
}

async fn write<L: Serialize>(
    mut file: BufWriter<tokio::fs::File>,
    mut inbox: mpsc::Receiver<L>,
    close: CancellationToken,
) -> std::io::Result<()> {
    let mut flush = tokio::time::interval(FLUSH_EVERY);
    loop {
        tokio::select! {
            line = inbox.recv() => match line {
                Some(line) => {
                    let mut json = serde_json::to_vec(&line)?;
                    json.push(b'\n');
                    file.write_all(&json).await?;
                }
                None => break,
            },
            _ = flush.tick() => file.flush().await?,
            () = close.cancelled(), if !inbox.is_closed() => inbox.close(),
        }
    }
    file.flush().await?;
    file.into_inner().sync_all().await
}
