//! The way to Redis.

use std::{fmt, str::FromStr, time::Duration};

use redis::{
    AsyncConnectionConfig, Client,
    aio::{MultiplexedConnection, PubSub},
};
use starvault_redis::{Address, AddressError};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(2);
/// Until a command is answered. Every command here is short.
const ANSWER: Duration = Duration::from_secs(1);

/// Where Redis is: one, and no cluster. Shown without the password that it may hold.
#[derive(Clone)]
pub struct RedisUrl(Address);

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.0.is_over_tls() { "rediss" } else { "redis" };
        write!(f, "{scheme}://{}", self.0)
    }
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address: Address = text.parse().map_err(|wrong: AddressError| wrong.to_string())?;
        if address.is_cluster() {
            return Err("a single Redis is wanted here, and no cluster".to_owned());
        }
        Ok(Self(address))
    }
}

/// Why there is no way to Redis.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach Redis at {url}: {source}; start it, or give another address")]
pub struct ConnectError {
    url: String,
    source: Box<redis::RedisError>,
}

impl RedisUrl {
    /// A client that has not connected yet, for whoever keeps connections of its own.
    ///
    /// # Errors
    /// The address is none that the client takes.
    pub fn client(&self) -> redis::RedisResult<Client> {
        Ok(self.0.client()?)
    }

    /// A connection for commands.
    pub(crate) async fn connect(&self) -> Result<MultiplexedConnection, ConnectError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let connecting = async {
            let client = self.client()?;
            client.get_multiplexed_async_connection_with_config(&config).await
        };
        connecting.await.map_err(|source| self.failed(source))
    }

    /// A connection of its own for what others publish.
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<PubSub, ConnectError> {
        let subscribing = async {
            let client = self.client()?;
            let mut subscription = client.get_async_pubsub().await?;
            subscription.subscribe(channel).await?;
            Ok(subscription)
        };
        match tokio::time::timeout(CONNECT, subscribing).await {
            Ok(subscribed) => subscribed.map_err(|source| self.failed(source)),
            Err(_) => Err(self.failed(std::io::Error::from(std::io::ErrorKind::TimedOut).into())),
        }
    }

    fn failed(&self, source: redis::RedisError) -> ConnectError {
        ConnectError {
            url: self.to_string(),
            source: Box::new(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let url: RedisUrl = "redis://me:s3cret@10.0.0.1:6380".parse().unwrap();
        assert_eq!(url.to_string(), "redis://10.0.0.1:6380");
        assert_eq!(format!("{url:?}"), "redis://10.0.0.1:6380");
        let url: RedisUrl = "rediss://me:s3cret@10.0.0.1:6380?cacert=ca.pem".parse().unwrap();
        assert_eq!(url.to_string(), "rediss://10.0.0.1:6380");
        for wrong in [
            "",
            "10.0.0.1:6379",
            "http://s3cret@x",
            "redis://:s3cret@",
            "redis-cluster://:s3cret@a:1",
        ] {
            let error = wrong.parse::<RedisUrl>().unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
