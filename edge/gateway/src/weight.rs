//! A part of a split: hundredths of a percent, one bucket of players each.

use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Players are spread over this many buckets, and the weights of a split add up to as many.
pub const BUCKETS: u32 = 10_000;
/// Buckets of one percent.
const PER_PERCENT: u32 = 100;

/// From 0 to 100 percent, in steps of 0.01. Written as a number: `30`, `0.1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

impl Weight {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const WHOLE: Self = Self(BUCKETS);

    /// So many percent; `None` over 100.
    pub fn percent(percent: u32) -> Option<Self> {
        (percent <= 100).then(|| Self(percent * PER_PERCENT))
    }

    /// One bucket is a hundredth of a percent.
    #[cfg(test)]
    pub(crate) fn from_buckets(buckets: u32) -> Self {
        assert!(buckets <= BUCKETS);
        Self(buckets)
    }

    /// The players of so many buckets.
    pub fn buckets(self) -> u32 {
        self.0
    }

    /// As a number of percent.
    pub fn as_percent(self) -> f64 {
        f64::from(self.0) / f64::from(PER_PERCENT)
    }

    fn from_number(percent: f64) -> Option<Self> {
        let buckets = percent * f64::from(PER_PERCENT);
        let whole = buckets.round();
        // 0.07 * 100 is not quite 7.
        ((0.0..=f64::from(BUCKETS)).contains(&whole) && (buckets - whole).abs() < 1e-6)
            .then_some(Self(whole as u32))
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_percent())
    }
}

impl std::str::FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .and_then(Self::from_number)
            .ok_or_else(|| format!("{text:?} is no weight: write {EXPECTED}"))
    }
}

const EXPECTED: &str = "percent from 0 to 100, with two decimals at most";

impl Serialize for Weight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(PER_PERCENT) {
            serializer.serialize_u32(self.0 / PER_PERCENT)
        } else {
            serializer.serialize_f64(self.as_percent())
        }
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Percent;

        impl Visitor<'_> for Percent {
            type Value = Weight;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Weight, E> {
                u32::try_from(value)
                    .ok()
                    .and_then(Weight::percent)
                    .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Weight, E> {
                u64::try_from(value)
                    .map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
                    .and_then(|value| self.visit_u64(value))
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Weight, E> {
                Weight::from_number(value).ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
            }
        }

        deserializer.deserialize_any(Percent)
    }
}

/// Weights that together are everything.
///
/// # Errors
/// What they add up to instead.
pub fn whole(weights: impl IntoIterator<Item = Weight>) -> Result<(), f64> {
    let sum: u64 = weights.into_iter().map(|weight| u64::from(weight.0)).sum();
    if sum == u64::from(BUCKETS) {
        Ok(())
    } else {
        Err(sum as f64 / f64::from(PER_PERCENT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_are_read_and_written_as_people_write_them() {
        for (text, buckets) in [
            ("0", 0),
            ("100", 10_000),
            ("30", 3_000),
            ("0.1", 10),
            ("0.07", 7),
            ("99.99", 9_999),
        ] {
            let weight: Weight = serde_json::from_str(text).unwrap();
            assert_eq!(weight.buckets(), buckets);
            assert_eq!(serde_json::to_string(&weight).unwrap(), text);
            assert_eq!(weight.to_string(), text);
            assert_eq!(text.parse(), Ok(weight));
        }
        assert_eq!(serde_json::from_str::<Weight>("30.0").unwrap().buckets(), 3_000);
    }

    #[test]
    fn what_is_no_percent_is_refused_with_what_is() {
        for text in [
            "-1",
            "101",
            "0.001",
            "100.01",
            "1e300",
            "\"30\"",
            "4294967295",
            "null",
        ] {
            let error = serde_json::from_str::<Weight>(text).unwrap_err().to_string();
            assert!(error.contains("from 0 to 100"), "{text}: {error}");
        }
        for text in ["", "NaN", "inf", "5 %", "-0.5"] {
            assert!(text.parse::<Weight>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_whole_is_a_hundred_percent() {
        let weights = |texts: &[&str]| whole(texts.iter().map(|text| text.parse::<Weight>().unwrap()));
        assert_eq!(weights(&["99.9", "0.1"]), Ok(()));
        assert_eq!(weights(&["99.9", "0.11"]), Err(100.01));
        assert_eq!(weights(&[]), Err(0.0));
    }
}
