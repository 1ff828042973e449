//! What can go wrong with a request, and the one place where that becomes an HTTP status, a gRPC
//! code and a `google.rpc.Status` in JSON.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use starvault_store::StoreError;
use tminus_identity::Refusal;
use tonic::Code;

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("{0}")]
    InvalidArgument(String),
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The credentials name nobody; it has a code of its own.
    #[error(transparent)]
    Credentials(#[from] Refusal),
    #[error("{0}")]
    NotFound(String),
    /// The request is fine, its time has not come.
    #[error("{0}")]
    FailedPrecondition(String),
    #[error("{0} is not allowed here")]
    MethodNotAllowed(String),
    #[error("{0}")]
    TooManyRequests(&'static str),
    #[error("this release answered nothing in time; try again")]
    DeadlineExceeded,
    #[error("{0}")]
    Unavailable(&'static str),
    #[error("an internal error; try again")]
    Internal,
    /// The detail is for the log: clients learn nothing about files and disks.
    #[error("the store does not answer; try again")]
    Store(#[from] StoreError),
}

impl AppError {
    /// The table of the published gRPC to HTTP mapping, with 405 where HTTP knows better.
    fn codes(&self) -> (Code, StatusCode) {
        match self {
            Self::InvalidArgument(_) => (Code::InvalidArgument, StatusCode::BAD_REQUEST),
            Self::Unauthenticated(_) => (Code::Unauthenticated, StatusCode::UNAUTHORIZED),
            Self::Credentials(refusal) if refusal.is_unavailable() => {
                (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::Credentials(_) => (Code::Unauthenticated, StatusCode::UNAUTHORIZED),
            Self::FailedPrecondition(_) => (Code::FailedPrecondition, StatusCode::BAD_REQUEST),
            Self::NotFound(_) => (Code::NotFound, StatusCode::NOT_FOUND),
            Self::MethodNotAllowed(_) => (Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED),
            Self::TooManyRequests(_) => (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS),
            Self::DeadlineExceeded => (Code::DeadlineExceeded, StatusCode::GATEWAY_TIMEOUT),
            Self::Unavailable(_) | Self::Store(_) => (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal => (Code::Internal, StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// The stable code of an error that a client may act on, beyond its status.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Credentials(refusal) => Some(refusal.code()),
            _ => None,
        }
    }

    /// Logged once, here, where it is answered.
    fn log(&self) {
        match self {
            Self::Store(source) => tracing::error!(%source, "the store failed a request"),
            Self::Internal => tracing::error!("a request failed"),
            _ => {}
        }
    }

    /// The answer in the protocol that the request came in.
    pub fn respond(self, request_headers: &HeaderMap) -> Response {
        let grpc = request_headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        if grpc {
            tonic::Status::from(self).into_http()
        } else {
            self.into_response()
        }
    }
}

impl From<AppError> for tonic::Status {
    fn from(error: AppError) -> Self {
        error.log();
        let (code, message) = (error.codes().0, error.to_string());
        // A route that does not exist is an RPC that does not exist.
        match error.reason() {
            Some(reason) => {
                let details = details::status(code, &message, reason);
                Self::with_details(code, message, details.into())
            }
            None => Self::new(code, message),
        }
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        self.log();
        let (code, status) = self.codes();
        let details: Vec<_> = self.reason().map(details::json).into_iter().collect();
        let body =
            serde_json::json!({ "code": code as i32, "message": self.to_string(), "details": details });
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// `google.rpc.ErrorInfo`, the place of a stable code in a `google.rpc.Status` of both protocols.
mod details {
    use prost::Message as _;
    use serde_json::{Value, json};

    const TYPE: &str = "type.googleapis.com/google.rpc.ErrorInfo";
    const DOMAIN: &str = "starvault";

    #[derive(Clone, PartialEq, prost::Message)]
    struct ErrorInfo {
        #[prost(string, tag = "1")]
        reason: String,
        #[prost(string, tag = "2")]
        domain: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Any {
        #[prost(string, tag = "1")]
        type_url: String,
        #[prost(bytes = "vec", tag = "2")]
        value: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Status {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
        #[prost(message, repeated, tag = "3")]
        details: Vec<Any>,
    }

    pub fn json(reason: &str) -> Value {
        json!({ "@type": TYPE, "reason": reason, "domain": DOMAIN })
    }

    /// What the metadata `grpc-status-details-bin` carries.
    pub fn status(code: tonic::Code, message: &str, reason: &str) -> Vec<u8> {
        let info = ErrorInfo {
            reason: reason.to_owned(),
            domain: DOMAIN.to_owned(),
        };
        let status = Status {
            code: code as i32,
            message: message.to_owned(),
            details: vec![Any {
                type_url: TYPE.to_owned(),
                value: info.encode_to_vec(),
            }],
        };
        status.encode_to_vec()
    }
}

/// Why a server could not start, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {source}; free the port or give another one")]
    Listen {
        address: std::net::SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("matchmaking cannot work like this: {0}")]
    Matching(#[from] starvault_matchmaking::SettingsError),
    #[error(transparent)]
    Nodes(#[from] starvault_nodes::ConnectError),
    #[error(transparent)]
    Key(#[from] crate::keys::KeyError),
    #[error("{0}")]
    Credentials(String),
    #[error("cannot read the running executable {}: {source}", path.display())]
    Executable {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    /// Each as `FILE:LINE:COLUMN: POINTER: MESSAGE`.
    #[error("the flags cannot be used; mend them and start again:\n{}", .0.join("\n"))]
    Flags(Vec<String>),
    #[error("the descriptors of the contract are damaged: {0}; build again")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("the contract's HTTP rules do not hold: {0}; correct them and build again")]
    Transcoder(#[from] tminus_transcode::BuildError),
    #[error("a task of the start was interrupted")]
    Interrupted,
}
