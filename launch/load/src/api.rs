//! The few HTTP calls that a player makes.

use std::time::Duration;

use reqwest::StatusCode;
use starvault_wire::v1;

use crate::LoadError;
use crate::target::Target;

/// The header in which a gateway names the version that served a request.
pub(crate) const SERVED_VERSION: &str = "x-served-version";
/// The header by which a gateway keeps apart clients that have no token yet.
pub(crate) const SESSION_ID: &str = "x-session-id";

/// How a call ended, and who served it as far as that is known.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub result: Result<T, Failure>,
    pub release: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    TimedOut,
    /// Any status but 200. 504 counts as a timeout: the gateway waited in our place.
    Status(u16),
    /// Refused, reset, or no answer that is HTTP.
    Connection,
    /// 200, but not the message of the contract.
    Body,
}

impl Failure {
    pub fn code(&self) -> String {
        match self {
            Self::TimedOut | Self::Status(504) => "timeout".into(),
            Self::Status(status) => format!("http_{status}"),
            Self::Connection => "connection".into(),
            Self::Body => "body".into(),
        }
    }

    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut | Self::Status(504))
    }
}

/// Builds the client that all players of a run share.
pub(crate) fn client(
    target: &Target,
    timeout: Duration,
    idle_max: usize,
) -> Result<reqwest::Client, LoadError> {
    // The client wants a TLS provider even for plain HTTP. One that the program has installed stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .timeout(timeout)
        .connect_timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(idle_max)
        .tcp_nodelay(true);
    if !target.secure {
        // Spares reading the system's certificates, which a bare machine may not have.
        builder = builder.tls_certs_only([]);
    }
    Ok(builder.build()?)
}

#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: reqwest::Client,
    target: Target,
}

impl Api {
    pub fn new(client: reqwest::Client, target: Target) -> Self {
        Self { client, target }
    }

    /// Whether anything that speaks the contract answers.
    pub async fn version(&self) -> Result<v1::Version, LoadError> {
        let unreachable = |why: String| LoadError::Unreachable {
            target: self.target.base.clone(),
            why,
        };
        let answer = self.client.get(self.target.url("/v1/version")).send().await;
        let response = answer.map_err(|e| unreachable(reason(&e)))?;
        if response.status() != StatusCode::OK {
            return Err(unreachable(format!(
                "GET /v1/version answered {}",
                response.status()
            )));
        }
        let body = response.bytes().await.map_err(|e| unreachable(reason(&e)))?;
        serde_json::from_slice(&body).map_err(|e| unreachable(format!("GET /v1/version is no Version: {e}")))
    }

    pub async fn sign_in(&self, name: &str, session: &str) -> Answer<v1::SignInAsGuestResponse> {
        let body = serde_json::json!({ "displayName": name }).to_string();
        let request = self
            .client
            .post(self.target.url("/v1/guests"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(SESSION_ID, session)
            .body(body);
        call(request).await
    }

    pub async fn profile(&self, token: &str) -> Answer<v1::Profile> {
        call(
            self.client
                .get(self.target.url("/v1/players/me"))
                .bearer_auth(token),
        )
        .await
    }
}

async fn call<T: serde::de::DeserializeOwned>(request: reqwest::RequestBuilder) -> Answer<T> {
    let response = match request.send().await {
        Ok(response) => response,
        Err(e) => {
            return Answer {
                result: Err(failure(&e)),
                release: None,
            };
        }
    };
    let release = served_version(response.headers());
    let status = response.status();
    let result = match response.bytes().await {
        Err(e) => Err(failure(&e)),
        Ok(_) if status != StatusCode::OK => Err(Failure::Status(status.as_u16())),
        Ok(body) => serde_json::from_slice(&body).map_err(|_| Failure::Body),
    };
    Answer { result, release }
}

pub(crate) fn failure(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        Failure::TimedOut
    } else {
        Failure::Connection
    }
}

pub(crate) fn served_version(headers: &http::HeaderMap) -> Option<String> {
    headers.get(SERVED_VERSION)?.to_str().ok().map(str::to_owned)
}

/// The innermost cause: what a person can act on.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
