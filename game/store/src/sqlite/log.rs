//! The log: every event of every game, in order of commit.
//!
//! Games that are played at the same time share its pages: what a commit appends lies together,
//! whichever games it is of. So a row does not lie beside the others of its game; it names the
//! position of the event before it, and the game's head names its newest one. Each row also carries
//! two digests (SHA-256, the first 8 bytes): `digest`, over the row and the digest before it, and on the
//! last row of a command `state_digest`, over the game after it. A changed byte shows in the one, rules
//! that have changed their mind about a stored game in the other. Rows from files of before have none.

use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest as _, Sha256};
use starvault_rules::{Color, CommandId, Event, GameId, GameState};

use super::fault::Fault;
use crate::{CommandKey, snapshot::to_json};

/// See the module.
pub(crate) type Digest = [u8; 8];

/// Who gave the command that caused an event, and which one it was.
pub(crate) struct Cause<'c> {
    pub(crate) seat: Color,
    pub(crate) key: &'c CommandKey,
}

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) game: i64,
    pub(crate) sequence: u32,
    pub(crate) previous: Option<i64>,
    /// Seat, command and hash of its content; none where the server acted on its own.
    pub(crate) cause: Option<(Color, String, Vec<u8>)>,
    pub(crate) event: String,
    digest: Option<Vec<u8>>,
    state_digest: Option<Vec<u8>>,
}

impl Row {
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.digest.as_deref()?.try_into().ok()
    }

    /// Whether the row is as it was written behind a row with the digest `before`.
    pub(crate) fn is_whole(&self, before: Option<Digest>) -> bool {
        let Some(kept) = &self.digest else {
            return true;
        };
        let cause = self
            .cause
            .as_ref()
            .map(|(seat, command_id, hash)| (*seat, command_id.as_str(), hash.as_slice()));
        kept[..] == digest(before, self.game, self.sequence, cause, &self.event)
    }

    /// Whether the game after it is the one that was written, as far as that is known.
    pub(crate) fn agrees_with(&self, state: &GameState) -> Result<bool, Fault> {
        Ok(match &self.state_digest {
            Some(kept) => kept[..] == digest_of(state)?,
            None => true,
        })
    }
}

/// Appends an event behind `previous`; answers its position and its digest. `state`: the game after it,
/// if it is the last event of its command.
pub(super) fn insert(
    connection: &Connection,
    game: i64,
    previous: Option<(i64, Option<Digest>)>,
    cause: Option<&Cause<'_>>,
    event: &Event,
    state: Option<&GameState>,
) -> Result<(i64, Digest), Fault> {
    let json = to_json(event)?;
    let before = previous.and_then(|(_, digest)| digest);
    let told = cause.map(|Cause { seat, key }| (*seat, key.command_id.as_str(), &key.payload_hash[..]));
    let digest = digest(before, game, event.sequence, told, &json);
    let state_digest = state.map(digest_of).transpose()?;
    let position = connection
        .prepare_cached(
            "INSERT INTO log (game, sequence, previous, seat, command_id, payload_hash, digest, state_digest, event)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .insert((
            game,
            event.sequence,
            previous.map(|(position, _)| position),
            told.map(|(seat, ..)| seat as u8),
            told.map(|(_, command_id, _)| command_id),
            told.map(|(.., hash)| hash),
            digest,
            state_digest,
            json,
        ))?;
    Ok((position, digest))
}

pub(crate) fn read(connection: &Connection, position: i64) -> Result<Option<Row>, Fault> {
    let row = connection
        .prepare_cached(
            "SELECT game, sequence, previous, event, digest, state_digest, seat, command_id, payload_hash
             FROM log WHERE position = ?1",
        )?
        .query_row([position], |row| {
            let seat: Option<u8> = row.get(6)?;
            let cause = match seat {
                Some(seat) => Some((seat, row.get(7)?, row.get(8)?)),
                None => None,
            };
            let read = Row {
                game: row.get(0)?,
                sequence: row.get(1)?,
                previous: row.get(2)?,
                cause: None,
                event: row.get(3)?,
                digest: row.get(4)?,
                state_digest: row.get(5)?,
            };
            Ok((read, cause))
        })
        .optional()?;
    let Some((row, cause)) = row else { return Ok(None) };
    let cause = match cause {
        Some((seat, command_id, hash)) => Some((color(seat)?, command_id, hash)),
        None => None,
    };
    Ok(Some(Row { cause, ..row }))
}

/// A game's number and the position of its newest row; none for a game that does not exist.
pub(crate) fn newest_of(connection: &Connection, game_id: &GameId) -> Result<Option<(i64, i64)>, Fault> {
    Ok(connection
        .prepare_cached("SELECT game, last FROM games JOIN heads USING (game) WHERE game_id = ?1")?
        .query_row([game_id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// Visits the rows of a game from its newest at `last` back to its first, as long as `visit` says so. An
/// error comes after what could be read.
pub(crate) fn walk_back(
    connection: &Connection,
    game: i64,
    last: i64,
    mut visit: impl FnMut(Row) -> bool,
) -> Result<(), Fault> {
    let mut next = Some(last);
    while let Some(position) = next {
        let row = read(connection, position)?
            .ok_or_else(|| Fault::Corrupt(format!("the event at position {position} is missing")))?;
        if row.game != game || row.previous.is_some_and(|previous| previous >= position) {
            return Err(Fault::Corrupt(format!(
                "the event at position {position} is not of the game that leads to it"
            )));
        }
        next = row.previous;
        if !visit(row) {
            break;
        }
    }
    Ok(())
}

/// All rows of a game, the oldest first.
pub(super) fn rows_of(connection: &Connection, game: i64, last: i64) -> Result<Vec<Row>, Fault> {
    let mut rows = Vec::new();
    walk_back(connection, game, last, |row| {
        rows.push(row);
        true
    })?;
    rows.reverse();
    Ok(rows)
}

/// The event of a row.
pub(crate) fn event(row: &Row) -> Result<Event, Fault> {
    serde_json::from_str(&row.event).map_err(|error| Fault::Corrupt(format!("an event: {error}")))
}

/// What the command `command_id` of `seat` was answered with, if it is among the events up to `last`:
/// the hash of its content and its last sequence.
pub(super) fn find_command(
    connection: &Connection,
    game: i64,
    last: i64,
    seat: Color,
    command_id: &CommandId,
) -> Result<Option<(Vec<u8>, u32)>, Fault> {
    let mut found = None;
    walk_back(connection, game, last, |row| {
        if let Some((by, id, hash)) = row.cause
            && by == seat
            && id == command_id.as_str()
        {
            found = Some((hash, row.sequence));
        }
        found.is_none()
    })?;
    Ok(found)
}

pub(crate) fn color(seat: u8) -> Result<Color, Fault> {
    Color::BOTH
        .into_iter()
        .find(|color| *color as u8 == seat)
        .ok_or_else(|| Fault::Corrupt(format!("there is no seat {seat}")))
}

fn digest(
    before: Option<Digest>,
    game: i64,
    sequence: u32,
    cause: Option<(Color, &str, &[u8])>,
    event: &str,
) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(before.unwrap_or_default());
    hasher.update(game.to_be_bytes());
    hasher.update(sequence.to_be_bytes());
    if let Some((seat, command_id, hash)) = cause {
        // A length before what has none of its own: no two rows are hashed alike.
        hasher.update([1, seat as u8, u8::try_from(command_id.len()).unwrap_or(u8::MAX)]);
        hasher.update(command_id);
        hasher.update(hash);
    } else {
        hasher.update([0]);
    }
    hasher.update(event);
    short(&hasher.finalize())
}

fn digest_of(state: &GameState) -> Result<Digest, Fault> {
    Ok(short(&Sha256::digest(to_json(state)?)))
}

fn short(digest: &[u8]) -> Digest {
    let mut first = Digest::default();
    for (to, from) in first.iter_mut().zip(digest) {
        *to = *from;
    }
    first
}
