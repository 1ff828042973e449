//! Schemas: one dialect out of two, references, and what an object may hold.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::error::SpecError;
use crate::limits::DEPTH_MAX;

/// Turns the schemas of OpenAPI 3.0 into JSON Schema 2020-12, which 3.1 uses: `nullable`, and exclusive bounds that are
/// booleans. Examples and defaults are data and stay as they are.
pub(crate) fn modernise(schema: &mut Value, depth: usize) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if depth > DEPTH_MAX {
        return;
    }
    if object.remove("nullable") == Some(Value::Bool(true)) {
        allow_null(object);
    }
    for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match object.get(exclusive) {
            Some(Value::Bool(true)) => {
                if let Some(value) = object.remove(bound) {
                    object.insert(exclusive.to_owned(), value);
                } else {
                    object.remove(exclusive);
                }
            }
            Some(Value::Bool(false)) => {
                object.remove(exclusive);
            }
            _ => {}
        }
    }
    for_each_child(object, &mut |child| modernise(child, depth + 1));
}

fn allow_null(object: &mut Map<String, Value>) {
    if let Some(Value::String(name)) = object.get("type").cloned() {
        object.insert("type".to_owned(), json!([name, "null"]));
        if let Some(Value::Array(values)) = object.get_mut("enum")
            && !values.contains(&Value::Null)
        {
            values.push(Value::Null);
        }
        return;
    }
    // Without a type of its own `nullable` says nothing in 3.0.3; where it stands beside a composition, people mean
    // that null is allowed, and servers answer so.
    if ["allOf", "oneOf", "anyOf", "$ref"]
        .iter()
        .any(|key| object.contains_key(*key))
    {
        let rest = Value::Object(std::mem::take(object));
        object.insert("anyOf".to_owned(), json!([rest, { "type": "null" }]));
    }
}

fn for_each_child(object: &mut Map<String, Value>, act: &mut dyn FnMut(&mut Value)) {
    for key in [
        "items",
        "additionalProperties",
        "not",
        "if",
        "then",
        "else",
        "contains",
        "propertyNames",
        "unevaluatedProperties",
    ] {
        if let Some(child) = object.get_mut(key) {
            act(child);
        }
    }
    for key in ["allOf", "oneOf", "anyOf", "prefixItems"] {
        if let Some(Value::Array(children)) = object.get_mut(key) {
            children.iter_mut().for_each(&mut *act);
        }
    }
    for key in ["properties", "patternProperties", "$defs", "dependentSchemas"] {
        if let Some(Value::Object(children)) = object.get_mut(key) {
            children.values_mut().for_each(&mut *act);
        }
    }
}

/// What a reference within the document points at, however many references later.
pub(crate) fn resolve<'d>(root: &'d Value, mut value: &'d Value) -> Result<&'d Value, SpecError> {
    for _ in 0..DEPTH_MAX {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
            return Ok(value);
        };
        let Some(pointer) = reference.strip_prefix('#') else {
            return Err(SpecError::at(
                reference,
                "a reference out of the document; put everything into one file first",
            ));
        };
        value = root
            .pointer(pointer)
            .ok_or_else(|| SpecError::at(pointer, "is referred to and does not exist"))?;
    }
    Err(SpecError::at("", "references lead to each other in a circle"))
}

/// The fields of a value that no schema speaks of, as JSON pointers. A schema that allows any field
/// (`additionalProperties`) allows this one too, but a schema that is silent about others does not declare them.
pub(crate) fn undeclared(root: &Value, schema: &Value, value: &Value, found: &mut BTreeSet<String>) {
    walk(root, &[schema], value, String::new(), 0, found);
}

fn walk(
    root: &Value,
    schemas: &[&Value],
    value: &Value,
    at: String,
    depth: usize,
    found: &mut BTreeSet<String>,
) {
    if depth > DEPTH_MAX || found.len() >= crate::limits::FINDINGS_MAX {
        return;
    }
    let mut parts = Vec::new();
    for schema in schemas {
        flatten(root, schema, 0, &mut parts);
    }
    match value {
        Value::Object(fields) => {
            let says_something = parts.iter().any(|part| part.get("properties").is_some());
            let open = parts.iter().any(|part| match part.get("additionalProperties") {
                Some(Value::Bool(open)) => *open,
                Some(_) => true,
                None => part.get("patternProperties").is_some(),
            });
            for (name, field) in fields {
                let declared: Vec<&Value> = parts
                    .iter()
                    .filter_map(|part| part.get("properties")?.get(name))
                    .collect();
                let place = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                if !declared.is_empty() {
                    walk(root, &declared, field, place, depth + 1, found);
                } else if open {
                    let others: Vec<&Value> = parts
                        .iter()
                        .filter_map(|part| part.get("additionalProperties"))
                        .filter(|schema| schema.is_object())
                        .collect();
                    walk(root, &others, field, place, depth + 1, found);
                } else if says_something {
                    found.insert(place);
                }
            }
        }
        Value::Array(items) => {
            let of: Vec<&Value> = parts.iter().filter_map(|part| part.get("items")).collect();
            for (n, item) in items.iter().enumerate() {
                walk(root, &of, item, format!("{at}/{n}"), depth + 1, found);
            }
        }
        _ => {}
    }
}

/// A schema and everything that it is composed of.
fn flatten<'d>(root: &'d Value, schema: &'d Value, depth: usize, into: &mut Vec<&'d Value>) {
    if depth > DEPTH_MAX || into.len() > 256 {
        return;
    }
    into.push(schema);
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
        && let Some(target) = reference
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer))
    {
        flatten(root, target, depth + 1, into);
    }
    for key in ["allOf", "oneOf", "anyOf"] {
        for part in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
            flatten(root, part, depth + 1, into);
        }
    }
}
