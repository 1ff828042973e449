//! A gateway per test, and a client that speaks to it.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tminus_gateway::{config, server};
use tokio_util::sync::CancellationToken;

/// Nothing here takes long; what takes this long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(30);

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS_AFTER, future)
        .await
        .expect("this hangs")
}

/// Asks until the answer is yes.
pub async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HANGS_AFTER, asking)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

pub struct Gateway {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    shutdown: CancellationToken,
    stopped: Option<tokio::task::JoinHandle<()>>,
}

pub struct Settings {
    pub more: String,
    pub weights: (u32, u32),
    pub sticky: &'static str,
    /// More of stable.
    pub stable: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            more: String::new(),
            weights: (100, 0),
            sticky: "[bearer-subject, \"header:x-session-id\", client-ip]",
            stable: String::new(),
        }
    }
}

pub fn yaml(stable: SocketAddr, canary: SocketAddr, settings: &Settings) -> String {
    let Settings {
        more,
        weights: (on_stable, on_canary),
        sticky,
        stable: more_of_stable,
    } = settings;
    format!(
        r#"listen: 127.0.0.1:0
admin: 127.0.0.1:0
sticky: {sticky}
affinity_query: at
backends:
  stable: {{ url: "http://{stable}", version: v1.2{more_of_stable} }}
  canary: {{ url: "http://{canary}", version: v1.3 }}
rules:
  - {{ name: pin-v1.2, header: {{ x-version: v1.2 }}, split: {{ stable: 100 }} }}
  - {{ name: pin-v1.3, header: {{ x-version: v1.3 }}, split: {{ canary: 100 }} }}
  - {{ name: article-split, header: {{ x-version: split }}, split: {{ stable: 70, canary: 30 }} }}
default: {{ split: {{ stable: {on_stable}, canary: {on_canary} }} }}
{more}
"#
    )
}

impl Gateway {
    pub fn start(stable: SocketAddr, canary: SocketAddr, settings: &Settings) -> Self {
        let config = config::parse(&yaml(stable, canary, settings), "test.yaml").unwrap();
        let shutdown = CancellationToken::new();
        let running = server::start(&config, shutdown.clone()).unwrap();
        let (listen, admin) = (running.listen, running.admin);
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            listen,
            admin,
            client,
            shutdown,
            stopped: Some(tokio::spawn(running.stopped())),
        }
    }

    /// In front of one backend under both names.
    pub fn before(backend: SocketAddr) -> Self {
        Self::start(backend, backend, &Settings::default())
    }

    /// The same with more lines of configuration.
    pub fn before_with(backend: SocketAddr, more: &str) -> Self {
        Self::start(
            backend,
            backend,
            &Settings {
                more: more.to_owned(),
                ..Settings::default()
            },
        )
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<hyper::body::Incoming> {
        within(self.client.request(request)).await.unwrap()
    }

    pub async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.listen));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(
            self.send(request.body(Full::from(body.to_owned())).unwrap())
                .await,
        )
        .await
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request("GET", path, headers, "").await
    }

    pub async fn ask_admin(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.admin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(
            self.send(request.body(Full::from(body.to_owned())).unwrap())
                .await,
        )
        .await
    }

    /// One backend's part of the metrics.
    pub async fn metrics(&self, backend: &str) -> Value {
        self.ask_admin("GET", "/metrics.json", &[], "").await.json()["backends"][backend].clone()
    }

    pub async fn drain(&self, backend: &str) -> Value {
        let answer = self
            .ask_admin("POST", &format!("/backends/{backend}/drain"), &[], "")
            .await;
        assert_eq!(answer.status, 200);
        answer.json()
    }

    pub async fn stop(mut self) {
        self.shutdown.cancel();
        within(self.stopped.take().unwrap()).await.unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ::http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub async fn read(response: Response<hyper::body::Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = within(body.collect()).await.unwrap().to_bytes();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The gateway's own error form.
    pub fn error(&self) -> (u16, u64) {
        let json = self.json();
        assert!(
            json["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{json}"
        );
        assert_eq!(json["details"], serde_json::json!([]));
        assert_eq!(self.header("content-type"), "application/json");
        (self.status, json["code"].as_u64().unwrap())
    }
}
