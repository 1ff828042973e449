//! The gateway's own counters.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;

use super::{MetricSource, Seen};
use crate::gates::CouldNotRun;
use crate::gates::router::gateway::Admin;

/// Reads the admin interface.
#[derive(Debug)]
pub struct GatewayCounters {
    admin: Admin,
    stable: String,
    canary: String,
    slow_ms: u32,
}

impl GatewayCounters {
    /// # Errors
    /// The address is not a URL.
    pub fn new(admin: &str, stable: &str, canary: &str, slow_ms: u32) -> Result<Self, CouldNotRun> {
        Ok(Self {
            admin: Admin::new(admin)?,
            stable: stable.to_owned(),
            canary: canary.to_owned(),
            slow_ms,
        })
    }
}

impl MetricSource for GatewayCounters {
    fn describe(&mut self) -> BoxFuture<'_, Result<BTreeMap<String, String>, CouldNotRun>> {
        Box::pin(async {
            Ok(BTreeMap::from([(
                "metrics".to_owned(),
                "the gateway's counters".to_owned(),
            )]))
        })
    }

    fn look(&mut self) -> BoxFuture<'_, Result<Seen, CouldNotRun>> {
        Box::pin(async {
            let (stable, canary) = self.admin.metrics(&self.stable, &self.canary).await?;
            let mut figures = BTreeMap::new();
            for (name, side) in [("stable", &stable), ("canary", &canary)] {
                figures.insert(format!("gateway_requests_{name}"), side.requests as f64);
                figures.insert(format!("gateway_errors_{name}"), side.errors as f64);
                figures.insert(
                    format!("gateway_errors_repeated_{name}"),
                    side.errors_repeated as f64,
                );
            }
            Ok(Seen {
                stable: Ok(stable.counts(self.slow_ms)),
                canary: Ok(canary.counts(self.slow_ms)),
                open_connections: Some(canary.open_websockets),
                canary_activity: canary.requests,
                figures,
            })
        })
    }
}
