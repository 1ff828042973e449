//! How strong a player probably is: rating, deviation and volatility after games.
//!
//! Source: M. E. Glickman, *Example of the Glicko-2 system*, 2022
//! (<http://www.glicko.net/glicko/glicko2.pdf>); its worked example is the test below. Every game is
//! rated on its own, and the uncertainty that time brings (step 6) counts in fractions of a period.
//!
//! Calculated in floating point, kept in integers: what is stored and compared has one form only.

use serde::{Deserialize, Serialize};

/// Rating points of a new player.
pub const RATING_INITIAL: i32 = 1500;

/// One point on the scale of the calculation is this many rating points.
const SCALE: f64 = 173.7178;
/// How much the volatility may change: the paper's system constant.
const TAU: f64 = 0.5;
/// How exactly the volatility is sought.
const EPSILON: f64 = 0.000_001;
/// Far more than any search needs; a bound on what must end.
const STEPS_MAX: u32 = 100;
/// A rating period in milliseconds, 4.665 days: so long that a year without a game takes a
/// deviation of 60 points, a regular player's, to 110.
const PERIOD_MS: f64 = 4.665 * 24.0 * 3600.0 * 1000.0;

const RATING_MILLI: std::ops::RangeInclusive<i64> = 100_000..=4_000_000;
/// Below 45 points a rating could hardly follow its player any more; above 350 nobody knows less.
const DEVIATION_MILLI: std::ops::RangeInclusive<i64> = 45_000..=350_000;
const VOLATILITY_NANO: std::ops::RangeInclusive<i64> = 1_000_000..=150_000_000;

/// What is known of a player's strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skill {
    /// Thousandths of a rating point.
    pub rating_milli: i64,
    /// The rating's standard deviation, in thousandths of a point.
    pub deviation_milli: i64,
    /// How erratic the results are, in 1e-9.
    pub volatility_nano: i64,
    /// When the last rated game ended, milliseconds since 1970-01-01 UTC; `None` before the first.
    pub rated_at_ms: Option<i64>,
}

/// A value that no rated player can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value} lies outside of {least} to {most}")]
pub struct SkillOutOfRange {
    pub what: &'static str,
    pub value: i64,
    pub least: i64,
    pub most: i64,
}

impl Skill {
    /// A player of whom nothing but this rating is known; one beyond all sense is taken as the
    /// nearest that makes some.
    pub const fn new(rating: i32) -> Skill {
        let (least, most) = (*RATING_MILLI.start(), *RATING_MILLI.end());
        let rating_milli = match rating as i64 * 1000 {
            low if low < least => least,
            high if high > most => most,
            fits => fits,
        };
        Skill {
            rating_milli,
            deviation_milli: 350_000,
            volatility_nano: 60_000_000,
            rated_at_ms: None,
        }
    }

    /// Rating points, rounded.
    pub fn rating(&self) -> i32 {
        rounded(self.rating_milli) as i32
    }

    /// The deviation in rating points, rounded.
    pub fn deviation(&self) -> u32 {
        rounded(self.deviation_milli).unsigned_abs() as u32
    }

    /// Whether every value is one that a rated player can have.
    pub fn check(&self) -> Result<(), SkillOutOfRange> {
        let values = [
            ("the rating (1/1000)", self.rating_milli, RATING_MILLI),
            ("the deviation (1/1000)", self.deviation_milli, DEVIATION_MILLI),
            ("the volatility (1e-9)", self.volatility_nano, VOLATILITY_NANO),
        ];
        match values
            .into_iter()
            .find(|(_, value, range)| !range.contains(value))
        {
            Some((what, value, range)) => Err(SkillOutOfRange {
                what,
                value,
                least: *range.start(),
                most: *range.end(),
            }),
            None => Ok(()),
        }
    }

    /// This player's skill after one game against `opponent`, as both were before it. `score`: 1 won, 0.5
    /// drawn, 0 lost.
    #[must_use]
    pub fn after_game(&self, opponent: &Skill, score: f64, ended_at_ms: i64) -> Skill {
        let mut other = opponent.estimate();
        other.deviation = other.grown(other.volatility, opponent.periods_until(ended_at_ms));
        let rated = self
            .estimate()
            .after_period(&[(other, score)], self.periods_until(ended_at_ms));
        Skill {
            rating_milli: milli(rated.rating * SCALE + f64::from(RATING_INITIAL), &RATING_MILLI),
            deviation_milli: milli(rated.deviation * SCALE, &DEVIATION_MILLI),
            volatility_nano: within(rated.volatility * 1e9, &VOLATILITY_NANO),
            // A clock that was set back does not make a player unknown again.
            rated_at_ms: Some(
                self.rated_at_ms
                    .map_or(ended_at_ms, |before| before.max(ended_at_ms)),
            ),
        }
    }

    fn estimate(&self) -> Estimate {
        Estimate {
            rating: (self.rating_milli as f64 / 1000.0 - f64::from(RATING_INITIAL)) / SCALE,
            deviation: self.deviation_milli as f64 / 1000.0 / SCALE,
            volatility: self.volatility_nano as f64 / 1e9,
        }
    }

    fn periods_until(&self, at_ms: i64) -> f64 {
        let since_ms = self
            .rated_at_ms
            .map_or(0, |before| at_ms.saturating_sub(before).max(0));
        since_ms as f64 / PERIOD_MS
    }
}

fn rounded(milli: i64) -> i64 {
    (milli + 500 * milli.signum()) / 1000
}

fn milli(points: f64, range: &std::ops::RangeInclusive<i64>) -> i64 {
    within(points * 1000.0, range)
}

/// Rounded and within `range`; so a value that is no number becomes the least one.
fn within(value: f64, range: &std::ops::RangeInclusive<i64>) -> i64 {
    (value.round() as i64).clamp(*range.start(), *range.end())
}

/// A skill on the scale of the calculation: the paper's µ, φ and σ.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    rating: f64,
    deviation: f64,
    volatility: f64,
}

impl Estimate {
    /// The deviation after `periods` without a game.
    fn grown(&self, volatility: f64, periods: f64) -> f64 {
        (self.deviation.powi(2) + periods * volatility.powi(2)).sqrt()
    }

    /// Steps 3 to 7 of the paper. At least one result.
    fn after_period(&self, results: &[(Estimate, f64)], periods: f64) -> Estimate {
        let mut information = 0.0;
        let mut surprise = 0.0;
        for (opponent, score) in results {
            let weight = opponent.weight();
            let expected = 1.0 / (1.0 + (-weight * (self.rating - opponent.rating)).exp());
            information += weight.powi(2) * expected * (1.0 - expected);
            surprise += weight * (score - expected);
        }
        let variance = 1.0 / information;
        let volatility = self.new_volatility(variance, variance * surprise);
        let before = self.grown(volatility, periods);
        let deviation = 1.0 / (1.0 / before.powi(2) + 1.0 / variance).sqrt();
        Estimate {
            rating: self.rating + deviation.powi(2) * surprise,
            deviation,
            volatility,
        }
    }

    /// How much a result against this opponent says: the paper's g(φ).
    fn weight(&self) -> f64 {
        1.0 / (1.0 + 3.0 * self.deviation.powi(2) / std::f64::consts::PI.powi(2)).sqrt()
    }

    /// Step 5, by the Illinois algorithm. `improvement` is the paper's Δ.
    fn new_volatility(&self, variance: f64, improvement: f64) -> f64 {
        let a = self.volatility.powi(2).ln();
        let known = self.deviation.powi(2) + variance;
        let f = |x: f64| {
            let e = x.exp();
            e * (improvement.powi(2) - known - e) / (2.0 * (known + e).powi(2)) - (x - a) / TAU.powi(2)
        };
        let mut low = a;
        let mut high = if improvement.powi(2) > known {
            (improvement.powi(2) - known).ln()
        } else {
            let steps = (1..=STEPS_MAX).map(f64::from);
            let found = steps.map(|k| a - k * TAU).find(|x| f(*x) >= 0.0);
            found.unwrap_or(a)
        };
        let (mut f_low, mut f_high) = (f(low), f(high));
        for _ in 0..STEPS_MAX {
            if (high - low).abs() <= EPSILON {
                break;
            }
            let middle = low + (low - high) * f_low / (f_high - f_low);
            let f_middle = f(middle);
            if f_middle * f_high <= 0.0 {
                (low, f_low) = (high, f_high);
            } else {
                f_low /= 2.0;
            }
            (high, f_high) = (middle, f_middle);
        }
        (low / 2.0).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 3600 * 1000;

    fn estimate(rating: f64, deviation: f64) -> Estimate {
        Estimate {
            rating: (rating - 1500.0) / SCALE,
            deviation: deviation / SCALE,
            volatility: 0.06,
        }
    }

    #[test]
    fn the_papers_worked_example() {
        let results = [
            (estimate(1400.0, 30.0), 1.0),
            (estimate(1550.0, 100.0), 0.0),
            (estimate(1700.0, 300.0), 0.0),
        ];
        let rated = estimate(1500.0, 200.0).after_period(&results, 1.0);
        let near = |found: f64, expected: f64, within: f64| {
            assert!((found - expected).abs() < within, "{found} is not {expected}");
        };
        near(rated.rating * SCALE + 1500.0, 1464.06, 0.01);
        near(rated.deviation * SCALE, 151.52, 0.01);
        near(rated.volatility, 0.05999, 0.00001);
        near(rated.rating, -0.2069, 0.0001);
        near(rated.deviation, 0.8722, 0.0001);
    }

    #[test]
    fn two_new_players_part_by_as_much_to_either_side() {
        let new = Skill::new(RATING_INITIAL);
        assert_eq!(
            (new.rating(), new.deviation(), new.volatility_nano),
            (1500, 350, 60_000_000)
        );
        let won = new.after_game(&new, 1.0, 1);
        let lost = new.after_game(&new, 0.0, 1);
        assert_eq!((won.rating(), won.deviation()), (1662, 290));
        assert_eq!((lost.rating(), lost.deviation()), (1338, 290));
        let drawn = new.after_game(&new, 0.5, 1);
        assert_eq!(
            (drawn.rating_milli, drawn.deviation_milli),
            (1_500_000, won.deviation_milli)
        );
    }

    #[test]
    fn time_without_a_game_makes_a_rating_uncertain_again() {
        let regular = Skill {
            deviation_milli: 60_000,
            rated_at_ms: Some(0),
            ..Skill::new(1500)
        };
        let year = regular
            .estimate()
            .grown(0.06, regular.periods_until(365 * DAY_MS))
            * SCALE;
        assert!((year - 110.0).abs() < 0.5, "{year}");
        let soon = regular.after_game(&regular, 1.0, 1);
        let late = regular.after_game(&regular, 1.0, 365 * DAY_MS);
        assert!(late.rating_milli > soon.rating_milli + 5_000, "{soon:?} {late:?}");
        assert!(soon.deviation_milli < 60_000 && late.deviation_milli > 60_000);
        // A clock set back counts as no time at all.
        let back = soon.after_game(&regular, 0.5, -DAY_MS);
        assert_eq!(back.rated_at_ms, Some(1));
    }

    #[test]
    fn whatever_happens_a_skill_stays_in_range() {
        for rating in [100, 1500, 4000] {
            for other in [100, 4000] {
                for score in [0.0, 0.5, 1.0] {
                    let mut skill = Skill::new(rating);
                    for n in 0..200 {
                        skill = skill.after_game(&Skill::new(other), score, n * 40 * DAY_MS);
                        skill.check().unwrap();
                    }
                }
            }
        }
        let wrong = Skill {
            deviation_milli: 0,
            ..Skill::new(1500)
        };
        assert_eq!(wrong.check().unwrap_err().what, "the deviation (1/1000)");
    }
}
