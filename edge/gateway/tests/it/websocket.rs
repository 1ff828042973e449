//! WebSocket tunnels: what passes, how they end, and what a drain does to them.

use std::net::SocketAddr;

use ::http::{HeaderName, HeaderValue};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_websockets::{ClientBuilder, CloseCode, MaybeTlsStream, Message, WebSocketStream};

use super::backend::Backend;
use super::raw::{Raw, listener};
use super::support::{Gateway, Settings, eventually, within};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> (Socket, ::http::HeaderMap) {
    let uri = format!("ws://{address}{path}");
    let mut builder = ClientBuilder::new().uri(&uri).unwrap();
    for (name, value) in headers {
        builder = builder
            .add_header(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
            .unwrap();
    }
    let (socket, response) = within(builder.connect()).await.unwrap();
    (socket, response.headers().clone())
}

async fn next(socket: &mut Socket) -> Message {
    within(socket.next())
        .await
        .expect("the socket ended")
        .expect("the socket failed")
}

async fn closed_with(socket: &mut Socket) -> (CloseCode, String) {
    let message = next(socket).await;
    let (code, reason) = message
        .as_close()
        .unwrap_or_else(|| panic!("{message:?} is no close frame"));
    (code, reason.to_owned())
}

#[tokio::test]
async fn messages_pass_both_ways_whatever_their_size() {
    let mut backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let protocols = "starvault.v1.json, bearer.abc";
    let (mut socket, headers) = open(gateway.listen, "/play", &[("sec-websocket-protocol", protocols)]).await;
    assert_eq!(headers["sec-websocket-protocol"], "starvault.v1.json");
    assert_eq!(headers["x-served-version"], "v1.2");
    for bytes in [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000] {
        let sent: Bytes = (0..bytes).map(|at| at as u8).collect();
        within(socket.send(Message::binary(sent.clone()))).await.unwrap();
        assert!(
            next(&mut socket).await.as_payload()[..] == sent[..],
            "{bytes} bytes came back changed"
        );
    }
    let stable = gateway.metrics("stable").await;
    assert_eq!(
        (&stable["open_websockets"], &stable["in_flight"]),
        (&1.into(), &0.into())
    );
    assert_eq!(
        (&stable["requests"], &stable["statuses"]["101"]),
        (&1.into(), &1.into())
    );
    within(socket.close()).await.unwrap();
    backend.saw("socket closed").await;
    eventually("the tunnel is gone", async || {
        gateway.metrics("stable").await["open_websockets"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_refused_upgrade_passes_as_it_is() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write(UPGRADE.replace("/play", "/status/401")).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 401"));
    assert_eq!(gateway.metrics("stable").await["open_websockets"], 0);
}

#[tokio::test]
async fn a_drain_closes_every_tunnel_of_its_backend_and_no_other() {
    let (mut stable, canary) = (Backend::start("stable").await, Backend::start("canary").await);
    let gateway = Gateway::start(stable.address, canary.address, &Settings::default());
    let mut on_stable = Vec::new();
    for _ in 0..3 {
        on_stable.push(open(gateway.listen, "/play", &[]).await.0);
    }
    let (mut on_canary, headers) = open(gateway.listen, "/play?at=v1.3", &[]).await;
    assert_eq!(headers["x-served-version"], "v1.3");

    assert_eq!(gateway.drain("stable").await["closed_websockets"], 3);
    assert_eq!(gateway.metrics("stable").await["open_websockets"], 0);
    for mut socket in on_stable {
        assert_eq!(
            closed_with(&mut socket).await,
            (CloseCode::SERVICE_RESTART, "draining".to_owned())
        );
        stable.saw("socket closed").await;
    }
    within(on_canary.send(Message::text("still here"))).await.unwrap();
    assert_eq!(next(&mut on_canary).await.as_text(), Some("still here"));
    // New sockets go to the other backend, until the drain is over.
    assert_eq!(
        open(gateway.listen, "/play?at=v1.2", &[]).await.1["x-served-version"],
        "v1.3"
    );
    gateway
        .ask_admin("POST", "/backends/stable/undrain", &[], "")
        .await;
    let (mut again, headers) = open(gateway.listen, "/play", &[]).await;
    assert_eq!(headers["x-served-version"], "v1.2");
    within(again.send(Message::text("hello"))).await.unwrap();
    assert_eq!(next(&mut again).await.as_text(), Some("hello"));
}

const UPGRADE: &str = "GET /play HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Served-Version: lie\r\n\r\n";
const CLOSE: &[u8] = b"\x88\x0a\x03\xf4draining";

/// A tunnel with bare sockets at both ends; `early` comes right behind the switch of protocols.
async fn bare(gateway: &Gateway, listener: &TcpListener, early: &[u8]) -> (Raw, Raw) {
    let mut client = Raw::connect(gateway.listen).await;
    client.write(UPGRADE).await;
    let mut server = Raw::accept(listener).await;
    let head = server.head().await.to_ascii_lowercase();
    assert!(
        head.contains("upgrade: websocket") && head.contains("sec-websocket-key"),
        "{head}"
    );
    server.write([SWITCHING.as_bytes(), early].concat()).await;
    let head = client.head().await.to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 101") && head.contains("x-served-version: v1.2"),
        "{head}"
    );
    (client, server)
}

fn frame(first: u8, payload: usize) -> Vec<u8> {
    let mut frame = vec![first, 127];
    frame.extend((payload as u64).to_be_bytes());
    // Looks like close frames, to whoever takes payload for headers.
    frame.extend([0x88, 0].repeat(payload / 2));
    frame
}

/// Begins a drain and returns when the gateway has heard of it.
async fn begin_drain(gateway: &Gateway) -> tokio::task::JoinHandle<Vec<u8>> {
    let admin = gateway.admin;
    let draining = tokio::spawn(async move {
        let mut raw = Raw::connect(admin).await;
        raw.write("POST /backends/stable/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        raw.rest().await
    });
    eventually("the backend drains", async || {
        gateway.metrics("stable").await["draining"] == true
    })
    .await;
    draining
}

#[tokio::test]
async fn a_drain_waits_for_the_end_of_a_large_frame() {
    let (listener, address) = listener().await;
    let gateway = Gateway::before_with(address, "limits: { drain_timeout_ms: 20000 }");
    // The first fragment of a message, as large as no buffer, half of it right behind the upgrade.
    let (large, small) = (frame(0x02, 300_000), [0x80, 0x02, b'h', b'i']);
    let (mut client, mut server) = bare(&gateway, &listener, &large[..1_000]).await;
    server.write(&large[1_000..100_000]).await;
    assert!(client.exactly(100_000).await == large[..100_000]);

    let draining = begin_drain(&gateway).await;
    server.write([&large[100_000..], &small].concat()).await;
    let rest = client.rest().await;
    assert!(
        rest[..200_010] == large[100_000..],
        "the frame that was under way must arrive whole"
    );
    assert_eq!(&rest[200_010..], CLOSE, "and then the close frame alone");
    assert_eq!(server.rest().await, b"", "the backend's side is closed, too");
    drop(client);
    let answer = String::from_utf8(within(draining).await.unwrap()).unwrap();
    assert!(answer.ends_with("{\"closed_websockets\":1}"), "{answer}");
}

#[tokio::test]
async fn a_drain_between_frames_closes_at_once() {
    let (listener, address) = listener().await;
    let gateway = Gateway::before(address);
    let hello = [0x81, 0x02, b'h', b'i'];
    let (mut client, _server) = bare(&gateway, &listener, &hello).await;
    assert_eq!(client.exactly(4).await, hello);
    gateway.drain("stable").await;
    assert_eq!(client.rest().await, CLOSE);
}

#[tokio::test]
async fn no_second_close_frame_follows_the_backends_own() {
    let (listener, address) = listener().await;
    let gateway = Gateway::before(address);
    let own = [0x88, 0x02, 0x03, 0xe8];
    let (mut client, _server) = bare(&gateway, &listener, &own).await;
    assert_eq!(client.exactly(4).await, own);
    gateway.drain("stable").await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_frame_that_never_ends_is_cut_at_the_drain_limit() {
    let (listener, address) = listener().await;
    let gateway = Gateway::before_with(address, "limits: { drain_timeout_ms: 50 }");
    let (mut client, mut server) = bare(&gateway, &listener, &frame(0x82, 300_000)[..1_000]).await;
    client.exactly(1_000).await;
    assert_eq!(gateway.drain("stable").await["closed_websockets"], 1);
    assert_eq!(
        client.rest().await,
        b"",
        "half a frame cannot be followed by a close frame"
    );
    assert_eq!(server.rest().await, b"");
}

#[tokio::test]
async fn a_silent_tunnel_ends_at_the_idle_limit() {
    let (listener, address) = listener().await;
    let gateway = Gateway::before_with(address, "limits: { stream_idle_timeout_ms: 500 }");
    let (mut client, mut server) = bare(&gateway, &listener, b"").await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.rest().await, b"");
    eventually("the tunnel is gone", async || {
        gateway.metrics("stable").await["open_websockets"] == 0
    })
    .await;
}

#[tokio::test]
async fn one_side_may_finish_first_but_the_other_not_forever() {
    use tokio::io::AsyncWriteExt as _;
    let (listener, address) = listener().await;
    let gateway = Gateway::before_with(address, "limits: { half_close_timeout_ms: 1000 }");
    let (mut client, mut server) = bare(&gateway, &listener, b"").await;
    client.write("last words").await;
    client.0.shutdown().await.unwrap();
    assert_eq!(server.rest().await, b"last words");
    server.write([0x81, 0x03, b'b', b'y', b'e']).await;
    // The backend does not close: the gateway does.
    assert_eq!(client.rest().await, [0x81, 0x03, b'b', b'y', b'e']);
    eventually("the tunnel is gone", async || {
        gateway.metrics("stable").await["open_websockets"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_gets_everything() {
    let (listener, address) = listener().await;
    let gateway = Gateway::before(address);
    let (mut client, mut server) = bare(&gateway, &listener, b"").await;
    let large = frame(0x82, 20_000_000);
    let sent = large.clone();
    let sending = tokio::spawn(async move {
        server.write(&sent).await;
        server
    });
    let mut got = Vec::new();
    while got.len() < large.len() {
        got.extend(client.exactly(1_000_000.min(large.len() - got.len())).await);
        tokio::task::yield_now().await;
    }
    assert!(got == large);
    drop(within(sending).await.unwrap());
    assert_eq!(client.rest().await, b"");
}
