//! Bytes on sockets: what clients and backends of this bench say, made beforehand, and just enough reading to know when
//! it is their turn. Both sides take far less time than a proxy between them, so that it is the proxy that is measured.

use anyhow::bail;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const BUFFER_BYTES: usize = 16 * 1024;

/// One end of a connection.
pub trait Talker: Send + 'static {
    /// Answers how many bytes of `input` it has understood; what it has to say goes to `output`.
    fn hear(&mut self, input: &[u8], output: &mut Vec<u8>) -> anyhow::Result<usize>;
}

/// Speaks until the other end closes. Begins with what is in `output`.
pub async fn talk(mut stream: TcpStream, mut talker: impl Talker, mut output: Vec<u8>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buffer, mut have) = (vec![0; BUFFER_BYTES], 0);
    loop {
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
        let read = stream.read(&mut buffer[have..]).await?;
        if read == 0 {
            return Ok(());
        }
        have += read;
        let taken = talker.hear(&buffer[..have], &mut output)?;
        buffer.copy_within(taken..have, 0);
        have -= taken;
        if have == buffer.len() {
            bail!("more than {BUFFER_BYTES} bytes and no end: {:?}", &buffer[..64]);
        }
    }
}

/// The body of every HTTP answer; no head ends with it.
pub const HTTP_BODY: &[u8] = br#"{"status":"ok","players":481,"games":240,"release":"bench-1234"}"#;
/// A gRPC message with its prefix (1 byte flags, 4 bytes length).
pub const GRPC_MESSAGE: &[u8] = b"\0\0\0\0\x20a-small-message-of-32-bytes-12345";
/// Payload of a WebSocket frame: as long as a move.
const WEBSOCKET_PAYLOAD: &[u8; 48] = b"game 0198c1d2, command 7, sequence 31, move e2e4";
pub const WEBSOCKET_REQUEST_LINE: &[u8] = b"GET /v1/play HTTP/1.1\r\n";
pub const WEBSOCKET_UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// `session` names the player behind the connection.
pub fn http_request(session: usize) -> Vec<u8> {
    format!(
        "GET /v1/players/me?view=small HTTP/1.1\r\nhost: play.example\r\nuser-agent: bench/1\r\n\
         accept: application/json\r\nx-session-id: bench-{session}\r\n\r\n"
    )
    .into()
}

pub fn http_answer() -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\ncache-control: no-store\r\n\r\n",
        HTTP_BODY.len()
    );
    [head.as_bytes(), HTTP_BODY].concat()
}

pub fn websocket_request(session: usize) -> Vec<u8> {
    let headers = format!(
        "host: play.example\r\nx-session-id: bench-{session}\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    [WEBSOCKET_REQUEST_LINE, headers.as_bytes()].concat()
}

/// Where the head of a message ends, if it is there as a whole.
pub fn head_end(input: &[u8]) -> Option<usize> {
    input
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// A binary frame of a client, masked (RFC 6455 section 5.2).
pub fn client_frame() -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let masked = WEBSOCKET_PAYLOAD
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask);
    let head = [0x82, 0x80 | WEBSOCKET_PAYLOAD.len() as u8];
    head.into_iter().chain(mask).chain(masked).collect()
}

/// A binary frame of a server.
pub fn server_frame() -> Vec<u8> {
    [&[0x82, WEBSOCKET_PAYLOAD.len() as u8], &WEBSOCKET_PAYLOAD[..]].concat()
}

/// HTTP/2 (RFC 9113) and the header compression that it needs (RFC 7541).
pub mod h2 {
    use anyhow::{Context as _, bail};

    pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const WINDOW_UPDATE: u8 = 8;
    pub const END_STREAM: u8 = 0x1;
    const ACK: u8 = 0x1;
    const END_HEADERS: u8 = 0x4;
    /// What a connection may receive without another word: enough for a whole run.
    const WINDOW_MORE: u32 = (1 << 31) - 1 - 65_535;

    #[derive(Debug, Clone, Copy)]
    pub struct Frame<'a> {
        pub kind: u8,
        pub flags: u8,
        pub stream: u32,
        pub payload: &'a [u8],
    }

    impl Frame<'_> {
        pub fn write(&self, output: &mut Vec<u8>) {
            output.extend(&(self.payload.len() as u32).to_be_bytes()[1..]);
            output.extend([self.kind, self.flags]);
            output.extend(self.stream.to_be_bytes());
            output.extend(self.payload);
        }

        /// True when the frame was about the connection and is dealt with.
        pub fn is_housekeeping(&self, output: &mut Vec<u8>) -> anyhow::Result<bool> {
            match self.kind {
                DATA | HEADERS => return Ok(false),
                SETTINGS | PING if self.flags & ACK == 0 => {
                    let payload = if self.kind == PING { self.payload } else { &[] };
                    Frame {
                        flags: ACK,
                        payload,
                        ..*self
                    }
                    .write(output);
                }
                RST_STREAM | GOAWAY => bail!("HTTP/2 ended early: {self:?}"),
                _ => {}
            }
            Ok(true)
        }
    }

    /// The first frame and its length, if it is there as a whole.
    pub fn frame(input: &[u8]) -> Option<(Frame<'_>, usize)> {
        let (head, rest) = input.split_first_chunk::<9>()?;
        let [l0, l1, l2, kind, flags, stream @ ..] = *head;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let payload = rest.get(..length)?;
        let stream = u32::from_be_bytes(stream);
        Some((
            Frame {
                kind,
                flags,
                stream,
                payload,
            },
            9 + length,
        ))
    }

    /// How a side begins: its settings, and room for what it will receive.
    pub fn begin(output: &mut Vec<u8>) {
        let about = |kind, payload| Frame {
            kind,
            flags: 0,
            stream: 0,
            payload,
        };
        about(SETTINGS, &[]).write(output);
        about(WINDOW_UPDATE, &WINDOW_MORE.to_be_bytes()).write(output);
    }

    /// True when these settings leave the other side's table of headers without room (nginx's do).
    pub fn forbids_table(settings: &Frame<'_>) -> bool {
        const HEADER_TABLE_SIZE: u8 = 1;
        settings.kind == SETTINGS
            && settings
                .payload
                .chunks(6)
                .any(|one| one == [0, HEADER_TABLE_SIZE, 0, 0, 0, 0])
    }

    /// A list of headers as the libraries send it: spelled out once, and by their places in the table from then on.
    #[derive(Debug)]
    pub struct HeaderList {
        first: Vec<u8>,
        again: Vec<u8>,
        told: bool,
    }

    impl HeaderList {
        /// `fixed` are places in the static table. `after`: how many headers of other lists enter the table between
        /// the first use of this one and its further ones.
        pub fn new(fixed: &[u8], headers: &[(&str, &str)], after: usize) -> anyhow::Result<Self> {
            let indexed = |place: usize| {
                u8::try_from(place)
                    .ok()
                    .filter(|place| *place < 0x7f)
                    .map(|place| 0x80 | place)
            };
            let fixed: Vec<u8> = fixed.iter().map(|place| 0x80 | place).collect();
            let (mut first, mut again) = (fixed.clone(), fixed);
            for (at, (name, value)) in headers.iter().enumerate() {
                first.push(0x40);
                for text in [name, value] {
                    first.push(
                        u8::try_from(text.len())
                            .ok()
                            .filter(|length| *length < 0x7f)
                            .context("too long")?,
                    );
                    first.extend(text.as_bytes());
                }
                // The youngest entry has the first place behind the 61 of the static table.
                again.push(indexed(62 + after + headers.len() - 1 - at).context("too many headers")?);
            }
            Ok(Self {
                first,
                again,
                told: false,
            })
        }

        /// As [`Self::new`], for a side that keeps no table: spelled out each time.
        pub fn without_table(fixed: &[u8], headers: &[(&str, &str)]) -> anyhow::Result<Self> {
            let mut list = Self::new(fixed, headers, 0)?;
            let mut at = fixed.len();
            for (name, value) in headers {
                list.first[at] = 0;
                at += 3 + name.len() + value.len();
            }
            list.again.clone_from(&list.first);
            Ok(list)
        }

        pub fn write(&mut self, stream: u32, end: bool, output: &mut Vec<u8>) {
            let told = std::mem::replace(&mut self.told, true);
            let payload = if told { &self.again } else { &self.first };
            let flags = END_HEADERS | if end { END_STREAM } else { 0 };
            Frame {
                kind: HEADERS,
                flags,
                stream,
                payload,
            }
            .write(output);
        }
    }
}
