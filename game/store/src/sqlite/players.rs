//! Players and their profiles.

use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use sha2::{Digest, Sha256};
use starvault_rules::{Color, GameId, PlayerId, Progress, after_game};

use super::fault::Fault;
use crate::{NewPlayer, Profile, StoreError};

/// A profile's public part, as it is copied elsewhere: canonical JSON by the order of fields.
#[derive(Serialize)]
pub(crate) struct Snapshot<'p> {
    player_id: &'p PlayerId,
    display_name: &'p str,
    #[serde(flatten)]
    progress: Progress,
    version: i64,
}

impl Snapshot<'_> {
    pub(crate) fn of(profile: &Profile) -> Result<(String, [u8; 32]), Fault> {
        let Profile {
            player_id,
            display_name,
            progress,
            version,
            active_game_id: _,
        } = profile;
        let snapshot = Snapshot {
            player_id,
            display_name,
            progress: *progress,
            version: *version,
        };
        let body = to_json(&snapshot)?;
        let digest = Sha256::digest(body.as_bytes()).into();
        Ok((body, digest))
    }
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::invalid(error.to_string()))
}

pub(super) fn create(connection: &Connection, player: NewPlayer) -> Result<Profile, Fault> {
    let NewPlayer {
        player_id,
        display_name,
        rating,
        created_at_ms,
    } = player;
    let added = connection
        .prepare_cached(
            "INSERT INTO players VALUES (?1, ?2, ?3, 0, 0, 0, 0, 1, NULL, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute((player_id.as_str(), &display_name, rating, created_at_ms))?;
    if added == 0 {
        return Err(StoreError::PlayerExists { player_id }.into());
    }
    let progress = Progress::new(rating);
    let profile = Profile {
        player_id,
        display_name,
        progress,
        version: 1,
        active_game_id: None,
    };
    publish(connection, &profile, created_at_ms)?;
    Ok(profile)
}

pub(super) fn get(connection: &Connection, player_id: &PlayerId) -> Result<Option<Profile>, Fault> {
    connection
        .prepare_cached(
            "SELECT player_id, display_name, rating, games_played, wins, losses, draws, version, active_game_id
             FROM players WHERE player_id = ?1",
        )?
        .query_row([player_id.as_str()], |row| Ok(from_row(row)))
        .optional()?
        .transpose()
}

pub(crate) fn from_row(row: &Row<'_>) -> Result<Profile, Fault> {
    let active: Option<String> = row.get(8)?;
    Ok(Profile {
        player_id: id(row.get::<_, String>(0)?)?,
        display_name: row.get(1)?,
        progress: Progress {
            rating: row.get(2)?,
            games_played: row.get(3)?,
            wins: row.get(4)?,
            losses: row.get(5)?,
            draws: row.get(6)?,
        },
        version: row.get(7)?,
        active_game_id: active.map(id).transpose()?,
    })
}

/// An id as it was stored.
pub(crate) fn id<T>(text: String) -> Result<T, Fault>
where
    T: TryFrom<String>,
    T::Error: std::fmt::Display,
{
    T::try_from(text).map_err(|error| Fault::Corrupt(error.to_string()))
}

pub(super) fn active_game(connection: &Connection, player_id: &PlayerId) -> Result<Option<GameId>, Fault> {
    let active: Option<Option<String>> = connection
        .prepare_cached("SELECT active_game_id FROM players WHERE player_id = ?1")?
        .query_row([player_id.as_str()], |row| row.get(0))
        .optional()?;
    active.flatten().map(id).transpose()
}

pub(super) fn enter_game(
    connection: &Connection,
    player_id: &PlayerId,
    game_id: &GameId,
) -> Result<(), Fault> {
    connection
        .prepare_cached("UPDATE players SET active_game_id = ?2 WHERE player_id = ?1")?
        .execute((player_id.as_str(), game_id.as_str()))?;
    Ok(())
}

/// Both players leave the game that `winner` won (`None`: a draw) with what it did to them.
pub(super) fn finish_game(
    connection: &Connection,
    white: &PlayerId,
    black: &PlayerId,
    winner: Option<Color>,
    at_ms: i64,
) -> Result<(), Fault> {
    let mut profiles = Vec::with_capacity(2);
    for player_id in [white, black] {
        let missing = || Fault::Corrupt(format!("player {player_id} of a running game is missing"));
        profiles.push(get(connection, player_id)?.ok_or_else(missing)?);
    }
    let (after_white, after_black) = after_game(profiles[0].progress, profiles[1].progress, winner);
    for (profile, progress) in profiles.iter_mut().zip([after_white, after_black]) {
        profile.progress = progress;
        profile.version += 1;
        profile.active_game_id = None;
        connection
            .prepare_cached(
                "UPDATE players SET rating = ?2, games_played = ?3, wins = ?4, losses = ?5, draws = ?6,
                        version = ?7, active_game_id = NULL
                 WHERE player_id = ?1",
            )?
            .execute((
                profile.player_id.as_str(),
                progress.rating,
                progress.games_played,
                progress.wins,
                progress.losses,
                progress.draws,
                profile.version,
            ))?;
        publish(connection, profile, at_ms)?;
    }
    Ok(())
}

/// Puts the newest snapshot at the end of the outbox. One row per player: who copies it elsewhere
/// needs the newest only, and the table cannot outgrow the players.
fn publish(connection: &Connection, profile: &Profile, at_ms: i64) -> Result<(), Fault> {
    let (body, digest) = Snapshot::of(profile)?;
    connection
        .prepare_cached(
            "INSERT INTO outbox (player_id, position, version, body, sha256, at_ms)
             VALUES (?1, (SELECT coalesce(max(position), 0) + 1 FROM outbox), ?2, ?3, ?4, ?5)
             ON CONFLICT (player_id) DO UPDATE SET position = excluded.position,
                 version = excluded.version, body = excluded.body, sha256 = excluded.sha256,
                 at_ms = excluded.at_ms",
        )?
        .execute((profile.player_id.as_str(), profile.version, body, digest, at_ms))?;
    Ok(())
}
