//! What plain requests brought back: counted while they run, reported at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::HttpConfig;
use crate::book::{LATE_START, ReleaseReport, ReleaseSnapshot, UNKNOWN_RELEASE};
use crate::latency::{LatencyHistogram, LatencySummary};
use crate::measure::{Measurements, label, percent, put, put_count, put_latency};
use crate::players::{is_late, late_note};

/// Versions that are told apart; more are counted as `other`.
const VERSIONS_MAX: usize = 32;

/// What came back. An error is a status of 500 or above, a timeout, or no answer at all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpReport {
    /// False when the generator was late or the run was cancelled.
    pub valid: bool,
    pub notes: Vec<String>,
    pub elapsed_ms: u64,
    pub requests: u64,
    pub errors: u64,
    pub timeouts: u64,
    pub connection_errors: u64,
    /// Due while `in_flight_max` requests were under way.
    pub not_sent: u64,
    pub statuses: BTreeMap<u16, u64>,
    /// By `x-served-version`; `unknown` without that header.
    pub versions: BTreeMap<String, ReleaseReport>,
    /// Players that more than one version answered.
    pub players_moved: u64,
    /// End − intended start.
    pub response: LatencySummary,
    /// End − actual start.
    pub service: LatencySummary,
    pub late_starts: u64,
    pub generator_lag: LatencySummary,
    /// Share of this machine's CPU time that its host gave to others; none where that is not known.
    pub cpu_stolen_percent: Option<f64>,
    pub series: BTreeMap<String, Vec<(f64, f64)>>,
}

#[derive(Debug)]
pub(super) struct Tally {
    pub slow_after: Duration,
    pub requests: u64,
    pub errors: u64,
    pub timeouts: u64,
    pub connection_errors: u64,
    pub not_sent: u64,
    pub statuses: BTreeMap<u16, u64>,
    pub versions: BTreeMap<String, ReleaseSnapshot>,
    /// Per player: hash of the first version that answered, and whether another one did.
    pub served_by: Vec<Option<(String, bool)>>,
    pub response: LatencyHistogram,
    pub service: LatencyHistogram,
    pub lag: LatencyHistogram,
    pub late_starts: u64,
    pub recent: LatencyHistogram,
    pub recent_requests: u64,
}

pub(super) enum Outcome {
    Status(u16),
    TimedOut,
    Connection,
}

impl Tally {
    pub fn new(config: &HttpConfig) -> Self {
        Self {
            slow_after: config.slow_after,
            requests: 0,
            errors: 0,
            timeouts: 0,
            connection_errors: 0,
            not_sent: 0,
            statuses: BTreeMap::new(),
            versions: BTreeMap::new(),
            served_by: vec![None; config.players as usize],
            response: LatencyHistogram::default(),
            service: LatencyHistogram::default(),
            lag: LatencyHistogram::default(),
            late_starts: 0,
            recent: LatencyHistogram::default(),
            recent_requests: 0,
        }
    }

    pub fn started(&mut self, due: Instant, now: Instant) {
        let lag = now.saturating_duration_since(due);
        self.lag.record(lag);
        self.late_starts += u64::from(lag > LATE_START);
    }

    pub fn not_sent(&mut self) {
        self.requests += 1;
        self.errors += 1;
        self.not_sent += 1;
    }

    pub fn answered(
        &mut self,
        player: usize,
        version: Option<String>,
        outcome: &Outcome,
        response: Duration,
        service: Duration,
    ) {
        let failed = !matches!(outcome, Outcome::Status(..500));
        let timed_out = matches!(outcome, Outcome::TimedOut | Outcome::Status(504));
        self.requests += 1;
        self.recent_requests += 1;
        self.errors += u64::from(failed);
        self.timeouts += u64::from(timed_out);
        self.connection_errors += u64::from(matches!(outcome, Outcome::Connection));
        if let Outcome::Status(status) = outcome {
            *self.statuses.entry(*status).or_default() += 1;
        }
        if let (Some(version), Some(slot)) = (&version, self.served_by.get_mut(player)) {
            match slot {
                Some((first, moved)) => *moved |= first != version,
                None => *slot = Some((version.clone(), false)),
            }
        }
        let mut version = version.unwrap_or_else(|| UNKNOWN_RELEASE.to_owned());
        if self.versions.len() >= VERSIONS_MAX && !self.versions.contains_key(&version) {
            version = "other".into();
        }
        let of = self.versions.entry(version).or_default();
        of.commands += 1;
        of.errors += u64::from(failed);
        of.timeouts += u64::from(timed_out);
        of.slow += u64::from(!failed && response > self.slow_after);
        if !failed || timed_out {
            of.latency.record(response);
            self.response.record(response);
            self.service.record(service);
            self.recent.record(response);
        }
    }
}

pub(super) fn report(
    tally: &Tally,
    elapsed: Duration,
    generator_lag_max: Duration,
    cpu_stolen_percent: Option<f64>,
    cancelled: bool,
    series: BTreeMap<String, Vec<(f64, f64)>>,
) -> HttpReport {
    let generator_lag = tally.lag.summary();
    let mut notes = Vec::new();
    if is_late(&generator_lag, generator_lag_max) {
        notes.push(late_note(&generator_lag, generator_lag_max, cpu_stolen_percent));
    }
    if cancelled {
        notes.push("not valid: cancelled before its end".into());
    }
    HttpReport {
        valid: notes.is_empty(),
        notes,
        elapsed_ms: elapsed.as_millis() as u64,
        requests: tally.requests,
        errors: tally.errors,
        timeouts: tally.timeouts,
        connection_errors: tally.connection_errors,
        not_sent: tally.not_sent,
        statuses: tally.statuses.clone(),
        versions: tally
            .versions
            .iter()
            .map(|(v, of)| (v.clone(), of.into()))
            .collect(),
        players_moved: tally
            .served_by
            .iter()
            .flatten()
            .filter(|(_, moved)| *moved)
            .count() as u64,
        response: tally.response.summary(),
        service: tally.service.summary(),
        late_starts: tally.late_starts,
        generator_lag,
        cpu_stolen_percent,
        series,
    }
}

impl HttpReport {
    /// The report as flat figures.
    pub fn measurements(&self) -> Measurements {
        let mut all = Measurements::new();
        let m = &mut all;
        put(m, "valid", f64::from(u8::from(self.valid)), "1");
        put(m, "duration_s", self.elapsed_ms as f64 / 1000.0, "s");
        put_latency(m, "", &self.response);
        put_latency(m, "service_", &self.service);
        put(
            m,
            "error_rate",
            percent(self.errors, self.requests) / 100.0,
            "ratio",
        );
        put(m, "error_rate_percent", percent(self.errors, self.requests), "%");
        put(
            m,
            "requests_per_s",
            self.requests as f64 * 1000.0 / self.elapsed_ms.max(1) as f64,
            "1/s",
        );
        put(m, "generator_lag_p99_ms", self.generator_lag.p99_ms, "ms");
        if let Some(percent) = self.cpu_stolen_percent {
            put(m, "cpu_stolen_percent", percent, "%");
        }
        for (name, count) in [
            ("requests", self.requests),
            ("errors", self.errors),
            ("timeouts", self.timeouts),
            ("connection_errors", self.connection_errors),
            ("not_sent", self.not_sent),
            ("players_moved", self.players_moved),
            ("late_starts", self.late_starts),
        ] {
            put_count(m, name, count);
        }
        for (status, count) in &self.statuses {
            put_count(m, format!("status_{status}"), *count);
        }
        for (version, of) in &self.versions {
            let version = label(version);
            put_count(m, format!("version_{version}_requests"), of.commands);
            put_count(m, format!("version_{version}_errors"), of.errors);
            put(
                m,
                format!("version_{version}_percent"),
                percent(of.commands, self.requests),
                "%",
            );
            put_latency(m, &format!("version_{version}_"), &of.latency);
        }
        all
    }
}
