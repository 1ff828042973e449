//! Answers that are the same everywhere, and the headers that every answer has.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::LogError;
use crate::links::BookError;
use crate::shelf::ShelfError;

/// No script, no frame, no form to elsewhere.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn of(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert("content-type", HeaderValue::from_static(kind));
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

/// Why somebody does not get what was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no credentials, or none that are good")]
    Nobody,
    #[error("a cookie, but not from a page of ours")]
    OtherOrigin,
    #[error("an order that cannot be read")]
    Order,
    #[error("nothing of this role's")]
    NotFound,
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    #[error(transparent)]
    Book(#[from] BookError),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let unavailable = |text| {
            tracing::warn!(error = %self, "refused");
            plain(StatusCode::SERVICE_UNAVAILABLE, text)
        };
        match &self {
            Self::Nobody => {
                let text = "sign in at / with a browser, or send `Authorization: Bearer TOKEN`\n";
                let mut answer = plain(StatusCode::UNAUTHORIZED, text);
                answer
                    .headers_mut()
                    .insert("www-authenticate", HeaderValue::from_static("Bearer"));
                answer
            }
            Self::OtherOrigin => plain(
                StatusCode::FORBIDDEN,
                "this has to come from a page of the portal itself\n",
            ),
            Self::Order => plain(
                StatusCode::BAD_REQUEST,
                "a link needs `role`, `path` and perhaps `downloads_max` (1 to 1000000), and nothing else\n",
            ),
            Self::NotFound
            | Self::Book(BookError::Unknown)
            | Self::Shelf(ShelfError::Missing | ShelfError::Refused) => not_found(),
            Self::Book(BookError::Ended) => plain(StatusCode::GONE, "this link has ended\n"),
            Self::Shelf(_) => unavailable("the file cannot be read now; try again\n"),
            Self::Book(BookError::Full) => unavailable("there are too many links; revoke some\n"),
            Self::Book(BookError::Unwritable(_)) => {
                unavailable("the state of links cannot be written; tell whoever runs the delivery\n")
            }
            Self::Log(_) => unavailable(
                "this download cannot be put on record, so it is refused; tell whoever runs the delivery\n",
            ),
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
