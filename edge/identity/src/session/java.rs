//! Single values in Java's serialisation (Java Object Serialization Specification, chapter 6): a text, a boxed Long, a
//! boxed Integer. Nothing else is read, and no class is ever looked up: the two boxed classes are told by the bytes with which
//! every Java writes them.

use super::{Bytes, SessionError};

/// `STREAM_MAGIC`, `STREAM_VERSION`.
const HEADER: [u8; 4] = [0xAC, 0xED, 0x00, 0x05];
const TC_NULL: u8 = 0x70;
const TC_OBJECT: u8 = 0x73;
const TC_STRING: u8 = 0x74;

/// `TC_CLASSDESC`, the name, the serialVersionUID, the flags, one field `value` of type `J`, the end of annotations.
const LONG: &[u8] =
    b"\x72\x00\x0ejava.lang.Long\x3b\x8b\xe4\x90\xcc\x8f\x23\xdf\x02\x00\x01J\x00\x05value\x78";
/// The same with a field of type `I`.
const INTEGER: &[u8] =
    b"\x72\x00\x11java.lang.Integer\x12\xe2\xa0\xa4\xf7\x81\x87\x38\x02\x00\x01I\x00\x05value\x78";
/// The class above both, without fields, and above that none.
const NUMBER: &[u8] = b"\x72\x00\x10java.lang.Number\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00\x78\x70";

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    Text(String),
    Whole(i64),
    Null,
}

/// Reads one serialised value.
///
/// # Errors
/// It is something else, or ends too early, or something follows.
pub fn scalar(value: &[u8]) -> Result<Scalar, SessionError> {
    if value.len() > super::SESSION_BYTES_MAX {
        return Err(SessionError::TooLarge);
    }
    let mut bytes = Bytes(value);
    if bytes.take(HEADER.len())? != HEADER {
        return Err(SessionError::Malformed("no stream of Java's serialisation"));
    }
    let read = match bytes.byte()? {
        TC_NULL => Scalar::Null,
        TC_STRING => {
            let count = bytes.take(2)?;
            let text = bytes.take(usize::from(u16::from_be_bytes([count[0], count[1]])))?;
            Scalar::Text(modified_utf8(text)?)
        }
        TC_OBJECT => boxed(&mut bytes)?,
        _ => return Err(SessionError::Unsupported("a value that is no text and no object")),
    };
    if bytes.is_empty() {
        Ok(read)
    } else {
        Err(SessionError::Malformed("bytes after the value"))
    }
}

fn boxed(bytes: &mut Bytes<'_>) -> Result<Scalar, SessionError> {
    let rest = bytes.0;
    let (class, size) = if rest.starts_with(LONG) {
        (LONG, 8)
    } else if rest.starts_with(INTEGER) {
        (INTEGER, 4)
    } else if LONG.starts_with(rest) || INTEGER.starts_with(rest) {
        return Err(SessionError::Truncated);
    } else {
        return Err(SessionError::Unsupported(
            "an object that is no boxed Long or Integer",
        ));
    };
    bytes.take(class.len())?;
    if bytes.take(NUMBER.len())? != NUMBER {
        return Err(SessionError::Malformed("the class above a boxed number"));
    }
    let digits = bytes.take(size)?;
    let number = match *digits {
        [a, b, c, d] => i64::from(i32::from_be_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => return Err(SessionError::Truncated),
    };
    Ok(Scalar::Whole(number))
}

/// Java's own form of UTF-8: a zero takes two bytes, and what needs a pair of surrogates is written as these two.
fn modified_utf8(text: &[u8]) -> Result<String, SessionError> {
    const WRONG: SessionError = SessionError::Malformed("a text that is not in modified UTF-8");
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    let more = |bytes: &mut dyn Iterator<Item = u8>| match bytes.next() {
        Some(byte @ 0x80..=0xBF) => Ok(u16::from(byte & 0x3F)),
        _ => Err(WRONG),
    };
    while let Some(byte) = bytes.next() {
        let first = u16::from(byte);
        let (unit, least) = match byte {
            0x01..=0x7F => (first, 0),
            0xC0..=0xDF => ((first & 0x1F) << 6 | more(&mut bytes)?, 0x80),
            0xE0..=0xEF => {
                let second = more(&mut bytes)?;
                ((first & 0x0F) << 12 | second << 6 | more(&mut bytes)?, 0x800)
            }
            _ => return Err(WRONG),
        };
        // Longer than it needs to be: only a zero is.
        if unit < least && unit != 0 {
            return Err(WRONG);
        }
        units.push(unit);
    }
    String::from_utf16(&units).map_err(|_| WRONG)
}
