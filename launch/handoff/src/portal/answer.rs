//! Answers that are the same everywhere, and the headers that every answer has.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use crate::shelf::ShelfError;

/// No script, no frame, no form to elsewhere.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn of(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    answer
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response {
    of(status, "text/plain; charset=utf-8", text)
}

pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    of(status, "application/json", value.to_string())
}

pub(super) fn see_other(location: &str) -> Response {
    let mut answer = plain(StatusCode::SEE_OTHER, "");
    match HeaderValue::from_str(location) {
        Ok(location) => drop(answer.headers_mut().insert("location", location)),
        Err(_) => return plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot lead on\n"),
    }
    answer
}

/// For what is not there, not this role's, or forged: nobody learns which.
pub(super) fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "not found\n")
}

pub(super) fn unauthorised() -> Response {
    let text = "sign in at / with a browser, or send `Authorization: Bearer TOKEN`\n";
    let mut answer = plain(StatusCode::UNAUTHORIZED, text);
    answer.headers_mut().insert("www-authenticate", HeaderValue::from_static("Bearer"));
    answer
}

pub(super) fn of_shelf(error: &ShelfError) -> Response {
    match error {
        ShelfError::Missing | ShelfError::Refused => not_found(),
        ShelfError::Changed | ShelfError::Io(_) => {
            tracing::warn!(%error, "a package cannot be read");
            plain(StatusCode::SERVICE_UNAVAILABLE, "the file cannot be read now; try again\n")
        }
    }
}

/// What every answer says to browsers and caches.
pub(super) fn protect(headers: &mut HeaderMap, is_plain: bool) {
    let mut say = |name: &'static str, value: &'static str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    say("cache-control", "no-store");
    say("content-security-policy", POLICY);
    say("x-content-type-options", "nosniff");
    // Not `no-referrer`: forms of ours would come without an origin then.
    say("referrer-policy", "same-origin");
    say("cross-origin-resource-policy", "same-origin");
    say("cross-origin-opener-policy", "same-origin");
    if !is_plain {
        say("strict-transport-security", "max-age=31536000");
    }
}
