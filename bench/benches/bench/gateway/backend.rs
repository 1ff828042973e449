//! The backends: the same answer to everything, in the protocol in which it was asked.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::wire::{
    GRPC_MESSAGE, Talker, WEBSOCKET_REQUEST_LINE, WEBSOCKET_UPGRADED, client_frame, h2, head_end,
    http_answer, server_frame, talk,
};

/// Listens on a free port for as long as the runtime lives.
pub async fn start() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A proxy may leave at any moment; what it missed is noticed by the clients.
            tokio::spawn(talk(stream, Backend::Unknown, Vec::new()));
        }
    });
    Ok(address)
}

enum Backend {
    Unknown,
    Http { answer: Vec<u8> },
    WebSocket { heard: usize, said: Vec<u8> },
    Grpc(Grpc),
}

struct Grpc {
    head: h2::HeaderList,
    trailers: h2::HeaderList,
}

/// The place of ":status: 200" in the static table.
const STATUS_200: &[u8] = &[8];
const HEAD: &[(&str, &str)] = &[("content-type", "application/grpc")];
const TRAILERS: &[(&str, &str)] = &[("grpc-status", "0")];

impl Grpc {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            head: h2::HeaderList::new(STATUS_200, HEAD, TRAILERS.len())?,
            trailers: h2::HeaderList::new(&[], TRAILERS, 0)?,
        })
    }

    fn without_table() -> anyhow::Result<Self> {
        Ok(Self {
            head: h2::HeaderList::without_table(STATUS_200, HEAD)?,
            trailers: h2::HeaderList::without_table(&[], TRAILERS)?,
        })
    }
}

impl Talker for Backend {
    fn hear(&mut self, input: &[u8], output: &mut Vec<u8>) -> anyhow::Result<usize> {
        let mut taken = 0;
        match self {
            Self::Unknown => {
                let begun = input.len().min(h2::PREFACE.len());
                if input[..begun] != h2::PREFACE[..begun] {
                    *self = Self::Http {
                        answer: http_answer(),
                    };
                    return self.hear(input, output);
                }
                if begun == h2::PREFACE.len() {
                    h2::begin(output);
                    *self = Self::Grpc(Grpc::new()?);
                    return Ok(begun + self.hear(&input[begun..], output)?);
                }
            }
            Self::Http { answer } => {
                while let Some(end) = head_end(&input[taken..]) {
                    let head = &input[taken..taken + end];
                    taken += end;
                    if head.starts_with(WEBSOCKET_REQUEST_LINE) {
                        output.extend(WEBSOCKET_UPGRADED);
                        *self = Self::WebSocket {
                            heard: client_frame().len(),
                            said: server_frame(),
                        };
                        return Ok(taken + self.hear(&input[taken..], output)?);
                    }
                    output.extend_from_slice(answer);
                }
            }
            Self::WebSocket { heard, said } => {
                while input.len() - taken >= *heard {
                    taken += *heard;
                    output.extend_from_slice(said);
                }
            }
            Self::Grpc(grpc) => {
                while let Some((frame, length)) = h2::frame(&input[taken..]) {
                    taken += length;
                    if h2::forbids_table(&frame) {
                        *grpc = Grpc::without_table()?;
                    }
                    // A call that was given up changes nothing for the others.
                    if frame.kind == h2::RST_STREAM
                        || frame.is_housekeeping(output)?
                        || frame.flags & h2::END_STREAM == 0
                    {
                        continue;
                    }
                    grpc.head.write(frame.stream, false, output);
                    let message = h2::Frame {
                        kind: h2::DATA,
                        flags: 0,
                        stream: frame.stream,
                        payload: GRPC_MESSAGE,
                    };
                    message.write(output);
                    grpc.trailers.write(frame.stream, true, output);
                }
            }
        }
        Ok(taken)
    }
}
