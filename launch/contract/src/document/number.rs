//! Plain YAML scalars by the core schema (YAML 1.2.2, section 10.3.2), and JSON numbers.

use super::Value;

pub(super) fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    match number(text) {
        Some(value) => Value::Number(value, text.into()),
        None => Value::String(text.into()),
    }
}

fn number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(|n| n as f64);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(|n| n as f64);
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Some(if text.starts_with('-') {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        });
    }
    let first = unsigned.as_bytes().first()?;
    if !(first.is_ascii_digit() || *first == b'.') {
        return None;
    }
    let shaped = unsigned
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if shaped { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let number = |text: &str| match plain_scalar(text) {
            Value::Number(value, _) => Some(value),
            _ => None,
        };
        for (text, expected) in [
            ("7", Some(7.0)),
            ("-1.5e3", Some(-1500.0)),
            ("0x1F", Some(31.0)),
            ("0o17", Some(15.0)),
            ("+3", Some(3.0)),
            ("3.0.1", None),
            ("2026-01-01", None),
            ("1e", None),
            ("e1", None),
            ("nan", None),
            ("-", None),
            ("infinity", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        assert!(matches!(plain_scalar("~"), Value::Null));
        assert!(matches!(plain_scalar("yes"), Value::String(_)));
        assert!(matches!(plain_scalar("True"), Value::Bool(true)));
    }
}
