//! One game: a fold over its events, and the decision which events a command causes.

mod decide;

use std::sync::Arc;

use crate::{
    event::{Event, EventKind, Outcome, Reason},
    id::{GameId, PlayerId},
    lag::LagBudget,
    position::{Played, Position},
    setup::{Color, Hp, InvalidSetup, Look, Looks, Setup},
    text::MoveText,
};

/// One game of three-check chess after some event.
#[derive(Clone, Debug)]
pub struct Game {
    setup: Arc<Setup>,
    looks: Arc<Looks>,
    position: Position,
    sequence: u32,
    last_event_at_ms: i64,
    /// What each clock showed when the present turn began (or when the game ended).
    clocks_ms: [i64; 2],
    turn_began_at_ms: i64,
    lag_budgets: [LagBudget; 2],
    checks_given: u32,
    moves_uci: Vec<MoveText>,
    moves_san: Vec<MoveText>,
    draw_offered_by: Option<Color>,
    /// Who may not offer a draw again before its next move.
    has_offered: [bool; 2],
    outcome: Option<Outcome>,
}

/// What a command does: the events that it causes and the game after them.
#[derive(Clone, Debug)]
pub struct Step {
    /// At least one.
    pub events: Vec<Event>,
    pub game: Game,
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
        Game::with_looks(setup, Looks::default())
    }

    /// As [`Game::new`], with what the opponent sees of each player.
    pub fn with_looks(setup: Setup, looks: Looks) -> Result<(Game, Event), InvalidSetup> {
        setup.validate()?;
        let kind = EventKind::Started {
            setup: setup.clone(),
            looks: looks.clone(),
        };
        let started = Event {
            sequence: 1,
            at_ms: setup.started_at_ms,
            kind,
        };
        Ok((Game::begin(setup, looks, Position::start()), started))
    }

    fn begin(setup: Setup, looks: Looks, position: Position) -> Game {
        Game {
            position,
            sequence: 1,
            last_event_at_ms: setup.started_at_ms,
            clocks_ms: [i64::from(setup.clock.initial_ms); 2],
            turn_began_at_ms: setup.started_at_ms,
            lag_budgets: [LagBudget::FULL; 2],
            checks_given: 0,
            moves_uci: Vec::new(),
            moves_san: Vec::new(),
            draw_offered_by: None,
            has_offered: [false; 2],
            outcome: None,
            setup: Arc::new(setup),
            looks: Arc::new(looks),
        }
    }

    /// The game that these events tell, oldest first. Every event is checked against the rules.
    pub fn from_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Game, ReplayError> {
        let mut events = events.into_iter();
        let first = events.next().ok_or(ReplayError::Empty)?;
        let EventKind::Started { setup, looks } = &first.kind else {
            return Err(ReplayError::NotStarted);
        };
        if first.sequence != 1 || first.at_ms != setup.started_at_ms {
            return Err(ReplayError::NotStarted);
        }
        let (mut game, _) = Game::with_looks(setup.clone(), looks.clone())?;
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
                self.end(outcome, at_ms);
            }
            _ if must_end.is_some() => {
                return Err(impossible("the position before it ends the game".into()));
            }
            EventKind::MoveMade {
                by,
                uci,
                san,
                check,
                lag_ms,
            } => {
                let (position, played) = self.check_move(*by, uci, san, *check).map_err(impossible)?;
                if self.lag_forgiven_ms(*by, *lag_ms, at_ms) != *lag_ms {
                    return Err(impossible(format!("{lag_ms} ms of lag cannot be forgiven")));
                }
                let Some(left_ms) = self.left_after_move_ms(*by, *lag_ms, at_ms) else {
                    return Err(impossible(format!("{by:?} moves after its time ran out")));
                };
                self.position = position;
                self.count_move(*by, &played, left_ms, *lag_ms, at_ms);
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

    /// The position after a stored move, if it was possible and is told as it was.
    fn check_move(&self, by: Color, uci: &str, san: &str, check: bool) -> Result<(Position, Played), String> {
        if by != self.to_move() {
            return Err(format!("{by:?} moves and it is not its turn"));
        }
        let mut after = self.position.clone();
        let played = after.play(uci).ok_or_else(|| format!("{uci:?} is not legal"))?;
        if played.san.as_str() != san || played.check != check {
            return Err(format!(
                "{uci} is {} (check: {}), not {san} (check: {check})",
                played.san, played.check
            ));
        }
        Ok((after, played))
    }

    /// What a move changes beside the position. `left_ms`: what it leaves on the clock, before the
    /// increment.
    fn count_move(&mut self, by: Color, played: &Played, left_ms: i64, lag_ms: u32, at_ms: i64) {
        self.clocks_ms[by.index()] = left_ms + i64::from(self.setup.clock.increment_ms);
        self.turn_began_at_ms = at_ms;
        self.lag_budgets[by.index()] = self.lag_budgets[by.index()].after_move(lag_ms);
        self.checks_given += u32::from(played.check);
        self.moves_uci.push(played.uci);
        self.moves_san.push(played.san);
        self.has_offered[by.index()] = false;
        if self.draw_offered_by == Some(by.other()) {
            // Who moves on has not accepted.
            self.draw_offered_by = None;
        }
    }

    fn end(&mut self, outcome: Outcome, at_ms: i64) {
        let mover = self.to_move();
        self.clocks_ms[mover.index()] = self.clock_ms(mover, at_ms);
        self.draw_offered_by = None;
        self.outcome = Some(outcome);
    }

    /// How much of `lag_ms` is taken off the time of a move at `at_ms`: never more than that time.
    fn lag_forgiven_ms(&self, by: Color, lag_ms: u32, at_ms: i64) -> u32 {
        let used_ms = at_ms.saturating_sub(self.turn_began_at_ms).max(0);
        let forgiven_ms = self.lag_budgets[by.index()].forgives_ms(lag_ms);
        forgiven_ms.min(u32::try_from(used_ms).unwrap_or(u32::MAX))
    }

    /// What a move at `at_ms` leaves on the clock; `None` if it comes too late.
    fn left_after_move_ms(&self, by: Color, forgiven_ms: u32, at_ms: i64) -> Option<i64> {
        let left_ms = self.clock_ms(by, at_ms.saturating_sub(i64::from(forgiven_ms)));
        (left_ms > 0).then_some(left_ms)
    }

    /// Whether the game can end so, now.
    fn check_end(&self, outcome: Outcome, at_ms: i64) -> Result<(), String> {
        let by_position = self.position.end();
        let possible = match outcome.reason {
            _ if by_position.is_some() => by_position == Some(outcome),
            Reason::Resignation | Reason::Abandoned => outcome.winner.is_some(),
            // Before the first move of the side that is missing.
            Reason::Aborted => outcome.winner.is_none() && self.moves_uci.len() < 2,
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

    pub fn id(&self) -> &GameId {
        &self.setup.game_id
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What the opponent sees of `color` beside the name.
    pub fn look(&self, color: Color) -> &Look {
        self.looks.of(color)
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

    /// As [`Self::legal_moves`], as texts of their own.
    pub fn legal_moves_uci(&self) -> Vec<String> {
        self.legal_moves()
            .iter()
            .map(|uci| uci.as_str().to_owned())
            .collect()
    }

    /// The legal moves of the side to move, in UCI, sorted; empty once the game has ended.
    pub fn legal_moves(&self) -> Vec<MoveText> {
        if self.outcome.is_some() {
            Vec::new()
        } else {
            self.position.legal_moves()
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
        self.flag_deadline_with_lag_ms(0)
    }

    /// When the flag of the side to move falls, if its line has this round trip: until then a move
    /// may still arrive that was made in time.
    pub fn flag_deadline_with_lag_ms(&self, lag_ms: u32) -> Option<i64> {
        self.outcome.is_none().then(|| self.deadline_ms(lag_ms))
    }

    fn deadline_ms(&self, lag_ms: u32) -> i64 {
        let mover = self.to_move().index();
        let forgiven_ms = self.lag_budgets[mover].forgives_ms(lag_ms);
        self.turn_began_at_ms
            .saturating_add(self.clocks_ms[mover])
            .saturating_add(i64::from(forgiven_ms))
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
        self.moves_uci.last().map(AsRef::as_ref)
    }

    /// Every move so far, in UCI.
    pub fn moves_uci(&self) -> &[MoveText] {
        &self.moves_uci
    }

    /// Every move so far, in standard algebraic notation.
    pub fn moves_san(&self) -> &[MoveText] {
        &self.moves_san
    }

    /// How many moves gave check, by either side.
    pub fn checks_given(&self) -> u32 {
        self.checks_given
    }
}
