//! Types whose JSON form is their own (protobuf.dev, "ProtoJSON Format"; the `.proto` files under
//! `google/protobuf`), and `google.rpc.Status`, the form of every error.

use serde_json::{Value, json};

use crate::settings::Dialect;

/// The message that errors are answered in.
pub const STATUS: &str = "google.rpc.Status";
/// Its details.
pub const ANY: &str = "google.protobuf.Any";
/// A body that is passed on as it is.
pub const HTTP_BODY: &str = "google.api.HttpBody";

/// Whether the JSON form is one string, number or truth value, so that it can stand in a path or query.
pub fn is_one_value(full_name: &str) -> bool {
    matches!(
        full_name,
        "google.protobuf.Timestamp" | "google.protobuf.Duration" | "google.protobuf.FieldMask"
    ) || wrapped(full_name).is_some()
}

/// What a wrapper holds.
fn wrapped(full_name: &str) -> Option<Scalar> {
    Some(match full_name {
        "google.protobuf.DoubleValue" => Scalar::Float("double"),
        "google.protobuf.FloatValue" => Scalar::Float("float"),
        "google.protobuf.Int64Value" => Scalar::Int64,
        "google.protobuf.UInt64Value" => Scalar::Uint64,
        "google.protobuf.Int32Value" => Scalar::Int32,
        "google.protobuf.UInt32Value" => Scalar::Uint32,
        "google.protobuf.BoolValue" => Scalar::Bool,
        "google.protobuf.StringValue" => Scalar::String,
        "google.protobuf.BytesValue" => Scalar::Bytes,
        _ => return None,
    })
}

/// A field's type that is no message and no enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    Int32,
    Uint32,
    Int64,
    Uint64,
    Float(&'static str),
    Bool,
    String,
    Bytes,
}

impl Scalar {
    pub fn schema(self, dialect: Dialect) -> Value {
        match self {
            Self::Int32 => {
                json!({ "type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX })
            }
            Self::Uint32 => {
                json!({ "type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX })
            }
            // Strings: a double, which is what JSON readers make of a number, holds 53 bits.
            Self::Int64 => json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$" }),
            Self::Uint64 => json!({ "type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$" }),
            Self::Float(format) => json!({ "anyOf": [
                { "type": "number", "format": format },
                { "type": "string", "enum": ["NaN", "Infinity", "-Infinity"] },
            ] }),
            Self::Bool => json!({ "type": "boolean" }),
            Self::String => json!({ "type": "string" }),
            Self::Bytes => match dialect {
                Dialect::V3_0 => json!({ "type": "string", "format": "byte" }),
                Dialect::V3_1 => json!({ "type": "string", "contentEncoding": "base64" }),
            },
        }
    }
}

/// The schema of a well-known message or enum; `None` for every other name.
pub fn schema(full_name: &str, dialect: Dialect) -> Option<Value> {
    if let Some(scalar) = wrapped(full_name) {
        return Some(or_null(scalar.schema(dialect), dialect));
    }
    Some(match full_name {
        "google.protobuf.Timestamp" => json!({
            "type": "string", "format": "date-time",
            "description": "RFC 3339, with nanoseconds at most.",
        }),
        "google.protobuf.Duration" => json!({
            "type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
            "description": "Seconds, with nanoseconds at most, and an `s`.",
        }),
        "google.protobuf.FieldMask" => json!({
            "type": "string", "description": "Names of fields in lowerCamelCase, joined by commas.",
        }),
        "google.protobuf.Struct" => json!({ "type": "object", "additionalProperties": true }),
        "google.protobuf.ListValue" => json!({ "type": "array", "items": {} }),
        "google.protobuf.Value" => json!({ "description": "Any JSON value." }),
        "google.protobuf.NullValue" => match dialect {
            Dialect::V3_0 => json!({ "type": "string", "nullable": true, "enum": [null] }),
            Dialect::V3_1 => json!({ "type": "null" }),
        },
        "google.protobuf.Empty" => json!({ "type": "object" }),
        ANY => json!({
            "type": "object",
            "description": "A message of any type, named by its URL.",
            "properties": { "@type": { "type": "string" } },
            "required": ["@type"],
            "additionalProperties": true,
        }),
        HTTP_BODY => json!({ "description": "Bytes of the content type that the answer names." }),
        STATUS => json!({
            "type": "object",
            "description": "An error, as gRPC and HTTP both tell it.",
            "properties": {
                "code": {
                    "type": "integer", "format": "int32", "minimum": 0, "maximum": 16,
                    "description": "A `google.rpc.Code`.",
                },
                "message": { "type": "string", "description": "For people; English." },
                "details": {
                    "type": "array", "items": { "$ref": reference(ANY) },
                    "description": "More for programs, if there is more to say.",
                },
            },
            "required": ["code", "message"],
        }),
        _ => return None,
    })
}

/// Where a component lies.
pub fn reference(full_name: &str) -> String {
    format!("#/components/schemas/{full_name}")
}

/// Allows null beside what the schema allows.
fn or_null(mut schema: Value, dialect: Dialect) -> Value {
    match (dialect, schema.get("type").cloned()) {
        (Dialect::V3_1, Some(one)) => schema["type"] = json!([one, "null"]),
        (Dialect::V3_0, Some(_)) => schema["nullable"] = json!(true),
        (Dialect::V3_1, None) => schema = json!({ "anyOf": [schema, { "type": "null" }] }),
        (Dialect::V3_0, None) => {
            let nothing = json!({ "type": "string", "nullable": true, "enum": [null] });
            schema = json!({ "anyOf": [schema, nothing] });
        }
    }
    schema
}
