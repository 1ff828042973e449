//! Commands to a running gateway, over its admin API.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tminus_gateway::explain::{Explained, Question};
use tminus_gateway::weight::Weight;
use tokio::net::TcpStream;

const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A drain takes as long as it is told to, and some seconds more.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The admin address of a gateway.
#[derive(Clone, Debug)]
pub struct Admin {
    host: String,
    port: u16,
}

impl std::str::FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no admin address: write it like http://127.0.0.1:8081");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let plain = matches!(uri.scheme_str(), None | Some("http")) && matches!(uri.path(), "" | "/");
        let host = uri
            .host()
            .filter(|_| plain && !text.contains('@'))
            .ok_or_else(wrong)?;
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().ok_or_else(wrong)?,
        })
    }
}

/// The gateway said no.
#[derive(Debug, thiserror::Error)]
#[error("the gateway refuses: {0}")]
pub struct Refused(String);

impl Admin {
    /// The weights of the default split.
    pub async fn weights(&self) -> anyhow::Result<Value> {
        self.ask(Method::GET, "/weights", None, ANSWER_WITHIN).await
    }

    /// Sets them, all or none.
    pub async fn set_weights(&self, weights: &BTreeMap<String, Weight>) -> anyhow::Result<Value> {
        let body = json!(weights);
        self.ask(Method::PUT, "/weights", Some(&body), ANSWER_WITHIN)
            .await
    }

    /// Waits until the backend's WebSockets have ended.
    pub async fn drain(&self, backend: &str, spread: Duration) -> anyhow::Result<Value> {
        let path = format!("/backends/{backend}/drain");
        let body = json!({ "spread_ms": u64::try_from(spread.as_millis())? });
        self.ask(Method::POST, &path, Some(&body), ANSWER_WITHIN + spread)
            .await
    }

    /// Lets a backend have new requests again.
    pub async fn undrain(&self, backend: &str) -> anyhow::Result<Value> {
        let path = format!("/backends/{backend}/undrain");
        self.ask(Method::POST, &path, None, ANSWER_WITHIN).await
    }

    /// Has it read its configuration again.
    pub async fn reload(&self) -> anyhow::Result<Value> {
        self.ask(Method::POST, "/reload", None, ANSWER_WITHIN).await
    }

    /// Its decision of the moment.
    pub async fn explain(&self, question: &Question) -> anyhow::Result<Explained> {
        let body = json!(question);
        self.ask(Method::POST, "/explain", Some(&body), ANSWER_WITHIN)
            .await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> anyhow::Result<T> {
        let (host, port) = (self.host.as_str(), self.port);
        let no_gateway =
            || format!("no gateway answers at {host}:{port}: is it running, and is this its admin address?");
        let stream = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect((host, port)))
            .await
            .with_context(no_gateway)?
            .with_context(no_gateway)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .with_context(no_gateway)?;
        // How it ends is seen by the request.
        tokio::spawn(async move { drop(connection.await) });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, format!("{host}:{port}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::<Bytes>::from(
                body.map_or_else(String::new, Value::to_string),
            ))
            .with_context(|| format!("{path} cannot be asked for"))?;
        let asked = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
            anyhow::Ok((status, body))
        };
        let (status, body) = tokio::time::timeout(within, asked)
            .await
            .with_context(|| format!("the gateway did not answer within {} s", within.as_secs()))?
            .with_context(no_gateway)?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .context("the gateway's answer cannot be read: is it of this release?");
        }
        let told = serde_json::from_slice::<Value>(&body).ok();
        match told.as_ref().and_then(|told| told["message"].as_str()) {
            Some(message) => Err(Refused(message.to_owned()).into()),
            None => bail!("{host}:{port} answers {status}, as no gateway does: is this its admin address?"),
        }
    }
}

/// `canary=0.5`.
pub fn weight_of(text: &str) -> Result<(String, Weight), String> {
    let (name, weight) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is no weight: write it like canary=30"))?;
    Ok((name.to_owned(), weight.parse()?))
}

/// `250ms`, `5s`, `2m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|one: char| !one.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let wrong = || format!("{text:?} is no time: write it like 250ms, 5s or 2m");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(ms)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

/// One line a backend.
pub fn weights_text(answer: &Value) -> String {
    let mut text = String::new();
    for (name, weight) in answer["default"].as_object().into_iter().flatten() {
        text.push_str(&format!("{name:<16} {weight} %\n"));
    }
    if let Some(why) = answer["not_kept"].as_str() {
        text.push_str(&format!("warning: {why}\n"));
    }
    text
}
