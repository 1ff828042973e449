//! The games that this run's players are in: how many began, how each ended, and, when asked,
//! the [`ledger`](crate::ledger) of each.
//!
//! Both players of a game are players of this run (unless others play on the same backend), so a
//! game is known from two sides. A game's entry is dropped when its known players have left it.

use std::collections::HashMap;

use starvault_wire::v1;

use crate::ledger::{Audit, Seen, Side, audit};

/// How a player left a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Saw its end.
    Ended,
    /// Came back and was told that it is in no such game: it ended meanwhile, or it is lost.
    ToldOver,
    /// Could not come back to it in time.
    Lost,
    /// The run ended first.
    Unfinished,
}

#[derive(Debug, Default)]
struct Game {
    sides: Vec<(String, Side, Option<Leaving>)>,
    ended: bool,
    /// Grows whenever a disturbance shifts the game's timetable; both players compare it.
    disturbances: u32,
    /// Cut, and no move has been acknowledged since.
    waiting_for_progress: bool,
    cut: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GameCounts {
    pub started: u64,
    pub finished: u64,
    /// Finished by forfeit of an absent player.
    pub abandoned: u64,
    pub lost: u64,
    pub unfinished: u64,
    pub cut: u64,
    /// Cut and never taken further: no move acknowledged after the cut, and no end.
    pub stuck: u64,
    pub audit: Audit,
    /// Acknowledged moves that a resume did not know any more (counted without a ledger too).
    pub forgotten: u64,
}

#[derive(Debug)]
pub(crate) struct Games {
    games: HashMap<String, Game>,
    keep_ledger: bool,
    unanswered: u64,
    counts: GameCounts,
}

impl Games {
    pub fn new(keep_ledger: bool) -> Self {
        Self {
            games: HashMap::new(),
            keep_ledger,
            unanswered: 0,
            counts: GameCounts::default(),
        }
    }

    pub fn open(&self) -> usize {
        self.games.len()
    }

    pub fn counts(&self) -> GameCounts {
        self.counts
    }

    /// Nothing is under way: no command waits for its answer, every cut game went on.
    pub fn settled(&self) -> bool {
        self.unanswered == 0 && self.games.values().all(|g| !g.waiting_for_progress || g.ended)
    }

    /// A player takes part, newly or again.
    pub fn join(&mut self, game_id: &str, player_id: &str, color: i32, sequence: u32) {
        let game = self.games.entry(game_id.to_owned()).or_insert_with(|| {
            self.counts.started += 1;
            Game::default()
        });
        match game.sides.iter_mut().find(|(id, ..)| id == player_id) {
            Some((_, _, left)) => *left = None,
            None => {
                let side = Side {
                    color,
                    base: sequence,
                    sequence,
                    ..Side::default()
                };
                game.sides.push((player_id.to_owned(), side, None));
            }
        }
    }

    pub fn see(&mut self, player_id: &str, event: &v1::GameEvent) {
        if self.keep_ledger
            && let Some(side) = self.side(&event.game_id, player_id)
        {
            side.see(event.sequence, Seen::of(event.kind.as_ref()));
        }
    }

    pub fn sent(&mut self, game_id: &str, player_id: &str, command_id: &str, uci: &str, follows: u32) {
        self.unanswered += 1;
        if self.keep_ledger
            && let Some(side) = self.side(game_id, player_id)
        {
            side.sent(command_id, uci, follows);
        }
    }

    /// A sent command is answered, or nobody waits for it any more.
    pub fn answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    pub fn acknowledged(&mut self, game_id: &str, player_id: &str, command_id: &str, sequence: u32) {
        let keep_ledger = self.keep_ledger;
        if let Some(game) = self.games.get_mut(game_id) {
            game.waiting_for_progress = false;
        }
        if keep_ledger && let Some(side) = self.side(game_id, player_id) {
            side.acknowledge(command_id, sequence);
        }
    }

    pub fn resumed(&mut self, game_id: &str, player_id: &str, sequence: u32) {
        if self.keep_ledger
            && let Some(side) = self.side(game_id, player_id)
        {
            side.resumed_at(sequence);
        }
    }

    pub fn forgotten(&mut self, moves: u64) {
        self.counts.forgotten += moves;
    }

    pub fn cut(&mut self, game_id: &str) {
        if let Some(game) = self.games.get_mut(game_id) {
            self.counts.cut += u64::from(!game.cut);
            game.cut = true;
            game.waiting_for_progress = true;
        }
    }

    pub fn waits_for_progress(&self, game_id: &str) -> bool {
        self.games.get(game_id).is_some_and(|g| g.waiting_for_progress)
    }

    pub fn disturb(&mut self, game_id: &str) -> u32 {
        let Some(game) = self.games.get_mut(game_id) else {
            return 0;
        };
        game.disturbances += 1;
        game.disturbances
    }

    pub fn disturbances(&self, game_id: &str) -> u32 {
        self.games.get(game_id).map_or(0, |g| g.disturbances)
    }

    pub fn ended(&mut self, game_id: &str, outcome: &v1::Outcome) {
        if let Some(game) = self.games.get_mut(game_id)
            && !game.ended
        {
            game.ended = true;
            self.counts.finished += 1;
            self.counts.abandoned += u64::from(outcome.reason() == v1::outcome::Reason::Abandoned);
        }
    }

    pub fn leave(&mut self, game_id: &str, player_id: &str, how: Leaving) {
        let Some(game) = self.games.get_mut(game_id) else {
            return;
        };
        if let Some((_, _, left)) = game.sides.iter_mut().find(|(id, ..)| id == player_id) {
            *left = Some(how);
        }
        // A game has two seats; the second player may be a moment behind in taking its own.
        let both = game.sides.len() == 2 || how != Leaving::Ended;
        if both && game.sides.iter().all(|(.., left)| left.is_some()) {
            self.settle(game_id);
        }
    }

    /// At the end of a run: games with a seat that none of our players took.
    pub fn settle_all(&mut self) {
        let open: Vec<String> = self.games.keys().cloned().collect();
        for game_id in open {
            self.settle(&game_id);
        }
    }

    fn settle(&mut self, game_id: &str) {
        let Some(game) = self.games.remove(game_id) else {
            return;
        };
        let told_over = game
            .sides
            .iter()
            .filter(|(.., l)| *l == Some(Leaving::ToldOver))
            .count();
        if game.ended {
            // Counted when the end was seen.
        } else if game.sides.iter().any(|(.., l)| *l == Some(Leaving::Lost)) || told_over == 2 {
            self.counts.lost += 1;
        } else if told_over == 1 && game.sides.len() == 1 {
            // The other seat is not ours: it ended while we were away.
            self.counts.finished += 1;
        } else {
            self.counts.unfinished += 1;
        }
        self.counts.stuck += u64::from(game.waiting_for_progress && !game.ended);
        if self.keep_ledger {
            let sides: Vec<&Side> = game.sides.iter().map(|(_, side, _)| side).collect();
            let found = audit(&sides);
            let total = &mut self.counts.audit;
            total.acknowledged += found.acknowledged;
            total.lost += found.lost;
            total.twice += found.twice;
            total.diverged += found.diverged;
            total.gaps += found.gaps;
            total.unverified += found.unverified;
            if found
                != (Audit {
                    acknowledged: found.acknowledged,
                    ..Audit::default()
                })
            {
                tracing::warn!(game_id, ?found, "a game does not add up");
            }
        }
    }

    fn side(&mut self, game_id: &str, player_id: &str) -> Option<&mut Side> {
        let game = self.games.get_mut(game_id)?;
        game.sides
            .iter_mut()
            .find(|(id, ..)| id == player_id)
            .map(|(_, side, _)| side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_sided() -> Games {
        let mut games = Games::new(true);
        games.join("g", "a", 1, 1);
        games.join("g", "b", 2, 1);
        games
    }

    #[test]
    fn a_game_is_counted_once_however_many_saw_its_end() {
        let mut games = two_sided();
        games.ended("g", &v1::Outcome::default());
        games.leave("g", "a", Leaving::Ended);
        assert_eq!(games.open(), 1);
        games.ended("g", &v1::Outcome::default());
        games.leave("g", "b", Leaving::Ended);
        let counts = games.counts();
        assert_eq!(
            (games.open(), counts.started, counts.finished, counts.lost),
            (0, 1, 1, 0)
        );
    }

    #[test]
    fn a_game_that_both_are_told_does_not_exist_is_lost_and_one_that_somebody_saw_ending_is_not() {
        let mut games = two_sided();
        games.leave("g", "a", Leaving::ToldOver);
        games.leave("g", "b", Leaving::ToldOver);
        assert_eq!(games.counts().lost, 1);

        let mut games = two_sided();
        games.leave("g", "a", Leaving::ToldOver);
        games.ended("g", &v1::Outcome::default());
        games.leave("g", "b", Leaving::Ended);
        assert_eq!((games.counts().lost, games.counts().finished), (0, 1));
    }

    #[test]
    fn a_cut_game_is_stuck_until_a_move_is_acknowledged() {
        for progress in [false, true] {
            let mut games = two_sided();
            games.cut("g");
            assert!(!games.settled());
            if progress {
                games.acknowledged("g", "b", "c", 2);
                assert!(games.settled());
            }
            games.leave("g", "a", Leaving::Unfinished);
            games.leave("g", "b", Leaving::Unfinished);
            let counts = games.counts();
            assert_eq!(
                (counts.stuck, counts.cut, counts.unfinished),
                (u64::from(!progress), 1, 1)
            );
        }
    }

    #[test]
    fn an_unanswered_command_keeps_the_run_from_settling() {
        let mut games = two_sided();
        games.sent("g", "a", "c", "e2e4", 1);
        assert!(!games.settled());
        games.answered();
        assert!(games.settled());
    }
}
