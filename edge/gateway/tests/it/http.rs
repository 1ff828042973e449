//! Plain HTTP: what passes, what is changed, and what the gateway answers by itself.

use ::http::{Request, Version};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::backend::Backend;
use super::raw::{Raw, listener, nobody};
use super::support::{Answer, Gateway, eventually, within};

pub fn seen<'a>(told: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = told["headers"].as_array().unwrap();
    headers
        .iter()
        .filter(|pair| pair[0] == name)
        .map(|pair| pair[1].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_request_passes_whole_and_tells_where_it_came_from() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let headers = [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-request-id", "abc-1"),
        ("x-mine", "kept"),
    ];
    let answer = gateway
        .request("POST", "/echo/a%20b?q=1&at=v1.2", &headers, "hello")
        .await;
    assert_eq!((answer.status, answer.header("x-public")), (200, "2"));
    let told = answer.json();
    assert_eq!(told["method"], "POST");
    assert_eq!(told["target"], "/echo/a%20b?q=1&at=v1.2");
    assert_eq!(told["body"], "hello");
    assert_eq!(seen(&told, "host"), [gateway.listen.to_string()]);
    assert_eq!(
        seen(&told, "x-forwarded-for"),
        ["127.0.0.1"],
        "what anybody can write is not passed on"
    );
    assert_eq!(seen(&told, "x-forwarded-proto"), ["http"]);
    assert_eq!(seen(&told, "x-forwarded-host"), [gateway.listen.to_string()]);
    assert_eq!(seen(&told, "x-request-id"), ["abc-1"]);
    assert_eq!(seen(&told, "x-mine"), ["kept"]);
    assert_eq!(answer.header("x-request-id"), "abc-1");
    // What the backend claims to be does not count.
    assert_eq!(answer.headers.get_all("x-served-version").iter().count(), 1);
    assert_eq!(answer.header("x-served-version"), "v1.2");
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_without_an_id_gets_one_and_both_sides_see_it() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let answer = gateway.get("/echo/x", &[]).await;
    let id = answer.header("x-request-id").to_owned();
    assert_eq!(id.len(), 32);
    assert_eq!(seen(&answer.json(), "x-request-id"), [id]);
}

#[tokio::test]
async fn headers_of_one_hop_stay_on_their_hop() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write(
        "GET /echo/x HTTP/1.1\r\nHost: play.example\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\n\
         Keep-Alive: timeout=5\r\nTE: gzip\r\nProxy-Authorization: Basic eDp5\r\nUpgrade: h2c\r\nX-Kept: 2\r\n\r\n",
    )
    .await;
    let answer = String::from_utf8(raw.rest().await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let told: Value = serde_json::from_str(body).unwrap();
    for gone in ["x-secret", "keep-alive", "te", "proxy-authorization", "upgrade"] {
        assert_eq!(seen(&told, gone), [] as [&str; 0], "{gone}");
    }
    assert_eq!(seen(&told, "x-kept"), ["2"]);
    assert_eq!(seen(&told, "host"), ["play.example"]);
    let head = head.to_ascii_lowercase();
    assert!(head.contains("x-public: 2"));
    assert!(
        !head.contains("x-private") && !head.contains("keep-alive"),
        "{head}"
    );
}

#[tokio::test]
async fn http2_and_http1_share_a_port() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http::<Full<Bytes>>();
    let request = Request::post(format!("http://{}/echo/x", gateway.listen))
        .body(Full::from("over two"))
        .unwrap();
    let response = within(client.request(request)).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let answer = Answer::read(response).await;
    assert_eq!(answer.json()["version"], "HTTP/1.1");
    assert_eq!(answer.json()["body"], "over two");
    assert_eq!(seen(&answer.json(), "host"), [gateway.listen.to_string()]);
    assert_eq!(gateway.get("/who", &[]).await.text(), "stable");
}

#[tokio::test]
async fn one_connection_to_the_backend_serves_many_requests() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let mut raw = Raw::connect(gateway.listen).await;
    for _ in 0..20 {
        raw.write("GET /who HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(raw.exactly(6).await, b"stable");
    }
    for _ in 0..20 {
        raw.write("POST /echo/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
            .await;
        let head = raw.head().await.to_ascii_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)
            .unwrap()
            .split("\r\n")
            .next()
            .unwrap();
        raw.exactly(length.parse().unwrap()).await;
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_large_answer_streams_unchanged() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let bytes = 3_000_017;
    let answer = gateway.get(&format!("/many/{bytes}"), &[]).await;
    assert_eq!(answer.body.len(), bytes);
    assert!(answer.body.iter().enumerate().all(|(at, byte)| *byte == at as u8));
    let answer = gateway.request("HEAD", "/who", &[], "").await;
    assert_eq!((answer.header("content-length"), answer.body.len()), ("6", 0));
}

#[tokio::test]
async fn an_unreachable_backend_is_502() {
    let gateway = Gateway::before(nobody().await);
    let answer = gateway.get("/who", &[]).await;
    assert_eq!(answer.error(), (502, 14));
    assert_eq!(answer.header("x-served-version"), "v1.2");
    let stable = gateway.metrics("stable").await;
    assert_eq!(
        (&stable["requests"], &stable["errors"], &stable["statuses"]["502"]),
        (&1.into(), &1.into(), &1.into())
    );
}

#[tokio::test]
async fn a_silent_backend_is_504_and_learns_that_nobody_waits() {
    let mut backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "upstream_timeout_ms: 500");
    let answer = gateway.request("POST", "/hang", &[], "body").await;
    assert_eq!(answer.error(), (504, 4));
    assert!(answer.json()["message"].as_str().unwrap().contains("500 ms"));
    backend.saw("hang dropped").await;
    let stable = gateway.metrics("stable").await;
    assert_eq!(
        (&stable["errors"], &stable["statuses"]["504"]),
        (&1.into(), &1.into())
    );
}

#[tokio::test]
async fn all_backends_draining_is_503() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    gateway.drain("stable").await;
    gateway.drain("canary").await;
    let answer = gateway.get("/who", &[]).await;
    assert_eq!(answer.error(), (503, 14));
    assert_eq!(answer.header("x-served-version"), "none");
    assert_eq!(
        gateway.ask_admin("GET", "/metrics.json", &[], "").await.json()["unrouted"],
        1
    );
    gateway
        .ask_admin("POST", "/backends/stable/undrain", &[], "")
        .await;
    assert_eq!(gateway.get("/who", &[]).await.text(), "stable");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let mut backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "upstream_timeout_ms: 60000");
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write("GET /hang HTTP/1.1\r\nHost: x\r\n\r\n").await;
    backend.saw("hang began").await;
    assert_eq!(gateway.metrics("stable").await["in_flight"], 1);
    drop(raw);
    backend.saw("hang dropped").await;
    eventually("the request is counted as cancelled", async || {
        let stable = gateway.metrics("stable").await;
        stable["cancelled"] == 1 && stable["in_flight"] == 0 && stable["requests"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_get_survives_a_backend_that_closes_the_kept_connection_and_a_post_does_not() {
    let (listener, address) = listener().await;
    let gateway = Gateway::before_with(address, "workers: 1");
    let backend = tokio::spawn(async move {
        let mut heads = Vec::new();
        for _ in 0..2 {
            // Answers one request, takes a second, and closes without an answer to it.
            let mut raw = Raw::accept(&listener).await;
            for answered in [true, false] {
                heads.push(raw.head().await);
                if answered {
                    raw.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            }
        }
        // Nothing more may come.
        drop(listener);
        heads
    });
    assert_eq!(gateway.get("/1", &[]).await.status, 200);
    assert_eq!(
        gateway.get("/2", &[]).await.text(),
        "ok",
        "sent again on a new connection"
    );
    assert_eq!(gateway.request("POST", "/3", &[], "").await.error(), (502, 14));
    let heads = within(backend).await.unwrap();
    let lines: Vec<_> = heads.iter().map(|head| head.lines().next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "GET /1 HTTP/1.1",
            "GET /2 HTTP/1.1",
            "GET /2 HTTP/1.1",
            "POST /3 HTTP/1.1"
        ]
    );
    let stable = gateway.metrics("stable").await;
    assert_eq!((&stable["requests"], &stable["errors"]), (&3.into(), &1.into()));
}

#[tokio::test]
async fn a_body_that_stops_is_cut_and_counted() {
    let mut backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "limits: { body_idle_timeout_ms: 300 }");
    let request = Request::get(format!("http://{}/stall", gateway.listen))
        .body(Full::default())
        .unwrap();
    let response = gateway.send(request).await;
    assert_eq!(response.status(), 200);
    assert!(
        within(response.into_body().collect()).await.is_err(),
        "a cut answer must not look whole"
    );
    backend.saw("stall dropped").await;
    let stable = gateway.metrics("stable").await;
    assert_eq!(
        (&stable["requests"], &stable["errors"], &stable["truncated"]),
        (&1.into(), &1.into(), &1.into())
    );
}

#[tokio::test]
async fn connect_is_not_carried() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n")
        .await;
    assert!(raw.head().await.starts_with("HTTP/1.1 501"));
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_sessions_id_passes_byte_for_byte() {
    // Not decoded, not folded, not trimmed within, and not even text.
    const ID: &[u8] = b"aB%2f+=/;\"x\" y\xe9~";
    let (upstream, address) = listener().await;
    let gateway = Gateway::before(address);
    let mut client = Raw::connect(gateway.listen).await;
    let request = [b"GET /x HTTP/1.1\r\nhost: a\r\nX-Session-ID: ", ID, b"\r\n\r\n"].concat();
    client.write(request).await;
    let mut arrived = Raw::accept(&upstream).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(arrived.exactly(1).await);
    }
    let line = [b"x-session-id: ", ID, b"\r\n"].concat();
    let whole = head
        .to_ascii_lowercase()
        .windows(14)
        .position(|part| part == b"x-session-id: ");
    let at = whole.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&head)));
    assert_eq!(&head[at + 14..at + line.len()], &line[14..]);
    arrived.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 204"));
}
