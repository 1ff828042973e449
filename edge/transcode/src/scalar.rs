//! One value from JSON, a path or a query to the wire, and the reasons why it cannot be
//! (protobuf.dev/programming-guides/json, the table of types).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::schema::{Enum, Form, Kind, MessageId, Schema, Shape};
use crate::{time, wire};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// What JSON has beside lists and objects.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// A string in JSON.
    Text(&'a str),
    /// A value in a path or a query, where everything is text.
    Bare(&'a str),
}

impl Scalar<'_> {
    fn found(self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => format!("{value}"),
            Self::Unsigned(value) => format!("the number {value}"),
            Self::Signed(value) => format!("the number {value}"),
            Self::Float(value) => format!("the number {value}"),
            Self::Text(text) | Self::Bare(text) => format!("{:?}", shown(text)),
        }
    }
}

/// As much of what a client sent as an error repeats.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// What a client may write for a kind.
pub(crate) fn expected(schema: &Schema, kind: Kind) -> String {
    match kind {
        Kind::Double | Kind::Float => "a number".into(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "a whole number of 32 bits".into(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "a whole number of 64 bits".into(),
        Kind::Uint32 | Kind::Fixed32 => "a whole number of 32 bits, not negative".into(),
        Kind::Uint64 | Kind::Fixed64 => "a whole number of 64 bits, not negative".into(),
        Kind::Bool => "true or false".into(),
        Kind::String => "a string".into(),
        Kind::Bytes => "a string in base64".into(),
        Kind::Enum(of) => format!("a value of {}", schema.enums[of].name),
        Kind::Message(id) => expected_of(schema, id),
    }
}

pub(crate) fn expected_of(schema: &Schema, id: MessageId) -> String {
    let message = &schema.messages[id];
    match message.shape {
        Shape::Timestamp => "a time as in RFC 3339, e.g. \"2026-01-31T12:00:00Z\"".into(),
        Shape::Duration => "a duration in seconds, e.g. \"1.5s\"".into(),
        Shape::FieldMask => "field paths joined by commas, e.g. \"displayName,rating\"".into(),
        Shape::Wrapper => expected(schema, message.fields[0].kind),
        Shape::Value => "any JSON".into(),
        Shape::ListValue => "a list".into(),
        _ => format!("an object for {}", message.name),
    }
}

/// A value that stands on the wire as a number.
#[derive(Debug, Clone, Copy)]
enum Number {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
}

/// Writes a field's value with its tag. What is the default and not `explicit` is left out.
pub(crate) fn put(
    schema: &Schema,
    out: &mut Vec<u8>,
    number: u32,
    kind: Kind,
    value: Scalar<'_>,
    explicit: bool,
) -> Result<(), String> {
    match kind {
        Kind::String => {
            let text = text_of(value).ok_or_else(|| mismatch(schema, kind, value))?;
            if explicit || !text.is_empty() {
                wire::put_bytes(out, number, text.as_bytes());
            }
        }
        Kind::Bytes => {
            let bytes = text_of(value)
                .and_then(base64_bytes)
                .ok_or_else(|| mismatch(schema, kind, value))?;
            if explicit || !bytes.is_empty() {
                wire::put_bytes(out, number, &bytes);
            }
        }
        Kind::Message(id) => {
            let start = wire::begin(out, number);
            put_content(schema, out, id, value)?;
            wire::end(out, start);
        }
        _ => match number_of(schema, kind, value)? {
            Number::Varint(0) | Number::Fixed32(0) | Number::Fixed64(0) if !explicit => {}
            Number::Varint(raw) => {
                wire::put_tag(out, number, wire::VARINT);
                wire::put_varint(out, raw);
            }
            Number::Fixed32(raw) => {
                wire::put_tag(out, number, wire::FIXED32);
                out.extend_from_slice(&raw.to_le_bytes());
            }
            Number::Fixed64(raw) => {
                wire::put_tag(out, number, wire::FIXED64);
                out.extend_from_slice(&raw.to_le_bytes());
            }
        },
    }
    Ok(())
}

/// Writes an element of a packed list.
pub(crate) fn put_packed(
    schema: &Schema,
    out: &mut Vec<u8>,
    kind: Kind,
    value: Scalar<'_>,
) -> Result<(), String> {
    match number_of(schema, kind, value)? {
        Number::Varint(raw) => wire::put_varint(out, raw),
        Number::Fixed32(raw) => out.extend_from_slice(&raw.to_le_bytes()),
        Number::Fixed64(raw) => out.extend_from_slice(&raw.to_le_bytes()),
    }
    Ok(())
}

/// Whether a message can be given as one value, which is what a path or a query may hold.
pub(crate) fn is_scalar_like(shape: Shape) -> bool {
    matches!(
        shape,
        Shape::Timestamp | Shape::Duration | Shape::FieldMask | Shape::Wrapper
    )
}

/// Writes the inside of a message that JSON has as one value.
///
/// Zeros are written too: a value from the path lies behind that of a body, and replaces it only where it says something.
pub(crate) fn put_content(
    schema: &Schema,
    out: &mut Vec<u8>,
    id: MessageId,
    value: Scalar<'_>,
) -> Result<(), String> {
    let message = &schema.messages[id];
    let wrong = || format!("expected {}, found {}", expected_of(schema, id), value.found());
    match message.shape {
        Shape::Timestamp | Shape::Duration => {
            let text = text_of(value).ok_or_else(wrong)?;
            let parse = if message.shape == Shape::Timestamp {
                time::parse_timestamp
            } else {
                time::parse_duration
            };
            let (seconds, nanos) = parse(text).ok_or_else(wrong)?;
            wire::put_tag(out, 1, wire::VARINT);
            wire::put_varint(out, seconds as u64);
            wire::put_tag(out, 2, wire::VARINT);
            wire::put_varint(out, i64::from(nanos) as u64);
        }
        Shape::FieldMask => {
            let text = text_of(value).ok_or_else(wrong)?;
            for path in text.split(',').filter(|path| !path.is_empty()) {
                let path = snake_case(path).ok_or_else(wrong)?;
                wire::put_bytes(out, 1, path.as_bytes());
            }
        }
        Shape::Wrapper => {
            let field = &message.fields[0];
            put(schema, out, field.number, field.kind, value, true)?;
        }
        // google/protobuf/struct.proto: null 1, number 2, string 3, bool 4.
        Shape::Value => match value {
            Scalar::Null => out.extend_from_slice(&[8, 0]),
            Scalar::Bool(value) => out.extend_from_slice(&[4 << 3, u8::from(value)]),
            Scalar::Text(text) | Scalar::Bare(text) => wire::put_bytes(out, 3, text.as_bytes()),
            Scalar::Unsigned(_) | Scalar::Signed(_) | Scalar::Float(_) => {
                put(schema, out, 2, Kind::Double, value, true)?;
            }
        },
        _ => return Err(wrong()),
    }
    Ok(())
}

fn mismatch(schema: &Schema, kind: Kind, value: Scalar<'_>) -> String {
    format!("expected {}, found {}", expected(schema, kind), value.found())
}

fn text_of(value: Scalar<'_>) -> Option<&str> {
    match value {
        Scalar::Text(text) | Scalar::Bare(text) => Some(text),
        _ => None,
    }
}

/// Both alphabets, with or without padding.
fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    let url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { &URL_SAFE } else { &STANDARD };
    engine.decode(text).ok()
}

fn number_of(schema: &Schema, kind: Kind, value: Scalar<'_>) -> Result<Number, String> {
    let wrong = || mismatch(schema, kind, value);
    let whole = |min: i128, max: i128| {
        whole(value)
            .filter(|whole| (min..=max).contains(whole))
            .ok_or_else(wrong)
    };
    let whole32 = || whole(i32::MIN.into(), i32::MAX.into());
    let whole64 = || whole(i64::MIN.into(), i64::MAX.into());
    Ok(match kind {
        Kind::Int32 | Kind::Int64 => Number::Varint(if kind == Kind::Int32 {
            whole32()?
        } else {
            whole64()?
        } as u64),
        Kind::Sint32 => Number::Varint(wire::zigzag(whole32()? as i64) & u64::from(u32::MAX)),
        Kind::Sint64 => Number::Varint(wire::zigzag(whole64()? as i64)),
        Kind::Sfixed32 => Number::Fixed32(whole32()? as u32),
        Kind::Sfixed64 => Number::Fixed64(whole64()? as u64),
        Kind::Uint32 => Number::Varint(whole(0, u32::MAX.into())? as u64),
        Kind::Uint64 => Number::Varint(whole(0, u64::MAX.into())? as u64),
        Kind::Fixed32 => Number::Fixed32(whole(0, u32::MAX.into())? as u32),
        Kind::Fixed64 => Number::Fixed64(whole(0, u64::MAX.into())? as u64),
        Kind::Double => Number::Fixed64(float(value).ok_or_else(wrong)?.to_bits()),
        Kind::Float => {
            let wide = float(value).ok_or_else(wrong)?;
            let narrow = wide as f32;
            if narrow.is_infinite() && wide.is_finite() {
                return Err(wrong());
            }
            Number::Fixed32(narrow.to_bits())
        }
        Kind::Bool => Number::Varint(u64::from(match value {
            Scalar::Bool(value) => value,
            Scalar::Bare("true") => true,
            Scalar::Bare("false") => false,
            _ => return Err(wrong()),
        })),
        Kind::Enum(of) => {
            Number::Varint(i64::from(enum_number(&schema.enums[of], value).ok_or_else(wrong)?) as u64)
        }
        Kind::String | Kind::Bytes | Kind::Message(_) => return Err(wrong()),
    })
}

fn enum_number(of: &Enum, value: Scalar<'_>) -> Option<i32> {
    let number = |value| whole(value).and_then(|number| i32::try_from(number).ok());
    match value {
        Scalar::Text(name) => of.number_of(name),
        Scalar::Bare(name) => of.number_of(name).or_else(|| number(value)),
        Scalar::Null if of.is_null => Some(0),
        _ => number(value),
    }
}

/// Whole numbers may be written as such, as `1.0` or `1e3`, or as a string.
fn whole(value: Scalar<'_>) -> Option<i128> {
    match value {
        Scalar::Unsigned(value) => Some(value.into()),
        Scalar::Signed(value) => Some(value.into()),
        // Above this, neighbours of a float are no whole numbers apart: the value meant is not known.
        Scalar::Float(value) => {
            (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i128)
        }
        Scalar::Text(text) | Scalar::Bare(text) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            // 20 digits are the longest that 64 bits hold.
            let plain = (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse().ok()).flatten()
        }
        Scalar::Null | Scalar::Bool(_) => None,
    }
}

fn float(value: Scalar<'_>) -> Option<f64> {
    match value {
        Scalar::Unsigned(value) => Some(value as f64),
        Scalar::Signed(value) => Some(value as f64),
        Scalar::Float(value) => Some(value),
        Scalar::Text(text) | Scalar::Bare(text) => match text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => {
                let begins = text.strip_prefix('-').unwrap_or(text).as_bytes().first();
                let value: f64 = text.parse().ok()?;
                (begins.is_some_and(u8::is_ascii_digit) && value.is_finite()).then_some(value)
            }
        },
        Scalar::Null | Scalar::Bool(_) => None,
    }
}

/// `displayName.firstPart` as `display_name.first_part`; nothing for a name that has an underscore.
fn snake_case(path: &str) -> Option<String> {
    let mut snake = String::with_capacity(path.len() + 4);
    for letter in path.chars() {
        match letter {
            'A'..='Z' => {
                snake.push('_');
                snake.push(letter.to_ascii_lowercase());
            }
            'a'..='z' | '0'..='9' | '.' => snake.push(letter),
            _ => return None,
        }
    }
    Some(snake)
}

/// The other way; nothing for a path that would not come back as it was.
pub(crate) fn camel_case(path: &str) -> Option<String> {
    let mut camel = String::with_capacity(path.len());
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '_' => camel.push(
                letters
                    .next()
                    .filter(char::is_ascii_lowercase)?
                    .to_ascii_uppercase(),
            ),
            'A'..='Z' => return None,
            _ => camel.push(letter),
        }
    }
    Some(camel)
}

/// An element whose list is of numbers may be packed.
pub(crate) fn is_packed(form: Form) -> bool {
    form == Form::List { packed: true }
}
