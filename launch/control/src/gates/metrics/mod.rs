//! Who counts what both sides of a rollout answer, behind two methods.
//!
//! A source that does not know says so: a figure that is missing is never a zero.

pub mod gateway;
pub mod players;
pub mod prometheus;
mod tally;

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use tminus_load::Snapshot;
use tminus_plan::{CanarySpec, Counts, Releases, RouterSpec};
use tokio::sync::watch;

use super::CouldNotRun;
use gateway::GatewayCounters;
use players::Witnesses;
use prometheus::Prometheus;

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

/// Who counts for a gate: whom the plan names, else its players, else the gateway.
///
/// # Errors
/// Nobody does, or what the plan says of it cannot be.
pub fn connect(
    spec: &CanarySpec,
    releases: &Releases,
    players: Option<watch::Receiver<Snapshot>>,
) -> Result<Box<dyn MetricSource>, CouldNotRun> {
    if let Some(prometheus) = &spec.metrics {
        return Ok(Box::new(Prometheus::new(prometheus, releases, slow_ms(spec))?));
    }
    let counters = match &spec.router {
        RouterSpec::Gateway { admin } => Some(GatewayCounters::new(
            admin,
            &spec.stable,
            &spec.canary,
            slow_ms(spec),
        )?),
        RouterSpec::Nginx(_) | RouterSpec::HttpRoute(_) => None,
    };
    Ok(match (players, counters) {
        (Some(snapshots), beside) => Box::new(Witnesses {
            snapshots,
            releases: releases.clone(),
            beside,
        }),
        (None, Some(counters)) => Box::new(counters),
        (None, None) => {
            return Err(
                CouldNotRun::new("nobody counts what the canary answers").hint("add `metrics` to the plan")
            );
        }
    })
}

/// Without `slow_ms` in the plan no answer is slow.
pub(super) fn slow_ms(spec: &CanarySpec) -> u32 {
    spec.slow_ms.unwrap_or(u32::MAX)
}
