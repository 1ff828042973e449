//! The one writing thread of a process, and its group commit.
//!
//! The commit point, in prose: the thread takes the first write that waits, begins a transaction
//! (waiting for other processes), takes everything else that waits by then, does each write, commits
//! once, with one sync, and only then answers them all. A write that can fail after it has written
//! something is done in a savepoint of its own: rolled back to it, it disturbs no other. When the
//! transaction fails, all of them hear it and none has happened.
//!
//! Pacing: a commit costs its sync, whatever is in it, so under load it pays to let writes gather.
//! Writes that can bear it ([`Pace::Gathered`]) wait until [`SqliteOptions::commit_every_ms`] has
//! passed since the last commit, or until [`SqliteOptions::gather_max`] of them are there: a sync shared by
//! so many is cheap enough. On an idle server the last commit is long ago and nobody waits. A write that
//! somebody urgently waits for ([`Pace::Prompt`]) starts the commit and takes the others along.
//!
//! Waking costs more than writing, so each side wakes the other once per commit: the thread rests
//! while writes gather and is not woken by each of them, and the answers of a commit go to the
//! runtime in one piece, where they wake their callers without a system call.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use tracing::{debug, error};

use super::{SqliteOptions, WriterStats, fault::Fault, heads::Heads, schema};
use crate::StoreError;

/// A pause after each commit while more writes wait. Without it a busy process would take the lock
/// again before another one, that polls for it, could.
const YIELD: Duration = Duration::from_micros(500);

/// Whether a write may wait for others to share its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Prompt,
    Gathered,
}

/// How a write is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) pace: Pace,
    /// It may fail of itself when it has written something already. Where this is false and an error of
    /// SQLite comes over it, that spoils the whole transaction.
    pub(super) may_fail_halfway: bool,
}

#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    thread: thread::Thread,
    gather_max: usize,
    counters: Arc<Counters>,
    path: PathBuf,
}

#[derive(Debug, Default)]
struct Counters {
    transactions: AtomicU64,
    writes: AtomicU64,
    /// Writes that were handed in and are in no transaction yet.
    waiting: AtomicUsize,
}

enum Message {
    Write(Box<dyn Job>, Pace),
    Close(oneshot::Sender<()>),
}

impl Writer {
    pub(super) fn start(connection: Connection, path: PathBuf, options: SqliteOptions) -> Writer {
        let (queue, waiting) = mpsc::channel(options.queue_max.max(1));
        let counters = Arc::new(Counters::default());
        let worker = Worker {
            connection,
            heads: Heads::default(),
            waiting,
            options,
            path: path.clone(),
            counters: Arc::clone(&counters),
            last_commit: None,
            runtime: Handle::try_current().ok(),
        };
        // Not joined: it ends by itself once `queue` is dropped, and `close` waits for its last word.
        let thread = thread::Builder::new()
            .name("journal".into())
            .spawn(move || worker.run())
            .expect("the system has room for one thread")
            .thread()
            .clone();
        Writer {
            queue,
            thread,
            gather_max: options.gather_max.clamp(1, options.queue_max.max(1)),
            counters,
            path,
        }
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        How {
            pace,
            may_fail_halfway,
        }: How,
        work: impl FnOnce(&Connection, &mut Heads) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Closed {
            path: self.path.clone(),
        };
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Task {
            operation,
            may_fail_halfway,
            work: Some(work),
            result: None,
            reply,
        });
        let place = self.queue.reserve().await.map_err(|_| closed())?;
        // Counted first: the thread takes off what it has seen.
        let waiting = self.counters.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        place.send(Message::Write(job, pace));
        if pace == Pace::Prompt || waiting >= self.gather_max {
            // It may be letting others gather.
            self.thread.unpark();
        }
        answer.await.map_err(|_| closed())?
    }

    pub(super) fn stats(&self) -> WriterStats {
        WriterStats {
            transactions: self.counters.transactions.load(Ordering::Relaxed),
            writes: self.counters.writes.load(Ordering::Relaxed),
        }
    }

    pub(super) async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).await.is_ok() {
            // An error means that the thread has gone already, which is what was asked for.
            self.thread.unpark();
            let _ = done.await;
        }
    }
}

/// One write, whatever its result's type.
trait Job: Send {
    /// Does the work and keeps the result. An error spoils the whole transaction.
    fn run(&mut self, connection: &Connection, heads: &mut Heads, path: &Path) -> Result<(), StoreError>;
    /// Tells the caller the kept result, or the error that came over the transaction.
    fn answer(self: Box<Self>, transaction: Result<(), StoreError>);
}

struct Task<T, F> {
    operation: &'static str,
    may_fail_halfway: bool,
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&Connection, &mut Heads) -> Result<T, Fault> + Send,
{
    fn run(&mut self, connection: &Connection, heads: &mut Heads, path: &Path) -> Result<(), StoreError> {
        if self.reply.is_closed() {
            // Nobody waits for it any more, as after a deadline: what has not begun is not begun.
            return Ok(());
        }
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        let failed = |error: rusqlite::Error| Fault::from(error).at(path, "write");
        if self.may_fail_halfway {
            say(connection, "SAVEPOINT one_write").map_err(failed)?;
        }
        let result = work(connection, heads);
        let spoils = match &result {
            Ok(_) => false,
            Err(Fault::Sql(_)) if !self.may_fail_halfway => true,
            Err(fault) => fault.spoils_the_transaction(),
        };
        let result = result.map_err(|fault| fault.at(path, self.operation));
        if let Err(error) = &result {
            // It may have been told what is now undone.
            heads.clear();
            if spoils {
                return Err(error.clone());
            }
        }
        if self.may_fail_halfway {
            if result.is_err() {
                say(connection, "ROLLBACK TO one_write").map_err(failed)?;
            }
            say(connection, "RELEASE one_write").map_err(failed)?;
        }
        self.result = Some(result);
        Ok(())
    }

    fn answer(self: Box<Self>, transaction: Result<(), StoreError>) {
        let result = match (transaction, self.result) {
            (Err(error), _) => Err(error),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::Invalid {
                what: "a write was committed undone".into(),
            }),
        };
        // Who has stopped waiting finds out by asking again.
        let _ = self.reply.send(result);
    }
}

/// What a commit has to tell its callers. Told when it is dropped: on the runtime, or on the way
/// there if the runtime has ended.
struct Answers {
    jobs: Vec<Box<dyn Job>>,
    transaction: Result<(), StoreError>,
}

impl Drop for Answers {
    fn drop(&mut self) {
        for job in self.jobs.drain(..) {
            job.answer(self.transaction.clone());
        }
    }
}

struct Worker {
    connection: Connection,
    heads: Heads,
    waiting: mpsc::Receiver<Message>,
    options: SqliteOptions,
    path: PathBuf,
    counters: Arc<Counters>,
    last_commit: Option<Instant>,
    /// Where the journal was opened, if that was on a runtime; answers are told there.
    runtime: Option<Handle>,
}

impl Worker {
    fn run(mut self) {
        let mut closers = Vec::new();
        while let Some(message) = self.waiting.blocking_recv() {
            match message {
                Message::Close(reply) => {
                    // What was queued before is still done: the loop ends when the queue is empty.
                    self.waiting.close();
                    closers.push(reply);
                }
                Message::Write(first, pace) => self.commit(first, pace, &mut closers),
            }
        }
        if let Err((_, source)) = self.connection.close() {
            error!(journal = %self.path.display(), %source, "closing the journal failed; its log is played back at the next start");
        }
        for reply in closers {
            let _ = reply.send(());
        }
    }

    /// Commits `first` and what waits behind it.
    fn commit(&mut self, first: Box<dyn Job>, pace: Pace, closers: &mut Vec<oneshot::Sender<()>>) {
        let mut batch = vec![first];
        let gathered = self.gather(&mut batch, pace, closers);
        self.counters.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        let outcome = self.transact(&mut batch, closers);
        match &outcome {
            Ok(()) => {
                self.counters.transactions.fetch_add(1, Ordering::Relaxed);
                self.counters
                    .writes
                    .fetch_add(batch.len() as u64, Ordering::Relaxed);
                debug!(writes = batch.len(), "committed");
            }
            Err(source) => {
                self.heads.clear();
                error!(writes = batch.len(), %source, "a transaction failed");
            }
        }
        let answers = Answers {
            jobs: batch,
            transaction: outcome,
        };
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(async move { drop(answers) })),
            None => drop(answers),
        }
        self.rest(gathered);
    }

    /// Lets the next writes gather, and other processes have the lock. `gathered`: results of commands
    /// are coming.
    fn rest(&mut self, gathered: bool) {
        let committed = Instant::now();
        self.last_commit = Some(committed);
        // A close that came with this commit is not going to wake anybody again.
        if gathered && !self.waiting.is_closed() {
            // Ended early by a prompt write or by a close.
            thread::park_timeout(Duration::from_millis(self.options.commit_every_ms));
        }
        if !self.waiting.is_empty() {
            thread::sleep(YIELD.saturating_sub(committed.elapsed()));
        }
    }

    /// Lets writes gather while all of them can bear it. No lock is held meanwhile. Whether any of
    /// them could.
    fn gather(
        &mut self,
        batch: &mut Vec<Box<dyn Job>>,
        mut pace: Pace,
        closers: &mut Vec<oneshot::Sender<()>>,
    ) -> bool {
        let mut gathered = pace == Pace::Gathered;
        let every = Duration::from_millis(self.options.commit_every_ms);
        let Some(due) = self.last_commit.map(|last| last + every) else {
            return gathered;
        };
        loop {
            while batch.len() < self.options.batch_max {
                match self.waiting.try_recv() {
                    Ok(Message::Write(job, its_pace)) => {
                        batch.push(job);
                        match its_pace {
                            Pace::Prompt => pace = Pace::Prompt,
                            Pace::Gathered => gathered = true,
                        }
                    }
                    Ok(Message::Close(reply)) => {
                        self.waiting.close();
                        closers.push(reply);
                        pace = Pace::Prompt;
                    }
                    Err(_) => break,
                }
            }
            let left = due.saturating_duration_since(Instant::now());
            let enough = batch.len() >= self.options.gather_max.min(self.options.batch_max);
            if pace == Pace::Prompt || enough || left.is_zero() {
                return gathered;
            }
            thread::park_timeout(left);
        }
    }

    fn transact(
        &mut self,
        batch: &mut Vec<Box<dyn Job>>,
        closers: &mut Vec<oneshot::Sender<()>>,
    ) -> Result<(), StoreError> {
        let failed = |error: rusqlite::Error| Fault::from(error).at(&self.path, "commit");
        let transaction = Open::begin(&self.connection, &self.path, self.options.busy_timeout_ms)?;
        self.heads.begin(&self.connection).map_err(failed)?;
        let mut done = 0;
        loop {
            while let Some(job) = batch.get_mut(done) {
                job.run(&self.connection, &mut self.heads, &self.path)?;
                done += 1;
            }
            if batch.len() >= self.options.batch_max {
                break;
            }
            match self.waiting.try_recv() {
                Ok(Message::Write(job, _)) => {
                    self.counters.waiting.fetch_sub(1, Ordering::Relaxed);
                    batch.push(job);
                }
                Ok(Message::Close(reply)) => {
                    self.waiting.close();
                    closers.push(reply);
                }
                Err(_) => break,
            }
        }
        transaction.commit().map_err(failed)
    }
}

/// A transaction that is rolled back unless it is committed. The library's own would have each of
/// its statements parsed anew, every time.
struct Open<'c>(&'c Connection);

impl Open<'_> {
    fn begin<'c>(
        connection: &'c Connection,
        path: &Path,
        busy_timeout_ms: u64,
    ) -> Result<Open<'c>, StoreError> {
        let patience = schema::Patience::new(busy_timeout_ms);
        patience
            .retry(|| say(connection, "BEGIN IMMEDIATE"))
            .map_err(|error| patience.explain(error, path, "begin a transaction"))?;
        Ok(Open(connection))
    }

    fn commit(self) -> rusqlite::Result<()> {
        say(self.0, "COMMIT")
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // Committed, or rolled back by SQLite itself after a failure such as a full disk.
        if self.0.is_autocommit() {
            return;
        }
        if let Err(error) = say(self.0, "ROLLBACK") {
            error!(%error, "a transaction cannot be rolled back");
        }
    }
}

fn say(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
