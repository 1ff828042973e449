//! Launch control: runs a plan's gates, keeps the record, rehearses a launch.
//!
//! Owns what happens in the world: processes, files, the clock, gates against live systems, the
//! dashboard. Judges nothing: verdicts, what is due next and rollout decisions are `tminus-plan`'s,
//! taken from the record alone. The library is there for `main` and for this crate's tests.

pub mod after;
pub mod board;
pub mod cli;
pub mod commands;
pub mod conformance;
pub mod console;
pub mod dashboard;
pub mod engine;
pub mod error;
pub(crate) mod feedback_link;
pub mod fleet;
pub mod gates;
pub mod keys;
pub mod layout;
pub mod packages;
pub mod process;
pub mod report;
pub mod session;
pub mod team;
pub mod templates;
pub mod wall;
