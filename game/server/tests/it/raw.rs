//! A WebSocket client made of bytes, for everything that a well-behaved library would not send.

use starvault_wire::v1::{ServerFrame, server_frame::Event};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Running, SignedIn, soon};

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
/// The bit of a frame's first byte that ends a message.
pub const FIN: u8 = 0x80;

/// A frame from a client: `first` is its first byte, flags and opcode (RFC 6455, section 5.2).
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = head(first, 0x80, payload.len());
    bytes.extend(KEY);
    bytes.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

/// A whole text message.
pub fn text(payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(FIN | TEXT, payload.as_ref())
}

pub fn head(first: u8, mask: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(mask | length as u8),
        126..=0xffff => {
            bytes.push(mask | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes
}

/// A payload of a close frame.
pub fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

/// A command that is answered with `Pong`, in exactly so many bytes.
pub fn ping_command(request_id: u32, bytes: usize) -> String {
    let head = format!(r#"{{"requestId":{request_id},"ping":{{}},"x":""#);
    let padding = bytes - head.len() - 2;
    format!(r#"{head}{}"}}"#, "*".repeat(padding))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// A connection that speaks JSON.
pub struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Raw {
    /// Opens a socket and reads the welcome.
    pub async fn open(server: &Running, who: &SignedIn) -> Self {
        let request = format!(
            "GET /v1/play HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             authorization: Bearer {}\r\n\r\n",
            who.token
        );
        let mut raw = Self::connect(server).await;
        raw.send(request.as_bytes()).await;
        let head = raw.http_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // The example of RFC 6455, section 1.3.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        let welcome = raw.event().await;
        assert!(matches!(welcome, Event::Welcome(_)), "{welcome:?}");
        raw
    }

    /// A connection over which nothing was said.
    pub async fn connect(server: &Running) -> Self {
        Self {
            stream: TcpStream::connect(server.address).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        soon("bytes are sent", self.stream.write_all(bytes))
            .await
            .unwrap();
    }

    /// The server may close before it has read all of this.
    pub async fn send_in_vain(&mut self, bytes: &[u8]) {
        let _ = soon("bytes are sent", self.stream.write_all(bytes)).await;
    }

    /// Each byte in a segment of its own.
    pub async fn send_bytewise(&mut self, bytes: &[u8]) {
        self.stream.set_nodelay(true).unwrap();
        for byte in bytes {
            self.send(&[*byte]).await;
            tokio::task::yield_now().await;
        }
    }

    /// The head of an HTTP answer.
    pub async fn http_head(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                return String::from_utf8(head).unwrap();
            }
            assert!(self.fill().await, "the connection ended before an answer");
        }
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> bool {
        let read = soon("bytes come", self.stream.read_buf(&mut self.buffer)).await;
        // A reset is an end as well: the server closed while this side was still sending.
        read.is_ok_and(|bytes| bytes > 0)
    }

    /// Ready when the server has ended the connection, whatever it says before.
    pub async fn ended(&mut self) {
        while self.fill().await {}
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            if let Some((received, bytes)) = parse(&self.buffer) {
                self.buffer.drain(..bytes);
                return Some(received);
            }
            if !self.fill().await {
                assert!(self.buffer.is_empty(), "half a frame: {:?}", self.buffer);
                return None;
            }
        }
    }

    /// The next message of the server; its pings are passed over.
    pub async fn event(&mut self) -> Event {
        loop {
            let received = self.next().await.expect("the connection goes on");
            match received.opcode {
                PING => {}
                TEXT => {
                    let frame: ServerFrame = serde_json::from_slice(&received.payload).unwrap();
                    return frame.event.unwrap();
                }
                _ => panic!("a message is expected: {received:?}"),
            }
        }
    }

    /// The connection still works.
    pub async fn assert_alive(&mut self) {
        self.send(&text(r#"{"requestId":77,"ping":{}}"#)).await;
        let event = self.event().await;
        assert!(matches!(event, Event::Pong(_)), "{event:?}");
    }

    /// The payload of the close frame, after which nothing comes but the end. What comes before it
    /// is passed over.
    pub async fn close_payload(&mut self) -> Vec<u8> {
        loop {
            let received = self.next().await.expect("a close frame comes before the end");
            if received.opcode == CLOSE {
                // A pong that was due already may be on its way as well.
                while let Some(after) = self.next().await {
                    assert_eq!(after.opcode, PONG, "nothing follows a close");
                }
                return received.payload;
            }
        }
    }

    /// The code that the server closes with.
    pub async fn close_code(&mut self) -> u16 {
        let payload = self.close_payload().await;
        std::str::from_utf8(&payload[2..]).unwrap();
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

/// One frame from a server and how many bytes it took. Checks what RFC 6455 demands of a server.
fn parse(bytes: &[u8]) -> Option<(Received, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(first & 0x70, 0, "reserved bits");
    assert_eq!(first & FIN, FIN, "this server sends no fragments");
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (length, head) = match second {
        126 => (
            usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())),
            4,
        ),
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap());
            (usize::try_from(length).unwrap(), 10)
        }
        length => (usize::from(length), 2),
    };
    assert!(first & 8 == 0 || length <= 125, "a control frame is short");
    let payload = bytes.get(head..head + length)?.to_vec();
    let opcode = first & 0x0f;
    Some((Received { opcode, payload }, head + length))
}
