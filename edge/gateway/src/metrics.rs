//! What the gateway counts per backend, and the two forms in which it tells it.
//!
//! One short lock per backend guards all counters of it, so that a snapshot is coherent: the sum of
//! the statuses and the sum of the latency buckets both equal the requests. Counters only grow.
//!
//! **Latency buckets.** Upper bounds are fixed for all releases: 100 µs × 1.1ⁿ rounded to whole
//! microseconds, up to 60 s (141 buckets, relative width 10 %: the least difference of latencies that a canary can be judged by). A bucket counts latencies above the
//! bound before it up to and including its own; the last one also holds everything longer. As they
//! are fixed and not cumulative, two snapshots may be subtracted bucket by bucket.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tminus_origin::repeats::Repeats;
use tokio::time::Instant;

use crate::answers::{blames_server, code};
use crate::weight::Weight;

const LATENCY_FIRST_US: f64 = 100.0;
const LATENCY_GROWTH: f64 = 1.1;
const LATENCY_LAST_US: u64 = 60_000_000;
const GRPC_CODES: usize = 17;
const STATUS_MIN: usize = 100;
const STATUS_MAX: usize = 999;

/// Upper bounds of the latency buckets in microseconds, ascending.
pub static LATENCY_BOUNDS_US: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut bounds = Vec::new();
    let mut bound = LATENCY_FIRST_US;
    while bound < LATENCY_LAST_US as f64 {
        bounds.push(bound.round() as u64);
        bound *= LATENCY_GROWTH;
    }
    bounds.push(LATENCY_LAST_US);
    bounds
});

/// One answered request.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The HTTP status that the client got.
    pub status: u16,
    /// The gRPC status, for gRPC calls.
    pub grpc_code: Option<u32>,
    /// From the request's headers to the answer's headers.
    pub latency: Duration,
    /// A hash of the player who asked.
    pub player: u64,
    /// When it is counted.
    pub at: Instant,
}

impl Answer {
    /// 5xx, or a gRPC status that blames the server.
    fn is_error(&self) -> bool {
        self.status >= 500 || self.grpc_code.is_some_and(blames_server)
    }
}

#[derive(Debug)]
struct Counts {
    requests: u64,
    errors: u64,
    errors_repeated: u64,
    repeats: Repeats,
    cancelled: u64,
    truncated: u64,
    statuses: BTreeMap<u16, u64>,
    grpc_codes: [u64; GRPC_CODES],
    latency: Vec<u64>,
    latency_sum_us: u64,
}

impl Counts {
    fn failed(&mut self, player: u64, after: Duration) {
        let at_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.errors += 1;
        self.errors_repeated += u64::from(!self.repeats.is_news(player, at_ms));
    }
}

/// The counters of one backend.
#[derive(Debug)]
pub struct Counters {
    counts: Mutex<Counts>,
    since: Instant,
}

impl Default for Counters {
    fn default() -> Self {
        let counts = Counts {
            requests: 0,
            errors: 0,
            errors_repeated: 0,
            repeats: Repeats::default(),
            cancelled: 0,
            truncated: 0,
            statuses: BTreeMap::new(),
            grpc_codes: [0; GRPC_CODES],
            latency: vec![0; LATENCY_BOUNDS_US.len()],
            latency_sum_us: 0,
        };
        Self {
            counts: Mutex::new(counts),
            since: Instant::now(),
        }
    }
}

impl Counters {
    // A panic while counting cannot leave a counter half written, so a poisoned lock is still good.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an answered request.
    pub fn answered(&self, answer: Answer) {
        let latency_us = u64::try_from(answer.latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_US
            .partition_point(|bound| *bound < latency_us)
            .min(LATENCY_BOUNDS_US.len() - 1);
        let status = usize::from(answer.status).clamp(STATUS_MIN, STATUS_MAX) as u16;
        let mut counts = self.counts();
        counts.requests += 1;
        if answer.is_error() {
            counts.failed(answer.player, answer.at.duration_since(self.since));
        } else {
            counts.repeats.succeeded(answer.player, 1);
        }
        *counts.statuses.entry(status).or_default() += 1;
        if let Some(code) = answer.grpc_code {
            let at = usize::try_from(code).unwrap_or(usize::MAX);
            let at = if at < GRPC_CODES {
                at
            } else {
                code::UNKNOWN as usize
            };
            counts.grpc_codes[at] += 1;
        }
        counts.latency[bucket] += 1;
        counts.latency_sum_us = counts.latency_sum_us.saturating_add(latency_us);
    }

    /// Counts a request whose caller went away before an answer.
    pub fn cancelled(&self) {
        self.counts().cancelled += 1;
    }

    /// Counts an answer whose body the backend broke off; the request was counted before, and
    /// becomes an error.
    pub fn truncated(&self, player: u64, at: Instant) {
        let mut counts = self.counts();
        counts.truncated += 1;
        counts.failed(player, at.duration_since(self.since));
    }

    /// All counters at one moment.
    pub fn snapshot(&self, facts: BackendFacts) -> BackendSnapshot {
        let counts = self.counts();
        let grpc_statuses = (0_u32..)
            .zip(counts.grpc_codes)
            .filter(|(_, count)| *count > 0)
            .collect();
        BackendSnapshot {
            facts,
            requests: counts.requests,
            errors: counts.errors,
            errors_repeated: counts.errors_repeated,
            cancelled: counts.cancelled,
            truncated: counts.truncated,
            statuses: counts.statuses.clone(),
            grpc_statuses,
            latency_us_buckets: LATENCY_BOUNDS_US
                .iter()
                .copied()
                .zip(counts.latency.iter().copied())
                .collect(),
            latency_us_sum: counts.latency_sum_us,
        }
    }
}

/// What is true of a backend at the moment, next to what was counted.
#[derive(Clone, Debug, Serialize)]
pub struct BackendFacts {
    /// The release that it serves.
    pub version: String,
    /// Its weight in the default split, in percent.
    pub weight: Weight,
    /// Whether it gets nothing new.
    pub draining: bool,
    /// Whether it can answer, as far as is known.
    pub healthy: bool,
    /// Requests that have begun and whose answers have not ended.
    pub in_flight: u64,
    /// WebSocket tunnels that are open.
    pub open_websockets: u64,
}

/// One backend in `/metrics.json`.
#[derive(Clone, Debug, Serialize)]
pub struct BackendSnapshot {
    /// What is true at the moment.
    #[serde(flatten)]
    pub facts: BackendFacts,
    /// Requests answered. A gRPC call counts when its status is known, others with their headers.
    pub requests: u64,
    /// Those that failed on the server's side.
    pub errors: u64,
    /// Those of them whose player had just failed, or fails all the time: no fault of their own.
    pub errors_repeated: u64,
    /// Requests whose caller left before an answer; not among the requests.
    pub cancelled: u64,
    /// Answers whose body broke off; among the errors.
    pub truncated: u64,
    /// Requests by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// gRPC calls by gRPC status.
    pub grpc_statuses: BTreeMap<u32, u64>,
    /// `[upper bound in µs, count]`, not cumulative.
    pub latency_us_buckets: Vec<(u64, u64)>,
    /// Sum of all latencies in µs.
    pub latency_us_sum: u64,
}

/// Everything that `/metrics.json` answers.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// By backend name.
    pub backends: BTreeMap<String, BackendSnapshot>,
    /// Requests refused because nobody could take them; they belong to no backend.
    pub unrouted: u64,
    /// Client connections open, tunnels included.
    pub connections: u64,
    /// Client connections refused at the limit.
    pub connections_refused: u64,
    /// Requests refused because their client asked too often; they belong to no backend.
    pub rate_limited: u64,
    /// Lines that the access log left out.
    pub access_log_dropped: u64,
    /// How often a configuration was taken, the one at the start included.
    pub config_generation: u64,
    /// How often one was refused.
    pub config_reloads_refused: u64,
}

impl Snapshot {
    /// The snapshot in the Prometheus text format, version 0.0.4.
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, lines: &[(String, f64)]| {
            let _ = writeln!(
                text,
                "# HELP tminus_gateway_{name} {help}\n# TYPE tminus_gateway_{name} {kind}"
            );
            for (labels, value) in lines {
                let _ = writeln!(text, "tminus_gateway_{name}{labels} {value}");
            }
        };
        let per_backend = |value: fn(&BackendSnapshot) -> f64| -> Vec<(String, f64)> {
            self.backends
                .iter()
                .map(|(name, backend)| (labels(name, backend, ""), value(backend)))
                .collect()
        };
        family(
            "requests_total",
            "counter",
            "Requests answered.",
            &per_backend(|b| b.requests as f64),
        );
        family(
            "errors_total",
            "counter",
            "Requests that failed on the server's side.",
            &per_backend(|b| b.errors as f64),
        );
        family(
            "errors_repeated_total",
            "counter",
            "Errors whose player had just failed, or fails all the time.",
            &per_backend(|b| b.errors_repeated as f64),
        );
        family(
            "cancelled_total",
            "counter",
            "Requests whose caller left before an answer.",
            &per_backend(|b| b.cancelled as f64),
        );
        family(
            "truncated_total",
            "counter",
            "Answers whose body broke off.",
            &per_backend(|b| b.truncated as f64),
        );
        family(
            "in_flight",
            "gauge",
            "Requests whose answers have not ended.",
            &per_backend(|b| count_of(b.facts.in_flight)),
        );
        family(
            "open_websockets",
            "gauge",
            "Open WebSocket tunnels.",
            &per_backend(|b| count_of(b.facts.open_websockets)),
        );
        family(
            "weight",
            "gauge",
            "Weight in the default split.",
            &per_backend(|b| b.facts.weight.as_percent()),
        );
        family(
            "draining",
            "gauge",
            "1 while the backend drains.",
            &per_backend(|b| f64::from(u8::from(b.facts.draining))),
        );
        family(
            "healthy",
            "gauge",
            "1 while the backend can answer, as far as is known.",
            &per_backend(|b| f64::from(u8::from(b.facts.healthy))),
        );
        let mut statuses = Vec::new();
        for (name, backend) in &self.backends {
            for (status, value) in &backend.statuses {
                statuses.push((
                    labels(name, backend, &format!(",status=\"{status}\"")),
                    count_of(*value),
                ));
            }
        }
        family(
            "responses_total",
            "counter",
            "Requests by HTTP status.",
            &statuses,
        );
        family(
            "unrouted_total",
            "counter",
            "Requests that no backend could take.",
            &[(String::new(), count_of(self.unrouted))],
        );
        family(
            "connections",
            "gauge",
            "Open client connections.",
            &[(String::new(), count_of(self.connections))],
        );
        family(
            "connections_refused_total",
            "counter",
            "Client connections refused at the limit.",
            &[(String::new(), count_of(self.connections_refused))],
        );
        family(
            "rate_limited_total",
            "counter",
            "Requests refused because their client asked too often.",
            &[(String::new(), count_of(self.rate_limited))],
        );
        family(
            "access_log_dropped_total",
            "counter",
            "Lines that the access log left out.",
            &[(String::new(), count_of(self.access_log_dropped))],
        );
        family(
            "config_generation",
            "gauge",
            "Configurations taken, the one at the start included.",
            &[(String::new(), count_of(self.config_generation))],
        );
        family(
            "config_reloads_refused_total",
            "counter",
            "Configurations that were refused while the gateway ran.",
            &[(String::new(), count_of(self.config_reloads_refused))],
        );
        self.write_latency(&mut text);
        text
    }

    fn write_latency(&self, text: &mut String) {
        const NAME: &str = "tminus_gateway_latency_seconds";
        let _ = writeln!(
            text,
            "# HELP {NAME} From a request's headers to its answer's headers.\n# TYPE {NAME} histogram"
        );
        for (name, backend) in &self.backends {
            let mut below = 0;
            let (last, bounded) = backend
                .latency_us_buckets
                .split_last()
                .expect("there are always buckets");
            for (upper_us, count) in bounded {
                below += count;
                let bound = *upper_us as f64 / 1e6;
                let _ = writeln!(
                    text,
                    "{NAME}_bucket{} {below}",
                    labels(name, backend, &format!(",le=\"{bound}\""))
                );
            }
            // The last bucket has no upper bound in truth: it is +Inf here.
            below += last.1;
            let _ = writeln!(
                text,
                "{NAME}_bucket{} {below}",
                labels(name, backend, ",le=\"+Inf\"")
            );
            let _ = writeln!(
                text,
                "{NAME}_sum{} {}",
                labels(name, backend, ""),
                backend.latency_us_sum as f64 / 1e6
            );
            let _ = writeln!(text, "{NAME}_count{} {below}", labels(name, backend, ""));
        }
    }
}

fn count_of(value: u64) -> f64 {
    value as f64
}

/// Names and versions hold no quote, backslash or line break: the configuration refuses them.
fn labels(name: &str, backend: &BackendSnapshot, more: &str) -> String {
    format!(
        "{{backend=\"{name}\",version=\"{}\"{more}}}",
        backend.facts.version
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> BackendFacts {
        BackendFacts {
            version: "v1.2".to_owned(),
            weight: Weight::WHOLE,
            draining: false,
            healthy: true,
            in_flight: 1,
            open_websockets: 2,
        }
    }

    fn answer(status: u16, grpc_code: Option<u32>, latency_us: u64) -> Answer {
        Answer {
            status,
            grpc_code,
            latency: Duration::from_micros(latency_us),
            player: 1,
            at: Instant::now(),
        }
    }

    #[test]
    fn an_error_is_repeated_when_its_player_has_just_failed() {
        let counters = Counters::default();
        let failed = |player, status, after_s| {
            let answer = answer(status, None, 1);
            let at = counters.since + Duration::from_secs(after_s);
            counters.answered(Answer { player, at, ..answer });
        };
        for (player, status) in [(1, 500), (1, 200), (1, 503), (2, 500), (3, 200)] {
            failed(player, status, 0);
        }
        counters.truncated(2, counters.since);
        let told = || {
            let snapshot = counters.snapshot(facts());
            (snapshot.errors, snapshot.errors_repeated)
        };
        assert_eq!(told(), (4, 2), "the second of 1 and of 2");
        failed(1, 500, 10);
        assert_eq!(told(), (5, 2), "after the quiet time");
        // Two failures and one success: the quiet time is 20 s now. Successes in between make it 10 s again.
        for _ in 0..20 {
            failed(1, 200, 11);
        }
        for (after_s, expected) in [(30, (6, 2)), (40, (7, 2)), (59, (8, 3))] {
            failed(1, 500, after_s);
            assert_eq!(told(), expected, "after {after_s} s");
        }
    }

    #[test]
    fn bucket_bounds_are_fixed_and_grow_by_a_tenth() {
        let bounds = &*LATENCY_BOUNDS_US;
        assert_eq!(bounds.len(), 141);
        assert_eq!(&bounds[..5], [100, 110, 121, 133, 146]);
        assert_eq!(&bounds[139..], [56_700_023, 60_000_000]);
        assert!(
            bounds
                .windows(2)
                .all(|pair| pair[0] < pair[1] && pair[1] as f64 / pair[0] as f64 <= 1.103)
        );
    }

    #[test]
    fn a_latency_is_counted_in_the_bucket_whose_bound_it_does_not_pass() {
        let counters = Counters::default();
        for latency_us in [0, 100, 101, 110, 111, u64::MAX] {
            counters.answered(answer(200, None, latency_us));
        }
        let snapshot = counters.snapshot(facts());
        assert_eq!(snapshot.latency_us_buckets[..3], [(100, 2), (110, 2), (121, 1)]);
        assert_eq!(snapshot.latency_us_buckets.last(), Some(&(60_000_000, 1)));
    }

    #[test]
    fn errors_are_server_faults_in_either_protocol() {
        let check = |status, grpc_code, errors| {
            let counters = Counters::default();
            counters.answered(answer(status, grpc_code, 1));
            assert_eq!(
                counters.snapshot(facts()).errors,
                errors,
                "{status} {grpc_code:?}"
            );
        };
        for code in 0..=16 {
            check(200, Some(code), u64::from([2, 4, 13, 14, 15].contains(&code)));
        }
        for (status, errors) in [
            (101, 0),
            (200, 0),
            (404, 0),
            (499, 0),
            (500, 1),
            (502, 1),
            (504, 1),
        ] {
            check(status, None, errors);
        }
    }

    #[test]
    fn prometheus_text_has_cumulative_buckets_and_every_family_described() {
        let counters = Counters::default();
        counters.answered(answer(200, None, 90));
        counters.answered(answer(503, None, 120));
        let snapshot = Snapshot {
            backends: [("stable".to_owned(), counters.snapshot(facts()))].into(),
            unrouted: 3,
            connections: 4,
            connections_refused: 5,
            rate_limited: 3,
            access_log_dropped: 0,
            config_generation: 2,
            config_reloads_refused: 1,
        };
        let text = snapshot.prometheus();
        for line in [
            r#"tminus_gateway_requests_total{backend="stable",version="v1.2"} 2"#,
            r#"tminus_gateway_errors_total{backend="stable",version="v1.2"} 1"#,
            r#"tminus_gateway_errors_repeated_total{backend="stable",version="v1.2"} 0"#,
            r#"tminus_gateway_responses_total{backend="stable",version="v1.2",status="503"} 1"#,
            r#"tminus_gateway_latency_seconds_bucket{backend="stable",version="v1.2",le="0.0001"} 1"#,
            r#"tminus_gateway_latency_seconds_bucket{backend="stable",version="v1.2",le="0.000121"} 2"#,
            r#"tminus_gateway_latency_seconds_bucket{backend="stable",version="v1.2",le="+Inf"} 2"#,
            r#"tminus_gateway_latency_seconds_count{backend="stable",version="v1.2"} 2"#,
            "tminus_gateway_unrouted_total 3",
        ] {
            assert!(
                text.lines().any(|have| have == line),
                "{line} is missing in\n{text}"
            );
        }
        let families = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(
            families,
            text.lines().filter(|line| line.starts_with("# HELP")).count()
        );
    }
}
