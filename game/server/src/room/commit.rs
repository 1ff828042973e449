//! What a room and the journal agree on: deciding, making durable, taking in, and finding out what
//! happened when a write had no answer.

use starvault_rules::{Color, Command, Event, Moment, Step};
use starvault_store::{Answer, Append, AppendOutcome, CommandKey, Decision, Journal as _, Owner, StoreError};
use starvault_wire::v1::{ServerFrame, server_frame::Event as Say};
use tokio::time::Instant;

use super::{History, Room};
use crate::{
    link::SharedFrame,
    view::{self, Moves},
};

/// Why a command has no answer from the journal.
#[derive(Debug)]
pub(super) enum NotCommitted {
    Fenced(Owner),
    /// Whether it was applied is not known: the same command id tells, later.
    Unknown,
}

/// What became of a command.
pub(super) enum Committed {
    Applied(Box<Step>),
    Answered { answer: Answer, repeated: bool },
    Conflict,
}

impl Room {
    /// Decides and makes durable. The game here is unchanged: [`Self::take_in`] follows. `moment`: when
    /// the command arrived, and how far it came.
    pub(super) async fn commit(
        &mut self,
        by: Color,
        command: &Command,
        moment: Moment,
        key: Option<CommandKey>,
    ) -> Result<Committed, NotCommitted> {
        // A second try only after the journal knew more than we did.
        for _ in 0..2 {
            self.settle().await?;
            let at_ms = moment.now_ms;
            let (decision, applied) = match self.game.advance(by, command, moment) {
                Ok(step) => {
                    let decision = Decision::Accepted {
                        events: step.events.clone(),
                        state: step.game.state(),
                    };
                    (decision, Ok(Box::new(step)))
                }
                Err(rejection) => {
                    let (code, message) = (rejection.code().to_owned(), rejection.to_string());
                    let sequence = self.game.sequence();
                    let answer = Answer::Rejected {
                        code: code.clone(),
                        message: message.clone(),
                        sequence,
                    };
                    if key.is_none() {
                        // Nobody will ask again.
                        return Ok(Committed::Answered {
                            answer,
                            repeated: false,
                        });
                    }
                    (Decision::Rejected { code, message }, Err(answer))
                }
            };
            let append = Append {
                game_id: self.game.id().clone(),
                owner: self.context.owner.clone(),
                epoch: self.epoch,
                expected_sequence: self.game.sequence(),
                command: key.clone(),
                decision,
                at_ms,
            };
            match self.context.journal.append(append).await {
                Ok(AppendOutcome::Committed { .. }) => {
                    return Ok(match applied {
                        Ok(step) => {
                            self.context.note_for_copies(self.game.id());
                            Committed::Applied(step)
                        }
                        Err(answer) => Committed::Answered {
                            answer,
                            repeated: false,
                        },
                    });
                }
                Ok(AppendOutcome::Repeated { answer }) => {
                    return Ok(Committed::Answered {
                        answer,
                        repeated: true,
                    });
                }
                Ok(AppendOutcome::Conflict) => return Ok(Committed::Conflict),
                Ok(AppendOutcome::Fenced { owner, .. }) => return Err(NotCommitted::Fenced(owner)),
                Ok(AppendOutcome::Gap { current }) => {
                    tracing::warn!(game = %self.game.id(), current, "the journal is ahead; loading the game again");
                    self.uncertain = true;
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Err(NotCommitted::Unknown)
    }

    fn failed(&mut self, error: &StoreError) -> NotCommitted {
        tracing::error!(game = %self.game.id(), %error, "the journal failed");
        self.uncertain = true;
        NotCommitted::Unknown
    }

    /// Takes a durable step in and tells both seats. [`Self::after_step`] follows.
    pub(super) fn take_in(&mut self, step: Box<Step>) {
        let Step { mut events, game } = *step;
        match events.pop() {
            Some(last) if events.is_empty() => {
                self.game = game;
                self.tell_event(last);
            }
            Some(last) => {
                // Each event is told with the game right after it.
                for event in events {
                    if let Err(error) = self.game.apply(&event) {
                        tracing::error!(game = %self.game.id(), %error, "the rules refuse their own decision");
                        self.uncertain = true;
                        return;
                    }
                    self.tell_event(event);
                }
                self.game = game;
                self.tell_event(last);
            }
            None => {}
        }
        if self.game.outcome().is_none() {
            self.measure_lag(self.game.to_move());
        }
    }

    /// What a step leads to beyond the board.
    pub(super) async fn after_step(&mut self) {
        if self.game.outcome().is_some() {
            self.ended_at.get_or_insert_with(Instant::now);
            self.return_to_lobby().await;
        }
    }

    /// The newest event of the game.
    fn tell_event(&mut self, event: Event) {
        let news = view::news(&self.game, &event, self.context.time.now_ms());
        self.tell_both(SharedFrame::news(news));
        self.history.push(event);
    }

    /// Makes sure that this task knows what the journal knows.
    pub(super) async fn settle(&mut self) -> Result<(), NotCommitted> {
        if !self.uncertain {
            return Ok(());
        }
        self.still_ours().await?;
        let journal = self.context.journal.clone();
        let acquired = match journal.acquire(self.game.id(), self.context.owner.clone()).await {
            Ok(Some(acquired)) => acquired,
            Ok(None) => {
                return Err(self.failed(&StoreError::UnknownGame {
                    game_id: self.game.id().clone(),
                }));
            }
            Err(error) => return Err(self.failed(&error)),
        };
        let known = self.game.sequence();
        self.epoch = acquired.epoch;
        self.game = acquired.game;
        self.uncertain = false;
        let after = view::game(&self.game, self.context.time.now_ms(), Moves::Omitted);
        for event in acquired.events.iter().filter(|event| event.sequence > known) {
            let told = view::event(self.game.id(), event, Some(after.clone()));
            self.tell_both(SharedFrame::new(ServerFrame {
                request_id: 0,
                event: Some(Say::GameEvent(told)),
            }));
        }
        self.history = History::new(acquired.events);
        if self.game.outcome().is_some() {
            self.ended_at.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    pub(super) async fn still_ours(&mut self) -> Result<(), NotCommitted> {
        let journal = self.context.journal.clone();
        match journal.owner_of(self.game.id()).await {
            Ok(Some(found)) if found.owner == self.context.owner && found.epoch == self.epoch => Ok(()),
            Ok(Some(found)) => Err(NotCommitted::Fenced(found.owner)),
            Ok(None) => Err(self.failed(&StoreError::UnknownGame {
                game_id: self.game.id().clone(),
            })),
            Err(error) => Err(self.failed(&error)),
        }
    }
}
