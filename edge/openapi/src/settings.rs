//! What a document says that descriptors do not: errors, credentials, examples.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The version of the OpenAPI Specification that the document keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// 3.0.3: `nullable`, no keyword beside a `$ref`.
    V3_0,
    /// 3.1.0: schemas are JSON Schema 2020-12.
    #[default]
    V3_1,
}

impl Dialect {
    /// `3.0` or `3.1`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "3.0" => Some(Self::V3_0),
            "3.1" => Some(Self::V3_1),
            _ => None,
        }
    }

    /// The value of the field `openapi`.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::V3_0 => "3.0.3",
            Self::V3_1 => "3.1.0",
        }
    }
}

/// Everything beside the descriptors.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub dialect: Dialect,
    pub title: String,
    /// The version of the contract, not of a program that serves it.
    pub version: String,
    /// CommonMark; empty for none.
    pub description: String,
    pub license: Option<License>,
    /// Addresses, relative ones too; none leaves it to where the document was found.
    pub servers: Vec<String>,
    pub security_schemes: Vec<SecurityScheme>,
    /// Errors that every operation may answer with.
    pub errors: Vec<ErrorAnswer>,
    /// Headers of every answer.
    pub response_headers: Vec<Header>,
    /// By the full name of the method, e.g. `starvault.v1.PlayerService.GetProfile`.
    pub operations: BTreeMap<String, OperationNotes>,
    /// What a server asks of a field beyond its type, as keywords of JSON Schema (`pattern`, `maxLength`, …),
    /// by the field's full name, e.g. `starvault.v1.GetProfileRequest.player_id`.
    pub fields: BTreeMap<String, Map<String, Value>>,
    /// Whether the server takes `null` for a field that is not there, as ProtoJSON allows.
    pub takes_null: bool,
    pub websockets: Vec<WebSocket>,
}

/// By name and, in 3.1, as an SPDX expression.
#[derive(Debug, Clone)]
pub struct License {
    pub name: String,
    pub spdx: String,
}

/// A way to say who one is.
#[derive(Debug, Clone)]
pub struct SecurityScheme {
    /// What operations call it.
    pub name: String,
    pub kind: SecurityKind,
    pub description: String,
}

#[derive(Debug, Clone)]
pub enum SecurityKind {
    /// `Authorization: Bearer …`, with the format of what follows, e.g. `JWT`.
    Bearer { format: String },
    /// A header of this name.
    Header { name: String },
    /// A cookie of this name.
    Cookie { name: String },
}

/// One reason to be refused, and how that is answered.
#[derive(Debug, Clone)]
pub struct ErrorAnswer {
    /// HTTP, 400 to 599.
    pub status: u16,
    /// `google.rpc.Code`.
    pub code: i32,
    /// When it is answered: part of the response's description.
    pub when: String,
    /// A message as the server writes it: part of the response's example.
    pub message: String,
    pub header: Option<Header>,
}

#[derive(Debug, Clone)]
pub struct Header {
    pub name: String,
    pub description: String,
}

/// About one method.
#[derive(Debug, Clone, Default)]
pub struct OperationNotes {
    /// Names of security schemes of which any one is asked for; none: everybody may call.
    pub security: Vec<String>,
    pub errors: Vec<ErrorAnswer>,
    /// Of the whole request message, in ProtoJSON. Where a field of it is the body, that part is shown.
    pub request_example: Option<Value>,
    pub response_example: Option<Value>,
}

/// A WebSocket, told in the extension `x-websockets`: OpenAPI has no words for one.
#[derive(Debug, Clone)]
pub struct WebSocket {
    pub path: String,
    pub description: String,
    pub subprotocols: Vec<String>,
    /// The full name of the message that clients send; its schema becomes part of the document.
    pub client_message: String,
    pub server_message: String,
}

/// The name of a `google.rpc.Code`.
#[must_use]
pub fn code_name(code: i32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    usize::try_from(code)
        .ok()
        .and_then(|at| NAMES.get(at).copied())
        .unwrap_or("UNKNOWN")
}
