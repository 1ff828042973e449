//! The admin API: weights, draining, metrics. JSON over HTTP/1.1 on a loopback address.
//!
//! It has no authentication: whoever reaches the address may use it, so the configuration refuses
//! other than loopback addresses unless told otherwise. Requests that a web page makes (they carry
//! `Origin`) are refused, or any page open on the machine could drain a backend.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::answers::{code, error_json};
use crate::state::{ChangeError, Shared};

const BODY_BYTES_MAX: usize = 64 * 1024;

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
        ChangeError::Split(_) => (StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT),
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

fn weights_json(shared: &Shared) -> Response {
    Json(json!({ "default": shared.weights() })).into_response()
}

async fn weights(State(shared): State<Arc<Shared>>) -> Response {
    weights_json(&shared)
}

async fn set_weights(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let bad = |message: &str| error(StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT, message);
    let weights: BTreeMap<String, u32> = match serde_json::from_slice(&body) {
        Ok(weights) => weights,
        Err(why) => {
            return bad(&format!(
                "expected whole weights by backend, like {{\"stable\":70,\"canary\":30}}: {why}"
            ));
        }
    };
    match shared.set_weights(&weights) {
        Ok(()) => {
            tracing::info!(?weights, "weights changed");
            weights_json(&shared)
        }
        // The path is right and the body is wrong, whatever is wrong in it.
        Err(why) => bad(&why.to_string()),
    }
}

async fn drain(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    match shared.drain(&name).await {
        Ok(closed) => Json(json!({ "closed_websockets": closed })).into_response(),
        Err(why) => change_error(&why),
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
