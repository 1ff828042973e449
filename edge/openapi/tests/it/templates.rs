//! The grammar of path templates, and what OpenAPI makes of it.

use proptest::prelude::*;
use serde_json::{Value, json};
use tminus_openapi::{Template, TemplateError};

use crate::contract::{call, document, refusal};

#[test]
fn a_template_follows_the_grammar_or_is_refused() {
    let refused = |text: &str, expected: TemplateError| {
        assert_eq!(Template::parse(text).unwrap_err(), expected, "{text:?}");
    };
    refused("v1", TemplateError::NoSlash);
    refused("", TemplateError::NoSlash);
    refused("/v1//x", TemplateError::EmptySegment);
    refused("/v1/", TemplateError::EmptySegment);
    refused("/v1/{a=}", TemplateError::EmptySegment);
    refused("/v1/{a", TemplateError::Brace);
    refused("/v1/a}", TemplateError::Brace);
    refused("/v1/{a{b}}", TemplateError::Brace);
    refused("/v1/{a}b", TemplateError::Brace);
    refused("/v1/**/x", TemplateError::RestNotLast);
    refused("/v1/{a=**}/x", TemplateError::RestNotLast);
    refused("/v1/x:", TemplateError::EmptyVerb);
    refused("/v1/a*", TemplateError::Segment { segment: "a*".into() });
    refused("/v1/{a..b}", TemplateError::FieldPath { text: "a..b".into() });
    refused("/v1/{1a}", TemplateError::FieldPath { text: "1a".into() });
    refused("/v1/{}", TemplateError::FieldPath { text: String::new() });
    let long = format!("/{}", "a".repeat(tminus_openapi::TEMPLATE_BYTES_MAX));
    assert!(matches!(
        Template::parse(&long),
        Err(TemplateError::TooLong { .. })
    ));

    let read = Template::parse("/v1/{a.b=x/*/**}:go").unwrap();
    assert_eq!(read.verb.as_deref(), Some("go"));
    assert_eq!(read.parts.len(), 4);
    assert_eq!(read.variables[0].field_path, ["a", "b"]);
    assert!(Template::parse("/").unwrap().parts.is_empty());
}

proptest! {
    /// Whatever stands in an annotation: an answer, no panic.
    #[test]
    fn any_text_is_read_or_refused(text in "[/{}*:=.a1 é]{0,24}") {
        let _ = Template::parse(&text);
        let _ = Template::parse(&format!("/{text}"));
    }
}

const REQUEST: &str =
    "message Request { string id = 1; string other_id = 2; Inner inner = 3; repeated string many = 4; }
    message Inner { string name = 1; int64 number = 2; }";

/// The one path, and name, schema and description of each parameter in it.
fn path_of(template: &str) -> (String, Vec<(String, Value)>) {
    let document = document(&call(&format!("post: {template:?} body: \"*\""), REQUEST));
    let (path, item) = document["paths"].as_object().unwrap().iter().next().unwrap();
    let none = Vec::new();
    let parameters = item["post"]["parameters"].as_array().unwrap_or(&none);
    let told = parameters.iter().map(|parameter| {
        assert_eq!(
            (&parameter["in"], &parameter["required"]),
            (&json!("path"), &json!(true))
        );
        (
            parameter["name"].as_str().unwrap().to_owned(),
            parameter["schema"].clone(),
        )
    });
    (path.clone(), told.collect())
}

#[test]
fn wildcards_become_parameters() {
    let text = || json!({ "type": "string", "minLength": 1 });
    let check = |template: &str, path: &str, parameters: &[(&str, Value)]| {
        let (found, told) = path_of(template);
        assert_eq!(found, path, "{template}");
        let expected: Vec<(String, Value)> = parameters
            .iter()
            .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
            .collect();
        assert_eq!(told, expected, "{template}");
    };
    check("/v1/things", "/v1/things", &[]);
    check("/", "/", &[]);
    check("/v1/{id}", "/v1/{id}", &[("id", text())]);
    check(
        "/v1/{other_id}:stop",
        "/v1/{otherId}:stop",
        &[("otherId", text())],
    );
    check(
        "/v1/{id}/x/{other_id}",
        "/v1/{id}/x/{otherId}",
        &[("id", text()), ("otherId", text())],
    );
    check("/v1/{inner.name}", "/v1/{inner.name}", &[("inner.name", text())]);
    let number = json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$" });
    check(
        "/v1/{inner.number}",
        "/v1/{inner.number}",
        &[("inner.number", number)],
    );
    check("/v1/{id=shelves/*}", "/v1/shelves/{id}", &[("id", text())]);
    check(
        "/v1/{id=shelves/*/books/*}",
        "/v1/shelves/{id1}/books/{id2}",
        &[("id1", text()), ("id2", text())],
    );
    check(
        "/v1/{id=files/**}",
        "/v1/files/{id}",
        &[("id", json!({ "type": "string" }))],
    );
    check(
        "/v1/*/{id}",
        "/v1/{segment1}/{id}",
        &[("segment1", text()), ("id", text())],
    );
    check("/v1/{id=fixed}", "/v1/fixed", &[]);
}

#[test]
fn a_path_names_single_values_that_exist() {
    let check = |template: &str, expected: &str| {
        let said = refusal(&call(&format!("get: {template:?}"), REQUEST)).to_string();
        assert!(
            said.starts_with("t.Svc.Call") && said.contains(expected),
            "{template}: {said}"
        );
    };
    check("/v1/{nothing}", "t.Request has no field nothing");
    check("/v1/{inner.nothing}", "t.Request has no field inner.nothing");
    check("/v1/{id.name}", "t.Request has no field id.name");
    check("/v1/{many}", "many cannot stand in a path");
    check("/v1/{inner}", "inner cannot stand in a path");
    check("/v1/{id}/{id}", "id is bound twice");
    check("/v1/{id", "a brace is not closed");
}
