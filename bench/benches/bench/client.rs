//! Players of a run: signed in over HTTP, connected over WebSocket with the binary codec.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use starvault_wire::v1::{self, client_frame::Command, server_frame::Event};
use starvault_wire::{SUBPROTOCOL_BEARER_PREFIX, SUBPROTOCOL_PROTO};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

/// Sign-ins and handshakes that are under way at the same time.
const AT_ONCE: usize = 64;

/// Signs `count` guests in; answers their tokens.
pub async fn sign_in(address: SocketAddr, count: usize) -> anyhow::Result<Vec<String>> {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let one = |n: usize| {
        let client = client.clone();
        async move {
            let request = Request::post(format!("http://{address}/v1/guests"))
                .header(header::CONTENT_TYPE, "application/json")
                // The gateway keeps guests without a token apart by this.
                .header("x-session-id", format!("bench-{n}"))
                .body(Full::new(Bytes::from_static(b"{}")))?;
            let response = client.request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            if !status.is_success() {
                bail!("sign-in {n}: {status} {}", String::from_utf8_lossy(&body));
            }
            let answer: v1::SignInAsGuestResponse = serde_json::from_slice(&body)?;
            Ok(answer.token)
        }
    };
    futures_util::stream::iter((0..count).map(|n| Ok(one(n))))
        .try_buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// One connected player.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    request_id: u32,
}

/// Connects everybody and waits for each welcome.
pub async fn connect_all(address: SocketAddr, tokens: &[String]) -> anyhow::Result<Vec<Socket>> {
    futures_util::stream::iter(tokens.iter().map(|token| Ok(Socket::connect(address, token))))
        .try_buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

impl Socket {
    pub async fn connect(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let offered = format!("{SUBPROTOCOL_PROTO}, {SUBPROTOCOL_BEARER_PREFIX}{token}");
        let uri = format!("ws://{address}/v1/play").parse()?;
        let (stream, _) = ClientBuilder::from_uri(uri)
            .add_header(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::try_from(offered)?)?
            .connect_on(tcp)
            .await?;
        let mut socket = Self {
            stream,
            request_id: 0,
        };
        match socket.next().await? {
            Event::Welcome(_) => Ok(socket),
            other => bail!("no welcome but {other:?}"),
        }
    }

    pub async fn send(&mut self, command: Command) -> anyhow::Result<()> {
        self.request_id += 1;
        let frame = v1::ClientFrame {
            request_id: self.request_id,
            command: Some(command),
        };
        Ok(self
            .stream
            .send(Message::binary(Bytes::from(frame.encode_to_vec())))
            .await?)
    }

    /// The next frame; cancel-safe.
    pub async fn next(&mut self) -> anyhow::Result<Event> {
        loop {
            let message = self.stream.next().await.context("the connection ended")??;
            if message.is_binary() {
                let frame = v1::ServerFrame::decode(&**message.as_payload())?;
                return frame.event.context("an empty frame");
            }
            if message.is_close() {
                bail!("the server closed: {:?}", message.as_close());
            }
        }
    }
}

/// `JoinLobby` without a wish.
pub fn join() -> Command {
    Command::JoinLobby(v1::JoinLobby::default())
}
