//! When things are meant to start. Pure: everything follows from the seed.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// How starts are spread over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Independent of each other, as real clients are: gaps are exponential.
    #[default]
    Poisson,
    /// Evenly spaced.
    Uniform,
}

/// The starts of `count` clients within `over`, ascending.
///
/// A Poisson process with a known number of arrivals is that many uniform draws, sorted.
pub fn starts(shape: Arrivals, count: usize, over: Duration, seed: u64) -> Vec<Duration> {
    let mut starts: Vec<Duration> = match shape {
        Arrivals::Uniform => (0..count)
            .map(|i| over.mul_f64(i as f64 / count as f64))
            .collect(),
        Arrivals::Poisson => {
            let mut rng = SmallRng::seed_from_u64(seed);
            (0..count).map(|_| over.mul_f64(rng.random::<f64>())).collect()
        }
    };
    starts.sort_unstable();
    starts
}

/// Endless starts at `rate_per_s`, each as the time since the beginning.
#[derive(Debug)]
pub struct RateSchedule {
    shape: Arrivals,
    gap_s: f64,
    at_s: f64,
    rng: SmallRng,
}

impl RateSchedule {
    /// `rate_per_s` must be above 0.
    pub fn new(shape: Arrivals, rate_per_s: f64, seed: u64) -> Self {
        Self {
            shape,
            gap_s: 1.0 / rate_per_s,
            at_s: 0.0,
            rng: SmallRng::seed_from_u64(seed),
        }
    }
}

impl Iterator for RateSchedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = self.at_s;
        self.at_s += match self.shape {
            Arrivals::Uniform => self.gap_s,
            // 1 − u is in (0, 1], so that the logarithm is finite.
            Arrivals::Poisson => -(1.0 - self.rng.random::<f64>()).ln() * self.gap_s,
        };
        Some(Duration::from_secs_f64(at))
    }
}

/// How long the side to move thinks at `sequence` of `game_id`: 0.5 to 1.5 times the mean.
///
/// A function of the game and not of a player's random numbers, so that both players know the whole
/// timetable of their game without talking to each other, and a late server cannot shift it.
pub fn think_time(mean: Duration, seed: u64, game_id: &str, sequence: u32) -> Duration {
    let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
    for byte in game_id.bytes().chain(sequence.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // Finaliser of SplitMix64: FNV alone leaves the high bits of short inputs weak.
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    let unit = (hash >> 11) as f64 / (1u64 << 53) as f64;
    mean.mul_f64(0.5 + unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_sorted_within_bounds_and_follow_the_seed() {
        let over = Duration::from_secs(10);
        for shape in [Arrivals::Poisson, Arrivals::Uniform] {
            let a = starts(shape, 500, over, 7);
            assert_eq!(a.len(), 500);
            assert!(a.is_sorted() && a.iter().all(|at| *at <= over));
            assert_eq!(a, starts(shape, 500, over, 7));
        }
        assert_ne!(
            starts(Arrivals::Poisson, 5, over, 7),
            starts(Arrivals::Poisson, 5, over, 8)
        );
        assert_eq!(
            starts(Arrivals::Uniform, 4, over, 0)[1],
            Duration::from_millis(2500)
        );
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() {
        let at: Vec<f64> = RateSchedule::new(Arrivals::Poisson, 100.0, 3)
            .take(20_001)
            .map(|d| d.as_secs_f64())
            .collect();
        let gaps: Vec<f64> = at.windows(2).map(|w| w[1] - w[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((mean - 0.01).abs() < 0.0003, "mean gap {mean}");
        assert!((deviation / mean - 1.0).abs() < 0.05, "deviation {deviation}");
    }

    #[test]
    fn a_uniform_rate_is_evenly_spaced() {
        let at: Vec<Duration> = RateSchedule::new(Arrivals::Uniform, 4.0, 0).take(3).collect();
        assert_eq!(at, [0, 250, 500].map(Duration::from_millis));
    }

    #[test]
    fn think_times_surround_the_mean_and_are_the_same_for_both_players() {
        let mean = Duration::from_secs(1);
        let all: Vec<f64> = (0..4000)
            .map(|s| think_time(mean, 1, "g-1", s).as_secs_f64())
            .collect();
        assert!(all.iter().all(|t| (0.5..1.5).contains(t)));
        let average = all.iter().sum::<f64>() / all.len() as f64;
        assert!((average - 1.0).abs() < 0.02, "{average}");
        assert_eq!(think_time(mean, 1, "g-1", 9), think_time(mean, 1, "g-1", 9));
        assert_ne!(think_time(mean, 1, "g-1", 9), think_time(mean, 1, "g-2", 9));
    }
}
