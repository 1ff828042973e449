//! Templates and captures.

use serde_json::{Value, json};
use tminus_transcode::{Options, RequestError};

use crate::support::{call, pool, to_json, transcoder};

/// Where the rule of a row is written.
const GRAMMAR: &str = "google/api/http.proto, Path template syntax";
const ENCODING: &str = "google/api/http.proto, HttpRule: expansion of variables";
const ALTERNATIVES: &str = "google/api/http.proto, additional_bindings";
const CUSTOM: &str = "google/api/http.proto, CustomHttpPattern";
const VERBS: &str = "grpc-httpjson-transcoding, path_matcher_test: custom verbs";
const ORDER: &str = "vanguard-go, route trie: literals before variables";
const NESTED: &str = "google/api/http.proto, field paths in templates";
const HEAD: &str = "RFC 9110, section 9.3.2";

#[test]
fn a_path_leads_to_its_method_with_what_it_captures() {
    let rows: &[(&str, &str, &str, &str, Value)] = &[
        (GRAMMAR, "GET", "/v1/items", "List", json!({})),
        (GRAMMAR, "GET", "/v1/items/a", "Get", json!({"name": "a"})),
        (
            GRAMMAR,
            "GET",
            "/v1/files/a/b/c",
            "Files",
            json!({"name": "a/b/c"}),
        ),
        (GRAMMAR, "GET", "/v1/files/a", "Files", json!({"name": "a"})),
        // `**` matches nothing, too.
        (GRAMMAR, "GET", "/v1/files", "Files", json!({})),
        (GRAMMAR, "GET", "/v1/files/a/", "Files", json!({"name": "a/"})),
        (
            GRAMMAR,
            "GET",
            "/v1/shelves/s/books/b",
            "Book",
            json!({"parent": "shelves/s", "name": "b"}),
        ),
        (GRAMMAR, "GET", "/v1/loose/a/x", "Loose", json!({})),
        (GRAMMAR, "GET", "/v1/loose/a/x/b/c", "Loose", json!({})),
        (
            NESTED,
            "GET",
            "/v1/nested/n/7",
            "Nested",
            json!({"child": {"name": "n", "child": {"count": 7}}}),
        ),
        // One segment is decoded whole, and once.
        (
            ENCODING,
            "GET",
            "/v1/items/a%20b%2Fc%3Fd",
            "Get",
            json!({"name": "a b/c?d"}),
        ),
        (
            ENCODING,
            "GET",
            "/v1/items/%E6%98%9F",
            "Get",
            json!({"name": "星"}),
        ),
        (ENCODING, "GET", "/v1/items/%252F", "Get", json!({"name": "%2F"})),
        (ENCODING, "GET", "/v1/items/a+b", "Get", json!({"name": "a+b"})),
        // What may span several keeps what is reserved.
        (
            ENCODING,
            "GET",
            "/v1/files/a%2Fb%20c/%3A%e6%98%9f",
            "Files",
            json!({"name": "a%2Fb c/%3A星"}),
        ),
        (
            ENCODING,
            "GET",
            "/v1/shelves/s%2Ft/books/b%2Fc",
            "Book",
            json!({"parent": "shelves/s%2Ft", "name": "b/c"}),
        ),
        (
            VERBS,
            "POST",
            "/v1/items/a:archive",
            "Archive",
            json!({"name": "a"}),
        ),
        (
            VERBS,
            "POST",
            "/v1/trees/a/b:prune",
            "Prune",
            json!({"name": "trees/a/b"}),
        ),
        (
            VERBS,
            "POST",
            "/v1/trees:prune",
            "Prune",
            json!({"name": "trees"}),
        ),
        // A colon that is no verb's belongs to the segment, and so does one that is escaped.
        (VERBS, "GET", "/v1/items/a:b", "Get", json!({"name": "a:b"})),
        (
            VERBS,
            "GET",
            "/v1/items/a:archive",
            "Get",
            json!({"name": "a:archive"}),
        ),
        (
            VERBS,
            "GET",
            "/v1/items/a%3Aarchive",
            "Get",
            json!({"name": "a:archive"}),
        ),
        (
            VERBS,
            "POST",
            "/v1/items/a:b:archive",
            "Archive",
            json!({"name": "a:b"}),
        ),
        (ORDER, "GET", "/v1/pairs/me/profile", "Mine", json!({})),
        (
            ORDER,
            "GET",
            "/v1/pairs/me/other",
            "Pair",
            json!({"parent": "me", "name": "other"}),
        ),
        (
            ORDER,
            "GET",
            "/v1/pairs/you/profile",
            "Pair",
            json!({"parent": "you", "name": "profile"}),
        ),
        (
            ALTERNATIVES,
            "GET",
            "/v1alpha/items/a",
            "Get",
            json!({"name": "a"}),
        ),
        (
            ALTERNATIVES,
            "POST",
            "/v1alpha/items/a:get",
            "Get",
            json!({"name": "a"}),
        ),
        (CUSTOM, "PUT", "/v1/items/a", "Replace", json!({"name": "a"})),
        (CUSTOM, "DELETE", "/v1/items/a", "Remove", json!({"name": "a"})),
        (CUSTOM, "PATCH", "/v1/items/a", "Update", json!({"name": "a"})),
        (CUSTOM, "PURGE", "/v1/items/a", "Purge", json!({"name": "a"})),
        (CUSTOM, "LINK", "/v1/anything", "Anything", json!({})),
        (CUSTOM, "GET", "/v1/anything", "Anything", json!({})),
        (HEAD, "HEAD", "/v1/items/a", "Get", json!({"name": "a"})),
        (
            NESTED,
            "GET",
            "/v1/typed/-5/GREEN/2026-01-31T12:00:00.5Z/true",
            "Typed",
            json!({"count": -5, "color": "GREEN", "at": "2026-01-31T12:00:00.500Z", "flag": true}),
        ),
        (
            NESTED,
            "GET",
            "/v1/typed/1/1/1970-01-01T00:00:00Z/false",
            "Typed",
            json!({"count": 1, "color": "RED", "at": "1970-01-01T00:00:00Z"}),
        ),
    ];
    let (transcoder, pool) = (transcoder(Options::default()), pool());
    for (source, method, path, name, expected) in rows {
        let got = call(&transcoder, method, path, "").map_err(|error| error.to_string());
        let got = got.map(|(name, bytes)| (name, to_json(&pool, "cases.v1.Item", &bytes)));
        assert_eq!(
            got,
            Ok(((*name).to_owned(), expected.clone())),
            "{method} {path} ({source})"
        );
    }
}

#[test]
fn what_no_template_means_is_not_found() {
    let paths = [
        "/",
        "",
        "*",
        "/v1",
        "/v2/items",
        "/v1/items/",
        "/v1/items/a/",
        "/v1//items",
        "/v1/items/a/b",
        "//v1/items",
        // An empty segment is no `*`; a literal is compared as it is written.
        "/v1/pairs//x",
        "/v1/pairs/x/",
        "/v1/%69tems",
        "/V1/items",
        "/v1/shelves/a/b/books/c",
        "/v1/shelves/books/c",
        "/v1/hidden",
        "/cases.v1.Cases/Hidden",
    ];
    let transcoder = transcoder(Options::default());
    for path in paths {
        let got = call(&transcoder, "GET", path, "");
        assert!(
            matches!(got, Err(RequestError::NotFound { .. })),
            "{path}: {got:?}"
        );
    }
}

#[test]
fn a_known_path_says_which_methods_it_has() {
    let rows = [
        ("PURGE", "/v1/items", "GET, POST"),
        ("POST", "/v1/items/a", "DELETE, GET, PATCH, PURGE, PUT"),
        ("DELETE", "/v1/items/a:archive", "never"),
        ("GET", "/v1/trees/a:prune", "POST"),
        // Names of methods are case-sensitive (RFC 9110, section 9.1).
        ("get", "/v1/watch", "GET"),
    ];
    let transcoder = transcoder(Options::default());
    for (method, path, expected) in rows {
        match call(&transcoder, method, path, "") {
            Err(RequestError::MethodNotAllowed { allow, .. }) => {
                assert_eq!(allow, expected, "{method} {path}");
            }
            // Without the verb, it is an item whose name has a colon.
            got => assert!(got.is_ok() && expected == "never", "{method} {path}: {got:?}"),
        }
    }
}

#[test]
fn a_path_that_cannot_be_decoded_is_refused_with_the_fields_name() {
    let rows = [
        ("/v1/items/%FF", "name", "it is not UTF-8 once decoded"),
        ("/v1/items/%C0%AF", "name", "it is not UTF-8 once decoded"),
        (
            "/v1/items/%",
            "name",
            "a '%' is not followed by two hexadecimal digits",
        ),
        (
            "/v1/items/%4",
            "name",
            "a '%' is not followed by two hexadecimal digits",
        ),
        (
            "/v1/items/%zz",
            "name",
            "a '%' is not followed by two hexadecimal digits",
        ),
        ("/v1/files/a/%E6%98", "name", "it is not UTF-8 once decoded"),
        (
            "/v1/typed/x/RED/1970-01-01T00:00:00Z/true",
            "count",
            "expected a whole number of 32 bits, found \"x\"",
        ),
        (
            "/v1/typed/1/PINK/1970-01-01T00:00:00Z/true",
            "color",
            "expected a value of cases.v1.Color, found \"PINK\"",
        ),
        (
            "/v1/typed/1/RED/yesterday/true",
            "at",
            "expected a time as in RFC 3339, e.g. \"2026-01-31T12:00:00Z\", found \"yesterday\"",
        ),
        (
            "/v1/typed/1/RED/1970-01-01T00:00:00Z/yes",
            "flag",
            "expected true or false, found \"yes\"",
        ),
        (
            "/v1/nested/a/99999999999",
            "child.child.count",
            "expected a whole number of 32 bits, found \"99999999999\"",
        ),
    ];
    let transcoder = transcoder(Options::default());
    for (path, field, reason) in rows {
        let expected = RequestError::Path {
            field: field.into(),
            reason: reason.into(),
        };
        assert_eq!(call(&transcoder, "GET", path, ""), Err(expected), "{path}");
    }
}
