//! Ended games on their way to their players.
//!
//! A game's end is committed in the game's shard, together with an entry in that shard's stream; what it
//! does to the players' profiles is committed in theirs. Between the two a process may die. So the entry
//! stays until the players have it, and whoever finds it carries it out: at once who ended the game, later
//! any process through the stream's consumer group, and earlier than that whoever needs one of
//! the players for another game. A second time changes nothing, because a player leaves a game only once, and
//! what the game does to them was settled when it began: it started from the profiles of then.

use std::time::Duration;

use redis::streams::{StreamAutoClaimReply, StreamReadReply};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use starvault_rules::{GameId, GameState, Outcome, PlayerId, Progress, Reason, after_game};

use super::{
    RedisOptions,
    fault::{Fault, RedisTrouble},
    keys::{self, GameKeys, Shard},
    link::Link,
    players,
};
use crate::snapshot::{Snapshot, to_json};

/// The consumer group that brings ends to players.
const GROUP: &str = "progress";

/// Entries that are looked at in one go.
const ENTRIES_MAX: usize = 64;

/// Tries against somebody who changes a profile at the same time.
const TRIES_MAX: usize = 16;

/// When and how a game ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    pub(super) at_ms: i64,
}

/// What is kept of a game's state, to be compared with what its events give.
pub(super) fn state_digest(state: &GameState) -> Result<String, Fault> {
    let digest = Sha256::digest(to_json(state)?);
    Ok(hex::encode(digest.get(..8).unwrap_or_default()))
}

/// Where a game stands with its players.
pub(super) enum Stage {
    Unknown,
    Running([PlayerId; 2]),
    Ended,
}

pub(super) async fn stage(link: &Link, game_id: &GameId) -> Result<Stage, Fault> {
    let mut cmd = redis::cmd("HMGET");
    cmd.arg(GameKeys::of(game_id).head)
        .arg(&["owner", "ended", "white", "black"]);
    let [owner, ended, white, black]: [Option<String>; 4] = link.ask(&cmd).await?;
    Ok(match (owner, ended, white, black) {
        (None, ..) => Stage::Unknown,
        (_, Some(_), ..) => Stage::Ended,
        (_, None, Some(white), Some(black)) => Stage::Running([id(white)?, id(black)?]),
        _ => {
            return Err(Fault::Corrupt(format!(
                "the head of game {game_id} names no players"
            )));
        }
    })
}

/// An id as it was stored.
pub(super) fn id<T>(text: String) -> Result<T, Fault>
where
    T: TryFrom<String>,
    T::Error: std::fmt::Display,
{
    T::try_from(text).map_err(|error| Fault::Corrupt(error.to_string()))
}

/// Brings the end of a game to its players, if they do not have it yet, and takes `entry` out of the stream.
pub(super) async fn apply(
    link: &Link,
    game_id: &GameId,
    entry: Option<&str>,
    options: RedisOptions,
) -> Result<(), Fault> {
    let keys = GameKeys::of(game_id);
    let mut cmd = redis::cmd("HMGET");
    cmd.arg(&keys.head).arg(&["white", "black", "before", "ended"]);
    let [white, black, before, ended]: [Option<String>; 4] = link.ask(&cmd).await?;
    let (Some(white), Some(black), Some(before), Some(ended)) = (white, black, before, ended) else {
        return Err(Fault::Corrupt(format!(
            "the head of game {game_id} is not that of an ended game"
        )));
    };
    let damaged = |error: serde_json::Error| Fault::Corrupt(format!("the head of game {game_id}: {error}"));
    let before: [Progress; 2] = serde_json::from_str(&before).map_err(damaged)?;
    let end: End = serde_json::from_str(&ended).map_err(damaged)?;
    let seated = [id(white)?, id(black)?];
    if end.outcome.reason == Reason::Aborted {
        players::leave(link, &seated, game_id).await?;
    } else {
        finish(link, &seated, before, end, game_id).await?;
    }
    if let Some(entry) = entry {
        let mut cmd = redis::cmd("FCALL");
        cmd.arg("sv1_settle").arg(4);
        cmd.arg(keys.shard.ends())
            .arg(keys.head)
            .arg(keys.events)
            .arg(keys.refusals)
            .arg(entry)
            .arg(options.ended_kept_ms);
        let _: i64 = link.ask(&cmd).await?;
    }
    Ok(())
}

async fn finish(
    link: &Link,
    seated: &[PlayerId; 2],
    before: [Progress; 2],
    End { outcome, at_ms }: End,
    game_id: &GameId,
) -> Result<(), Fault> {
    let [white, black] = before;
    let (white, black) = after_game(white, black, outcome.winner, at_ms);
    for _ in 0..TRIES_MAX {
        let mut cmd = redis::cmd("FCALL");
        cmd.arg("sv1_finish").arg(4);
        cmd.arg(keys::OUTBOX).arg(keys::OUTBOX_COUNTER);
        for player_id in seated {
            cmd.arg(keys::player(player_id));
        }
        cmd.arg(game_id.as_str()).arg(at_ms);
        for (player_id, progress) in seated.iter().zip([white, black]) {
            let missing = || Fault::Corrupt(format!("player {player_id} of game {game_id} is missing"));
            // What they wear may have changed during the game, and no one else plays for them.
            let mut profile = players::read(link, player_id).await?.ok_or_else(missing)?;
            let version = profile.version;
            profile.version += 1;
            profile.progress = progress;
            progress
                .check()
                .map_err(|error| Fault::Corrupt(format!("player {player_id}: {error}")))?;
            let (body, digest) = Snapshot::of(&profile)?;
            cmd.arg(player_id.as_str())
                .arg(version)
                .arg(profile.version)
                .arg(body)
                .arg(&digest[..]);
        }
        if link.ask::<i64>(&cmd).await? == 1 {
            return Ok(());
        }
    }
    let [white, _] = seated;
    Err(RedisTrouble::Contended(white.to_string()).into())
}

/// Makes the streams and their consumer groups.
pub(super) async fn prepare(link: &Link) -> Result<(), Fault> {
    for shard in Shard::all() {
        let mut cmd = redis::cmd("XGROUP");
        cmd.arg("CREATE")
            .arg(shard.ends())
            .arg(GROUP)
            .arg(0)
            .arg("MKSTREAM");
        match link.ask::<()>(&cmd).await {
            Err(Fault::Redis(error)) if error.code() == Some("BUSYGROUP") => {}
            other => other?,
        }
    }
    Ok(())
}

/// Brings ends to players that their games' owners did not bring, until it is dropped. Other processes do the
/// same: the consumer group deals the entries out.
pub(super) async fn sweep(link: Link, consumer: String, options: RedisOptions) {
    let mut pause = tokio::time::interval(Duration::from_millis(options.sweep_every_ms.max(1)));
    pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pause.tick().await;
        for shard in Shard::all() {
            if let Err(fault) = sweep_shard(&link, shard, &consumer, options).await {
                let error = link.at(fault, "bring ended games to their players");
                tracing::warn!(shard = shard.index(), %error, "ended games reach their players later");
                break;
            }
        }
    }
}

/// What nobody has seen yet, and what somebody took and did not finish.
async fn sweep_shard(link: &Link, shard: Shard, consumer: &str, options: RedisOptions) -> Result<(), Fault> {
    let stream = shard.ends();
    let mut cmd = redis::cmd("XREADGROUP");
    cmd.arg("GROUP")
        .arg(GROUP)
        .arg(consumer)
        .arg("COUNT")
        .arg(ENTRIES_MAX);
    cmd.arg("STREAMS").arg(&stream).arg(">");
    let fresh: Option<StreamReadReply> = link.ask(&cmd).await?;
    let fresh = fresh
        .into_iter()
        .flat_map(|reply| reply.keys)
        .flat_map(|key| key.ids);
    let mut cmd = redis::cmd("XAUTOCLAIM");
    cmd.arg(&stream)
        .arg(GROUP)
        .arg(consumer)
        .arg(options.claim_idle_ms)
        .arg("0-0");
    cmd.arg("COUNT").arg(ENTRIES_MAX);
    let left: StreamAutoClaimReply = link.ask(&cmd).await?;
    for found in fresh.chain(left.claimed) {
        let game: Option<String> = found.get("game");
        let game = game.unwrap_or_default();
        let applied = match GameId::new(game.clone()) {
            Ok(game_id) => apply(link, &game_id, Some(&found.id), options).await,
            Err(error) => Err(Fault::Corrupt(error.to_string())),
        };
        match applied {
            Ok(()) => {}
            Err(Fault::Corrupt(why)) => poison(link, shard, (&found.id, &game), &why, options).await?,
            // What is wrong is not wrong with the entry.
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// An entry that cannot be carried out: after some deliveries it goes to the dead letters.
async fn poison(
    link: &Link,
    shard: Shard,
    (entry, game): (&str, &str),
    why: &str,
    options: RedisOptions,
) -> Result<(), Fault> {
    let mut cmd = redis::cmd("XPENDING");
    cmd.arg(shard.ends()).arg(GROUP).arg(entry).arg(entry).arg(1);
    let pending: Vec<(String, String, u64, u64)> = link.ask(&cmd).await?;
    let deliveries = pending.first().map_or(0, |(.., deliveries)| *deliveries);
    if deliveries < options.deliveries_max {
        tracing::warn!(
            game,
            deliveries,
            why,
            "the end of a game cannot be brought to its players; tried again later"
        );
        return Ok(());
    }
    let mut cmd = redis::cmd("FCALL");
    cmd.arg("sv1_bury").arg(2).arg(shard.ends()).arg(shard.dead());
    cmd.arg(entry).arg(game).arg(why).arg(options.dead_letters_max);
    if link.ask::<i64>(&cmd).await? == 1 {
        tracing::error!(
            game,
            why,
            "the end of a game is now a dead letter; see `starvault dead-letters list`"
        );
    } else {
        tracing::error!(
            game,
            why,
            "the dead letters are full; the entry stays in its stream"
        );
    }
    Ok(())
}
