//! What can be asked of a game, and why it may be refused.

use serde::{Deserialize, Serialize};

use crate::{event::Outcome, setup::Color};

/// A wish of one side, or of the server on its behalf. [`crate::Game::decide`] answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    Move {
        /// `e2e4`, `e7e8q`; castling as the king's move, `e1g1`.
        uci: String,
        /// The sequence that the player has seen last.
        expected_sequence: u32,
    },
    Resign,
    /// One offer per side until its next move. Answers the other side's open offer with yes.
    OfferDraw,
    AnswerDraw {
        accept: bool,
    },
    /// From the server: the side's clock has run out.
    Flag,
    /// From the server: the side has gone and did not come back in time.
    Abandon,
    /// From the server: the side never arrived at the game. Only before its first move.
    Abort,
}

/// Why a command changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the game is over ({})", outcome.reason.as_str())]
    GameOver { outcome: Outcome },
    #[error("it is {}'s turn", color_name(*.to_move))]
    NotYourTurn { to_move: Color },
    #[error("the game is at sequence {current}, the command follows {expected}")]
    SequenceGap { current: u32, expected: u32 },
    #[error("{uci:?} is not a legal move here")]
    IllegalMove { uci: String },
    #[error("the clock ran out before the move arrived")]
    OutOfTime,
    #[error("no draw offer of the other side is open")]
    NoDrawOffer,
    #[error("a draw has been offered already; offer again after your next move")]
    DrawAlreadyOffered,
    #[error("{} has moved already", color_name(*.by))]
    HasMoved { by: Color },
    #[error("the clock still runs until {deadline_ms}")]
    ClockStillRunning { deadline_ms: i64 },
}

impl Rejection {
    /// A stable name, for storage and for other programs.
    pub fn code(&self) -> &'static str {
        match self {
            Rejection::GameOver { .. } => "game_over",
            Rejection::NotYourTurn { .. } => "not_your_turn",
            Rejection::SequenceGap { .. } => "sequence_gap",
            Rejection::IllegalMove { .. } => "illegal_move",
            Rejection::OutOfTime => "out_of_time",
            Rejection::NoDrawOffer => "no_draw_offer",
            Rejection::DrawAlreadyOffered => "draw_already_offered",
            Rejection::HasMoved { .. } => "has_moved",
            Rejection::ClockStillRunning { .. } => "clock_still_running",
        }
    }
}

pub(crate) fn color_name(color: Color) -> &'static str {
    match color {
        Color::White => "white",
        Color::Black => "black",
    }
}
