//! Turns what a database reports into [`SnapshotError`]: the one place that knows codes.

use sqlx::{error::DatabaseError, mysql::MySqlDatabaseError};
use tokio::time::error::Elapsed;

use super::{OPERATION_TIMEOUT, Store};
use crate::SnapshotError;

/// What went wrong, whoever says so.
enum Trouble {
    ReadOnly,
    NoTable,
    NoColumn,
    Denied,
    Unreachable,
    Other,
}

impl Store {
    pub(super) fn explained<T>(
        &self,
        operation: &'static str,
        outcome: Result<Result<T, sqlx::Error>, Elapsed>,
    ) -> Result<T, SnapshotError> {
        let store = || self.to_string();
        let error = match outcome {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => {
                return Err(SnapshotError::Timeout {
                    store: store(),
                    waited: OPERATION_TIMEOUT,
                });
            }
        };
        let (trouble, what) = match &error {
            sqlx::Error::Database(said) => (trouble(said.as_ref()), said.message().to_owned()),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => (Trouble::Unreachable, error.to_string()),
            _ => (Trouble::Other, error.to_string()),
        };
        let store = store();
        Err(match trouble {
            Trouble::ReadOnly => SnapshotError::ReadOnly { store, what },
            Trouble::NoTable => SnapshotError::NotMigrated { store },
            Trouble::Denied => SnapshotError::Denied { store, what },
            Trouble::Unreachable => SnapshotError::Unreachable { store, what },
            Trouble::NoColumn => SnapshotError::MissingColumn {
                store,
                table: "in question".into(),
                column: what,
            },
            Trouble::Other => SnapshotError::Database {
                store,
                operation,
                what,
            },
        })
    }
}

fn trouble(said: &dyn DatabaseError) -> Trouble {
    if let Some(said) = said.try_downcast_ref::<MySqlDatabaseError>() {
        // https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html; the same in TiDB and MariaDB.
        return match said.number() {
            1290 | 1792 | 1836 => Trouble::ReadOnly,
            1146 => Trouble::NoTable,
            1054 => Trouble::NoColumn,
            1044 | 1045 | 1049 | 1142 | 1227 | 1698 => Trouble::Denied,
            1040 | 1053 | 1077 | 1203 => Trouble::Unreachable,
            _ => Trouble::Other,
        };
    }
    // SQLite's result codes, extended: the low byte is the kind, https://www.sqlite.org/rescode.html
    let code = said.code().and_then(|code| code.parse::<i64>().ok()).unwrap_or(0) & 0xff;
    let message = said.message();
    match code {
        8 => Trouble::ReadOnly,
        14 => Trouble::Unreachable,
        1 if message.starts_with("no such table") => Trouble::NoTable,
        1 if message.starts_with("no such column") || message.contains("has no column named") => {
            Trouble::NoColumn
        }
        _ => Trouble::Other,
    }
}
