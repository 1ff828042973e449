//! Beginning games, and who owns them.

use rusqlite::{Connection, OptionalExtension, Row};
use starvault_rules::{Event, Game, GameId, GameState, Look, Looks, Setup};

use super::{
    append::insert_event,
    fault::Fault,
    players::{self, id, to_json},
};
use crate::{Acquired, CreateOutcome, Created, Epoch, Owner, Ownership, Profile, StoreError};

/// Begins a game. The players' looks are those of their profiles at this moment.
pub(super) fn create(connection: &Connection, setup: Setup, owner: &Owner) -> Result<CreateOutcome, Fault> {
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
    connection
        .prepare_cached("INSERT INTO games VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, NULL)")?
        .execute((
            setup.game_id.as_str(),
            setup.white.player_id.as_str(),
            setup.black.player_id.as_str(),
            &owner.release,
            &owner.instance,
            started.sequence,
            to_json(&game.state())?,
        ))?;
    insert_event(connection, &setup.game_id, None, &started)?;
    players::enter_game(connection, &setup.white.player_id, &setup.game_id)?;
    players::enter_game(connection, &setup.black.player_id, &setup.game_id)?;
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
    state: String,
    events: Vec<String>,
}

impl StoredGame {
    pub(super) fn replay(self) -> Result<Acquired, Fault> {
        let corrupt = |what: String| Fault::Corrupt(what);
        let events = self
            .events
            .iter()
            .map(|event| serde_json::from_str(event).map_err(|error| corrupt(format!("an event: {error}"))))
            .collect::<Result<Vec<Event>, Fault>>()?;
        let game = Game::from_events(&events).map_err(|error| corrupt(error.to_string()))?;
        let state: GameState =
            serde_json::from_str(&self.state).map_err(|error| corrupt(format!("a state: {error}")))?;
        if game.state() != state {
            return Err(corrupt(format!(
                "the stored state of game {} is not what its events give",
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
    game_id: &GameId,
    owner: &Owner,
) -> Result<Option<StoredGame>, Fault> {
    let stored = connection
        .prepare_cached("SELECT owner_release, owner_instance, epoch, state FROM games WHERE game_id = ?1")?
        .query_row([game_id.as_str()], |row| {
            Ok((owner_from(row, 0)?, epoch_from(row, 2)?, row.get(3)?))
        })
        .optional()?;
    let Some((previous, Epoch(before), state)) = stored else {
        return Ok(None);
    };
    let epoch = Epoch(before + 1);
    connection
        .prepare_cached(
            "UPDATE games SET owner_release = ?2, owner_instance = ?3, epoch = ?4 WHERE game_id = ?1",
        )?
        .execute((game_id.as_str(), &owner.release, &owner.instance, epoch.0 as i64))?;
    let events = connection
        .prepare_cached("SELECT event FROM events WHERE game_id = ?1 ORDER BY sequence")?
        .query_map([game_id.as_str()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(Some(StoredGame {
        epoch,
        previous,
        state,
        events,
    }))
}

pub(super) fn events_after(
    connection: &Connection,
    game_id: &GameId,
    sequence: u32,
) -> Result<Vec<Event>, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT event FROM events WHERE game_id = ?1 AND sequence > ?2 ORDER BY sequence")?;
    let mut rows = statement.query((game_id.as_str(), sequence))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let json: String = row.get(0)?;
        let event = serde_json::from_str(&json);
        events.push(event.map_err(|error| Fault::Corrupt(format!("an event: {error}")))?);
    }
    Ok(events)
}

pub(super) fn owner_of(connection: &Connection, game_id: &GameId) -> Result<Option<Ownership>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT owner_release, owner_instance, epoch, ended_at_ms IS NULL, white_id, black_id
         FROM games WHERE game_id = ?1",
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
            "SELECT game_id FROM games
             WHERE owner_release = ?1 AND owner_instance = ?2 AND ended_at_ms IS NULL ORDER BY game_id",
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
