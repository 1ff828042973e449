//! The way to one client: its pings and how long they take, and frames that several sockets share.
//!
//! Only this server's own pings are measured: what a client claims about its lag counts for
//! nothing. A pong proves that everything written before its ping has arrived.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use starvault_rules::MoveText;
use starvault_wire::{Codec, EncodeError, GameEventFrame, Payload, v1::ServerFrame};
use tokio::{sync::Notify, time::Instant};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Pings whose answers are awaited at the same time; of more, the oldest are not measured.
const PINGS_MAX: usize = 8;
/// The smoothing of RFC 6298, section 2: a new sample counts for one part in this many.
const SMOOTHING: u32 = 8;

/// What one connection knows about the way to its client.
#[derive(Debug)]
pub struct Link {
    numbers: AtomicU32,
    /// When pings that are not answered yet were written.
    sent: Mutex<VecDeque<(u32, Instant)>>,
    /// The latest ping that was answered, and who waits for the next. Smaller than a watch channel,
    /// of which every connection would carry half a kibibyte.
    answered: AtomicU32,
    pongs: Notify,
    /// Microseconds; 0 before the first answer.
    round_trip_us: AtomicU32,
}

impl Link {
    #[must_use]
    pub fn new() -> Self {
        Self {
            numbers: AtomicU32::new(0),
            sent: Mutex::new(VecDeque::new()),
            answered: AtomicU32::new(0),
            pongs: Notify::new(),
            round_trip_us: AtomicU32::new(0),
        }
    }

    /// A number for a ping; they count from 1.
    pub fn next_ping(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// This ping is about to be written: its payload.
    pub fn on_ping(&self, number: u32, now: Instant) -> [u8; 4] {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() >= PINGS_MAX {
            sent.pop_front();
        }
        sent.push_back((number, now));
        number.to_be_bytes()
    }

    /// A pong was read. One that answers no ping of ours (RFC 6455, section 5.5.3,
    /// allows it) says nothing; false then.
    pub fn on_pong(&self, payload: &[u8], now: Instant) -> bool {
        let Ok(number) = payload.try_into().map(u32::from_be_bytes) else {
            return false;
        };
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = sent.iter().find(|(sent, _)| *sent == number).map(|(_, at)| *at) else {
            return false;
        };
        // Section 5.5.3 again: a client may answer only the most recent ping.
        sent.retain(|(sent, _)| *sent > number);
        drop(sent);
        let sample = u32::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(u32::MAX);
        let sample = sample.max(1);
        // The connection's task is the only one that writes this.
        let smoothed = match self.round_trip_us.load(Ordering::Relaxed) {
            0 => sample,
            so_far => so_far - so_far / SMOOTHING + sample / SMOOTHING,
        };
        self.round_trip_us.store(smoothed.max(1), Ordering::Relaxed);
        self.answered.fetch_max(number, Ordering::Release);
        self.pongs.notify_waiters();
        true
    }

    /// Ready once the ping `number` or a later one was answered.
    pub async fn ponged(&self, number: u32) {
        while !self.has_ponged(number) {
            let mut next = pin!(self.pongs.notified());
            // Counted from here on: an answer between the question and the wait is not missed.
            next.as_mut().enable();
            if self.has_ponged(number) {
                return;
            }
            next.await;
        }
    }

    /// Whether the ping `number` or a later one was answered.
    #[must_use]
    pub fn has_ponged(&self, number: u32) -> bool {
        self.answered.load(Ordering::Acquire) >= number
    }

    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        match self.round_trip_us.load(Ordering::Relaxed) {
            0 => None,
            us => Some(Duration::from_micros(us.into())),
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

/// A frame for several sockets. Whoever writes it first in a codec encodes it for all.
#[derive(Debug)]
pub struct SharedFrame {
    content: Content,
    json: OnceLock<Box<[u8]>>,
    proto: OnceLock<Box<[u8]>>,
}

#[derive(Debug)]
enum Content {
    Frame(Box<ServerFrame>),
    News(Box<GameEventFrame<MoveText>>),
}

impl SharedFrame {
    #[must_use]
    pub fn new(frame: ServerFrame) -> Self {
        Self::of(Content::Frame(Box::new(frame)))
    }

    /// What has just happened in a game.
    #[must_use]
    pub fn news(news: GameEventFrame<MoveText>) -> Self {
        Self::of(Content::News(Box::new(news)))
    }

    fn of(content: Content) -> Self {
        Self {
            content,
            json: OnceLock::new(),
            proto: OnceLock::new(),
        }
    }

    /// The WebSocket frame in this codec, as it goes over the wire.
    #[must_use]
    pub fn wire(&self, codec: Codec) -> &[u8] {
        let encoded = match codec {
            Codec::Json => &self.json,
            Codec::Proto => &self.proto,
        };
        let write = || {
            let mut bytes = Vec::new();
            match &self.content {
                Content::Frame(frame) => write_frame(&mut bytes, codec, frame),
                Content::News(news) => write_encoded(&mut bytes, news.encode(codec)),
            }
            bytes.into_boxed_slice()
        };
        encoded.get_or_init(write)
    }

    /// The encoded `ServerFrame` alone.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        payload(self.wire(Codec::Proto))
    }
}

/// What is inside of one of our own WebSocket frames.
fn payload(frame: &[u8]) -> &[u8] {
    let head = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    frame.get(head..).unwrap_or_default()
}

/// Appends a frame to what goes over the wire.
pub fn write_frame(bytes: &mut Vec<u8>, codec: Codec, frame: &ServerFrame) {
    write_encoded(bytes, codec.encode(frame));
}

/// Appends a ping with this payload.
pub fn write_ping(bytes: &mut Vec<u8>, payload: [u8; 4]) {
    write_message(bytes, OpCode::Control(Control::Ping), &payload);
}

fn write_encoded(bytes: &mut Vec<u8>, encoded: Result<Payload, EncodeError>) {
    match encoded {
        Ok(Payload::Text(text)) => write_message(bytes, OpCode::Data(Data::Text), text.as_bytes()),
        Ok(Payload::Binary(binary)) => write_message(bytes, OpCode::Data(Data::Binary), &binary),
        Err(error) => {
            tracing::error!(%error, "a frame cannot be written");
            write_message(bytes, OpCode::Data(Data::Text), b"{}");
        }
    }
}

/// RFC 6455, section 5.2: unfragmented, and unmasked as all that a server sends.
fn write_message(bytes: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    bytes.reserve(payload.len() + 10);
    bytes.push(0x80 | u8::from(opcode));
    match payload.len() {
        length @ 0..=125 => bytes.push(length as u8),
        length @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pong_is_measured_once_and_smoothed() {
        let (link, start) = (Link::new(), Instant::now());
        let ms = Duration::from_millis;
        let payload = link.on_ping(link.next_ping(), start);
        assert_eq!(link.round_trip(), None);
        assert!(link.on_pong(&payload, start + ms(80)));
        assert_eq!(link.round_trip(), Some(ms(80)));
        link.ponged(1).await;
        assert!(!link.on_pong(&payload, start + ms(9_000)));
        assert_eq!(link.round_trip(), Some(ms(80)), "answered already");
        let payload = link.on_ping(link.next_ping(), start);
        link.on_pong(&payload, start + ms(160));
        assert_eq!(link.round_trip(), Some(ms(90)), "one part in eight");
    }

    #[tokio::test]
    async fn only_an_answer_to_our_own_ping_counts() {
        let (link, start) = (Link::new(), Instant::now());
        for unsolicited in [&b""[..], b"x", &[0; 4], &9_u32.to_be_bytes(), &[0; 125]] {
            assert!(!link.on_pong(unsolicited, start));
        }
        assert_eq!(link.round_trip(), None);
        // Far more pings than are remembered: the last one still proves that all have arrived.
        let payloads: Vec<_> = (0..100).map(|_| link.on_ping(link.next_ping(), start)).collect();
        assert!(link.sent.lock().unwrap().len() <= PINGS_MAX);
        link.on_pong(&payloads[0], start);
        assert_eq!(link.answered.load(Ordering::Acquire), 0, "forgotten");
        link.on_pong(&payloads[99], start + Duration::from_millis(1));
        link.ponged(1).await;
        assert!(link.sent.lock().unwrap().is_empty());
    }

    #[test]
    fn a_shared_frame_is_encoded_once_per_codec() {
        let shared = SharedFrame::new(ServerFrame {
            request_id: 3,
            event: None,
        });
        let (one, two) = (shared.wire(Codec::Json), shared.wire(Codec::Json));
        assert_eq!(one.as_ptr(), two.as_ptr(), "the same bytes");
        assert_eq!(one, b"\x81\x0f{\"requestId\":3}");
        assert_eq!(shared.wire(Codec::Proto), [0x82, 2, 8, 3]);
    }

    /// Against an encoder of another hand.
    #[test]
    fn a_frame_of_any_length_is_framed_as_the_standard_says() {
        use tungstenite::protocol::frame::Frame;
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload = vec![b'x'; length];
            let mut ours = Vec::new();
            write_message(&mut ours, OpCode::Data(Data::Text), &payload);
            let mut theirs = Vec::new();
            Frame::message(payload, OpCode::Data(Data::Text), true)
                .format(&mut theirs)
                .unwrap();
            assert!(ours == theirs, "{length} bytes");
            assert_eq!(super::payload(&ours).len(), length);
        }
        let mut ping = Vec::new();
        write_ping(&mut ping, [0, 0, 0, 7]);
        assert_eq!(ping, [0x89, 4, 0, 0, 0, 7]);
    }
}
