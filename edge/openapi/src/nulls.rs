//! ProtoJSON takes `null` for a field that is not there (<https://protobuf.dev/programming-guides/json/>), and never writes
//! it. So the fields of messages that are sent and never answered allow it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::settings::Dialect;

const PREFIX: &str = "#/components/schemas/";

/// Lets the messages that stand in requests alone hold `null`.
pub fn allow_in_requests(document: &mut Map<String, Value>, dialect: Dialect) {
    let (mut asked, mut answered) = (BTreeSet::new(), BTreeSet::new());
    let schemas = document
        .get("components")
        .and_then(|it| it.get("schemas"))
        .cloned()
        .unwrap_or_default();
    let operations = document
        .get("paths")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::values)
        .filter_map(Value::as_object)
        .flat_map(Map::values);
    for operation in operations {
        for (part, into) in [("requestBody", &mut asked), ("responses", &mut answered)] {
            if let Some(part) = operation.get(part) {
                named(part, &schemas, into);
            }
        }
    }
    if let Some(frames) = document.get("x-websockets") {
        named(frames, &schemas, &mut answered);
    }
    let Some(Value::Object(schemas)) = document
        .get_mut("components")
        .and_then(|it| it.get_mut("schemas"))
    else {
        return;
    };
    for name in asked.difference(&answered) {
        let properties = schemas
            .get_mut(name)
            .and_then(|schema| schema.get_mut("properties"));
        for field in properties
            .and_then(Value::as_object_mut)
            .into_iter()
            .flat_map(Map::values_mut)
        {
            allow(field, dialect);
        }
    }
}

/// The names of all schemas that a part of the document names, directly or through each other.
fn named(part: &Value, schemas: &Value, found: &mut BTreeSet<String>) {
    let mut waiting = vec![part];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(fields) => {
                let reference = fields.get("$ref").and_then(Value::as_str);
                if let Some(name) = reference.and_then(|it| it.strip_prefix(PREFIX))
                    && found.insert(name.to_owned())
                {
                    waiting.extend(schemas.get(name));
                }
                waiting.extend(fields.values());
            }
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
}

fn allow(field: &mut Value, dialect: Dialect) {
    let Some(keywords) = field.as_object_mut() else {
        return;
    };
    let is_plain = matches!(keywords.get("type"), Some(Value::String(_)));
    match dialect {
        Dialect::V3_0 if is_plain => {
            keywords.insert("nullable".into(), json!(true));
        }
        Dialect::V3_1 if is_plain => {
            if let Some(kind) = keywords.remove("type") {
                keywords.insert("type".into(), json!([kind, "null"]));
            }
        }
        Dialect::V3_0 => {
            let rest = std::mem::take(field);
            *field = json!({ "allOf": [rest], "nullable": true });
            return;
        }
        Dialect::V3_1 => {
            let rest = std::mem::take(field);
            *field = json!({ "anyOf": [rest, { "type": "null" }] });
            return;
        }
    }
    if let Some(Value::Array(values)) = keywords.get_mut("enum") {
        values.push(Value::Null);
    }
}
