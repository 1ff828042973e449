//! The rules of HTTP/JSON over gRPC, each row with the place where the rule is written.

mod answers;
mod bad_input;
mod build;
mod fields;
mod json;
mod paths;
mod streams;
mod support;
