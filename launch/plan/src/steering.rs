//! What a canary gate needs to know of the router that it steers and of where its figures come from.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::spec::CanarySpec;

/// What a probe's headers have in place of the player that each probe is.
pub const KEY: &str = "{{key}}";
/// What a query has in place of the release that it asks for.
pub const RELEASE: &str = "{{release}}";

/// Who splits the traffic.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouterSpec {
    /// A tminus-gateway, by its admin interface.
    Gateway {
        /// Base URL.
        admin: String,
    },
    Nginx(NginxSpec),
    HttpRoute(HttpRouteSpec),
}

/// An nginx on this machine; its part of the split is a file of ours that its configuration includes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NginxSpec {
    /// The file that is written.
    pub file: String,
    /// The main configuration.
    pub config: String,
    /// The program and the words before ours, e.g. `sudo -n nginx`.
    pub program: Vec<String>,
    /// Where the master's process id stands; none when the configuration says it.
    pub pid: Option<String>,
    /// What the variables of the file begin with.
    pub name: String,
    pub spread: NginxSpread,
    /// Request header that pins to a release by its name.
    pub pin_header: Option<String>,
    /// The upstreams' addresses; none when the rest of the configuration has the upstreams.
    pub servers: Option<NginxServers>,
    /// Overwrite a file that is not ours or was changed by hand.
    pub force: bool,
}

/// What is split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NginxSpread {
    /// Players: who sends the same value stays on its side.
    By { variable: String },
    /// Requests, each on its own, by the weights of one upstream.
    Requests,
}

/// `host:port` of each side's servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NginxServers {
    pub stable: Vec<String>,
    pub canary: Vec<String>,
}

/// A rule of an HTTPRoute of the Kubernetes Gateway API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HttpRouteSpec {
    pub namespace: String,
    pub route: String,
    /// The rule's name; none when the route has only one.
    pub rule: Option<String>,
    /// None: from the usual places, or the service account of the pod.
    pub kubeconfig: Option<String>,
    pub context: Option<String>,
    /// How long a gateway may take to report that it took a change in, milliseconds.
    pub ready_ms: u32,
}

/// Requests that are sent after each change, one for each of so many players, and counted by who answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeSpec {
    pub url: String,
    /// [`KEY`] stands for the player.
    pub headers: BTreeMap<String, String>,
    /// Header of the answer that says which release it is from (lower case).
    pub answered_by: String,
    pub requests: u32,
    pub timeout_ms: u32,
}

/// What each side calls itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Releases {
    pub stable: String,
    pub canary: String,
}

/// Counters in a Prometheus; each query has [`RELEASE`] in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PrometheusSpec {
    /// Base URL.
    pub url: String,
    pub requests: String,
    pub errors: String,
    /// Buckets of a histogram of latencies in seconds.
    pub latency: Option<String>,
    pub business: BTreeMap<String, BusinessQuery>,
    pub timeout_ms: u32,
    /// A sample older than this is none, seconds.
    pub stale_s: f64,
    /// A canary without evidence for so long is taken back, seconds.
    pub blind_s: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BusinessQuery {
    pub bad: String,
    pub total: String,
}

impl CanarySpec {
    /// The weight that an approval lets the canary have, and the one before it; none when no step waits for it.
    #[must_use]
    pub fn approved_step(&self, approval: &str) -> Option<(Option<u32>, u32)> {
        let (weight, _) = self
            .at
            .iter()
            .find(|(_, step)| step.approval.as_deref() == Some(approval))?;
        let position = self.steps.iter().position(|step| step == weight)?;
        let before = position
            .checked_sub(1)
            .and_then(|before| self.steps.get(before))
            .copied();
        Some((before, *weight))
    }

    /// Whether a step may be held back for longer than its budget: by a person or by a freeze.
    #[must_use]
    pub fn may_wait(&self) -> bool {
        !self.freeze.is_empty() || self.at.values().any(|step| step.approval.is_some())
    }

    /// Every text in which a variable may stand, but those of the traffic.
    pub(crate) fn texts_mut(&mut self) -> Vec<&mut String> {
        let mut texts = vec![&mut self.stable, &mut self.canary];
        match &mut self.router {
            RouterSpec::Gateway { admin } => texts.push(admin),
            RouterSpec::Nginx(nginx) => {
                texts.extend([&mut nginx.file, &mut nginx.config]);
                texts.extend(&mut nginx.program);
                texts.extend(&mut nginx.pid);
                if let Some(servers) = &mut nginx.servers {
                    texts.extend(servers.stable.iter_mut().chain(&mut servers.canary));
                }
            }
            RouterSpec::HttpRoute(route) => {
                texts.extend([&mut route.namespace, &mut route.route]);
                texts.extend(
                    [&mut route.rule, &mut route.kubeconfig, &mut route.context]
                        .into_iter()
                        .flatten(),
                );
            }
        }
        if let Some(probe) = &mut self.probe {
            texts.push(&mut probe.url);
            texts.extend(probe.headers.values_mut());
        }
        if let Some(releases) = &mut self.releases {
            texts.extend([&mut releases.stable, &mut releases.canary]);
        }
        if let Some(metrics) = &mut self.metrics {
            texts.extend([&mut metrics.url, &mut metrics.requests, &mut metrics.errors]);
            texts.extend(&mut metrics.latency);
            for query in metrics.business.values_mut() {
                texts.extend([&mut query.bad, &mut query.total]);
            }
        }
        texts
    }
}
