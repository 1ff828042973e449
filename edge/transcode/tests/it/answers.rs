//! One answer through the layer: headers, status, errors.

use base64::Engine as _;
use http::StatusCode;
use serde_json::{Value, json};
use tminus_transcode::{Options, http_status};

use crate::support::{Answer, ask, framed, get, gzip, item, messages, pool, request, to_bytes, to_json};

fn ended(trailers: &[(&'static str, &'static str)]) -> Answer {
    Answer {
        trailers: trailers.to_vec(),
        ..Answer::default()
    }
}

#[tokio::test]
async fn a_call_goes_out_as_grpc_and_comes_back_as_json() {
    let mut answer = messages(&[item(r#"{"name":"x","big":"5"}"#)]);
    answer.headers = vec![
        ("x-release", "v1"),
        ("grpc-encoding", "identity"),
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
    ];
    answer.trailers.push(("x-cost", "3"));
    let headers = [
        ("content-type", "application/json"),
        ("authorization", "Bearer t"),
        ("x-many", "1"),
        ("x-many", "2"),
        ("grpc-timeout", "5S"),
        ("grpc-status", "0"),
        ("grpc-encoding", "gzip"),
        ("accept", "*/*"),
        ("host", "h"),
        ("connection", "x-hop, close"),
        ("x-hop", "1"),
        ("te", "gzip"),
        ("x-http-method-override", "DELETE"),
    ];
    let got = ask(
        Options::default(),
        answer,
        request(
            "PUT",
            "http://h:1/v1/items/a?count=9",
            &headers,
            br#"{"flag":true}"#,
        ),
    )
    .await;
    let (asked, body) = &got.asked[0];
    assert_eq!(
        (asked.method.as_str(), asked.version),
        ("POST", http::Version::HTTP_2)
    );
    assert_eq!(asked.uri.to_string(), "http://h:1/cases.v1.Cases/Replace");
    let names: Vec<&str> = asked.headers.keys().map(|name| name.as_str()).collect();
    for gone in [
        "grpc-status",
        "grpc-encoding",
        "accept",
        "host",
        "connection",
        "x-hop",
    ] {
        assert!(!names.contains(&gone), "{gone}");
    }
    for (name, value) in [
        ("authorization", "Bearer t"),
        ("grpc-timeout", "5S"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("x-http-method-override", "DELETE"),
    ] {
        assert_eq!(asked.headers[name], value);
    }
    assert_eq!(asked.headers.get_all("x-many").iter().count(), 2);
    assert_eq!(body[..5], framed(&body[5..], 0)[..5]);
    assert_eq!(
        to_json(&pool(), "cases.v1.Item", &body[5..]),
        json!({"name": "a", "flag": true})
    );

    assert_eq!((got.status, got.text()), (200, r#"{"name":"x","big":"5"}"#));
    assert_eq!(got.headers["content-type"], "application/json");
    assert_eq!(got.headers["content-length"], "22");
    assert_eq!(
        (&got.headers["x-release"], &got.headers["x-cost"]),
        (&"v1".parse().unwrap(), &"3".parse().unwrap())
    );
    assert_eq!(got.headers.get_all("set-cookie").iter().count(), 2);
    assert!(got.headers.keys().all(|name| !name.as_str().starts_with("grpc-")));
}

#[test]
fn every_code_has_its_http_status() {
    // grpc-gateway, runtime/errors.go.
    let rows = [
        (0, 200),
        (1, 499),
        (2, 500),
        (3, 400),
        (4, 504),
        (5, 404),
        (6, 409),
        (7, 403),
        (8, 429),
        (9, 400),
        (10, 409),
        (11, 400),
        (12, 501),
        (13, 500),
        (14, 503),
        (15, 500),
        (16, 401),
        (17, 500),
        (u32::MAX, 500),
    ];
    for (code, status) in rows {
        assert_eq!(http_status(code), StatusCode::from_u16(status).unwrap(), "{code}");
    }
}

#[tokio::test]
async fn a_failed_call_is_a_google_rpc_status_in_json() {
    // google/rpc/status.proto; gRPC over HTTP/2, Status-Message; grpc-status-details-bin.
    let details = |details: &[(&str, &[u8])]| {
        let mut status = b"\x08\x09\x12\x01m".to_vec();
        for (url, value) in details {
            let any = [
                &[10, url.len() as u8],
                url.as_bytes(),
                &[18, value.len() as u8],
                value,
            ]
            .concat();
            status.extend_from_slice(&[&[26, any.len() as u8], &*any].concat());
        }
        &*base64::engine::general_purpose::STANDARD_NO_PAD
            .encode(status)
            .leak()
    };
    let known = details(&[("type.googleapis.com/cases.v1.Item", &[10, 1, b'a'])]);
    let unknown = details(&[
        ("type.googleapis.com/google.rpc.ErrorInfo", b"hi"),
        ("x/google.protobuf.Duration", &[8, 1]),
    ]);
    let damaged = details(&[("x/cases.v1.Item", b"\xff")]);
    let padded = &*base64::engine::general_purpose::STANDARD
        .encode(b"\x08\x09\x12\x02me\x1a\x03\x0a\x01u")
        .leak();
    assert!(padded.ends_with('='));
    let rows: Vec<(Answer, u16, Value)> = vec![
        (
            ended(&[
                ("grpc-status", "9"),
                ("grpc-message", "not%20yet%2C %E6%98%9F 100% %zz"),
            ]),
            400,
            json!({"code": 9, "message": "not yet, 星 100% %zz", "details": []}),
        ),
        (
            ended(&[("grpc-status", "1")]),
            499,
            json!({"code": 1, "message": "", "details": []}),
        ),
        (
            ended(&[("grpc-status", "77")]),
            500,
            json!({"code": 77, "message": "", "details": []}),
        ),
        (
            ended(&[("grpc-status", "x")]),
            500,
            json!({"code": 2, "message": "", "details": []}),
        ),
        (
            ended(&[("grpc-status", "5"), ("grpc-message", "%FF")]),
            404,
            json!({"code": 5, "message": "\u{fffd}", "details": []}),
        ),
        // Headers alone.
        (
            Answer {
                headers: vec![("grpc-status", "14"), ("grpc-message", "later")],
                ..Answer::default()
            },
            503,
            json!({"code": 14, "message": "later", "details": []}),
        ),
        (
            ended(&[
                ("grpc-status", "9"),
                ("grpc-message", "m"),
                ("grpc-status-details-bin", known),
            ]),
            400,
            json!({"code": 9, "message": "m", "details": [{"@type": "type.googleapis.com/cases.v1.Item", "name": "a"}]}),
        ),
        (
            ended(&[
                ("grpc-status", "9"),
                ("grpc-message", "m"),
                ("grpc-status-details-bin", unknown),
            ]),
            400,
            json!({"code": 9, "message": "m", "details": [
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "value": "aGk="},
                {"@type": "x/google.protobuf.Duration", "value": "1s"},
            ]}),
        ),
        (
            ended(&[("grpc-status", "9"), ("grpc-status-details-bin", damaged)]),
            400,
            json!({"code": 9, "message": "", "details": [{"@type": "x/cases.v1.Item", "value": "/w=="}]}),
        ),
        (
            ended(&[("grpc-status", "9"), ("grpc-status-details-bin", padded)]),
            400,
            json!({"code": 9, "message": "", "details": [{"@type": "u", "value": ""}]}),
        ),
        (
            ended(&[("grpc-status", "9"), ("grpc-status-details-bin", "!")]),
            400,
            json!({"code": 9, "message": "", "details": []}),
        ),
        // A message does not make it a success.
        (
            Answer {
                trailers: vec![("grpc-status", "10")],
                ..messages(&[item("{}")])
            },
            409,
            json!({"code": 10, "message": "", "details": []}),
        ),
        // What is no gRPC: grpc/doc/http-grpc-status-mapping.md.
        (
            Answer {
                http_status: 503,
                ..Answer::default()
            },
            503,
            json!({"code": 14, "message": "what should answer gRPC answered HTTP 503", "details": []}),
        ),
        (
            Answer {
                http_status: 404,
                ..Answer::default()
            },
            501,
            json!({"code": 12, "message": "what should answer gRPC answered HTTP 404", "details": []}),
        ),
        (
            Answer {
                http_status: 200,
                ..Answer::default()
            },
            500,
            json!({"code": 2, "message": "what should answer gRPC answered HTTP 200", "details": []}),
        ),
        // Answers that are none.
        (
            ended(&[("grpc-status", "0")]),
            500,
            json!({"code": 13, "message": "the answer ended without a message", "details": []}),
        ),
        (
            ended(&[("x", "y")]),
            500,
            json!({"code": 13, "message": "the answer ended without a status", "details": []}),
        ),
        (
            ended(&[]),
            500,
            json!({"code": 13, "message": "the answer ended without a status", "details": []}),
        ),
        (
            Answer {
                breaks: true,
                ..Answer::default()
            },
            503,
            json!({"code": 14, "message": "the answer broke off", "details": []}),
        ),
        (
            messages(&[item("{}"), item("{}")]),
            500,
            json!({"code": 13, "message": "the answer has more than one message", "details": []}),
        ),
        (
            Answer {
                pieces: vec![framed(&item("{}"), 0), b"\0\0".to_vec()],
                ..messages(&[])
            },
            500,
            json!({"code": 13, "message": "the answer cannot be read: the last message is cut short", "details": []}),
        ),
        (
            Answer {
                pieces: vec![framed(b"", 2)],
                ..messages(&[])
            },
            500,
            json!({"code": 13, "message": "the answer cannot be read: the flag of a message is 2, not 0 or 1", "details": []}),
        ),
        (
            messages(&[b"\xff".to_vec()]),
            500,
            json!({"code": 13, "message": "the answer is no cases.v1.Item: it is damaged", "details": []}),
        ),
    ];
    for (answer, status, expected) in rows {
        let trailers = answer.trailers.clone();
        let got = ask(Options::default(), answer, get("/v1/items", &[])).await;
        assert_eq!((got.status, got.json()), (status, expected), "{trailers:?}");
        assert_eq!(got.headers["content-type"], "application/json");
        assert!(got.headers.keys().all(|name| !name.as_str().starts_with("grpc-")));
    }
}

#[tokio::test]
async fn who_is_not_known_is_told_how_to_be() {
    // RFC 9110, section 15.5.2: a 401 has a challenge.
    let got = ask(
        Options::default(),
        ended(&[("grpc-status", "16")]),
        get("/v1/items", &[]),
    )
    .await;
    assert_eq!(
        (got.status, &got.headers["www-authenticate"]),
        (401, &"Bearer".parse().unwrap())
    );
    let own = Answer {
        headers: vec![("www-authenticate", "Digest")],
        ..ended(&[("grpc-status", "16")])
    };
    let got = ask(Options::default(), own, get("/v1/items", &[])).await;
    assert_eq!(got.headers["www-authenticate"], "Digest");
}

#[tokio::test]
async fn a_request_that_is_refused_reaches_nobody() {
    let rows: Vec<(http::Request<_>, u16, i32, &str, Option<(&str, &str)>)> = vec![
        (
            request("PUT", "/v1/items", &[], b""),
            405,
            12,
            "PUT is not allowed here",
            Some(("allow", "GET, POST")),
        ),
        (
            get("/v1/items/%FF", &[]),
            400,
            3,
            "name in the path: it is not UTF-8 once decoded",
            None,
        ),
        (
            get("/v1/items?count=x", &[]),
            400,
            3,
            "count in the query: expected a whole number of 32 bits, found \"x\"",
            None,
        ),
        (
            request("POST", "/v1/items", &[], b"{"),
            400,
            3,
            "the body is no Item: EOF while parsing an object at line 1 column 1",
            None,
        ),
        (
            request("POST", "/v1/items", &[], &[b' '; 101]),
            413,
            3,
            "the body is larger than 100 bytes",
            None,
        ),
        (
            request("POST", "/v1/items", &[("content-type", "text/plain")], b"{}"),
            415,
            3,
            "the content type \"text/plain\" is not accepted; send application/json",
            None,
        ),
        (
            request("POST", "/v1/items", &[("content-encoding", "br")], b"{}"),
            415,
            3,
            "the content encoding \"br\" is not accepted; send gzip or none",
            Some(("accept-encoding", "gzip")),
        ),
        (
            request("POST", "/v1/items", &[("content-encoding", "gzip")], b"{}"),
            400,
            3,
            "the body is no gzip",
            None,
        ),
        (
            request(
                "POST",
                "/v1/items",
                &[("content-encoding", "gzip")],
                &gzip(&[b' '; 101]),
            ),
            413,
            3,
            "the body is larger than 100 bytes",
            None,
        ),
        (
            request("POST", "/v1/gather", &[], b"{}"),
            501,
            12,
            "cases.v1.Cases.Gather takes a stream of messages and cannot be called over HTTP/JSON; call it over gRPC",
            None,
        ),
    ];
    for (request, status, code, message, header) in rows {
        let what = format!("{} {}", request.method(), request.uri());
        let options = Options {
            request_bytes_max: 100,
            ..Options::default()
        };
        let got = ask(options, messages(&[item("{}")]), request).await;
        assert_eq!(
            (got.status, got.json()),
            (status, json!({"code": code, "message": message, "details": []})),
            "{what}"
        );
        assert!(got.asked.is_empty(), "{what}");
        if let Some((name, value)) = header {
            assert_eq!(got.headers[name], value, "{what}");
        }
    }
}

#[tokio::test]
async fn head_has_everything_but_the_body() {
    let got = ask(
        Options::default(),
        messages(&[item(r#"{"name":"x"}"#)]),
        request("HEAD", "/v1/items/x", &[], b""),
    )
    .await;
    assert_eq!(
        (got.status, &got.headers["content-length"], got.body.len()),
        (200, &"12".parse().unwrap(), 0)
    );
    let failed = ended(&[("grpc-status", "5")]);
    for (target, status) in [("/v1/items/x", 404), ("/v1/items/%FF", 400)] {
        let got = ask(
            Options::default(),
            failed.clone(),
            request("HEAD", target, &[], b""),
        )
        .await;
        assert_eq!((got.status, got.body.len()), (status, 0));
        assert_ne!(got.headers["content-length"], "0");
    }
}

#[tokio::test]
async fn what_is_no_rule_or_grpc_already_passes_untouched() {
    let answer = || Answer {
        pieces: vec![b"raw".to_vec()],
        trailers: vec![("x", "y")],
        http_status: 418,
        ..Answer::default()
    };
    let requests = [
        get("/elsewhere?x=1", &[("accept", "a/b"), ("grpc-status", "1")]),
        request(
            "POST",
            "/v1/items",
            &[("content-type", "application/grpc+proto")],
            b"\0\0\0\0\0",
        ),
    ];
    for request in requests {
        let (uri, headers) = (request.uri().clone(), request.headers().clone());
        let got = ask(Options::default(), answer(), request).await;
        assert_eq!((got.status, got.text()), (418, "raw"));
        assert_eq!((&got.asked[0].0.uri, &got.asked[0].0.headers), (&uri, &headers));
    }
}

#[tokio::test]
async fn an_upload_is_passed_on_as_bytes() {
    // google/api/httpbody.proto.
    let file = to_bytes(
        &pool(),
        "cases.v1.File",
        r#"{"content":{"contentType":"image/png","data":"iVBORw=="}}"#,
    );
    let got = ask(
        Options::default(),
        messages(&[file]),
        request(
            "POST",
            "/v1/uploads/a",
            &[("content-type", "text/plain; charset=x")],
            b"\xff\0",
        ),
    )
    .await;
    let sent = to_json(&pool(), "cases.v1.File", &got.asked[0].1[5..]);
    assert_eq!(
        sent,
        json!({"name": "a", "content": {"contentType": "text/plain; charset=x", "data": "/wA="}})
    );
    assert_eq!(
        (got.status, &got.headers["content-type"], &*got.body),
        (200, &"image/png".parse().unwrap(), &b"\x89PNG"[..])
    );
}
