//! One command's result: fence, dedupe, sequence, events, head and profiles in the same transaction.
//!
//! A commit touches few pages, whatever it holds: the end of the log, which all games share, and the
//! rows of the games' heads, of which some hundred lie on a page. An accepted command is its own kept
//! answer, since its events name it; refusals are kept beside them.

use rusqlite::{Connection, OptionalExtension};
use starvault_rules::{Color, Event, EventKind, GameId, GameState, Reason};

use super::{
    fault::Fault,
    heads::{Head, Heads},
    log::{self, Cause},
    players::{finish_game, leave_game},
};
use crate::{Answer, Append, AppendOutcome, CommandKey, Decision, StoreError};

/// Refusals kept for each game, the newest. They cost their sender nothing, so they are not kept
/// without end; one that was dropped is decided anew when its command is repeated.
pub(crate) const REJECTIONS_PER_GAME_MAX: u32 = 256;

/// Whether what is written may have to be undone alone: profiles can turn out to be unsound.
pub(super) fn may_fail_halfway(append: &Append) -> bool {
    match &append.decision {
        Decision::Accepted { state, .. } => state.outcome.is_some(),
        Decision::Rejected { .. } => false,
    }
}

pub(super) fn append(
    connection: &Connection,
    heads: &mut Heads,
    append: &Append,
) -> Result<AppendOutcome, Fault> {
    let Append {
        game_id,
        expected_sequence,
        command,
        decision,
        at_ms,
        ..
    } = append;
    let Some(head) = heads.get(connection, game_id)? else {
        return Err(Fault::Store(StoreError::UnknownGame {
            game_id: game_id.clone(),
        }));
    };
    if head.owner != append.owner || head.epoch != append.epoch {
        return Ok(AppendOutcome::Fenced {
            owner: head.owner.clone(),
            epoch: head.epoch,
        });
    }
    let cause = match command {
        Some(key) => Some(cause(head, game_id, key)?),
        None => None,
    };
    if let Some(cause) = &cause
        && let Some(outcome) = answered_before(connection, head, cause)?
    {
        return Ok(outcome);
    }
    if *expected_sequence != head.sequence {
        return Ok(AppendOutcome::Gap {
            current: head.sequence,
        });
    }
    match decision {
        Decision::Accepted { events, state } => {
            check_accepted(head, game_id, events, state)?;
            accept(connection, head, cause.as_ref(), events, state)?;
            let sequence = head.sequence;
            if !head.running {
                // Nothing but questions can follow.
                heads.forget(game_id);
            }
            Ok(AppendOutcome::Committed { sequence })
        }
        Decision::Rejected { code, message } => {
            if let Some(cause) = &cause {
                refuse(connection, head, cause, (code, message), *at_ms)?;
            }
            Ok(AppendOutcome::Committed {
                sequence: head.sequence,
            })
        }
    }
}

fn cause<'c>(head: &Head, game_id: &GameId, key: &'c CommandKey) -> Result<Cause<'c>, Fault> {
    let player_id = &key.player_id;
    let seat = head
        .seat_of(player_id)
        .ok_or_else(|| Fault::invalid(format!("player {player_id} does not play in game {game_id}")))?;
    Ok(Cause { seat, key })
}

/// The outcome of a command that has an answer already.
fn answered_before(
    connection: &Connection,
    head: &Head,
    Cause { seat, key }: &Cause<'_>,
) -> Result<Option<AppendOutcome>, Fault> {
    if !head.may_have_answered(*seat, &key.command_id) {
        return Ok(None);
    }
    let accepted = log::find_command(connection, head.game, head.last, *seat, &key.command_id)?;
    let found = match accepted {
        Some((hash, sequence)) => Some((hash, Answer::Accepted { sequence })),
        None => kept_refusal(connection, head.game, *seat, key)?,
    };
    Ok(found.map(|(hash, answer)| {
        if hash == key.payload_hash {
            AppendOutcome::Repeated { answer }
        } else {
            AppendOutcome::Conflict
        }
    }))
}

fn kept_refusal(
    connection: &Connection,
    game: i64,
    seat: Color,
    key: &CommandKey,
) -> Result<Option<(Vec<u8>, Answer)>, Fault> {
    let kept = connection
        .prepare_cached(
            "SELECT payload_hash, code, message, sequence FROM refusals
             WHERE game = ?1 AND seat = ?2 AND command_id = ?3",
        )?
        .query_row((game, seat as u8, key.command_id.as_str()), |row| {
            let answer = Answer::Rejected {
                code: row.get(1)?,
                message: row.get(2)?,
                sequence: row.get(3)?,
            };
            Ok((row.get(0)?, answer))
        })
        .optional()?;
    Ok(kept)
}

/// Events that have been checked, where the game stands after them and, at its end, what it did to its
/// players.
fn accept(
    connection: &Connection,
    head: &mut Head,
    cause: Option<&Cause<'_>>,
    events: &[Event],
    state: &GameState,
) -> Result<(), Fault> {
    let (mut last, mut digest) = (head.last, head.digest);
    for event in events {
        let state = (event.sequence == state.sequence).then_some(state);
        let (position, its_digest) =
            log::insert(connection, head.game, Some((last, digest)), cause, event, state)?;
        (last, digest) = (position, Some(its_digest));
    }
    let end = match events.last() {
        Some(Event {
            kind: EventKind::Ended { winner, reason },
            at_ms,
            ..
        }) => Some((*winner, *reason, *at_ms)),
        _ => None,
    };
    match end {
        // Leaves `ended_at_ms` alone: an index hangs on it, and it would be written as well.
        None => connection
            .prepare_cached("UPDATE heads SET sequence = ?2, last = ?3 WHERE game = ?1")?
            .execute((head.game, state.sequence, last))?,
        Some((.., at_ms)) => connection
            .prepare_cached("UPDATE heads SET sequence = ?2, last = ?3, ended_at_ms = ?4 WHERE game = ?1")?
            .execute((head.game, state.sequence, last, at_ms))?,
    };
    let [white, black] = &head.players;
    match end {
        None => {}
        Some((_, Reason::Aborted, _)) => {
            leave_game(connection, white)?;
            leave_game(connection, black)?;
        }
        Some((winner, _, at_ms)) => finish_game(connection, white, black, winner, at_ms)?,
    }
    head.sequence = state.sequence;
    head.last = last;
    head.digest = digest;
    head.running = end.is_none();
    if let Some(Cause { seat, key }) = cause {
        head.remember(*seat, key.command_id.as_str());
    }
    Ok(())
}

/// Holds the caller to the shape of an accepted command.
fn check_accepted(head: &Head, game_id: &GameId, events: &[Event], state: &GameState) -> Result<(), Fault> {
    if !head.running {
        return Err(Fault::invalid(format!("events after the end of game {game_id}")));
    }
    let follow_one_by_one = events
        .iter()
        .zip(1u32..)
        .all(|(event, n)| Some(event.sequence) == head.sequence.checked_add(n));
    let Some(last) = events.last().filter(|_| follow_one_by_one) else {
        return Err(Fault::invalid(format!(
            "events that do not follow sequence {} one by one",
            head.sequence
        )));
    };
    let ends = matches!(last.kind, EventKind::Ended { .. });
    if state.game_id != *game_id || state.sequence != last.sequence || state.outcome.is_some() != ends {
        return Err(Fault::invalid(format!(
            "a state that is not that of game {game_id} after its last event"
        )));
    }
    state.check().map_err(|error| Fault::invalid(error.to_string()))
}

fn refuse(
    connection: &Connection,
    head: &mut Head,
    Cause { seat, key }: &Cause<'_>,
    (code, message): (&str, &str),
    at_ms: i64,
) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO refusals (game, seat, command_id, payload_hash, sequence, code, message, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            head.game,
            *seat as u8,
            key.command_id.as_str(),
            key.payload_hash,
            head.sequence,
            code,
            message,
            at_ms,
        ))?;
    connection
        .prepare_cached(
            "DELETE FROM refusals WHERE id IN (
                 SELECT id FROM refusals WHERE game = ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute((head.game, REJECTIONS_PER_GAME_MAX))?;
    head.remember(*seat, key.command_id.as_str());
    Ok(())
}

pub(super) fn forget_refusals(connection: &Connection, before_ms: i64) -> Result<u64, Fault> {
    let forgotten = connection
        .prepare_cached(
            "DELETE FROM refusals WHERE game IN (
                 SELECT game FROM refusals JOIN heads USING (game) WHERE ended_at_ms < ?1)",
        )?
        .execute([before_ms])?;
    Ok(forgotten as u64)
}
