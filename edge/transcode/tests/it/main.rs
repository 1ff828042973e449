//! The rules of HTTP/JSON over gRPC, each row with the place where the rule is written.

// Tests unwrap, and read the proto files and the seeds; the crate itself does neither.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::type_complexity)]

mod answers;
mod bad_input;
mod build;
mod fields;
mod json;
mod paths;
mod sizes;
mod streams;
mod support;
