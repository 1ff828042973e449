//! The flat form of a report that gates are judged on.

use std::collections::BTreeMap;

use crate::latency::LatencySummary;

/// Name -> (value, unit). Names carry their unit last, e.g. `p99_ms`, `error_rate_percent`.
pub type Measurements = BTreeMap<String, (f64, &'static str)>;

pub(crate) fn put(into: &mut Measurements, name: impl Into<String>, value: f64, unit: &'static str) {
    into.insert(name.into(), (value, unit));
}

pub(crate) fn put_count(into: &mut Measurements, name: impl Into<String>, value: u64) {
    put(into, name, value as f64, "1");
}

/// `{prefix}p50_ms` … `{prefix}max_ms`. Nothing when nothing was measured: a gate that expects such
/// a figure must then say "not checked", not pass on a zero.
pub(crate) fn put_latency(into: &mut Measurements, prefix: &str, of: &LatencySummary) {
    if of.count == 0 {
        return;
    }
    for (name, value) in [
        ("p50_ms", of.p50_ms),
        ("p90_ms", of.p90_ms),
        ("p99_ms", of.p99_ms),
        ("p999_ms", of.p999_ms),
        ("max_ms", of.max_ms),
    ] {
        put(into, format!("{prefix}{name}"), value, "ms");
    }
}

/// A release label as part of a measurement's name: `v1.3` -> `v1_3`.
pub(crate) fn label(release: &str) -> String {
    release
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect()
}

/// `part` of `whole` in percent; 0 when there was nothing.
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}
