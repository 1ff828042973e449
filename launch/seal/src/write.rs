//! PDF objects as text: the same value gives the same bytes, in every release.

use std::fmt::Write as _;

use lopdf::{Dictionary, Object, ObjectId, StringFormat};

/// Nested deeper than any page or catalog that a typesetter writes.
const DEPTH_MAX: u32 = 32;

/// Writes a value. Streams are not values of a dictionary and are refused.
pub(crate) fn value(object: &Object) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    put(&mut out, object, 0)?;
    Ok(out)
}

pub(crate) fn reference((number, generation): ObjectId) -> String {
    format!("{number} {generation} R")
}

/// A text string: ASCII as it is, else UTF-16 with a byte order mark; always in hexadecimal.
pub(crate) fn text(text: &str) -> String {
    let bytes: Vec<u8> = if text.is_ascii() {
        text.bytes().collect()
    } else {
        [0xFE, 0xFF]
            .into_iter()
            .chain(text.encode_utf16().flat_map(u16::to_be_bytes))
            .collect()
    };
    format!("<{}>", hex::encode(bytes))
}

fn put(out: &mut Vec<u8>, object: &Object, depth: u32) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("an object is nested too deep".to_owned());
    }
    match object {
        Object::Null => out.extend_from_slice(b"null"),
        Object::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Object::Integer(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Object::Real(value) if value.is_finite() => out.extend_from_slice(value.to_string().as_bytes()),
        Object::Real(_) => return Err("a number that is none".to_owned()),
        Object::Name(value) => name(out, value),
        Object::String(bytes, StringFormat::Literal | StringFormat::Hexadecimal) => {
            out.extend_from_slice(format!("<{}>", hex::encode(bytes)).as_bytes());
        }
        Object::Array(values) => {
            out.push(b'[');
            for (i, each) in values.iter().enumerate() {
                if i > 0 {
                    out.push(b' ');
                }
                put(out, each, depth + 1)?;
            }
            out.push(b']');
        }
        Object::Dictionary(entries) => dictionary(out, entries, depth + 1)?,
        Object::Reference(id) => out.extend_from_slice(reference(*id).as_bytes()),
        Object::Stream(_) => return Err("a stream where a value belongs".to_owned()),
    }
    Ok(())
}

fn dictionary(out: &mut Vec<u8>, entries: &Dictionary, depth: u32) -> Result<(), String> {
    out.extend_from_slice(b"<<");
    for (key, each) in entries {
        name(out, key);
        out.push(b' ');
        put(out, each, depth)?;
    }
    out.extend_from_slice(b">>");
    Ok(())
}

fn name(out: &mut Vec<u8>, name: &[u8]) {
    out.push(b'/');
    let mut escaped = String::new();
    for byte in name {
        if byte.is_ascii_alphanumeric() || b"-_.+*$@!:;,&=?'\"|~^`\\".contains(byte) {
            escaped.push(char::from(*byte));
        } else {
            let _ = write!(escaped, "#{byte:02X}");
        }
    }
    out.extend_from_slice(escaped.as_bytes());
}
