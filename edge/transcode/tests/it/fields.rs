//! What goes where: path, query, body, and the answer's body.

use serde_json::{Value, json};
use tminus_transcode::{Options, RequestError, Unknown};

use crate::support::{call, pool, to_bytes, to_json, transcoder};

const QUERY: &str = "google/api/http.proto, rules for HTTP mapping, 2 (c) and 3";
const QUERY_TYPES: &str =
    "google/api/http.proto: repeated fields as repeated parameters; grpc-gateway, runtime/query_test.go";
const BODY: &str = "google/api/http.proto, HttpRule.body";
const PATH_WINS: &str = "google/api/http.proto, rules for HTTP mapping, 2 (a) before (b)";
const HTTP_BODY: &str = "google/api/httpbody.proto";

#[test]
fn path_query_and_body_fill_one_message() {
    let rows: &[(&str, &str, &str, &str, Value)] = &[
        (
            QUERY,
            "GET",
            "/v1/items?name=a&count=3",
            "",
            json!({"name": "a", "count": 3}),
        ),
        (QUERY, "GET", "/v1/items?", "", json!({})),
        (QUERY, "GET", "/v1/items?&&name=a&", "", json!({"name": "a"})),
        (
            QUERY,
            "GET",
            "/v1/items/x?count=3",
            "",
            json!({"name": "x", "count": 3}),
        ),
        // A field of the path is no parameter.
        (QUERY, "GET", "/v1/items/x?name=y", "", json!({"name": "x"})),
        (
            QUERY,
            "GET",
            "/v1/items?child.name=a&child.child.count=2",
            "",
            json!({"child": {"name": "a", "child": {"count": 2}}}),
        ),
        (
            QUERY,
            "GET",
            "/v1/nested/a/1?child.count=5",
            "",
            json!({"child": {"name": "a", "count": 5, "child": {"count": 1}}}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?tags=a&count=1&tags=b&tags=",
            "",
            json!({"tags": ["a", "b", ""], "count": 1}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?numbers=1&numbers=-2",
            "",
            json!({"numbers": [1, -2]}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?unpacked=1&unpacked=2",
            "",
            json!({"unpacked": ["1", "2"]}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?color=GREEN&colors=1&colors=BELOW",
            "",
            json!({"color": "GREEN", "colors": ["RED", "BELOW"]}),
        ),
        (QUERY_TYPES, "GET", "/v1/items?color=77", "", json!({"color": 77})),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?displayName=a",
            "",
            json!({"displayName": "a"}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?display_name=a",
            "",
            json!({"displayName": "a"}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?name=a+b%2Bc%26d%3D%E6%98%9F",
            "",
            json!({"name": "a b+c&d=星"}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?name=a=b",
            "",
            json!({"name": "a=b"}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?child%2Ename=a",
            "",
            json!({"child": {"name": "a"}}),
        ),
        (QUERY_TYPES, "GET", "/v1/items?name", "", json!({})),
        (QUERY_TYPES, "GET", "/v1/items?maybe=0", "", json!({"maybe": 0})),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?big=9223372036854775807&u64=18446744073709551615",
            "",
            json!({"big": "9223372036854775807", "u64": "18446744073709551615"}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?flag=true&ratio=1.5&small=-2e3",
            "",
            json!({"flag": true, "ratio": 1.5, "small": -2000.0}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?data=aGk&boxedData=_-8%3D",
            "",
            json!({"data": "aGk=", "boxedData": "/+8="}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?at=2026-01-31T12%3A00%3A00Z&ttl=1.5s&mask=displayName,child.name",
            "",
            json!({"at": "2026-01-31T12:00:00Z", "ttl": "1.500s", "mask": "displayName,child.name"}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?boxed=0&boxedFlag=false&boxedText=&boxedRatio=-1.5",
            "",
            json!({"boxed": "0", "boxedFlag": false, "boxedText": "", "boxedRatio": -1.5}),
        ),
        (
            QUERY_TYPES,
            "GET",
            "/v1/items?times=1970-01-01T00:00:00Z&times=1970-01-01T00:00:01Z",
            "",
            json!({"times": ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"]}),
        ),
        // No field of this name: passed over, unless asked otherwise.
        (
            QUERY,
            "GET",
            "/v1/items?nothing_here=1&count=2&count.x=1&$alt=json",
            "",
            json!({"count": 2}),
        ),
        (
            BODY,
            "POST",
            "/v1/items",
            r#"{"name":"a","child":{"count":1}}"#,
            json!({"name": "a", "child": {"count": 1}}),
        ),
        (BODY, "POST", "/v1/items", "", json!({})),
        (BODY, "POST", "/v1/items", " {} ", json!({})),
        // With `*` there is no query.
        (
            BODY,
            "POST",
            "/v1/items?count=3",
            r#"{"name":"a"}"#,
            json!({"name": "a"}),
        ),
        (
            BODY,
            "PATCH",
            "/v1/items/x?mask=name",
            r#"{"name":"a"}"#,
            json!({"name": "x", "child": {"name": "a"}, "mask": "name"}),
        ),
        (
            BODY,
            "PATCH",
            "/v1/items/x?child.count=3",
            r#"{"name":"a"}"#,
            json!({"name": "x", "child": {"name": "a"}}),
        ),
        (BODY, "PATCH", "/v1/items/x", "", json!({"name": "x"})),
        (BODY, "PATCH", "/v1/items/x", "null", json!({"name": "x"})),
        (
            BODY,
            "PUT",
            "/v1/items/x/children",
            r#"[{"name":"a"},{"count":2}]"#,
            json!({"name": "x", "children": [{"name": "a"}, {"count": 2}]}),
        ),
        (
            BODY,
            "PUT",
            "/v1/items/x/count",
            "7",
            json!({"name": "x", "count": 7}),
        ),
        // No body in the rule: what comes as one is not read.
        (BODY, "DELETE", "/v1/items/x", "not json", json!({"name": "x"})),
        (
            PATH_WINS,
            "PUT",
            "/v1/items/x",
            r#"{"name":"y","count":1}"#,
            json!({"name": "x", "count": 1}),
        ),
        (PATH_WINS, "PUT", "/v1/items/", "", json!(null)),
    ];
    let (transcoder, pool) = (transcoder(Options::default()), pool());
    for (source, method, target, body, expected) in rows {
        let got = match call(&transcoder, method, target, body) {
            Ok((_, bytes)) => to_json(&pool, "cases.v1.Item", &bytes),
            Err(RequestError::NotFound { .. }) => Value::Null,
            Err(error) => panic!("{method} {target}: {error} ({source})"),
        };
        assert_eq!(got, *expected, "{method} {target} {body} ({source})");
    }
}

#[test]
fn a_parameter_that_does_not_fit_is_named() {
    let rows = [
        (
            "count=x",
            "count",
            "expected a whole number of 32 bits, found \"x\"",
        ),
        (
            "count=",
            "count",
            "expected a whole number of 32 bits, found \"\"",
        ),
        (
            "count=+1",
            "count",
            "expected a whole number of 32 bits, found \" 1\"",
        ),
        (
            "count=1.5",
            "count",
            "expected a whole number of 32 bits, found \"1.5\"",
        ),
        (
            "count=2147483648",
            "count",
            "expected a whole number of 32 bits, found \"2147483648\"",
        ),
        (
            "u32=-1",
            "u32",
            "expected a whole number of 32 bits, not negative, found \"-1\"",
        ),
        ("ratio=inf", "ratio", "expected a number, found \"inf\""),
        ("ratio=1e999", "ratio", "expected a number, found \"1e999\""),
        ("small=1e39", "small", "expected a number, found \"1e39\""),
        (
            "color=PINK",
            "color",
            "expected a value of cases.v1.Color, found \"PINK\"",
        ),
        (
            "color=green",
            "color",
            "expected a value of cases.v1.Color, found \"green\"",
        ),
        ("flag=1", "flag", "expected true or false, found \"1\""),
        ("data=%21", "data", "expected a string in base64, found \"!\""),
        (
            "ttl=1",
            "ttl",
            "expected a duration in seconds, e.g. \"1.5s\", found \"1\"",
        ),
        (
            "mask=a_b",
            "mask",
            "expected field paths joined by commas, e.g. \"displayName,rating\", found \"a_b\"",
        ),
        ("count=1&count=2", "count", "it is given twice"),
        ("child.name=a&child.name=b", "child.name", "it is given twice"),
        (
            "left=a&right=b",
            "right",
            "it and another parameter exclude each other",
        ),
        ("child=a", "child", "\"child\" is a message; name a field of it"),
        ("meta=a", "meta", "\"meta\" is a message; name a field of it"),
        ("labels=a", "labels", "\"labels\" is a map"),
        (
            "children.name=a",
            "children.name",
            "\"children\" is a list of messages",
        ),
        ("name=%FF", "name", "it is not UTF-8 once decoded"),
        (
            "name=%4",
            "name",
            "a '%' is not followed by two hexadecimal digits",
        ),
        ("na%FFme=a", "na%FFme", "it is not UTF-8 once decoded"),
    ];
    let transcoder = transcoder(Options::default());
    for (query, name, reason) in rows {
        let expected = RequestError::Query {
            name: name.into(),
            reason: reason.into(),
        };
        let got = call(&transcoder, "GET", &format!("/v1/items?{query}"), "");
        assert_eq!(got, Err(expected), "{query}");
    }
    let many = "tags=a&".repeat(1_001);
    let got = call(&transcoder, "GET", &format!("/v1/items?{many}"), "").unwrap_err();
    assert!(got.to_string().contains("more than 1000 parameters"), "{got}");
    let deep = format!("/v1/items?{}name=a", "child.".repeat(200));
    let got = call(&transcoder, "GET", &deep, "").unwrap_err();
    assert!(got.to_string().contains("it lies too deep"), "{got}");
}

#[test]
fn unknown_parameters_and_fields_are_refused_by_name_when_asked() {
    let strict = transcoder(Options {
        unknown: Unknown::Reject,
        ..Options::default()
    });
    let rows = [
        (
            "GET",
            "/v1/items?absent=1",
            "",
            "absent in the query: cases.v1.Item has no field \"absent\"",
        ),
        (
            "GET",
            "/v1/items?child.absent=1",
            "",
            "child.absent in the query: cases.v1.Item has no field \"absent\"",
        ),
        (
            "GET",
            "/v1/items/x?name=y",
            "",
            "name in the query: the path holds this field",
        ),
        (
            "POST",
            "/v1/items?count=1",
            "{}",
            "count in the query: the body holds all fields",
        ),
        (
            "PATCH",
            "/v1/items/x?child.count=1",
            "{}",
            "child.count in the query: the body holds this field",
        ),
        (
            "POST",
            "/v1/items",
            r#"{"absent":1}"#,
            "the body is no Item: cases.v1.Item has no field \"absent\" at line 1 column 9",
        ),
        (
            "POST",
            "/v1/items",
            r#"{"child":{"absent":1}}"#,
            "the body is no Item: child: cases.v1.Item has no field \"absent\" at line 1 column 18",
        ),
    ];
    let lenient = transcoder(Options::default());
    for (method, target, body, expected) in rows {
        let got = call(&strict, method, target, body).unwrap_err().to_string();
        assert_eq!(got, expected, "{method} {target}");
        assert!(call(&lenient, method, target, body).is_ok(), "{method} {target}");
    }
}

#[test]
fn an_http_body_is_taken_and_given_as_it_is() {
    let (transcoder, pool) = (transcoder(Options::default()), pool());
    let route = transcoder.route(&http::Method::POST, "/v1/uploads/a").unwrap();
    let request = transcoder
        .request(&route, None, Some("text/plain"), b"\xff{")
        .unwrap();
    let expected = json!({"name": "a", "content": {"contentType": "text/plain", "data": "/3s="}});
    assert_eq!(to_json(&pool, "cases.v1.File", &request), expected, "{HTTP_BODY}");
    let payload = transcoder.response(&route, &request).unwrap();
    assert_eq!(
        (payload.content_type.as_bytes(), &*payload.bytes),
        (&b"text/plain"[..], &b"\xff{"[..])
    );

    let route = transcoder.route(&http::Method::POST, "/v1/echo").unwrap();
    let request = transcoder.request(&route, None, None, b"plain").unwrap();
    assert_eq!(
        to_json(&pool, "google.api.HttpBody", &request),
        json!({"data": "cGxhaW4="}),
        "{HTTP_BODY}"
    );
    let payload = transcoder.response(&route, &request).unwrap();
    assert_eq!(payload.content_type, "application/octet-stream", "{HTTP_BODY}");
}

#[test]
fn response_body_names_the_part_that_is_answered() {
    // google/api/http.proto, HttpRule.response_body.
    let rows = [
        (
            "/v1/items/a/tags",
            r#"{"tags":["x","y"],"name":"n"}"#,
            r#"["x","y"]"#,
        ),
        ("/v1/items/a/tags", r#"{"name":"n"}"#, "[]"),
        ("/v1/items/a/child", r#"{"child":{"count":3}}"#, r#"{"count":3}"#),
        ("/v1/items/a/child", "{}", "null"),
        ("/v1/items/a", r#"{"name":"n"}"#, r#"{"name":"n"}"#),
    ];
    let (transcoder, pool) = (transcoder(Options::default()), pool());
    for (path, message, expected) in rows {
        let route = transcoder.route(&http::Method::GET, path).unwrap();
        let payload = transcoder
            .response(&route, &to_bytes(&pool, "cases.v1.Item", message))
            .unwrap();
        assert_eq!(
            String::from_utf8(payload.bytes).unwrap(),
            expected,
            "{path} {message}"
        );
    }
}
