//! The live dashboard: one page on loopback, fed by server-sent events, and the door for sign-offs.
//!
//! It shows the board and passes signed envelopes on to whoever owns the record. It never writes the
//! record itself and holds no key. A sign-off authenticates itself by its signature, so the door
//! needs no session; a foreign web page is kept out by the `Host` and `Origin` checks.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::board::SharedBoard;
use crate::error::{CliError, Kind, Result};

/// The dashboard is sent at most this often per page.
const SEND_EVERY: Duration = Duration::from_millis(250);
/// A signed envelope is at most this long.
const ENVELOPE_BYTES_MAX: usize = 64 * 1024;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A signed envelope on its way to the record's owner, and where the answer goes.
#[derive(Debug)]
pub struct SignOffRequest {
    pub envelope: Vec<u8>,
    pub answer: oneshot::Sender<std::result::Result<SignOffAccepted, String>>,
}

/// What the record's owner answers to a sign-off or an approval that it took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignOffAccepted {
    pub item: String,
    pub role: String,
    /// Of a canary's step; none for a sign-off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    pub entry: u64,
}

#[derive(Debug, Clone)]
struct Door {
    board: SharedBoard,
    sign_offs: mpsc::Sender<SignOffRequest>,
    stop: CancellationToken,
}

/// A listening dashboard.
#[derive(Debug)]
pub struct Dashboard {
    pub address: SocketAddr,
}

impl Dashboard {
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// Serves the dashboard until `stop`.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    board: SharedBoard,
    sign_offs: mpsc::Sender<SignOffRequest>,
    stop: CancellationToken,
) -> Result<Dashboard> {
    let listener = TcpListener::bind(address).await.map_err(|e| {
        CliError::new(
            Kind::Environment,
            format!(
                "cannot open the dashboard on {address}: {}",
                crate::error::io_words(&e)
            ),
        )
        .hint("choose another address with --dashboard, or leave it out for a free port")
    })?;
    let address = listener.local_addr().map_err(|e| {
        CliError::new(
            Kind::Environment,
            format!("cannot tell the dashboard's address: {e}"),
        )
    })?;
    let router = router(board, sign_offs, stop.clone());
    tokio::spawn(async move {
        let served = axum::serve(listener, router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::warn!(%error, "the dashboard has ended");
        }
    });
    Ok(Dashboard { address })
}

/// The dashboard's routes; apart for tests.
pub fn router(
    board: SharedBoard,
    sign_offs: mpsc::Sender<SignOffRequest>,
    stop: CancellationToken,
) -> Router {
    Router::new()
        .route(
            "/",
            get(|| {
                asset(
                    "text/html; charset=utf-8",
                    include_str!("../../assets/dashboard.html"),
                )
            }),
        )
        .route(
            "/dashboard.css",
            get(|| {
                asset(
                    "text/css; charset=utf-8",
                    include_str!("../../assets/dashboard.css"),
                )
            }),
        )
        .route(
            "/dashboard.js",
            get(|| {
                asset(
                    "text/javascript; charset=utf-8",
                    include_str!("../../assets/dashboard.js"),
                )
            }),
        )
        .route(
            "/favicon.svg",
            get(|| asset("image/svg+xml", include_str!("../../assets/favicon.svg"))),
        )
        .route("/api/status", get(status))
        .route("/api/events", get(events))
        .route("/api/sign-offs", post(sign_off))
        .layer(DefaultBodyLimit::max(ENVELOPE_BYTES_MAX))
        .layer(middleware::from_fn(guard))
        .with_state(Door {
            board,
            sign_offs,
            stop,
        })
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    (
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")],
        text,
    )
        .into_response()
}

/// Keeps other web pages out (names that resolve to loopback, cross-site requests) and puts the
/// policy on every answer.
async fn guard(request: Request, next: Next) -> Response {
    if !is_local(request.headers()) {
        return (StatusCode::FORBIDDEN, "this page is for http://127.0.0.1 only\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

pub(crate) fn is_local(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let host_is_local = text(header::HOST).is_some_and(|host| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        matches!(name, "127.0.0.1" | "localhost" | "[::1]")
    });
    let origin_is_ours = match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.strip_prefix("http://") == Some(host),
        (Some(_), None) => false,
    };
    host_is_local && origin_is_ours
}

async fn status(State(door): State<Door>) -> Response {
    Json(door.board.read(Clone::clone)).into_response()
}

async fn events(State(door): State<Door>) -> Sse<impl Stream<Item = std::result::Result<Event, Infallible>>> {
    let watch = door.board.watch();
    let stream = futures_util::stream::unfold((door, watch, true), |(door, mut watch, first)| async move {
        if !first {
            tokio::select! {
                () = door.stop.cancelled() => return None,
                changed = watch.changed() => changed.ok()?,
            }
            tokio::time::sleep(SEND_EVERY).await;
        }
        watch.mark_unchanged();
        let event = door
            .board
            .read(|board| Event::default().json_data(board))
            .unwrap_or_default();
        Some((Ok(event), (door, watch, false)))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(10)))
}

async fn sign_off(State(door): State<Door>, body: Bytes) -> Response {
    let (answer, answered) = oneshot::channel();
    if door
        .sign_offs
        .try_send(SignOffRequest {
            envelope: body.to_vec(),
            answer,
        })
        .is_err()
    {
        return refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "the launch takes no sign-off now; try again in a moment",
        );
    }
    match answered.await {
        Ok(Ok(accepted)) => (StatusCode::CREATED, Json(accepted)).into_response(),
        Ok(Err(why)) => refused(StatusCode::CONFLICT, &why),
        Err(_) => refused(StatusCode::SERVICE_UNAVAILABLE, "the launch has just ended"),
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, Json(serde_json::json!({ "error": why }))).into_response()
}
