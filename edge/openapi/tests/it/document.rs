//! The document as a whole: notes, errors, credentials, order and bytes.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tminus_openapi::{
    Dialect, ErrorAnswer, GenerateError, Header, License, OperationNotes, SecurityKind, SecurityScheme,
    Settings, WebSocket, generate, to_json, to_yaml,
};

use crate::contract::{call, pool, settings};

fn error(status: u16, code: i32, when: &str) -> ErrorAnswer {
    ErrorAnswer {
        status,
        code,
        when: when.into(),
        message: format!("said when {when}"),
        header: None,
    }
}

fn full(dialect: Dialect) -> Settings {
    let unauthenticated = ErrorAnswer {
        header: Some(Header {
            name: "www-authenticate".into(),
            description: "`Bearer`".into(),
        }),
        ..error(401, 16, "there is no token")
    };
    let notes = OperationNotes {
        security: vec!["bearer".into(), "session".into()],
        errors: vec![
            error(400, 3, "the id is malformed"),
            error(400, 3, "the name is malformed"),
            error(400, 9, "it is too early"),
            unauthenticated,
        ],
        request_example: Some(json!({ "id": "x1", "name": "Vega" })),
        response_example: Some(json!({ "name": "Vega" })),
    };
    Settings {
        description: "A test.".into(),
        license: Some(License {
            name: "MIT".into(),
            spdx: "MIT".into(),
        }),
        servers: vec!["/".into()],
        security_schemes: vec![
            SecurityScheme {
                name: "bearer".into(),
                kind: SecurityKind::Bearer { format: "JWT".into() },
                description: "A token.".into(),
            },
            SecurityScheme {
                name: "session".into(),
                kind: SecurityKind::Header {
                    name: "x-session-id".into(),
                },
                description: String::new(),
            },
            SecurityScheme {
                name: "cookie".into(),
                kind: SecurityKind::Cookie { name: "sid".into() },
                description: String::new(),
            },
        ],
        errors: vec![error(503, 14, "it goes down")],
        response_headers: vec![Header {
            name: "x-release".into(),
            description: "Which release answered.".into(),
        }],
        operations: BTreeMap::from([("t.Svc.Call".to_owned(), notes)]),
        fields: BTreeMap::from([
            (
                "t.Request.id".to_owned(),
                keywords(json!({ "pattern": "^x[0-9]$" })),
            ),
            ("t.Request.name".to_owned(), keywords(json!({ "maxLength": 24 }))),
        ]),
        websockets: vec![WebSocket {
            path: "/v1/play".into(),
            description: "Frames.".into(),
            subprotocols: vec!["t.json".into()],
            client_message: "t.Frame".into(),
            server_message: "t.Frame".into(),
        }],
        ..settings(dialect)
    }
}

fn keywords(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn contract() -> String {
    call(
        r#"post: "/v1/things/{id}" body: "*""#,
        "message Request { string id = 1; string name = 2; }
        // What came of it. More.
        message Answer { string name = 1; }
        message Frame { string text = 1; }",
    )
}

#[test]
fn notes_become_errors_credentials_and_examples() {
    let document = generate(&pool(&[&contract()]), &full(Dialect::V3_1)).unwrap();
    let operation = &document["paths"]["/v1/things/{id}"]["post"];
    assert_eq!(
        operation["security"],
        json!([{ "bearer": [] }, { "session": [] }])
    );
    assert_eq!(operation["parameters"][0]["example"], "x1");
    assert_eq!(
        operation["parameters"][0]["schema"],
        json!({ "type": "string", "pattern": "^x[0-9]$", "minLength": 1 })
    );
    assert_eq!(
        operation["requestBody"]["content"]["application/json"]["schema"]["properties"]["name"],
        json!({ "type": "string", "maxLength": 24 })
    );
    assert_eq!(
        operation["requestBody"]["content"]["application/json"]["example"],
        json!({ "name": "Vega" })
    );
    let responses = operation["responses"].as_object().unwrap();
    assert_eq!(responses.keys().collect::<Vec<_>>(), ["200", "400", "401", "503"]);
    assert_eq!(responses["200"]["description"], "What came of it");
    assert_eq!(
        responses["200"]["content"]["application/json"]["example"],
        json!({ "name": "Vega" })
    );
    assert_eq!(
        responses["400"]["description"],
        "`INVALID_ARGUMENT`: the id is malformed\n\n`INVALID_ARGUMENT`: the name is malformed\n\n\
         `FAILED_PRECONDITION`: it is too early"
    );
    let examples = &responses["400"]["content"]["application/json"]["examples"];
    let keys: Vec<_> = examples.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["INVALID_ARGUMENT", "INVALID_ARGUMENT_2", "FAILED_PRECONDITION"]
    );
    assert_eq!(
        examples["FAILED_PRECONDITION"]["value"],
        json!({ "code": 9, "message": "said when it is too early", "details": [] })
    );
    for (status, response) in responses {
        assert!(!response["description"].as_str().unwrap().is_empty(), "{status}");
        assert!(response["headers"].get("x-release").is_some(), "{status}");
        assert_eq!(
            response["headers"].get("www-authenticate").is_some(),
            status == "401"
        );
    }
    assert_eq!(
        document["components"]["securitySchemes"],
        json!({
            "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token." },
            "session": { "type": "apiKey", "in": "header", "name": "x-session-id" },
            "cookie": { "type": "apiKey", "in": "cookie", "name": "sid" },
        })
    );
    assert_eq!(
        document["x-websockets"][0]["clientMessage"]["$ref"],
        "#/components/schemas/t.Frame"
    );
    assert!(document["components"]["schemas"].get("t.Frame").is_some());
}

#[test]
fn every_reference_leads_somewhere() {
    for dialect in [Dialect::V3_0, Dialect::V3_1] {
        let document = generate(&pool(&[&contract()]), &full(dialect)).unwrap();
        let mut waiting = vec![&document];
        let mut found = 0;
        while let Some(value) = waiting.pop() {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                let pointer = reference.trim_start_matches('#');
                assert!(document.pointer(pointer).is_some(), "{reference}");
                found += 1;
            }
            match value {
                Value::Object(map) => waiting.extend(map.values()),
                Value::Array(list) => waiting.extend(list),
                _ => {}
            }
        }
        assert!(found > 5, "{found}");
    }
}

#[test]
fn a_note_about_nothing_is_refused() {
    let check = |adjust: fn(&mut Settings), expected: &str| {
        let mut settings = full(Dialect::V3_1);
        adjust(&mut settings);
        let said = generate(&pool(&[&contract()]), &settings)
            .unwrap_err()
            .to_string();
        assert!(said.contains(expected), "{said}");
    };
    check(
        |settings| {
            settings
                .operations
                .insert("t.Svc.Gone".into(), OperationNotes::default());
        },
        "notes about t.Svc.Gone",
    );
    check(
        |settings| {
            settings
                .fields
                .insert("t.Request.gone".into(), keywords(json!({})));
        },
        "the field t.Request.gone",
    );
    check(
        |settings| settings.security_schemes.clear(),
        "asks for the credential \"bearer\"",
    );
    check(
        |settings| settings.errors[0].status = 302,
        "302 is no status of an error",
    );
    check(
        |settings| settings.websockets[0].client_message = "t.Gone".into(),
        "no message t.Gone",
    );
}

#[test]
fn each_dialect_says_which_it_is() {
    let of = |dialect| generate(&pool(&[&contract()]), &full(dialect)).unwrap();
    let (old, new) = (of(Dialect::V3_0), of(Dialect::V3_1));
    assert_eq!(
        (&old["openapi"], &new["openapi"]),
        (&json!("3.0.3"), &json!("3.1.0"))
    );
    assert_eq!(old["info"]["license"], json!({ "name": "MIT" }));
    assert_eq!(
        new["info"]["license"],
        json!({ "name": "MIT", "identifier": "MIT" })
    );
}

#[test]
fn the_bytes_depend_on_the_contract_alone() {
    let one = "package a; message M { string x = 1; } service B { rpc Do(M) returns (M) { option (google.api.http) = { get: \"/b\" }; } }";
    let two = "package b; message M { string x = 1; } service A { rpc Do(M) returns (M) { option (google.api.http) = { get: \"/a\" }; } }";
    let text =
        |sources: &[&str]| to_json(&generate(&pool(sources), &settings(Dialect::V3_1)).unwrap()).unwrap();
    let written = text(&[one, two]);
    assert_eq!(written, text(&[two, one]));
    assert!(written.ends_with("}\n"));
    let read: Value = serde_json::from_str(&written).unwrap();
    let paths: Vec<&String> = read["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/a", "/b"]);
}

#[test]
fn services_of_one_name_are_told_apart() {
    let source = |package: &str| {
        format!(
            "package {package}; message M {{}} service Svc {{ rpc Do(M) returns (M) {{ option (google.api.http) = {{ get: \"/{package}\" }}; }} }}"
        )
    };
    let document = generate(
        &pool(&[&source("a.v1"), &source("b.v1")]),
        &settings(Dialect::V3_1),
    )
    .unwrap();
    assert_eq!(document["paths"]["/a.v1"]["get"]["operationId"], "a_v1_Svc_Do");
    assert_eq!(document["paths"]["/b.v1"]["get"]["operationId"], "b_v1_Svc_Do");
    assert_eq!(
        document["tags"],
        json!([{ "name": "a_v1_Svc" }, { "name": "b_v1_Svc" }])
    );
}

#[test]
fn yaml_says_the_same() {
    let document = generate(&pool(&[&contract()]), &full(Dialect::V3_1)).unwrap();
    let text = to_yaml(&document).unwrap();
    let read: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(read, document);
    // Statuses are keys, and keys are strings.
    assert!(text.contains("\"400\":") || text.contains("'400':"), "{text}");
}

#[test]
fn damaged_descriptors_are_an_error() {
    let damaged = tminus_openapi::DescriptorPool::decode(&b"\x0a\x03abc"[..]);
    let error = GenerateError::from(damaged.unwrap_err());
    assert!(error.to_string().contains("cannot be read"), "{error}");
}
