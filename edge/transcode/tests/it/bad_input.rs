//! What clients send that is wrong, and what they are told.

use tminus_transcode::{Options, RequestError};

use crate::support::{call, transcoder};

fn refused(body: &str) -> String {
    let transcoder = transcoder(Options {
        request_bytes_max: 32 << 20,
        ..Options::default()
    });
    match call(&transcoder, "POST", "/v1/items", body) {
        Err(RequestError::Body { message, reason }) => {
            assert_eq!(message, "Item");
            reason
        }
        other => panic!(
            "{}: {:?}",
            &body[..body.len().min(80)],
            other.map(|(name, _)| name)
        ),
    }
}

#[test]
fn json_that_does_not_fit_is_told_with_the_fields_path() {
    let rows = [
        // Wrong types.
        (
            r#"{"count":"x"}"#,
            "count: expected a whole number of 32 bits, found \"x\"",
        ),
        (
            r#"{"count":true}"#,
            "count: expected a whole number of 32 bits, found true",
        ),
        (
            r#"{"count":1.5}"#,
            "count: expected a whole number of 32 bits, found the number 1.5",
        ),
        (
            r#"{"count":2147483648}"#,
            "count: expected a whole number of 32 bits, found the number 2147483648",
        ),
        (
            r#"{"u32":-1}"#,
            "u32: expected a whole number of 32 bits, not negative, found the number -1",
        ),
        (
            r#"{"u64":18446744073709551616}"#,
            "u64: expected a whole number of 64 bits, not negative, found the number 18446744073709552000",
        ),
        (
            r#"{"big":"9223372036854775808"}"#,
            "big: expected a whole number of 64 bits, found \"9223372036854775808\"",
        ),
        (
            r#"{"count":" 1"}"#,
            "count: expected a whole number of 32 bits, found \" 1\"",
        ),
        (r#"{"name":1}"#, "name: expected a string, found the number 1"),
        (
            r#"{"name":["a"]}"#,
            "name: invalid type: sequence, expected a string",
        ),
        (r#"{"name":{}}"#, "name: invalid type: map, expected a string"),
        (
            r#"{"flag":"true"}"#,
            "flag: expected true or false, found \"true\"",
        ),
        (
            r#"{"flag":1}"#,
            "flag: expected true or false, found the number 1",
        ),
        (r#"{"ratio":"nan"}"#, "ratio: expected a number, found \"nan\""),
        (
            r#"{"small":1e39}"#,
            "small: expected a number, found the number 1",
        ),
        (
            r#"{"child":"x"}"#,
            "child: expected an object for cases.v1.Item, found \"x\"",
        ),
        (
            r#"{"child":[]}"#,
            "child: invalid type: sequence, expected an object for cases.v1.Item",
        ),
        (r#"{"tags":"a"}"#, "tags: expected a list, found one value"),
        (r#"{"tags":{"a":1}}"#, "tags: invalid type: map, expected a list"),
        (
            r#"{"labels":["a"]}"#,
            "labels: invalid type: sequence, expected an object",
        ),
        (
            r#"{"labels":{"a":1}}"#,
            "labels[\"a\"]: expected a string, found the number 1",
        ),
        (
            r#"{"byNumber":{"x":{}}}"#,
            "byNumber: key: expected a whole number of 32 bits, found \"x\"",
        ),
        (
            r#"{"by_flag":{"1":""}}"#,
            "byFlag: key: expected true or false, found \"1\"",
        ),
        // Where in lists and messages.
        (
            r#"{"tags":["a",2]}"#,
            "tags[1]: expected a string, found the number 2",
        ),
        (r#"{"tags":["a",null]}"#, "tags[1]: expected a string, found null"),
        (
            r#"{"children":[{},{"child":{"numbers":[1,"x"]}}]}"#,
            "children[1].child.numbers[1]: expected a whole number of 32 bits, found \"x\"",
        ),
        (
            r#"{"children":[null]}"#,
            "children[0]: expected an object for cases.v1.Item, found null",
        ),
        // Enums.
        (
            r#"{"color":"PINK"}"#,
            "color: expected a value of cases.v1.Color, found \"PINK\"",
        ),
        (
            r#"{"color":"1"}"#,
            "color: expected a value of cases.v1.Color, found \"1\"",
        ),
        (
            r#"{"colors":["RED","red"]}"#,
            "colors[1]: expected a value of cases.v1.Color, found \"red\"",
        ),
        (
            r#"{"color":1.5}"#,
            "color: expected a value of cases.v1.Color, found the number 1.5",
        ),
        // Bytes.
        (
            r#"{"data":"!"}"#,
            "data: expected a string in base64, found \"!\"",
        ),
        (
            r#"{"data":"a"}"#,
            "data: expected a string in base64, found \"a\"",
        ),
        (
            r#"{"data":"+_"}"#,
            "data: expected a string in base64, found \"+_\"",
        ),
        (
            r#"{"data":[1,2]}"#,
            "data: invalid type: sequence, expected a string in base64",
        ),
        // Well-known types.
        (
            r#"{"at":"2026-02-29T00:00:00Z"}"#,
            "at: expected a time as in RFC 3339",
        ),
        (
            r#"{"at":"2026-01-01T00:00:00"}"#,
            "at: expected a time as in RFC 3339",
        ),
        (
            r#"{"at":"2026-01-01t00:00:00z"}"#,
            "at: expected a time as in RFC 3339",
        ),
        (
            r#"{"at":"2026-01-01T24:00:00Z"}"#,
            "at: expected a time as in RFC 3339",
        ),
        (
            r#"{"at":"2026-01-01T00:00:60Z"}"#,
            "at: expected a time as in RFC 3339",
        ),
        (
            r#"{"at":"2026-01-01T00:00:00.Z"}"#,
            "at: expected a time as in RFC 3339",
        ),
        (
            r#"{"at":"2026-01-01T00:00:00.1234567890Z"}"#,
            "at: expected a time as in RFC 3339",
        ),
        (
            r#"{"at":"0000-12-31T23:59:59Z"}"#,
            "at: expected a time as in RFC 3339",
        ),
        (
            r#"{"at":"9999-12-31T23:59:59-00:01"}"#,
            "at: expected a time as in RFC 3339",
        ),
        (
            r#"{"at":"星026-01-01T00:00:00Z"}"#,
            "at: expected a time as in RFC 3339",
        ),
        (r#"{"at":1}"#, "at: expected a time as in RFC 3339"),
        (r#"{"at":{}}"#, "at: invalid type: map, expected a time"),
        (r#"{"ttl":"1"}"#, "ttl: expected a duration"),
        (r#"{"ttl":"s"}"#, "ttl: expected a duration"),
        (r#"{"ttl":"+1s"}"#, "ttl: expected a duration"),
        (r#"{"ttl":"1.s"}"#, "ttl: expected a duration"),
        (r#"{"ttl":"--1s"}"#, "ttl: expected a duration"),
        (r#"{"ttl":"315576000001s"}"#, "ttl: expected a duration"),
        (r#"{"ttl":"99999999999999999999s"}"#, "ttl: expected a duration"),
        (r#"{"mask":"a_b"}"#, "mask: expected field paths"),
        (
            r#"{"mask":["a"]}"#,
            "mask: invalid type: sequence, expected field paths",
        ),
        (
            r#"{"boxed":"x"}"#,
            "boxed: expected a whole number of 64 bits, found \"x\"",
        ),
        (
            r#"{"boxed":{"value":1}}"#,
            "boxed: invalid type: map, expected a whole number",
        ),
        (
            r#"{"meta":[]}"#,
            "meta: invalid type: sequence, expected an object for google.protobuf.Struct",
        ),
        (r#"{"list":{}}"#, "list: invalid type: map, expected a list"),
        (r#"{"any":{"name":"x"}}"#, "any: an Any needs a string \"@type\""),
        (r#"{"any":{"@type":1}}"#, "any: an Any needs a string \"@type\""),
        (
            r#"{"any":{"@type":"cases.v1.Item"}}"#,
            "any: the type \"cases.v1.Item\" is not known here",
        ),
        (
            r#"{"any":{"@type":"x/cases.v1.Nothing"}}"#,
            "any: the type \"x/cases.v1.Nothing\" is not known here",
        ),
        (
            r#"{"any":{"@type":"x/google.protobuf.Duration"}}"#,
            "any: \"x/google.protobuf.Duration\" needs a \"value\"",
        ),
        (
            r#"{"any":{"@type":"x/cases.v1.Item","count":"x"}}"#,
            "any.count: expected a whole number of 32 bits",
        ),
        // Twice.
        (r#"{"name":"a","name":"b"}"#, "\"name\" is given twice"),
        (
            r#"{"display_name":"a","displayName":"b"}"#,
            "\"displayName\" is given twice",
        ),
        (
            r#"{"child":{"count":1,"count":1}}"#,
            "child: \"count\" is given twice",
        ),
        (r#"{"labels":{"a":"1","a":"2"}}"#, "labels: \"a\" is given twice"),
        (
            r#"{"byNumber":{"1":{},"01":{}}}"#,
            "byNumber: \"01\" is given twice",
        ),
        (r#"{"meta":{"a":1,"a":2}}"#, "meta: \"a\" is given twice"),
        (
            r#"{"any":{"@type":"x/cases.v1.Item","child":{"name":"a","name":"b"}}}"#,
            "any: \"name\" is given twice",
        ),
        (
            r#"{"any":{"@type":"x/cases.v1.Item","@type":"x/cases.v1.Item"}}"#,
            "any: \"@type\" is given twice",
        ),
        (
            r#"{"left":"a","right":"b"}"#,
            "\"right\" and another field exclude each other",
        ),
        // No JSON, or not one.
        ("{", "EOF while parsing"),
        ("", ""),
        ("{}{}", "trailing characters"),
        ("{} x", "trailing characters"),
        (
            "[]",
            "invalid type: sequence, expected an object for cases.v1.Item",
        ),
        ("null", "expected an object for cases.v1.Item, found null"),
        ("\"x\"", "expected an object for cases.v1.Item, found \"x\""),
        ("{'name':'a'}", "key must be a string"),
        (r#"{"name":"a",}"#, "trailing comma"),
        (r#"{"count":01}"#, "invalid number"),
        (r#"{"count":NaN}"#, "expected"),
        (r#"{"name":"\ud800"}"#, "unexpected end of hex escape"),
        ("{\"name\":\"a\u{1}\"}", "control character"),
        ("\u{feff}{}", "expected value"),
    ];
    for (body, expected) in rows {
        if body.is_empty() {
            continue;
        }
        let got = refused(body);
        assert!(got.contains(expected), "{body}: {got}");
    }
    let transcoder = transcoder(Options::default());
    let route = transcoder.route(&http::Method::POST, "/v1/items").unwrap();
    let got = transcoder
        .request(&route, None, None, b"{\"name\":\"\xff\"}")
        .unwrap_err();
    assert!(got.to_string().contains("invalid unicode code point"), "{got}");
}

#[test]
fn a_bomb_of_depth_is_refused_wherever_it_lies() {
    let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + &close.repeat(depth);
    let rows = [
        nested("[", "]", 100_000),
        nested("{\"child\":", "}", 100_000),
        format!(
            "{{\"child\":{}}}",
            nested("{\"child\":", "}", 110).replace(":}", ":{}}")
        ),
        format!("{{\"meta\":{{\"a\":{}}}}}", nested("[", "]", 100_000)),
        format!("{{\"value\":{}}}", nested("[", "]", 120)),
        format!(
            "{{\"any\":{{\"@type\":\"x/cases.v1.Item\",\"x\":{}}}}}",
            nested("[", "]", 100_000)
        ),
        format!("{{\"name\":{}}}", nested("[", "]", 100_000)),
    ];
    for body in rows {
        let got = refused(&body);
        assert!(
            got.contains("recursion limit exceeded")
                || got.contains("deeper than 100")
                || got.contains("invalid type"),
            "{}: {got}",
            &body[..40]
        );
    }
    // In a field that nobody knows it is passed over without a stack.
    let transcoder = transcoder(Options::default());
    let body = format!("{{\"absent\":{},\"name\":\"a\"}}", nested("[", "]", 100_000));
    assert!(call(&transcoder, "POST", "/v1/items", &body).is_ok());
}

#[test]
fn a_number_of_ten_megabytes_is_refused() {
    let digits = "1".repeat(10 << 20);
    let rows = [
        (format!("{{\"count\":{digits}}}"), "number out of range"),
        (
            format!("{{\"big\":\"{digits}\"}}"),
            "big: expected a whole number of 64 bits, found \"1111111111111111111111111111111111111111111111111111111111111111…\"",
        ),
        (
            format!("{{\"ratio\":0.{digits}e999999999}}"),
            "number out of range",
        ),
        (format!("{{\"count\":1e{digits}}}"), "number out of range"),
    ];
    for (body, expected) in rows {
        let got = refused(&body);
        assert!(got.contains(expected) && got.len() < 300, "{got}");
    }
}

#[test]
fn bodies_have_a_size_and_a_type() {
    let transcoder = transcoder(Options {
        request_bytes_max: 20,
        ..Options::default()
    });
    let route = transcoder.route(&http::Method::POST, "/v1/items").unwrap();
    let request = |content_type, body: &[u8]| transcoder.request(&route, None, content_type, body);
    assert_eq!(
        request(None, &[b' '; 21]),
        Err(RequestError::TooLarge { bytes_max: 20 })
    );
    for accepted in [
        None,
        Some("application/json"),
        Some("Application/JSON; charset=utf-8"),
        Some("text/json"),
        Some("application/vnd.x+json"),
    ] {
        assert!(request(accepted, b"{}").is_ok(), "{accepted:?}");
    }
    for refused in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/jsonp",
        "",
        "json",
        "image/svg+json",
    ] {
        assert_eq!(
            request(Some(refused), b"{}"),
            Err(RequestError::ContentType {
                found: refused.into()
            })
        );
        // Without a body there is nothing to be of a type.
        assert!(request(Some(refused), b"").is_ok(), "{refused}");
    }
}

#[test]
fn a_method_that_takes_a_stream_is_refused() {
    let got = call(&transcoder(Options::default()), "POST", "/v1/gather", "{}").unwrap_err();
    assert_eq!(
        got,
        RequestError::ClientStreaming {
            method: "cases.v1.Cases.Gather".into()
        }
    );
    assert_eq!((got.codes().0, got.codes().1.as_u16()), (12, 501));
}
