//! Clients that others wrote: grpcio, h2load, nghttp and curl.

use std::process::Stdio;

use serde_json::{Value, json};
use starvault_testing::{program, python};
use tokio::process::Command;

use super::backend::Backend;
use super::front::Authority;
use super::support::{Gateway, within};

async fn said(command: &mut Command) -> String {
    String::from_utf8(said_bytes(command).await).unwrap()
}

async fn said_bytes(command: &mut Command) -> Vec<u8> {
    let output = within(command.stdin(Stdio::null()).kill_on_drop(true).output())
        .await
        .unwrap();
    let (text, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}: {text}\n{error}");
    output.stdout
}

#[tokio::test]
async fn grpcio_calls_in_all_four_ways_with_deadlines_and_cancels() {
    let mut backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grpc_client.py");
    let told = said(Command::new(python()).arg(script).arg(gateway.listen.to_string())).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let expected = json!({
        "unary": ["hello", "stable", "v1.2", "OK"],
        "timeout_handed_on": true,
        "big_message": 900 << 10,
        "too_big_message": "RESOURCE_EXHAUSTED",
        "big_metadata": "m",
        "fail": ["PERMISSION_DENIED", "as asked: 棋"],
        "no_method": "UNIMPLEMENTED",
        "server_stream": true,
        "server_stream_that_fails": ["ABORTED", [3, 2, 1]],
        "client_stream": "500000",
        "both_streams": ["re: 0", "re: 1", "re: 2", "re: 3", "re: 4"],
        "deadline": "DEADLINE_EXCEEDED",
        "deadline_kept": true,
        "cancel_first": "1",
        "cancel": "CANCELLED",
        "at_once": true,
    });
    for (what, expected) in expected.as_object().unwrap() {
        assert_eq!(&told[what], expected, "{what} of {told:#}");
    }
    // What grpcio calls it when its stream is refused for its headers differs; that it is refused does not.
    assert!(told["metadata_over_the_limit"].is_string(), "{told:#}");
    // The cancel reached the backend.
    backend.saw("endless dropped").await;
}

#[tokio::test]
async fn h2load_gets_an_answer_to_every_stream() {
    let backend = Backend::start("stable").await;
    let authority = Authority::new();
    let plain = Gateway::before(backend.address);
    let tls = Gateway::before_with(backend.address, &authority.settings());
    for url in [
        format!("http://{}/many/20000", plain.listen),
        format!("https://{}/many/20000", tls.listen),
    ] {
        let mut command = Command::new(program("h2load", "nghttp2-client"));
        command.args([
            "-n",
            "2000",
            "-c",
            "4",
            "-m",
            "50",
            "-t",
            "1",
            "-H",
            "x-session-id: 7",
        ]);
        let text = said(command.arg(&url)).await;
        assert!(
            text.contains(
                "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout"
            ),
            "{url}: {text}"
        );
        assert!(text.contains("2000 2xx"), "{text}");
    }
}

#[tokio::test]
async fn nghttp_with_padding_and_a_tiny_window_reads_all_of_it() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let mut command = Command::new(program("nghttp", "nghttp2-client"));
    command.args([
        "--padding=200",
        "--window-bits=10",
        "--connection-window-bits=12",
        "-m",
        "5",
    ]);
    let bodies = said_bytes(command.arg(format!("http://{}/many/100000", gateway.listen))).await;
    // Of each of the five streams, one behind the other or in turns.
    assert_eq!(bodies.len(), 5 * 100_000);
}

#[tokio::test]
async fn curl_speaks_every_version_with_and_without_tls() {
    let backend = Backend::start("stable").await;
    let authority = Authority::new();
    let plain = Gateway::before(backend.address);
    let tls = Gateway::before_with(backend.address, &authority.settings());
    let port = tls.listen.port();
    for (options, url, version) in [
        (&["--http1.1"][..], format!("http://{}/who", plain.listen), "1.1"),
        (
            &["--http2-prior-knowledge"],
            format!("http://{}/who", plain.listen),
            "2",
        ),
        (&["--http2"], format!("https://localhost:{port}/who"), "2"),
        (&["--http1.1"], format!("https://localhost:{port}/who"), "1.1"),
    ] {
        let mut command = Command::new(program("curl", "curl"));
        command
            .args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"])
            .args(["--write-out", " %{http_code} %{http_version}", "--cacert"])
            .arg(authority.path("cert.pem"))
            .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
            .args(options)
            .arg(&url);
        assert_eq!(
            said(&mut command).await,
            format!("stable 200 {version}"),
            "{options:?} {url}"
        );
    }
}
