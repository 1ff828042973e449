//! The store: games in memory, of which a crash leaves what was committed.

use std::collections::{HashMap, HashSet};

use starvault_rules::{Color, CommandId, Event, EventKind, GameId, PlayerId};
use starvault_store::{
    Answer, Append, AppendOutcome, Decision, Epoch, Owner, StoreError,
    rule::{Kept, Ruling, Standing, rule},
};

use crate::Mutant;

/// Who gave a command, and which one it was.
pub(crate) type Cause = (Color, CommandId);

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) game_id: GameId,
    pub(crate) players: [PlayerId; 2],
    owner: Owner,
    epoch: Epoch,
    pub(crate) events: Vec<(Event, Option<Cause>)>,
    answers: HashMap<Cause, Kept>,
    /// Commands that were marked as seen, by the mutant that does so.
    marked: HashSet<Cause>,
}

impl Stored {
    pub(crate) fn new(game_id: GameId, players: [PlayerId; 2], owner: Owner, started: Event) -> Self {
        Self {
            game_id,
            players,
            owner,
            epoch: Epoch(1),
            events: vec![(started, None)],
            answers: HashMap::new(),
            marked: HashSet::new(),
        }
    }

    fn sequence(&self) -> u32 {
        self.events.len() as u32
    }

    fn is_running(&self) -> bool {
        !matches!(
            self.events.last(),
            Some((
                Event {
                    kind: EventKind::Ended { .. },
                    ..
                },
                _
            ))
        )
    }
}

/// What a node asks.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Acquire {
        game: usize,
        owner: Owner,
    },
    Append {
        game: usize,
        append: Box<Append>,
    },
    /// Whose is it?
    Probe {
        game: usize,
    },
    /// Of the mutant: has this command been seen? It has from now on.
    Mark {
        game: usize,
        cause: Cause,
    },
}

/// What the store answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Acquired { epoch: Epoch, events: Vec<Event> },
    Appended(AppendOutcome),
    Owned { owner: Owner, epoch: Epoch },
    Refused,
    Marked { fresh: bool, sequence: u32 },
}

#[derive(Debug)]
pub(crate) struct Store {
    mutant: Option<Mutant>,
    pub(crate) durable: Vec<Stored>,
    working: Vec<Stored>,
    changed: HashSet<usize>,
}

impl Store {
    pub(crate) fn new(games: Vec<Stored>, mutant: Option<Mutant>) -> Self {
        Self {
            mutant,
            working: games.clone(),
            durable: games,
            changed: HashSet::new(),
        }
    }

    /// Does what is asked, not durably yet.
    pub(crate) fn carry_out(&mut self, request: Request) -> Reply {
        match request {
            Request::Acquire { game, owner } => {
                self.changed.insert(game);
                let stored = &mut self.working[game];
                stored.epoch = Epoch(stored.epoch.0 + 1);
                stored.owner = owner;
                Reply::Acquired {
                    epoch: stored.epoch,
                    events: stored.events.iter().map(|(event, _)| event.clone()).collect(),
                }
            }
            Request::Probe { game } => Reply::Owned {
                owner: self.working[game].owner.clone(),
                epoch: self.working[game].epoch,
            },
            Request::Mark { game, cause } => {
                let sequence = self.working[game].sequence();
                // By itself, and durable at once.
                self.durable[game].marked.insert(cause.clone());
                let fresh = self.working[game].marked.insert(cause);
                Reply::Marked { fresh, sequence }
            }
            Request::Append { game, append } => match self.append(game, *append) {
                Ok(outcome) => Reply::Appended(outcome),
                Err(_) => Reply::Refused,
            },
        }
    }

    fn append(&mut self, game: usize, append: Append) -> Result<AppendOutcome, StoreError> {
        let mutant = self.mutant;
        let stored = &mut self.working[game];
        let believes = mutant == Some(Mutant::NoFencing);
        let standing = Standing {
            game_id: &stored.game_id,
            owner: if believes { &append.owner } else { &stored.owner },
            epoch: if believes { append.epoch } else { stored.epoch },
            sequence: if believes {
                append.expected_sequence
            } else {
                stored.sequence()
            },
            running: stored.is_running(),
            players: &stored.players,
        };
        let forgets = matches!(mutant, Some(Mutant::NoDedupe | Mutant::SetnxThenUpdate));
        let ruling = rule(&standing, &append, |seat, key| {
            let kept = stored.answers.get(&(seat, key.command_id.clone()));
            Ok::<_, StoreError>(kept.filter(|_| !forgets).cloned())
        })?;
        let (seat, committed) = match ruling {
            Ruling::Settled(outcome) => return Ok(outcome),
            Ruling::Write { seat, committed } => (seat, committed),
        };
        self.changed.insert(game);
        let cause = seat
            .zip(append.command.as_ref())
            .map(|(seat, key)| (seat, key.command_id.clone()));
        let answer = match append.decision {
            Decision::Accepted { events, state } => {
                // Nothing is cut off unless somebody is believed who should not be.
                stored.events.truncate(append.expected_sequence as usize);
                for event in events {
                    stored.events.push((event, cause.clone()));
                }
                Answer::Accepted {
                    sequence: state.sequence,
                }
            }
            Decision::Rejected { code, message } => Answer::Rejected {
                code,
                message,
                sequence: stored.sequence(),
            },
        };
        if let (Some(cause), Some(key)) = (cause, append.command) {
            stored.answers.insert(cause, (key.payload_hash.to_vec(), answer));
        }
        Ok(committed)
    }

    pub(crate) fn commit(&mut self) {
        for game in self.changed.drain() {
            self.durable[game] = self.working[game].clone();
        }
    }

    pub(crate) fn crash(&mut self) {
        self.changed.clear();
        self.working = self.durable.clone();
    }
}
