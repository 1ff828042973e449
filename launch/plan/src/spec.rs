//! What the kinds of gates need to know to run. Times are real seconds, never plan hours.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::deadlines::Route;
use crate::expectation::{Expectation, Op};
use crate::steering::{ProbeSpec, PrometheusSpec, Releases, RouterSpec};

/// Kinds that the plan's language reserves and that this release cannot run yet. A gate of such
/// a kind is "not checked", whatever happens: it can never tick.
pub const TO_COME_KINDS: [&str; 14] = [
    "coverage",
    "runtime",
    "memory",
    "contract",
    "conformance",
    "data-verify",
    "artifact",
    "vulnerabilities",
    "image",
    "gitops",
    "flags",
    "tls",
    "telemetry",
    "drill",
];

/// What a gate does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateKind {
    Load(LoadSpec),
    Recovery(RecoverySpec),
    Canary(Box<CanarySpec>),
    Http(HttpSpec),
    Command(CommandSpec),
    Sessions(SessionsSpec),
    Deadlines(DeadlinesSpec),
    ToCome { kind: String },
}

/// A number that the plan writes out, or leaves to a variable (`${players}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Count {
    Number(u32),
    /// Text with `${…}`; only in a plan that has not been resolved.
    Variable(String),
}

impl Count {
    /// The number; none before [`crate::Plan::resolve_gate`] has replaced the variable.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Variable(_) => None,
        }
    }
}

/// Who sends what to whom.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Traffic {
    /// Base URL, e.g. `${gateway}`.
    pub target: String,
    pub players: Count,
    /// All players have arrived after this many seconds.
    pub arrivals_s: f64,
    /// A player's pause before each action, mean, in milliseconds.
    pub think_ms: u32,
    pub protocol: Protocol,
}

/// What the players speak.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Sign in, get matched, play whole games over WebSocket.
    Starvault,
    /// Plain requests to any backend, at a fixed total rate, spread over the players.
    Http {
        method: String,
        path: String,
        headers: BTreeMap<String, String>,
        rate_per_s: f64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadSpec {
    pub traffic: Traffic,
    pub duration_s: f64,
    /// A run whose generator started things later than this (99th percentile), in milliseconds,
    /// measured itself and is void.
    pub generator_lag_max_ms: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecoverySpec {
    /// Base URL.
    pub target: String,
    pub players: Count,
    pub duration_s: f64,
    pub think_ms: u32,
    /// Share of the connections that is cut, 0 to 1.
    pub cut_fraction: f64,
}

/// A rollout in steps, judged while it goes on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CanarySpec {
    pub router: RouterSpec,
    /// How it is counted that traffic follows the weights; none when the router's word has to do.
    pub probe: Option<ProbeSpec>,
    /// What the router calls the side that is in service.
    pub stable: String,
    /// What the router calls the side that is to take over.
    pub canary: String,
    /// What the sides call themselves; none when the router says it.
    pub releases: Option<Releases>,
    /// Who counts; none for the players or the gateway.
    pub metrics: Option<PrometheusSpec>,
    /// Weights of the canary in percent, rising, the last one 100.
    pub steps: Vec<u32>,
    /// What is particular about the step with this weight.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub at: BTreeMap<u32, StepSpec>,
    /// Local times at which no step is entered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<Freeze>,
    /// Requests that the canary must have answered within a step before the step can be left.
    pub min_requests: u32,
    /// Least time in a step, seconds.
    pub hold_s: f64,
    /// Time between two looks, seconds.
    pub look_every_s: f64,
    /// An answer later than this is a slow one, milliseconds.
    pub slow_ms: Option<u32>,
    /// Latency quantiles to compare, 0 to 1.
    pub quantiles: Vec<f64>,
    pub margins: Margins,
    /// Counters of outcomes to compare.
    pub business: Vec<BusinessSpec>,
    /// Bound on the chance that a canary that is not worse is rolled back, over the whole
    /// rollout, all looks and all metrics.
    pub alpha: f64,
    /// How metrics share `alpha`; those that are not named have weight 1, errors nine times as much as all others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub alpha_parts: BTreeMap<String, f64>,
    /// Traffic to send meanwhile; none when real players are enough.
    pub traffic: Option<Traffic>,
    /// Close the canary's connections on rollback, so that games move to the stable release.
    pub drain: bool,
    pub budgets: Budgets,
}

/// What a step has of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct StepSpec {
    /// Least time in it, seconds, instead of the rollout's.
    pub hold_s: Option<f64>,
    /// Somebody must have given this approval before the step is entered.
    pub approval: Option<String>,
}

/// A time of the week, in the plan's timezone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Freeze {
    /// Days on which it begins, 0 is Monday.
    pub days: Vec<u8>,
    /// Minutes after midnight.
    pub from_minute: u16,
    /// Minutes after midnight; not after `from_minute` means on the next day.
    pub to_minute: u16,
}

/// Differences that nobody feels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Margins {
    /// Errors and slow answers may be more frequent by this share of the stable side's rate …
    pub rate: f64,
    /// … and by this share of the requests.
    pub rate_points: f64,
    /// Quantiles may be higher by this share of the stable side's.
    pub latency: f64,
}

impl Default for Margins {
    /// A tenth more, and for rates one request in five thousand besides.
    fn default() -> Self {
        Self {
            rate: 0.1,
            rate_points: 0.0002,
            latency: 0.1,
        }
    }
}

/// A counter of bad outcomes among all, of which the source of the counters knows the name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BusinessSpec {
    pub name: String,
    /// As [`Margins::rate`].
    pub margin: f64,
    /// As [`Margins::rate_points`].
    pub margin_points: f64,
    /// Outcomes that the canary must have had within a step before the step can be left.
    pub min_total: u32,
}

/// Limits that act without statistics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budgets {
    /// A step that has not shown enough after this many seconds is rolled back.
    pub step_s: f64,
    /// The fast kill needs at least this many bad outcomes on the canary within a step …
    pub fast_kill_min: u32,
    /// … and at least this share of bad outcomes (0 to 1), at least twice the stable side's.
    pub fast_kill_share: f64,
}

/// One request, or many of them, and what the answers must be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HttpSpec {
    pub method: String,
    pub url: String,
    pub headers: BTreeMap<String, String>,
    pub body: Option<String>,
    pub timeout_ms: u32,
    /// How often the request is sent.
    pub repeat: u32,
    pub expect_status: u16,
    /// Response header (lower case) to its exact value.
    pub expect_headers: BTreeMap<String, String>,
    /// JSON pointer (RFC 6901) to the value that must stand there.
    pub expect_json: BTreeMap<String, serde_json::Value>,
    pub split: Option<SplitSpec>,
}

/// How the answers must be spread over releases. Every request then comes from another player.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitSpec {
    /// Response header that says who answered, e.g. `x-served-version`.
    pub header: String,
    /// Value of that header to its share in percent; together 100.
    pub shares: BTreeMap<String, f64>,
    /// Request header that carries the player's key, e.g. `x-session-id`.
    pub key_header: String,
    /// Number of distinct players; one request each.
    pub keys: u32,
}

/// A program that is run; it is started directly, never through a shell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CommandSpec {
    pub argv: Vec<String>,
    pub timeout_s: f64,
    pub cwd: Option<String>,
    /// Whether the numbers in the last JSON object on standard output become measurements.
    pub json_measurements: bool,
}

/// Requests that are sent with one credential and with the other, and whose answers must be the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionsSpec {
    /// Base URL.
    pub target: String,
    pub requests: Vec<ReplayRequest>,
    /// A file of further requests, one JSON object a line.
    pub recorded: Option<String>,
    pub credentials: ReplayCredentials,
    /// Also send both credentials at once, of one player and of two.
    pub together: bool,
    pub timeout_ms: u32,
    /// Response headers that are not compared (lower case).
    pub ignore_headers: Vec<String>,
    /// JSON pointers into bodies that are not compared; `*` is any one name.
    pub ignore_json: Vec<String>,
}

/// A request without its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    #[serde(default = "get")]
    pub method: String,
    /// With its query; begins with `/`.
    pub path: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

/// Where the credentials come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayCredentials {
    Listed(Vec<ReplayPlayer>),
    /// A program that prints them, one JSON object a line.
    Command {
        argv: Vec<String>,
        timeout_s: f64,
    },
}

/// The headers that show one player's token, and those that show the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayPlayer {
    pub player: String,
    pub token: BTreeMap<String, String>,
    pub session: BTreeMap<String, String>,
}

/// The hops of a call, and requests with a budget that are sent through them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadlinesSpec {
    /// Base URL of the outermost hop.
    pub target: String,
    /// How long a caller waits.
    pub budget_ms: u32,
    /// The outermost first.
    pub hops: Vec<HopSpec>,
    /// One that is answered within the budget.
    pub request: ReplayRequest,
    pub slow: SlowProbe,
    pub grpc: Option<GrpcProbe>,
    /// How often each request is sent.
    pub probes: u32,
    /// An answer may be so much later than its budget.
    pub tolerance_ms: u32,
    /// An answer that is later than its budget is waited for so long, to tell what it is.
    pub wait_ms: u32,
}

/// A request that needs longer than its budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlowProbe {
    pub request: ReplayRequest,
    /// Milliseconds.
    pub budget_ms: f64,
}

/// A unary call with an empty message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GrpcProbe {
    /// Base URL, where it is not the gate's.
    pub target: Option<String>,
    /// `/SERVICE/METHOD`.
    pub method: String,
    /// Milliseconds that are not enough for it.
    pub slow_budget_ms: f64,
}

/// Something that a call passes through.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HopSpec {
    pub name: String,
    pub source: HopSource,
    /// Whether it keeps the deadline that a request names, and hands it on.
    pub keeps_deadline: bool,
    /// Whether it announces in its answers what it had left.
    pub seen: bool,
}

/// Where a hop's limits stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HopSource {
    /// The configuration of a tminus-gateway.
    Gateway { path: String },
    /// The configuration of an nginx.
    Nginx { path: String, location: Option<String> },
    /// In the plan.
    Given(Box<Route>),
}

impl GateKind {
    /// The word that the plan file uses for it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Load(_) => "load",
            Self::Recovery(_) => "recovery",
            Self::Canary(_) => "canary",
            Self::Http(_) => "http",
            Self::Command(_) => "command",
            Self::Sessions(_) => "sessions",
            Self::Deadlines(_) => "deadlines",
            Self::ToCome { kind } => kind,
        }
    }

    /// What a gate of this kind is held to even when the plan does not write it.
    #[must_use]
    pub fn implied(&self) -> Vec<Expectation> {
        match self {
            Self::Canary(_) => vec![
                Expectation::new("rolled_back", Op::Equal, 0.0),
                Expectation::new("final_weight_percent", Op::Equal, 100.0),
            ],
            Self::Http(_) => vec![Expectation::new("mismatches", Op::Equal, 0.0)],
            Self::Command(_) => vec![Expectation::new("exit_code", Op::Equal, 0.0)],
            // Two credentials that are both refused agree, too, and prove nothing.
            Self::Sessions(spec) => {
                let mut implied = vec![
                    Expectation::new("requests", Op::AtLeast, 1.0),
                    Expectation::new("differences", Op::Equal, 0.0),
                    Expectation::new("refused", Op::Equal, 0.0),
                    Expectation::new("no_answer", Op::Equal, 0.0),
                ];
                if spec.together {
                    implied.push(Expectation::new("mixed_accepted", Op::Equal, 0.0));
                }
                implied
            }
            Self::Deadlines(_) => vec![
                Expectation::new("misalignments", Op::Equal, 0.0),
                Expectation::new("probes", Op::AtLeast, 1.0),
            ],
            Self::Load(_) | Self::Recovery(_) | Self::ToCome { .. } => Vec::new(),
        }
    }
}

impl GateKind {
    #[must_use]
    pub fn is_to_come(&self) -> bool {
        matches!(self, Self::ToCome { .. })
    }
}
