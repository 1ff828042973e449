//! One way to call an API of others, and one place that says what its answers mean.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;

use crate::text::one_line;
use crate::tickets::{Accounts, Failure, Secret};

/// A server that says to wait is believed up to a week.
const AFTER_MS_MAX: u64 = 7 * 24 * 3_600_000;
/// A limit without a time, as GitHub documents it: at least a minute.
const AFTER_MS_UNSAID: u64 = 60_000;

/// Limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    pub connect_ms: u64,
    /// From the beginning to the answer's last byte.
    pub whole_ms: u64,
    pub answer_bytes_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connect_ms: 5_000,
            whole_ms: 30_000,
            answer_bytes_max: 1 << 20,
        }
    }
}

/// What every sink needs.
#[derive(Debug, Clone, Default)]
pub struct SinkSetup {
    /// `https://…`; plain HTTP to loopback only.
    pub base_url: String,
    pub accounts: Accounts,
    pub limits: HttpLimits,
}

/// A sink cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error(
        "the base URL must be https://host[/path], without a user, query or fragment; http is for loopback only"
    )]
    Url,
    #[error("{what} {shown:?} has characters that it cannot have")]
    Name { what: &'static str, shown: String },
    #[error("no HTTP client could be made: {0}")]
    Client(String),
}

/// Whether a name may stand in a path, a query or a document of an API.
pub(crate) fn checked(what: &'static str, name: &str, others: &str) -> Result<String, SetupError> {
    let fits = |character: char| character.is_ascii_alphanumeric() || others.contains(character);
    if name.is_empty()
        || name.len() > 200
        || !name.chars().all(fits)
        || name.split('/').any(|part| part == "..")
    {
        return Err(SetupError::Name {
            what,
            shown: one_line(name, 60),
        });
    }
    Ok(name.to_owned())
}

/// What a call does: the same trouble means less where nothing can have been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Looks,
    Creates,
    /// Creates, and the answer's form is the receiver's affair.
    Posts,
}

pub(crate) struct Http {
    client: Client,
    base: Url,
    answer_bytes_max: usize,
    pub(crate) accounts: Accounts,
    secret: Secret,
}

impl Http {
    pub(crate) fn new(setup: SinkSetup, secret: Secret) -> Result<Self, SetupError> {
        // The client wants a TLS provider even for plain HTTP. One that the program has installed stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = Url::parse(&setup.base_url).map_err(|_| SetupError::Url)?;
        let loopback = base.host_str().is_some_and(|host| {
            let address = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        });
        let plain = base.scheme() == "http" && loopback;
        let bare = base.username().is_empty() && base.password().is_none() && base.fragment().is_none();
        if !(base.scheme() == "https" || plain) || !bare {
            return Err(SetupError::Url);
        }
        for account in setup.accounts.values() {
            checked("the account", account, "-_.:")?;
        }
        let client = Client::builder()
            .connect_timeout(Duration::from_millis(setup.limits.connect_ms))
            .timeout(Duration::from_millis(setup.limits.whole_ms))
            // A redirect would carry the credential elsewhere, and turns a POST into a GET.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tminus/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SetupError::Client(error.without_url().to_string()))?;
        Ok(Self {
            client,
            base,
            answer_bytes_max: setup.limits.answer_bytes_max,
            accounts: setup.accounts,
            secret,
        })
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The base URL followed by a path, which begins with `/` or is empty.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = if path.is_empty() {
            self.base.as_str().to_owned()
        } else {
            self.url(path)
        };
        self.client.request(method, url)
    }

    /// Sends it. The answer's JSON when it is good, `Null` when it has no body.
    pub(crate) async fn call(&self, request: reqwest::RequestBuilder, kind: Kind) -> Result<Value, Failure> {
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let why = self.words(&error);
                // A connection that was never made has carried nothing.
                return Err(if error.is_connect() || error.is_builder() {
                    Failure::Later { why, after_ms: None }
                } else {
                    unclear(kind, why, None)
                });
            }
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = self.body(answer).await;
        if status.is_success() {
            let parsed = match body {
                Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Ok(Value::Null),
                Ok(bytes) => match serde_json::from_slice(&bytes) {
                    Err(_) if kind != Kind::Posts => Err(format!("{}: the answer is no JSON", self.place())),
                    parsed => Ok(parsed.unwrap_or_default()),
                },
                Err(why) => Err(why),
            };
            return parsed.map_err(|why| unclear(kind, why, None));
        }
        let said = body.map(|bytes| self.said(&bytes)).unwrap_or_default();
        Err(self.meaning(kind, status, &headers, &said))
    }

    fn meaning(&self, kind: Kind, status: StatusCode, headers: &HeaderMap, said: &str) -> Failure {
        let after_ms = after_ms(headers);
        let why = format!("{} answered {}{said}", self.place(), status.as_u16());
        match status.as_u16() {
            429 => Failure::Later { why, after_ms },
            // A limit of GitHub's, not a missing right.
            403 if after_ms.is_some() => Failure::Later { why, after_ms },
            408 | 500..=599 => unclear(kind, why, after_ms),
            300..=399 => Failure::Refused {
                why: format!("{why}: redirects are not followed; correct the base URL"),
            },
            401 => Failure::Refused {
                why: format!(
                    "{why}: the credential was refused; put a valid one in place, then try the ticket again"
                ),
            },
            403 | 404 => Failure::Refused {
                why: format!("{why}: check the project's name and what the credential may do"),
            },
            _ => Failure::Refused { why },
        }
    }

    /// Host and port, without a path: a webhook's path may be a secret.
    fn place(&self) -> String {
        let host = self.base.host_str().unwrap_or("the server");
        match self.base.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    fn words(&self, error: &reqwest::Error) -> String {
        let what = if error.is_connect() {
            "no connection"
        } else if error.is_timeout() {
            "no answer in time"
        } else {
            "the connection broke before the answer"
        };
        format!("{}: {what}", self.place())
    }

    async fn body(&self, mut answer: Response) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.words(&error))? {
            if bytes.len() + chunk.len() > self.answer_bytes_max {
                return Err(format!(
                    "{}: the answer is larger than {} bytes",
                    self.place(),
                    self.answer_bytes_max
                ));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The reason that an API gives, in the places where these four put it.
    fn said(&self, bytes: &[u8]) -> String {
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
            return String::new();
        };
        let mut said = Vec::new();
        for name in ["errorMessages", "errors", "message", "error", "error_description"] {
            match &value[name] {
                Value::Null => {}
                Value::String(text) => said.push(text.clone()),
                other if other.as_array().is_some_and(Vec::is_empty) => {}
                other if other.as_object().is_some_and(serde_json::Map::is_empty) => {}
                other => said.push(other.to_string()),
            }
        }
        if said.is_empty() {
            return String::new();
        }
        format!(" ({})", one_line(&self.secret.scrub(&said.join("; ")), 200))
    }
}

fn unclear(kind: Kind, why: String, after_ms: Option<u64>) -> Failure {
    match kind {
        Kind::Looks => Failure::Later { why, after_ms },
        Kind::Creates | Kind::Posts => Failure::Uncertain { why, after_ms },
    }
}

/// The wait that a server asks for. Dates are taken relative to the server's own `Date`: its clock is not ours.
fn after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = |name: HeaderName| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let now = text(DATE).and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let until = |second: i64| match &now {
        Some(now) => u64::try_from(second.saturating_sub(now.timestamp().as_second()))
            .unwrap_or(0)
            .saturating_mul(1000),
        None => AFTER_MS_UNSAID,
    };
    let retry_after =
        text(RETRY_AFTER).map(
            |value| match (value.parse::<u64>(), jiff::fmt::rfc2822::parse(value)) {
                (Ok(seconds), _) => seconds.saturating_mul(1000),
                (_, Ok(date)) => until(date.timestamp().as_second()),
                _ => AFTER_MS_UNSAID,
            },
        );
    let spent = text(HeaderName::from_static("x-ratelimit-remaining")) == Some("0");
    let reset = || {
        let reset = text(HeaderName::from_static("x-ratelimit-reset")).and_then(|value| value.parse().ok());
        spent.then(|| reset.map_or(AFTER_MS_UNSAID, until))
    };
    retry_after.or_else(reset).map(|ms| ms.min(AFTER_MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], expected: Option<u64>) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        assert_eq!(after_ms(&headers), expected, "{headers:?}");
    }

    #[test]
    fn the_wait_that_a_server_asks_for() {
        const NOW: (&str, &str) = ("date", "Sun, 22 Nov 2026 14:00:00 GMT");
        check(&[], None);
        check(&[("retry-after", "7")], Some(7_000));
        check(
            &[("retry-after", "Sun, 22 Nov 2026 14:01:30 GMT"), NOW],
            Some(90_000),
        );
        check(&[("retry-after", "Sun, 22 Nov 2026 13:00:00 GMT"), NOW], Some(0));
        check(&[("retry-after", "soon")], Some(AFTER_MS_UNSAID));
        check(&[("retry-after", "99999999999999999999")], Some(AFTER_MS_UNSAID));
        check(&[("retry-after", "9999999999999999999")], Some(AFTER_MS_MAX));
        check(
            &[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1795356060"),
                NOW,
            ],
            Some(60_000),
        );
        check(
            &[
                ("x-ratelimit-remaining", "4"),
                ("x-ratelimit-reset", "1795356060"),
                NOW,
            ],
            None,
        );
    }
}
