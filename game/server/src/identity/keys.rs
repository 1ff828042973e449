//! The key set of an issuer outside, kept by one task: it fetches at the start, every few minutes, and when a token names
//! a key that is not known, the latter at most once in an interval.

use std::{fmt, io, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use tminus_identity::{JWKS_BYTES_MAX, KeySet, KeySource, Rotation, RotationFigures};
use tokio::{
    io::AsyncReadExt as _,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{error::StartError, time::TimeSource};

/// Between two fetches, whoever asks for them.
const INTERVAL_MIN: Duration = Duration::from_secs(10);
/// A set that nobody asks about is fetched again, so that a key that was withdrawn is forgotten.
const EVERY: Duration = Duration::from_secs(300);
/// The same for a file.
const EVERY_FILE: Duration = Duration::from_secs(10);
/// For one fetch, all of it.
const FETCH: Duration = Duration::from_secs(3);
/// Requests that wait for the same fetch; further ones are judged by the keys that are there.
const WAITING_MAX: usize = 1024;

/// Where a key set is: a file, or a URL with TLS, or one of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksAddress {
    File(PathBuf),
    Url(reqwest::Url),
}

impl fmt::Display for JwksAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            // Without what may be a password.
            Self::Url(url) => {
                write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
        }
    }
}

impl FromStr for JwksAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let url: reqwest::Url = text
            .parse()
            .map_err(|_| "a key set is at a path or at https://HOST/PATH".to_owned())?;
        let host = url.host_str().unwrap_or_default();
        let is_here = host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        match url.scheme() {
            "https" => Ok(Self::Url(url)),
            "http" if is_here => Ok(Self::Url(url)),
            // Whoever can change the keys on their way is whoever they like.
            _ => Err("a key set is fetched over https, or over http from this machine".to_owned()),
        }
    }
}

enum Source {
    File(PathBuf),
    Url(reqwest::Client, reqwest::Url),
}

impl Source {
    fn new(address: &JwksAddress) -> Result<Self, String> {
        match address {
            JwksAddress::File(path) => Ok(Self::File(path.clone())),
            JwksAddress::Url(url) => {
                // Fails where somebody has chosen one already, and that one is as good.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = reqwest::Client::builder()
                    .no_proxy()
                    .redirect(reqwest::redirect::Policy::none())
                    .timeout(FETCH)
                    .user_agent(concat!("starvault/", env!("CARGO_PKG_VERSION")))
                    .build()
                    .map_err(|error| error.to_string())?;
                Ok(Self::Url(client, url.clone()))
            }
        }
    }
}

impl KeySource for Source {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(path) => {
                let file = tokio::fs::File::open(path)
                    .await
                    .map_err(|error| error.to_string())?;
                let mut document = Vec::new();
                let limit = JWKS_BYTES_MAX as u64 + 1;
                file.take(limit)
                    .read_to_end(&mut document)
                    .await
                    .map_err(|error| error.to_string())?;
                Ok(document)
            }
            Self::Url(client, url) => {
                let asking = client
                    .get(url.clone())
                    .header("accept", "application/json")
                    .send();
                let mut answer = asking.await.map_err(|error| error.without_url().to_string())?;
                if answer.status() != reqwest::StatusCode::OK {
                    return Err(format!("it answered {}", answer.status().as_u16()));
                }
                let mut document = Vec::new();
                while let Some(piece) = answer
                    .chunk()
                    .await
                    .map_err(|error| error.without_url().to_string())?
                {
                    document.extend_from_slice(&piece);
                    if document.len() > JWKS_BYTES_MAX {
                        return Err(format!("it is longer than {JWKS_BYTES_MAX} bytes"));
                    }
                }
                Ok(document)
            }
        }
    }
}

#[derive(Clone, Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    figures: RotationFigures,
}

/// The keys in force. Cheap to ask.
#[derive(Debug)]
pub struct Keys {
    state: watch::Receiver<State>,
    asks: mpsc::Sender<oneshot::Sender<()>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.figures, f)
    }
}

impl Keys {
    /// # Errors
    /// A file that holds no key set. A URL may not answer yet.
    pub async fn start(
        address: &JwksAddress,
        time: &TimeSource,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Self, StartError> {
        let unreadable = |what: String| StartError::Credentials(format!("--jwks {address}: {what}"));
        let mut keeper = Keeper {
            source: Source::new(address).map_err(unreadable)?,
            address: address.to_string(),
            rotation: Rotation::new(i64::try_from(INTERVAL_MIN.as_millis()).unwrap_or(i64::MAX)),
            time: time.clone(),
        };
        let first = keeper.fetch().await;
        if let (JwksAddress::File(_), Err(what)) = (address, first) {
            return Err(unreadable(what));
        }
        let (publish, state) = watch::channel(keeper.state());
        let (asks, asked) = mpsc::channel(WAITING_MAX);
        let every = if matches!(address, JwksAddress::File(_)) {
            EVERY_FILE
        } else {
            EVERY
        };
        tasks.spawn(keeper.keep(every, publish, asked, stop.clone()));
        Ok(Self { state, asks })
    }

    #[must_use]
    pub fn now(&self) -> Option<Arc<KeySet>> {
        self.state.borrow().keys.clone()
    }

    #[must_use]
    pub fn figures(&self) -> RotationFigures {
        self.state.borrow().figures
    }

    /// The keys after a fetch, if one is allowed now; those that are there if not.
    pub async fn newer(&self) -> Option<Arc<KeySet>> {
        let (answer, answered) = oneshot::channel();
        if self.asks.try_send(answer).is_ok() {
            // An error: the keeper has ended with the server.
            let _ = answered.await;
        }
        self.now()
    }
}

struct Keeper {
    source: Source,
    address: String,
    rotation: Rotation,
    time: TimeSource,
}

impl Keeper {
    fn state(&self) -> State {
        State {
            keys: self.rotation.keys(),
            figures: self.rotation.figures(),
        }
    }

    async fn keep(
        mut self,
        every: Duration,
        publish: watch::Sender<State>,
        mut asked: mpsc::Receiver<oneshot::Sender<()>>,
        stop: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first one is at once, and the set has just been fetched.
        ticks.tick().await;
        loop {
            let answer = tokio::select! {
                () = stop.cancelled() => return,
                asked = asked.recv() => match asked {
                    Some(answer) => Some(answer),
                    None => return,
                },
                _ = ticks.tick() => None,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = self.fetch() => {}
            }
            publish.send_replace(self.state());
            if let Some(answer) = answer {
                // Gone: its request has ended meanwhile.
                let _ = answer.send(());
            }
        }
    }

    /// Fetches if it is time.
    async fn fetch(&mut self) -> Result<(), String> {
        if !self.rotation.begin_fetch(self.time.now_ms()) {
            return Ok(());
        }
        let document = match tokio::time::timeout(FETCH, self.source.fetch()).await {
            Ok(document) => document,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).to_string()),
        };
        let taken = match document {
            Ok(document) => self
                .rotation
                .fetched(&document, self.time.now_ms())
                .map_err(|error| error.to_string()),
            Err(what) => {
                self.rotation.failed();
                Err(what)
            }
        };
        if let Err(what) = &taken {
            let in_force = self.rotation.figures().keys;
            tracing::warn!(from = %self.address, %what, in_force, "the key set could not be fetched");
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for good in [
            "keys.json",
            "/etc/starvault/keys.json",
            "https://id.example/.well-known/jwks.json",
            "http://127.0.0.1:8000/keys",
            "http://localhost/keys",
            "http://[::1]:1/keys",
        ] {
            assert!(good.parse::<JwksAddress>().is_ok(), "{good}");
        }
        for wrong in [
            "http://id.example/keys",
            "http://127.0.0.1.example/keys",
            "ftp://id.example/keys",
            "://",
            "https://",
        ] {
            assert!(wrong.parse::<JwksAddress>().is_err(), "{wrong}");
        }
        let secret: JwksAddress = "https://me:s3cret@id.example:8443/keys?key=s3cret"
            .parse()
            .unwrap();
        assert_eq!(secret.to_string(), "https://id.example:8443/keys");
    }
}
