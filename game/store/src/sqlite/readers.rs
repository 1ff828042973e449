//! Reads, beside the writer, on a few connections of their own.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::Connection;
use tokio::{sync::Semaphore, task};

use super::{SqliteOptions, fault::Fault, schema};
use crate::StoreError;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    /// At most as many as there are permits.
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, options: SqliteOptions) -> Readers {
        let permits = Arc::new(Semaphore::new(options.readers_max.max(1)));
        Readers {
            path,
            permits,
            idle: Arc::default(),
        }
    }

    /// Runs `work` on a connection of the pool, off the runtime's threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Closed {
            path: self.path.clone(),
        };
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| closed())?;
        let (path, permits, idle) = (
            self.path.clone(),
            Arc::clone(&self.permits),
            Arc::clone(&self.idle),
        );
        let read = move || {
            let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match pooled {
                Some(connection) => connection,
                None => schema::open_to_read(&path)?,
            };
            let result = work(&connection).map_err(|fault| fault.at(&path, operation));
            if !permits.is_closed() {
                idle.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(connection);
            }
            drop(permit);
            result
        };
        task::spawn_blocking(read).await.map_err(|_| closed())?
    }

    /// Runs `work` here and now, for what takes less time than to have it done by another thread. `None`
    /// if no connection is free, or the file is locked.
    pub(super) fn read_now<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Option<Result<T, StoreError>> {
        let _permit = self.permits.try_acquire().ok()?;
        let connection = self.idle().pop()?;
        let read = || {
            connection.busy_timeout(Duration::ZERO)?;
            let read = work(&connection);
            connection.busy_timeout(schema::READ_TIMEOUT)?;
            read
        };
        let read = read();
        self.idle().push(connection);
        match read {
            Err(Fault::Sql(error)) if schema::is_busy(&error) => None,
            read => Some(read.map_err(|fault| fault.at(&self.path, operation))),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }
}
