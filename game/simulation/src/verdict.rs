//! What the players were told, compared with what the store has.

use std::{collections::HashMap, ops::Add};

use starvault_rules::{Event, EventKind, Game};

use crate::{
    client::{Client, Told},
    store::{Cause, Stored},
};

/// What came of one run or of several. Everything but the first four must be 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Of nodes and of the store.
    pub crashes: u64,
    pub games: u64,
    /// Commands that a player was told are accepted.
    pub acknowledged: u64,
    /// Answers that were given again.
    pub repeated: u64,
    /// Acknowledged, and not in the game at the sequence that was told.
    pub lost: u64,
    /// Carried out more than once.
    pub twice: u64,
    /// Told one thing and then another, or told refused and in the game all the same.
    pub contradicted: u64,
    /// Events that are no game.
    pub broken: u64,
    /// Games that did not come to their end after everything was well again.
    pub stuck: u64,
}

impl Tally {
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.lost + self.twice + self.contradicted + self.broken + self.stuck == 0
    }
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            crashes: self.crashes + other.crashes,
            games: self.games + other.games,
            acknowledged: self.acknowledged + other.acknowledged,
            repeated: self.repeated + other.repeated,
            lost: self.lost + other.lost,
            twice: self.twice + other.twice,
            contradicted: self.contradicted + other.contradicted,
            broken: self.broken + other.broken,
            stuck: self.stuck + other.stuck,
        }
    }
}

pub(crate) fn judge(crashes: u64, games: &[Stored], clients: &[Client]) -> Tally {
    let mut tally = Tally {
        crashes,
        games: games.len() as u64,
        ..Tally::default()
    };
    for stored in games {
        let events: Vec<&Event> = stored.events.iter().map(|(event, _)| event).collect();
        match Game::from_events(events) {
            Ok(game) if game.outcome().is_some() => {}
            Ok(_) => tally.stuck += 1,
            Err(_) => tally.broken += 1,
        }
        tally.twice += carried_out(stored)
            .values()
            .filter(|actions| **actions > 1)
            .count() as u64;
    }
    for client in clients {
        tally.contradicted += client.contradicted;
        tally.repeated += client.repeated;
        let stored = &games[client.game];
        for (id, told) in &client.told {
            let cause = (client.color, id.clone());
            let is_its = |(_, by): &&(Event, Option<Cause>)| by.as_ref() == Some(&cause);
            match told {
                Told::Accepted(sequence) => {
                    tally.acknowledged += 1;
                    let at = (*sequence as usize).checked_sub(1);
                    let there = at.and_then(|at| stored.events.get(at)).filter(|row| is_its(row));
                    tally.lost += u64::from(there.is_none());
                }
                Told::Rejected => {
                    let there = stored.events.iter().any(|row| is_its(&row));
                    tally.contradicted += u64::from(there);
                }
            }
        }
    }
    tally
}

/// How often each command did something: the end of a game that follows from a move is no second time.
fn carried_out(stored: &Stored) -> HashMap<&Cause, u32> {
    let mut actions: HashMap<&Cause, (u32, u32)> = HashMap::new();
    for (event, cause) in &stored.events {
        let Some(cause) = cause else { continue };
        let (times, last) = actions.entry(cause).or_default();
        let follows = matches!(event.kind, EventKind::Ended { .. }) && *last + 1 == event.sequence;
        *times += u32::from(!follows || *times == 0);
        *last = event.sequence;
    }
    actions
        .into_iter()
        .map(|(cause, (times, _))| (cause, times))
        .collect()
}
