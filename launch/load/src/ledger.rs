//! What one game's two players were told, and whether it adds up. Pure.
//!
//! A side's ledger holds the events that it saw and the commands that it sent. The audit of both
//! answers four questions: is every acknowledged move where its acknowledgement said (lost), was
//! any move applied that nobody sent (twice), did both sides see the same (diverged), and without
//! holes (gaps).

use std::collections::{BTreeMap, BTreeSet};

use starvault_wire::v1::{self, game_event::Kind};

/// An event, reduced to what must be the same for everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Move { by: i32, uci: String, check: bool },
    Ended { winner: i32, reason: i32 },
    Other(&'static str, i32),
}

impl Seen {
    pub fn of(kind: Option<&Kind>) -> Self {
        match kind {
            Some(Kind::MoveMade(m)) => Self::Move {
                by: m.by,
                uci: m.uci.clone(),
                check: m.check,
            },
            Some(Kind::Ended(v1::GameEnded { outcome })) => {
                let outcome = outcome.unwrap_or_default();
                Self::Ended {
                    winner: outcome.winner,
                    reason: outcome.reason,
                }
            }
            Some(Kind::Started(_)) => Self::Other("started", 0),
            Some(Kind::DrawOffered(d)) => Self::Other("draw_offered", d.by),
            Some(Kind::DrawDeclined(d)) => Self::Other("draw_declined", d.by),
            None => Self::Other("unknown", 0),
        }
    }
}

#[derive(Debug)]
pub(crate) struct SentMove {
    pub command_id: String,
    pub uci: String,
    /// The sequence that the move is to follow.
    pub follows: u32,
    pub acknowledged: Option<u32>,
    /// The server has contradicted its acknowledgement.
    pub lost: bool,
}

/// One player's view of one game.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub color: i32,
    /// The game's sequence when this side joined: what came before is not in `events`.
    pub base: u32,
    pub events: BTreeMap<u32, Seen>,
    pub moves: Vec<SentMove>,
    /// How far this side has been told of the game's events.
    pub sequence: u32,
    /// Acknowledgements that named another sequence than an earlier one for the same command.
    pub contradicted: u64,
}

/// What is wrong in one game. All zero is what it must be, `acknowledged` apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    /// Moves whose acknowledgement reached a player.
    pub acknowledged: u64,
    pub lost: u64,
    pub twice: u64,
    pub diverged: u64,
    pub gaps: u64,
    /// Acknowledged moves that some side had no occasion to see (it left before).
    pub unverified: u64,
}

impl Side {
    pub fn see(&mut self, sequence: u32, event: Seen) {
        self.sequence = self.sequence.max(sequence);
        // The latest telling counts: a server that rewrites history is then caught by the audit.
        self.events.insert(sequence, event);
    }

    pub fn sent(&mut self, command_id: &str, uci: &str, follows: u32) {
        if self.moves.iter().all(|m| m.command_id != command_id) {
            let (command_id, uci) = (command_id.to_owned(), uci.to_owned());
            self.moves.push(SentMove {
                command_id,
                uci,
                follows,
                acknowledged: None,
                lost: false,
            });
        }
    }

    pub fn acknowledge(&mut self, command_id: &str, sequence: u32) {
        let Some(sent) = self.moves.iter_mut().rev().find(|m| m.command_id == command_id) else {
            return;
        };
        match sent.acknowledged {
            Some(before) if before != sequence => self.contradicted += 1,
            _ => sent.acknowledged = Some(sequence),
        }
    }

    /// The server says on resume where the game stands. Returns how many of this side's
    /// acknowledged moves it has forgotten.
    pub fn resumed_at(&mut self, sequence: u32) -> u64 {
        let mut forgotten = 0;
        for sent in &mut self.moves {
            if !sent.lost && sent.acknowledged.is_some_and(|at| at > sequence) {
                sent.lost = true;
                forgotten += 1;
            }
        }
        self.sequence = sequence;
        forgotten
    }
}

/// Compares what both sides (or the one that is known) were told.
pub(crate) fn audit(sides: &[&Side]) -> Audit {
    let mut audit = Audit::default();
    for side in sides {
        audit.twice += side.contradicted + unexplained(side, sides);
        audit.gaps += gaps(side);
        let mut taken = BTreeSet::new();
        for sent in &side.moves {
            if sent.acknowledged.is_none() {
                continue;
            }
            audit.acknowledged += 1;
            let at = place(sent, sides);
            // Two moves cannot have the same place: one of them is not in the game.
            let first = sent.lost || taken.insert(at);
            let found: Vec<Found> = sides.iter().map(|s| find(s, side.color, sent, at)).collect();
            if sent.lost || !first || found.contains(&Found::Absent) {
                audit.lost += 1;
            } else if found.contains(&Found::Unknown) {
                audit.unverified += 1;
            }
        }
    }
    if let [a, b] = sides {
        audit.diverged += a
            .events
            .iter()
            .filter(|(at, e)| b.events.get(at).is_some_and(|f| f != *e))
            .count() as u64;
    }
    audit
}

/// Where a move has to be: where its acknowledgement said, or right after what it follows. A move
/// that ends the game is two events, and its acknowledgement names the second.
fn place(sent: &SentMove, sides: &[&Side]) -> u32 {
    let Some(at) = sent.acknowledged else {
        return sent.follows + 1;
    };
    let ended = sides
        .iter()
        .any(|s| matches!(s.events.get(&at), Some(Seen::Ended { .. })));
    if ended { at.saturating_sub(1) } else { at }
}

#[derive(PartialEq)]
enum Found {
    Present,
    Absent,
    Unknown,
}

fn find(side: &Side, color: i32, sent: &SentMove, at: u32) -> Found {
    match side.events.get(&at) {
        Some(Seen::Move { by, uci, .. }) if *by == color && *uci == sent.uci => Found::Present,
        Some(_) => Found::Absent,
        // Told of the game up to here or past it, and never told of this.
        None if at > side.base && at <= side.sequence => Found::Absent,
        None => Found::Unknown,
    }
}

/// Moves of this side's colour that it did not make.
fn unexplained(side: &Side, sides: &[&Side]) -> u64 {
    let mut made: BTreeMap<u32, &str> = BTreeMap::new();
    for (at, event) in sides.iter().flat_map(|s| &s.events) {
        if let Seen::Move { by, uci, .. } = event
            && *by == side.color
            && *at > side.base
        {
            made.insert(*at, uci);
        }
    }
    let explained = |at: u32, uci: &str| side.moves.iter().any(|m| m.uci == uci && place(m, sides) == at);
    made.iter().filter(|(at, uci)| !explained(**at, uci)).count() as u64
}

fn gaps(side: &Side) -> u64 {
    let Some(last) = side.events.keys().next_back() else {
        return 0;
    };
    let expected = u64::from(last.saturating_sub(side.base));
    let held = side.events.range(side.base + 1..).count() as u64;
    expected.saturating_sub(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: i32 = 1;
    const BLACK: i32 = 2;

    fn mv(by: i32, uci: &str) -> Seen {
        Seen::Move {
            by,
            uci: uci.into(),
            check: false,
        }
    }

    /// Two sides of a game that went 1. e4 e5, all acknowledged.
    fn game() -> (Side, Side) {
        let mut white = Side {
            color: WHITE,
            base: 1,
            ..Side::default()
        };
        let mut black = Side {
            color: BLACK,
            base: 1,
            ..Side::default()
        };
        white.sent("w1", "e2e4", 1);
        white.acknowledge("w1", 2);
        black.sent("b1", "e7e5", 2);
        black.acknowledge("b1", 3);
        for side in [&mut white, &mut black] {
            side.see(2, mv(WHITE, "e2e4"));
            side.see(3, mv(BLACK, "e7e5"));
        }
        (white, black)
    }

    #[test]
    fn a_sound_game_has_nothing_wrong() {
        let (white, black) = game();
        assert_eq!(
            audit(&[&white, &black]),
            Audit {
                acknowledged: 2,
                ..Audit::default()
            }
        );
        assert_eq!(
            audit(&[&white]),
            Audit {
                acknowledged: 1,
                ..Audit::default()
            }
        );
    }

    #[test]
    fn a_move_that_was_applied_without_its_acknowledgement_arriving_is_explained() {
        let (mut white, mut black) = game();
        white.sent("w2", "d2d4", 3);
        for side in [&mut white, &mut black] {
            side.see(4, mv(WHITE, "d2d4"));
        }
        assert_eq!(
            audit(&[&white, &black]),
            Audit {
                acknowledged: 2,
                ..Audit::default()
            }
        );
    }

    #[test]
    fn a_forgotten_acknowledged_move_is_lost_once_whatever_takes_its_place() {
        for uci in ["d7d5", "e7e5"] {
            let (mut white, mut black) = game();
            assert_eq!(black.resumed_at(2), 1);
            assert_eq!(black.resumed_at(2), 0);
            assert_eq!(audit(&[&white, &black]).lost, 1);
            black.sent("b2", uci, 2);
            black.acknowledge("b2", 3);
            for side in [&mut white, &mut black] {
                side.see(3, mv(BLACK, uci));
            }
            assert_eq!(audit(&[&white, &black]).lost, 1, "{uci}");
        }
    }

    #[test]
    fn a_move_that_ends_the_game_is_acknowledged_at_the_sequence_of_the_end() {
        let (mut white, mut black) = game();
        white.sent("w2", "d1h5", 3);
        white.acknowledge("w2", 5);
        let end = Seen::Ended {
            winner: WHITE,
            reason: 1,
        };
        for side in [&mut white, &mut black] {
            side.see(4, mv(WHITE, "d1h5"));
            side.see(5, end.clone());
        }
        assert_eq!(
            audit(&[&white, &black]),
            Audit {
                acknowledged: 3,
                ..Audit::default()
            }
        );
        // The same acknowledgement without an end is one of another place.
        for side in [&mut white, &mut black] {
            side.see(5, mv(BLACK, "a7a6"));
        }
        assert_eq!(audit(&[&white, &black]).lost, 1);
    }

    #[test]
    fn two_moves_that_were_acknowledged_at_one_place_cannot_both_be_there() {
        let (white, mut black) = game();
        black.sent("b2", "e7e5", 2);
        black.acknowledge("b2", 3);
        assert_eq!(audit(&[&white, &black]).lost, 1);
    }

    #[test]
    fn a_move_that_only_one_side_can_see_is_lost() {
        let (white, mut black) = game();
        black.events.insert(2, mv(WHITE, "d2d4"));
        let found = audit(&[&white, &black]);
        assert_eq!((found.lost, found.diverged), (1, 1));
    }

    #[test]
    fn a_hole_is_a_gap_and_hides_a_lost_move() {
        let (white, mut black) = game();
        black.events.remove(&2);
        let found = audit(&[&white, &black]);
        assert_eq!((found.lost, found.gaps), (1, 1));
    }

    #[test]
    fn a_side_that_left_early_leaves_moves_unverified_not_lost() {
        let (white, mut black) = game();
        black.events.remove(&3);
        black.sequence = 2;
        let found = audit(&[&white, &black]);
        assert_eq!((found.lost, found.unverified), (0, 1));
    }

    #[test]
    fn a_second_application_is_found_by_event_and_by_acknowledgement() {
        let (mut white, mut black) = game();
        for side in [&mut white, &mut black] {
            side.see(4, mv(BLACK, "e7e5"));
        }
        assert_eq!(audit(&[&white, &black]).twice, 1);

        let (white, mut black) = game();
        black.acknowledge("b1", 4);
        assert_eq!(audit(&[&white, &black]).twice, 1);
    }
}
