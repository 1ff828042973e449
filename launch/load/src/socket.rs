//! One WebSocket of a player: connect, frames of the contract, polite and impolite ends.
//!
//! Knows nothing of games. Plain TCP only.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderName, HeaderValue, header};
use prost::Message as _;
use starvault_wire::v1::{self, client_frame::Command};
use starvault_wire::{SUBPROTOCOL_BEARER_PREFIX, SUBPROTOCOL_PROTO};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, CloseCode, Limits, Message, WebSocketStream};

use crate::api::SERVED_VERSION;
use crate::target::Target;

/// A server frame above this size (bytes) breaks the connection.
const SERVER_FRAME_BYTES_MAX: usize = 1024 * 1024;
/// How much of the handshake's answer is kept, to learn who refused it (bytes).
const HANDSHAKE_BYTES_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct PlaySocket {
    stream: WebSocketStream<Wire>,
    request_id: u32,
}

/// What the other end says.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are frames, taken apart at once"
)]
pub(crate) enum Incoming {
    Frame(v1::ServerFrame),
    /// A close frame, with its code if it had one.
    Closed(Option<u16>),
    /// The connection ended without a word, or said what is not in the contract.
    Broken,
}

/// An upgrade that did not come about.
#[derive(Debug)]
pub(crate) struct Refused {
    /// `http_500`, `connection`, `handshake`.
    pub code: String,
    /// Who refused, when a gateway said so.
    pub release: Option<String>,
}

impl PlaySocket {
    /// Opens the WebSocket. The second value is the release that a gateway named, if any.
    /// Has no time limit of its own.
    pub async fn connect(
        target: &Target,
        token: &str,
        at: Option<&str>,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<(Self, Option<String>), Refused> {
        let refused = |code: &str| Refused {
            code: code.to_owned(),
            release: None,
        };
        let tcp = match target.through {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect((target.host.as_str(), target.port)).await,
        }
        .map_err(|_| refused("connection"))?;
        // A move is one small packet: it must not wait for the acknowledgement of the previous one.
        tcp.set_nodelay(true).map_err(|_| refused("connection"))?;
        let head = Arc::new(Mutex::new(Vec::new()));
        let wire = Wire {
            tcp,
            head: Some(head.clone()),
        };

        let uri = target.play_uri(at).map_err(|_| refused("handshake"))?;
        let offered = format!("{SUBPROTOCOL_PROTO}, {SUBPROTOCOL_BEARER_PREFIX}{token}");
        let offered = HeaderValue::try_from(offered).map_err(|_| refused("handshake"))?;
        let mut builder = ClientBuilder::from_uri(uri)
            .limits(Limits::default().max_payload_len(Some(SERVER_FRAME_BYTES_MAX)))
            .add_header(header::SEC_WEBSOCKET_PROTOCOL, offered)
            .map_err(|_| refused("handshake"))?;
        for (name, value) in headers {
            builder = builder
                .add_header(name.clone(), value.clone())
                .map_err(|_| refused("handshake"))?;
        }
        match builder.connect_on(wire).await {
            Ok((mut stream, response)) => {
                stream.get_mut().head = None;
                let chosen = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
                if chosen.is_none_or(|p| p.as_bytes() != SUBPROTOCOL_PROTO.as_bytes()) {
                    return Err(refused("subprotocol"));
                }
                let served = crate::api::served_version(response.headers());
                Ok((
                    Self {
                        stream,
                        request_id: 0,
                    },
                    served,
                ))
            }
            Err(error) => {
                let head = head.lock().unwrap_or_else(PoisonError::into_inner);
                Err(Refused {
                    code: refusal_code(&error),
                    release: find_header(&head, SERVED_VERSION),
                })
            }
        }
    }

    /// Sends a command; returns the request id that the answer will carry.
    pub async fn send(&mut self, command: Command) -> Result<u32, ()> {
        self.request_id += 1;
        let frame = v1::ClientFrame {
            request_id: self.request_id,
            command: Some(command),
        };
        let message = Message::binary(Bytes::from(frame.encode_to_vec()));
        self.stream.send(message).await.map_err(|_| ())?;
        Ok(self.request_id)
    }

    /// The next frame. Cancel-safe. Pings are answered by the protocol's implementation.
    pub async fn next(&mut self) -> Incoming {
        loop {
            match self.stream.next().await {
                Some(Ok(message)) if message.is_binary() => {
                    return match v1::ServerFrame::decode(&**message.as_payload()) {
                        Ok(frame) => Incoming::Frame(frame),
                        Err(_) => Incoming::Broken,
                    };
                }
                Some(Ok(message)) if message.is_close() => {
                    let code = message.as_close().map(|(code, _)| u16::from(code));
                    return Incoming::Closed(code);
                }
                Some(Ok(message)) if message.is_text() => return Incoming::Broken,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Incoming::Broken,
            }
        }
    }

    /// Says goodbye. Does not wait for the answer: the other end may be gone.
    pub async fn close(mut self) {
        let _ = self
            .stream
            .send(Message::close(Some(CloseCode::NORMAL_CLOSURE), ""))
            .await;
    }

    /// Ends the TCP connection with a reset: what a lost network or a killed app looks like.
    pub fn abort(self) {
        let _ = self.stream.get_ref().tcp.set_zero_linger();
    }
}

fn refusal_code(error: &tokio_websockets::Error) -> String {
    use tokio_websockets::{Error, upgrade};
    match error {
        Error::Upgrade(upgrade::Error::DidNotSwitchProtocols(status)) => format!("http_{status}"),
        Error::Io(_) => "connection".into(),
        _ => "handshake".into(),
    }
}

/// The value of a header in the raw head of an HTTP answer.
fn find_header(head: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    text.split("\r\n")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
}

/// The TCP connection. Until the handshake is done it keeps what was read, because the WebSocket
/// library tells the status of a refusal but not its headers.
#[derive(Debug)]
struct Wire {
    tcp: TcpStream,
    head: Option<Arc<Mutex<Vec<u8>>>>,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if let (Poll::Ready(Ok(())), Some(head)) = (&read, &self.head) {
            let mut head = head.lock().unwrap_or_else(PoisonError::into_inner);
            let room = HANDSHAKE_BYTES_MAX.saturating_sub(head.len());
            let new = &buf.filled()[before..];
            head.extend_from_slice(&new[..new.len().min(room)]);
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::find_header;

    #[test]
    fn the_head_of_a_refusal_names_who_refused() {
        let head =
            b"HTTP/1.1 500 Internal Server Error\r\nX-Served-Version: v1.3\r\nX: y\r\n\r\nX-Other: body";
        assert_eq!(find_header(head, "x-served-version").as_deref(), Some("v1.3"));
        assert_eq!(find_header(head, "x-other"), None);
        assert_eq!(find_header(b"", "x-other"), None);
    }
}
