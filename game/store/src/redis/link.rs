//! The connection: one Redis, or a cluster of them.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use redis::{
    Client, Cmd, ConnectionInfo, FromRedisValue, RedisFuture, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    io::tcp::TcpSettings,
};

use super::fault::{Fault, RedisTrouble};
use crate::StoreError;

const FUNCTIONS: &str = include_str!("functions.lua");

/// Where the Redis is: `redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]`, or `redis-cluster://` and nodes of a
/// cluster with commas between them. What is shown of it has neither user nor password.
#[derive(Clone)]
pub struct RedisUrl {
    nodes: Vec<ConnectionInfo>,
    cluster: bool,
}

impl FromStr for RedisUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<RedisUrl, StoreError> {
        // Never the text itself: it may hold a password.
        let wrong = |what: &str| StoreError::Address {
            what: what.to_owned(),
        };
        let (cluster, rest) = match text.split_once("://") {
            Some(("redis", rest)) => (false, rest),
            Some(("redis-cluster", rest)) => (true, rest),
            Some(("rediss", _)) => return Err(wrong("TLS to Redis is not built in; put a tunnel before it")),
            _ => return Err(wrong("it begins with neither redis:// nor redis-cluster://")),
        };
        let (credentials, hosts) = match rest.rsplit_once('@') {
            Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
            None => (String::new(), rest),
        };
        let hosts: Vec<&str> = if cluster {
            hosts.split(',').collect()
        } else {
            vec![hosts]
        };
        let nodes = hosts
            .into_iter()
            .map(|host| {
                let info = ConnectionInfo::from_str(&format!("redis://{credentials}{host}"))
                    .map_err(|error| wrong(&format!("a Redis URL: {error}")))?;
                Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(RedisUrl { nodes, cluster })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, node) in self.nodes.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            write!(f, "{comma}{}", node.addr())?;
        }
        Ok(())
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
        let connect = async {
            let way = if url.cluster {
                let client = ClusterClientBuilder::new(url.nodes.clone())
                    .response_timeout(timeout)
                    .connection_timeout(timeout)
                    .tcp_settings(TcpSettings::default().set_nodelay(true))
                    // Whether a write took place is for the caller to find out.
                    .retries(0)
                    .build()?;
                Way::Cluster(client.get_async_connection().await?)
            } else {
                let [node] = &url.nodes[..] else {
                    return Err(Fault::Store(StoreError::Address {
                        what: "it names no Redis".to_owned(),
                    }));
                };
                let config = ConnectionManagerConfig::new()
                    .set_response_timeout(Some(timeout))
                    .set_connection_timeout(Some(timeout))
                    .set_max_delay(Duration::from_secs(1))
                    // Of each attempt to connect again; the next command begins another.
                    .set_number_of_retries(1);
                let client = Client::open(node.clone())?;
                Way::One(ConnectionManager::new_with_config(client, config).await?)
            };
            Ok(way)
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

/// A field of what `INFO` answers.
fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_never_shows_its_password() {
        let url: RedisUrl = "redis://anna:geheim@example.org:6380/2".parse().unwrap();
        assert_eq!(url.to_string(), "example.org:6380");
        assert!(!format!("{url:?}").contains("geheim"));
        let url: RedisUrl = "redis-cluster://a:1,b:2".parse().unwrap();
        assert_eq!(url.to_string(), "a:1,b:2");
        for wrong in [
            "redis://",
            "http://a",
            "a:1",
            "rediss://a:1",
            "redis://a:port",
            "redis://x:geheim@:::",
        ] {
            let error = wrong.parse::<RedisUrl>().unwrap_err().to_string();
            assert!(error.starts_with("not the address of a journal"), "{error}");
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
