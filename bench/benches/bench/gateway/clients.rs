//! The load: connections that ask again as soon as they are answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use super::wire::{
    GRPC_MESSAGE, HTTP_BODY, Talker, client_frame, h2, head_end, http_request, server_frame,
    websocket_request,
};

/// How long each answer took, in microseconds.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<Vec<f64>>>);

impl Tally {
    fn answers(&self) -> MutexGuard<'_, Vec<f64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted since the last time.
    pub fn take(&self) -> Vec<f64> {
        std::mem::take(&mut *self.answers())
    }

    fn answered(&self, asked: Instant, now: Instant) {
        self.answers().push((now - asked).as_secs_f64() * 1e6);
    }
}

pub struct HttpClient {
    request: Vec<u8>,
    asked: Instant,
    tally: Tally,
}

impl HttpClient {
    /// The client and what it says first.
    pub fn new(session: usize, tally: Tally) -> (Self, Vec<u8>) {
        let request = http_request(session);
        let asked = Instant::now();
        (
            Self {
                request: request.clone(),
                asked,
                tally,
            },
            request,
        )
    }
}

impl Talker for HttpClient {
    fn hear(&mut self, input: &[u8], output: &mut Vec<u8>) -> anyhow::Result<usize> {
        if !input.ends_with(HTTP_BODY) {
            return Ok(0);
        }
        ensure!(
            input.starts_with(b"HTTP/1.1 200 "),
            "no answer but {}",
            String::from_utf8_lossy(input)
        );
        let now = Instant::now();
        self.tally.answered(self.asked, now);
        self.asked = now;
        output.extend_from_slice(&self.request);
        Ok(input.len())
    }
}

pub struct WebSocketClient {
    frame: Vec<u8>,
    heard: usize,
    open: bool,
    asked: Instant,
    tally: Tally,
}

impl WebSocketClient {
    /// The client and what it says first.
    pub fn new(session: usize, tally: Tally) -> (Self, Vec<u8>) {
        let client = Self {
            frame: client_frame(),
            heard: server_frame().len(),
            open: false,
            asked: Instant::now(),
            tally,
        };
        (client, websocket_request(session))
    }
}

impl Talker for WebSocketClient {
    fn hear(&mut self, input: &[u8], output: &mut Vec<u8>) -> anyhow::Result<usize> {
        let mut taken = 0;
        if !self.open {
            let Some(end) = head_end(input) else { return Ok(0) };
            ensure!(
                input.starts_with(b"HTTP/1.1 101 "),
                "no upgrade but {}",
                String::from_utf8_lossy(input)
            );
            self.open = true;
            self.asked = Instant::now();
            output.extend_from_slice(&self.frame);
            taken = end;
        }
        while input.len() - taken >= self.heard {
            taken += self.heard;
            let now = Instant::now();
            self.tally.answered(self.asked, now);
            self.asked = now;
            output.extend_from_slice(&self.frame);
        }
        Ok(taken)
    }
}

/// A call under way.
struct Asked {
    stream: u32,
    at: Instant,
    bytes: usize,
}

pub struct GrpcClient {
    headers: h2::HeaderList,
    next: u32,
    calls: Vec<Asked>,
    tally: Tally,
}

impl GrpcClient {
    /// The client, with so many calls at a time, and what it says first.
    pub fn new(session: usize, calls: usize, tally: Tally) -> anyhow::Result<(Self, Vec<u8>)> {
        let session = format!("bench-{session}");
        let headers = [
            (":path", "/starvault.v1.PlayerService/GetProfile"),
            (":authority", "play.example"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", "bench/1"),
            ("grpc-timeout", "1S"),
            ("x-session-id", session.as_str()),
        ];
        let mut client = Self {
            // 3 and 6 are ":method: POST" and ":scheme: http".
            headers: h2::HeaderList::new(&[3, 6], &headers, 0)?,
            next: 1,
            calls: Vec::with_capacity(calls),
            tally,
        };
        let mut output = h2::PREFACE.to_vec();
        h2::begin(&mut output);
        for _ in 0..calls {
            client.call(Instant::now(), &mut output);
        }
        Ok((client, output))
    }

    fn call(&mut self, at: Instant, output: &mut Vec<u8>) {
        let stream = self.next;
        self.next += 2;
        self.headers.write(stream, false, output);
        h2::Frame {
            kind: h2::DATA,
            flags: h2::END_STREAM,
            stream,
            payload: GRPC_MESSAGE,
        }
        .write(output);
        self.calls.push(Asked { stream, at, bytes: 0 });
    }
}

impl Talker for GrpcClient {
    fn hear(&mut self, input: &[u8], output: &mut Vec<u8>) -> anyhow::Result<usize> {
        let now = Instant::now();
        let mut taken = 0;
        while let Some((frame, length)) = h2::frame(&input[taken..]) {
            taken += length;
            if frame.is_housekeeping(output)? {
                continue;
            }
            let at = self.calls.iter().position(|call| call.stream == frame.stream);
            let at = at.with_context(|| format!("a frame of no call: {frame:?}"))?;
            if frame.kind == h2::DATA {
                self.calls[at].bytes += frame.payload.len();
            }
            if frame.flags & h2::END_STREAM != 0 {
                let call = self.calls.swap_remove(at);
                // A refusal has no message, and only an answer with trailers has a status.
                if call.bytes != GRPC_MESSAGE.len() || frame.kind != h2::HEADERS {
                    bail!("an answer of {} bytes that ends with {frame:?}", call.bytes);
                }
                self.tally.answered(call.at, now);
                self.call(now, output);
            }
        }
        Ok(taken)
    }
}
