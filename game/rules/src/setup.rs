//! What a game begins with: two seats, a clock and a start time.

use serde::{Deserialize, Serialize};

use crate::{
    id::{GameId, PlayerId},
    items::Equipment,
};

/// The longest display name, in characters.
pub const NAME_CHARS_MAX: usize = 24;

const DAY_MS: u32 = 24 * 60 * 60 * 1000;

/// A side of the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    White,
    Black,
}

impl Color {
    pub const BOTH: [Color; 2] = [Color::White, Color::Black];

    pub fn other(self) -> Color {
        match self {
            Color::White => Color::Black,
            Color::Black => Color::White,
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// A king's health: 3 at the start, never more, 0 has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hp(u8);

impl Hp {
    pub const FULL: Hp = Hp(3);

    pub fn points(self) -> u8 {
        self.0
    }

    pub fn is_gone(self) -> bool {
        self.0 == 0
    }

    /// The health after one check. What is gone stays at 0.
    #[must_use]
    pub fn hit(self) -> Hp {
        Hp(self.0.saturating_sub(1))
    }
}

/// Thinking time of each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// What each side has at the start, in milliseconds: 1 to a day.
    pub initial_ms: u32,
    /// What a side gets for each of its moves, in milliseconds: 0 to a day.
    pub increment_ms: u32,
}

/// One player at the board, as of the start of the game.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    pub player_id: PlayerId,
    /// 1 to [`NAME_CHARS_MAX`] characters, no control characters.
    pub name: String,
    /// Rating points.
    pub rating: i32,
}

/// Everything that a game begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    pub game_id: GameId,
    pub white: Seat,
    pub black: Seat,
    pub clock: Clock,
    /// When White's clock starts, milliseconds since 1970-01-01 UTC.
    pub started_at_ms: i64,
}

/// What the opponent sees of a player beside the name, as of the start of the game. It has no
/// influence on play.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    pub level: u32,
    pub equipped: Equipment,
}

impl Default for Look {
    fn default() -> Look {
        Look {
            level: 1,
            equipped: Equipment::default(),
        }
    }
}

/// How both players look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looks {
    pub white: Look,
    pub black: Look,
}

impl Looks {
    pub fn of(&self, color: Color) -> &Look {
        match color {
            Color::White => &self.white,
            Color::Black => &self.black,
        }
    }

    pub(crate) fn are_plain(&self) -> bool {
        *self == Looks::default()
    }
}

/// A setup that no game can begin with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetup {
    #[error("player {player_id} cannot play against itself")]
    SamePlayer { player_id: PlayerId },
    #[error("a name needs 1 to {NAME_CHARS_MAX} characters and no control characters, got {name:?}")]
    Name { name: String },
    #[error("the clock must start with 1 ms to one day, got {initial_ms} ms")]
    InitialTime { initial_ms: u32 },
    #[error("the increment must be at most one day, got {increment_ms} ms")]
    Increment { increment_ms: u32 },
    #[error("the start time must not lie before 1970, got {started_at_ms} ms")]
    StartTime { started_at_ms: i64 },
}

impl Setup {
    pub fn seat(&self, color: Color) -> &Seat {
        match color {
            Color::White => &self.white,
            Color::Black => &self.black,
        }
    }

    /// The side that `player_id` plays, if any.
    pub fn color_of(&self, player_id: &PlayerId) -> Option<Color> {
        Color::BOTH
            .into_iter()
            .find(|color| self.seat(*color).player_id == *player_id)
    }

    /// Whether a game can begin with this.
    pub fn validate(&self) -> Result<(), InvalidSetup> {
        if self.white.player_id == self.black.player_id {
            return Err(InvalidSetup::SamePlayer {
                player_id: self.white.player_id.clone(),
            });
        }
        for Seat { name, .. } in [&self.white, &self.black] {
            // Four bytes a character at most: a hostile length is refused without counting it all.
            let short = name.len() <= 4 * NAME_CHARS_MAX && name.chars().count() <= NAME_CHARS_MAX;
            if name.is_empty() || !short || name.chars().any(char::is_control) {
                return Err(InvalidSetup::Name {
                    name: name.chars().take(NAME_CHARS_MAX).collect(),
                });
            }
        }
        let Clock {
            initial_ms,
            increment_ms,
        } = self.clock;
        if !(1..=DAY_MS).contains(&initial_ms) {
            return Err(InvalidSetup::InitialTime { initial_ms });
        }
        if increment_ms > DAY_MS {
            return Err(InvalidSetup::Increment { increment_ms });
        }
        if self.started_at_ms < 0 {
            return Err(InvalidSetup::StartTime {
                started_at_ms: self.started_at_ms,
            });
        }
        Ok(())
    }
}
