//! Two versions of an OpenAPI document, compared: what would a client written against the first meet
//! in the second?
//!
//! The way through: [`Spec::load`] turns each document, with the files that it refers to, into a
//! table of nodes with places; [`compare`] walks both and judges each difference by a rule of the
//! table; an [`IgnoreList`] takes out what was decided on; [`report`] writes what is left.
//! Pure: files come through [`Files`], today is a setting, and what cannot be compared is an error.

mod date;
mod delta;
mod diff;
mod document;
mod error;
mod finding;
pub mod ignore;
pub mod report;
mod rules;
mod schema;
pub mod severity;

pub use date::Date;
pub use diff::{Profile, Settings, compare};
pub use document::{Files, Limits, Mark, Spec};
pub use error::ContractError;
pub use finding::{Finding, Place};
pub use ignore::IgnoreList;
pub use rules::{Level, Rule, rule, rules};
