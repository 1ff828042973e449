//! What can go wrong: with descriptors, with a request, with an answer; and the one table of their statuses.

use http::StatusCode;

use crate::status::{INTERNAL, INVALID_ARGUMENT, NOT_FOUND, UNAVAILABLE, UNIMPLEMENTED};

/// Why no transcoder can be made of a descriptor set.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the descriptor set cannot be read: {0}; build it with its imports")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    #[error("the descriptor set has more than {max} {what}; describe fewer services, without comments")]
    TooMuch { what: &'static str, max: usize },
    #[error(
        "{file} in the descriptor set has the syntax {syntax:?}, and only proto2 and proto3 are known; write it in one of them"
    )]
    Syntax { file: String, syntax: String },
    #[error("{method}: the path template {template:?} is not valid: {reason}")]
    Template {
        method: String,
        template: String,
        reason: String,
    },
    #[error("{method}: {reason}; correct its google.api.http option")]
    Rule { method: String, reason: String },
    #[error("{first} and {second} both answer {verb} {template}; change one of them")]
    Conflict {
        first: String,
        second: String,
        verb: String,
        template: String,
    },
}

/// Why a request was not passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("there is nothing at {path}")]
    NotFound { path: String },
    /// `allow` is what the header of that name holds.
    #[error("{method} is not allowed here")]
    MethodNotAllowed { method: String, allow: String },
    #[error("{field} in the path: {reason}")]
    Path { field: String, reason: String },
    #[error("{name} in the query: {reason}")]
    Query { name: String, reason: String },
    #[error("the body is no {message}: {reason}")]
    Body { message: String, reason: String },
    #[error("the body did not arrive in full")]
    Incomplete,
    #[error("the body is no gzip")]
    NotGzip,
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the content type {found:?} is not accepted; send application/json")]
    ContentType { found: String },
    #[error("the content encoding {found:?} is not accepted; send gzip or none")]
    ContentEncoding { found: String },
    #[error("{method} takes a stream of messages and cannot be called over HTTP/JSON; call it over gRPC")]
    ClientStreaming { method: String },
}

impl RequestError {
    /// The code of gRPC and the status of HTTP, which knows better in some places.
    #[must_use]
    pub fn codes(&self) -> (u32, StatusCode) {
        match self {
            Self::NotFound { .. } => (NOT_FOUND, StatusCode::NOT_FOUND),
            Self::MethodNotAllowed { .. } => (UNIMPLEMENTED, StatusCode::METHOD_NOT_ALLOWED),
            Self::Path { .. } | Self::Query { .. } | Self::Body { .. } | Self::Incomplete | Self::NotGzip => {
                (INVALID_ARGUMENT, StatusCode::BAD_REQUEST)
            }
            Self::TooLarge { .. } => (INVALID_ARGUMENT, StatusCode::PAYLOAD_TOO_LARGE),
            Self::ContentType { .. } | Self::ContentEncoding { .. } => {
                (INVALID_ARGUMENT, StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::ClientStreaming { .. } => (UNIMPLEMENTED, StatusCode::NOT_IMPLEMENTED),
        }
    }
}

/// Why an answer has no HTTP form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    #[error("the answer is no {message}: {reason}")]
    Message { message: String, reason: String },
    #[error("the answer cannot be read: {0}")]
    Frame(#[from] crate::frame::FrameError),
    #[error("the answer ended without a message")]
    NoMessage,
    #[error("the answer has more than one message")]
    ManyMessages,
    #[error("the answer ended without a status")]
    NoStatus,
    #[error("the answer broke off")]
    BrokeOff,
}

impl ResponseError {
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::BrokeOff => UNAVAILABLE,
            _ => INTERNAL,
        }
    }
}
