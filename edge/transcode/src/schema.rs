//! What the descriptors say, laid out for reading and writing: one plan per message, fields by number and by name.

use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};

/// A message type's place in [`Schema::messages`].
pub(crate) type MessageId = usize;

#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) messages: Vec<Message>,
    pub(crate) enums: Vec<Enum>,
    /// Sorted by full name.
    ids: Vec<(Box<str>, MessageId)>,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: Box<str>,
    pub(crate) shape: Shape,
    /// Sorted by number. A field that is a group is not among them.
    pub(crate) fields: Vec<Field>,
    /// Both names of every field, sorted.
    by_name: Vec<(Box<str>, usize)>,
    pub(crate) oneofs: usize,
}

/// How a message is written in JSON (protobuf.dev/programming-guides/json).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An object with a member per field.
    Plain,
    Timestamp,
    Duration,
    FieldMask,
    Wrapper,
    Struct,
    Value,
    ListValue,
    Any,
    /// An object like others; as a body it is bytes with a content type (google/api/httpbody.proto).
    HttpBody,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    pub(crate) json_name: Box<str>,
    /// The member's name with its quotes and colon.
    pub(crate) json_key: Box<[u8]>,
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) form: Form,
    /// Which oneof of its message it belongs to.
    pub(crate) oneof: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Explicit: whether it was given is known apart from its value.
    One {
        explicit: bool,
    },
    List {
        packed: bool,
    },
    /// Its kind is the message of an entry: key 1, value 2.
    Map,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(usize),
    Message(MessageId),
}

#[derive(Debug)]
pub(crate) struct Enum {
    pub(crate) name: Box<str>,
    /// Sorted by number; of aliases the first one declared.
    by_number: Vec<(i32, Box<str>)>,
    by_name: Vec<(Box<str>, i32)>,
    /// `google.protobuf.NullValue`, which is `null`.
    pub(crate) is_null: bool,
}

impl Enum {
    pub(crate) fn name_of(&self, number: i32) -> Option<&str> {
        let at = self
            .by_number
            .binary_search_by_key(&number, |value| value.0)
            .ok()?;
        Some(&self.by_number[at].1)
    }

    pub(crate) fn number_of(&self, name: &str) -> Option<i32> {
        let at = self.by_name.binary_search_by(|value| (*value.0).cmp(name)).ok()?;
        Some(self.by_name[at].1)
    }
}

impl Message {
    pub(crate) fn index_of(&self, number: u32) -> Option<usize> {
        // Most messages number their fields from 1 without a gap.
        let guess = (number as usize).wrapping_sub(1);
        if self.fields.get(guess).is_some_and(|field| field.number == number) {
            return Some(guess);
        }
        self.fields
            .binary_search_by_key(&number, |field| field.number)
            .ok()
    }

    /// By the name in the proto file or the one in JSON.
    pub(crate) fn index_named(&self, name: &str) -> Option<usize> {
        let at = self.by_name.binary_search_by(|entry| (*entry.0).cmp(name)).ok()?;
        Some(self.by_name[at].1)
    }

    pub(crate) fn field_named(&self, name: &str) -> Option<&Field> {
        self.index_named(name).map(|index| &self.fields[index])
    }
}

impl Schema {
    pub(crate) fn new(pool: &DescriptorPool) -> Self {
        let mut ids: Vec<(Box<str>, MessageId)> = pool
            .all_messages()
            .enumerate()
            .map(|(id, message)| (message.full_name().into(), id))
            .collect();
        ids.sort();
        let mut enum_ids: Vec<(Box<str>, usize)> = pool
            .all_enums()
            .enumerate()
            .map(|(id, of)| (of.full_name().into(), id))
            .collect();
        enum_ids.sort();
        let messages = pool
            .all_messages()
            .map(|of| message(&of, &ids, &enum_ids))
            .collect();
        let enums = pool
            .all_enums()
            .map(|of| {
                // In the order of declaration, which decides between aliases.
                let declared = &of.enum_descriptor_proto().value;
                let mut by_number: Vec<(i32, Box<str>)> = declared
                    .iter()
                    .map(|value| (value.number(), value.name().into()))
                    .collect();
                by_number.sort_by_key(|value| value.0);
                by_number.dedup_by_key(|value| value.0);
                let mut by_name: Vec<(Box<str>, i32)> = of
                    .values()
                    .map(|value| (value.name().into(), value.number()))
                    .collect();
                by_name.sort();
                Enum {
                    name: of.full_name().into(),
                    by_number,
                    by_name,
                    is_null: of.full_name() == "google.protobuf.NullValue",
                }
            })
            .collect();
        Self { messages, enums, ids }
    }

    pub(crate) fn id_of(&self, full_name: &str) -> Option<MessageId> {
        find(&self.ids, full_name)
    }
}

fn find(ids: &[(Box<str>, usize)], name: &str) -> Option<usize> {
    let at = ids.binary_search_by(|entry| (*entry.0).cmp(name)).ok()?;
    Some(ids[at].1)
}

fn message(of: &MessageDescriptor, ids: &[(Box<str>, usize)], enum_ids: &[(Box<str>, usize)]) -> Message {
    let oneofs: Vec<String> = of.oneofs().map(|oneof| oneof.full_name().to_owned()).collect();
    let mut fields: Vec<Field> = of
        .fields()
        .filter(|field| !field.is_group())
        .filter_map(|of| {
            Some(Field {
                name: of.name().into(),
                json_name: of.json_name().into(),
                json_key: json_key(of.json_name()),
                number: of.number(),
                kind: kind(&of, ids, enum_ids)?,
                form: form(&of),
                oneof: of
                    .containing_oneof()
                    .and_then(|oneof| oneofs.iter().position(|name| name == oneof.full_name())),
            })
        })
        .collect();
    fields.sort_by_key(|field| field.number);
    let mut by_name: Vec<(Box<str>, usize)> = fields
        .iter()
        .enumerate()
        .flat_map(|(index, field)| [(field.name.clone(), index), (field.json_name.clone(), index)])
        .collect();
    by_name.sort();
    by_name.dedup();
    Message {
        name: of.full_name().into(),
        shape: shape(of.full_name()),
        fields,
        by_name,
        oneofs: oneofs.len(),
    }
}

fn json_key(name: &str) -> Box<[u8]> {
    let mut key = serde_json::Value::from(name).to_string().into_bytes();
    key.push(b':');
    key.into()
}

fn form(of: &FieldDescriptor) -> Form {
    if of.is_map() {
        Form::Map
    } else if of.is_list() {
        Form::List {
            packed: of.is_packed(),
        }
    } else {
        Form::One {
            explicit: of.supports_presence(),
        }
    }
}

fn kind(of: &FieldDescriptor, ids: &[(Box<str>, usize)], enum_ids: &[(Box<str>, usize)]) -> Option<Kind> {
    use prost_reflect::Kind as Of;
    Some(match of.kind() {
        Of::Double => Kind::Double,
        Of::Float => Kind::Float,
        Of::Int32 => Kind::Int32,
        Of::Int64 => Kind::Int64,
        Of::Uint32 => Kind::Uint32,
        Of::Uint64 => Kind::Uint64,
        Of::Sint32 => Kind::Sint32,
        Of::Sint64 => Kind::Sint64,
        Of::Fixed32 => Kind::Fixed32,
        Of::Fixed64 => Kind::Fixed64,
        Of::Sfixed32 => Kind::Sfixed32,
        Of::Sfixed64 => Kind::Sfixed64,
        Of::Bool => Kind::Bool,
        Of::String => Kind::String,
        Of::Bytes => Kind::Bytes,
        Of::Enum(of) => Kind::Enum(find(enum_ids, of.full_name())?),
        Of::Message(of) => Kind::Message(find(ids, of.full_name())?),
    })
}

fn shape(full_name: &str) -> Shape {
    if full_name == "google.api.HttpBody" {
        return Shape::HttpBody;
    }
    match full_name.strip_prefix("google.protobuf.") {
        Some("Timestamp") => Shape::Timestamp,
        Some("Duration") => Shape::Duration,
        Some("FieldMask") => Shape::FieldMask,
        Some("Struct") => Shape::Struct,
        Some("Value") => Shape::Value,
        Some("ListValue") => Shape::ListValue,
        Some("Any") => Shape::Any,
        Some(
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value"
            | "BoolValue" | "StringValue" | "BytesValue",
        ) => Shape::Wrapper,
        _ => Shape::Plain,
    }
}
