//! A game in short: what is stored beside its events, to be compared with their replay.

use serde::{Deserialize, Serialize};

use crate::{
    event::{Outcome, Reason},
    game::Game,
    id::GameId,
    setup::{Color, Hp},
};

/// The game after its last event. Equal games have equal states, and a stored state that differs
/// from the replay of the stored events is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameState {
    pub game_id: GameId,
    pub sequence: u32,
    /// The time of the last event.
    pub at_ms: i64,
    pub fen: String,
    pub white_hp: Hp,
    pub black_hp: Hp,
    /// What White's clock showed at `at_ms`.
    pub white_clock_ms: i64,
    pub black_clock_ms: i64,
    pub moves: u32,
    pub last_move: Option<String>,
    pub draw_offered_by: Option<Color>,
    pub outcome: Option<Outcome>,
}

/// Something that must never be true of a game, is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("game {game_id} at sequence {sequence}: {what}")]
pub struct InvariantBroken {
    pub game_id: GameId,
    pub sequence: u32,
    pub what: String,
}

impl GameState {
    /// What must hold of every state, whoever made it: looked at before it is kept.
    pub fn check(&self) -> Result<(), InvariantBroken> {
        let broken = |what: String| {
            Err(InvariantBroken {
                game_id: self.game_id.clone(),
                sequence: self.sequence,
                what,
            })
        };
        let hp = [self.white_hp, self.black_hp];
        if hp.iter().any(|hp| *hp > Hp::FULL) {
            return broken(format!("a king has more than {} HP", Hp::FULL.points()));
        }
        if hp.iter().all(|hp| hp.is_gone()) {
            return broken("both kings have lost all HP".into());
        }
        if hp.iter().any(|hp| hp.is_gone()) && self.outcome.is_none() {
            return broken("a king has no HP left and the game goes on".into());
        }
        if self.white_clock_ms < 0 || self.black_clock_ms < 0 {
            return broken(format!(
                "a clock shows less than nothing: {} and {} ms",
                self.white_clock_ms, self.black_clock_ms
            ));
        }
        Ok(())
    }
}

impl Game {
    /// The game in short.
    pub fn state(&self) -> GameState {
        let at_ms = self.last_event_at_ms();
        GameState {
            game_id: self.id().clone(),
            sequence: self.sequence(),
            at_ms,
            fen: self.fen(),
            white_hp: self.hp(Color::White),
            black_hp: self.hp(Color::Black),
            white_clock_ms: self.clock_ms(Color::White, at_ms),
            black_clock_ms: self.clock_ms(Color::Black, at_ms),
            moves: self.moves_san().len() as u32,
            last_move: self.last_move().map(str::to_owned),
            draw_offered_by: self.draw_offered_by(),
            outcome: self.outcome(),
        }
    }

    /// What must hold of every game at every time.
    pub fn check_invariants(&self) -> Result<(), InvariantBroken> {
        let broken = |what: String| {
            Err(InvariantBroken {
                game_id: self.id().clone(),
                sequence: self.sequence(),
                what,
            })
        };
        let hp = Color::BOTH.map(|color| self.hp(color).points());
        let lost = u32::from(6u8.saturating_sub(hp[0] + hp[1]));
        if hp.iter().any(|points| *points > Hp::FULL.points()) {
            return broken(format!("a king has more than {} HP: {hp:?}", Hp::FULL.points()));
        }
        if lost != self.checks_given() {
            return broken(format!(
                "{} checks were given and {lost} HP lost",
                self.checks_given()
            ));
        }
        if hp == [0, 0] {
            return broken("both kings have lost all HP".into());
        }
        if hp.contains(&0) && self.outcome().is_none() {
            return broken("a king has no HP left and the game goes on".into());
        }
        if let Some(Outcome { winner, reason }) = self.outcome() {
            let drawn = matches!(
                reason,
                Reason::Stalemate
                    | Reason::Repetition
                    | Reason::FiftyMoves
                    | Reason::Agreement
                    | Reason::Aborted
            );
            if drawn != winner.is_none() {
                return broken(format!("{} cannot end with winner {winner:?}", reason.as_str()));
            }
            if !self.legal_moves_uci().is_empty() || self.flag_deadline_ms().is_some() {
                return broken("the game is over and a move or a clock is left".into());
            }
        } else if self.legal_moves_uci().is_empty() || self.flag_deadline_ms().is_none() {
            return broken("the game goes on without a legal move or a running clock".into());
        }
        let clock = self.setup().clock;
        let most = i64::from(clock.initial_ms)
            + i64::from(clock.increment_ms) * (self.moves_san().len() as i64 / 2 + 1);
        for color in Color::BOTH {
            let left = self.clock_ms(color, self.last_event_at_ms());
            if !(0..=most).contains(&left) {
                return broken(format!("{color:?} has {left} ms left, of at most {most}"));
            }
        }
        Ok(())
    }
}
