//! Players and their profiles.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use starvault_rules::{Color, GameId, PlayerId, Progress, after_game};

use super::{fault::Fault, progress};
use crate::{
    EquipOutcome, NewPlayer, Profile, StoreError,
    snapshot::{Snapshot, digested},
};

/// What [`from_row`] reads, and where it comes from. `p` is the player's row.
pub(crate) const PROFILE_COLUMNS: &str =
    "p.player_id, p.display_name, p.rating, p.games_played, p.wins, p.losses, p.draws, p.version,
     p.active_game_id, s.games_played, s.rating_milli, s.deviation_milli, s.volatility_nano,
     s.rated_at_ms, s.equipped";
pub(crate) const PROFILE_TABLES: &str = "players p LEFT JOIN standings s USING (player_id)";
static PROFILE_BY_ID: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {PROFILE_COLUMNS} FROM {PROFILE_TABLES} WHERE p.player_id = ?1"));

/// The snapshot as a release wrote it that kept no skill and no equipment.
#[derive(Serialize)]
pub(crate) struct FormerSnapshot<'p> {
    player_id: &'p PlayerId,
    display_name: &'p str,
    rating: i32,
    games_played: u32,
    wins: u32,
    losses: u32,
    draws: u32,
    version: i64,
}

impl FormerSnapshot<'_> {
    pub(crate) fn of(profile: &Profile) -> Result<(String, [u8; 32]), StoreError> {
        let progress = profile.progress;
        digested(&FormerSnapshot {
            player_id: &profile.player_id,
            display_name: &profile.display_name,
            rating: progress.rating,
            games_played: progress.games_played,
            wins: progress.wins,
            losses: progress.losses,
            draws: progress.draws,
            version: profile.version,
        })
    }
}

pub(super) fn create(connection: &Connection, player: NewPlayer) -> Result<Profile, Fault> {
    let created_at_ms = player.created_at_ms;
    let profile = Profile::new(player);
    let added = connection
        .prepare_cached(
            "INSERT INTO players VALUES (?1, ?2, ?3, 0, 0, 0, 0, 1, NULL, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute((
            profile.player_id.as_str(),
            &profile.display_name,
            profile.progress.rating,
            created_at_ms,
        ))?;
    if added == 0 {
        let player_id = profile.player_id;
        return Err(StoreError::PlayerExists { player_id }.into());
    }
    progress::keep(connection, &profile)?;
    publish(connection, &profile, created_at_ms)?;
    Ok(profile)
}

pub(super) fn get(connection: &Connection, player_id: &PlayerId) -> Result<Option<Profile>, Fault> {
    connection
        .prepare_cached(&PROFILE_BY_ID)?
        .query_row([player_id.as_str()], |row| Ok(from_row(row)))
        .optional()?
        .transpose()
}

/// A profile from [`PROFILE_COLUMNS`].
pub(crate) fn from_row(row: &Row<'_>) -> Result<Profile, Fault> {
    let active: Option<String> = row.get(8)?;
    let (skill, equipped) = progress::from_row(row, row.get(2)?, row.get(3)?)?;
    Ok(Profile {
        player_id: id(row.get::<_, String>(0)?)?,
        display_name: row.get(1)?,
        progress: Progress {
            rating: row.get(2)?,
            games_played: row.get(3)?,
            wins: row.get(4)?,
            losses: row.get(5)?,
            draws: row.get(6)?,
            skill,
        },
        equipped,
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

/// A player leaves a game that counts for nobody.
pub(super) fn leave_game(connection: &Connection, player_id: &PlayerId) -> Result<(), Fault> {
    connection
        .prepare_cached("UPDATE players SET active_game_id = NULL WHERE player_id = ?1")?
        .execute([player_id.as_str()])?;
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
    let (after_white, after_black) = after_game(profiles[0].progress, profiles[1].progress, winner, at_ms);
    for (profile, progress) in profiles.iter_mut().zip([after_white, after_black]) {
        profile.progress = progress;
        profile.active_game_id = None;
        leave_game(connection, &profile.player_id)?;
        change(connection, profile, at_ms)?;
    }
    Ok(())
}

/// Puts an item on or takes it off.
pub(super) fn equip(
    connection: &Connection,
    player_id: &PlayerId,
    item_id: &str,
    equip: bool,
    at_ms: i64,
) -> Result<EquipOutcome, Fault> {
    let Some(mut profile) = get(connection, player_id)? else {
        return Ok(EquipOutcome::Unknown);
    };
    match profile.equip(item_id, equip) {
        Ok(false) => {}
        Ok(true) => change(connection, &mut profile, at_ms)?,
        Err(refusal) => return Ok(EquipOutcome::Refused(refusal)),
    }
    Ok(EquipOutcome::Done(Box::new(profile)))
}

/// Keeps a changed profile as the next version of it. What must never be is never kept.
fn change(connection: &Connection, profile: &mut Profile, at_ms: i64) -> Result<(), Fault> {
    profile.version += 1;
    let Profile {
        player_id,
        progress,
        version,
        ..
    } = &*profile;
    progress
        .check()
        .map_err(|error| Fault::Corrupt(format!("player {player_id}: {error}")))?;
    connection
        .prepare_cached(
            "UPDATE players SET rating = ?2, games_played = ?3, wins = ?4, losses = ?5, draws = ?6,
                    version = ?7
             WHERE player_id = ?1",
        )?
        .execute((
            player_id.as_str(),
            progress.rating,
            progress.games_played,
            progress.wins,
            progress.losses,
            progress.draws,
            version,
        ))?;
    progress::keep(connection, profile)?;
    publish(connection, profile, at_ms)
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
