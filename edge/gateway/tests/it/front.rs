//! What stands before the first request: TLS, proxies in front, limits per client, and the log of what was asked.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tminus_gateway::{config, reload, server};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_websockets::{ClientBuilder, Message};

use super::backend::Backend;
use super::http::seen;
use super::raw::Raw;
use super::support::{Gateway, Settings, eventually, within, yaml};

/// A certificate for `localhost` in two files, and a client that believes it.
pub struct Authority {
    directory: tempfile::TempDir,
    roots: rustls::RootCertStore,
}

impl Authority {
    pub fn new() -> Self {
        let mut authority = Self {
            directory: tempfile::tempdir().unwrap(),
            roots: rustls::RootCertStore::empty(),
        };
        authority.issue();
        authority
    }

    /// A new certificate in the place of the old one, which is believed no more.
    fn issue(&mut self) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(self.path("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
        self.roots = rustls::RootCertStore::empty();
        self.roots.add(certificate.der().clone()).unwrap();
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    pub fn settings(&self) -> String {
        let file = |name| self.path(name).display().to_string();
        format!(
            "tls: {{ certificate: {}, key: {} }}",
            file("cert.pem"),
            file("key.pem")
        )
    }

    async fn connect(
        &self,
        to: std::net::SocketAddr,
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = within(TcpStream::connect(to)).await?;
        let name = "localhost".try_into().unwrap();
        within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }
}

/// The protocol that was agreed on, and the answer to one request.
async fn ask_over_tls(stream: TlsStream<TcpStream>) -> (Option<Vec<u8>>, Value) {
    let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let request = hyper::Request::get("https://localhost/echo/x").header("host", "localhost");
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let io = TokioIo::new(stream);
    let answer = if agreed.as_deref() == Some(b"h2") {
        let shaking = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (mut sender, connection) = within(shaking).await.unwrap();
        tokio::spawn(connection);
        within(sender.send_request(request)).await.unwrap()
    } else {
        let (mut sender, connection) = within(hyper::client::conn::http1::handshake(io)).await.unwrap();
        tokio::spawn(connection);
        within(sender.send_request(request)).await.unwrap()
    };
    let body = within(answer.into_body().collect()).await.unwrap().to_bytes();
    (agreed, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn tls_agrees_on_a_protocol_and_tells_the_backend_of_it() {
    let backend = Backend::start("stable").await;
    let authority = Authority::new();
    let gateway = Gateway::before_with(backend.address, &authority.settings());
    for (offers, agreed) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], Some("h2")),
        (&[b"http/1.1".as_slice()], Some("http/1.1")),
        (&[], None),
    ] {
        let stream = authority.connect(gateway.listen, offers).await.unwrap();
        let (found, told) = ask_over_tls(stream).await;
        assert_eq!(found.as_deref(), agreed.map(str::as_bytes));
        assert_eq!(seen(&told, "x-forwarded-proto"), ["https"]);
    }
    // A protocol that nobody speaks, and no TLS at all.
    assert!(authority.connect(gateway.listen, &[b"spdy"]).await.is_err());
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!String::from_utf8_lossy(&raw.rest().await).contains("HTTP/1.1"));
}

#[tokio::test]
async fn websockets_pass_over_tls_whatever_their_size_and_are_drained() {
    let backend = Backend::start("stable").await;
    let authority = Authority::new();
    let gateway = Gateway::before_with(backend.address, &authority.settings());
    let stream = authority.connect(gateway.listen, &[]).await.unwrap();
    let uri = "wss://localhost/play".parse().unwrap();
    let (mut socket, _) = within(ClientBuilder::from_uri(uri).connect_on(stream))
        .await
        .unwrap();
    for size in [1, 1_000, 1_000_000] {
        let text = "a".repeat(size);
        within(socket.send(Message::text(text.clone()))).await.unwrap();
        let echoed = within(socket.next()).await.unwrap().unwrap();
        assert_eq!(echoed.as_text(), Some(text.as_str()));
    }
    gateway.drain("stable").await;
    let last = within(socket.next()).await.unwrap().unwrap();
    assert_eq!(last.as_close().map(|(code, _)| u16::from(code)), Some(1012));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named_and_another_one_is_taken_by_a_reload() {
    let backend = Backend::start("stable").await;
    let mut authority = Authority::new();
    let file = authority.path("gateway.yaml");
    let settings = Settings {
        more: authority.settings(),
        ..Settings::default()
    };
    let text = yaml(backend.address, backend.address, &settings);
    std::fs::write(&file, &text).unwrap();
    let config = config::parse(&text, &file.display().to_string()).unwrap();
    let running = server::start(&config, CancellationToken::new()).unwrap();
    let first = authority.connect(running.listen, &[]).await.unwrap();

    for (name, bytes, words) in [
        ("cert.pem", "no pem", "there is no certificate in it"),
        ("key.pem", "no pem", "tls key"),
        ("cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n", "cert.pem"),
    ] {
        let path = authority.path(name);
        let before = std::fs::read(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let error = reload::reload(&running.shared).unwrap_err().to_string();
        assert!(
            error.contains(words) && error.contains("gateway.yaml:"),
            "{error}"
        );
        std::fs::write(&path, before).unwrap();
    }
    // What was open goes on under the certificate that it knows; what comes sees the new one.
    authority.issue();
    reload::reload(&running.shared).unwrap();
    let second = authority.connect(running.listen, &[]).await.unwrap();
    assert_eq!(ask_over_tls(first).await.1["method"], "GET");
    assert_eq!(ask_over_tls(second).await.1["method"], "GET");
    running.shared.shutdown.cancel();
    within(running.stopped()).await;
}

const TRUSTING: &str = "trusted_proxies: [127.0.0.0/8]";

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_clients() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, TRUSTING);
    let headers = [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "play.example"),
        ("x-real-ip", "203.0.113.7"),
    ];
    let told = gateway.get("/echo/x", &headers).await.json();
    assert_eq!(seen(&told, "x-forwarded-for"), ["203.0.113.7, 127.0.0.1"]);
    assert_eq!(seen(&told, "x-forwarded-proto"), ["https"]);
    assert_eq!(seen(&told, "x-forwarded-host"), ["play.example"]);
    assert_eq!(seen(&told, "x-real-ip"), ["203.0.113.7"]);
    // Anybody else's claims are replaced.
    let gateway = Gateway::before(backend.address);
    let told = gateway.get("/echo/x", &headers).await.json();
    assert_eq!(seen(&told, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen(&told, "x-forwarded-proto"), ["http"]);
    assert_eq!(seen(&told, "x-forwarded-host"), [gateway.listen.to_string()]);
    assert!(seen(&told, "x-real-ip").is_empty());
}

#[tokio::test]
async fn the_proxy_protocol_names_the_client_and_who_does_not_speak_it_is_cut() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, &format!("{TRUSTING}\nproxy_protocol: true"));
    let request = "GET /echo/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let v2 = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(),
        &[203, 0, 113, 9, 127, 0, 0, 1, 0, 7, 0, 80],
    ]
    .concat();
    for (header, client) in [
        (
            b"PROXY TCP4 203.0.113.9 127.0.0.1 7 80\r\n".to_vec(),
            "203.0.113.9",
        ),
        (v2, "203.0.113.9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ] {
        let mut raw = Raw::connect(gateway.listen).await;
        // In two pieces, and the second one with the request behind it.
        let (first, second) = header.split_at(header.len() / 2);
        raw.write(first).await;
        raw.write([second, request.as_bytes()].concat()).await;
        let answer = String::from_utf8(raw.rest().await).unwrap();
        let told: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(seen(&told, "x-forwarded-for"), [client]);
    }
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write(request).await;
    assert!(raw.rest().await.is_empty(), "no header, no word");
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_so_and_others_are_not_concerned() {
    let backend = Backend::start("stable").await;
    let more = format!("{TRUSTING}\nrate_limit: {{ per_second: 1, burst: 3 }}");
    let gateway = Gateway::before_with(backend.address, &more);
    let ask = async |client: &str| gateway.get("/who", &[("x-forwarded-for", client)]).await;
    for _ in 0..3 {
        assert_eq!(ask("203.0.113.7").await.status, 200);
    }
    // On a slow machine a second may have passed, and given one more.
    let refused = loop {
        let answer = ask("203.0.113.7").await;
        if answer.status == 429 {
            break answer;
        }
    };
    assert_eq!(refused.error(), (429, 8));
    assert_eq!(ask("203.0.113.8").await.status, 200);
    let metrics = gateway.ask_admin("GET", "/metrics.json", &[], "").await.json();
    assert_eq!(metrics["rate_limited"], 1, "{metrics}");
}

#[tokio::test]
async fn each_request_is_one_line_of_the_access_log() {
    let backend = Backend::start("stable").await;
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.jsonl");
    let gateway = Gateway::before_with(backend.address, &format!("access_log: {}", log.display()));
    let lines = async |count: usize| {
        let mut lines: Vec<Value> = Vec::new();
        eventually("the lines are written", async || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            lines = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            lines.len() >= count
        })
        .await;
        lines
    };
    let headers = [("x-request-id", "id-1"), ("x-version", "v1.3")];
    assert_eq!(
        gateway.get("/status/404?token=secret", &headers).await.status,
        404
    );
    let first = &lines(1).await[0];
    for (key, value) in [
        ("client", "127.0.0.1"),
        ("method", "GET"),
        ("path", "/status/404"),
        ("protocol", "HTTP/1.1"),
        ("backend", "canary"),
        ("version", "v1.3"),
        ("request_id", "id-1"),
    ] {
        assert_eq!(first[key], value, "{first}");
    }
    assert_eq!(first["status"], 404);
    assert!(!first.to_string().contains("secret"));
    // One that nobody can take has a line, too.
    for name in ["stable", "canary"] {
        gateway.drain(name).await;
    }
    assert_eq!(gateway.get("/who", &[]).await.status, 503);
    let second = &lines(2).await[1];
    assert_eq!(
        (&second["status"], &second["backend"]),
        (&503.into(), &Value::Null)
    );
}
