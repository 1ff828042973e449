//! "Slower" as a question of bad outcomes: is the canary's quantile more than the margin above the stable
//! side's?
//!
//! Before an increment begins, a bound `x` is chosen from what the stable side has answered so far: the
//! smallest bucket bound that a share `q` of its answers kept. During the increment an answer of the stable side is bad when
//! it took longer than `x`, one of the canary when it took longer than `y ≥ (1+m)·x`, where `m` is the margin.
//!
//! The null is that the canary's latencies are at most the stable side's, each stretched by `1+m`. Then an answer that
//! is beyond `y` on the canary would have been beyond `x` on the stable side: the canary's chance of a bad outcome is at most the stable
//! side's, request by request, and `crate::sequential` (`Null::Exact`) applies. It does so whatever
//! `x` is, as long as it was fixed before the increment: a poor estimate of the quantile, or one that the hour has
//! outrun, costs evidence, never validity. What is tested is the distribution *at* the quantile: a canary
//! with the same quantile and a heavier tail beyond is that quantile's innocent, and the next one's guilty.
//!
//! **Buckets limit the margin.** `x` and `y` are bucket bounds, so the margin in force is `y/x − 1`: with bounds
//! that grow by a factor `g` it is the smallest `gᵏ − 1` that is at least `m` (within 1 %, for bounds that were rounded). No less can
//! be asked of a histogram without assuming what its buckets hide. When the sides' bounds differ, an answer of the
//! canary counts as slow only if its whole bucket is beyond `y`, one of the stable side if any of its bucket
//! is beyond `x`: in doubt for the canary.

/// Bounds that were rounded to whole microseconds may miss the margin by this share.
const ROUNDING: f64 = 0.01;
/// Fewer answers than so many beyond the quantile are no estimate of it.
const BEYOND_MIN: f64 = 2.0;
/// … and fewer answers than so many in all.
const SEEN_MIN: u64 = 20;

/// From where on an answer counts as slow in one increment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    pub stable_us: u64,
    pub canary_us: u64,
}

impl Thresholds {
    /// From what the stable side has answered so far: buckets as in [`crate::Counts::latency_us`]. None when that is
    /// too little, or when no bound lies a margin above the quantile.
    #[must_use]
    pub fn choose(stable_so_far: &[(u64, u64)], quantile: f64, margin: f64) -> Option<Self> {
        let seen: u64 = stable_so_far.iter().map(|bucket| bucket.1).sum();
        if seen < SEEN_MIN || (seen as f64) * (1.0 - quantile) < BEYOND_MIN {
            return None;
        }
        let stable_us = at(stable_so_far, quantile, seen)?;
        let wanted = stable_us as f64 * (1.0 + margin) * (1.0 - ROUNDING);
        let canary_us = stable_so_far
            .iter()
            .map(|bucket| bucket.0)
            .find(|upper| *upper as f64 >= wanted && *upper >= stable_us)?;
        Some(Self { stable_us, canary_us })
    }
}

/// The bound that a share `quantile` of the answers kept.
#[must_use]
pub fn quantile_us(buckets: &[(u64, u64)], quantile: f64) -> Option<u64> {
    at(buckets, quantile, buckets.iter().map(|bucket| bucket.1).sum())
}

fn at(buckets: &[(u64, u64)], quantile: f64, seen: u64) -> Option<u64> {
    let needed = ((seen as f64 * quantile).ceil() as u64).max(1);
    let mut kept = 0;
    buckets.iter().find_map(|(upper, count)| {
        kept += count;
        (kept >= needed).then_some(*upper)
    })
}

/// Answers that may have taken longer than `threshold_us`, and all.
#[must_use]
pub fn perhaps_beyond(buckets: &[(u64, u64)], threshold_us: u64) -> (u64, u64) {
    let all = buckets.iter().map(|bucket| bucket.1).sum();
    let beyond = buckets
        .iter()
        .rev()
        .take_while(|bucket| bucket.0 > threshold_us)
        .map(|bucket| bucket.1)
        .sum();
    (beyond, all)
}

/// Answers that took longer than `threshold_us` for certain, and all.
#[must_use]
pub fn surely_beyond(buckets: &[(u64, u64)], threshold_us: u64) -> (u64, u64) {
    let all = buckets.iter().map(|bucket| bucket.1).sum();
    // The first bucket begins at 0; every other one where the one before it ends.
    let beyond = buckets
        .windows(2)
        .rev()
        .take_while(|pair| pair[0].0 >= threshold_us)
        .map(|pair| pair[1].1)
        .sum();
    (beyond, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKETS: [(u64, u64); 5] = [(100, 50), (110, 30), (121, 15), (133, 4), (146, 1)];

    #[test]
    fn the_canarys_threshold_is_the_margin_above_the_stable_quantile() {
        for (quantile, margin, expected) in [
            (0.5, 0.0, Some((100, 100))),
            (0.5, 0.1, Some((100, 110))),
            (0.5, 0.15, Some((100, 121))),
            (0.8, 0.1, Some((110, 121))),
            // 1.1 times 121 is 133.1; the bound was rounded to 133.
            (0.95, 0.1, Some((121, 133))),
            (0.95, 0.12, Some((121, 146))),
            (0.95, 0.3, None),
        ] {
            let chosen = Thresholds::choose(&BUCKETS, quantile, margin).map(|t| (t.stable_us, t.canary_us));
            assert_eq!(chosen, expected, "{quantile} {margin}");
        }
    }

    #[test]
    fn a_quantile_that_too_few_answers_speak_of_is_not_chosen() {
        assert_eq!(
            Thresholds::choose(&BUCKETS, 0.99, 0.1),
            None,
            "100 answers, one beyond"
        );
        assert_eq!(Thresholds::choose(&[(100, 10), (110, 9)], 0.5, 0.0), None);
        assert_eq!(Thresholds::choose(&[], 0.5, 0.0), None);
    }

    #[test]
    fn in_doubt_an_answer_is_slow_on_the_stable_side_and_not_on_the_canary() {
        assert_eq!(perhaps_beyond(&BUCKETS, 110), (20, 100));
        assert_eq!(surely_beyond(&BUCKETS, 110), (20, 100));
        // 115 lies within a bucket.
        assert_eq!(perhaps_beyond(&BUCKETS, 115), (20, 100));
        assert_eq!(surely_beyond(&BUCKETS, 115), (5, 100));
        assert_eq!(
            surely_beyond(&[(u64::MAX, 7)], 0),
            (0, 7),
            "a bucket that hides everything"
        );
        assert_eq!(perhaps_beyond(&[], 5), (0, 0));
    }
}
