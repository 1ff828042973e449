//! Sizes and codings: gzip over HTTP, frames over gRPC.

use std::io::Read as _;

use serde_json::json;
use tminus_transcode::Options;

use crate::support::{Answer, ask, framed, get, gzip, item, messages, request};

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut text)
        .unwrap();
    text
}

#[tokio::test]
async fn gzip_is_understood_both_ways_and_bounded() {
    // RFC 9110, sections 8.4.1.3 and 12.5.3.
    let long = json!({"name": "a".repeat(5_000)}).to_string();
    let answer = || messages(&[item(&long)]);
    let body = gzip(long.as_bytes());
    let got = ask(
        Options::default(),
        answer(),
        request("POST", "/v1/items", &[("content-encoding", "GZIP")], &body),
    )
    .await;
    assert_eq!(got.status, 200);
    assert_eq!(got.asked[0].1[5..], *item(&long));
    assert_eq!((got.text(), got.headers.get("content-encoding")), (&*long, None));
    // A bomb: a megabyte of blanks in a kilobyte.
    let bomb = gzip(&vec![b' '; 1 << 20]);
    assert!(bomb.len() < 2_000);
    let options = Options {
        request_bytes_max: 10_000,
        ..Options::default()
    };
    let got = ask(
        options,
        answer(),
        request("POST", "/v1/items", &[("content-encoding", "gzip")], &bomb),
    )
    .await;
    assert_eq!((got.status, got.asked.len()), (413, 0));

    let rows = [
        ("gzip", true),
        ("br, gzip;q=0.5", true),
        ("*", true),
        ("x-gzip", true),
        ("gzip;q=0", false),
        ("gzip;q=0, *", false),
        ("identity", false),
        ("", false),
        ("gzip;q=x", false),
    ];
    for (accepted, compressed) in rows {
        let got = ask(
            Options::default(),
            answer(),
            get("/v1/items", &[("accept-encoding", accepted)]),
        )
        .await;
        assert_eq!(
            got.headers.contains_key("content-encoding"),
            compressed,
            "{accepted}"
        );
        assert_eq!(got.headers["vary"], "accept-encoding");
        let text = if compressed {
            gunzip(&got.body)
        } else {
            got.body.clone()
        };
        assert_eq!(text, long.as_bytes(), "{accepted}");
        assert_eq!(got.headers["content-length"], got.body.len().to_string());
    }
    // What is short stays as it is, and so does everything when it is switched off.
    let short = ask(
        Options::default(),
        messages(&[item("{}")]),
        get("/v1/items", &[("accept-encoding", "gzip")]),
    )
    .await;
    assert_eq!((short.text(), short.headers.get("vary")), ("{}", None));
    let off = Options {
        gzip_bytes_min: None,
        ..Options::default()
    };
    let got = ask(off, answer(), get("/v1/items", &[("accept-encoding", "gzip")])).await;
    assert_eq!(got.text(), long);
}

#[tokio::test]
async fn messages_arrive_in_pieces_compressed_or_too_large() {
    // grpc/doc/PROTOCOL-HTTP2.md, Length-Prefixed-Message and Message-Encoding.
    let message = item(r#"{"name":"abc"}"#);
    let bytes = framed(&message, 0);
    let pieces = Answer {
        pieces: bytes.iter().map(|byte| vec![*byte]).collect(),
        ..messages(&[])
    };
    let got = ask(Options::default(), pieces, get("/v1/items", &[])).await;
    assert_eq!((got.status, got.text()), (200, r#"{"name":"abc"}"#));

    let compressed = |encoding, bytes: &[u8]| Answer {
        headers: vec![("grpc-encoding", encoding)],
        pieces: vec![framed(bytes, 1)],
        ..messages(&[])
    };
    let bomb = gzip(&[&b"\x0a\xa0\x9c\x01"[..], &[b'a'; 20_000]].concat());
    let rows = [
        (compressed("gzip", &gzip(&message)), 200, ""),
        (
            compressed("gzip", b"no gzip"),
            500,
            "a compressed message is no gzip",
        ),
        (
            compressed("snappy", &message),
            500,
            "a message is compressed with \"snappy\"; only gzip is understood",
        ),
        (
            compressed("gzip", &bomb),
            500,
            "a message is larger than 1000 bytes",
        ),
        (
            messages(&[vec![0; 1_001]]),
            500,
            "a message is larger than 1000 bytes",
        ),
        // Judged by its head, before the rest has come.
        (
            Answer {
                pieces: vec![b"\0\xff\xff\xff\xff".to_vec()],
                ..messages(&[])
            },
            500,
            "a message is larger than 1000 bytes",
        ),
    ];
    for (answer, status, message) in rows {
        let options = Options {
            response_bytes_max: 1_000,
            ..Options::default()
        };
        let got = ask(options, answer, get("/v1/items", &[])).await;
        assert_eq!(got.status, status, "{message}");
        assert!(
            got.text().contains(&message.replace('"', "\\\"")),
            "{}",
            got.text()
        );
    }
}
