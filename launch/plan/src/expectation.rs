//! `p99_ms <= 200`: one measurement, one comparison, one number.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The grammar, in the words that an error uses.
pub(crate) const GRAMMAR: &str = "`measurement op number`, e.g. `move_p99_ms <= 200`, \
     with a measurement of a-z, 0-9 and _, and one of == != <= >= < >";

/// A sentence about one measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    pub measurement: String,
    pub op: Op,
    pub number: f64,
    /// As written in the plan.
    pub source: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    #[serde(rename = "==")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = "<=")]
    AtMost,
    #[serde(rename = ">=")]
    AtLeast,
    #[serde(rename = "<")]
    Below,
    #[serde(rename = ">")]
    Above,
}

impl Op {
    /// Two-character operators first, so that `<=` is not read as `<`.
    const ALL: [Self; 6] = [
        Self::Equal,
        Self::NotEqual,
        Self::AtMost,
        Self::AtLeast,
        Self::Below,
        Self::Above,
    ];

    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::Above => ">",
        }
    }

    /// Whether `value op number` holds. Nothing holds for a value that is not a number.
    #[must_use]
    pub fn holds(self, value: f64, number: f64) -> bool {
        if value.is_nan() || number.is_nan() {
            return false;
        }
        match self {
            Self::Equal => value == number,
            Self::NotEqual => value != number,
            Self::AtMost => value <= number,
            Self::AtLeast => value >= number,
            Self::Below => value < number,
            Self::Above => value > number,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Expectation {
    #[must_use]
    pub fn new(measurement: &str, op: Op, number: f64) -> Self {
        Self {
            measurement: measurement.to_owned(),
            op,
            number,
            source: format!("{measurement} {op} {number}"),
        }
    }

    /// Reads `measurement op number`.
    ///
    /// # Errors
    /// What is wrong with it, in one phrase.
    pub fn parse(source: &str) -> Result<Self, String> {
        let text = source.trim();
        let end = text
            .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
            .unwrap_or(text.len());
        let (measurement, rest) = text.split_at(end);
        if !measurement.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(format!("`{source}` does not start with a measurement"));
        }
        let rest = rest.trim_start();
        let op = Op::ALL
            .into_iter()
            .find(|op| rest.starts_with(op.symbol()))
            .ok_or_else(|| format!("`{source}` has no comparison after `{measurement}`"))?;
        let number = rest[op.symbol().len()..].trim();
        let value: f64 = number
            .parse()
            .ok()
            .filter(|value: &f64| {
                value.is_finite() && number.starts_with(|c: char| c.is_ascii_digit() || "-+.".contains(c))
            })
            .ok_or_else(|| format!("`{number}` in `{source}` is not a number"))?;
        Ok(Self {
            measurement: measurement.to_owned(),
            op,
            number: value,
            source: text.to_owned(),
        })
    }
}
