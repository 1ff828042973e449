//! Beginning games, and who owns them.

use rusqlite::{Connection, Row};
use starvault_rules::{Event, Game, GameId, Look, Looks, Setup};

use super::{
    fault::Fault,
    heads::{Head, Heads},
    log,
    players::{self, id},
};
use crate::{Acquired, CreateOutcome, Created, Epoch, Owner, Ownership, Profile, StoreError};

/// Begins a game. The players' looks are those of their profiles at this moment.
pub(super) fn create(
    connection: &Connection,
    heads: &mut Heads,
    setup: Setup,
    owner: &Owner,
) -> Result<CreateOutcome, Fault> {
    setup
        .validate()
        .map_err(|error| Fault::invalid(error.to_string()))?;
    let known = connection
        .prepare_cached("SELECT 1 FROM games WHERE game_id = ?1")?
        .exists([setup.game_id.as_str()])?;
    if known {
        return Err(StoreError::GameExists {
            game_id: setup.game_id,
        }
        .into());
    }
    let mut looks = Looks::default();
    for (seat, look) in [(&setup.white, &mut looks.white), (&setup.black, &mut looks.black)] {
        let unknown = || StoreError::UnknownPlayer {
            player_id: seat.player_id.clone(),
        };
        let profile = players::get(connection, &seat.player_id)?.ok_or_else(unknown)?;
        let Profile {
            player_id,
            progress,
            equipped,
            active_game_id,
            ..
        } = profile;
        if let Some(game_id) = active_game_id {
            return Ok(CreateOutcome::AlreadyPlaying { player_id, game_id });
        }
        *look = Look {
            level: progress.level(),
            equipped,
        };
    }
    let (game, started) =
        Game::with_looks(setup, looks).map_err(|error| Fault::invalid(error.to_string()))?;
    let setup = game.setup();
    let players = [setup.white.player_id.clone(), setup.black.player_id.clone()];
    let number = connection
        .prepare_cached("INSERT INTO games (game_id, white_id, black_id) VALUES (?1, ?2, ?3)")?
        .insert((setup.game_id.as_str(), players[0].as_str(), players[1].as_str()))?;
    let first = log::insert(connection, number, None, None, &started, Some(&game.state()))?;
    let owner_number = heads.owner_number(connection, owner)?;
    connection
        .prepare_cached("INSERT INTO heads (game, owner, epoch, sequence, last) VALUES (?1, ?2, 1, ?3, ?4)")?
        .execute((number, owner_number, started.sequence, first.0))?;
    for player_id in &players {
        players::enter_game(connection, player_id, &setup.game_id)?;
    }
    let owner = (owner_number, owner.clone());
    let head = Head::new(number, owner, players, first, started.sequence);
    heads.insert(setup.game_id.clone(), head);
    Ok(CreateOutcome::Created(Box::new(Created {
        epoch: Epoch(1),
        game,
        started,
    })))
}

/// A game as it is stored, before the rules have looked at it.
pub(super) struct StoredGame {
    epoch: Epoch,
    previous: Owner,
    /// The oldest first.
    rows: Vec<log::Row>,
}

impl StoredGame {
    pub(super) fn replay(self) -> Result<Acquired, Fault> {
        let corrupt = |what: String| Fault::Corrupt(what);
        let mut digest = None;
        for row in &self.rows {
            if !row.is_whole(digest) {
                return Err(corrupt(format!("event {} is not what was written", row.sequence)));
            }
            digest = row.digest();
        }
        let events = self
            .rows
            .iter()
            .map(log::event)
            .collect::<Result<Vec<Event>, Fault>>()?;
        let game = Game::from_events(&events).map_err(|error| corrupt(error.to_string()))?;
        if let Some(last) = self.rows.last()
            && !last.agrees_with(&game.state())?
        {
            return Err(corrupt(format!(
                "game {} after its events is not the game that was stored",
                game.id()
            )));
        }
        Ok(Acquired {
            epoch: self.epoch,
            events,
            game,
            previous: self.previous,
        })
    }
}

/// Makes `owner` the owner in a new epoch.
pub(super) fn acquire(
    connection: &Connection,
    heads: &mut Heads,
    game_id: &GameId,
    owner: &Owner,
) -> Result<Option<StoredGame>, Fault> {
    let Some(head) = heads.get(connection, game_id)? else {
        return Ok(None);
    };
    let (game, last, previous) = (head.game, head.last, head.owner.clone());
    let epoch = Epoch(head.epoch.0 + 1);
    heads.forget(game_id);
    let owner_number = heads.owner_number(connection, owner)?;
    connection
        .prepare_cached("UPDATE heads SET owner = ?2, epoch = ?3 WHERE game = ?1")?
        .execute((game, owner_number, epoch.0 as i64))?;
    Ok(Some(StoredGame {
        epoch,
        previous,
        rows: log::rows_of(connection, game, last)?,
    }))
}

pub(super) fn events_after(
    connection: &Connection,
    game_id: &GameId,
    sequence: u32,
) -> Result<Vec<Event>, Fault> {
    let Some((game, last)) = log::newest_of(connection, game_id)? else {
        return Ok(Vec::new());
    };
    let mut missed = Vec::new();
    log::walk_back(connection, game, last, |row| {
        let wanted = row.sequence > sequence;
        if wanted {
            missed.push(row);
        }
        wanted
    })?;
    missed.iter().rev().map(log::event).collect()
}

pub(super) fn owner_of(connection: &Connection, game_id: &GameId) -> Result<Option<Ownership>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT release, instance, epoch, ended_at_ms IS NULL, white_id, black_id
         FROM games JOIN heads USING (game) JOIN owners USING (owner) WHERE game_id = ?1",
    )?;
    let mut rows = statement.query([game_id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Ownership {
        owner: owner_from(row, 0)?,
        epoch: epoch_from(row, 2)?,
        players: [id(row.get(4)?)?, id(row.get(5)?)?],
        running: row.get(3)?,
    }))
}

pub(super) fn running_of(connection: &Connection, owner: &Owner) -> Result<Vec<GameId>, Fault> {
    connection
        .prepare_cached(
            "SELECT game_id FROM heads JOIN games USING (game)
             WHERE owner = (SELECT owner FROM owners WHERE release = ?1 AND instance = ?2)
                 AND ended_at_ms IS NULL
             ORDER BY game_id",
        )?
        .query_map((&owner.release, &owner.instance), |row| row.get::<_, String>(0))?
        .map(|game_id| id(game_id?))
        .collect()
}

/// The owner in two columns, release and instance, from `column` on.
pub(super) fn owner_from(row: &Row<'_>, column: usize) -> rusqlite::Result<Owner> {
    Ok(Owner {
        release: row.get(column)?,
        instance: row.get(column + 1)?,
    })
}

pub(super) fn epoch_from(row: &Row<'_>, column: usize) -> rusqlite::Result<Epoch> {
    row.get::<_, i64>(column).map(|epoch| Epoch(epoch.unsigned_abs()))
}
