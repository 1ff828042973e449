//! The one place where the gateway's own refusals become HTTP and gRPC answers.
//!
//! HTTP errors have the JSON form of `google.rpc.Status`: `{"code","message","details"}`; gRPC
//! calls get a trailers-only answer. Nothing of an upstream's answer passes through here.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use tminus_deadline::HeaderError;

use crate::body::GatewayBody;

/// `grpc-status` header or trailer.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// gRPC status codes (google.rpc.Code) that the gateway itself speaks of.
pub mod code {
    /// The caller went away.
    pub const CANCELLED: u32 = 1;
    /// The answer carried no usable status.
    pub const UNKNOWN: u32 = 2;
    /// The request is malformed.
    pub const INVALID_ARGUMENT: u32 = 3;
    /// Time ran out.
    pub const DEADLINE_EXCEEDED: u32 = 4;
    /// There is no such thing.
    pub const NOT_FOUND: u32 = 5;
    /// Not for this caller.
    pub const PERMISSION_DENIED: u32 = 7;
    /// A limit is reached.
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    /// Not in the state that things are in.
    pub const FAILED_PRECONDITION: u32 = 9;
    /// The gateway does not do that.
    pub const UNIMPLEMENTED: u32 = 12;
    /// An invariant broke.
    pub const INTERNAL: u32 = 13;
    /// Nobody can answer at the moment.
    pub const UNAVAILABLE: u32 = 14;
    /// Data was lost.
    pub const DATA_LOSS: u32 = 15;
}

/// True for the codes that say that the server failed, and not its caller.
pub fn blames_server(code: u32) -> bool {
    matches!(
        code,
        code::UNKNOWN | code::DEADLINE_EXCEEDED | code::INTERNAL | code::UNAVAILABLE | code::DATA_LOSS
    )
}

/// How a caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP, passed on as it is.
    Http,
    /// gRPC.
    Grpc,
    /// HTTP/JSON, while the backend is asked over gRPC.
    Transcoded,
}

/// Why the gateway answers by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Every backend that may take the request drains.
    #[error("every backend that may take this request is draining: try again later")]
    NoBackend,
    /// The backend has as many requests in flight as it may.
    #[error("backend {backend} has reached its limit of {limit} requests in flight: try again later")]
    Busy {
        /// The backend's name.
        backend: String,
        /// The limit.
        limit: u64,
    },
    /// The client asks more often than it may.
    #[error("more than {per_second} requests per second from this address: try again in a second")]
    TooMany {
        /// What it may.
        per_second: u32,
    },
    /// No connection to the backend.
    #[error("backend {backend} could not be reached: {why}")]
    Connect {
        /// The backend's name.
        backend: String,
        /// What the system says.
        why: String,
    },
    /// The connection broke before the answer was there.
    #[error("backend {backend} broke off before it answered: {why}")]
    Broken {
        /// The backend's name.
        backend: String,
        /// What the protocol says.
        why: String,
    },
    /// The answer's headers did not arrive in time.
    #[error("backend {backend} did not answer within {limit_ms} ms")]
    Timeout {
        /// The backend's name.
        backend: String,
        /// The gateway's or the client's own limit.
        limit_ms: u64,
    },
    /// The client left too little time to call anybody.
    #[error("the request's own deadline has passed")]
    DeadlineSpent,
    /// A header that names a time limit cannot be read.
    #[error(transparent)]
    UnreadableDeadline(#[from] HeaderError),
    /// The request's body is over the limit.
    #[error("the request is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The client stopped sending its body.
    #[error("the request's body made no progress for {limit_ms} ms")]
    ClientStalled {
        /// The limit.
        limit_ms: u64,
    },
    /// The request's body is not what its headers say, or broke off: no fault of the backend.
    #[error("the request's body broke off, or cannot be read")]
    BrokenBody,
    /// CONNECT and other things that a gateway does not carry.
    #[error("{what} is not carried by this gateway")]
    Unsupported {
        /// What was asked for.
        what: String,
    },
}

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoBackend | Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Connect { .. } | Self::Broken { .. } => StatusCode::BAD_GATEWAY,
            Self::Timeout { .. } | Self::DeadlineSpent => StatusCode::GATEWAY_TIMEOUT,
            Self::UnreadableDeadline(_) | Self::BrokenBody => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientStalled { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Unsupported { .. } => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// The gRPC status code, also in the JSON body of the HTTP answer.
    pub fn grpc_code(&self) -> u32 {
        match self {
            Self::NoBackend | Self::Busy { .. } | Self::Connect { .. } | Self::Broken { .. } => {
                code::UNAVAILABLE
            }
            Self::Timeout { .. } | Self::DeadlineSpent => code::DEADLINE_EXCEEDED,
            Self::UnreadableDeadline(_) | Self::BrokenBody => code::INVALID_ARGUMENT,
            Self::TooLarge { .. } | Self::TooMany { .. } => code::RESOURCE_EXHAUSTED,
            Self::ClientStalled { .. } => code::CANCELLED,
            Self::Unsupported { .. } => code::UNIMPLEMENTED,
        }
    }

    /// The answer in the caller's own protocol.
    pub fn answer(&self, protocol: Protocol) -> Response<GatewayBody> {
        if protocol == Protocol::Grpc {
            let mut response = Response::new(GatewayBody::empty());
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            write_grpc_status(headers, self.grpc_code(), &self.to_string());
            return response;
        }
        let mut response = Response::new(GatewayBody::full(error_json(self.grpc_code(), &self.to_string())));
        *response.status_mut() = match self {
            // As whoever answers HTTP/JSON from gRPC says UNAVAILABLE.
            Self::Connect { .. } | Self::Broken { .. } if protocol == Protocol::Transcoded => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => self.status(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(self, Self::TooLarge { .. } | Self::ClientStalled { .. }) {
            // The rest of the body is still on its way; the connection cannot serve another request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Status and message as gRPC trailers.
pub fn write_grpc_status(headers: &mut HeaderMap, code: u32, message: &str) {
    headers.insert(GRPC_STATUS, HeaderValue::from(code));
    if let Ok(value) = HeaderValue::try_from(percent_encoded(message)) {
        headers.insert(GRPC_MESSAGE, value);
    }
}

/// `{"code","message","details"}`.
pub fn error_json(code: u32, message: &str) -> Bytes {
    serde_json::json!({ "code": code, "message": message, "details": [] })
        .to_string()
        .into()
}

/// As gRPC over HTTP/2 asks for `grpc-message`: everything but visible ASCII without `%` is encoded.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            other => write!(encoded, "%{other:02X}").expect("writing to a string does not fail"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_status_in_both_protocols() {
        let backend = || "stable".to_owned();
        let check = |refusal: Refusal, status: u16, grpc: u32| {
            let answer = refusal.answer(Protocol::Http);
            assert_eq!(
                (answer.status().as_u16(), refusal.grpc_code()),
                (status, grpc),
                "{refusal}"
            );
            let transcoded = refusal.answer(Protocol::Transcoded).status();
            assert_eq!(transcoded.as_u16(), if status == 502 { 503 } else { status });
            let answer = refusal.answer(Protocol::Grpc);
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()[GRPC_STATUS], grpc.to_string());
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/grpc");
        };
        check(Refusal::NoBackend, 503, 14);
        check(
            Refusal::Busy {
                backend: backend(),
                limit: 1,
            },
            503,
            14,
        );
        check(
            Refusal::Connect {
                backend: backend(),
                why: "refused".to_owned(),
            },
            502,
            14,
        );
        check(
            Refusal::Broken {
                backend: backend(),
                why: "reset".to_owned(),
            },
            502,
            14,
        );
        check(
            Refusal::Timeout {
                backend: backend(),
                limit_ms: 5,
            },
            504,
            4,
        );
        check(Refusal::DeadlineSpent, 504, 4);
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_static("-1m"));
        let unreadable = tminus_deadline::headers::requested(&headers).unwrap_err();
        check(Refusal::UnreadableDeadline(unreadable), 400, 3);
        check(Refusal::TooLarge { limit_bytes: 1 }, 413, 8);
        check(Refusal::ClientStalled { limit_ms: 1 }, 408, 1);
        check(
            Refusal::Unsupported {
                what: "CONNECT".to_owned(),
            },
            501,
            12,
        );
    }

    #[test]
    fn grpc_messages_are_percent_encoded() {
        assert_eq!(percent_encoded("50 % of 棋\n"), "50 %25 of %E6%A3%8B%0A");
    }
}
