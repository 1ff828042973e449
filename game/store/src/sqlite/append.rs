//! One command's result: the rule is asked, and what it says is written, in the same transaction.
//!
//! A commit touches few pages, whatever it holds: the end of the log, which all games share, and the
//! rows of the games' heads, of which some hundred lie on a page. An accepted command is its own kept
//! answer, since its events name it; refusals are kept beside them.

use rusqlite::{Connection, OptionalExtension};
use starvault_rules::{Color, Event, EventKind, GameState, Reason};

use super::{
    fault::Fault,
    heads::{Head, Heads},
    log::{self, Cause},
    players::{finish_game, leave_game},
};
use crate::{
    Answer, Append, AppendOutcome, CommandKey, Decision, StoreError,
    rule::{Kept, Ruling, rule},
};

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
    let game_id = &append.game_id;
    let Some(head) = heads.get(connection, game_id)? else {
        return Err(Fault::Store(StoreError::UnknownGame {
            game_id: game_id.clone(),
        }));
    };
    let ruling = rule(&head.standing(game_id), append, |seat, key| {
        kept_answer(connection, head, seat, key)
    })?;
    let (seat, committed) = match ruling {
        Ruling::Settled(outcome) => return Ok(outcome),
        Ruling::Write { seat, committed } => (seat, committed),
    };
    let cause = seat.zip(append.command.as_ref());
    let cause = cause.map(|(seat, key)| Cause { seat, key });
    match (&append.decision, &cause) {
        (Decision::Accepted { events, state }, cause) => {
            accept(connection, head, cause.as_ref(), events, state)?;
        }
        (Decision::Rejected { code, message }, Some(cause)) => {
            refuse(connection, head, cause, (code, message), append.at_ms)?;
        }
        // Nobody will ask again.
        (Decision::Rejected { .. }, None) => {}
    }
    if !head.running {
        // Nothing but questions can follow.
        heads.forget(game_id);
    }
    Ok(committed)
}

/// The answer of a command that has one.
fn kept_answer(
    connection: &Connection,
    head: &Head,
    seat: Color,
    key: &CommandKey,
) -> Result<Option<Kept>, Fault> {
    if !head.may_have_answered(seat, &key.command_id) {
        return Ok(None);
    }
    let accepted = log::find_command(connection, head.game, head.last, seat, &key.command_id)?;
    match accepted {
        Some((hash, sequence)) => Ok(Some((hash, Answer::Accepted { sequence }))),
        None => kept_refusal(connection, head.game, seat, key),
    }
}

fn kept_refusal(
    connection: &Connection,
    game: i64,
    seat: Color,
    key: &CommandKey,
) -> Result<Option<Kept>, Fault> {
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
