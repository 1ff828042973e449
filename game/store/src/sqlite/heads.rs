//! What the writer knows of the games that it writes: where each of them stands, and which commands
//! it has answered. A memory of the file, never ahead of it and never trusted further than fencing goes.
//!
//! Only the owner of a game writes to it, in the epoch that it holds. So what is known of a game stays
//! true until another connection commits something, which SQLite tells (`data_version`); after that a
//! game's head is looked at again before it is believed. Whatever fails empties the memory.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use rusqlite::{Connection, OptionalExtension};
use starvault_rules::{Color, CommandId, GameId, PlayerId};

use super::{
    fault::Fault,
    games::{epoch_from, owner_from},
    log::{self, Digest},
    players::id,
};
use crate::{Epoch, Owner, rule::Standing};

/// Games that are remembered; beyond them the memory begins anew. Some 2 KiB each.
const GAMES_MAX: usize = 50_000;
/// Commands of one game that are remembered. Beyond them the game is read again: of refusals the file
/// keeps fewer than a client can send.
const COMMANDS_MAX: usize = 1_024;

/// A game as of its newest event.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) game: i64,
    pub(super) owner: Owner,
    pub(super) epoch: Epoch,
    pub(super) sequence: u32,
    pub(super) running: bool,
    /// White first.
    pub(super) players: [PlayerId; 2],
    /// The position of the newest event, and its digest.
    pub(super) last: i64,
    pub(super) digest: Option<Digest>,
    owner_number: i64,
    /// Of commands that may have an answer. Two commands can have one in common; what is not here has none.
    fingerprints: Vec<u64>,
    seen_in: u64,
}

impl Head {
    pub(super) fn new(
        game: i64,
        owner: (i64, Owner),
        players: [PlayerId; 2],
        (last, digest): (i64, Digest),
        sequence: u32,
    ) -> Head {
        Head {
            game,
            owner_number: owner.0,
            owner: owner.1,
            epoch: Epoch(1),
            sequence,
            running: true,
            players,
            last,
            digest: Some(digest),
            fingerprints: Vec::new(),
            seen_in: 0,
        }
    }

    pub(super) fn standing<'s>(&'s self, game_id: &'s GameId) -> Standing<'s> {
        Standing {
            game_id,
            owner: &self.owner,
            epoch: self.epoch,
            sequence: self.sequence,
            running: self.running,
            players: &self.players,
        }
    }

    /// Whether the command may have an answer in the file.
    pub(super) fn may_have_answered(&self, seat: Color, command_id: &CommandId) -> bool {
        self.fingerprints
            .contains(&fingerprint(seat, command_id.as_str()))
    }

    pub(super) fn remember(&mut self, seat: Color, command_id: &str) {
        self.fingerprints.push(fingerprint(seat, command_id));
    }
}

fn fingerprint(seat: Color, command_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seat as u8, command_id).hash(&mut hasher);
    hasher.finish()
}

#[derive(Debug, Default)]
pub(super) struct Heads {
    games: HashMap<GameId, Head>,
    owners: HashMap<Owner, i64>,
    data_version: Option<i64>,
    /// How often others were found to have written.
    others_wrote: u64,
}

impl Heads {
    /// At the beginning of each transaction.
    pub(super) fn begin(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let version = connection
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        if self.data_version.replace(version) != Some(version) {
            self.others_wrote += 1;
        }
        Ok(())
    }

    /// Nothing is known any more.
    pub(super) fn clear(&mut self) {
        *self = Heads {
            others_wrote: self.others_wrote,
            ..Heads::default()
        };
    }

    pub(super) fn forget(&mut self, game_id: &GameId) {
        self.games.remove(game_id);
    }

    pub(super) fn insert(&mut self, game_id: GameId, head: Head) {
        if self.games.len() >= GAMES_MAX {
            self.games.clear();
        }
        let seen_in = self.others_wrote;
        self.games.insert(game_id, Head { seen_in, ..head });
    }

    /// The head of a game; `None` if there is no such game.
    pub(super) fn get(
        &mut self,
        connection: &Connection,
        game_id: &GameId,
    ) -> Result<Option<&mut Head>, Fault> {
        let known = self.games.get(game_id);
        let is_sound = match known {
            Some(head) if head.fingerprints.len() > COMMANDS_MAX => false,
            Some(head) => head.seen_in == self.others_wrote || is_as_stored(connection, head)?,
            None => false,
        };
        if !is_sound {
            match load(connection, game_id)? {
                Some(head) => self.insert(game_id.clone(), head),
                None => return Ok(None),
            }
        }
        let mut head = self.games.get_mut(game_id);
        if let Some(head) = &mut head {
            head.seen_in = self.others_wrote;
        }
        Ok(head)
    }

    /// The number that stands for `owner` in the file.
    pub(super) fn owner_number(&mut self, connection: &Connection, owner: &Owner) -> rusqlite::Result<i64> {
        if let Some(number) = self.owners.get(owner) {
            return Ok(*number);
        }
        let Owner { release, instance } = owner;
        connection
            .prepare_cached("INSERT INTO owners (release, instance) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute((release, instance))?;
        let number = connection
            .prepare_cached("SELECT owner FROM owners WHERE release = ?1 AND instance = ?2")?
            .query_row((release, instance), |row| row.get(0))?;
        self.owners.insert(owner.clone(), number);
        Ok(number)
    }
}

fn is_as_stored(connection: &Connection, head: &Head) -> Result<bool, Fault> {
    let stored: Option<(i64, i64, u32, i64)> = connection
        .prepare_cached("SELECT owner, epoch, sequence, last FROM heads WHERE game = ?1")?
        .query_row([head.game], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let known = (head.owner_number, head.epoch.0 as i64, head.sequence, head.last);
    Ok(stored == Some(known))
}

fn load(connection: &Connection, game_id: &GameId) -> Result<Option<Head>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT o.release, o.instance, h.epoch, h.owner, h.game, h.sequence, h.last, h.ended_at_ms IS NULL,
                g.white_id, g.black_id
         FROM games g JOIN heads h USING (game) JOIN owners o USING (owner) WHERE g.game_id = ?1",
    )?;
    let mut rows = statement.query([game_id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut head = Head {
        owner: owner_from(row, 0)?,
        epoch: epoch_from(row, 2)?,
        owner_number: row.get(3)?,
        game: row.get(4)?,
        sequence: row.get(5)?,
        last: row.get(6)?,
        running: row.get(7)?,
        players: [id(row.get(8)?)?, id(row.get(9)?)?],
        digest: None,
        fingerprints: Vec::new(),
        seen_in: 0,
    };
    let events = log::rows_of(connection, head.game, head.last)?;
    head.digest = events.last().and_then(log::Row::digest);
    for (seat, command_id, _) in events.iter().filter_map(|row| row.cause.as_ref()) {
        head.remember(*seat, command_id);
    }
    let mut refusals = connection.prepare_cached("SELECT seat, command_id FROM refusals WHERE game = ?1")?;
    let mut rows = refusals.query([head.game])?;
    while let Some(row) = rows.next()? {
        let command_id: String = row.get(1)?;
        head.remember(log::color(row.get(0)?)?, &command_id);
    }
    Ok(Some(head))
}
