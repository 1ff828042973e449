//! One game: a fold over its events, and the decision which events a command causes.

use std::sync::Arc;

use crate::{
    command::{Command, Rejection},
    event::{Event, EventKind, Outcome, Reason},
    id::{GameId, PlayerId},
    position::Position,
    setup::{Color, Hp, InvalidSetup, Setup},
};

/// A text of a refused move is kept this long at most, so that it can be quoted in an error.
const QUOTED_CHARS_MAX: usize = 16;

/// One game of three-check chess after some event.
#[derive(Clone, Debug)]
pub struct Game {
    setup: Arc<Setup>,
    position: Position,
    sequence: u32,
    last_event_at_ms: i64,
    /// What each clock showed when the present turn began (or when the game ended).
    clocks_ms: [i64; 2],
    turn_began_at_ms: i64,
    checks_given: u32,
    moves_uci: Vec<String>,
    moves_san: Vec<String>,
    draw_offered_by: Option<Color>,
    /// Who may not offer a draw again before its next move.
    has_offered: [bool; 2],
    outcome: Option<Outcome>,
}

/// Why events are not the history of a game.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("a game needs a first event, there is none")]
    Empty,
    #[error("the first event must be the start of the game with sequence 1")]
    NotStarted,
    #[error("the start of the game is no valid setup: {source}")]
    Setup {
        #[from]
        source: InvalidSetup,
    },
    #[error("event {found} follows event {after}")]
    Sequence { after: u32, found: u32 },
    #[error("event {sequence} happened at {at_ms}, before the event that it follows")]
    TimeRunsBackwards { sequence: u32, at_ms: i64 },
    #[error("event {sequence} comes after the end of the game")]
    AfterTheEnd { sequence: u32 },
    #[error("event {sequence} cannot happen here: {what}")]
    Impossible { sequence: u32, what: String },
}

impl Game {
    /// A new game, and the event that started it.
    pub fn new(setup: Setup) -> Result<(Game, Event), InvalidSetup> {
        setup.validate()?;
        let kind = EventKind::Started { setup: setup.clone() };
        let started = Event {
            sequence: 1,
            at_ms: setup.started_at_ms,
            kind,
        };
        Ok((Game::begin(setup, Position::start()), started))
    }

    fn begin(setup: Setup, position: Position) -> Game {
        Game {
            position,
            sequence: 1,
            last_event_at_ms: setup.started_at_ms,
            clocks_ms: [i64::from(setup.clock.initial_ms); 2],
            turn_began_at_ms: setup.started_at_ms,
            checks_given: 0,
            moves_uci: Vec::new(),
            moves_san: Vec::new(),
            draw_offered_by: None,
            has_offered: [false; 2],
            outcome: None,
            setup: Arc::new(setup),
        }
    }

    /// The game that these events tell, oldest first. Every event is checked against the rules.
    pub fn from_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Game, ReplayError> {
        let mut events = events.into_iter();
        let first = events.next().ok_or(ReplayError::Empty)?;
        let EventKind::Started { setup } = &first.kind else {
            return Err(ReplayError::NotStarted);
        };
        if first.sequence != 1 || first.at_ms != setup.started_at_ms {
            return Err(ReplayError::NotStarted);
        }
        let (mut game, _) = Game::new(setup.clone())?;
        for event in events {
            game.apply(event)?;
        }
        Ok(game)
    }

    /// Takes the next event in. On an error the game is as before.
    pub fn apply(&mut self, event: &Event) -> Result<(), ReplayError> {
        let Event {
            sequence,
            at_ms,
            ref kind,
        } = *event;
        if sequence != self.sequence + 1 {
            return Err(ReplayError::Sequence {
                after: self.sequence,
                found: sequence,
            });
        }
        if self.outcome.is_some() {
            return Err(ReplayError::AfterTheEnd { sequence });
        }
        if at_ms < self.last_event_at_ms {
            return Err(ReplayError::TimeRunsBackwards { sequence, at_ms });
        }
        let impossible = |what: String| ReplayError::Impossible { sequence, what };
        let must_end = self.position.end();
        match kind {
            EventKind::Started { .. } => return Err(impossible("the game has started before".into())),
            EventKind::Ended { winner, reason } => {
                let outcome = Outcome {
                    winner: *winner,
                    reason: *reason,
                };
                self.check_end(outcome, at_ms).map_err(impossible)?;
                let mover = self.to_move();
                self.clocks_ms[mover.index()] = self.clock_ms(mover, at_ms);
                self.draw_offered_by = None;
                self.outcome = Some(outcome);
            }
            _ if must_end.is_some() => {
                return Err(impossible("the position before it ends the game".into()));
            }
            EventKind::MoveMade { by, uci, san, check } => {
                self.apply_move(*by, uci, san, *check, at_ms)
                    .map_err(impossible)?;
            }
            EventKind::DrawOffered { by } => {
                if self.draw_offered_by.is_some() || self.has_offered[by.index()] {
                    return Err(impossible("a draw has been offered already".into()));
                }
                self.draw_offered_by = Some(*by);
                self.has_offered[by.index()] = true;
            }
            EventKind::DrawDeclined { by } => {
                if self.draw_offered_by != Some(by.other()) {
                    return Err(impossible("no draw offer of the other side is open".into()));
                }
                self.draw_offered_by = None;
            }
        }
        self.sequence = sequence;
        self.last_event_at_ms = at_ms;
        Ok(())
    }

    fn apply_move(&mut self, by: Color, uci: &str, san: &str, check: bool, at_ms: i64) -> Result<(), String> {
        if by != self.to_move() {
            return Err(format!("{by:?} moves and it is not its turn"));
        }
        let left_ms = self.clock_ms(by, at_ms);
        if left_ms == 0 {
            return Err(format!("{by:?} moves after its time ran out"));
        }
        let mut after = self.position.clone();
        let played = after.play(uci).ok_or_else(|| format!("{uci:?} is not legal"))?;
        if played.san != san || played.check != check {
            return Err(format!(
                "{uci} is {} (check: {}), not {san} (check: {check})",
                played.san, played.check
            ));
        }
        self.position = after;
        self.clocks_ms[by.index()] = left_ms + i64::from(self.setup.clock.increment_ms);
        self.turn_began_at_ms = at_ms;
        self.checks_given += u32::from(check);
        self.moves_uci.push(played.uci);
        self.moves_san.push(played.san);
        self.has_offered[by.index()] = false;
        if self.draw_offered_by == Some(by.other()) {
            // Who moves on has not accepted.
            self.draw_offered_by = None;
        }
        Ok(())
    }

    /// Whether the game can end so, now.
    fn check_end(&self, outcome: Outcome, at_ms: i64) -> Result<(), String> {
        let by_position = self.position.end();
        let possible = match outcome.reason {
            _ if by_position.is_some() => by_position == Some(outcome),
            Reason::Resignation | Reason::Abandoned => outcome.winner.is_some(),
            Reason::Agreement => outcome.winner.is_none() && self.draw_offered_by.is_some(),
            Reason::Flag => {
                outcome.winner == Some(self.to_move().other()) && self.clock_ms(self.to_move(), at_ms) == 0
            }
            _ => false,
        };
        if possible {
            Ok(())
        } else {
            Err(format!("the game cannot end by {outcome:?}"))
        }
    }

    /// The events that `command` of side `by` causes at `now_ms`: at least one. Changes nothing;
    /// whoever has made them durable applies them. A time before the last event counts as its time,
    /// so that a clock set back cannot make time run backwards.
    pub fn decide(&self, by: Color, command: &Command, now_ms: i64) -> Result<Vec<Event>, Rejection> {
        if let Some(outcome) = self.outcome {
            return Err(Rejection::GameOver { outcome });
        }
        let at_ms = now_ms.max(self.last_event_at_ms);
        let event = |kind| {
            vec![Event {
                sequence: self.sequence + 1,
                at_ms,
                kind,
            }]
        };
        let ended = |winner, reason| event(EventKind::Ended { winner, reason });
        let lost = |reason| ended(Some(by.other()), reason);
        match command {
            Command::Move {
                uci,
                expected_sequence,
            } => self.decide_move(by, uci, *expected_sequence, at_ms),
            Command::Resign => Ok(lost(Reason::Resignation)),
            Command::Abandon => Ok(lost(Reason::Abandoned)),
            Command::OfferDraw if self.draw_offered_by == Some(by.other()) => {
                Ok(ended(None, Reason::Agreement))
            }
            Command::OfferDraw if self.has_offered[by.index()] || self.draw_offered_by.is_some() => {
                Err(Rejection::DrawAlreadyOffered)
            }
            Command::OfferDraw => Ok(event(EventKind::DrawOffered { by })),
            Command::AnswerDraw { .. } if self.draw_offered_by != Some(by.other()) => {
                Err(Rejection::NoDrawOffer)
            }
            Command::AnswerDraw { accept: true } => Ok(ended(None, Reason::Agreement)),
            Command::AnswerDraw { accept: false } => Ok(event(EventKind::DrawDeclined { by })),
            Command::Flag if by != self.to_move() => Err(Rejection::NotYourTurn {
                to_move: self.to_move(),
            }),
            Command::Flag if self.clock_ms(by, at_ms) > 0 => Err(Rejection::ClockStillRunning {
                deadline_ms: self.deadline_ms(),
            }),
            Command::Flag => Ok(lost(Reason::Flag)),
        }
    }

    fn decide_move(
        &self,
        by: Color,
        uci: &str,
        expected_sequence: u32,
        at_ms: i64,
    ) -> Result<Vec<Event>, Rejection> {
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
        if self.clock_ms(by, at_ms) == 0 {
            return Err(Rejection::OutOfTime);
        }
        let mut after = self.position.clone();
        let Some(played) = after.play(uci) else {
            return Err(Rejection::IllegalMove {
                uci: uci.chars().take(QUOTED_CHARS_MAX).collect(),
            });
        };
        let kind = EventKind::MoveMade {
            by,
            uci: played.uci,
            san: played.san,
            check: played.check,
        };
        let mut events = vec![Event {
            sequence: self.sequence + 1,
            at_ms,
            kind,
        }];
        if let Some(Outcome { winner, reason }) = after.end() {
            let kind = EventKind::Ended { winner, reason };
            events.push(Event {
                sequence: self.sequence + 2,
                at_ms,
                kind,
            });
        }
        Ok(events)
    }

    pub fn id(&self) -> &GameId {
        &self.setup.game_id
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The side that `player_id` plays, if any.
    pub fn color_of(&self, player_id: &PlayerId) -> Option<Color> {
        self.setup.color_of(player_id)
    }

    /// The sequence of the last event.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    pub fn last_event_at_ms(&self) -> i64 {
        self.last_event_at_ms
    }

    pub fn to_move(&self) -> Color {
        self.position.to_move()
    }

    /// Forsyth-Edwards notation; HP is not part of it.
    pub fn fen(&self) -> String {
        self.position.fen()
    }

    pub fn hp(&self, color: Color) -> Hp {
        self.position.hp(color)
    }

    /// Whether the king of the side to move is attacked.
    pub fn in_check(&self) -> bool {
        self.position.in_check()
    }

    /// The legal moves of the side to move, in UCI, sorted; empty once the game has ended.
    pub fn legal_moves_uci(&self) -> Vec<String> {
        if self.outcome.is_some() {
            Vec::new()
        } else {
            self.position.legal_moves_uci()
        }
    }

    /// What the clock of `color` shows at `at_ms`; never below 0. It runs while `color` is to move
    /// and the game goes on.
    pub fn clock_ms(&self, color: Color, at_ms: i64) -> i64 {
        let running = self.outcome.is_none() && color == self.to_move();
        let used_ms = if running {
            at_ms.saturating_sub(self.turn_began_at_ms).max(0)
        } else {
            0
        };
        (self.clocks_ms[color.index()] - used_ms).max(0)
    }

    /// When the clock of the side to move runs out; `None` once the game has ended.
    pub fn flag_deadline_ms(&self) -> Option<i64> {
        self.outcome.is_none().then(|| self.deadline_ms())
    }

    fn deadline_ms(&self) -> i64 {
        self.turn_began_at_ms
            .saturating_add(self.clocks_ms[self.to_move().index()])
    }

    /// How the game ended; `None` while it goes on.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Who has a draw offer open.
    pub fn draw_offered_by(&self) -> Option<Color> {
        self.draw_offered_by
    }

    /// The last move, in UCI.
    pub fn last_move(&self) -> Option<&str> {
        self.moves_uci.last().map(String::as_str)
    }

    /// Every move so far, in UCI.
    pub fn moves_uci(&self) -> &[String] {
        &self.moves_uci
    }

    /// Every move so far, in standard algebraic notation.
    pub fn moves_san(&self) -> &[String] {
        &self.moves_san
    }

    /// How many moves gave check, by either side.
    pub fn checks_given(&self) -> u32 {
        self.checks_given
    }
}
