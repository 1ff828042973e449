//! What a command does: the decision, and the game after it. Changes no game.

use super::{Game, Step};
use crate::{
    command::{Command, Rejection},
    event::{Event, EventKind, Outcome, Reason},
    lag::Moment,
    setup::Color,
};

/// A text of a refused move is kept this long at most, so that it can be quoted in an error.
const QUOTED_CHARS_MAX: usize = 16;

impl Game {
    /// The events that `command` of side `by` causes at a moment: at least one. Changes nothing;
    /// whoever has made them durable applies them. A time before the last event counts as its time,
    /// so that a clock set back cannot make time run backwards.
    pub fn decide(
        &self,
        by: Color,
        command: &Command,
        moment: impl Into<Moment>,
    ) -> Result<Vec<Event>, Rejection> {
        self.advance(by, command, moment).map(|step| step.events)
    }

    /// As [`Game::decide`], with the game after the events: the same as [`Game::apply`] makes of
    /// them, without playing the move once more.
    pub fn advance(
        &self,
        by: Color,
        command: &Command,
        moment: impl Into<Moment>,
    ) -> Result<Step, Rejection> {
        let Moment { now_ms, lag_ms } = moment.into();
        if let Some(outcome) = self.outcome {
            return Err(Rejection::GameOver { outcome });
        }
        let at_ms = now_ms.max(self.last_event_at_ms);
        let lost = |reason| self.ended(Some(by.other()), reason, at_ms);
        match command {
            Command::Move {
                uci,
                expected_sequence,
            } => self.advance_by_move(
                by,
                uci,
                *expected_sequence,
                Moment {
                    now_ms: at_ms,
                    lag_ms,
                },
            ),
            Command::Resign => Ok(lost(Reason::Resignation)),
            Command::Abandon => Ok(lost(Reason::Abandoned)),
            Command::Abort if self.has_moved(by) => Err(Rejection::HasMoved { by }),
            Command::Abort => Ok(self.ended(None, Reason::Aborted, at_ms)),
            Command::OfferDraw if self.draw_offered_by == Some(by.other()) => {
                Ok(self.ended(None, Reason::Agreement, at_ms))
            }
            Command::OfferDraw if self.has_offered[by.index()] || self.draw_offered_by.is_some() => {
                Err(Rejection::DrawAlreadyOffered)
            }
            Command::OfferDraw => {
                let mut step = self.step(EventKind::DrawOffered { by }, at_ms);
                step.game.draw_offered_by = Some(by);
                step.game.has_offered[by.index()] = true;
                Ok(step)
            }
            Command::AnswerDraw { .. } if self.draw_offered_by != Some(by.other()) => {
                Err(Rejection::NoDrawOffer)
            }
            Command::AnswerDraw { accept: true } => Ok(self.ended(None, Reason::Agreement, at_ms)),
            Command::AnswerDraw { accept: false } => {
                let mut step = self.step(EventKind::DrawDeclined { by }, at_ms);
                step.game.draw_offered_by = None;
                Ok(step)
            }
            Command::Flag if by != self.to_move() => Err(Rejection::NotYourTurn {
                to_move: self.to_move(),
            }),
            Command::Flag if at_ms < self.deadline_ms(lag_ms) => Err(Rejection::ClockStillRunning {
                deadline_ms: self.deadline_ms(lag_ms),
            }),
            Command::Flag => Ok(lost(Reason::Flag)),
        }
    }

    /// One event, and a game that has counted it and nothing more.
    fn step(&self, kind: EventKind, at_ms: i64) -> Step {
        let mut step = Step {
            events: Vec::with_capacity(2),
            game: self.clone(),
        };
        step.push(kind, at_ms);
        step
    }

    fn ended(&self, winner: Option<Color>, reason: Reason, at_ms: i64) -> Step {
        let mut step = self.step(EventKind::Ended { winner, reason }, at_ms);
        step.game.end(Outcome { winner, reason }, at_ms);
        step
    }

    fn advance_by_move(
        &self,
        by: Color,
        uci: &str,
        expected_sequence: u32,
        Moment {
            now_ms: at_ms,
            lag_ms,
        }: Moment,
    ) -> Result<Step, Rejection> {
        if expected_sequence != self.sequence {
            return Err(Rejection::SequenceGap {
                current: self.sequence,
                expected: expected_sequence,
            });
        }
        if by != self.to_move() {
            return Err(Rejection::NotYourTurn {
                to_move: self.to_move(),
            });
        }
        let lag_ms = self.lag_forgiven_ms(by, lag_ms, at_ms);
        let Some(left_ms) = self.left_after_move_ms(by, lag_ms, at_ms) else {
            return Err(Rejection::OutOfTime);
        };
        let mut game = self.clone();
        let Some(played) = game.position.play(uci) else {
            return Err(Rejection::IllegalMove {
                uci: uci.chars().take(QUOTED_CHARS_MAX).collect(),
            });
        };
        let end = game.position.end();
        game.count_move(by, &played, left_ms, lag_ms, at_ms);
        let kind = EventKind::MoveMade {
            by,
            uci: played.uci.as_str().to_owned(),
            san: played.san.as_str().to_owned(),
            check: played.check,
            lag_ms,
        };
        let mut step = Step {
            events: Vec::with_capacity(2),
            game,
        };
        step.push(kind, at_ms);
        if let Some(outcome) = end {
            let Outcome { winner, reason } = outcome;
            step.push(EventKind::Ended { winner, reason }, at_ms);
            step.game.end(outcome, at_ms);
        }
        Ok(step)
    }

    fn has_moved(&self, color: Color) -> bool {
        self.moves_uci.len() > color.index()
    }
}

impl Step {
    fn push(&mut self, kind: EventKind, at_ms: i64) {
        self.game.sequence += 1;
        self.game.last_event_at_ms = at_ms;
        self.events.push(Event {
            sequence: self.game.sequence,
            at_ms,
            kind,
        });
    }
}
