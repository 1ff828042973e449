//! Canonical CBOR (RFC 7049, section 3.9) of a JSON value: the bytes that flagd hashes to find a bucket.
//!
//! Whole doubles are written as integers first, so that 1 and 1.0 are one subject, as flagd's specification of
//! `fractional` asks.

use serde_json::{Number, Value};

use crate::limits::CONTEXT_DEPTH_MAX;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

/// `None`: it is nested too deep.
pub fn canonical(value: &Value) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    write(&mut bytes, value, CONTEXT_DEPTH_MAX)?;
    Some(bytes)
}

fn write(bytes: &mut Vec<u8>, value: &Value, depth_left: usize) -> Option<()> {
    match value {
        Value::Null => bytes.push(0xf6),
        Value::Bool(false) => bytes.push(0xf4),
        Value::Bool(true) => bytes.push(0xf5),
        Value::Number(number) => write_number(bytes, number),
        Value::String(text) => write_text(bytes, text),
        Value::Array(items) => {
            let depth_left = depth_left.checked_sub(1)?;
            write_head(bytes, ARRAY, items.len() as u64);
            for item in items {
                write(bytes, item, depth_left)?;
            }
        }
        Value::Object(members) => {
            let depth_left = depth_left.checked_sub(1)?;
            let mut written = Vec::with_capacity(members.len());
            for (key, value) in members {
                let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
                write_text(&mut key_bytes, key);
                write(&mut value_bytes, value, depth_left)?;
                written.push((key_bytes, value_bytes));
            }
            // Shorter names first, then byte by byte: a name's bytes begin with its length.
            written.sort();
            write_head(bytes, MAP, written.len() as u64);
            for (key, value) in written {
                bytes.extend(key);
                bytes.extend(value);
            }
        }
    }
    Some(())
}

fn write_text(bytes: &mut Vec<u8>, text: &str) {
    write_head(bytes, TEXT, text.len() as u64);
    bytes.extend(text.as_bytes());
}

/// The kind and its argument in the fewest bytes.
fn write_head(bytes: &mut Vec<u8>, kind: u8, argument: u64) {
    let kind = kind << 5;
    match argument {
        0..24 => bytes.push(kind | argument as u8),
        24..0x100 => bytes.extend([kind | 24, argument as u8]),
        0x100..0x1_0000 => {
            bytes.push(kind | 25);
            bytes.extend((argument as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            bytes.push(kind | 26);
            bytes.extend((argument as u32).to_be_bytes());
        }
        _ => {
            bytes.push(kind | 27);
            bytes.extend(argument.to_be_bytes());
        }
    }
}

fn write_number(bytes: &mut Vec<u8>, number: &Number) {
    if let Some(number) = number.as_u64() {
        write_head(bytes, UNSIGNED, number);
    } else if let Some(number) = number.as_i64() {
        write_head(bytes, NEGATIVE, !number.cast_unsigned());
    } else {
        write_double(bytes, number.as_f64().unwrap_or(f64::NAN));
    }
}

fn write_double(bytes: &mut Vec<u8>, double: f64) {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if double.fract() == 0.0 && (-TWO_TO_63..2.0 * TWO_TO_63).contains(&double) {
        if double < 0.0 {
            write_head(bytes, NEGATIVE, !(double as i64).cast_unsigned());
        } else {
            write_head(bytes, UNSIGNED, double as u64);
        }
        return;
    }
    let single = double as f32;
    if f64::from(single) != double {
        bytes.push(0xfb);
        bytes.extend(double.to_be_bytes());
    } else if let Some(half) = exact_half(single) {
        bytes.push(0xf9);
        bytes.extend(half.to_be_bytes());
    } else {
        bytes.push(0xfa);
        bytes.extend(single.to_be_bytes());
    }
}

/// The half-precision float of the same value, if there is one.
fn exact_half(single: f32) -> Option<u16> {
    let bits = single.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let exponent = ((bits >> 23) & 0xff) as i32 - 127;
    let fraction = bits & 0x007f_ffff;
    match exponent {
        -14..=15 if fraction & 0x1fff == 0 => {
            Some(sign | ((exponent + 15) as u16) << 10 | (fraction >> 13) as u16)
        }
        -24..=-15 => {
            // Without an exponent of its own: the leading one becomes a digit.
            let shift = (-1 - exponent) as u32;
            let digits = fraction | 0x0080_0000;
            (digits & ((1 << shift) - 1) == 0).then_some(sign | (digits >> shift) as u16)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// From appendix A of RFC 7049, but for whole doubles, which are integers here.
    #[test]
    fn values_are_written_as_in_the_appendix() {
        for (value, expected) in [
            (json!(0), "00"),
            (json!(23), "17"),
            (json!(24), "1818"),
            (json!(1000), "1903e8"),
            (json!(1_000_000), "1a000f4240"),
            (json!(1_000_000_000_000_u64), "1b000000e8d4a51000"),
            (json!(u64::MAX), "1bffffffffffffffff"),
            (json!(-1), "20"),
            (json!(-100), "3863"),
            (json!(i64::MIN), "3b7fffffffffffffff"),
            (json!(-9_223_372_036_854_775_808.0), "3b7fffffffffffffff"),
            (json!(-0.0), "00"),
            (json!(1.0), "01"),
            (json!(65504.0), "19ffe0"),
            (json!(1.5), "f93e00"),
            (json!(-4.1), "fbc010666666666666"),
            (json!(1.1), "fb3ff199999999999a"),
            (json!(5.960_464_477_539_063e-8), "f90001"),
            (json!(0.000_061_035_156_25), "f90400"),
            (json!(0.000_030_517_578_125), "f90200"),
            (json!(0.333_251_953_125), "f93555"),
            (json!(0.1_f32), "fa3dcccccd"),
            (json!(1e300), "fb7e37e43c8800759c"),
            (json!(18_446_744_073_709_551_616.0), "fa5f800000"),
            (json!(false), "f4"),
            (json!(null), "f6"),
            (json!(""), "60"),
            (json!("\u{6c34}"), "63e6b0b4"),
            (json!([1, [2, 3]]), "8201820203"),
            (json!({"b": 1, "a": 2, "aa": 3}), "a361610261620162616103"),
        ] {
            assert_eq!(hex::encode(canonical(&value).unwrap()), expected, "{value}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth| (0..depth).fold(json!(1), |value, _| json!([value]));
        assert!(canonical(&nested(CONTEXT_DEPTH_MAX)).is_some());
        assert!(canonical(&nested(CONTEXT_DEPTH_MAX + 1)).is_none());
    }
}
