//! The admin API: weights, draining, reloading, explaining, metrics. JSON over HTTP/1.1 on a loopback address.
//!
//! It has no authentication: whoever reaches the address may use it, so the configuration refuses
//! other than loopback addresses unless told otherwise. Requests that a web page makes (they carry
//! `Origin`) are refused, or any page open on the machine could drain a backend.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::answers::{code, error_json};
use crate::explain::{Question, Unanswered};
use crate::state::{ChangeError, Shared};
use crate::weight::Weight;

const BODY_BYTES_MAX: usize = 64 * 1024;
const SPREAD_MS_MAX: u64 = 3_600_000;

/// Serves the admin API until told to stop.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let serving = axum::serve(listener, router(shared));
    // A kept connection of a poller must not hold the process: no grace here.
    tokio::select! {
        served = serving => served,
        () = stop.cancelled() => Ok(()),
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/weights", get(weights).put(set_weights))
        .route("/backends/{name}/drain", post(drain))
        .route("/backends/{name}/undrain", post(undrain))
        .route("/reload", post(reload))
        .route("/explain", post(explain))
        .route("/metrics.json", get(metrics_json))
        .route("/metrics", get(metrics_text))
        .fallback(async || {
            error(
                StatusCode::NOT_FOUND,
                code::NOT_FOUND,
                "there is nothing at this path",
            )
        })
        .method_not_allowed_fallback(async || {
            error(
                StatusCode::METHOD_NOT_ALLOWED,
                code::UNIMPLEMENTED,
                "this path does not take this method",
            )
        })
        .layer(middleware::from_fn(refuse_web_pages))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared)
}

async fn refuse_web_pages(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::ORIGIN) {
        return error(
            StatusCode::FORBIDDEN,
            code::PERMISSION_DENIED,
            "the admin API does not answer web pages",
        );
    }
    next.run(request).await
}

fn error(status: StatusCode, code: u32, message: &str) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        error_json(code, message),
    )
        .into_response()
}

fn change_error(change: &ChangeError) -> Response {
    let (status, code) = match change {
        ChangeError::UnknownBackend { .. } => (StatusCode::NOT_FOUND, code::NOT_FOUND),
        ChangeError::Split(_) | ChangeError::Fixed { .. } => {
            (StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT)
        }
    };
    error(status, code, &change.to_string())
}

async fn healthz(State(shared): State<Arc<Shared>>) -> Response {
    if shared.shutdown.is_cancelled() {
        return error(
            StatusCode::SERVICE_UNAVAILABLE,
            code::UNAVAILABLE,
            "shutting down",
        );
    }
    Json(json!({ "status": "ok" })).into_response()
}

async fn weights(State(shared): State<Arc<Shared>>) -> Response {
    Json(json!({ "default": shared.weights() })).into_response()
}

async fn set_weights(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let bad = |message: &str| error(StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT, message);
    let weights: BTreeMap<String, Weight> = match serde_json::from_slice(&body) {
        Ok(weights) => weights,
        Err(why) => {
            return bad(&format!(
                "expected weights in percent by backend, like {{\"stable\":99.5,\"canary\":0.5}}: {why}"
            ));
        }
    };
    match shared.set_weights(&weights) {
        Ok(not_kept) => {
            tracing::info!(?weights, "weights changed");
            let mut answer = json!({ "default": shared.weights() });
            if let Some(why) = not_kept {
                answer["not_kept"] = why.into();
            }
            Json(answer).into_response()
        }
        // The path is right and the body is wrong, whatever is wrong in it.
        Err(why) => bad(&why.to_string()),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    /// Over which its WebSockets are told to end.
    #[serde(default)]
    spread_ms: u64,
}

async fn drain(State(shared): State<Arc<Shared>>, Path(name): Path<String>, body: Bytes) -> Response {
    let bad = |message: &str| error(StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT, message);
    let Drain { spread_ms } = match body.is_empty() {
        true => Drain::default(),
        false => match serde_json::from_slice(&body) {
            Ok(drain) => drain,
            Err(why) => return bad(&format!("expected {{\"spread_ms\":5000}} or nothing: {why}")),
        },
    };
    if spread_ms > SPREAD_MS_MAX {
        return bad(&format!("spread_ms is {SPREAD_MS_MAX} at most"));
    }
    // A task of its own: who asked may leave, and the drain goes on.
    let draining = tokio::spawn(async move { shared.drain(&name, Duration::from_millis(spread_ms)).await });
    match draining.await {
        Ok(Ok(closed)) => Json(json!({ "closed_websockets": closed })).into_response(),
        Ok(Err(why)) => change_error(&why),
        Err(why) => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            code::INTERNAL,
            &why.to_string(),
        ),
    }
}

async fn reload(State(shared): State<Arc<Shared>>) -> Response {
    match crate::reload::reload(&shared) {
        Ok(reloaded) => Json(reloaded).into_response(),
        Err(why) => error(
            StatusCode::BAD_REQUEST,
            code::FAILED_PRECONDITION,
            &why.to_string(),
        ),
    }
}

async fn explain(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let question: Question = match serde_json::from_slice(&body) {
        Ok(question) => question,
        Err(why) => {
            let what = format!(
                "expected {{\"target\":\"/v1/play\",\"client\":\"127.0.0.1\",\"headers\":[[\"x-version\",\"v1.3\"]]}}: {why}"
            );
            return error(StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT, &what);
        }
    };
    match crate::explain::explain(&*shared.routing(), &question) {
        Ok(explained) => Json(explained).into_response(),
        Err(why @ Unanswered::NoRequest(_)) => {
            error(StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT, &why.to_string())
        }
        Err(why @ Unanswered::NoBackend(_)) => error(
            StatusCode::SERVICE_UNAVAILABLE,
            code::UNAVAILABLE,
            &why.to_string(),
        ),
    }
}

async fn undrain(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    match shared.undrain(&name) {
        Ok(()) => Json(json!({ "closed_websockets": 0 })).into_response(),
        Err(why) => change_error(&why),
    }
}

async fn metrics_json(State(shared): State<Arc<Shared>>) -> Response {
    Json(shared.snapshot()).into_response()
}

async fn metrics_text(State(shared): State<Arc<Shared>>) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        shared.snapshot().prometheus(),
    )
        .into_response()
}
