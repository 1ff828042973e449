//! The commit rule: what becomes of a result, by what the store knows of its game. Pure.
//!
//! An engine asks it inside its transaction, with what that transaction sees, and then writes what it says or
//! nothing. So every engine, and the simulation that tortures the rule, decides the same.

use starvault_rules::{Color, Event, EventKind, GameId, GameState, PlayerId};

use crate::{Answer, Append, AppendOutcome, CommandKey, Decision, Epoch, Owner, StoreError};

/// Where a game stands in the store.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'s> {
    pub game_id: &'s GameId,
    pub owner: &'s Owner,
    pub epoch: Epoch,
    /// Of its newest event.
    pub sequence: u32,
    /// Whether it still goes on.
    pub running: bool,
    /// White first.
    pub players: &'s [PlayerId; 2],
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Nothing; this is the answer.
    Settled(AppendOutcome),
    /// Write the decision and commit it; then the answer is this one.
    Write {
        /// Who gave the command, if somebody did.
        seat: Option<Color>,
        committed: AppendOutcome,
    },
}

/// An answer that is kept, with the hash of what was answered.
pub type Kept = (Vec<u8>, Answer);

/// Looked at in this order: fenced, repeated or conflict, gap. `kept` finds the answer of a command.
///
/// # Errors
/// What no owner can have decided is [`StoreError::Invalid`]; and what `kept` answers.
pub fn rule<E: From<StoreError>>(
    standing: &Standing<'_>,
    append: &Append,
    kept: impl FnOnce(Color, &CommandKey) -> Result<Option<Kept>, E>,
) -> Result<Ruling, E> {
    if *standing.owner != append.owner || standing.epoch != append.epoch {
        return Ok(Ruling::Settled(AppendOutcome::Fenced {
            owner: standing.owner.clone(),
            epoch: standing.epoch,
        }));
    }
    let seat = match &append.command {
        Some(key) => Some(seat_of(standing, &key.player_id)?),
        None => None,
    };
    if let (Some(seat), Some(key)) = (seat, &append.command)
        && let Some((hash, answer)) = kept(seat, key)?
    {
        return Ok(Ruling::Settled(if hash == key.payload_hash {
            AppendOutcome::Repeated { answer }
        } else {
            AppendOutcome::Conflict
        }));
    }
    if append.expected_sequence != standing.sequence {
        return Ok(Ruling::Settled(AppendOutcome::Gap {
            current: standing.sequence,
        }));
    }
    let sequence = match &append.decision {
        Decision::Accepted { .. } if !standing.running => {
            return Err(invalid(format!("events after the end of game {}", standing.game_id)).into());
        }
        Decision::Accepted { events, state } => {
            check_accepted(standing.game_id, standing.sequence, events, state)?
        }
        Decision::Rejected { .. } => standing.sequence,
    };
    Ok(Ruling::Write {
        seat,
        committed: AppendOutcome::Committed { sequence },
    })
}

/// What no owner can have decided, by what it believes of its game: an engine that rules only after it has
/// written looks at this before.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn check_decision(append: &Append) -> Result<(), StoreError> {
    let Decision::Accepted { events, state } = &append.decision else {
        return Ok(());
    };
    check_accepted(&append.game_id, append.expected_sequence, events, state).map(|_| ())
}

fn invalid(what: String) -> StoreError {
    StoreError::Invalid { what }
}

fn seat_of(standing: &Standing<'_>, player_id: &PlayerId) -> Result<Color, StoreError> {
    Color::BOTH
        .into_iter()
        .zip(standing.players)
        .find_map(|(color, seated)| (seated == player_id).then_some(color))
        .ok_or_else(|| {
            invalid(format!(
                "player {player_id} does not play in game {}",
                standing.game_id
            ))
        })
}

/// Holds the caller to the shape of an accepted command; the sequence after it.
fn check_accepted(
    game_id: &GameId,
    sequence: u32,
    events: &[Event],
    state: &GameState,
) -> Result<u32, StoreError> {
    let follow_one_by_one = events
        .iter()
        .zip(1u32..)
        .all(|(event, n)| Some(event.sequence) == sequence.checked_add(n));
    let Some(last) = events.last().filter(|_| follow_one_by_one) else {
        return Err(invalid(format!(
            "events that do not follow sequence {sequence} one by one"
        )));
    };
    let ends = matches!(last.kind, EventKind::Ended { .. });
    if state.game_id != *game_id || state.sequence != last.sequence || state.outcome.is_some() != ends {
        return Err(invalid(format!(
            "a state that is not that of game {game_id} after its last event"
        )));
    }
    state.check().map_err(|error| invalid(error.to_string()))?;
    Ok(last.sequence)
}
