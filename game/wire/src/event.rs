//! The frame that is written most: one event of a game, with the game after it. Its list of legal
//! moves outweighs everything else in it. Here the list stays as the rules made it and is written
//! straight into the frame, without a text on the heap for each move. What comes out is an ordinary
//! [`ServerFrame`]; nothing here reads one.

use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len},
};

use crate::{
    Codec, EncodeError, Payload,
    v1::{GameEvent, GameView, ServerFrame, server_frame::Event},
};

/// Numbers of fields in `play.proto`.
const SERVER_FRAME_GAME_EVENT: u32 = 8;
const GAME_EVENT_GAME: u32 = 9;
const GAME_VIEW_LEGAL_MOVES: u32 = 7;

/// A [`ServerFrame`] that answers no request and tells a [`GameEvent`].
#[derive(Debug, Clone, PartialEq)]
pub struct GameEventFrame<M> {
    /// Without the game after it.
    pub event: GameEvent,
    /// That game, without its legal moves.
    pub game: GameView,
    pub legal_moves: Vec<M>,
}

impl<M: AsRef<str>> GameEventFrame<M> {
    /// # Errors
    /// An enum number without a name cannot be written as JSON.
    pub fn encode(&self, codec: Codec) -> Result<Payload, EncodeError> {
        match codec {
            Codec::Json => codec.encode(&self.to_frame()),
            Codec::Proto => Ok(Payload::Binary(self.to_bytes())),
        }
    }

    fn to_frame(&self) -> ServerFrame {
        let game = GameView {
            legal_moves: self
                .legal_moves
                .iter()
                .map(|uci| uci.as_ref().to_owned())
                .collect(),
            ..self.game.clone()
        };
        let event = GameEvent {
            game: Some(game),
            ..self.event.clone()
        };
        ServerFrame {
            request_id: 0,
            event: Some(Event::GameEvent(event)),
        }
    }

    /// Fields of a message may come in any order, so the ones that are added here come last.
    fn to_bytes(&self) -> Vec<u8> {
        let field = |number: u32, bytes: usize| key_len(number) + encoded_len_varint(bytes as u64) + bytes;
        let moves_bytes: usize = self
            .legal_moves
            .iter()
            .map(|uci| field(GAME_VIEW_LEGAL_MOVES, uci.as_ref().len()))
            .sum();
        let game_bytes = self.game.encoded_len() + moves_bytes;
        let event_bytes = self.event.encoded_len() + field(GAME_EVENT_GAME, game_bytes);

        let mut out = Vec::with_capacity(field(SERVER_FRAME_GAME_EVENT, event_bytes));
        begin(&mut out, SERVER_FRAME_GAME_EVENT, event_bytes);
        self.event.encode_raw(&mut out);
        begin(&mut out, GAME_EVENT_GAME, game_bytes);
        self.game.encode_raw(&mut out);
        for uci in &self.legal_moves {
            let uci = uci.as_ref().as_bytes();
            begin(&mut out, GAME_VIEW_LEGAL_MOVES, uci.len());
            out.extend_from_slice(uci);
        }
        out
    }
}

/// The key and the length of a field.
fn begin(out: &mut Vec<u8>, number: u32, bytes: usize) {
    if let (1..16, 0..0x80) = (number, bytes) {
        // One byte each, as for every move.
        out.extend_from_slice(&[(number << 3) as u8 | WireType::LengthDelimited as u8, bytes as u8]);
        return;
    }
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes as u64, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Color, MoveMade, Seat, game_event::Kind};

    /// With a view so large that lengths take more than one byte.
    fn frame(legal_moves: &[&'static str]) -> GameEventFrame<&'static str> {
        let seat = Seat {
            player_id: "p-018f3f5e-7b7a-7000-8000-000000000000".into(),
            display_name: "星".into(),
            clock_ms: 180_000,
            ..Seat::default()
        };
        GameEventFrame {
            event: GameEvent {
                game_id: "g-1".into(),
                sequence: 300,
                at_ms: 1_700_000_000_000,
                kind: Some(Kind::MoveMade(MoveMade {
                    by: Color::White.into(),
                    uci: "e2e4".into(),
                    san: "e4".into(),
                    check: false,
                    lag_ms: 7,
                })),
                game: None,
            },
            game: GameView {
                game_id: "g-1".into(),
                sequence: 300,
                white: Some(seat.clone()),
                black: Some(seat),
                fen: "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1".into(),
                to_move: Color::Black.into(),
                at_ms: 1_700_000_000_000,
                ..GameView::default()
            },
            legal_moves: legal_moves.to_vec(),
        }
    }

    #[test]
    fn what_is_written_is_the_ordinary_frame_in_both_codecs() {
        let many = ["a7a5", "e7e8q"].repeat(30);
        for legal_moves in [&[][..], &["a7a6"], &many] {
            let frame = frame(legal_moves);
            let ordinary = frame.to_frame();
            let Some(Event::GameEvent(event)) = &ordinary.event else {
                panic!("an event")
            };
            assert_eq!(event.game.as_ref().unwrap().legal_moves, legal_moves);
            let Payload::Binary(bytes) = frame.encode(Codec::Proto).unwrap() else {
                panic!("binary")
            };
            assert_eq!(
                Codec::Proto.decode_binary::<ServerFrame>(&bytes).unwrap(),
                ordinary
            );
            assert_eq!(bytes.len(), ordinary.encoded_len());
            assert_eq!(bytes.capacity(), bytes.len(), "room for exactly this");
            let json = frame.encode(Codec::Json).unwrap();
            assert_eq!(json, Codec::Json.encode(&ordinary).unwrap());
        }
    }
}
