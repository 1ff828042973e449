//! What a message on the wire holds: the occurrences of its fields, in order.

use crate::schema::{Form, Kind, Message};
use crate::wire::{self, Damaged, Reader, Value};

/// One occurrence of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) index: usize,
    pub(crate) value: Value<'a>,
}

/// The occurrences of known fields, in the order of the fields and, within one, of the wire. Of a oneof
/// only what came last is left.
pub(crate) fn collect<'a>(message: &Message, bytes: &'a [u8]) -> Result<Vec<Found<'a>>, Damaged> {
    let mut found: Vec<Found<'a>> = Vec::with_capacity(message.fields.len().min(bytes.len() / 2));
    let mut of_oneofs = 0;
    let mut sorted = true;
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let (number, wire) = reader.tag()?;
        let Some(value) = reader.value(wire)? else {
            continue;
        };
        let Some(index) = message.index_of(number) else {
            continue;
        };
        let field = &message.fields[index];
        let as_declared = wire == wire_of(field.kind);
        let packed = wire == wire::LEN && matches!(field.form, Form::List { .. }) && is_number(field.kind);
        if !as_declared && !packed {
            continue;
        }
        of_oneofs += usize::from(field.oneof.is_some());
        sorted &= found.last().is_none_or(|last| last.index <= index);
        found.push(Found { index, value });
    }
    if of_oneofs > 1 {
        // From the end: a member counts as long as no other one of its oneof came after it.
        let mut latest: Vec<Option<usize>> = vec![None; message.oneofs];
        let mut closed = vec![false; message.oneofs];
        found.reverse();
        found.retain(|found| {
            let Some(oneof) = message.fields[found.index].oneof else {
                return true;
            };
            match latest[oneof] {
                None => latest[oneof] = Some(found.index),
                Some(index) if index != found.index => closed[oneof] = true,
                Some(_) => {}
            }
            !closed[oneof]
        });
        found.reverse();
    }
    if !sorted {
        found.sort_by_key(|found| found.index);
    }
    Ok(found)
}

pub(crate) fn joined(found: &[Found<'_>]) -> Vec<u8> {
    let mut all = Vec::new();
    for found in found {
        if let Value::Bytes(bytes) = found.value {
            all.extend_from_slice(bytes);
        }
    }
    all
}

/// Every value of a field with this number that is bytes.
pub(crate) fn all_bytes(bytes: &[u8], number: u32) -> Result<Vec<&[u8]>, Damaged> {
    let mut all = Vec::new();
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let (found, wire) = reader.tag()?;
        if let Some(Value::Bytes(bytes)) = reader.value(wire)?
            && found == number
        {
            all.push(bytes);
        }
    }
    Ok(all)
}

pub(crate) fn seconds_and_nanos(bytes: &[u8]) -> Result<(i64, i32), Damaged> {
    let mut of = (0, 0);
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let (number, wire) = reader.tag()?;
        match (number, reader.value(wire)?) {
            (1, Some(Value::Varint(raw))) => of.0 = raw as i64,
            (2, Some(Value::Varint(raw))) => of.1 = raw as i32,
            _ => {}
        }
    }
    Ok(of)
}

pub(crate) fn key_text(kind: Kind, value: Option<Value<'_>>) -> Result<String, Damaged> {
    Ok(match (kind, value) {
        (Kind::String, Some(Value::Bytes(bytes))) => {
            std::str::from_utf8(bytes).map_err(|_| Damaged)?.to_owned()
        }
        (Kind::String, None) => String::new(),
        (Kind::Bool, None) => "false".into(),
        (_, None) => "0".into(),
        (Kind::Bool, Some(Value::Varint(raw))) => (raw != 0).to_string(),
        (Kind::Int32, Some(Value::Varint(raw))) => (raw as i32).to_string(),
        (Kind::Int64, Some(Value::Varint(raw))) => (raw as i64).to_string(),
        (Kind::Uint32, Some(Value::Varint(raw))) => (raw as u32).to_string(),
        (Kind::Uint64, Some(Value::Varint(raw))) => raw.to_string(),
        (Kind::Sint32, Some(Value::Varint(raw))) => {
            (wire::unzigzag(raw & u64::from(u32::MAX)) as i32).to_string()
        }
        (Kind::Sint64, Some(Value::Varint(raw))) => wire::unzigzag(raw).to_string(),
        (Kind::Fixed32, Some(Value::Fixed32(raw))) => raw.to_string(),
        (Kind::Sfixed32, Some(Value::Fixed32(raw))) => (raw as i32).to_string(),
        (Kind::Fixed64, Some(Value::Fixed64(raw))) => raw.to_string(),
        (Kind::Sfixed64, Some(Value::Fixed64(raw))) => (raw as i64).to_string(),
        _ => return Err(Damaged),
    })
}

pub(crate) fn is_number(kind: Kind) -> bool {
    wire_of(kind) != wire::LEN
}

pub(crate) fn wire_of(kind: Kind) -> u8 {
    match kind {
        Kind::String | Kind::Bytes | Kind::Message(_) => wire::LEN,
        Kind::Fixed32 | Kind::Sfixed32 | Kind::Float => wire::FIXED32,
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => wire::FIXED64,
        _ => wire::VARINT,
    }
}
