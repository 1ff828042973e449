use serde_json::{Value, json};
use tminus_conformance::{Answer, Case, CaseKind, Hints, Spec, cases};

/// A small shop in both dialects: what differs stands in `amount` and `note`.
pub fn shop(dialect: &str) -> Value {
    let (amount, note, kind) = if dialect.starts_with("3.0") {
        (
            json!({ "type": "integer", "minimum": 0, "exclusiveMinimum": true }),
            json!({ "type": "string", "nullable": true }),
            json!({ "type": "string", "enum": ["a", "b"], "nullable": true }),
        )
    } else {
        (
            json!({ "type": "integer", "exclusiveMinimum": 0 }),
            json!({ "type": ["string", "null"] }),
            json!({ "type": ["string", "null"], "enum": ["a", "b", null] }),
        )
    };
    json!({
        "openapi": dialect,
        "info": { "title": "Shop", "version": "1" },
        "servers": [{ "url": "https://shop.example/api" }],
        "components": { "schemas": {
            "Order": {
                "type": "object",
                "required": ["id", "amount"],
                "properties": {
                    "id": { "type": "string" },
                    "amount": amount,
                    "note": note,
                    "kind": kind,
                    "parts": { "type": "array", "items": { "$ref": "#/components/schemas/Order" } },
                    "labels": { "type": "object", "additionalProperties": { "type": "string" } },
                },
            },
            "Problem": { "type": "object", "properties": { "code": { "type": "string" } } },
        }, "responses": {
            "Refused": { "description": "refused", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Problem" } } } },
        } },
        "paths": {
            "/orders": {
                "post": {
                    "operationId": "makeOrder",
                    "security": [{ "bearer": [] }],
                    "requestBody": { "required": true, "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Order" } } } },
                    "responses": {
                        "201": { "description": "made", "headers": { "Location": { "required": true, "schema": { "type": "string" } } },
                            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Order" } } } },
                        "4XX": { "$ref": "#/components/responses/Refused" },
                    },
                },
            },
            "/orders/{orderId}": {
                "parameters": [{ "name": "orderId", "in": "path", "required": true, "schema": { "type": "integer", "minimum": 7 } }],
                "get": {
                    "operationId": "getOrder",
                    "parameters": [{ "name": "fields", "in": "query", "required": true, "schema": { "type": "string", "enum": ["all one", "id"] } }],
                    "responses": {
                        "200": { "description": "it", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Order" } } } },
                        "404": { "$ref": "#/components/responses/Refused" },
                    },
                },
                "delete": { "responses": { "204": { "description": "gone" } } },
            },
        },
    })
}

pub fn read(document: &Value) -> Spec {
    Spec::read(&document.to_string()).unwrap()
}

pub fn made(spec: &Spec, operation: &str, hints: &Hints) -> Vec<Case> {
    cases(spec, spec.operation(operation).unwrap(), hints).unwrap()
}

pub fn valid(spec: &Spec, operation: &str) -> Case {
    let case = made(spec, operation, &Hints::default()).remove(0);
    assert_eq!(case.kind, CaseKind::Valid);
    case
}

pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    Answer {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: body.as_bytes().to_vec(),
    }
}
