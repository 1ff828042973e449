//! Values for schemas: one that should be taken, and ones that should not.

use serde_json::{Map, Value, json};

use crate::limits::DEPTH_MAX;

/// A value that the schema describes, as small as it can be; none if this cannot be told (a pattern, for one). Whoever uses
/// it asks a validator, too.
pub(crate) fn valid(root: &Value, schema: &Value, depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let schema = crate::schema::resolve(root, schema).ok()?;
    for key in ["const", "default", "example"] {
        if let Some(value) = schema.get(key) {
            return Some(value.clone());
        }
    }
    for key in ["examples", "enum"] {
        if let Some(first) = schema
            .get(key)
            .and_then(Value::as_array)
            .and_then(|list| list.first())
        {
            return Some(first.clone());
        }
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        let mut whole = of_type(root, schema, depth)
            .filter(Value::is_object)
            .unwrap_or_else(|| json!({}));
        for part in parts {
            match (valid(root, part, depth + 1)?, whole.as_object_mut()) {
                (Value::Object(fields), Some(whole)) => whole.extend(fields),
                (other, _) if parts.len() == 1 => return Some(other),
                _ => return None,
            }
        }
        return Some(whole);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(parts) = schema.get(key).and_then(Value::as_array) {
            return parts.iter().find_map(|part| valid(root, part, depth + 1));
        }
    }
    of_type(root, schema, depth)
}

/// The type of a schema; of several the first that is not null.
fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => Some(name),
        Some(Value::Array(names)) => {
            let mut names = names.iter().filter_map(Value::as_str);
            names
                .clone()
                .find(|name| *name != "null")
                .or_else(|| names.next())
        }
        _ if schema.get("properties").is_some() => Some("object"),
        _ if schema.get("items").is_some() => Some("array"),
        _ => None,
    }
}

fn of_type(root: &Value, schema: &Value, depth: usize) -> Option<Value> {
    match type_of(schema)? {
        "null" => Some(Value::Null),
        "boolean" => Some(json!(true)),
        "integer" | "number" => number(schema),
        "string" => text(schema).map(Value::String),
        "array" => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            if least > 16 {
                return None;
            }
            let items = schema.get("items").unwrap_or(&Value::Bool(true));
            (0..least)
                .map(|n| match valid(root, items, depth + 1)? {
                    // Where they must differ, numbers and texts can.
                    Value::Number(number) if n > 0 => Some(json!(number.as_i64()? + n as i64)),
                    Value::String(text) if n > 0 => Some(json!(format!("{text}{n}"))),
                    other => Some(other),
                })
                .collect::<Option<Vec<_>>>()
                .map(Value::Array)
        }
        "object" => {
            let required = schema.get("required").and_then(Value::as_array);
            let mut fields = Map::new();
            for name in required.into_iter().flatten().filter_map(Value::as_str) {
                let of = schema.get("properties").and_then(|all| all.get(name));
                let value = match of {
                    Some(of) => valid(root, of, depth + 1)?,
                    None => json!("x"),
                };
                fields.insert(name.to_owned(), value);
            }
            Some(Value::Object(fields))
        }
        _ => None,
    }
}

fn number(schema: &Value) -> Option<Value> {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let least = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|it| it.floor() + 1.0));
    let most = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|it| it.ceil() - 1.0));
    let mut value = match (least, most) {
        (Some(least), _) => least.ceil(),
        (None, Some(most)) => most.floor().min(1.0),
        (None, None) => 1.0,
    };
    if let Some(step) = bound("multipleOf").filter(|step| *step > 0.0) {
        value = (value / step).ceil() * step;
    }
    if value.fract() == 0.0 && value.abs() < 9e15 {
        Some(json!(value as i64))
    } else {
        Some(json!(value))
    }
}

fn text(schema: &Value) -> Option<String> {
    let length = |key: &str| schema.get(key).and_then(Value::as_u64);
    let sample = match schema.get("format").and_then(Value::as_str).unwrap_or_default() {
        "date-time" => "2026-01-01T00:00:00Z",
        "date" => "2026-01-01",
        "time" => "00:00:00Z",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        "email" => "someone@example.com",
        "uri" | "url" | "iri" => "https://example.com/",
        "hostname" => "example.com",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "byte" => "AA==",
        "int64" | "uint64" | "int32" | "uint32" => "1",
        "duration" => "PT1S",
        _ if schema.get("pattern").is_some() => return None,
        _ => "",
    };
    if !sample.is_empty() {
        return Some(sample.to_owned());
    }
    let least = length("minLength").unwrap_or(1).max(1);
    let most = length("maxLength").unwrap_or(u64::MAX);
    if least > 4_096 {
        return None;
    }
    let text = "example";
    let wanted = (text.len() as u64).clamp(least, most.max(least));
    Some(text.chars().cycle().take(usize::try_from(wanted).ok()?).collect())
}

/// A value of another type than the schema asks for; none if any type will do.
pub(crate) fn wrong_type(root: &Value, schema: &Value) -> Option<Value> {
    let schema = crate::schema::resolve(root, schema).ok()?;
    match type_of(schema)? {
        "object" | "array" => Some(json!("not of this type")),
        "string" => Some(json!({ "not": "of this type" })),
        "integer" | "number" | "boolean" => Some(json!({ "not": "of this type" })),
        _ => None,
    }
}
