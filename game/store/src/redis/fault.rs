//! Turns what Redis reports into [`StoreError`]: the one place that knows its codes.

use redis::{ErrorKind, RedisError};

use crate::StoreError;

/// What is wrong with a Redis, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisTrouble {
    #[error(
        "it cannot be reached: {0}; whether the last writes took place is not known, repeating them tells"
    )]
    Unreachable(String),
    #[error(
        "it did not answer in time; whether the last writes took place is not known, repeating them tells"
    )]
    Slow,
    #[error("it is loading its data; wait, nothing acknowledged is lost")]
    Loading,
    #[error(
        "it is out of memory (maxmemory); give it more or remove what is not ours, nothing acknowledged is lost"
    )]
    OutOfMemory,
    #[error("it cannot write to its disk ({0}); free some space, nothing acknowledged is lost")]
    Disk(String),
    #[error("it is a read-only replica; give the address of the primary")]
    ReadOnly,
    #[error("it is a node of a Redis Cluster; give its address as redis-cluster://HOST:PORT")]
    Cluster,
    #[error("its cluster is down or being rearranged ({0}); try again")]
    ClusterDown(String),
    #[error("it refuses this user ({0}); check the name and the password in the URL, and the user's rights")]
    Denied(String),
    #[error(
        "it has lost what was in it: the functions that were loaded at the start are gone; stop every server, and see docs/state.md, \"Redis is lost\""
    )]
    Lost,
    #[error("it is Redis {0}; functions need 7.0 or later")]
    TooOld(String),
    #[error("what lies in it is not ours or of another time: {0}")]
    Foreign(String),
    #[error(
        "what lies in it is damaged: {0}; stop every server, keep a copy, and run `starvault journal check`"
    )]
    Corrupt(String),
    #[error("the profile of player {0} changes faster than it can be written; try again")]
    Contended(String),
    #[error("game {0} was called off because its creation took too long; begin another one")]
    CalledOff(String),
    #[error("it answers: {0}")]
    Other(String),
}

impl RedisTrouble {
    pub(super) fn of(error: &RedisError) -> RedisTrouble {
        let detail = || error.detail().unwrap_or_default().to_owned();
        match error.code() {
            Some("LOADING") => return RedisTrouble::Loading,
            Some("OOM") => return RedisTrouble::OutOfMemory,
            Some("READONLY") => return RedisTrouble::ReadOnly,
            Some("MOVED" | "ASK" | "CROSSSLOT") => return RedisTrouble::Cluster,
            Some("MISCONF") => return RedisTrouble::Disk(detail()),
            Some("NOAUTH" | "WRONGPASS" | "NOPERM") => return RedisTrouble::Denied(detail()),
            Some("CLUSTERDOWN" | "TRYAGAIN" | "MASTERDOWN") => return RedisTrouble::ClusterDown(detail()),
            _ => {}
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            RedisTrouble::Denied(detail())
        } else if error.is_timeout() {
            RedisTrouble::Slow
        } else if error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal() {
            RedisTrouble::Unreachable(error.to_string())
        } else if error.to_string().contains("Function not found") {
            RedisTrouble::Lost
        } else {
            RedisTrouble::Other(error.to_string())
        }
    }
}

/// Inside an operation, before it is known which Redis it was.
#[derive(Debug)]
pub(super) enum Fault {
    Redis(RedisError),
    Store(StoreError),
    Trouble(RedisTrouble),
    Corrupt(String),
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Fault {
        Fault::Redis(error)
    }
}

impl From<RedisTrouble> for Fault {
    fn from(trouble: RedisTrouble) -> Fault {
        Fault::Trouble(trouble)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::Store(error)
    }
}

impl Fault {
    pub(super) fn at(self, server: &str, operation: &'static str) -> StoreError {
        let trouble = match self {
            Fault::Store(error) => return error,
            Fault::Redis(error) => RedisTrouble::of(&error),
            Fault::Trouble(trouble) => trouble,
            Fault::Corrupt(what) => RedisTrouble::Corrupt(what),
        };
        StoreError::Redis {
            server: server.to_owned(),
            operation,
            trouble,
        }
    }
}
