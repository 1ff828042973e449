//! The connection: one Redis, or a cluster of them.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use redis::{
    Cmd, FromRedisValue, RedisFuture, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster_async::ClusterConnection,
};
use starvault_redis::{Address, OpenError};

use super::fault::{Fault, RedisTrouble};
use crate::StoreError;

const FUNCTIONS: &str = include_str!("functions.lua");

/// Where the Redis is: an [`Address`], of one or of a cluster. What is shown of it has neither user nor password.
#[derive(Clone)]
pub struct RedisUrl(Address);

impl FromStr for RedisUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<RedisUrl, StoreError> {
        match text.parse() {
            Ok(address) => Ok(RedisUrl(address)),
            Err(wrong) => Err(StoreError::Address {
                what: wrong.to_string(),
            }),
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

/// A connection that comes back by itself after it was lost. Cheap to clone.
#[derive(Clone)]
pub(super) struct Link {
    server: Arc<str>,
    way: Way,
}

#[derive(Clone)]
enum Way {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.server)
    }
}

impl ConnectionLike for Way {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Way::One(one) => one.req_packed_command(cmd),
            Way::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a redis::Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Way::One(one) => one.req_packed_commands(cmd, offset, count),
            Way::Cluster(cluster) => cluster.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Way::One(one) => one.get_db(),
            Way::Cluster(cluster) => cluster.get_db(),
        }
    }
}

impl Link {
    pub(super) async fn open(url: &RedisUrl, timeout: Duration) -> Result<Link, StoreError> {
        let server: Arc<str> = url.to_string().into();
        if url.0.is_in_the_clear() {
            tracing::warn!(redis = %server, "is reached in the clear: whoever carries it can read passwords and games; rediss:// is over TLS");
        }
        let connect = async {
            let way = if url.0.is_cluster() {
                let client = url
                    .0
                    .cluster()
                    .map_err(not_opened)?
                    .response_timeout(timeout)
                    .connection_timeout(timeout)
                    // Whether a write took place is for the caller to find out.
                    .retries(0)
                    .build()?;
                Way::Cluster(client.get_async_connection().await?)
            } else {
                let config = ConnectionManagerConfig::new()
                    .set_response_timeout(Some(timeout))
                    .set_connection_timeout(Some(timeout))
                    .set_max_delay(Duration::from_secs(1))
                    // Of each attempt to connect again; the next command begins another.
                    .set_number_of_retries(1);
                let client = url.0.client().map_err(not_opened)?;
                Way::One(ConnectionManager::new_with_config(client, config).await?)
            };
            Ok::<_, Fault>(way)
        };
        match connect.await {
            Ok(way) => Ok(Link { server, way }),
            Err(fault) => Err(fault.at(&server, "connect")),
        }
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Fault> {
        Ok(cmd.query_async(&mut self.way.clone()).await?)
    }

    /// Several commands in one step.
    pub(super) async fn ask_all<T: FromRedisValue>(&self, pipe: &redis::Pipeline) -> Result<T, Fault> {
        Ok(pipe.query_async(&mut self.way.clone()).await?)
    }

    /// By its own clock, in milliseconds since 1970-01-01 UTC.
    pub(super) async fn now_ms(&self) -> Result<u64, Fault> {
        let (seconds, micros): (u64, u64) = self.ask(&redis::cmd("TIME")).await?;
        Ok(seconds.saturating_mul(1000).saturating_add(micros / 1000))
    }

    /// Names where and while doing what.
    pub(super) fn at(&self, fault: impl Into<Fault>, operation: &'static str) -> StoreError {
        fault.into().at(&self.server, operation)
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.way, Way::Cluster(_))
    }

    /// Checks what it is, and loads the functions. Loading them again changes nothing.
    pub(super) async fn prepare(&self) -> Result<(), Fault> {
        if !self.is_cluster() {
            let info: String = self.ask(redis::cmd("INFO").arg("server")).await?;
            let version = field(&info, "redis_version").unwrap_or("?").to_owned();
            let major: u32 = version
                .split('.')
                .next()
                .and_then(|major| major.parse().ok())
                .unwrap_or_default();
            if major < 7 {
                return Err(RedisTrouble::TooOld(version).into());
            }
            self.warn_of_losses().await?;
        }
        let load = redis::cmd("FUNCTION")
            .arg("LOAD")
            .arg("REPLACE")
            .arg(FUNCTIONS)
            .clone();
        let _: Value = self.ask(&load).await?;
        Ok(())
    }

    /// What this Redis would lose, as far as it tells; a hosted one may not.
    async fn warn_of_losses(&self) -> Result<(), Fault> {
        let info: String = self.ask(redis::cmd("INFO").arg("persistence")).await?;
        if field(&info, "aof_enabled") == Some("0") {
            tracing::warn!(redis = %self.server, "keeps no append-only file: what it acknowledges is lost when it stops");
        } else if let Ok(set) = self.config("appendfsync").await
            && set != "always"
        {
            tracing::warn!(redis = %self.server, appendfsync = set, "a power failure loses what it acknowledged last; appendfsync always loses nothing");
        }
        if let Ok(policy) = self.config("maxmemory-policy").await
            && policy != "noeviction"
        {
            tracing::warn!(redis = %self.server, policy, "throws data away when memory is short; set maxmemory-policy noeviction");
        }
        Ok(())
    }

    async fn config(&self, name: &str) -> Result<String, Fault> {
        let pair: Vec<String> = self.ask(redis::cmd("CONFIG").arg("GET").arg(name)).await?;
        pair.into_iter()
            .nth(1)
            .ok_or_else(|| Fault::Corrupt(format!("no setting {name}")))
    }
}

/// A file that is not there is a mistake of the address and no trouble of the server.
fn not_opened(error: OpenError) -> Fault {
    match error {
        OpenError::Redis(error) => error.into(),
        OpenError::File { .. } => Fault::Store(StoreError::Address {
            what: error.to_string(),
        }),
    }
}

/// A field of what `INFO` answers.
fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}
