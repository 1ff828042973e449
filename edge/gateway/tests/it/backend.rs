//! A backend for tests: HTTP, gRPC and WebSocket on one port, with HTTP/1.1 and h2c.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::Grpc;
use tonic::{Status, Streaming};
use tower::service_fn;

/// Tells the test what happened, also by being dropped.
#[derive(Clone)]
pub struct Seen {
    name: &'static str,
    events: mpsc::Sender<&'static str>,
}

pub struct TellsWhenDropped {
    what: &'static str,
    events: mpsc::Sender<&'static str>,
}

impl Drop for TellsWhenDropped {
    fn drop(&mut self) {
        let _ = self.events.try_send(self.what);
    }
}

impl Seen {
    pub fn tell(&self, what: &'static str) {
        let _ = self.events.try_send(what);
    }

    pub fn until_dropped(&self, begun: &'static str, dropped: &'static str) -> TellsWhenDropped {
        self.tell(begun);
        TellsWhenDropped {
            what: dropped,
            events: self.events.clone(),
        }
    }
}

pub struct Backend {
    pub address: SocketAddr,
    pub events: mpsc::Receiver<&'static str>,
    connections: Arc<AtomicU64>,
    _stop: DropGuard,
}

impl Backend {
    pub async fn start(name: &'static str) -> Self {
        Self::start_with(name, |_| Router::new()).await
    }

    /// With more routes.
    pub async fn start_with(name: &'static str, more: impl FnOnce(Seen) -> Router) -> Self {
        Self::on("127.0.0.1:0".parse().unwrap(), name, more).await
    }

    /// At this address.
    pub async fn start_at(name: &'static str, address: SocketAddr) -> Self {
        Self::on(address, name, |_| Router::new()).await
    }

    async fn on(address: SocketAddr, name: &'static str, more: impl FnOnce(Seen) -> Router) -> Self {
        let (sender, events) = mpsc::channel(256);
        let seen = Seen { name, events: sender };
        let router = routes(seen.clone()).merge(more(seen));
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let connections = Arc::new(AtomicU64::new(0));
        let (stopping, counting) = (stop.clone(), Arc::clone(&connections));
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = stopping.cancelled() => return,
                };
                let (stream, _) = accepted.unwrap();
                // Small messages arrive one by one.
                stream.set_nodelay(true).unwrap();
                counting.fetch_add(1, Ordering::SeqCst);
                let service = TowerToHyperService::new(router.clone());
                let stopping = stopping.clone();
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
                    tokio::select! {
                        _ = serving => {}
                        () = stopping.cancelled() => {}
                    }
                });
            }
        });
        Self {
            address,
            events,
            connections,
            _stop: stop.drop_guard(),
        }
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    pub async fn saw(&mut self, what: &str) {
        loop {
            if super::support::within(self.events.recv())
                .await
                .expect("the backend is gone")
                == what
            {
                return;
            }
        }
    }
}

fn routes(seen: Seen) -> Router {
    Router::new()
        .route("/who", get(async |State(seen): State<Seen>| seen.name))
        .route("/echo/{*rest}", any(echo))
        .route(
            "/status/{code}",
            any(async |Path(code): Path<u16>| ::http::StatusCode::from_u16(code).unwrap()),
        )
        .route("/hang", any(hang))
        .route("/many/{bytes}", get(many))
        .route("/stall", get(stall))
        .route("/play", get(play))
        .route("/test.Echo/Unary", post(grpc_unary))
        .route("/test.Echo/Fail", post(grpc_fail))
        .route("/test.Echo/Hang", post(hang))
        .route("/test.Echo/Count", post(grpc_count))
        .route("/test.Echo/Endless", post(grpc_endless))
        .route("/test.Echo/Sum", post(grpc_sum))
        .route("/test.Echo/Talk", post(grpc_talk))
        .with_state(seen)
}

/// Tells what arrived; its own headers try what a gateway must not pass on.
async fn echo(State(seen): State<Seen>, request: Request) -> impl IntoResponse {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let told = json!({
        "who": seen.name,
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "version": format!("{:?}", head.version),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    let headers = [
        ("x-served-version", "a lie"),
        ("connection", "x-private"),
        ("x-private", "1"),
        ("keep-alive", "timeout=9"),
        ("x-public", "2"),
    ];
    (headers, told.to_string())
}

async fn hang(State(seen): State<Seen>) -> Response {
    let _guard = seen.until_dropped("hang began", "hang dropped");
    std::future::pending().await
}

/// `bytes` bytes in pieces, each byte its position.
async fn many(Path(bytes): Path<usize>) -> Body {
    let pieces = (0..bytes.div_ceil(10_000)).map(move |piece| {
        let range = piece * 10_000..((piece + 1) * 10_000).min(bytes);
        Ok::<_, std::io::Error>(range.map(|at| at as u8).collect::<Bytes>())
    });
    Body::from_stream(stream::iter(pieces))
}

/// A body that begins and never goes on.
async fn stall(State(seen): State<Seen>) -> Body {
    let guard = seen.until_dropped("stall began", "stall dropped");
    let first = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"first")) });
    Body::from_stream(first.chain(stream::once(async move {
        let _guard = guard;
        std::future::pending().await
    })))
}

async fn play(upgrade: WebSocketUpgrade, State(seen): State<Seen>) -> Response {
    upgrade
        .protocols(["starvault.v1.json"])
        .on_upgrade(async move |mut socket| {
            let _guard = seen.until_dropped("socket opened", "socket closed");
            while let Some(Ok(message)) = socket.recv().await {
                if matches!(message, Message::Text(_) | Message::Binary(_))
                    && socket.send(message).await.is_err()
                {
                    return;
                }
            }
        })
}

/// gRPC messages as plain bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

type Called<T> = Result<tonic::Response<T>, Status>;

/// Answers the message with what came along: backend, version, grpc-timeout, te.
async fn grpc_unary(State(seen): State<Seen>, request: Request) -> Response {
    let version = format!("{:?}", request.version());
    let called = service_fn(async |request: tonic::Request<Bytes>| -> Called<Bytes> {
        let mut response = tonic::Response::new(request.get_ref().clone());
        for name in ["grpc-timeout", "te", "x-forwarded-for", "x-request-id"] {
            if let Some(value) = request.metadata().get(name) {
                let name =
                    tonic::metadata::MetadataKey::from_bytes(format!("seen-{name}").as_bytes()).unwrap();
                response.metadata_mut().insert(name, value.clone());
            }
        }
        response
            .metadata_mut()
            .insert("seen-version", version.parse().unwrap());
        response
            .metadata_mut()
            .insert("seen-who", seen.name.parse().unwrap());
        Ok(response)
    });
    Grpc::new(Plain).unary(called, request).await.map(Body::new)
}

async fn grpc_fail(request: Request) -> Response {
    let called = service_fn(async |request: tonic::Request<Bytes>| -> Called<Bytes> {
        let code: i32 = std::str::from_utf8(request.get_ref()).unwrap().parse().unwrap();
        Err(Status::new(code.into(), "as asked: 棋"))
    });
    Grpc::new(Plain).unary(called, request).await.map(Body::new)
}

/// Counts down from the number given; then fails with ABORTED when it is odd.
async fn grpc_count(request: Request) -> Response {
    let called = service_fn(async |request: tonic::Request<Bytes>| -> Called<_> {
        let from: u32 = std::str::from_utf8(request.get_ref()).unwrap().parse().unwrap();
        let items = (1..=from).rev().map(|number| Ok(Bytes::from(number.to_string())));
        let end = (from % 2 == 1).then(|| Err(Status::aborted("odd")));
        Ok(tonic::Response::new(stream::iter(items.chain(end))))
    });
    Grpc::new(Plain)
        .server_streaming(called, request)
        .await
        .map(Body::new)
}

async fn grpc_endless(State(seen): State<Seen>, request: Request) -> Response {
    let called = service_fn(async |_: tonic::Request<Bytes>| -> Called<_> {
        let guard = seen.until_dropped("endless began", "endless dropped");
        let first = stream::once(async { Ok::<_, Status>(Bytes::from_static(b"1")) });
        Ok(tonic::Response::new(first.chain(stream::once(async move {
            let _guard = guard;
            std::future::pending().await
        }))))
    });
    Grpc::new(Plain)
        .server_streaming(called, request)
        .await
        .map(Body::new)
}

/// Bytes of all messages together.
async fn grpc_sum(request: Request) -> Response {
    let called = service_fn(
        async |request: tonic::Request<Streaming<Bytes>>| -> Called<Bytes> {
            let mut sum = 0;
            let mut messages = request.into_inner();
            while let Some(message) = messages.message().await? {
                sum += message.len();
            }
            Ok(tonic::Response::new(Bytes::from(sum.to_string())))
        },
    );
    Grpc::new(Plain)
        .client_streaming(called, request)
        .await
        .map(Body::new)
}

/// Answers each message as it comes.
async fn grpc_talk(request: Request) -> Response {
    let called = service_fn(async |request: tonic::Request<Streaming<Bytes>>| -> Called<_> {
        let answers = request
            .into_inner()
            .map(|message| message.map(|message| [b"re: ", &message[..]].concat().into()));
        Ok(tonic::Response::new(answers))
    });
    Grpc::new(Plain).streaming(called, request).await.map(Body::new)
}
