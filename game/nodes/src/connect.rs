//! The way to Redis.

use std::{fmt, str::FromStr, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo as _,
    aio::{MultiplexedConnection, PubSub},
    io::tcp::TcpSettings,
};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(2);
/// Until a command is answered. Every command here is short.
const ANSWER: Duration = Duration::from_secs(1);

/// Where Redis is. Shown without the password that it may hold.
#[derive(Clone)]
pub struct RedisUrl(ConnectionInfo);

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis://{}", self.0.addr())
    }
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The library's own message may quote what it was given, a password included.
        let wrong = || "Redis is redis://HOST:PORT or redis://USER:PASSWORD@HOST:PORT".to_owned();
        if !text.starts_with("redis://") {
            return Err(wrong());
        }
        let info = text.into_connection_info().map_err(|_| wrong())?;
        Ok(Self(
            info.set_tcp_settings(TcpSettings::default().set_nodelay(true)),
        ))
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
        Client::open(self.0.clone())
    }

    /// A connection for commands.
    pub(crate) async fn connect(&self) -> Result<MultiplexedConnection, ConnectError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let connecting = async {
            let client = Client::open(self.0.clone())?;
            client.get_multiplexed_async_connection_with_config(&config).await
        };
        connecting.await.map_err(|source| self.failed(source))
    }

    /// A connection of its own for what others publish.
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<PubSub, ConnectError> {
        let subscribing = async {
            let client = Client::open(self.0.clone())?;
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
        for wrong in ["", "10.0.0.1:6379", "http://s3cret@x", "redis://:s3cret@"] {
            let error = wrong.parse::<RedisUrl>().unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
