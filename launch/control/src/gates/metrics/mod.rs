//! Who counts what both sides of a rollout answer, behind two methods.
//!
//! A source that does not know says so: a figure that is missing is never a zero.

pub mod gateway;
pub mod players;
pub mod prometheus;
mod tally;

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use tminus_plan::Counts;

use super::CouldNotRun;

/// What a source sees of both sides at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Or why it is not known now.
    pub stable: Result<Counts, String>,
    pub canary: Result<Counts, String>,
    /// Connections that are open to the canary, where the source knows it.
    pub open_connections: Option<u64>,
    /// Grows with everything that the canary does.
    pub canary_activity: u64,
    /// More for the evidence, by name.
    pub figures: BTreeMap<String, f64>,
}

/// Something that counts.
pub trait MetricSource: Send {
    /// What is counted and how, for the evidence; asks once, so that a mistake shows before the canary has weight.
    fn describe(&mut self) -> BoxFuture<'_, Result<BTreeMap<String, String>, CouldNotRun>>;

    /// Looks once. An error is for what no later look can mend.
    fn look(&mut self) -> BoxFuture<'_, Result<Seen, CouldNotRun>>;
}
