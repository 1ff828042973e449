//! A compiled rule, a context and a time: a value. Pure, and bounded by the size of the rule.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::{Map, Value};

use crate::{
    Context, cbor,
    limits::{TEXT_BYTES_MAX, WEIGHT_SUM_MAX},
    murmur::murmur3_32,
    rule::{Comparison, Rule, Share, VersionTest, Weight, version},
    value::{Numeric, is_equal, is_same, is_true, order, to_number, to_text},
};

/// Why a flag has the value that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is no rule.
    Static,
    /// The rule chose no variant.
    Default,
    TargetingMatch,
    /// The flag is switched off as such: whoever asks uses a value of its own.
    Disabled,
}

impl Reason {
    /// As OpenFeature writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::Default => "DEFAULT",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Disabled => "DISABLED",
        }
    }
}

/// What a flag is for somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution<'a> {
    /// `None`: the flag is disabled, or has no default variant; whoever asks uses a value of its own.
    pub value: Option<&'a Value>,
    pub variant: Option<&'a str>,
    pub reason: Reason,
    /// Of the whole set, and over it the flag's own.
    pub metadata: [&'a Map<String, Value>; 2],
}

/// Why there is no answer. Whoever asks uses a value of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    #[error("there is no flag {key:?}")]
    FlagNotFound { key: String },
    #[error("the flag {key:?} is {is}, not {asked}")]
    TypeMismatch {
        key: String,
        is: &'static str,
        asked: &'static str,
    },
    #[error("the flag {key:?} divides by the targeting key, and the context has none")]
    TargetingKeyMissing { key: String },
    #[error("the context does not fit the flag {key:?}: {why}")]
    InvalidContext { key: String, why: String },
    #[error("the rule of the flag {key:?} gave {result:?}, which is no variant of it")]
    NotAVariant { key: String, result: String },
}

impl EvaluateError {
    /// OpenFeature's code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::FlagNotFound { .. } => "FLAG_NOT_FOUND",
            Self::TypeMismatch { .. } => "TYPE_MISMATCH",
            Self::TargetingKeyMissing { .. } => "TARGETING_KEY_MISSING",
            Self::InvalidContext { .. } => "INVALID_CONTEXT",
            Self::NotAVariant { .. } => "GENERAL",
        }
    }
}

/// Computes the rule of the flag `key`.
pub fn evaluate<'a>(
    key: &'a str,
    rule: &'a Rule,
    context: &'a Context,
) -> Result<Cow<'a, Value>, EvaluateError> {
    Walk { key, context }.rule(rule)
}

type Computed<'a> = Result<Cow<'a, Value>, EvaluateError>;

const NULL: Cow<'static, Value> = Cow::Owned(Value::Null);

#[derive(Clone, Copy)]
struct Walk<'a> {
    key: &'a str,
    context: &'a Context,
}

impl<'a> Walk<'a> {
    /// Goes as deep as the rule, which was bounded when it was compiled.
    fn rule(self, rule: &'a Rule) -> Computed<'a> {
        match rule {
            Rule::Literal(value) => Ok(Cow::Borrowed(value)),
            Rule::Array(items) => {
                let items = items.iter().map(|item| Ok(self.rule(item)?.into_owned()));
                Ok(Cow::Owned(Value::Array(
                    items.collect::<Result<_, EvaluateError>>()?,
                )))
            }
            Rule::Var { path, or } => match (self.attribute(path), or) {
                (Some(found), _) => Ok(found),
                (None, Some(or)) => self.rule(or),
                (None, None) => Ok(NULL),
            },
            Rule::FlagKey => text(self.key),
            Rule::Timestamp => Ok(Cow::Owned(self.context.now_s.into())),
            Rule::Equal {
                strict,
                negated,
                sides,
            } => {
                let [a, b] = self.both(sides)?;
                let equal = if *strict {
                    is_same(&a, &b)
                } else {
                    is_equal(&a, &b)
                };
                truth(equal != *negated)
            }
            Rule::Compare(comparison, sides) => self.compare(*comparison, sides),
            Rule::Not(inner) => truth(!is_true(&*self.rule(inner)?)),
            Rule::Truth(inner) => truth(is_true(&*self.rule(inner)?)),
            Rule::And(items) => self.first(items, |value| !is_true(value)),
            Rule::Or(items) => self.first(items, is_true),
            Rule::If(items) => self.branch(items),
            Rule::In(sides) => {
                let [needle, haystack] = self.both(sides)?;
                truth(match &*haystack {
                    Value::Array(items) => items.iter().any(|item| is_same(item, &needle)),
                    Value::String(text) => text.contains(&*to_text(&needle)),
                    _ => false,
                })
            }
            Rule::Sum(items) => self.fold(items, Numeric::Whole(0), |a, b| {
                a.combine(b, i64::checked_add, |a, b| a + b)
            }),
            Rule::Product(items) => self.fold(items, Numeric::Whole(1), |a, b| {
                a.combine(b, i64::checked_mul, |a, b| a * b)
            }),
            Rule::Negative(inner) => {
                let zero = Numeric::Whole(0);
                let inner = to_number(&*self.rule(inner)?);
                numeric(inner.map(|inner| zero.combine(inner, i64::checked_sub, |_, b| -b)))
            }
            Rule::Difference(sides) => {
                self.reckon(sides, |a, b| a.combine(b, i64::checked_sub, |a, b| a - b))
            }
            Rule::Quotient(sides) => self.reckon(sides, |a, b| Numeric::Double(a.double() / b.double())),
            Rule::Remainder(sides) => self.reckon(sides, |a, b| a.combine(b, i64::checked_rem, |a, b| a % b)),
            Rule::Cat(items) => self.cat(items),
            Rule::StartsWith(sides) => self.texts(sides, |text, part| text.starts_with(part)),
            Rule::EndsWith(sides) => self.texts(sides, |text, part| text.ends_with(part)),
            Rule::SemVer(test, sides) => self.versions(*test, sides),
            Rule::Fractional { by, shares } => self.fractional(by.as_deref(), shares),
        }
    }

    /// What the context knows under this name; null is as good as nothing.
    fn attribute(self, path: &[String]) -> Option<Cow<'a, Value>> {
        let (first, rest) = path.split_first()?;
        let context = self.context;
        if first == "targetingKey" {
            let key = context.targeting_key.as_deref().filter(|_| rest.is_empty())?;
            return Some(Cow::Owned(key.into()));
        }
        let found = rest
            .iter()
            .try_fold(context.attributes.get(first)?, |value, step| match value {
                Value::Object(members) => members.get(step),
                Value::Array(items) => items.get(
                    step.parse::<usize>()
                        .ok()
                        .filter(|index| index.to_string() == *step)?,
                ),
                _ => None,
            })?;
        (!found.is_null()).then_some(Cow::Borrowed(found))
    }

    fn both(self, sides: &'a [Rule; 2]) -> Result<[Cow<'a, Value>; 2], EvaluateError> {
        Ok([self.rule(&sides[0])?, self.rule(&sides[1])?])
    }

    fn compare(self, comparison: Comparison, sides: &'a [Rule]) -> Computed<'a> {
        let values = sides
            .iter()
            .map(|side| self.rule(side))
            .collect::<Result<Vec<_>, _>>()?;
        let holds = |ordering: Ordering| match comparison {
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        };
        truth(
            values
                .windows(2)
                .all(|pair| order(&pair[0], &pair[1]).is_some_and(holds)),
        )
    }

    /// The first value that `ends` it, else the last.
    fn first(self, items: &'a [Rule], ends: impl Fn(&Value) -> bool) -> Computed<'a> {
        let mut last = NULL;
        for item in items {
            last = self.rule(item)?;
            if ends(&last) {
                break;
            }
        }
        Ok(last)
    }

    fn branch(self, items: &'a [Rule]) -> Computed<'a> {
        for pair in items.chunks(2) {
            match pair {
                [condition, result] if is_true(&*self.rule(condition)?) => return self.rule(result),
                [otherwise] => return self.rule(otherwise),
                _ => {}
            }
        }
        Ok(NULL)
    }

    fn fold(
        self,
        items: &'a [Rule],
        start: Numeric,
        step: impl Fn(Numeric, Numeric) -> Numeric,
    ) -> Computed<'a> {
        let mut so_far = Some(start);
        for item in items {
            let value = to_number(&*self.rule(item)?);
            so_far = so_far.zip(value).map(|(a, b)| step(a, b));
        }
        numeric(so_far)
    }

    fn reckon(self, sides: &'a [Rule; 2], step: impl FnOnce(Numeric, Numeric) -> Numeric) -> Computed<'a> {
        let [a, b] = self.both(sides)?;
        numeric(to_number(&a).zip(to_number(&b)).map(|(a, b)| step(a, b)))
    }

    fn cat(self, items: &'a [Rule]) -> Computed<'a> {
        let mut written = String::new();
        for item in items {
            written.push_str(&to_text(&*self.rule(item)?));
            if written.len() > TEXT_BYTES_MAX {
                return Err(self.unfit(format!("\"cat\" makes more than {TEXT_BYTES_MAX} bytes of it")));
            }
        }
        Ok(Cow::Owned(Value::String(written)))
    }

    /// Null unless both are texts.
    fn texts(self, sides: &'a [Rule; 2], test: impl FnOnce(&str, &str) -> bool) -> Computed<'a> {
        let [text, part] = self.both(sides)?;
        match (&*text, &*part) {
            (Value::String(text), Value::String(part)) => truth(test(text, part)),
            _ => Ok(NULL),
        }
    }

    /// Null unless both are versions. What follows a `+` does not count.
    fn versions(self, test: VersionTest, sides: &'a [Rule; 2]) -> Computed<'a> {
        let [a, b] = self.both(sides)?;
        let (Some(a), Some(b)) = (version(&to_text(&a)), version(&to_text(&b))) else {
            return Ok(NULL);
        };
        let ordering = a.cmp_precedence(&b);
        truth(match test {
            VersionTest::Equal => ordering.is_eq(),
            VersionTest::NotEqual => ordering.is_ne(),
            VersionTest::Less => ordering.is_lt(),
            VersionTest::LessOrEqual => ordering.is_le(),
            VersionTest::Greater => ordering.is_gt(),
            VersionTest::GreaterOrEqual => ordering.is_ge(),
            VersionTest::SameMajor => a.major == b.major,
            VersionTest::SameMinor => a.major == b.major && a.minor == b.minor,
        })
    }

    /// The variant of the bucket that the subject falls into. Null, and so the default variant, if there is nothing to
    /// divide by or the weights are none.
    fn fractional(self, by: Option<&'a Rule>, shares: &'a [Share]) -> Computed<'a> {
        let subject = match by {
            Some(by) => self.rule(by)?,
            None => {
                let Some(key) = self
                    .context
                    .targeting_key
                    .as_deref()
                    .filter(|key| !key.is_empty())
                else {
                    let key = self.key.to_owned();
                    return Err(EvaluateError::TargetingKeyMissing { key });
                };
                Cow::Owned(Value::from(vec![self.key, key]))
            }
        };
        // An array that an attribute holds would be read as a share by flagd: whoever sets it would choose.
        if subject.is_null() || (by.is_some() && subject.is_array()) {
            return Ok(NULL);
        }
        let Some(bytes) = cbor::canonical(&subject) else {
            return Err(self.unfit("what the flag divides by is nested too deep".to_owned()));
        };
        let weights = shares.iter().map(|share| self.weight(&share.weight));
        let Some(weights) = weights.collect::<Result<Option<Vec<i64>>, _>>()? else {
            return Ok(NULL);
        };
        let total = weights
            .iter()
            .fold(0_i64, |sum, weight| sum.saturating_add(*weight));
        if !(1..=WEIGHT_SUM_MAX).contains(&total) {
            return Ok(NULL);
        }
        // Fits: the hash has 32 bits and the total 31.
        let bucket = (i64::from(murmur3_32(&bytes)) * total) >> 32;
        let mut end = 0;
        for (share, weight) in shares.iter().zip(weights) {
            end += weight;
            if bucket < end {
                return self.rule(&share.variant);
            }
        }
        Ok(NULL)
    }

    /// `None`: it is no whole number. Fewer than nothing is nothing.
    fn weight(self, weight: &'a Weight) -> Result<Option<i64>, EvaluateError> {
        match weight {
            Weight::Known(weight) => Ok(Some(*weight)),
            Weight::Computed(rule) => {
                let value = self.rule(rule)?;
                Ok(value.as_i64().map(|weight| weight.max(0)))
            }
        }
    }

    fn unfit(self, why: String) -> EvaluateError {
        let key = self.key.to_owned();
        EvaluateError::InvalidContext { key, why }
    }
}

fn truth<'a>(holds: bool) -> Computed<'a> {
    Ok(Cow::Owned(Value::Bool(holds)))
}

fn text<'a>(text: &str) -> Computed<'a> {
    Ok(Cow::Owned(Value::from(text)))
}

fn numeric<'a>(number: Option<Numeric>) -> Computed<'a> {
    Ok(Cow::Owned(number.map_or(Value::Null, Numeric::into_value)))
}
