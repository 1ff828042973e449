//! Where WebSocket frames begin and end in a byte stream (RFC 6455 section 5.2).
//!
//! Reads frame headers only, never payloads, and keeps at most one header (14 bytes) however the
//! stream is cut into reads. A boundary is the place between two frames; also between the
//! fragments of one message, where a control frame may stand (section 5.4).

/// Status code of the close frame that draining sends: "service restart" (IANA registry of RFC 6455).
pub const CLOSE_CODE_DRAINING: u16 = 1012;

const CLOSE_REASON: &[u8] = b"draining";
const CLOSE_FRAME_BYTES: usize = 2 + 2 + CLOSE_REASON.len();
const OPCODE_CLOSE: u8 = 0x8;
const HEADER_BYTES_MAX: usize = 14;

/// The unmasked close frame `1012 draining`, as a server sends it.
pub fn close_frame() -> [u8; CLOSE_FRAME_BYTES] {
    let mut frame = [0; CLOSE_FRAME_BYTES];
    frame[0] = 0x80 | OPCODE_CLOSE;
    frame[1] = (CLOSE_FRAME_BYTES - 2) as u8;
    frame[2..4].copy_from_slice(&CLOSE_CODE_DRAINING.to_be_bytes());
    frame[4..].copy_from_slice(CLOSE_REASON);
    frame
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header {
        bytes: [u8; HEADER_BYTES_MAX],
        have: usize,
    },
    Payload {
        left: u64,
    },
    /// A length that no frame can have: there will be no further boundary.
    Lost,
}

/// Follows one direction of a WebSocket connection.
#[derive(Clone, Copy, Debug)]
pub struct FrameTracker {
    state: State,
    close_seen: bool,
}

const FRAME_START: State = State::Header {
    bytes: [0; HEADER_BYTES_MAX],
    have: 0,
};

impl Default for FrameTracker {
    fn default() -> Self {
        Self {
            state: FRAME_START,
            close_seen: false,
        }
    }
}

impl FrameTracker {
    /// True between two frames.
    pub fn at_boundary(&self) -> bool {
        matches!(self.state, State::Header { have: 0, .. })
    }

    /// True once a close frame has passed: no other frame may follow it.
    pub fn close_seen(&self) -> bool {
        self.close_seen
    }

    /// Follows `bytes` and answers how many of them belong to the stream so far: all of them, or
    /// with `stop_at_boundary` those up to the next boundary (none when it stands at one).
    pub fn advance(&mut self, bytes: &[u8], stop_at_boundary: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if stop_at_boundary && self.at_boundary() {
                return at;
            }
            match &mut self.state {
                State::Lost => return bytes.len(),
                State::Payload { left } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += here;
                    *left -= here as u64;
                    if *left == 0 {
                        self.state = FRAME_START;
                    }
                }
                State::Header { bytes: header, have } => {
                    let here = (header_bytes(header, *have) - *have).min(bytes.len() - at);
                    header[*have..*have + here].copy_from_slice(&bytes[at..at + here]);
                    at += here;
                    *have += here;
                    if *have == header_bytes(header, *have) {
                        self.close_seen |= header[0] & 0x0f == OPCODE_CLOSE;
                        self.state = match payload_bytes(header) {
                            0 => FRAME_START,
                            left if left >> 63 == 0 => State::Payload { left },
                            _ => State::Lost,
                        };
                    }
                }
            }
        }
        at
    }
}

/// Size of the header whose first `have` bytes are known: 2 until the length byte is there.
fn header_bytes(header: &[u8; HEADER_BYTES_MAX], have: usize) -> usize {
    if have < 2 {
        return 2;
    }
    let extended = match header[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if header[1] & 0x80 == 0 { 0 } else { 4 };
    2 + extended + mask
}

fn payload_bytes(header: &[u8; HEADER_BYTES_MAX]) -> u64 {
    match header[1] & 0x7f {
        126 => u64::from(u16::from_be_bytes([header[2], header[3]])),
        127 => {
            let mut length = [0; 8];
            length.copy_from_slice(&header[2..10]);
            u64::from_be_bytes(length)
        }
        short => u64::from(short),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, fin: bool, masked: bool, payload: usize) -> Vec<u8> {
        let mut bytes = vec![opcode | if fin { 0x80 } else { 0 }];
        let mask = if masked { 0x80 } else { 0 };
        match payload {
            0..=125 => bytes.push(mask | payload as u8),
            126..=65_535 => {
                bytes.push(mask | 126);
                bytes.extend((payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        if masked {
            bytes.extend([1, 2, 3, 4]);
        }
        // Payload that looks like frame headers, to catch a tracker that lost its place.
        bytes.extend(
            std::iter::repeat_n([0x88, 0x00], payload / 2 + 1)
                .flatten()
                .take(payload),
        );
        bytes
    }

    #[test]
    fn the_close_frame_is_as_the_rfc_says() {
        assert_eq!(close_frame(), *b"\x88\x0a\x03\xf4draining");
        let mut tracker = FrameTracker::default();
        assert_eq!(tracker.advance(&close_frame(), false), 12);
        assert!(tracker.at_boundary() && tracker.close_seen());
    }

    #[test]
    fn an_impossible_length_never_reaches_a_boundary() {
        let mut tracker = FrameTracker::default();
        let mut bytes = vec![0x82, 127];
        bytes.extend(u64::MAX.to_be_bytes());
        bytes.extend([0; 64]);
        assert_eq!(tracker.advance(&bytes[..1], false), 1);
        assert_eq!(tracker.advance(&bytes[1..], true), bytes.len() - 1);
        assert!(!tracker.at_boundary());
    }

    proptest! {
        #[test]
        fn boundaries_are_found_however_the_stream_is_cut(
            frames in prop::collection::vec(
                (0_u8..=10, any::<bool>(), any::<bool>(),
                 prop_oneof![0_usize..130, 120_usize..140, 65_500_usize..65_600]), 1..8),
            cuts in prop::collection::vec(1_usize..5000, 1..400),
        ) {
            let mut stream = Vec::new();
            let mut ends = vec![0];
            for (opcode, fin, masked, payload) in &frames {
                stream.extend(frame(*opcode, *fin, *masked, *payload));
                ends.push(stream.len());
            }
            let mut tracker = FrameTracker::default();
            let (mut at, mut cut) = (0, cuts.iter().cycle());
            while at < stream.len() {
                let until = (at + cut.next().unwrap()).min(stream.len());
                // A copy is asked where the next boundary is; the tracker itself follows everything.
                let mut asked = tracker;
                let taken = asked.advance(&stream[at..until], true);
                let next_end = *ends.iter().find(|end| **end >= at).unwrap();
                prop_assert_eq!(at + taken, next_end.min(until));
                prop_assert_eq!(asked.at_boundary(), ends.contains(&(at + taken)));
                prop_assert_eq!(tracker.advance(&stream[at..until], false), until - at);
                prop_assert_eq!(tracker.at_boundary(), ends.contains(&until));
                at = until;
            }
            prop_assert_eq!(tracker.close_seen(), frames.iter().any(|frame| frame.0 == 8));
        }
    }
}
