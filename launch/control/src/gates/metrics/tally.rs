//! Counters that may restart, added up series by series.
//!
//! What a query answers is a set of series, each a counter of one process. They are compared with the look before
//! one by one: a counter that fell began anew, and all of it is new; one that is new has counted from 0; one that is
//! away keeps what it had.

use std::collections::BTreeMap;

/// Series that one query may answer.
pub const SERIES_MAX: usize = 10_000;

pub type Labels = BTreeMap<String, String>;

/// One value of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub labels: Labels,
    pub value: f64,
}

/// What has been added since the first look, by the value of one label where it matters.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// The label that totals are kept apart by.
    by: Option<&'static str>,
    began: bool,
    last: BTreeMap<Labels, f64>,
    totals: BTreeMap<String, f64>,
}

impl Tally {
    pub fn new(by: Option<&'static str>) -> Self {
        Self {
            by,
            ..Self::default()
        }
    }

    /// Takes a look in.
    ///
    /// # Errors
    /// A value is no count, or a sum over several processes fell: how much of it is new cannot be known.
    pub fn take_in(&mut self, samples: &[Sample]) -> Result<(), String> {
        if let Some(odd) = samples.iter().find(|s| !s.value.is_finite() || s.value < 0.0) {
            return Err(format!("{} is no count", odd.value));
        }
        let is_sum = |labels: &Labels| {
            labels
                .keys()
                .all(|name| name == "__name__" || Some(name.as_str()) == self.by)
        };
        let fell = samples.iter().any(|sample| {
            let before = self.last.get(&sample.labels);
            is_sum(&sample.labels) && before.is_some_and(|before| sample.value < *before)
        });
        if self.last.len() + samples.len() > 2 * SERIES_MAX {
            // Series come and go with processes: those that are away make room, and would count anew.
            self.last
                .retain(|labels, _| samples.iter().any(|s| s.labels == *labels));
        }
        for sample in samples {
            let before = self.last.insert(sample.labels.clone(), sample.value);
            if !self.began || fell {
                continue;
            }
            let new = match before {
                Some(before) if sample.value >= before => sample.value - before,
                _ => sample.value,
            };
            let key = self.by.and_then(|name| sample.labels.get(name)).cloned();
            *self.totals.entry(key.unwrap_or_default()).or_default() += new;
        }
        if !self.began {
            self.began = true;
            // A bound that has had nothing yet is a bound all the same.
            for sample in samples {
                let key = self.by.and_then(|name| sample.labels.get(name)).cloned();
                self.totals.entry(key.unwrap_or_default()).or_default();
            }
        }
        if fell {
            return Err(
                "a sum over processes fell, because one of them began anew; ask for the series themselves, without sum()"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        whole(self.totals.values().sum())
    }

    /// A cumulative histogram in seconds as (upper bound in microseconds, count), not cumulative.
    ///
    /// # Errors
    /// A bound is no number.
    pub fn buckets_us(&self) -> Result<Vec<(u64, u64)>, String> {
        let mut bounds: Vec<(f64, u64)> = Vec::new();
        for (le, count) in &self.totals {
            let bound: f64 = le
                .parse()
                .ok()
                .filter(|bound: &f64| !bound.is_nan())
                .ok_or_else(|| format!("`le` is {le:?}: it is no histogram's bucket (`…_bucket`)"))?;
            bounds.push((bound, whole(*count)));
        }
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        if bounds.last().is_some_and(|last| last.0.is_finite()) {
            return Err("there is no bucket `le=\"+Inf\"`".to_owned());
        }
        let mut below = 0;
        Ok(bounds
            .into_iter()
            .map(|(bound, count)| {
                let own = count.saturating_sub(below);
                below = below.max(count);
                let upper_us = if bound.is_finite() {
                    whole(bound * 1e6)
                } else {
                    u64::MAX
                };
                (upper_us, own)
            })
            .collect())
    }
}

fn whole(value: f64) -> u64 {
    value.round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(labels: &[(&str, &str)], value: f64) -> Sample {
        Sample {
            labels: labels
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            value,
        }
    }

    /// Looks of two processes; none is a process that is away.
    fn total(looks: &[[Option<f64>; 2]]) -> u64 {
        let mut tally = Tally::new(None);
        for look in looks {
            let samples: Vec<Sample> = ["a", "b"]
                .iter()
                .zip(look)
                .filter_map(|(pod, value)| value.map(|value| sample(&[("pod", pod)], value)))
                .collect();
            tally.take_in(&samples).unwrap();
        }
        tally.total()
    }

    #[test]
    fn counters_are_added_up_process_by_process() {
        for (looks, expected, what) in [
            (
                &[[Some(100.0), Some(5.0)]][..],
                0,
                "what was before does not count",
            ),
            (&[[Some(100.0), None], [Some(130.0), None]], 30, "growth counts"),
            (
                &[[Some(100.0), Some(900.0)], [Some(100.0), Some(7.0)]],
                7,
                "a process that restarted counts from 0",
            ),
            (
                &[[Some(100.0), None], [Some(100.0), Some(4.0)]],
                4,
                "a new process counts from 0",
            ),
            (
                &[
                    [Some(100.0), Some(50.0)],
                    [Some(100.0), None],
                    [Some(100.0), Some(53.0)],
                ],
                3,
                "a process that was away is not new",
            ),
        ] {
            assert_eq!(total(looks), expected, "{what}");
        }
    }

    #[test]
    fn a_sum_that_fell_is_not_taken_for_new_requests() {
        let mut tally = Tally::new(None);
        tally.take_in(&[sample(&[], 1000.0)]).unwrap();
        tally.take_in(&[sample(&[], 1010.0)]).unwrap();
        let why = tally.take_in(&[sample(&[], 500.0)]).unwrap_err();
        assert!(why.contains("sum()"), "{why}");
        tally.take_in(&[sample(&[], 505.0)]).unwrap();
        assert_eq!(tally.total(), 15);
    }

    #[test]
    fn a_histogram_is_no_longer_cumulative_and_in_microseconds() {
        let mut tally = Tally::new(Some("le"));
        let look = |a: f64, b: f64, c: f64| {
            [
                sample(&[("pod", "a"), ("le", "0.1")], a),
                sample(&[("pod", "a"), ("le", "+Inf")], c),
                sample(&[("pod", "a"), ("le", "0.25")], b),
            ]
        };
        tally.take_in(&look(10.0, 10.0, 10.0)).unwrap();
        assert_eq!(
            tally.buckets_us().unwrap(),
            [(100_000, 0), (250_000, 0), (u64::MAX, 0)]
        );
        tally.take_in(&look(15.0, 17.0, 20.0)).unwrap();
        assert_eq!(
            tally.buckets_us().unwrap(),
            [(100_000, 5), (250_000, 2), (u64::MAX, 3)]
        );
        let mut flat = Tally::new(Some("le"));
        flat.take_in(&[sample(&[("pod", "a")], 1.0)]).unwrap();
        assert!(flat.buckets_us().unwrap_err().contains("_bucket"));
    }

    #[test]
    fn what_is_no_count_is_refused() {
        for value in [f64::NAN, -1.0, f64::INFINITY] {
            assert!(
                Tally::new(None).take_in(&[sample(&[], value)]).is_err(),
                "{value}"
            );
        }
    }
}
