//! Why there is no document.

use prost_reflect::DescriptorError;

use crate::template::TemplateError;

/// Names the method and what to change.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error("the descriptor set cannot be read: {0}; write it with its imports included")]
    Descriptors(#[from] DescriptorError),
    #[error("{method}: the path {template:?} cannot be read: {source}")]
    Template {
        method: String,
        template: String,
        source: TemplateError,
    },
    #[error(
        "{method}: its google.api.http annotation names no path; give it one of get, put, post, delete, patch"
    )]
    NoPath { method: String },
    #[error(
        "{method}: HTTP has no operation {kind:?} that OpenAPI knows; use HEAD, OPTIONS or TRACE as custom kind"
    )]
    UnknownVerb { method: String, kind: String },
    #[error("{method}: an additional binding has additional bindings of its own; they go one level deep")]
    NestedBindings { method: String },
    #[error("{method}: {message} has no field {path}, which its {place} names")]
    NoSuchField {
        method: String,
        message: String,
        path: String,
        place: &'static str,
    },
    #[error("{method}: {path} cannot stand in a path: it is repeated or a message")]
    NotOneValue { method: String, path: String },
    #[error("{method}: {path} is bound twice in one path")]
    BoundTwice { method: String, path: String },
    #[error("{verb} {path} belongs to {first} and to {second}; one of them needs another path")]
    SamePath {
        verb: &'static str,
        path: String,
        first: String,
        second: String,
    },
    #[error(
        "there are notes about {method}, which has no google.api.http annotation (any more); remove them"
    )]
    UnknownMethod { method: String },
    #[error("there are keywords for the field {field}, which does not exist (any more); remove them")]
    UnknownField { field: String },
    #[error("{method} asks for the credential {name:?}, which no security scheme describes")]
    UnknownSecurityScheme { method: String, name: String },
    #[error("{method}: {status} is no status of an error; 400 to 599 are")]
    NotAnError { method: String, status: u16 },
    #[error("there is no message {name}, which the WebSocket {path} is said to carry")]
    UnknownMessage { path: String, name: String },
    #[error("{method}: more than {max} query parameters; take its request in a body")]
    TooManyParameters { method: String, max: usize },
    #[error("more than {max} {what}; split the descriptor set")]
    TooMany { what: &'static str, max: usize },
    #[error("the document cannot be written: {0}")]
    Write(String),
}
