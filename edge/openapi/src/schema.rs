//! Schemas of messages and enums in their JSON form. Each message and enum is one component, named by
//! its full name, so that nothing recurs here however a contract does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use prost_reflect::{
    EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor, Value as Proto,
};
use serde_json::{Map, Value, json};

use crate::{
    SCHEMAS_MAX,
    comments::Comments,
    error::GenerateError,
    settings::{Dialect, Settings},
    well_known::{self, Scalar, reference},
};

/// The extension of `google.protobuf.FieldOptions` that says what must be sent, and by whom.
const FIELD_BEHAVIOR: &str = "google.api.field_behavior";
const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;
const INPUT_ONLY: i32 = 4;

/// Makes schemas and remembers which components they name.
#[derive(Debug)]
pub struct Schemas<'a> {
    pub dialect: Dialect,
    comments: &'a Comments,
    /// More keywords for some fields.
    keywords: &'a BTreeMap<String, Map<String, Value>>,
    named: BTreeSet<String>,
    waiting: VecDeque<Kind>,
    components: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    pub fn new(settings: &'a Settings, comments: &'a Comments) -> Self {
        Self {
            dialect: settings.dialect,
            comments,
            keywords: &settings.fields,
            named: BTreeSet::new(),
            waiting: VecDeque::new(),
            components: BTreeMap::new(),
        }
    }

    /// The form of every error. Names the component.
    pub fn status(&mut self) -> Value {
        for name in [well_known::STATUS, well_known::ANY] {
            if let (true, Some(schema)) = (
                self.named.insert(name.to_owned()),
                well_known::schema(name, self.dialect),
            ) {
                self.components.insert(name.to_owned(), schema);
            }
        }
        json!({ "$ref": reference(well_known::STATUS) })
    }

    pub fn message(&mut self, message: &MessageDescriptor) -> Value {
        self.component(message.full_name(), Kind::Message(message.clone()))
    }

    fn component(&mut self, full_name: &str, kind: Kind) -> Value {
        if self.named.insert(full_name.to_owned()) {
            self.waiting.push_back(kind);
        }
        json!({ "$ref": reference(full_name) })
    }

    /// The components that all schemas so far name, directly or through each other.
    pub fn finish(mut self) -> Result<Map<String, Value>, GenerateError> {
        while let Some(kind) = self.waiting.pop_front() {
            if self.components.len() >= SCHEMAS_MAX {
                return Err(GenerateError::TooMany {
                    what: "messages and enums",
                    max: SCHEMAS_MAX,
                });
            }
            let (name, schema) = match &kind {
                Kind::Message(message) => (message.full_name(), self.whole_message(message)),
                Kind::Enum(values) => (values.full_name(), self.whole_enum(values)),
                _ => continue,
            };
            self.components.insert(name.to_owned(), schema);
        }
        Ok(self.components.into_iter().collect())
    }

    fn whole_message(&mut self, message: &MessageDescriptor) -> Value {
        match well_known::schema(message.full_name(), self.dialect) {
            Some(schema) => schema,
            None => self.object(message, &BTreeSet::new()),
        }
    }

    fn whole_enum(&self, values: &EnumDescriptor) -> Value {
        if let Some(schema) = well_known::schema(values.full_name(), self.dialect) {
            return schema;
        }
        let file = values.parent_file();
        let mut description = self.comments.at(&file, values.path()).to_owned();
        let mut names = Vec::new();
        let mut said = Vec::new();
        // As they are written; the library has them by number.
        let mut in_order: Vec<_> = values.values().collect();
        in_order.sort_by(|one, other| one.path().cmp(other.path()));
        for value in in_order {
            let comment = self.comments.at(&file, value.path());
            if !comment.is_empty() {
                said.push(format!("- `{}`: {}", value.name(), comment.replace('\n', " ")));
            }
            names.push(json!(value.name()));
        }
        if !said.is_empty() {
            let gap = if description.is_empty() { "" } else { "\n\n" };
            description = format!("{description}{gap}{}", said.join("\n"));
        }
        let mut schema = described(&description);
        schema.insert("type".into(), json!("string"));
        schema.insert("enum".into(), Value::Array(names));
        if values
            .enum_descriptor_proto()
            .options
            .as_ref()
            .is_some_and(|options| options.deprecated())
        {
            schema.insert("deprecated".into(), json!(true));
        }
        Value::Object(schema)
    }

    /// A message as an object, without these fields (numbers).
    pub fn object(&mut self, message: &MessageDescriptor, left_out: &BTreeSet<u32>) -> Value {
        let mut schema = described(self.comment(message));
        schema.insert("type".into(), json!("object"));
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message
            .fields()
            .filter(|field| !left_out.contains(&field.number()))
        {
            if self.is_required(&field) {
                required.push(json!(field.json_name()));
            }
            properties.insert(field.json_name().to_owned(), self.field(&field));
        }
        if !properties.is_empty() {
            schema.insert("properties".into(), Value::Object(properties));
        }
        if !required.is_empty() {
            schema.insert("required".into(), Value::Array(required));
        }
        let mut choices: Vec<Value> = message
            .oneofs()
            .filter(|oneof| !oneof.is_synthetic())
            .filter_map(|oneof| at_most_one(&oneof, left_out))
            .collect();
        match choices.len() {
            0 => {}
            1 => schema.extend(choices.pop().into_iter().filter_map(into_object).flatten()),
            _ => {
                schema.insert("allOf".into(), Value::Array(choices));
            }
        }
        if message
            .descriptor_proto()
            .options
            .as_ref()
            .is_some_and(|options| options.deprecated())
        {
            schema.insert("deprecated".into(), json!(true));
        }
        Value::Object(schema)
    }

    pub fn comment(&self, message: &MessageDescriptor) -> &'a str {
        self.comments.at(&message.parent_file(), message.path())
    }

    pub fn field_comment(&self, field: &FieldDescriptor) -> &'a str {
        self.comments
            .at(&field.parent_message().parent_file(), field.path())
    }

    /// A property: the field's type, its comment, and who sends it.
    pub fn field(&mut self, field: &FieldDescriptor) -> Value {
        let schema = self.field_type(field);
        let mut more = described(self.field_comment(field));
        let behaviors = behaviors(field);
        if behaviors.contains(&OUTPUT_ONLY) {
            more.insert("readOnly".into(), json!(true));
        }
        if behaviors.contains(&INPUT_ONLY) {
            more.insert("writeOnly".into(), json!(true));
        }
        if is_deprecated(field) {
            more.insert("deprecated".into(), json!(true));
        }
        self.beside(schema, more)
    }

    /// Keywords beside a schema. A `$ref` in 3.0 hides all that stands beside it.
    fn beside(&self, schema: Value, more: Map<String, Value>) -> Value {
        if more.is_empty() {
            return schema;
        }
        if self.dialect == Dialect::V3_0 && schema.get("$ref").is_some() {
            let mut around = more;
            around.insert("allOf".into(), json!([schema]));
            return Value::Object(around);
        }
        match schema {
            Value::Object(mut schema) => {
                schema.extend(more);
                Value::Object(schema)
            }
            other => other,
        }
    }

    /// The type alone, lists and maps included.
    pub fn field_type(&mut self, field: &FieldDescriptor) -> Value {
        let schema = if field.is_map() {
            self.map(field)
        } else {
            let one = self.kind(&field.kind());
            if field.is_list() {
                json!({ "type": "array", "items": one })
            } else {
                one
            }
        };
        match self.keywords.get(field.full_name()) {
            Some(keywords) => self.beside(schema, keywords.clone()),
            None => schema,
        }
    }

    fn map(&mut self, field: &FieldDescriptor) -> Value {
        let Kind::Message(entry) = field.kind() else {
            return json!({ "type": "object" });
        };
        let values = self.kind(&entry.map_entry_value_field().kind());
        let mut schema = json!({ "type": "object", "additionalProperties": values });
        let keys = match entry.map_entry_key_field().kind() {
            Kind::String => None,
            Kind::Bool => Some(json!({ "enum": ["true", "false"] })),
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => {
                Some(json!({ "pattern": "^[0-9]{1,20}$" }))
            }
            _ => Some(json!({ "pattern": "^-?[0-9]{1,19}$" })),
        };
        if let (Dialect::V3_1, Some(keys)) = (self.dialect, keys) {
            schema["propertyNames"] = keys;
        }
        schema
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Message(message) => self.message(message),
            Kind::Enum(values) => self.component(values.full_name(), kind.clone()),
            Kind::Double => Scalar::Float("double").schema(self.dialect),
            Kind::Float => Scalar::Float("float").schema(self.dialect),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Scalar::Int32.schema(self.dialect),
            Kind::Uint32 | Kind::Fixed32 => Scalar::Uint32.schema(self.dialect),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Scalar::Int64.schema(self.dialect),
            Kind::Uint64 | Kind::Fixed64 => Scalar::Uint64.schema(self.dialect),
            Kind::Bool => Scalar::Bool.schema(self.dialect),
            Kind::String => Scalar::String.schema(self.dialect),
            Kind::Bytes => Scalar::Bytes.schema(self.dialect),
        }
    }

    /// ProtoJSON leaves default values out, so only what the contract demands is required.
    pub fn is_required(&self, field: &FieldDescriptor) -> bool {
        field.is_required() || behaviors(field).contains(&REQUIRED)
    }
}

fn described(description: &str) -> Map<String, Value> {
    let mut map = Map::new();
    if !description.is_empty() {
        map.insert("description".into(), json!(description));
    }
    map
}

fn into_object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

pub fn is_deprecated(field: &FieldDescriptor) -> bool {
    let options = &field.field_descriptor_proto().options;
    options.as_ref().is_some_and(|options| options.deprecated())
}

/// Exactly one of: each member present, or none of them.
fn at_most_one(oneof: &OneofDescriptor, left_out: &BTreeSet<u32>) -> Option<Value> {
    let mut members: Vec<Value> = oneof
        .fields()
        .filter(|field| !left_out.contains(&field.number()))
        .map(|field| json!({ "required": [field.json_name()] }))
        .collect();
    if members.len() < 2 {
        return None;
    }
    members.push(json!({ "not": { "anyOf": members } }));
    Some(json!({ "oneOf": members }))
}

fn behaviors(field: &FieldDescriptor) -> Vec<i32> {
    let Some(extension) = field
        .parent_message()
        .parent_pool()
        .get_extension_by_name(FIELD_BEHAVIOR)
    else {
        return Vec::new();
    };
    let options = field.options();
    let list = options.get_extension(&extension);
    let list = list.as_list().unwrap_or_default();
    list.iter().filter_map(Proto::as_enum_number).collect()
}
