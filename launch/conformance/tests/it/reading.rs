use proptest::prelude::*;
use serde_json::json;
use tminus_conformance::{Spec, SpecError};

use crate::support::{read, shop};

#[test]
fn both_dialects_and_both_notations_are_read() {
    for dialect in ["3.0.3", "3.1.0"] {
        let spec = read(&shop(dialect));
        let ids: Vec<&str> = spec
            .operations
            .iter()
            .map(|operation| operation.id.as_str())
            .collect();
        assert_eq!(ids, ["makeOrder", "getOrder", "DELETE /orders/{orderId}"]);
        assert_eq!((spec.title.as_str(), spec.base_path.as_str()), ("Shop", "/api"));
        assert!(spec.operations[0].secured && !spec.operations[1].secured);
    }
    let yaml = "openapi: 3.1.0\ninfo: {title: T, version: '1'}\npaths:\n  /a:\n    get:\n      responses:\n        '200': {description: ok}\n";
    assert_eq!(Spec::read(yaml).unwrap().operations[0].id, "GET /a");
}

#[test]
fn what_cannot_be_checked_against_is_refused_with_its_place() {
    let with = |pointer: &str, value: serde_json::Value| {
        let mut document = shop("3.1.0");
        *document.pointer_mut(pointer).unwrap() = value;
        Spec::read(&document.to_string()).unwrap_err().to_string()
    };
    for (pointer, value, expected) in [
        ("/openapi", json!("2.0"), "/openapi: is `2.0`"),
        ("/paths", json!(null), "/paths: is missing"),
        (
            "/paths/~1orders/post/responses",
            json!({ "2000": {} }),
            "`2000` is no status",
        ),
        (
            "/paths/~1orders/post/responses/4XX",
            json!({ "$ref": "#/components/responses/None" }),
            "/components/responses/None: is referred to and does not exist",
        ),
        (
            "/paths/~1orders/post/responses/4XX",
            json!({ "$ref": "other.yaml#/x" }),
            "a reference out of the document",
        ),
        (
            "/paths/~1orders~1{orderId}/parameters/0/in",
            json!("body"),
            "has a parameter in `body`",
        ),
        (
            "/components/responses/Refused",
            json!({ "$ref": "#/components/responses/Refused" }),
            "in a circle",
        ),
    ] {
        let said = with(pointer, value);
        assert!(said.contains(expected), "{pointer}: {said}");
    }
    assert!(matches!(
        Spec::read("{\"openapi\": "),
        Err(SpecError::Unreadable { .. })
    ));
    assert!(matches!(
        Spec::read(&" ".repeat(33 << 20)),
        Err(SpecError::TooLarge { .. })
    ));
    // A hundred thousand brackets, and names that stand for each other.
    assert!(Spec::read(&format!("{{\"openapi\":{}", "[".repeat(100_000))).is_err());
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        bomb.push_str(&format!(
            "a{n}: &a{n} [{}]\n",
            vec![format!("*a{}", n - 1); 8].join(", ")
        ));
    }
    assert!(Spec::read(&bomb).is_err());
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(text in "\\PC{0,200}", at in 0usize..2000, with in "[{}\\[\\]\",:0-9a-z]{1,3}") {
        let _ = Spec::read(&text);
        let mut document = shop("3.0.3").to_string();
        let at = at.min(document.len());
        document.insert_str(at, &with);
        let _ = Spec::read(&document);
    }
}
