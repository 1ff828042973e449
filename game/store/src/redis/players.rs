//! Players: profiles, who is in which game, and the outbox of snapshots.

use starvault_rules::{GameId, PlayerId};

use super::{
    fault::{Fault, RedisTrouble},
    keys,
    link::Link,
};
use crate::{EquipOutcome, NewPlayer, OutboxRow, Profile, StoreError, snapshot::Snapshot};

/// Tries against somebody who changes the same profile at the same time.
const TRIES_MAX: usize = 16;

pub(super) async fn create(link: &Link, player: NewPlayer) -> Result<Profile, Fault> {
    let created_at_ms = player.created_at_ms;
    let profile = Profile::new(player);
    if put(link, 0, &profile, created_at_ms).await? {
        Ok(profile)
    } else {
        let player_id = profile.player_id;
        Err(StoreError::PlayerExists { player_id }.into())
    }
}

/// The profile with whatever game is written there.
pub(super) async fn read(link: &Link, player_id: &PlayerId) -> Result<Option<Profile>, Fault> {
    let mut cmd = redis::cmd("HMGET");
    cmd.arg(keys::player(player_id)).arg(&["body", "game"]);
    let [body, game]: [Option<String>; 2] = link.ask(&cmd).await?;
    let Some(body) = body else { return Ok(None) };
    let mut profile = parse(&body)?;
    profile.active_game_id = game.map(super::ends::id).transpose()?;
    Ok(Some(profile))
}

/// A profile out of its snapshot.
pub(super) fn parse(body: &str) -> Result<Profile, Fault> {
    serde_json::from_str(body).map_err(|error| Fault::Corrupt(format!("a profile: {error}")))
}

pub(super) async fn equip(
    link: &Link,
    player_id: &PlayerId,
    item_id: &str,
    equip: bool,
    at_ms: i64,
) -> Result<EquipOutcome, Fault> {
    for _ in 0..TRIES_MAX {
        let Some(mut profile) = read(link, player_id).await? else {
            return Ok(EquipOutcome::Unknown);
        };
        match profile.equip(item_id, equip) {
            Ok(false) => {}
            Ok(true) => {
                let before = profile.version;
                profile.version += 1;
                if !put(link, before, &profile, at_ms).await? {
                    continue;
                }
            }
            Err(refusal) => return Ok(EquipOutcome::Refused(refusal)),
        }
        return Ok(EquipOutcome::Done(Box::new(profile)));
    }
    Err(RedisTrouble::Contended(player_id.to_string()).into())
}

/// Keeps a profile in the place of its version `before`; false if that is not the newest one.
pub(super) async fn put(link: &Link, before: i64, profile: &Profile, at_ms: i64) -> Result<bool, Fault> {
    profile
        .progress
        .check()
        .map_err(|error| Fault::Corrupt(format!("player {}: {error}", profile.player_id)))?;
    let (body, digest) = Snapshot::of(profile)?;
    let mut cmd = redis::cmd("FCALL");
    cmd.arg("sv1_put_player").arg(3);
    cmd.arg(keys::OUTBOX)
        .arg(keys::OUTBOX_COUNTER)
        .arg(keys::player(&profile.player_id));
    cmd.arg(profile.player_id.as_str())
        .arg(before)
        .arg(profile.version)
        .arg(body)
        .arg(&digest[..])
        .arg(at_ms);
    Ok(link.ask::<i64>(&cmd).await? == 1)
}

/// What became of putting two players into a game.
pub(super) enum Entered {
    Both(Box<[Profile; 2]>),
    Unknown(PlayerId),
    /// One of them is in another game, since then.
    Playing {
        player_id: PlayerId,
        game_id: GameId,
        since_ms: i64,
    },
}

pub(super) async fn enter(
    link: &Link,
    players: &[PlayerId; 2],
    game_id: &GameId,
    at_ms: i64,
) -> Result<Entered, Fault> {
    let mut cmd = redis::cmd("FCALL");
    cmd.arg("sv1_enter").arg(2);
    for player_id in players {
        cmd.arg(keys::player(player_id));
    }
    cmd.arg(game_id.as_str()).arg(at_ms);
    let answer: Vec<String> = link.ask(&cmd).await?;
    let words: Vec<&str> = answer.iter().map(String::as_str).collect();
    let of = |number: &str| {
        let [white, black] = players;
        if number == "1" {
            white.clone()
        } else {
            black.clone()
        }
    };
    Ok(match words[..] {
        ["entered", white, black] => Entered::Both(Box::new([parse(white)?, parse(black)?])),
        ["unknown", which] => Entered::Unknown(of(which)),
        ["playing", which, game, since_ms] => Entered::Playing {
            player_id: of(which),
            game_id: super::ends::id(game.to_owned())?,
            since_ms: since_ms.parse().unwrap_or_default(),
        },
        _ => return Err(Fault::Corrupt(format!("players enter a game: {answer:?}"))),
    })
}

/// Whoever of these is in the game leaves it, without a trace in the profile.
pub(super) async fn leave(link: &Link, players: &[PlayerId], game_id: &GameId) -> Result<(), Fault> {
    let mut cmd = redis::cmd("FCALL");
    cmd.arg("sv1_leave").arg(players.len());
    for player_id in players {
        cmd.arg(keys::player(player_id));
    }
    cmd.arg(game_id.as_str());
    link.ask::<i64>(&cmd).await?;
    Ok(())
}

pub(super) async fn outbox_after(link: &Link, position: i64, limit: usize) -> Result<Vec<OutboxRow>, Fault> {
    let mut cmd = redis::cmd("FCALL_RO");
    cmd.arg("sv1_outbox").arg(1).arg(keys::OUTBOX);
    cmd.arg(keys::PLAYER).arg(position).arg(limit);
    type Row = (String, i64, i64, Vec<u8>, Vec<u8>, i64);
    let rows: Vec<Row> = link.ask(&cmd).await?;
    let row = |(player_id, position, version, body, sha256, at_ms)| OutboxRow {
        position,
        player_id,
        version,
        body,
        sha256,
        at_ms,
    };
    Ok(rows.into_iter().map(row).collect())
}

pub(super) async fn newest_position(link: &Link) -> Result<i64, Fault> {
    let newest: Option<i64> = link.ask(redis::cmd("GET").arg(keys::OUTBOX_COUNTER)).await?;
    Ok(newest.unwrap_or_default())
}

pub(super) async fn outbox_of(link: &Link, player_id: &str) -> Result<Option<OutboxRow>, Fault> {
    let mut cmd = redis::cmd("HMGET");
    cmd.arg(format!("{}{player_id}", keys::PLAYER));
    cmd.arg(&["position", "version", "body", "sha256", "at_ms"]);
    type Columns = (
        Option<i64>,
        Option<i64>,
        Option<Vec<u8>>,
        Option<Vec<u8>>,
        Option<i64>,
    );
    let columns: Columns = link.ask(&cmd).await?;
    let (Some(position), Some(version), Some(body), Some(sha256), Some(at_ms)) = columns else {
        return Ok(None);
    };
    Ok(Some(OutboxRow {
        position,
        player_id: player_id.to_owned(),
        version,
        body,
        sha256,
        at_ms,
    }))
}
