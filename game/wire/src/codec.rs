//! How a frame travels on the WebSocket: one message, two encodings, chosen by subprotocol.

use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use crate::{SUBPROTOCOL_JSON, SUBPROTOCOL_PROTO};

/// The encoding of every frame of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// ProtoJSON in text messages.
    Json,
    /// Protocol Buffers in binary messages.
    Proto,
}

/// An encoded frame, in the WebSocket message kind of its codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    Text(String),
    Binary(Vec<u8>),
}

/// Why a WebSocket message is no frame.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("this connection speaks {}: send {expected} messages", codec.subprotocol())]
    WrongKind { codec: Codec, expected: &'static str },
    #[error("not a frame in JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("not an encoded frame: {0}")]
    Proto(#[from] prost::DecodeError),
}

/// A message holds an enum number that the contract does not name.
#[derive(Debug, thiserror::Error)]
#[error("this message has no JSON form: {0}")]
pub struct EncodeError(#[from] serde_json::Error);

impl Codec {
    /// The codec that a subprotocol names, if it is one of ours.
    #[must_use]
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        match name {
            SUBPROTOCOL_JSON => Some(Self::Json),
            SUBPROTOCOL_PROTO => Some(Self::Proto),
            _ => None,
        }
    }

    #[must_use]
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => SUBPROTOCOL_JSON,
            Self::Proto => SUBPROTOCOL_PROTO,
        }
    }

    /// # Errors
    /// An enum number without a name cannot be written as JSON.
    pub fn encode<M: Message + Serialize>(self, message: &M) -> Result<Payload, EncodeError> {
        Ok(match self {
            Self::Json => Payload::Text(serde_json::to_string(message)?),
            Self::Proto => Payload::Binary(message.encode_to_vec()),
        })
    }

    /// Decodes a text message; only the JSON codec has those.
    ///
    /// # Errors
    /// The connection speaks binary, or the text is no such message.
    pub fn decode_text<M: Message + Default + DeserializeOwned>(self, text: &str) -> Result<M, DecodeError> {
        match self {
            Self::Json => Ok(serde_json::from_str(text)?),
            Self::Proto => Err(DecodeError::WrongKind {
                codec: self,
                expected: "binary",
            }),
        }
    }

    /// Decodes a binary message; only the Protocol Buffers codec has those.
    ///
    /// # Errors
    /// The connection speaks text, or the bytes are no such message.
    pub fn decode_binary<M: Message + Default + DeserializeOwned>(
        self,
        bytes: &[u8],
    ) -> Result<M, DecodeError> {
        match self {
            Self::Proto => Ok(M::decode(bytes)?),
            Self::Json => Err(DecodeError::WrongKind {
                codec: self,
                expected: "text",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{
        ClientFrame, Error, GameEvent, PlayMove, ServerFrame, client_frame, error, server_frame,
    };

    fn a_move() -> ClientFrame {
        let play_move = PlayMove {
            game_id: "g".into(),
            command_id: "c".into(),
            expected_sequence: 1,
            uci: "e2e4".into(),
        };
        ClientFrame {
            request_id: 7,
            command: Some(client_frame::Command::PlayMove(play_move)),
        }
    }

    #[test]
    fn a_frame_in_json_is_protojson() {
        let Payload::Text(text) = Codec::Json.encode(&a_move()).unwrap() else {
            panic!("text")
        };
        let expected =
            r#"{"requestId":7,"playMove":{"gameId":"g","commandId":"c","expectedSequence":1,"uci":"e2e4"}}"#;
        assert_eq!(text, expected);
        assert_eq!(Codec::Json.decode_text::<ClientFrame>(&text).unwrap(), a_move());

        let event = GameEvent {
            at_ms: 1_700_000_000_000,
            ..GameEvent::default()
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"atMs":"1700000000000"}"#
        );
        let error = Error {
            code: error::Code::NotYourTurn.into(),
            ..Error::default()
        };
        let frame = ServerFrame {
            request_id: 0,
            event: Some(server_frame::Event::Error(error)),
        };
        assert_eq!(
            serde_json::to_string(&frame).unwrap(),
            r#"{"error":{"code":"NOT_YOUR_TURN"}}"#
        );
    }

    #[test]
    fn fields_of_a_newer_contract_are_passed_over() {
        let frame: ClientFrame = Codec::Json
            .decode_text(r#"{"requestId":3,"ping":{},"later":{"a":1}}"#)
            .unwrap();
        assert_eq!(frame.request_id, 3);
    }

    #[test]
    fn both_codecs_carry_the_same_frame_and_refuse_the_other_kind() {
        let Payload::Binary(bytes) = Codec::Proto.encode(&a_move()).unwrap() else {
            panic!("binary")
        };
        assert_eq!(
            Codec::Proto.decode_binary::<ClientFrame>(&bytes).unwrap(),
            a_move()
        );
        let refused = Codec::Json
            .decode_binary::<ClientFrame>(&bytes)
            .unwrap_err()
            .to_string();
        assert_eq!(
            refused,
            "this connection speaks starvault.v1.json: send text messages"
        );
        assert!(matches!(
            Codec::Proto.decode_text::<ClientFrame>("{}"),
            Err(DecodeError::WrongKind { .. })
        ));
        assert!(matches!(
            Codec::Json.decode_text::<ClientFrame>("{"),
            Err(DecodeError::Json(_))
        ));
        assert!(matches!(
            Codec::Proto.decode_binary::<ClientFrame>(&[0xff]),
            Err(DecodeError::Proto(_))
        ));
    }

    #[test]
    fn a_subprotocol_names_its_codec() {
        for codec in [Codec::Json, Codec::Proto] {
            assert_eq!(Codec::from_subprotocol(codec.subprotocol()), Some(codec));
        }
        assert_eq!(Codec::from_subprotocol("starvault.v2.json"), None);
    }

    #[test]
    fn the_descriptors_keep_the_http_annotations() {
        let holds = |text: &[u8]| {
            crate::v1::FILE_DESCRIPTOR_SET
                .windows(text.len())
                .any(|part| part == text)
        };
        assert!(holds(b"/v1/players/{player_id}") && holds(b"SignInAsGuest"));
    }
}
