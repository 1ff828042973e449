//! YAML as a tree in which every value and every key knows its place.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::error::PlanError;

/// Nesting in a plan; a real one needs seven.
const DEPTH_MAX: usize = 24;
/// Values in a plan.
const NODES_MAX: usize = 50_000;
/// Bytes of a plan.
const BYTES_MAX: usize = 1 << 20;
const ALIASES_MAX: usize = 256;

/// A place in the plan file, both 1-based; 0 where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub line: u32,
    pub column: u32,
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            line: narrow(location.line()),
            column: narrow(location.column()),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
}

impl Value {
    /// What it is, in the words of an error.
    pub fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("{value}"),
            Self::Integer(value) => format!("{value}"),
            // With its point: 1.0 must not read as 1.
            Self::Float(value) => format!("{value:?}"),
            Self::Text(text) if text.chars().count() > 60 => {
                format!("`{}…`", text.chars().take(60).collect::<String>())
            }
            Self::Text(text) => format!("`{text}`"),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// Reads one YAML document.
pub(super) fn read(yaml: &str, file: &str) -> Result<Node, PlanError> {
    let error = |place: Place, what: String, expected: &str| PlanError {
        file: file.to_owned(),
        line: place.line,
        column: place.column,
        what,
        expected: expected.to_owned(),
    };
    let start = Place { line: 1, column: 1 };
    if yaml.len() > BYTES_MAX {
        return Err(error(
            start,
            format!("a file of {} bytes", yaml.len()),
            "at most 1 MiB",
        ));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_aliases: ALIASES_MAX,
            max_documents: 1,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
    };
    let node: Node = serde_saphyr::from_str_with_options(yaml, options).map_err(|source| {
        let place = source.location().map_or(start, Place::from);
        let text = one_line(&source.without_snippet().to_string());
        let what = if text.contains("documents:") {
            "a second document".to_owned()
        } else if text.contains("budget breached") {
            format!("it is larger or deeper than what is read here ({text})")
        } else {
            format!("it does not read as YAML: {text}")
        };
        error(place, what, "one YAML document")
    })?;
    unique_keys(&node).map_err(|(entry, first)| {
        error(
            entry.place,
            format!(
                "`{}` stands here again; it is in line {} already",
                entry.key, first.line
            ),
            "each field once",
        )
    })?;
    Ok(node)
}

/// The parser adds the place to its text; the error has it already.
fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.strip_prefix("error: ").unwrap_or(&text).to_owned();
    if let Some(rest) = text.strip_prefix("line ")
        && let Some((_, message)) = rest.split_once(": ")
    {
        return message.to_owned();
    }
    match text.rfind(" at line ") {
        Some(at)
            if text[at..]
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || " ,".contains(c)) =>
        {
            text[..at].to_owned()
        }
        _ => text,
    }
}

fn unique_keys(node: &Node) -> Result<(), (&Entry, Place)> {
    match &node.value {
        Value::Map(entries) => {
            for (position, entry) in entries.iter().enumerate() {
                if let Some(first) = entries[..position].iter().find(|other| other.key == entry.key) {
                    return Err((entry, first.place));
                }
                unique_keys(&entry.node)?;
            }
            Ok(())
        }
        Value::List(items) => items.iter().try_for_each(unique_keys),
        _ => Ok(()),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            place: spanned.referenced.into(),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar, a list or a mapping")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value)
            .map(Value::Integer)
            .map_err(|_| E::custom(format!("the number {value} is too large")))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        if value.is_finite() {
            Ok(Value::Float(value))
        } else {
            Err(E::custom(format!("{value} is not a finite number")))
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let node = access.next_value::<Node>()?;
            if entries.len() >= NODES_MAX {
                return Err(A::Error::custom("a mapping with too many fields"));
            }
            entries.push(Entry {
                key: key.value,
                place: key.referenced.into(),
                node,
            });
        }
        Ok(Value::Map(entries))
    }
}
