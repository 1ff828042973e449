//! `google.protobuf.Any`: its type is known only when the member `@type` has come, so it is the one thing that is
//! kept as JSON for a moment.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed as _, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::json::read::{Reading, Seed, Target};
use crate::scalar::shown;
use crate::schema::{Schema, Shape};
use crate::wire;

pub(crate) const TYPE: &str = "@type";

/// The message's full name in `type.googleapis.com/a.B`.
pub(crate) fn full_name(type_url: &str) -> Option<&str> {
    type_url
        .rsplit_once('/')
        .map(|(_, name)| name)
        .filter(|name| !name.is_empty())
}

/// Whether its content stands beside `@type`; otherwise it is the member `value`.
pub(crate) fn is_flat(schema: &Schema, id: usize) -> bool {
    matches!(schema.messages[id].shape, Shape::Plain | Shape::HttpBody)
}

pub(crate) fn read<'de, A: MapAccess<'de>>(reading: &mut Reading<'_>, mut map: A) -> Result<(), A::Error> {
    let mut members = serde_json::Map::new();
    while let Some(name) = map.next_key::<String>()? {
        let Unique(value) = map.next_value()?;
        if members.contains_key(&name) {
            return Err(A::Error::custom(format!("{:?} is given twice", shown(&name))));
        }
        members.insert(name, value);
    }
    let type_url = match members.remove(TYPE) {
        Some(Value::String(url)) => url,
        None if members.is_empty() => return Ok(()),
        _ => return Err(A::Error::custom("an Any needs a string \"@type\"")),
    };
    let id = full_name(&type_url)
        .and_then(|name| reading.schema.id_of(name))
        .ok_or_else(|| A::Error::custom(format!("the type {:?} is not known here", shown(&type_url))))?;
    let content = if is_flat(reading.schema, id) {
        Value::Object(members)
    } else {
        members
            .remove("value")
            .ok_or_else(|| A::Error::custom(format!("{:?} needs a \"value\"", shown(&type_url))))?
    };
    wire::put_bytes(&mut reading.out, 1, type_url.as_bytes());
    let start = reading.begin(2).map_err(A::Error::custom)?;
    Seed {
        reading,
        target: Target::Content(id),
    }
    .deserialize(content)
    .map_err(A::Error::custom)?;
    reading.end(start);
    Ok(())
}

/// JSON in which no object names a member twice. The parser that feeds it bounds its depth.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = serde_json::Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let Unique(value) = map.next_value()?;
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("{:?} is given twice", shown(&name))));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}
