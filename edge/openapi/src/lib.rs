//! An OpenAPI document from a protobuf descriptor set.
//!
//! What stands in the contract comes from the descriptors: paths and parameters by the rules of
//! `google.api.http` (`google/api/http.proto`), schemas in the JSON form of Protocol Buffers
//! (protobuf.dev, "ProtoJSON Format"), descriptions from the comments. What does not stand there
//! (errors, credentials, examples) comes from [`Settings`], and names only what exists: a note about a
//! method that is gone is an error. The same input gives the same bytes.
//!
//! This crate reads no file and serves nothing.

mod comments;
mod document;
mod error;
mod nulls;
mod operation;
mod parameters;
mod rule;
mod schema;
mod settings;
mod template;
mod well_known;

pub use document::{generate, to_json, to_yaml};
pub use error::GenerateError;
pub use prost_reflect::DescriptorPool;
pub use settings::{
    Dialect, ErrorAnswer, Header, License, OperationNotes, SecurityKind, SecurityScheme, Settings, WebSocket,
    code_name,
};
pub use template::{Part, Template, TemplateError, Variable};

/// Operations of one document, additional bindings included.
pub const OPERATIONS_MAX: usize = 10_000;
/// Messages and enums of one document.
pub const SCHEMAS_MAX: usize = 20_000;
/// Query parameters of one operation.
pub const QUERY_PARAMETERS_MAX: usize = 500;
/// How deep query parameters look into messages.
pub const QUERY_DEPTH_MAX: usize = 8;
/// Bytes of a path template.
pub const TEMPLATE_BYTES_MAX: usize = 4096;
