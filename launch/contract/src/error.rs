//! Why two documents could not be compared. Each of these is "could not run", never "no changes".

use thiserror::Error;

/// A reason, with the place where it lies and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ContractError {
    #[error("{file}: cannot be read: {why}")]
    Read { file: String, why: String },
    #[error("{file}: {bytes} bytes are more than the limit of {limit}; split the document")]
    TooLarge {
        file: String,
        bytes: usize,
        limit: usize,
    },
    #[error("{file}: byte {offset} is not UTF-8; save the document as UTF-8")]
    NotUtf8 { file: String, offset: usize },
    #[error("{file}:{line}:{column}: {what}")]
    Syntax {
        file: String,
        line: u32,
        column: u32,
        what: String,
    },
    #[error("{file}: not an OpenAPI 3 document: {why}")]
    NotOpenApi { file: String, why: String },
    #[error("{file}:{line}:{column}: the reference `{reference}` leads nowhere: {why}")]
    Reference {
        file: String,
        line: u32,
        column: u32,
        reference: String,
        why: String,
    },
    #[error("{file}:{line}:{column}: {what}; expected {expected}")]
    Malformed {
        file: String,
        line: u32,
        column: u32,
        what: String,
        expected: &'static str,
    },
    #[error("{what}: more than the limit of {limit}; nothing is said about documents this large")]
    Limit { what: String, limit: u64 },
    #[error("`{text}` is not a date; write it as 2026-03-31")]
    Date { text: String },
    #[error("{file}: {what}")]
    Policy { file: String, what: String },
}
