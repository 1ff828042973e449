//! What JsonLogic takes values for: true or false, numbers, texts, equals. As JavaScript does, except that arrays and
//! objects are never numbers and equal nothing.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::{Number, Value};

/// A number that keeps being whole for as long as it can.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Numeric {
    Whole(i64),
    Double(f64),
}

impl Numeric {
    pub fn double(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Double(number) => number,
        }
    }

    /// Null for what JSON has no number for.
    pub fn into_value(self) -> Value {
        match self {
            Self::Whole(number) => Value::from(number),
            Self::Double(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        }
    }

    /// `whole` while both are whole and the result fits; else `double`.
    pub fn combine(
        self,
        other: Self,
        whole: impl FnOnce(i64, i64) -> Option<i64>,
        double: impl FnOnce(f64, f64) -> f64,
    ) -> Self {
        if let (Self::Whole(a), Self::Whole(b)) = (self, other)
            && let Some(result) = whole(a, b)
        {
            return Self::Whole(result);
        }
        Self::Double(double(self.double(), other.double()))
    }
}

pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) => true,
    }
}

/// `None`: not a number.
pub fn to_number(value: &Value) -> Option<Numeric> {
    match value {
        Value::Null => Some(Numeric::Whole(0)),
        Value::Bool(value) => Some(Numeric::Whole(i64::from(*value))),
        Value::Number(number) => Some(of_number(number)),
        Value::String(text) => of_text(text.trim()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn of_number(number: &Number) -> Numeric {
    match number.as_i64() {
        Some(whole) => Numeric::Whole(whole),
        None => Numeric::Double(number.as_f64().unwrap_or(f64::NAN)),
    }
}

fn of_text(text: &str) -> Option<Numeric> {
    if text.is_empty() {
        return Some(Numeric::Whole(0));
    }
    // Words such as "inf" are numbers to Rust alone.
    let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E');
    if !text.bytes().all(digits) {
        return None;
    }
    match text.parse::<i64>() {
        Ok(whole) => Some(Numeric::Whole(whole)),
        Err(_) => text.parse().ok().map(Numeric::Double),
    }
}

/// As `cat` writes it. Null is nothing; an array is its members with commas between, one level deep.
pub fn to_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        Value::Number(number) => Cow::Owned(match number.as_f64() {
            Some(double) if number.is_f64() => double.to_string(),
            _ => number.to_string(),
        }),
        Value::String(text) => Cow::Borrowed(text),
        Value::Array(items) => {
            let text = |item: &Value| match item {
                Value::Array(_) => String::new(),
                item => to_text(item).into_owned(),
            };
            Cow::Owned(items.iter().map(text).collect::<Vec<_>>().join(","))
        }
        Value::Object(_) => Cow::Borrowed("[object Object]"),
    }
}

/// `===`
pub fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => {
            order_numbers(of_number(a), of_number(b)) == Some(Ordering::Equal)
        }
        (Value::String(a), Value::String(b)) => a == b,
        _ => false,
    }
}

/// `==`
pub fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) | (Value::String(_), Value::String(_)) => is_same(a, b),
        _ => match (to_number(a), to_number(b)) {
            (Some(a), Some(b)) => order_numbers(a, b) == Some(Ordering::Equal),
            _ => false,
        },
    }
}

/// `<` and its kin; `None`: the two have no order.
pub fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => order_numbers(to_number(a)?, to_number(b)?),
    }
}

fn order_numbers(a: Numeric, b: Numeric) -> Option<Ordering> {
    match (a, b) {
        (Numeric::Whole(a), Numeric::Whole(b)) => Some(a.cmp(&b)),
        _ => a.double().partial_cmp(&b.double()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn truth_is_that_of_json_logic() {
        for value in [
            json!(null),
            json!(false),
            json!(0),
            json!(0.0),
            json!(""),
            json!([]),
        ] {
            assert!(!is_true(&value), "{value}");
        }
        for value in [
            json!(true),
            json!(-1),
            json!(0.1),
            json!("0"),
            json!("false"),
            json!([0]),
            json!({}),
        ] {
            assert!(is_true(&value), "{value}");
        }
    }

    #[test]
    fn equality_is_that_of_json_logic() {
        for (a, b, loose, strict) in [
            (json!(1), json!(1.0), true, true),
            (json!(1), json!("1"), true, false),
            (json!(1), json!(" 1 "), true, false),
            (json!(1), json!(true), true, false),
            (json!("1"), json!(true), true, false),
            (json!(0), json!(""), true, false),
            (json!(0), json!(null), false, false),
            (json!(false), json!(null), false, false),
            (json!(null), json!(null), true, true),
            (json!("a"), json!("a"), true, true),
            (json!("1"), json!("1.0"), false, false),
            (json!("a"), json!(0), false, false),
            (json!("inf"), json!(1), false, false),
            (json!([1]), json!([1]), false, false),
            (json!([1]), json!(1), false, false),
            (json!(i64::MAX), json!(i64::MAX - 1), false, false),
        ] {
            for (a, b) in [(&a, &b), (&b, &a)] {
                assert_eq!((is_equal(a, b), is_same(a, b)), (loose, strict), "{a} {b}");
            }
        }
    }

    #[test]
    fn texts_have_their_order_and_all_else_that_of_numbers() {
        for (a, b, expected) in [
            (json!("10"), json!("9"), Some(Ordering::Less)),
            (json!("10"), json!(9), Some(Ordering::Greater)),
            (json!(null), json!(1), Some(Ordering::Less)),
            (json!(1.5), json!(1), Some(Ordering::Greater)),
            (json!("a"), json!(1), None),
            (json!([]), json!(1), None),
        ] {
            assert_eq!(order(&a, &b), expected, "{a} {b}");
        }
    }

    #[test]
    fn texts_of_values() {
        for (value, text) in [
            (json!(2.0), "2"),
            (json!(1.5), "1.5"),
            (json!(-7), "-7"),
            (json!(null), ""),
            (json!([1, null, "a", [2]]), "1,,a,"),
            (json!({"a": 1}), "[object Object]"),
        ] {
            assert_eq!(to_text(&value), text);
        }
    }
}
