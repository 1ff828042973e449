//! Body, query, bindings and answers, by the rules in `google/api/http.proto`.

use serde_json::{Value, json};
use tminus_openapi::GenerateError;

use crate::contract::{call, document, document_in, refusal};

const REQUEST: &str = "message Request {
      // Which one.
      string id = 1;
      int32 page_size = 2;
      repeated Kind kinds = 3;
      Inner inner = 4;
      map<string, string> labels = 5;
      repeated Inner inners = 6;
      google.protobuf.Timestamp since = 7;
      google.protobuf.Struct anything = 8;
      google.protobuf.BoolValue maybe = 9;
      bytes token = 10 [deprecated = true];
    }
    message Inner { string name = 1; Inner again = 2; Deep deep = 3; }
    message Deep { bool flag = 1; }
    enum Kind { KIND_UNSPECIFIED = 0; GOOD = 1; }";

fn operation(rule: &str, messages: &str) -> Value {
    let document = document(&call(rule, messages));
    let item = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()
        .clone();
    item.as_object().unwrap().values().next().unwrap().clone()
}

fn names(operation: &Value, place: &str) -> Vec<String> {
    let none = Vec::new();
    let parameters = operation["parameters"].as_array().unwrap_or(&none);
    let those = parameters.iter().filter(|parameter| parameter["in"] == place);
    those
        .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn leaf_fields_that_nothing_has_taken_are_in_the_query() {
    let check = |rule: &str, expected: &[&str]| {
        assert_eq!(names(&operation(rule, REQUEST), "query"), expected, "{rule}");
    };
    let inner = ["inner.name", "inner.deep.flag"];
    let rest = ["since", "maybe", "token"];
    check(
        r#"get: "/v1/{id}""#,
        &[&["pageSize", "kinds"][..], &inner, &rest].concat(),
    );
    check(
        r#"get: "/v1/all""#,
        &[&["id", "pageSize", "kinds"][..], &inner, &rest].concat(),
    );
    check(
        r#"get: "/v1/{inner.name}""#,
        &[&["id", "pageSize", "kinds", "inner.deep.flag"][..], &rest].concat(),
    );
    check(
        r#"post: "/v1/{id}" body: "inner""#,
        &[&["pageSize", "kinds"][..], &rest].concat(),
    );
    check(r#"post: "/v1/{id}" body: "*""#, &[]);
}

#[test]
fn query_parameters_tell_type_comment_and_age() {
    let operation = operation(r#"get: "/v1/all""#, REQUEST);
    let parameter = |name: &str| {
        let all = operation["parameters"].as_array().unwrap();
        all.iter()
            .find(|parameter| parameter["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(
        parameter("id"),
        json!({ "name": "id", "in": "query", "description": "Which one.", "schema": { "type": "string" } })
    );
    assert_eq!(
        parameter("kinds")["schema"],
        json!({ "type": "array", "items": { "$ref": "#/components/schemas/t.Kind" } })
    );
    assert_eq!(parameter("token")["deprecated"], true);
}

#[test]
fn the_body_is_all_a_field_or_nothing() {
    let schema = |rule: &str| {
        let operation = operation(rule, REQUEST);
        operation["requestBody"]["content"]["application/json"]["schema"].clone()
    };
    assert_eq!(operation(r#"get: "/v1/all""#, REQUEST).get("requestBody"), None);
    assert_eq!(
        schema(r#"post: "/v1/all" body: "*""#),
        json!({ "$ref": "#/components/schemas/t.Request" })
    );
    assert_eq!(
        schema(r#"post: "/v1/all" body: "inner""#),
        json!({ "$ref": "#/components/schemas/t.Inner" })
    );
    assert_eq!(
        schema(r#"post: "/v1/all" body: "inners""#),
        json!({ "type": "array", "items": { "$ref": "#/components/schemas/t.Inner" } })
    );
    // What the path names is not asked for again.
    let rest = schema(r#"post: "/v1/{id}" body: "*""#);
    assert!(rest["properties"].get("id").is_none() && rest["properties"].get("pageSize").is_some());

    let said = refusal(&call(r#"post: "/v1/x" body: "nothing""#, REQUEST)).to_string();
    assert!(said.contains("no field nothing, which its body names"), "{said}");
    let said = refusal(&call(r#"post: "/v1/x" body: "inner.name""#, REQUEST)).to_string();
    assert!(
        said.contains("no field inner.name, which its body names"),
        "{said}"
    );
}

#[test]
fn a_body_is_required_when_a_field_of_it_is() {
    let required =
        |messages: &str, rule: &str| operation(rule, messages)["requestBody"].get("required").cloned();
    let must =
        "message Request { string id = 1 [(google.api.field_behavior) = REQUIRED]; string other = 2; }";
    assert_eq!(required(must, r#"post: "/v1/x" body: "*""#), Some(json!(true)));
    assert_eq!(required(must, r#"post: "/v1/{id}" body: "*""#), None);
    assert_eq!(required(REQUEST, r#"post: "/v1/x" body: "*""#), None);
}

#[test]
fn the_answer_is_the_message_or_a_field_of_it() {
    let messages = "message Request {} message Answer { repeated string names = 1; Answer more = 2; }";
    let schema = |rule: &str| {
        let operation = operation(rule, messages);
        operation["responses"]["200"]["content"]["application/json"]["schema"].clone()
    };
    assert_eq!(
        schema(r#"get: "/v1/x""#),
        json!({ "$ref": "#/components/schemas/t.Answer" })
    );
    assert_eq!(
        schema(r#"get: "/v1/x" response_body: "names""#),
        json!({ "type": "array", "items": { "type": "string" } })
    );
    let said = refusal(&call(r#"get: "/v1/x" response_body: "no""#, messages)).to_string();
    assert!(
        said.contains("t.Answer has no field no, which its response_body names"),
        "{said}"
    );
}

#[test]
fn streams_are_lines_or_a_list_and_raw_bodies_are_anything() {
    let document = document(
        r#"service Svc {
            rpc Watch(Request) returns (stream Answer) { option (google.api.http) = { get: "/v1/watch" }; }
            rpc Load(Request) returns (google.api.HttpBody) { option (google.api.http) = { get: "/v1/load" }; }
            rpc Save(google.api.HttpBody) returns (Answer) { option (google.api.http) = { post: "/v1/save" body: "*" }; }
        }
        message Request {} message Answer {}"#,
    );
    let answer = json!({ "$ref": "#/components/schemas/t.Answer" });
    assert_eq!(
        document["paths"]["/v1/watch"]["get"]["responses"]["200"]["content"],
        json!({
            "application/x-ndjson": { "schema": answer },
            "application/json": { "schema": { "type": "array", "items": answer } },
        })
    );
    let load = &document["paths"]["/v1/load"]["get"]["responses"]["200"]["content"];
    assert!(
        load.get("*/*").is_some() && load.get("application/json").is_none(),
        "{load}"
    );
    let save = &document["paths"]["/v1/save"]["post"]["requestBody"]["content"];
    assert!(save.get("*/*").is_some(), "{save}");
}

#[test]
fn each_binding_is_an_operation_of_its_own() {
    let document = document(&call(
        r#"get: "/v1/{id}" additional_bindings { post: "/v1alpha/{id}" body: "*" }
           additional_bindings { custom { kind: "HEAD" path: "/v1/{id}" } }"#,
        "message Request { string id = 1; }",
    ));
    let paths = &document["paths"];
    assert_eq!(paths["/v1/{id}"]["get"]["operationId"], "Svc_Call");
    assert_eq!(paths["/v1alpha/{id}"]["post"]["operationId"], "Svc_Call_2");
    assert_eq!(paths["/v1/{id}"]["head"]["operationId"], "Svc_Call_3");
}

#[test]
fn paths_that_differ_in_names_alone_are_one() {
    let document = document(
        r#"service Svc {
            rpc Get(Request) returns (Request) { option (google.api.http) = { get: "/v1/{id}/x" }; }
            rpc Remove(Other) returns (Request) { option (google.api.http) = { delete: "/v1/{name}/x" }; }
        }
        message Request { string id = 1; } message Other { string name = 1; }"#,
    );
    assert_eq!(document["paths"].as_object().unwrap().len(), 1);
    let item = &document["paths"]["/v1/{id}/x"];
    assert_eq!(names(&item["get"], "path"), ["id"]);
    assert_eq!(names(&item["delete"], "path"), ["id"]);
    assert!(names(&item["delete"], "query").is_empty());

    let both = r#"service Svc {
            rpc Get(Request) returns (Request) { option (google.api.http) = { get: "/v1/{id}/x" }; }
            rpc Take(Other) returns (Request) { option (google.api.http) = { get: "/v1/{name}/x" }; }
        }
        message Request { string id = 1; } message Other { string name = 1; }"#;
    let said = refusal(both).to_string();
    assert_eq!(
        said,
        "get /v1/{id}/x belongs to t.Svc.Get and to t.Svc.Take; one of them needs another path"
    );
}

#[test]
fn an_annotation_that_cannot_be_kept_is_refused() {
    let check = |rule: &str, matches: fn(&GenerateError) -> bool| {
        let error = refusal(&call(rule, "message Request {}"));
        assert!(matches(&error), "{rule}: {error}");
    };
    check(r#"body: "*""#, |error| {
        matches!(error, GenerateError::NoPath { .. })
    });
    check(
        r#"custom { kind: "*" path: "/v1/x" }"#,
        |error| matches!(error, GenerateError::UnknownVerb { kind, .. } if kind == "*"),
    );
    check(
        r#"get: "/a" additional_bindings { get: "/b" additional_bindings { get: "/c" } }"#,
        |error| matches!(error, GenerateError::NestedBindings { .. }),
    );
}

#[test]
fn a_query_is_bounded_however_wide_its_messages_are() {
    // Ten messages of ten messages, and so on: ten to the power of eight ways down.
    let mut messages = String::from("message Request { M0 first = 1; }\n");
    for level in 0..8 {
        let fields: Vec<String> = (1..=10)
            .map(|number| format!("M{} f{number} = {number};", level + 1))
            .collect();
        messages.push_str(&format!("message M{level} {{ {} }}\n", fields.join(" ")));
    }
    messages.push_str("message M8 { string leaf = 1; }");
    let error = refusal(&call(r#"get: "/v1/x""#, &messages));
    assert!(
        matches!(error, GenerateError::TooManyParameters { .. }),
        "{error}"
    );
}

#[test]
fn what_is_not_annotated_is_left_out() {
    let document = document_in(
        tminus_openapi::Dialect::V3_0,
        "service Svc { rpc Call(Request) returns (Request); } message Request {}",
    );
    assert_eq!(document["paths"], json!({}));
    assert_eq!((document.get("tags"), document.get("components")), (None, None));
}
