//! What is kept of a player beyond the counters: skill and equipment.
//!
//! In a table of its own, beside `players`, which every release knows. A release that knows no
//! skill may end games of the same players meanwhile: it counts the game, moves the rating by its
//! own rule and leaves the standing as it was. `games_played` tells: a standing that counts fewer
//! games than the player has gives its deviation, and the player's row gives the rating. A player
//! without a standing is one of whom nothing but the rating is known.

use rusqlite::{Connection, Row};
use starvault_rules::{Equipment, Skill};

use super::{fault::Fault, players::FormerSnapshot};
use crate::{
    Profile,
    snapshot::{Snapshot, to_json},
};

/// Where the standing begins among the columns of a profile.
const FIRST: usize = 9;

/// The standing of a player whose row says `rating` after `games_played` games.
pub(super) fn from_row(row: &Row<'_>, rating: i32, games_played: u32) -> Result<(Skill, Equipment), Fault> {
    let Some(counted) = row.get::<_, Option<u32>>(FIRST)? else {
        return Ok((Skill::new(rating), Equipment::default()));
    };
    let kept = Skill {
        rating_milli: row.get(FIRST + 1)?,
        deviation_milli: row.get(FIRST + 2)?,
        volatility_nano: row.get(FIRST + 3)?,
        rated_at_ms: row.get(FIRST + 4)?,
    };
    let skill = if counted < games_played {
        Skill {
            rating_milli: Skill::new(rating).rating_milli,
            ..kept
        }
    } else {
        kept
    };
    let equipped: String = row.get(FIRST + 5)?;
    let equipped = serde_json::from_str(&equipped)
        .map_err(|error| Fault::Corrupt(format!("an equipment {equipped:?}: {error}")))?;
    Ok((skill, equipped))
}

/// Keeps the standing of a profile.
pub(super) fn keep(connection: &Connection, profile: &Profile) -> Result<(), Fault> {
    let Skill {
        rating_milli,
        deviation_milli,
        volatility_nano,
        rated_at_ms,
    } = profile.progress.skill;
    connection
        .prepare_cached("INSERT OR REPLACE INTO standings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute((
            profile.player_id.as_str(),
            profile.progress.games_played,
            rating_milli,
            deviation_milli,
            volatility_nano,
            rated_at_ms,
            to_json(&profile.equipped)?,
        ))?;
    Ok(())
}

/// What is wrong with a profile and its published snapshot, in words; nothing, as a rule.
pub(crate) fn check(
    profile: &Profile,
    row: &Row<'_>,
    published: &(Option<String>, Option<Vec<u8>>),
) -> Result<Vec<String>, Fault> {
    let Profile {
        player_id,
        progress,
        equipped,
        ..
    } = profile;
    let mut wrong = Vec::new();
    if let Err(error) = progress.check() {
        wrong.push(format!("player {player_id}: {error}"));
    }
    let level = progress.level();
    for item in equipped.items().filter(|item| item.level > level) {
        wrong.push(format!(
            "player {player_id} of level {level} wears {}, which is owned from level {} on",
            item.id, item.level
        ));
    }
    let counted: Option<u32> = row.get(FIRST)?;
    if counted.is_some_and(|counted| counted > progress.games_played) {
        wrong.push(format!(
            "the standing of player {player_id} counts {counted:?} games, the profile {}",
            progress.games_played
        ));
    }
    let is = |(body, digest): (String, [u8; 32])| *published == (Some(body), Some(digest.to_vec()));
    let by_a_former_release = counted.is_none_or(|counted| counted < progress.games_played);
    let is_sound = is(Snapshot::of(profile)?) || (by_a_former_release && is(FormerSnapshot::of(profile)?));
    if !is_sound {
        wrong.push(format!("the snapshot of player {player_id} is not the profile"));
    }
    Ok(wrong)
}
