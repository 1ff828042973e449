//! Feature flags: flagd's flag definitions behind [OpenFeature](https://openfeature.dev).
//!
//! [`FlagSet::parse`] checks a definition and compiles it once; what it does not understand it refuses there, with line,
//! column and JSON pointer. [`FlagSet::evaluate`] is a pure function of flag, context and time. [`Flags`] keeps the set
//! that is in force, from files that it reads again and again: a file that cannot be used changes nothing and is
//! told. [`FlagProvider`] gives it to OpenFeature clients. Which operators there are and where they differ from flagd's
//! stands in docs/flags.md.
//!
//! All but [`mod@files`] is pure: no file, no clock, no environment. Nothing here knows what a flag is for.

mod cbor;
mod check;
mod context;
mod evaluate;
pub mod files;
mod json;
mod murmur;
mod overrides;
mod problem;
mod provider;
mod rule;
mod set;
mod value;

pub use context::Context;
pub use evaluate::{EvaluateError, Reason, Resolution};
pub use files::{Failing, FileOptions, Flags, ReadFile, State};
pub use overrides::{Override, OverrideError};
pub use problem::Problem;
pub use provider::FlagProvider;
pub use set::{Flag, FlagSet, Kind, Layer};

/// Bounds on a definition. What is beyond them is refused when it is loaded.
pub mod limits {
    /// One file.
    pub const BYTES_MAX: usize = 1024 * 1024;
    /// Arrays and objects within each other.
    pub const JSON_DEPTH_MAX: usize = 100;
    /// A literal; more digits than any number needs.
    pub const NUMBER_CHARS_MAX: usize = 100;
    pub const FLAGS_MAX: usize = 10_000;
    pub const VARIANTS_MAX: usize = 1_000;
    pub const EVALUATORS_MAX: usize = 1_000;
    /// The name of a flag, a variant or an evaluator, in bytes.
    pub const NAME_BYTES_MAX: usize = 256;
    /// Operations within each other, those of referenced evaluators included.
    pub const RULE_DEPTH_MAX: usize = 64;
    /// Operations and literals of one flag, with every reference written out.
    pub const RULE_NODES_MAX: usize = 50_000;
    /// Of all flags together.
    pub const SET_NODES_MAX: usize = 1_000_000;
    /// What `cat` may make.
    pub const TEXT_BYTES_MAX: usize = 16 * 1024;
    /// How deep a value of the context may be nested where a bucket is computed from it.
    pub const CONTEXT_DEPTH_MAX: usize = 32;
    /// Problems that are told of one definition.
    pub const PROBLEMS_MAX: usize = 50;
    /// The sum of the weights of one `fractional`.
    pub const WEIGHT_SUM_MAX: i64 = i32::MAX as i64;
}
