//! The players of the gate's own traffic: they see every answer on every connection.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use tminus_load::{ReleaseSnapshot, Snapshot};
use tminus_plan::{Counts, Releases};
use tokio::sync::watch;

use super::gateway::GatewayCounters;
use super::{MetricSource, Seen};
use crate::gates::CouldNotRun;

/// Asks the players; the router's counters, where there are any, tell what else goes on.
#[derive(Debug)]
pub struct Witnesses {
    pub snapshots: watch::Receiver<Snapshot>,
    pub releases: Releases,
    pub beside: Option<GatewayCounters>,
}

impl MetricSource for Witnesses {
    fn describe(&mut self) -> BoxFuture<'_, Result<BTreeMap<String, String>, CouldNotRun>> {
        Box::pin(async { Ok(BTreeMap::from([("metrics".to_owned(), "the players".to_owned())])) })
    }

    fn look(&mut self) -> BoxFuture<'_, Result<Seen, CouldNotRun>> {
        Box::pin(async {
            let beside = match &mut self.beside {
                Some(counters) => Some(counters.look().await?),
                None => None,
            };
            let now = self.snapshots.borrow();
            let of = |release: &str| now.releases.get(release).map(witnessed).unwrap_or_default();
            let commands = now.releases.get(&self.releases.canary).map_or(0, |r| r.commands);
            Ok(Seen {
                stable: Ok(of(&self.releases.stable)),
                canary: Ok(of(&self.releases.canary)),
                open_connections: beside.as_ref().and_then(|seen| seen.open_connections),
                canary_activity: commands + beside.as_ref().map_or(0, |seen| seen.canary_activity),
                figures: beside.map(|seen| seen.figures).unwrap_or_default(),
            })
        })
    }
}

/// What the players of a release have witnessed.
fn witnessed(of: &ReleaseSnapshot) -> Counts {
    Counts {
        requests: of.commands.saturating_sub(of.timeouts),
        errors: of.errors.saturating_sub(of.timeouts),
        slow: of.slow,
        timeouts: of.timeouts,
        latency_us: of.latency.buckets_us(),
        ..Counts::default()
    }
}
