//! What happened in a game. Events are stored for ever: their JSON form may grow, by new kinds or
//! optional fields, and never changes for what exists (`tests/it/stored_form.rs` holds it still).

use serde::{Deserialize, Serialize};

use crate::setup::{Color, Looks, Setup};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// 1 for the start of the game, then one more each.
    pub sequence: u32,
    /// Milliseconds since 1970-01-01 UTC; never less than the event before.
    pub at_ms: i64,
    pub kind: EventKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    Started {
        setup: Setup,
        #[serde(default, skip_serializing_if = "Looks::are_plain")]
        looks: Looks,
    },
    MoveMade {
        by: Color,
        /// Long algebraic, castling as the king's move.
        uci: String,
        /// Standard algebraic notation.
        san: String,
        /// The move gave check: the other king lost one HP.
        check: bool,
        /// Milliseconds of this move's time that were not charged, for the way to the server.
        #[serde(default, skip_serializing_if = "is_zero")]
        lag_ms: u32,
    },
    DrawOffered {
        by: Color,
    },
    DrawDeclined {
        by: Color,
    },
    Ended {
        /// `None`: a draw, or an aborted game.
        winner: Option<Color>,
        reason: Reason,
    },
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How a game ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outcome {
    /// `None`: a draw, or an aborted game.
    pub winner: Option<Color>,
    pub reason: Reason,
}

/// Why a game ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    ThreeChecks,
    Checkmate,
    Resignation,
    Flag,
    Stalemate,
    Repetition,
    FiftyMoves,
    Agreement,
    Abandoned,
    /// A player never arrived: the game counts for nobody.
    Aborted,
}

impl Reason {
    /// The name in the stored form.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ThreeChecks => "three_checks",
            Reason::Checkmate => "checkmate",
            Reason::Resignation => "resignation",
            Reason::Flag => "flag",
            Reason::Stalemate => "stalemate",
            Reason::Repetition => "repetition",
            Reason::FiftyMoves => "fifty_moves",
            Reason::Agreement => "agreement",
            Reason::Abandoned => "abandoned",
            Reason::Aborted => "aborted",
        }
    }
}
