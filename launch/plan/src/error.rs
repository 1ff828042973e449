//! What can be wrong with a plan, with a fact, and with a record of facts.

use thiserror::Error;

/// Something in a plan that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}:{line}:{column}: {what}; expected {expected}")]
pub struct PlanError {
    /// The plan's name as the caller gave it.
    pub file: String,
    /// 1-based; 0 where the parser knows no place (an empty file).
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// What was found.
    pub what: String,
    /// What would have been right.
    pub expected: String,
}

/// A fact that cannot be written as a statement, or bytes that are no statement of a fact.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FactError {
    #[error("not an in-toto statement: {why}")]
    NotAStatement { why: String },
    #[error("a statement of type `{found}`; expected `https://in-toto.io/Statement/v1`")]
    StatementType { found: String },
    #[error("no fact is called `{predicate_type}`; this release knows {known}")]
    UnknownFact { predicate_type: String, known: String },
    #[error("`{predicate_type}` does not read: {why}")]
    Predicate { predicate_type: String, why: String },
    #[error("{field} is {value}, which JSON cannot carry")]
    NotFinite { field: String, value: String },
    #[error("{field} has {points} points; at most {limit} are kept (thin it first)")]
    SeriesTooLong {
        field: String,
        points: usize,
        limit: usize,
    },
    #[error("the integer {value} does not survive JSON (more than 53 bits)")]
    IntegerTooLarge { value: String },
}

/// An entry that contradicts the entries before it.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("record entry {index}: {what}")]
pub struct FoldError {
    /// The entry's index in the record.
    pub index: u64,
    pub what: String,
}
