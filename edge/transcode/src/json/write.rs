//! The wire format to JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::json::any;
use crate::json::found::{
    Found, all_bytes, collect, is_number, joined, key_text, seconds_and_nanos, wire_of,
};
use crate::scalar::camel_case;
use crate::schema::{Field, Form, Kind, Message, MessageId, Schema, Shape};
use crate::time;
use crate::wire::{self, DEPTH_MAX, Damaged, Reader, Value};

/// Why a message has no JSON form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwritable {
    #[error("it is damaged")]
    Damaged,
    #[error("messages lie deeper than {DEPTH_MAX} within each other")]
    TooDeep,
    #[error("its JSON is longer than {0} bytes")]
    TooLong(usize),
    #[error("a {0} holds what its type does not allow")]
    OutOfRange(&'static str),
}

impl From<Damaged> for Unwritable {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

#[derive(Debug)]
pub(crate) struct Writer<'s> {
    pub(crate) schema: &'s Schema,
    /// Fields without presence are written even where they have their default.
    pub(crate) defaults: bool,
    pub(crate) bytes_max: usize,
    pub(crate) out: Vec<u8>,
}

type Written = Result<(), Unwritable>;

impl Writer<'_> {
    pub(crate) fn message(&mut self, id: MessageId, bytes: &[u8], depth: usize) -> Written {
        if depth > DEPTH_MAX {
            return Err(Unwritable::TooDeep);
        }
        let schema = self.schema;
        let message = &schema.messages[id];
        match message.shape {
            Shape::Plain | Shape::HttpBody => {
                self.out.push(b'{');
                self.members(message, bytes, depth, true)?;
                self.out.push(b'}');
                Ok(())
            }
            Shape::Timestamp | Shape::Duration => {
                let (seconds, nanos) = seconds_and_nanos(bytes)?;
                let (name, text) = if message.shape == Shape::Timestamp {
                    ("Timestamp", time::format_timestamp(seconds, nanos))
                } else {
                    ("Duration", time::format_duration(seconds, nanos))
                };
                self.string(&text.ok_or(Unwritable::OutOfRange(name))?);
                Ok(())
            }
            Shape::FieldMask => {
                let mut paths = Vec::new();
                for path in all_bytes(bytes, 1)? {
                    let path = std::str::from_utf8(path).map_err(|_| Damaged)?;
                    paths.push(camel_case(path).ok_or(Unwritable::OutOfRange("FieldMask"))?);
                }
                self.string(&paths.join(","));
                Ok(())
            }
            Shape::Wrapper => {
                let found = collect(message, bytes)?;
                match found.last() {
                    Some(last) => self.value(message.fields[0].kind, last.value, depth),
                    None => self.default_value(message.fields[0].kind),
                }
            }
            Shape::Struct => match message.fields.first() {
                Some(field) => {
                    let found = collect(message, bytes)?;
                    self.map(field, &found, depth)
                }
                None => Err(Unwritable::Damaged),
            },
            Shape::ListValue => match message.fields.first() {
                Some(field) => {
                    let found = collect(message, bytes)?;
                    self.list(field.kind, &found, depth)
                }
                None => Err(Unwritable::Damaged),
            },
            Shape::Value => self.any_json(message, bytes, depth),
            Shape::Any => {
                let url = all_bytes(bytes, 1)?.pop().unwrap_or_default();
                let value = all_bytes(bytes, 2)?.pop().unwrap_or_default();
                let url = std::str::from_utf8(url).map_err(|_| Damaged)?;
                self.any(url, value, depth)
            }
        }
    }

    /// A type that no descriptor tells of is written with its bytes in base64.
    pub(crate) fn any(&mut self, type_url: &str, bytes: &[u8], depth: usize) -> Written {
        if type_url.is_empty() {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        }
        self.out.extend_from_slice(b"{\"@type\":");
        self.string(type_url);
        match any::full_name(type_url).and_then(|name| self.schema.id_of(name)) {
            Some(id) if any::is_flat(self.schema, id) => {
                if depth >= DEPTH_MAX {
                    return Err(Unwritable::TooDeep);
                }
                let schema = self.schema;
                self.members(&schema.messages[id], bytes, depth + 1, false)?;
            }
            Some(id) => {
                self.out.extend_from_slice(b",\"value\":");
                self.message(id, bytes, depth + 1)?;
            }
            None => {
                self.out.extend_from_slice(b",\"value\":");
                self.base64(bytes);
            }
        }
        self.out.push(b'}');
        self.checked()
    }

    /// An `Any` whose content is not looked at.
    pub(crate) fn any_as_bytes(&mut self, type_url: &str, bytes: &[u8]) -> Written {
        self.out.extend_from_slice(b"{\"@type\":");
        self.string(type_url);
        self.out.extend_from_slice(b",\"value\":");
        self.base64(bytes);
        self.out.push(b'}');
        self.checked()
    }

    fn members(&mut self, message: &Message, bytes: &[u8], depth: usize, mut first: bool) -> Written {
        let found = collect(message, bytes)?;
        let mut rest = found.as_slice();
        let mut next = 0;
        while let Some(Found { index, .. }) = rest.first().copied() {
            let count = rest.iter().take_while(|found| found.index == index).count();
            let (these, others) = rest.split_at(count);
            rest = others;
            for field in &message.fields[next..index] {
                self.absent(field, &mut first)?;
            }
            next = index + 1;
            let field = &message.fields[index];
            if let (Form::One { explicit: false }, Some(last)) = (field.form, these.last())
                && last.value.is_default()
            {
                self.absent(field, &mut first)?;
                continue;
            }
            if field.form == (Form::List { packed: true })
                && these.iter().all(|found| found.value == Value::Bytes(b""))
            {
                self.absent(field, &mut first)?;
                continue;
            }
            self.key(field, &mut first);
            self.field(field, these, depth)?;
        }
        for field in &message.fields[next..] {
            self.absent(field, &mut first)?;
        }
        Ok(())
    }

    fn key(&mut self, field: &Field, first: &mut bool) {
        if !*first {
            self.out.push(b',');
        }
        *first = false;
        self.out.extend_from_slice(&field.json_key);
    }

    fn absent(&mut self, field: &Field, first: &mut bool) -> Written {
        if self.defaults && field.form != (Form::One { explicit: true }) {
            self.key(field, first);
            self.default_field(field)?;
        }
        Ok(())
    }

    fn default_field(&mut self, field: &Field) -> Written {
        match field.form {
            Form::One { .. } => self.default_value(field.kind),
            Form::List { .. } => {
                self.out.extend_from_slice(b"[]");
                self.checked()
            }
            Form::Map => {
                self.out.extend_from_slice(b"{}");
                self.checked()
            }
        }
    }

    fn default_value(&mut self, kind: Kind) -> Written {
        match kind {
            Kind::String | Kind::Bytes => self.value(kind, Value::Bytes(b""), 0),
            Kind::Message(_) => {
                self.out.extend_from_slice(b"null");
                self.checked()
            }
            Kind::Fixed32 | Kind::Sfixed32 | Kind::Float => self.value(kind, Value::Fixed32(0), 0),
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => self.value(kind, Value::Fixed64(0), 0),
            _ => self.value(kind, Value::Varint(0), 0),
        }
    }

    /// One field of a message instead of the whole; its default where it is not there.
    pub(crate) fn field_alone(&mut self, message: &Message, index: usize, bytes: &[u8]) -> Written {
        let mut found = collect(message, bytes)?;
        found.retain(|found| found.index == index);
        let field = &message.fields[index];
        if found.is_empty() {
            return self.default_field(field);
        }
        self.field(field, &found, 0)
    }

    fn field(&mut self, field: &Field, found: &[Found<'_>], depth: usize) -> Written {
        match field.form {
            Form::List { .. } => self.list(field.kind, found, depth),
            Form::Map => self.map(field, found, depth),
            Form::One { .. } => match (field.kind, found) {
                // A message that comes in parts is one: protobuf merges them, which for bytes is to join them.
                (Kind::Message(_), [_, _, ..]) => {
                    let joined = joined(found);
                    self.value(field.kind, Value::Bytes(&joined), depth)
                }
                (_, [.., last]) => self.value(field.kind, last.value, depth),
                (_, []) => self.default_value(field.kind),
            },
        }
    }

    fn list(&mut self, kind: Kind, found: &[Found<'_>], depth: usize) -> Written {
        self.out.push(b'[');
        let mut first = true;
        for found in found {
            match found.value {
                Value::Bytes(chunk) if is_number(kind) => {
                    let mut chunk = Reader::new(chunk);
                    while !chunk.is_empty() {
                        let value = chunk.value(wire_of(kind))?.ok_or(Damaged)?;
                        self.comma(&mut first);
                        self.value(kind, value, depth)?;
                    }
                }
                value => {
                    self.comma(&mut first);
                    self.value(kind, value, depth)?;
                }
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn comma(&mut self, first: &mut bool) {
        if !*first {
            self.out.push(b',');
        }
        *first = false;
    }

    /// Of entries with one key the last one counts.
    fn map(&mut self, field: &Field, found: &[Found<'_>], depth: usize) -> Written {
        if depth >= DEPTH_MAX && !found.is_empty() {
            return Err(Unwritable::TooDeep);
        }
        let schema = self.schema;
        let Kind::Message(entry) = field.kind else {
            return Err(Unwritable::Damaged);
        };
        let entry = &schema.messages[entry];
        let [key_field, value_field] = &*entry.fields else {
            return Err(Unwritable::Damaged);
        };
        let mut entries: Vec<(String, Vec<Found<'_>>)> = Vec::with_capacity(found.len());
        for found in found {
            let Value::Bytes(bytes) = found.value else {
                return Err(Unwritable::Damaged);
            };
            let (keys, values): (Vec<_>, Vec<_>) = collect(entry, bytes)?
                .into_iter()
                .partition(|found| found.index == 0);
            let key = key_text(key_field.kind, keys.last().map(|found| found.value))?;
            entries.push((key, values));
        }
        // In the order of the keys: a map on the wire has none.
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        self.out.push(b'{');
        let mut first = true;
        for (position, (key, values)) in entries.iter().enumerate() {
            if entries.get(position + 1).is_some_and(|next| next.0 == *key) {
                continue;
            }
            self.comma(&mut first);
            self.string(key);
            self.out.push(b':');
            match values.as_slice() {
                [] => match value_field.kind {
                    Kind::Message(id) => self.message(id, b"", depth + 2)?,
                    kind => self.default_value(kind)?,
                },
                values => self.field(value_field, values, depth + 1)?,
            }
        }
        self.out.push(b'}');
        self.checked()
    }

    /// `google.protobuf.Value`: a oneof of null 1, number 2, string 3, bool 4, struct 5, list 6.
    fn any_json(&mut self, message: &Message, bytes: &[u8], depth: usize) -> Written {
        let found = collect(message, bytes)?;
        let Some(index) = found.last().map(|found| found.index) else {
            self.out.extend_from_slice(b"null");
            return Ok(());
        };
        let field = &message.fields[index];
        if let (Kind::Double, Some(Value::Fixed64(bits))) =
            (field.kind, found.last().map(|found| found.value))
            && !f64::from_bits(bits).is_finite()
        {
            return Err(Unwritable::OutOfRange("Value"));
        }
        self.field(field, &found, depth)
    }

    fn value(&mut self, kind: Kind, value: Value<'_>, depth: usize) -> Written {
        match (kind, value) {
            (Kind::Message(id), Value::Bytes(bytes)) => self.message(id, bytes, depth + 1)?,
            (Kind::String, Value::Bytes(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|_| Damaged)?;
                self.string(text);
            }
            (Kind::Bytes, Value::Bytes(bytes)) => self.base64(bytes),
            (Kind::Bool, Value::Varint(raw)) => {
                self.out
                    .extend_from_slice(if raw == 0 { b"false" } else { b"true" });
            }
            (Kind::Int32, Value::Varint(raw)) => self.number(raw as i32),
            (Kind::Uint32, Value::Varint(raw)) => self.number(raw as u32),
            (Kind::Sint32, Value::Varint(raw)) => {
                self.number(wire::unzigzag(raw & u64::from(u32::MAX)) as i32);
            }
            (Kind::Fixed32, Value::Fixed32(raw)) => self.number(raw),
            (Kind::Sfixed32, Value::Fixed32(raw)) => self.number(raw as i32),
            (Kind::Int64, Value::Varint(raw)) => self.quoted(raw as i64),
            (Kind::Uint64, Value::Varint(raw)) => self.quoted(raw),
            (Kind::Sint64, Value::Varint(raw)) => self.quoted(wire::unzigzag(raw)),
            (Kind::Fixed64, Value::Fixed64(raw)) => self.quoted(raw),
            (Kind::Sfixed64, Value::Fixed64(raw)) => self.quoted(raw as i64),
            (Kind::Float, Value::Fixed32(raw)) => {
                let value = f32::from_bits(raw);
                match not_finite(value.into()) {
                    Some(name) => self.string(name),
                    None => self.number(value),
                }
            }
            (Kind::Double, Value::Fixed64(raw)) => {
                let value = f64::from_bits(raw);
                match not_finite(value) {
                    Some(name) => self.string(name),
                    None => self.number(value),
                }
            }
            (Kind::Enum(id), Value::Varint(raw)) => {
                let schema = self.schema;
                let of = &schema.enums[id];
                match of.name_of(raw as i32) {
                    _ if of.is_null => self.out.extend_from_slice(b"null"),
                    Some(name) => self.string(name),
                    None => self.number(raw as i32),
                }
            }
            _ => return Err(Unwritable::Damaged),
        }
        self.checked()
    }

    fn checked(&self) -> Written {
        if self.out.len() > self.bytes_max {
            return Err(Unwritable::TooLong(self.bytes_max));
        }
        Ok(())
    }

    pub(crate) fn string(&mut self, text: &str) {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut self.out, text);
    }

    fn number(&mut self, value: impl serde::Serialize) {
        let _ = serde_json::to_writer(&mut self.out, &value);
    }

    fn quoted(&mut self, value: impl serde::Serialize) {
        self.out.push(b'"');
        self.number(value);
        self.out.push(b'"');
    }

    fn base64(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        let at = self.out.len();
        self.out.resize(at + bytes.len().div_ceil(3) * 4, 0);
        // The place is as long as it has to be.
        let _ = STANDARD.encode_slice(bytes, &mut self.out[at..]);
        self.out.push(b'"');
    }
}

fn not_finite(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("Infinity")
    } else if value == f64::NEG_INFINITY {
        Some("-Infinity")
    } else {
        None
    }
}
