//! Turns what SQLite reports into [`StoreError`]: the one place that knows its codes.

use std::{path::Path, sync::Arc};

use rusqlite::ErrorCode;

use crate::StoreError;

/// An error inside an operation, before it is known which file it was.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(rusqlite::Error),
    /// The caller's mistake, or something that is not there: concerns this operation alone.
    Store(StoreError),
    /// What was read cannot be.
    Corrupt(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::Store(error)
    }
}

impl Fault {
    pub(crate) fn invalid(what: impl Into<String>) -> Fault {
        Fault::Store(StoreError::Invalid { what: what.into() })
    }

    /// Whether the connection, and so everything else in the transaction, is in doubt.
    pub(crate) fn spoils_the_transaction(&self) -> bool {
        match self {
            Fault::Sql(error) => error
                .sqlite_error_code()
                .is_some_and(|code| code != ErrorCode::ConstraintViolation),
            Fault::Store(_) | Fault::Corrupt(_) => false,
        }
    }

    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Fault::Sql(error) => {
                matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                ) || is_misread(error)
            }
            Fault::Corrupt(_) => true,
            Fault::Store(_) => false,
        }
    }

    pub(crate) fn at(self, path: &Path, operation: &'static str) -> StoreError {
        let path = path.to_owned();
        let error = match self {
            Fault::Store(error) => return error,
            Fault::Corrupt(what) => return StoreError::Corrupt { path, what },
            Fault::Sql(error) => error,
        };
        match error.sqlite_error_code() {
            _ if is_misread(&error) => StoreError::Corrupt {
                path,
                what: error.to_string(),
            },
            Some(ErrorCode::NotADatabase) => StoreError::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => StoreError::Corrupt {
                path,
                what: error.to_string(),
            },
            Some(ErrorCode::DiskFull) => StoreError::DiskFull { path },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::NotWritable { path },
            Some(ErrorCode::CannotOpen) => StoreError::Open {
                path,
                source: Arc::new(error),
            },
            _ => StoreError::Sqlite {
                path,
                operation,
                source: Arc::new(error),
            },
        }
    }
}

/// A column holds another type than the schema says.
fn is_misread(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
    )
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn every_trouble_of_an_operator_has_its_own_error_that_says_what_to_do() {
        let check = |code: i32, expect: &str| {
            let fault = Fault::Sql(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
            let says = fault
                .at(Path::new("/data/j.sqlite"), "append to a game")
                .to_string();
            assert!(
                says.contains("/data/j.sqlite") && says.contains(expect),
                "{code}: {says}"
            );
        };
        check(ffi::SQLITE_FULL, "free some space");
        check(ffi::SQLITE_READONLY, "check the permissions");
        check(ffi::SQLITE_READONLY_DIRECTORY, "check the permissions");
        check(ffi::SQLITE_NOTADB, "is not a database");
        check(ffi::SQLITE_CORRUPT, "journal check");
        check(ffi::SQLITE_CANTOPEN, "folder exists");
        check(ffi::SQLITE_IOERR_FSYNC, "failed to append to a game");
    }
}
