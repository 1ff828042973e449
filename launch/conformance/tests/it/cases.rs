use std::collections::BTreeMap;

use serde_json::{Value, json};
use tminus_conformance::{CaseKind, Hints};

use crate::support::{made, read, shop, valid};

#[test]
fn the_valid_request_is_what_the_schemas_describe() {
    for dialect in ["3.0.3", "3.1.0"] {
        let spec = read(&shop(dialect));
        let get = valid(&spec, "getOrder").request;
        assert_eq!(
            (get.method.as_str(), get.target.as_str()),
            ("GET", "/api/orders/7?fields=all%20one")
        );
        let post = valid(&spec, "makeOrder").request;
        assert_eq!(
            post.headers,
            [("content-type".to_owned(), "application/json".to_owned())]
        );
        let body: Value = serde_json::from_str(&post.body.unwrap()).unwrap();
        assert_eq!(body, json!({ "id": "example", "amount": 1 }));
    }
}

#[test]
fn examples_and_given_values_come_before_made_ones() {
    let mut document = shop("3.1.0");
    document["paths"]["/orders/{orderId}"]["parameters"][0]["example"] = json!(40);
    document["paths"]["/orders"]["post"]["requestBody"]["content"]["application/json"]["example"] =
        json!({ "id": "shown", "amount": 3 });
    let spec = read(&document);
    assert_eq!(
        valid(&spec, "getOrder").request.target,
        "/api/orders/40?fields=all%20one"
    );
    let hints = Hints {
        values: BTreeMap::from([
            ("getOrder.orderId".to_owned(), json!("a/b")),
            ("id".to_owned(), json!("given")),
        ]),
        ..Hints::default()
    };
    assert_eq!(
        made(&spec, "getOrder", &hints)[0].request.target,
        "/api/orders/a%2Fb?fields=all%20one"
    );
    assert_eq!(
        made(&spec, "DELETE /orders/{orderId}", &hints)[0].request.target,
        "/api/orders/40"
    );
    let body: Value =
        serde_json::from_str(made(&spec, "makeOrder", &hints)[0].request.body.as_ref().unwrap()).unwrap();
    assert_eq!(body, json!({ "id": "given", "amount": 3 }));
}

#[test]
fn every_way_to_be_refused_is_tried() {
    let spec = read(&shop("3.1.0"));
    let hints = Hints {
        headers: vec![("Authorization".to_owned(), "Bearer right".to_owned())],
        credentials: vec!["authorization".to_owned()],
        ..Hints::default()
    };
    let kinds = |operation: &str| -> Vec<(CaseKind, String)> {
        made(&spec, operation, &hints)
            .into_iter()
            .map(|case| (case.kind, case.about.unwrap_or_default()))
            .collect()
    };
    let named = |kind, about: &str| (kind, about.to_owned());
    assert_eq!(
        kinds("makeOrder"),
        [
            named(CaseKind::Valid, ""),
            named(CaseKind::NoCredential, ""),
            named(CaseKind::BadCredential, ""),
            named(CaseKind::NoBody, ""),
            named(CaseKind::OtherMediaType, ""),
            named(CaseKind::MalformedBody, ""),
            named(CaseKind::MissingField, "id"),
            named(CaseKind::WrongField, "id"),
            named(CaseKind::MissingField, "amount"),
            named(CaseKind::WrongField, "amount"),
            named(CaseKind::WrongField, "note"),
            named(CaseKind::WrongField, "kind"),
            named(CaseKind::WrongField, "parts"),
            named(CaseKind::WrongField, "labels"),
        ]
    );
    assert_eq!(
        kinds("getOrder"),
        [
            named(CaseKind::Valid, ""),
            named(CaseKind::WrongParameter, "orderId"),
            named(CaseKind::MissingParameter, "fields"),
            named(CaseKind::WrongParameter, "fields"),
        ]
    );
    let missing = made(&spec, "getOrder", &hints).remove(2).request;
    assert_eq!(missing.target, "/api/orders/7");
    for case in made(&spec, "makeOrder", &hints) {
        let credential: Vec<&str> = case
            .request
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            .map(|(_, value)| value.as_str())
            .collect();
        let expected: &[&str] = match case.kind {
            CaseKind::NoCredential => &[],
            CaseKind::BadCredential => &["Bearer forged"],
            _ => &["Bearer right"],
        };
        assert_eq!(credential, expected, "{:?}", case.kind);
    }
}

#[test]
fn what_cannot_be_made_is_asked_for() {
    let mut document = shop("3.1.0");
    document["paths"]["/orders/{orderId}"]["parameters"][0]["schema"] =
        json!({ "type": "string", "pattern": "^[a-z]{9}$" });
    let spec = read(&document);
    let operation = spec.operation("getOrder").unwrap();
    let why = tminus_conformance::cases(&spec, operation, &Hints::default()).unwrap_err();
    assert!(why.contains("--value orderId="), "{why}");
}

#[test]
fn a_schema_that_holds_itself_ends() {
    let mut document = shop("3.1.0");
    document["components"]["schemas"]["Order"]["required"] = json!(["parts"]);
    document["components"]["schemas"]["Order"]["properties"]["parts"] =
        json!({ "$ref": "#/components/schemas/Order" });
    let spec = read(&document);
    let operation = spec.operation("makeOrder").unwrap();
    assert!(tminus_conformance::cases(&spec, operation, &Hints::default()).is_err());
}
