//! Canonical JSON (RFC 8785, JCS): one value, one sequence of bytes, so that a digest over it
//! means something.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use crate::error::FactError;

/// Integers beyond this do not survive JSON readers that use doubles.
const MAX_EXACT_INTEGER: u64 = 1 << 53;

/// The canonical bytes of any serialisable value.
///
/// # Errors
/// An integer beyond 2^53, or a value that JSON cannot hold.
pub fn to_vec<T: Serialize>(value: &T) -> Result<Vec<u8>, FactError> {
    let value = serde_json::to_value(value).map_err(|error| FactError::NotAStatement {
        why: error.to_string(),
    })?;
    let mut out = String::new();
    write_value(&mut out, &value)?;
    Ok(out.into_bytes())
}

fn write_value(out: &mut String, value: &Value) -> Result<(), FactError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(out, number)?,
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_value(out, item)?;
            }
            out.push(']');
        }
        Value::Object(map) => {
            // JCS sorts by UTF-16 code units, which differs from UTF-8 order above U+FFFF.
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (position, key) in keys.into_iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_value(out, &map[key])?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_number(out: &mut String, number: &serde_json::Number) -> Result<(), FactError> {
    let too_large = || FactError::IntegerTooLarge {
        value: number.to_string(),
    };
    if let Some(integer) = number.as_u64() {
        if integer > MAX_EXACT_INTEGER {
            return Err(too_large());
        }
        let _ = write!(out, "{integer}");
    } else if let Some(integer) = number.as_i64() {
        if integer.unsigned_abs() > MAX_EXACT_INTEGER {
            return Err(too_large());
        }
        let _ = write!(out, "{integer}");
    } else {
        let value = number
            .as_f64()
            .filter(|value| value.is_finite())
            .ok_or_else(too_large)?;
        write_double(out, value);
    }
    Ok(())
}

/// ECMAScript's Number::toString: the shortest digits that read back, plain between 1e-6 and
/// 1e21, otherwise with an exponent.
fn write_double(out: &mut String, value: f64) {
    if value == 0.0 {
        out.push('0');
        return;
    }
    // Rust prints the shortest digits that read back too; take them apart and set them anew.
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value < 0.0 {
        out.push('-');
    }
    let count = digits.len() as i32;
    let point = exponent + 1;
    if (1..=21).contains(&point) {
        if count <= point {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', (point - count) as usize));
        } else {
            out.push_str(&digits[..point as usize]);
            out.push('.');
            out.push_str(&digits[point as usize..]);
        }
    } else if (-5..=0).contains(&point) {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-point) as usize));
        out.push_str(&digits);
    } else {
        out.push_str(&digits[..1]);
        if count > 1 {
            out.push('.');
            out.push_str(&digits[1..]);
        }
        let _ = write!(out, "e{}{}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if (control as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: &Value, expect: &str) {
        assert_eq!(String::from_utf8(to_vec(value).unwrap()).unwrap(), expect);
    }

    #[test]
    fn keys_are_sorted_and_nothing_is_padded() {
        check(
            &json!({"b": [1, 2], "a": {"z": null, "y": true}}),
            r#"{"a":{"y":true,"z":null},"b":[1,2]}"#,
        );
        // RFC 8785, section 3.2.3: an emoji (a surrogate pair) sorts before U+FB33.
        check(
            &json!({"\u{fb33}": 1, "\u{1f600}": 2}),
            "{\"\u{1f600}\":2,\"\u{fb33}\":1}",
        );
    }

    #[test]
    fn numbers_are_written_as_ecmascript_writes_them() {
        for (value, expect) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (4.5, "4.5"),
            (0.002, "0.002"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1e-27, "1e-27"),
            (333_333_333.333_333_3, "333333333.3333333"),
            (1e30, "1e+30"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (-1.5e-9, "-1.5e-9"),
        ] {
            check(&json!(value), expect);
        }
    }

    #[test]
    fn strings_escape_only_what_they_must() {
        check(
            &json!("星穹 €\u{7f}\u{f}\n\"\\/"),
            "\"星穹 €\u{7f}\\u000f\\n\\\"\\\\/\"",
        );
    }

    #[test]
    fn an_integer_that_a_double_cannot_hold_is_refused() {
        assert!(matches!(
            to_vec(&json!(u64::MAX)),
            Err(FactError::IntegerTooLarge { .. })
        ));
        assert!(matches!(
            to_vec(&json!(i64::MIN)),
            Err(FactError::IntegerTooLarge { .. })
        ));
        check(&json!(1_u64 << 53), "9007199254740992");
    }
}
