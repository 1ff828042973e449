use serde_json::json;
use tminus_conformance::{FindingKind as F, Hints, Judge};

use crate::support::{answer, made, read, shop, valid};

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
const GOOD: &str = r#"{"id":"1","amount":2,"note":null,"kind":null,"parts":[{"id":"2","amount":1}],"labels":{"any":"text"}}"#;

/// The kinds and places of what is found in an answer to the valid request.
fn found(
    dialect: &str,
    operation: &str,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
) -> Vec<(F, String)> {
    let spec = read(&shop(dialect));
    let mut judge = Judge::new(&spec).unwrap();
    judge
        .judge(&valid(&spec, operation), &answer(status, headers, body))
        .into_iter()
        .map(|finding| (finding.kind, finding.pointer.unwrap_or_default()))
        .collect()
}

#[test]
fn each_departure_from_the_document_is_found_where_it_is() {
    let made = [JSON, ("location", "/orders/1")];
    for dialect in ["3.0.3", "3.1.0"] {
        let check =
            |operation: &str, status, headers: &[(&str, &str)], body: &str, expected: &[(F, &str)]| {
                let found = found(dialect, operation, status, headers, body);
                let found: Vec<(F, &str)> = found.iter().map(|(kind, at)| (*kind, at.as_str())).collect();
                assert_eq!(found, expected, "{dialect} {operation} {status} {body}");
            };
        check("getOrder", 200, &[JSON], GOOD, &[]);
        check("makeOrder", 201, &made, GOOD, &[]);
        check("DELETE /orders/{orderId}", 204, &[], "", &[]);
        check("getOrder", 202, &[JSON], GOOD, &[(F::UndeclaredStatus, "")]);
        check("getOrder", 500, &[JSON], "{}", &[(F::ServerError, "")]);
        check(
            "getOrder",
            404,
            &[JSON],
            r#"{"code":"x"}"#,
            &[(F::ValidRefused, "")],
        );
        check("makeOrder", 201, &[JSON], GOOD, &[(F::MissingHeader, "")]);
        check(
            "getOrder",
            200,
            &[("content-type", "text/html")],
            "<p>",
            &[(F::UndeclaredMediaType, "")],
        );
        check("getOrder", 200, &[JSON], "{", &[(F::MalformedBody, "")]);
        check("getOrder", 200, &[], "", &[(F::MalformedBody, "")]);
        check(
            "DELETE /orders/{orderId}",
            204,
            &[JSON],
            "{}",
            &[(F::UndeclaredMediaType, "")],
        );
        check(
            "getOrder",
            200,
            &[JSON],
            r#"{"id":"1"}"#,
            &[(F::SchemaViolation, "")],
        );
        check(
            "getOrder",
            200,
            &[JSON],
            r#"{"id":1,"amount":2}"#,
            &[(F::SchemaViolation, "/id")],
        );
        check(
            "getOrder",
            200,
            &[JSON],
            r#"{"id":"1","amount":0}"#,
            &[(F::SchemaViolation, "/amount")],
        );
        check(
            "getOrder",
            200,
            &[JSON],
            r#"{"id":"1","amount":2,"labels":{"a":1}}"#,
            &[(F::SchemaViolation, "/labels/a")],
        );
        check(
            "getOrder",
            200,
            &[JSON],
            r#"{"id":"1","amount":2,"new/field":1}"#,
            &[(F::UndeclaredField, "/new~1field")],
        );
        let deep = r#"{"id":"1","amount":2,"parts":[{"id":"2","amount":1,"more":{}}]}"#;
        check(
            "getOrder",
            200,
            &[JSON],
            deep,
            &[(F::UndeclaredField, "/parts/0/more")],
        );
        // An integer may be written with a point (JSON Schema, section 6.1.1 of validation).
        check("getOrder", 200, &[JSON], r#"{"id":"1","amount":25.0}"#, &[]);
    }
}

#[test]
fn fields_of_every_part_of_a_composition_are_declared() {
    let mut document = shop("3.1.0");
    document["components"]["schemas"]["Order"] = json!({
        "allOf": [{ "properties": { "a": { "type": "integer" } } }, { "oneOf": [{ "properties": { "b": {} } }, { "properties": { "c": {} }, "required": ["c"] }] }],
    });
    let spec = read(&document);
    let mut judge = Judge::new(&spec).unwrap();
    let case = &valid(&spec, "getOrder");
    assert_eq!(judge.judge(case, &answer(200, &[JSON], r#"{"a":1,"b":2}"#)), []);
    let found = judge.judge(case, &answer(200, &[JSON], r#"{"a":1,"b":2,"d":3}"#));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].kind, found[0].pointer.as_deref()),
        (F::UndeclaredField, Some("/d"))
    );
}

#[test]
fn what_should_be_refused_and_is_not_is_found() {
    let spec = read(&shop("3.1.0"));
    let hints = Hints {
        headers: vec![("authorization".to_owned(), "Bearer right".to_owned())],
        credentials: vec!["authorization".to_owned()],
        ..Hints::default()
    };
    let mut judge = Judge::new(&spec).unwrap();
    for case in made(&spec, "makeOrder", &hints).iter().skip(1) {
        let taken = judge.judge(case, &answer(201, &[JSON, ("location", "/")], GOOD));
        let kinds: Vec<F> = taken.iter().map(|finding| finding.kind).collect();
        // A service may take other media types than it declares.
        let expected: &[F] = if case.kind == tminus_conformance::CaseKind::OtherMediaType {
            &[]
        } else {
            &[F::NotRefused]
        };
        assert_eq!(kinds, expected, "{:?}", case.kind);
        assert_eq!(
            judge.judge(case, &answer(422, &[JSON], r#"{"code":"x"}"#)),
            [],
            "{:?}",
            case.kind
        );
    }
}

#[test]
fn what_is_declared_and_never_answered_is_listed() {
    let spec = read(&shop("3.1.0"));
    let mut judge = Judge::new(&spec).unwrap();
    judge.judge(&valid(&spec, "makeOrder"), &answer(409, &[JSON], "{}"));
    judge.judge(&valid(&spec, "getOrder"), &answer(200, &[JSON], GOOD));
    let never: Vec<String> = judge
        .never_seen()
        .iter()
        .map(|pair| format!("{} {}", pair.status, pair.operation))
        .collect();
    assert_eq!(
        never,
        ["201 makeOrder", "404 getOrder", "204 DELETE /orders/{orderId}"]
    );
    assert_eq!(judge.seen(), 2);
}

#[test]
fn a_schema_that_means_nothing_stops_the_check() {
    let mut document = shop("3.1.0");
    document["components"]["schemas"]["Order"]["properties"]["id"] = json!({ "type": "nonsense" });
    let said = Judge::new(&read(&document)).unwrap_err().to_string();
    assert!(said.contains("makeOrder, status 201"), "{said}");
}
