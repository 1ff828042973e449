//! What a player knows of the game that it is in.

use starvault_wire::v1;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Seat {
    pub game_id: String,
    pub color: i32,
    /// The sequence up to which this player knows the game.
    pub sequence: u32,
    pub to_move: i32,
    pub legal_moves: Vec<String>,
    /// The highest sequence that was acknowledged to this player.
    pub acknowledged: u32,
    /// A command that was sent and not answered. It is sent again, with the same id, until it is.
    pub unanswered: Option<Unanswered>,
    /// When the next move of either side is meant to be sent.
    pub planned: Instant,
    /// As [`crate::games::Games::disturb`] counts; another number there means: plan anew.
    pub disturbances: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Unanswered {
    Move {
        command_id: String,
        uci: String,
        follows: u32,
    },
    Resign {
        command_id: String,
    },
}

impl Unanswered {
    pub fn command_id(&self) -> &str {
        match self {
            Self::Move { command_id, .. } | Self::Resign { command_id } => command_id,
        }
    }
}

impl Seat {
    pub fn new(color: i32, view: &v1::GameView, planned: Instant) -> Self {
        Self {
            game_id: view.game_id.clone(),
            color,
            sequence: view.sequence,
            to_move: view.to_move,
            legal_moves: view.legal_moves.clone(),
            acknowledged: 0,
            unanswered: None,
            planned,
            disturbances: 0,
        }
    }

    pub fn update(&mut self, view: v1::GameView) {
        self.sequence = view.sequence;
        self.to_move = view.to_move;
        self.legal_moves = view.legal_moves;
    }

    /// True when this player may choose a move. Between an acknowledgement and its event the view
    /// still shows the old position: that is nobody's turn.
    pub fn is_my_turn(&self) -> bool {
        self.to_move == self.color
            && !self.legal_moves.is_empty()
            && self.unanswered.is_none()
            && self.sequence >= self.acknowledged
    }

    /// How many of this player's acknowledged moves a server that is at `sequence` has forgotten,
    /// if the last ones were moves: every second one is this player's.
    pub fn forgotten_at(&self, sequence: u32) -> u64 {
        u64::from(self.acknowledged.saturating_sub(sequence)).div_ceil(2)
    }
}
