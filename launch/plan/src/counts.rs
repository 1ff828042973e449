//! What a judge is fed: counters of both sides, whoever kept them.

use std::collections::BTreeMap;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// What one side has answered since counting began. Every figure only grows; one that falls was
/// restarted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that were answered.
    pub requests: u64,
    /// Those of them that were answered with an error.
    pub errors: u64,
    /// Those of the errors that are no fault of their own: their player had just failed, or fails all the
    /// time. 0 where nobody tells players apart.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub errors_repeated: u64,
    /// Those of them that were answered later than the plan's `slow_ms`.
    pub slow: u64,
    /// Requests that were sent and given up without an answer. Not among `requests`.
    pub timeouts: u64,
    /// Latencies: (upper bound in microseconds, count), not cumulative, bounds rising. A bucket holds
    /// what is above the bound before it up to and including its own; what is longer than the last bound
    /// is in the last bucket. Empty ones must be listed too. May be empty as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latency_us: Vec<(u64, u64)>,
    /// Outcomes that the plan names, e.g. games that were aborted among the games that began.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub business: BTreeMap<String, Outcomes>,
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Bad outcomes among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcomes {
    pub bad: u64,
    pub total: u64,
}

impl Outcomes {
    fn since(self, before: Self) -> Self {
        if self.bad < before.bad || self.total < before.total {
            return self;
        }
        Self {
            bad: self.bad - before.bad,
            total: self.total - before.total,
        }
    }
}

impl AddAssign<&Counts> for Counts {
    /// Adds what another observer saw of other requests, or what came later.
    fn add_assign(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.errors_repeated = self.errors_repeated.saturating_add(other.errors_repeated);
        self.slow = self.slow.saturating_add(other.slow);
        self.timeouts = self.timeouts.saturating_add(other.timeouts);
        add_buckets(&mut self.latency_us, &other.latency_us);
        for (name, outcomes) in &other.business {
            let sum = self.business.entry(name.clone()).or_default();
            sum.bad = sum.bad.saturating_add(outcomes.bad);
            sum.total = sum.total.saturating_add(outcomes.total);
        }
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += &other;
        self
    }
}

fn add_buckets(sum: &mut Vec<(u64, u64)>, other: &[(u64, u64)]) {
    let same_bounds = sum.len() == other.len() && sum.iter().zip(other).all(|(a, b)| a.0 == b.0);
    if same_bounds {
        for (mine, theirs) in sum.iter_mut().zip(other) {
            mine.1 = mine.1.saturating_add(theirs.1);
        }
        return;
    }
    let mut merged: BTreeMap<u64, u64> = BTreeMap::new();
    for (upper, count) in sum.iter().chain(other) {
        let at = merged.entry(*upper).or_default();
        *at = at.saturating_add(*count);
    }
    *sum = merged.into_iter().collect();
}

/// What came since `before`, bucket by bucket. A histogram of which a bucket fell was restarted: then
/// all of it is new.
fn buckets_since(now: &[(u64, u64)], before: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let then = |at: usize, upper: u64| match before.get(at) {
        Some((bound, count)) if *bound == upper => *count,
        _ => before
            .binary_search_by_key(&upper, |bucket| bucket.0)
            .map_or(0, |found| before[found].1),
    };
    let restarted = now
        .iter()
        .enumerate()
        .any(|(at, (upper, count))| *count < then(at, *upper));
    now.iter()
        .enumerate()
        .map(|(at, (upper, count))| {
            (
                *upper,
                if restarted {
                    *count
                } else {
                    count - then(at, *upper)
                },
            )
        })
        .collect()
}

impl Counts {
    /// How many answers of a histogram were later than `slow_ms`. Buckets are those of
    /// [`Counts::latency_us`]; the bucket in which the threshold lies counts as slow, on both sides alike.
    #[must_use]
    pub fn slow_in(latency_us: &[(u64, u64)], slow_ms: u32) -> u64 {
        let threshold_us = u64::from(slow_ms) * 1000;
        latency_us
            .iter()
            .filter(|(upper, _)| *upper > threshold_us)
            .map(|(_, count)| count)
            .sum()
    }

    pub(crate) fn add_latency(&mut self, latency_us: &[(u64, u64)]) {
        add_buckets(&mut self.latency_us, latency_us);
    }

    pub(crate) fn total(&self) -> u64 {
        self.requests.saturating_add(self.timeouts)
    }

    pub(crate) fn bad(&self) -> u64 {
        self.errors.min(self.requests).saturating_add(self.timeouts)
    }

    /// Those of the bad outcomes that are faults of their own.
    pub(crate) fn bad_apart(&self) -> u64 {
        self.bad().saturating_sub(self.errors_repeated)
    }

    /// What came since `before`. A counter that fell was restarted: then all of it is new. Histograms and
    /// business counters may come from another source, so each of them is asked by itself.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let restarted = self.requests < before.requests || self.timeouts < before.timeouts;
        let difference = |now: u64, then: u64| if restarted { now } else { now.saturating_sub(then) };
        Self {
            requests: difference(self.requests, before.requests),
            errors: difference(self.errors, before.errors),
            errors_repeated: difference(self.errors_repeated, before.errors_repeated),
            slow: difference(self.slow, before.slow),
            timeouts: difference(self.timeouts, before.timeouts),
            latency_us: buckets_since(&self.latency_us, &before.latency_us),
            business: self
                .business
                .iter()
                .map(|(name, now)| {
                    let before = before.business.get(name).copied().unwrap_or_default();
                    (name.clone(), now.since(before))
                })
                .collect(),
        }
    }
}
