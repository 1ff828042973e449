//! Requests on whose end two programs could disagree: refused, and none of them reaches a backend.
//!
//! Sources: RFC 9112 sections 2.2, 5.1, 5.2, 6.1, 6.3, 7.1 and 11.2; the names CL.TE and TE.CL are PortSwigger's.

use super::backend::Backend;
use super::raw::Raw;
use super::support::Gateway;

const SMUGGLED: &str = "GET /echo/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// Everything that is answered to these bytes, and the statuses in it.
async fn answers(gateway: &Gateway, bytes: &str) -> (String, Vec<String>) {
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write(bytes).await;
    let answer = String::from_utf8_lossy(&raw.rest().await).into_owned();
    let statuses = answer.split("HTTP/1.1 ").skip(1);
    let statuses = statuses.map(|rest| rest[..3].to_owned()).collect();
    (answer, statuses)
}

#[tokio::test]
async fn what_two_programs_could_read_in_two_ways_is_refused() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "limits: { body_idle_timeout_ms: 500 }");
    let post = |headers: &str, body: &str| {
        format!("POST /echo/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n{body}")
    };
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    for (name, request) in [
        (
            "two lengths",
            post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
        ),
        ("two lengths in one", post("Content-Length: 5, 6\r\n", "hello!")),
        ("a signed length", post("Content-Length: +5\r\n", "hello")),
        ("a hexadecimal length", post("Content-Length: 0x5\r\n", "hello")),
        (
            "a length that overflows",
            post("Content-Length: 18446744073709551621\r\n", "hello"),
        ),
        (
            "chunked is not the last coding",
            post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"),
        ),
        (
            "a coding that is none",
            post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ),
        ("a folded header", post("X-A: b\r\n c: d\r\n", "")),
        (
            "a folded coding",
            post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
        ),
        (
            "a space before the colon",
            post("Content-Length : 5\r\n", "hello"),
        ),
        ("a chunk size with a sign", chunked("+5\r\nhello\r\n0\r\n\r\n")),
        (
            "a chunk size that overflows",
            chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ),
        (
            "a chunk that is longer than it says",
            chunked("5\r\nhello!!\r\n0\r\n\r\n"),
        ),
        ("a NUL in a header", post("X-A: b\0c\r\n", "")),
        ("a bare CR in a header", post("X-A: b\rX-B: c\r\n", "")),
    ] {
        let (answer, statuses) = answers(&gateway, &(request + SMUGGLED)).await;
        assert!(
            statuses.len() == 1 && statuses[0].starts_with('4') || statuses.is_empty(),
            "{name}: {answer}"
        );
        assert!(!answer.contains("smuggled"), "{name}: {answer}");
    }
}

#[tokio::test]
async fn of_a_length_and_a_coding_only_the_coding_counts_and_nothing_is_left_behind() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    // CL.TE: by its length the smuggled request belongs to the body, by its coding it does not.
    let body = format!("0\r\n\r\n{SMUGGLED}");
    let cl_te = format!(
        "POST /echo/x HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{body}",
        body.len()
    );
    // TE.CL: the other way round.
    let chunk = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    let te_cl = format!(
        "POST /echo/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunk}"
    );
    for (name, request) in [("CL.TE", cl_te), ("TE.CL", te_cl)] {
        // RFC 9112 section 6.1: refused, or read by its coding; in both cases the connection ends with it.
        let (answer, statuses) = answers(&gateway, &request).await;
        assert!(statuses.len() <= 1, "{name}: {answer}");
        assert!(!answer.contains("\"/echo/smuggled\""), "{name}: {answer}");
    }
}

#[tokio::test]
async fn chunk_extensions_end_at_the_gateway() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let request = "POST /echo/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5;note=smuggled\r\nhello\r\n0\r\n\r\n";
    let (answer, statuses) = answers(&gateway, request).await;
    assert_eq!(statuses, ["200"], "{answer}");
    assert!(
        answer.contains("\"body\":\"hello\"") && !answer.contains("smuggled"),
        "{answer}"
    );
}
