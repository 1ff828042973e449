//! Whether a running service does what its OpenAPI document says: which requests to send, and what each answer shows.
//!
//! Nothing here sends anything. [`Spec::read`] takes the document, [`cases`] makes requests of every operation, valid ones and
//! ones that provoke the declared errors, [`Judge`] compares each answer with what is declared. An answer that could not be had is
//! never "conforms": the caller tells it apart.

mod case;
mod document;
mod error;
mod judge;
mod schema;
mod value;

pub use case::{Case, CaseKind, Hints, Request, cases};
pub use document::{Body, Operation, Parameter, Place, Spec};
pub use error::SpecError;
pub use judge::{Answer, Finding, FindingKind, Judge, Pair};

/// Limits on what a document may hold, so that no input makes this program run away.
pub mod limits {
    /// Bytes of a document.
    pub const DOCUMENT_BYTES_MAX: usize = 32 * 1024 * 1024;
    pub const OPERATIONS_MAX: usize = 5_000;
    /// Of one operation.
    pub const CASES_MAX: usize = 64;
    /// Schemas within schemas, references followed.
    pub const DEPTH_MAX: usize = 48;
    /// Findings that one answer may have.
    pub const FINDINGS_MAX: usize = 20;
}
