//! Messages in their JSON form, by protobuf.dev's "ProtoJSON Format", in both dialects.

use serde_json::{Value, json};
use tminus_openapi::{Dialect, Settings, generate};

use crate::contract::{call, document_in, pool, settings};

fn component(dialect: Dialect, messages: &str, name: &str) -> Value {
    let document = document_in(dialect, &call(r#"post: "/v1/x" body: "*""#, messages));
    document["components"]["schemas"][name].clone()
}

/// The schema of one field in each dialect; the second is 3.1.
fn field(declaration: &str) -> [Value; 2] {
    [Dialect::V3_0, Dialect::V3_1].map(|dialect| {
        let messages = format!(
            "message Request {{ {declaration} }} message Other {{}} enum Kind {{ ZERO = 0; ONE = 1; }}"
        );
        component(dialect, &messages, "t.Request")["properties"]["f"].clone()
    })
}

#[test]
fn a_scalar_has_the_form_that_json_gives_it() {
    let same = |declaration: &str, expected: Value| {
        let [old, new] = field(declaration);
        assert_eq!((&old, &new), (&expected, &expected), "{declaration}");
    };
    let int32 = json!({ "type": "integer", "format": "int32", "minimum": -2_147_483_648_i64, "maximum": 2_147_483_647 });
    for name in ["int32", "sint32", "sfixed32"] {
        same(&format!("{name} f = 1;"), int32.clone());
    }
    let uint32 = json!({ "type": "integer", "format": "uint32", "minimum": 0, "maximum": 4_294_967_295_u32 });
    for name in ["uint32", "fixed32"] {
        same(&format!("{name} f = 1;"), uint32.clone());
    }
    for name in ["int64", "sint64", "sfixed64"] {
        same(
            &format!("{name} f = 1;"),
            json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$" }),
        );
    }
    for name in ["uint64", "fixed64"] {
        same(
            &format!("{name} f = 1;"),
            json!({ "type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$" }),
        );
    }
    let special = json!({ "type": "string", "enum": ["NaN", "Infinity", "-Infinity"] });
    for name in ["float", "double"] {
        same(
            &format!("{name} f = 1;"),
            json!({ "anyOf": [{ "type": "number", "format": name }, special] }),
        );
    }
    same("bool f = 1;", json!({ "type": "boolean" }));
    same("string f = 1;", json!({ "type": "string" }));
    same("optional string f = 1;", json!({ "type": "string" }));
    same("Other f = 1;", json!({ "$ref": "#/components/schemas/t.Other" }));
    same("Kind f = 1;", json!({ "$ref": "#/components/schemas/t.Kind" }));
    same(
        "repeated Other f = 1;",
        json!({ "type": "array", "items": { "$ref": "#/components/schemas/t.Other" } }),
    );
    same(
        "map<string, Kind> f = 1;",
        json!({ "type": "object", "additionalProperties": { "$ref": "#/components/schemas/t.Kind" } }),
    );
}

#[test]
fn the_dialects_differ_where_they_must() {
    let check = |declaration: &str, old: Value, new: Value| {
        assert_eq!(field(declaration), [old, new], "{declaration}");
    };
    check(
        "bytes f = 1;",
        json!({ "type": "string", "format": "byte" }),
        json!({ "type": "string", "contentEncoding": "base64" }),
    );
    let strings = || json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let with_keys = |keys: Value| {
        let mut schema = strings();
        schema["propertyNames"] = keys;
        schema
    };
    check(
        "map<int32, string> f = 1;",
        strings(),
        with_keys(json!({ "pattern": "^-?[0-9]{1,19}$" })),
    );
    check(
        "map<bool, string> f = 1;",
        strings(),
        with_keys(json!({ "enum": ["true", "false"] })),
    );
    // A comment beside a reference.
    let reference = json!({ "$ref": "#/components/schemas/t.Other" });
    check(
        "\n// Said.\nOther f = 1;",
        json!({ "description": "Said.", "allOf": [reference] }),
        json!({ "$ref": "#/components/schemas/t.Other", "description": "Said." }),
    );
}

#[test]
fn well_known_types_have_their_own_form() {
    let messages = "message Request {
        google.protobuf.Timestamp a = 1; google.protobuf.Duration b = 2; google.protobuf.FieldMask c = 3;
        google.protobuf.Struct d = 4; google.protobuf.ListValue e = 5; google.protobuf.Value f = 6;
        google.protobuf.NullValue g = 7; google.protobuf.Any h = 8; google.protobuf.Empty i = 9;
        google.protobuf.StringValue j = 10; google.protobuf.Int64Value k = 11; google.protobuf.DoubleValue l = 12; }";
    let check = |name: &str, old: Value, new: Value| {
        for (dialect, expected) in [(Dialect::V3_0, old), (Dialect::V3_1, new)] {
            let mut schema = component(dialect, messages, &format!("google.protobuf.{name}"));
            schema.as_object_mut().unwrap().remove("description");
            assert_eq!(schema, expected, "{name} in {dialect:?}");
        }
    };
    let same = |name: &str, expected: Value| check(name, expected.clone(), expected);
    same("Timestamp", json!({ "type": "string", "format": "date-time" }));
    same(
        "Duration",
        json!({ "type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$" }),
    );
    same("FieldMask", json!({ "type": "string" }));
    same(
        "Struct",
        json!({ "type": "object", "additionalProperties": true }),
    );
    same("ListValue", json!({ "type": "array", "items": {} }));
    same("Value", json!({}));
    same("Empty", json!({ "type": "object" }));
    same(
        "Any",
        json!({
            "type": "object", "properties": { "@type": { "type": "string" } },
            "required": ["@type"], "additionalProperties": true,
        }),
    );
    check(
        "NullValue",
        json!({ "type": "string", "nullable": true, "enum": [null] }),
        json!({ "type": "null" }),
    );
    check(
        "StringValue",
        json!({ "type": "string", "nullable": true }),
        json!({ "type": ["string", "null"] }),
    );
    check(
        "Int64Value",
        json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$", "nullable": true }),
        json!({ "type": ["string", "null"], "format": "int64", "pattern": "^-?[0-9]{1,19}$" }),
    );
    let double = json!({ "anyOf": [
        { "type": "number", "format": "double" }, { "type": "string", "enum": ["NaN", "Infinity", "-Infinity"] },
    ] });
    check(
        "DoubleValue",
        json!({ "anyOf": [double, { "type": "string", "nullable": true, "enum": [null] }] }),
        json!({ "anyOf": [double, { "type": "null" }] }),
    );
}

#[test]
fn of_a_oneof_there_is_one_member_at_most() {
    let one = component(
        Dialect::V3_1,
        "message Request { string before = 1; oneof kind { string a = 2; int32 b_c = 3; } optional string d = 4; }",
        "t.Request",
    );
    let (a, b) = (json!({ "required": ["a"] }), json!({ "required": ["bC"] }));
    assert_eq!(one["oneOf"], json!([a, b, { "not": { "anyOf": [a, b] } }]));
    assert_eq!(one.get("allOf"), None);
    let two = component(
        Dialect::V3_1,
        "message Request { oneof x { string a = 1; string b = 2; } oneof y { string c = 3; string d = 4; } }",
        "t.Request",
    );
    assert_eq!(two["allOf"].as_array().unwrap().len(), 2);
    assert_eq!(two.get("oneOf"), None);
}

#[test]
fn messages_that_hold_themselves_and_each_other_are_references() {
    let document = document_in(
        Dialect::V3_1,
        &call(
            r#"post: "/v1/x" body: "*""#,
            "message Request { Request self = 1; Other other = 2; } message Other { repeated Request back = 1; message In { string x = 1; } In in = 2; }",
        ),
    );
    let names: Vec<&String> = document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(names, ["t.Answer", "t.Other", "t.Other.In", "t.Request"]);
}

#[test]
fn an_enum_is_its_names_and_tells_what_they_mean() {
    let schema = component(
        Dialect::V3_1,
        "message Request { Kind kind = 1; }
        // How it is.
        enum Kind {
          option allow_alias = true;
          KIND_UNSPECIFIED = 0;
          // As it should
          // be.
          GOOD = 1;
          FINE = 1; // The same.
        }",
        "t.Kind",
    );
    assert_eq!(
        schema,
        json!({
            "description": "How it is.\n\n- `GOOD`: As it should be.\n- `FINE`: The same.",
            "type": "string", "enum": ["KIND_UNSPECIFIED", "GOOD", "FINE"],
        })
    );
}

#[test]
fn options_say_who_sends_a_field_and_what_is_old() {
    let schema = component(
        Dialect::V3_1,
        "message Request {
            option deprecated = true;
            string a = 1 [(google.api.field_behavior) = REQUIRED];
            string b = 2 [(google.api.field_behavior) = OUTPUT_ONLY];
            string c = 3 [(google.api.field_behavior) = INPUT_ONLY, deprecated = true];
            string d = 4 [json_name = \"dee\"];
        }",
        "t.Request",
    );
    assert_eq!(
        schema,
        json!({
            "type": "object",
            "properties": {
                "a": { "type": "string" },
                "b": { "type": "string", "readOnly": true },
                "c": { "type": "string", "writeOnly": true, "deprecated": true },
                "dee": { "type": "string" },
            },
            "required": ["a"],
            "deprecated": true,
        })
    );
}

#[test]
fn a_message_that_is_only_sent_may_hold_null_and_one_that_is_answered_may_not() {
    let source = call(
        r#"post: "/v1/x" body: "*""#,
        "enum Kind { ZERO = 0; ONE = 1; }
         message Part { string s = 1; }
         message Shared { string s = 1; }
         message Request { string s = 1; Kind kind = 2; Part part = 3; Shared shared = 4; }
         message Answer { Shared shared = 1; }",
    );
    let schemas = |dialect: Dialect| {
        let settings = Settings {
            takes_null: true,
            ..settings(dialect)
        };
        generate(&pool(&[&source]), &settings).unwrap()["components"]["schemas"].clone()
    };
    let new = schemas(Dialect::V3_1);
    let sent = &new["t.Request"]["properties"];
    assert_eq!(sent["s"], json!({ "type": ["string", "null"] }));
    assert_eq!(
        sent["kind"],
        json!({ "anyOf": [{ "$ref": "#/components/schemas/t.Kind" }, { "type": "null" }] })
    );
    assert_eq!(
        new["t.Part"]["properties"]["s"],
        json!({ "type": ["string", "null"] })
    );
    let old = schemas(Dialect::V3_0);
    let sent = &old["t.Request"]["properties"];
    assert_eq!(sent["s"], json!({ "type": "string", "nullable": true }));
    assert_eq!(
        sent["part"],
        json!({ "allOf": [{ "$ref": "#/components/schemas/t.Part" }], "nullable": true })
    );
    for schemas in [&old, &new] {
        assert_eq!(
            schemas["t.Shared"]["properties"]["s"],
            json!({ "type": "string" })
        );
        assert_eq!(
            schemas["t.Answer"]["properties"]["shared"],
            json!({ "$ref": "#/components/schemas/t.Shared" })
        );
    }
}
