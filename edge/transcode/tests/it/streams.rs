//! Methods that answer with a stream.

use std::io::Read as _;

use tminus_transcode::Options;

use crate::support::{Answer, ask, framed, get, messages, pool, request, to_bytes};

fn items(names: &[&str]) -> Vec<Vec<u8>> {
    names
        .iter()
        .map(|name| to_bytes(&pool(), "cases.v1.Item", &format!(r#"{{"name":"{name}"}}"#)))
        .collect()
}

const LINES: &[(&str, &str)] = &[("accept", "text/html, Application/X-NDJSON;q=0.9")];

#[tokio::test]
async fn a_stream_is_an_array_or_lines_as_the_client_likes() {
    // grpc-gateway writes lines, grpc-httpjson-transcoding an array.
    let failing = |status| Answer {
        trailers: vec![("grpc-status", status), ("grpc-message", "no more")],
        ..messages(&items(&["a"]))
    };
    let rows: Vec<(Answer, &str, &str)> = vec![
        (
            messages(&items(&["a", "b"])),
            r#"[{"name":"a"},{"name":"b"}]"#,
            "{\"name\":\"a\"}\n{\"name\":\"b\"}\n",
        ),
        (messages(&[]), "[]", ""),
        (messages(&[vec![]]), "[{}]", "{}\n"),
        // The status of HTTP is out by then: the error is the last thing in the body.
        (
            failing("8"),
            r#"[{"name":"a"},{"error":{"code":8,"message":"no more","details":[]}}]"#,
            "{\"name\":\"a\"}\n{\"error\":{\"code\":8,\"message\":\"no more\",\"details\":[]}}\n",
        ),
        (
            Answer {
                breaks: true,
                ..messages(&items(&["a"]))
            },
            r#"[{"name":"a"},{"error":{"code":14,"message":"the answer broke off","details":[]}}]"#,
            "{\"name\":\"a\"}\n{\"error\":{\"code\":14,\"message\":\"the answer broke off\",\"details\":[]}}\n",
        ),
        (
            Answer {
                trailers: vec![],
                ..messages(&items(&["a"]))
            },
            r#"[{"name":"a"},{"error":{"code":13,"message":"the answer ended without a status","details":[]}}]"#,
            "{\"name\":\"a\"}\n{\"error\":{\"code\":13,\"message\":\"the answer ended without a status\",\"details\":[]}}\n",
        ),
        (
            messages(&[items(&["a"]).remove(0), b"\xff".to_vec(), b"".to_vec()]),
            r#"[{"name":"a"},{"error":{"code":13,"message":"the answer is no cases.v1.Item: it is damaged","details":[]}}]"#,
            "{\"name\":\"a\"}\n{\"error\":{\"code\":13,\"message\":\"the answer is no cases.v1.Item: it is damaged\",\"details\":[]}}\n",
        ),
        (
            Answer {
                pieces: vec![framed(b"", 0), b"\0\0\0\0\x05a".to_vec()],
                ..messages(&[])
            },
            r#"[{},{"error":{"code":13,"message":"the answer cannot be read: the last message is cut short","details":[]}}]"#,
            "{}\n{\"error\":{\"code\":13,\"message\":\"the answer cannot be read: the last message is cut short\",\"details\":[]}}\n",
        ),
        (
            // Two messages in one piece, and one in two.
            Answer {
                pieces: vec![
                    [framed(b"", 0), framed(b"\x18\x01", 0), vec![0, 0]].concat(),
                    vec![0, 0, 2, 0x18, 2],
                ],
                ..messages(&[])
            },
            r#"[{},{"count":1},{"count":2}]"#,
            "{}\n{\"count\":1}\n{\"count\":2}\n",
        ),
    ];
    for (answer, array, lines) in rows {
        let got = ask(Options::default(), answer.clone(), get("/v1/watch", &[])).await;
        assert_eq!((got.status, got.text(), got.broken), (200, array, false));
        assert_eq!(got.headers["content-type"], "application/json");
        assert!(!got.headers.contains_key("content-length"));
        let got = ask(Options::default(), answer, get("/v1/watch", LINES)).await;
        assert_eq!((got.status, got.text(), got.broken), (200, lines, false));
        assert_eq!(got.headers["content-type"], "application/x-ndjson");
    }
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_message_has_its_http_status() {
    let rows = [
        (
            Answer {
                trailers: vec![("grpc-status", "7"), ("x-why", "w")],
                ..Answer::default()
            },
            403,
            7,
        ),
        (
            Answer {
                headers: vec![("grpc-status", "5"), ("x-why", "w")],
                ..Answer::default()
            },
            404,
            5,
        ),
    ];
    for (answer, status, code) in rows {
        let got = ask(Options::default(), answer, get("/v1/watch", LINES)).await;
        assert_eq!((got.status, got.json()["code"].as_i64()), (status, Some(code)));
        assert_eq!(
            (&got.headers["content-type"], &got.headers["x-why"]),
            (&"application/json".parse().unwrap(), &"w".parse().unwrap())
        );
    }
    let got = ask(
        Options::default(),
        Answer {
            breaks: true,
            ..Answer::default()
        },
        get("/v1/watch", LINES),
    )
    .await;
    assert_eq!((got.status, got.json()["code"].as_i64()), (503, Some(14)));
}

#[tokio::test]
async fn each_message_of_a_stream_has_the_limit_of_one() {
    let options = || Options {
        response_bytes_max: 100,
        ..Options::default()
    };
    let many = items(&["a"; 100]);
    let got = ask(options(), messages(&many), get("/v1/watch", &[])).await;
    assert_eq!(got.json().as_array().unwrap().len(), 100);
    let long = "a".repeat(101);
    let got = ask(options(), messages(&items(&["a", &long])), get("/v1/watch", &[])).await;
    assert_eq!(
        got.json()[1]["error"]["message"],
        "the answer cannot be read: a message is larger than 100 bytes"
    );
}

#[tokio::test]
async fn a_compressed_stream_can_be_read_as_it_comes() {
    let headers = [("accept-encoding", "gzip"), ("accept", "application/x-ndjson")];
    let names: Vec<String> = (0..50).map(|index| format!("item-{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let got = ask(
        Options::default(),
        messages(&items(&names)),
        get("/v1/watch", &headers),
    )
    .await;
    assert_eq!(
        (&got.headers["content-encoding"], &got.headers["vary"]),
        (&"gzip".parse().unwrap(), &"accept-encoding".parse().unwrap())
    );
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*got.body)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text.lines().count(), 50);
    assert!(text.ends_with("{\"name\":\"item-49\"}\n"));
}

#[tokio::test]
async fn a_stream_of_http_bodies_is_its_data() {
    // google/api/httpbody.proto: the first message says what the content is.
    let piece = |json: &str| to_bytes(&pool(), "google.api.HttpBody", json);
    let pieces = [
        piece(r#"{"contentType":"text/csv","data":"YSxi"}"#),
        piece(r#"{"data":"Cg=="}"#),
    ];
    let got = ask(Options::default(), messages(&pieces), get("/v1/download", LINES)).await;
    assert_eq!(
        (got.status, &got.headers["content-type"], got.text(), got.broken),
        (200, &"text/csv".parse().unwrap(), "a,b\n", false)
    );
    // No place for an error in it: the connection breaks off, and nobody takes a part for the whole.
    let failing = Answer {
        trailers: vec![("grpc-status", "13")],
        ..messages(&pieces)
    };
    let got = ask(Options::default(), failing, get("/v1/download", &[])).await;
    assert_eq!((got.status, got.text(), got.broken), (200, "a,b\n", true));
    let got = ask(Options::default(), messages(&[]), get("/v1/download", &[])).await;
    assert_eq!(
        (got.status, &got.headers["content-type"], got.text()),
        (200, &"application/octet-stream".parse().unwrap(), "")
    );
}

#[tokio::test]
async fn head_of_a_stream_has_no_body() {
    let got = ask(
        Options::default(),
        messages(&items(&["a"])),
        request("HEAD", "/v1/watch", &[], b""),
    )
    .await;
    assert_eq!((got.status, got.body.len()), (200, 0));
}
