//! A targeting rule, compiled: what `check` makes and `evaluate` walks.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    Literal(Value),
    /// With at least one member that has to be computed.
    Array(Box<[Rule]>),
    Var {
        path: Box<[String]>,
        or: Option<Box<Rule>>,
    },
    FlagKey,
    Timestamp,
    Equal {
        strict: bool,
        negated: bool,
        sides: Box<[Rule; 2]>,
    },
    /// Two, or three of which the middle one lies between.
    Compare(Comparison, Box<[Rule]>),
    Not(Box<Rule>),
    Truth(Box<Rule>),
    And(Box<[Rule]>),
    Or(Box<[Rule]>),
    /// Condition, result, condition, result, …, and what else.
    If(Box<[Rule]>),
    In(Box<[Rule; 2]>),
    Sum(Box<[Rule]>),
    Product(Box<[Rule]>),
    Negative(Box<Rule>),
    Difference(Box<[Rule; 2]>),
    Quotient(Box<[Rule; 2]>),
    Remainder(Box<[Rule; 2]>),
    Cat(Box<[Rule]>),
    StartsWith(Box<[Rule; 2]>),
    EndsWith(Box<[Rule; 2]>),
    SemVer(VersionTest, Box<[Rule; 2]>),
    Fractional {
        /// `None`: the flag's key and the targeting key.
        by: Option<Box<Rule>>,
        shares: Box<[Share]>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionTest {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    SameMajor,
    SameMinor,
}

impl VersionTest {
    pub fn of(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "^" => Self::SameMajor,
            "~" => Self::SameMinor,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    pub variant: Rule,
    pub weight: Weight,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Weight {
    Known(i64),
    Computed(Rule),
}

/// A version as flagd takes it: with or without a leading `v`, missing parts are 0.
pub fn version(text: &str) -> Option<semver::Version> {
    const BYTES_MAX: usize = 256;
    if text.len() > BYTES_MAX {
        return None;
    }
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let missing = 2_usize.saturating_sub(numbers.matches('.').count());
    semver::Version::parse(&format!("{numbers}{}{rest}", ".0".repeat(missing))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_may_be_short_and_begin_with_v() {
        for (text, full) in [
            ("1", Some("1.0.0")),
            ("v1.2", Some("1.2.0")),
            ("V1.2.3", Some("1.2.3")),
            ("1-rc.1", Some("1.0.0-rc.1")),
            ("1.2+build-7", Some("1.2.0+build-7")),
            ("1.2.3.4", None),
            ("01.2.3", None),
            ("", None),
            ("v", None),
            ("latest", None),
        ] {
            assert_eq!(
                version(text).map(|version| version.to_string()).as_deref(),
                full,
                "{text:?}"
            );
        }
        assert_eq!(version(&"1".repeat(300)), None);
    }
}
