//! One command's result: fence, dedupe, sequence, events, state, answer and profiles in the same
//! transaction.

use rusqlite::{Connection, OptionalExtension};
use starvault_rules::{Event, EventKind, GameId, GameState, PlayerId, Reason};

use super::{
    fault::Fault,
    games::{epoch_from, owner_from},
    players::{finish_game, id, leave_game, to_json},
};
use crate::{Answer, Append, AppendOutcome, CommandKey, Decision, Epoch, Owner, StoreError};

/// Refusals kept for each game, the newest. They cost their sender nothing, so they are not kept
/// without end; one that was dropped is decided anew when its command is repeated.
pub(crate) const REJECTIONS_PER_GAME_MAX: u32 = 256;

struct Head {
    owner: Owner,
    epoch: Epoch,
    sequence: u32,
    running: bool,
    white: PlayerId,
    black: PlayerId,
}

pub(super) fn append(connection: &Connection, append: &Append) -> Result<AppendOutcome, Fault> {
    let Append {
        game_id,
        expected_sequence,
        command,
        decision,
        at_ms,
        ..
    } = append;
    let head = head(connection, game_id)?.ok_or_else(|| {
        Fault::Store(StoreError::UnknownGame {
            game_id: game_id.clone(),
        })
    })?;
    if head.owner != append.owner || head.epoch != append.epoch {
        return Ok(AppendOutcome::Fenced {
            owner: head.owner,
            epoch: head.epoch,
        });
    }
    if *expected_sequence != head.sequence {
        // A repeated command names the sequence of its first time.
        let before = answered_before(connection, game_id, command.as_ref())?;
        return Ok(before.unwrap_or(AppendOutcome::Gap {
            current: head.sequence,
        }));
    }
    let (sequence, answer) = match decision {
        Decision::Accepted { events, state } => match check_accepted(&head, game_id, events, state) {
            Ok(sequence) => (sequence, Answer::Accepted { sequence }),
            Err(fault) => {
                let before = answered_before(connection, game_id, command.as_ref())?;
                return before.ok_or(fault);
            }
        },
        Decision::Rejected { code, message } => {
            let (code, message, sequence) = (code.clone(), message.clone(), head.sequence);
            let answer = Answer::Rejected {
                code,
                message,
                sequence,
            };
            (sequence, answer)
        }
    };
    // Kept before anything else is written, since this is what finds out that it was answered before.
    if let Some(key) = command
        && !keep_answer(connection, game_id, key, &answer, *at_ms)?
    {
        let before = answered_before(connection, game_id, Some(key))?;
        return before.ok_or_else(|| Fault::Corrupt("an answer is kept and is not there".into()));
    }
    if let Decision::Accepted { events, state } = decision {
        write_events(connection, &head, game_id, command.as_ref(), events, state)?;
    }
    Ok(AppendOutcome::Committed { sequence })
}

/// The outcome of a command that has an answer already.
fn answered_before(
    connection: &Connection,
    game_id: &GameId,
    command: Option<&CommandKey>,
) -> Result<Option<AppendOutcome>, Fault> {
    let Some(key) = command else { return Ok(None) };
    let kept = kept_answer(connection, game_id, key)?;
    Ok(kept.map(|(hash, answer)| {
        if hash == key.payload_hash {
            AppendOutcome::Repeated { answer }
        } else {
            AppendOutcome::Conflict
        }
    }))
}

/// Events that have been checked, the game after them and, at its end, what it did to its players.
fn write_events(
    connection: &Connection,
    head: &Head,
    game_id: &GameId,
    command: Option<&CommandKey>,
    events: &[Event],
    state: &GameState,
) -> Result<(), Fault> {
    for event in events {
        insert_event(connection, game_id, command, event)?;
    }
    let state_json = to_json(state)?;
    let Some(Event {
        kind: EventKind::Ended { winner, reason },
        at_ms,
        ..
    }) = events.last()
    else {
        // Leaves `ended_at_ms` alone: two indices hang on it, and they would be written as well.
        connection
            .prepare_cached("UPDATE games SET sequence = ?2, state = ?3 WHERE game_id = ?1")?
            .execute((game_id.as_str(), state.sequence, state_json))?;
        return Ok(());
    };
    connection
        .prepare_cached("UPDATE games SET sequence = ?2, state = ?3, ended_at_ms = ?4 WHERE game_id = ?1")?
        .execute((game_id.as_str(), state.sequence, state_json, at_ms))?;
    if *reason == Reason::Aborted {
        leave_game(connection, &head.white)?;
        leave_game(connection, &head.black)
    } else {
        finish_game(connection, &head.white, &head.black, *winner, *at_ms)
    }
}

fn head(connection: &Connection, game_id: &GameId) -> Result<Option<Head>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT owner_release, owner_instance, epoch, sequence, ended_at_ms IS NULL, white_id, black_id
         FROM games WHERE game_id = ?1",
    )?;
    let mut rows = statement.query([game_id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Head {
        owner: owner_from(row, 0)?,
        epoch: epoch_from(row, 2)?,
        sequence: row.get(3)?,
        running: row.get(4)?,
        white: id(row.get(5)?)?,
        black: id(row.get(6)?)?,
    }))
}

/// Holds the caller to the shape of an accepted command; returns the sequence after it.
fn check_accepted(head: &Head, game_id: &GameId, events: &[Event], state: &GameState) -> Result<u32, Fault> {
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
    state.check().map_err(|error| Fault::invalid(error.to_string()))?;
    Ok(last.sequence)
}

pub(super) fn insert_event(
    connection: &Connection,
    game_id: &GameId,
    command: Option<&CommandKey>,
    event: &Event,
) -> Result<(), Fault> {
    connection
        .prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((
            game_id.as_str(),
            event.sequence,
            command.map(|key| key.player_id.as_str()),
            command.map(|key| key.command_id.as_str()),
            to_json(event)?,
        ))?;
    Ok(())
}

fn kept_answer(
    connection: &Connection,
    game_id: &GameId,
    key: &CommandKey,
) -> Result<Option<([u8; 32], Answer)>, Fault> {
    let kept: Option<([u8; 32], String)> = connection
        .prepare_cached(
            "SELECT payload_hash, answer FROM answers
             WHERE game_id = ?1 AND player_id = ?2 AND command_id = ?3",
        )?
        .query_row(
            (game_id.as_str(), key.player_id.as_str(), key.command_id.as_str()),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((hash, json)) = kept else { return Ok(None) };
    match serde_json::from_str(&json) {
        Ok(answer) => Ok(Some((hash, answer))),
        Err(error) => Err(Fault::Corrupt(format!(
            "the kept answer of command {}: {error}",
            key.command_id
        ))),
    }
}

/// False, and nothing is written, if the command has an answer already.
fn keep_answer(
    connection: &Connection,
    game_id: &GameId,
    key: &CommandKey,
    answer: &Answer,
    at_ms: i64,
) -> Result<bool, Fault> {
    let accepted = matches!(answer, Answer::Accepted { .. });
    let kept = connection
        .prepare_cached(
            "INSERT INTO answers (game_id, player_id, command_id, payload_hash, accepted, answer, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (game_id, player_id, command_id) DO NOTHING",
        )?
        .execute((
            game_id.as_str(),
            key.player_id.as_str(),
            key.command_id.as_str(),
            key.payload_hash,
            accepted,
            to_json(answer)?,
            at_ms,
        ))?;
    if kept == 0 {
        return Ok(false);
    }
    if !accepted {
        connection
            .prepare_cached(
                "DELETE FROM answers WHERE id IN (
                     SELECT id FROM answers WHERE game_id = ?1 AND accepted = 0
                     ORDER BY id DESC LIMIT -1 OFFSET ?2)",
            )?
            .execute((game_id.as_str(), REJECTIONS_PER_GAME_MAX))?;
    }
    Ok(true)
}

pub(super) fn forget_answers(connection: &Connection, before_ms: i64) -> Result<u64, Fault> {
    let forgotten = connection
        .prepare_cached(
            "DELETE FROM answers WHERE game_id IN (
                 SELECT game_id FROM games WHERE ended_at_ms IS NOT NULL AND ended_at_ms < ?1)",
        )?
        .execute([before_ms])?;
    Ok(forgotten as u64)
}
