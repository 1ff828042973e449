//! A tminus-gateway by its admin interface: weights, counters, draining.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Client, Url};
use serde::Deserialize;
use tminus_plan::{Counts, Releases};

use super::probe::Probe;
use super::{Answer, Router, uncounted};
use crate::gates::CouldNotRun;
use crate::gates::http::{client, words};

const TIMEOUT: Duration = Duration::from_secs(3);
/// A refused call is tried again this often: a gateway may be busy with a drain.
const TRIES_MAX: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// Where a gateway takes orders.
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
    base: Url,
}

/// One backend's counters; they only grow.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct BackendMetrics {
    pub version: String,
    /// Percent, with decimals perhaps.
    pub weight: f64,
    #[serde(default)]
    pub draining: bool,
    pub requests: u64,
    pub errors: u64,
    /// A gateway of an older release does not tell them.
    #[serde(default)]
    pub errors_repeated: u64,
    #[serde(default)]
    pub open_websockets: u64,
    #[serde(default)]
    pub latency_us_buckets: Vec<(u64, u64)>,
}

#[derive(Debug, Deserialize)]
struct Metrics {
    backends: BTreeMap<String, BackendMetrics>,
}

#[derive(Debug, Deserialize)]
struct Drained {
    #[serde(default)]
    closed_websockets: u64,
}

impl BackendMetrics {
    /// What a rollout judges; an unanswered request is among the gateway's errors already.
    pub fn counts(&self, slow_ms: u32) -> Counts {
        Counts {
            requests: self.requests,
            errors: self.errors,
            errors_repeated: self.errors_repeated,
            slow: Counts::slow_in(&self.latency_us_buckets, slow_ms),
            latency_us: self.latency_us_buckets.clone(),
            ..Counts::default()
        }
    }
}

impl Admin {
    /// # Errors
    /// The address is not a URL.
    pub fn new(base: &str) -> Result<Self, CouldNotRun> {
        let base = Url::parse(base).map_err(|e| {
            CouldNotRun::new(format!("the gateway's admin address `{base}` is not a URL: {e}"))
        })?;
        Ok(Self {
            client: client()?,
            base,
        })
    }

    /// The counters of both sides of a rollout.
    ///
    /// # Errors
    /// No answer, or one that does not know the backends.
    pub async fn metrics(
        &self,
        stable: &str,
        canary: &str,
    ) -> Result<(BackendMetrics, BackendMetrics), CouldNotRun> {
        let text = self.call(|| self.client.get(self.url("metrics.json"))).await?;
        let mut metrics: Metrics = serde_json::from_str(&text)
            .map_err(|e| CouldNotRun::new(format!("{} is not as expected: {e}", self.url("metrics.json"))))?;
        let known: Vec<String> = metrics.backends.keys().cloned().collect();
        let mut take = |name: &str| {
            metrics.backends.remove(name).ok_or_else(|| {
                CouldNotRun::new(format!(
                    "the gateway has no backend `{name}`; it has {}",
                    known.join(", ")
                ))
            })
        };
        Ok((take(stable)?, take(canary)?))
    }

    /// Gives the canary its share of the default split, stable the rest.
    ///
    /// # Errors
    /// The gateway does not take it.
    pub async fn set_weights(
        &self,
        stable: &str,
        canary: &str,
        canary_percent: u32,
    ) -> Result<(), CouldNotRun> {
        let weights = BTreeMap::from([
            (stable, 100 - canary_percent.min(100)),
            (canary, canary_percent.min(100)),
        ]);
        self.call(|| self.client.put(self.url("weights")).json(&weights))
            .await?;
        Ok(())
    }

    /// Takes a backend out of service and ends its connections; answers how many.
    ///
    /// # Errors
    /// The gateway does not do it.
    pub async fn drain(&self, backend: &str) -> Result<u64, CouldNotRun> {
        let text = self
            .call(|| self.client.post(self.url(&format!("backends/{backend}/drain"))))
            .await?;
        Ok(serde_json::from_str::<Drained>(&text).map_or(0, |d| d.closed_websockets))
    }

    /// Takes a backend into service again.
    ///
    /// # Errors
    /// The gateway does not do it.
    pub async fn undrain(&self, backend: &str) -> Result<(), CouldNotRun> {
        self.call(|| self.client.post(self.url(&format!("backends/{backend}/undrain"))))
            .await?;
        Ok(())
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    async fn call(&self, request: impl Fn() -> reqwest::RequestBuilder) -> Result<String, CouldNotRun> {
        let mut last = String::new();
        for attempt in 1..=TRIES_MAX {
            if attempt > 1 {
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
            match request().timeout(TIMEOUT).send().await {
                Err(e) => last = words(&e),
                Ok(response) => {
                    let status = response.status();
                    match response.text().await {
                        Ok(text) if status.is_success() => return Ok(text),
                        // It has understood and refuses: asking again changes nothing.
                        Ok(text) if status.is_client_error() => {
                            return Err(CouldNotRun::new(format!(
                                "the gateway refuses: {status}: {}",
                                text.trim()
                            )));
                        }
                        Ok(text) => last = format!("{status}: {}", text.trim()),
                        Err(e) => last = words(&e),
                    }
                }
            }
        }
        Err(CouldNotRun::new(format!(
            "the gateway's admin interface {} does not answer: {last}",
            self.base
        ))
        .hint("is the gateway running, and is `gateway_admin` its admin address?"))
    }
}

/// The gateway as a router.
#[derive(Debug)]
pub struct Gateway {
    admin: Admin,
    stable: String,
    canary: String,
    pub(super) probe: Option<Probe>,
}

impl Gateway {
    /// # Errors
    /// The address is not a URL.
    pub fn new(admin: &str, (stable, canary): (String, String)) -> Result<Self, CouldNotRun> {
        Ok(Self {
            admin: Admin::new(admin)?,
            stable,
            canary,
            probe: None,
        })
    }

    /// What the backends call themselves.
    pub(super) async fn releases(&self) -> Result<Releases, CouldNotRun> {
        let (stable, canary) = self.admin.metrics(&self.stable, &self.canary).await?;
        Ok(Releases {
            stable: stable.version,
            canary: canary.version,
        })
    }
}

impl Router for Gateway {
    fn weight(&mut self) -> Answer<'_, u32> {
        Box::pin(async {
            let (_, canary) = self.admin.metrics(&self.stable, &self.canary).await?;
            Ok(canary.weight.ceil() as u32)
        })
    }

    fn set_weight(&mut self, canary_percent: u32) -> Answer<'_, ()> {
        Box::pin(self.admin.set_weights(&self.stable, &self.canary, canary_percent))
    }

    fn verify(&mut self, canary_percent: u32) -> Answer<'_, String> {
        Box::pin(async move {
            if let Some(probe) = &mut self.probe {
                return probe.verify(canary_percent).await;
            }
            let weight = self.weight().await?;
            if weight == canary_percent {
                return Ok(uncounted(weight, "read back"));
            }
            Err(CouldNotRun::new(format!(
                "the gateway was told {canary_percent} % and says {weight} %: somebody else sets its weights"
            )))
        })
    }

    fn set_draining(&mut self, draining: bool) -> Answer<'_, String> {
        Box::pin(async move {
            if draining {
                let closed = self.admin.drain(&self.canary).await?;
                return Ok(format!("canary drained: {closed} connections sent elsewhere"));
            }
            self.admin.undrain(&self.canary).await?;
            Ok("the canary is in service".to_owned())
        })
    }
}
