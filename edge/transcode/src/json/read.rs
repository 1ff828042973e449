//! JSON to the wire format in one pass, without a value in between.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::json::any;
use crate::json::names::{Name, Seen};
use crate::scalar::{self, Scalar, shown};
use crate::schema::{Field, Form, Kind, Message, MessageId, Schema, Shape};
use crate::transcoder::Unknown;
use crate::wire::{self, DEPTH_MAX};

/// Where JSON does not fit its message, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// E.g. `profile.items[3]`; empty for the whole.
    pub(crate) path: String,
    pub(crate) reason: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}", self.reason),
            path => write!(f, "{path}: {}", self.reason),
        }
    }
}

/// What stands at a place in the JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'s> {
    /// The inside of a message: no tag, no length.
    Content(MessageId),
    /// A field as a whole.
    Field(&'s Field),
    /// An element of a list with its tag, or the value of a map's entry.
    Element(&'s Field),
    /// An element of a packed list.
    Packed(Kind),
}

#[derive(Debug)]
pub(crate) struct Reading<'s> {
    pub(crate) schema: &'s Schema,
    pub(crate) unknown: Unknown,
    pub(crate) out: Vec<u8>,
    pub(crate) depth: usize,
    /// Where reading stopped, innermost first.
    pub(crate) trail: Vec<String>,
}

/// Reads one JSON text behind what `out` holds already.
pub(crate) fn read<'s>(
    schema: &'s Schema,
    unknown: Unknown,
    target: Target<'s>,
    json: &[u8],
    out: Vec<u8>,
) -> Result<Vec<u8>, Misfit> {
    let mut reading = Reading {
        schema,
        unknown,
        out,
        depth: 0,
        trail: Vec::new(),
    };
    let mut text = serde_json::Deserializer::from_slice(json);
    let end = Seed {
        reading: &mut reading,
        target,
    }
    .deserialize(&mut text)
    .and_then(|()| text.end());
    match end {
        Ok(()) => Ok(reading.out),
        Err(error) => Err(Misfit {
            path: join(&reading.trail),
            reason: error.to_string(),
        }),
    }
}

/// `["[3]", "items", "profile"]` as `profile.items[3]`.
fn join(trail: &[String]) -> String {
    let mut path = String::new();
    for part in trail.iter().rev() {
        if !path.is_empty() && !part.starts_with('[') {
            path.push('.');
        }
        path.push_str(part);
    }
    path
}

impl Reading<'_> {
    pub(crate) fn begin(&mut self, number: u32) -> Result<usize, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("messages lie deeper than {DEPTH_MAX} within each other"));
        }
        Ok(wire::begin(&mut self.out, number))
    }

    pub(crate) fn end(&mut self, start: usize) {
        self.depth -= 1;
        wire::end(&mut self.out, start);
    }
}

pub(crate) struct Seed<'c, 's> {
    pub(crate) reading: &'c mut Reading<'s>,
    pub(crate) target: Target<'s>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seed<'_, '_> {
    fn scalar(self, value: Scalar<'_>) -> Result<(), String> {
        let Self { reading, target } = self;
        let schema = reading.schema;
        let is_null = matches!(value, Scalar::Null);
        match target {
            Target::Content(id) => scalar::put_content(schema, &mut reading.out, id, value),
            Target::Packed(kind) => scalar::put_packed(schema, &mut reading.out, kind, value),
            Target::Element(field) => reading.element(field, value, true),
            // A null leaves the field as if it were not there.
            Target::Field(field) if is_null && !holds_null(schema, field) => Ok(()),
            Target::Field(field) => match field.form {
                Form::One { explicit } => reading.element(field, value, explicit),
                Form::List { .. } => Err("expected a list, found one value".into()),
                Form::Map => Err("expected an object, found one value".into()),
            },
        }
    }
}

/// `google.protobuf.Value` and `NullValue` have a null of their own.
fn holds_null(schema: &Schema, field: &Field) -> bool {
    matches!(field.form, Form::One { .. })
        && match field.kind {
            Kind::Message(id) => schema.messages[id].shape == Shape::Value,
            Kind::Enum(id) => schema.enums[id].is_null,
            _ => false,
        }
}

impl Reading<'_> {
    fn element(&mut self, field: &Field, value: Scalar<'_>, explicit: bool) -> Result<(), String> {
        if let Kind::Message(id) = field.kind {
            let start = self.begin(field.number)?;
            scalar::put_content(self.schema, &mut self.out, id, value)?;
            self.end(start);
            return Ok(());
        }
        scalar::put(
            self.schema,
            &mut self.out,
            field.number,
            field.kind,
            value,
            explicit,
        )
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.reading.schema;
        f.write_str(&match self.target {
            Target::Content(id) => scalar::expected_of(schema, id),
            Target::Packed(kind) => scalar::expected(schema, kind),
            Target::Field(field) if matches!(field.form, Form::List { .. }) => "a list".into(),
            Target::Field(field) if field.form == Form::Map => "an object".into(),
            Target::Field(field) | Target::Element(field) => scalar::expected(schema, field.kind),
        })
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar(Scalar::Null).map_err(E::custom)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(value)).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.scalar(Scalar::Unsigned(value)).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Signed(value)).map_err(E::custom)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.scalar(Scalar::Float(value)).map_err(E::custom)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(value)).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        let Self { reading, target } = self;
        match target {
            Target::Field(field) if matches!(field.form, Form::List { .. }) => list(reading, field, seq),
            Target::Content(id) => content_list(reading, id, seq),
            Target::Field(Field {
                form: Form::One { .. },
                kind: Kind::Message(id),
                number,
                ..
            })
            | Target::Element(Field {
                kind: Kind::Message(id),
                number,
                ..
            }) => {
                let start = reading.begin(*number).map_err(A::Error::custom)?;
                content_list(reading, *id, seq)?;
                reading.end(start);
                Ok(())
            }
            _ => Err(A::Error::invalid_type(
                serde::de::Unexpected::Seq,
                &Seed { reading, target },
            )),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self { reading, target } = self;
        match target {
            Target::Field(field) if field.form == Form::Map => entries(reading, field, map),
            Target::Content(id) => content_map(reading, id, map),
            Target::Field(Field {
                form: Form::One { .. },
                kind: Kind::Message(id),
                number,
                ..
            })
            | Target::Element(Field {
                kind: Kind::Message(id),
                number,
                ..
            }) => {
                let start = reading.begin(*number).map_err(A::Error::custom)?;
                content_map(reading, *id, map)?;
                reading.end(start);
                Ok(())
            }
            _ => Err(A::Error::invalid_type(
                serde::de::Unexpected::Map,
                &Seed { reading, target },
            )),
        }
    }
}

fn list<'de, 's, A: SeqAccess<'de>>(
    reading: &mut Reading<'s>,
    field: &'s Field,
    mut seq: A,
) -> Result<(), A::Error> {
    let before = reading.out.len();
    let packed = scalar::is_packed(field.form).then(|| wire::begin(&mut reading.out, field.number));
    let mut index = 0usize;
    loop {
        let target = if packed.is_some() {
            Target::Packed(field.kind)
        } else {
            Target::Element(field)
        };
        match next(reading, target, &mut seq, index)? {
            Some(()) => index += 1,
            None => break,
        }
    }
    match packed {
        Some(_) if index == 0 => reading.out.truncate(before),
        Some(start) => wire::end(&mut reading.out, start),
        None => {}
    }
    Ok(())
}

fn next<'de, 's, A: SeqAccess<'de>>(
    reading: &mut Reading<'s>,
    target: Target<'s>,
    seq: &mut A,
    index: usize,
) -> Result<Option<()>, A::Error> {
    seq.next_element_seed(Seed { reading, target })
        .inspect_err(|_| reading.trail.push(format!("[{index}]")))
}

/// `ListValue` {values 1}, also as the `list_value` 6 of a `Value`.
fn content_list<'de, A: SeqAccess<'de>>(
    reading: &mut Reading<'_>,
    id: MessageId,
    mut seq: A,
) -> Result<(), A::Error> {
    let message = &reading.schema.messages[id];
    match message.shape {
        Shape::Value => {
            let start = reading.begin(6).map_err(A::Error::custom)?;
            values(reading, id, &mut seq)?;
            reading.end(start);
            Ok(())
        }
        Shape::ListValue => match message.fields.first().map(|field| field.kind) {
            Some(Kind::Message(value)) => values(reading, value, &mut seq),
            _ => Err(A::Error::custom("google.protobuf.ListValue is not as published")),
        },
        _ => Err(A::Error::invalid_type(
            serde::de::Unexpected::Seq,
            &Seed {
                reading,
                target: Target::Content(id),
            },
        )),
    }
}

fn values<'de, A: SeqAccess<'de>>(
    reading: &mut Reading<'_>,
    value: MessageId,
    seq: &mut A,
) -> Result<(), A::Error> {
    let mut index = 0usize;
    loop {
        // An element that turns out not to be there is taken back.
        let before = reading.out.len();
        let start = reading.begin(1).map_err(A::Error::custom)?;
        if next(reading, Target::Content(value), seq, index)?.is_none() {
            reading.depth -= 1;
            reading.out.truncate(before);
            return Ok(());
        }
        reading.end(start);
        index += 1;
    }
}

fn content_map<'de, A: MapAccess<'de>>(
    reading: &mut Reading<'_>,
    id: MessageId,
    map: A,
) -> Result<(), A::Error> {
    let schema = reading.schema;
    let message = &schema.messages[id];
    match message.shape {
        Shape::Plain | Shape::HttpBody => members(reading, message, map),
        Shape::Any => any::read(reading, map),
        Shape::Struct => match message.fields.first() {
            Some(fields) if fields.form == Form::Map => entries(reading, fields, map),
            _ => Err(A::Error::custom("google.protobuf.Struct is not as published")),
        },
        Shape::Value => {
            let start = reading.begin(5).map_err(A::Error::custom)?;
            match schema.id_of("google.protobuf.Struct") {
                Some(of) => content_map(reading, of, map)?,
                None => return Err(A::Error::custom("google.protobuf.Struct is not described")),
            }
            reading.end(start);
            Ok(())
        }
        _ => Err(A::Error::invalid_type(
            serde::de::Unexpected::Map,
            &Seed {
                reading,
                target: Target::Content(id),
            },
        )),
    }
}

fn members<'de, 's, A: MapAccess<'de>>(
    reading: &mut Reading<'s>,
    message: &'s Message,
    mut map: A,
) -> Result<(), A::Error> {
    let mut seen = Seen::default();
    let mut oneofs = Seen::default();
    while let Some(name) = map.next_key_seed(Name { message })? {
        let index = match name {
            Ok(index) => index,
            Err(name) if reading.unknown == Unknown::Reject => {
                return Err(A::Error::custom(format!(
                    "{} has no field {:?}",
                    message.name,
                    shown(&name)
                )));
            }
            Err(_) => {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
        };
        let field = &message.fields[index];
        if !seen.insert(index) {
            return Err(A::Error::custom(format!("{:?} is given twice", field.json_name)));
        }
        let before = reading.out.len();
        map.next_value_seed(Seed {
            reading,
            target: Target::Field(field),
        })
        .inspect_err(|_| reading.trail.push(field.json_name.clone().into()))?;
        if let Some(oneof) = field.oneof
            && reading.out.len() > before
            && !oneofs.insert(oneof)
        {
            let reason = format!("{:?} and another field exclude each other", field.json_name);
            return Err(A::Error::custom(reason));
        }
    }
    Ok(())
}

/// A map field: an entry message per member.
fn entries<'de, 's, A: MapAccess<'de>>(
    reading: &mut Reading<'s>,
    field: &'s Field,
    mut map: A,
) -> Result<(), A::Error> {
    let schema = reading.schema;
    let Kind::Message(entry) = field.kind else {
        return Err(A::Error::custom("a map without entries"));
    };
    let [key_field, value_field] = &*schema.messages[entry].fields else {
        return Err(A::Error::custom("an entry without key and value"));
    };
    let mut seen = BTreeSet::new();
    while let Some(key) = map.next_key::<Cow<'_, str>>()? {
        let start = reading.begin(field.number).map_err(A::Error::custom)?;
        let key_start = reading.out.len();
        scalar::put(
            schema,
            &mut reading.out,
            1,
            key_field.kind,
            Scalar::Bare(&key),
            true,
        )
        .map_err(|reason| A::Error::custom(format!("key: {reason}")))?;
        // Compared as they are on the wire: "1" and "01" are one key.
        if !seen.insert(reading.out[key_start..].to_vec()) {
            return Err(A::Error::custom(format!("{:?} is given twice", shown(&key))));
        }
        map.next_value_seed(Seed {
            reading,
            target: Target::Element(value_field),
        })
        .inspect_err(|_| reading.trail.push(format!("[{:?}]", shown(&key))))?;
        reading.end(start);
    }
    Ok(())
}
