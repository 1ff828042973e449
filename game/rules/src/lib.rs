//! Three-check chess: the whole of the game, as values and functions.
//!
//! Each king has 3 HP and a check takes one; who has none left has lost. Everything else is chess.
//! A [`Game`] is a fold over [`Event`]s: [`Game::decide`] says which events a [`Command`] causes
//! and changes nothing, [`Game::apply`] takes one event in, and [`Game::from_events`] rebuilds the
//! same game from its stored events for ever.
//!
//! This crate never does I/O, never reads a clock and never draws a random number: times are
//! arguments, in milliseconds since 1970-01-01 UTC.

mod command;
mod event;
mod game;
mod glicko;
mod id;
mod items;
mod lag;
mod position;
mod progress;
mod setup;
mod state;
mod text;

pub use command::{Command, Rejection};
pub use event::{Event, EventKind, Outcome, Reason};
pub use game::{Game, ReplayError, Step};
pub use glicko::{RATING_INITIAL, Skill, SkillOutOfRange};
pub use id::{CommandId, GameId, ID_CHARS_MAX, InvalidId, PlayerId};
pub use items::{EquipError, Equipment, ITEMS, Item, Slot, owned_at};
pub use lag::{LAG_BUDGET_MAX_MS, LAG_BUDGET_PER_MOVE_MS, LAG_PER_MOVE_MAX_MS, Moment};
pub use position::{Position, PositionError};
pub use progress::{LEVEL_MAX, Progress, ProgressBroken, XP_DRAW, XP_LOSS, XP_WIN, after_game};
pub use setup::{Clock, Color, Hp, InvalidSetup, Look, Looks, NAME_CHARS_MAX, Seat, Setup};
pub use state::{GameState, InvariantBroken};
pub use text::MoveText;
