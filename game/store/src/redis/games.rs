//! Beginning games, and who owns them.

use starvault_rules::{Event, Game, GameId, Look, Looks, PlayerId};

use super::{
    RedisOptions,
    ends::{self, Stage, id},
    entry,
    fault::{Fault, RedisTrouble},
    keys::{GameKeys, Shard},
    link::Link,
    players::{self, Entered},
};
use crate::{
    Acquired, CreateOutcome, Created, Epoch, NewGame, Owner, Ownership, Profile, StoreError,
    snapshot::to_json,
};

/// A player who has been in a game that does not exist for so long is free: its creator has died.
const CREATION_MS: i64 = 5_000;

/// For so long a game that was called off cannot be created any more (milliseconds).
const NEVER_MS: i64 = 24 * 3600 * 1000;

/// Former games of the two that have to be got out of the way, and a spare.
const TRIES_MAX: usize = 4;

/// Both players enter the game, then it is created. A process that dies between the two leaves players in a
/// game that never begins: see [`free`].
pub(super) async fn create(
    link: &Link,
    NewGame { setup, owner }: NewGame,
    options: RedisOptions,
) -> Result<CreateOutcome, Fault> {
    let invalid = |what: String| Fault::Store(StoreError::Invalid { what });
    setup.validate().map_err(|error| invalid(error.to_string()))?;
    let game_id = setup.game_id.clone();
    let seated = [setup.white.player_id.clone(), setup.black.player_id.clone()];
    if !matches!(ends::stage(link, &game_id).await?, Stage::Unknown) {
        return Err(StoreError::GameExists { game_id }.into());
    }
    let mut tries = 0;
    let profiles = loop {
        match players::enter(link, &seated, &game_id, setup.started_at_ms).await? {
            Entered::Both(profiles) => break *profiles,
            Entered::Unknown(player_id) => return Err(StoreError::UnknownPlayer { player_id }.into()),
            Entered::Playing {
                player_id,
                game_id,
                since_ms,
            } => {
                let is_old = setup.started_at_ms.saturating_sub(since_ms) >= CREATION_MS;
                tries += 1;
                if tries > TRIES_MAX || !free(link, &player_id, &game_id, is_old, options).await? {
                    return Ok(CreateOutcome::AlreadyPlaying { player_id, game_id });
                }
            }
        }
    };
    let [white, black] = &profiles;
    let look = |profile: &Profile| Look {
        level: profile.progress.level(),
        equipped: profile.equipped,
    };
    let looks = Looks {
        white: look(white),
        black: look(black),
    };
    let (game, started) = Game::with_looks(setup, looks).map_err(|error| invalid(error.to_string()))?;
    let keys = GameKeys::of(&game_id);
    let mut cmd = redis::cmd("FCALL");
    cmd.arg("sv1_create_game").arg(3);
    cmd.arg(keys.head).arg(keys.events).arg(keys.shard.running());
    cmd.arg(game_id.as_str())
        .arg(entry::of_owner(&owner)?)
        .arg(white.player_id.as_str())
        .arg(black.player_id.as_str())
        .arg(entry::of_event(&started)?)
        .arg(ends::state_digest(&game.state())?)
        .arg(to_json(&[white.progress, black.progress])?);
    match link.ask::<String>(&cmd).await?.as_str() {
        "created" => Ok(CreateOutcome::Created(Box::new(Created {
            epoch: Epoch(1),
            game,
            started,
        }))),
        // Somebody needed one of the players and could not know that this process is alive.
        "never" => {
            players::leave(link, &seated, &game_id).await?;
            Err(RedisTrouble::CalledOff(game_id.to_string()).into())
        }
        _ => Err(StoreError::GameExists { game_id }.into()),
    }
}

/// Whether a player who is written into a game can begin another one: the game has ended, or will never be.
/// `is_old`: its creator has had time enough.
async fn free(
    link: &Link,
    player_id: &PlayerId,
    game_id: &GameId,
    is_old: bool,
    options: RedisOptions,
) -> Result<bool, Fault> {
    match ends::stage(link, game_id).await? {
        Stage::Running(players) if players.contains(player_id) => Ok(false),
        Stage::Ended => {
            ends::apply(link, game_id, None, options).await?;
            Ok(true)
        }
        // A game of others, by an id that was used twice.
        Stage::Running(_) => {
            players::leave(link, std::slice::from_ref(player_id), game_id).await?;
            Ok(true)
        }
        Stage::Unknown if is_old => {
            let mut cmd = redis::cmd("FCALL");
            cmd.arg("sv1_forbid_game")
                .arg(1)
                .arg(GameKeys::of(game_id).head)
                .arg(NEVER_MS);
            if link.ask::<i64>(&cmd).await? == 1 {
                players::leave(link, std::slice::from_ref(player_id), game_id).await?;
            }
            // Created in this very moment otherwise: the next try finds it running.
            Ok(true)
        }
        Stage::Unknown => Ok(false),
    }
}

/// The profile as it is once games that are over, or never were, have let the player go.
pub(super) async fn profile(
    link: &Link,
    player_id: &PlayerId,
    options: RedisOptions,
) -> Result<Option<Profile>, Fault> {
    let Some(profile) = players::read(link, player_id).await? else {
        return Ok(None);
    };
    let Some(game_id) = &profile.active_game_id else {
        return Ok(Some(profile));
    };
    match ends::stage(link, game_id).await? {
        Stage::Running(players) if players.contains(player_id) => Ok(Some(profile)),
        // Not yet, or never. Who begins another game finds out which.
        Stage::Unknown | Stage::Running(_) => Ok(Some(Profile {
            active_game_id: None,
            ..profile
        })),
        Stage::Ended => {
            ends::apply(link, game_id, None, options).await?;
            players::read(link, player_id).await
        }
    }
}

pub(super) async fn acquire(link: &Link, game_id: &GameId, owner: &Owner) -> Result<Option<Acquired>, Fault> {
    let keys = GameKeys::of(game_id);
    let mut cmd = redis::cmd("FCALL");
    cmd.arg("sv1_acquire").arg(3);
    cmd.arg(keys.head).arg(keys.events).arg(keys.shard.running());
    cmd.arg(game_id.as_str()).arg(entry::of_owner(owner)?);
    let found: Option<(String, u64, String, Vec<String>)> = link.ask(&cmd).await?;
    let Some((previous, epoch, state, entries)) = found else {
        return Ok(None);
    };
    let events = events(&entries)?;
    let corrupt = |what: String| Fault::Corrupt(format!("game {game_id}: {what}"));
    let game = Game::from_events(&events).map_err(|error| corrupt(error.to_string()))?;
    if ends::state_digest(&game.state())? != state {
        return Err(corrupt(
            "after its events it is not the game that was stored".to_owned(),
        ));
    }
    Ok(Some(Acquired {
        epoch: Epoch(epoch),
        events,
        game,
        previous: entry::owner(&previous)?,
    }))
}

fn events(entries: &[String]) -> Result<Vec<Event>, Fault> {
    entries
        .iter()
        .map(|entry| entry::read(entry).map(|(_, event)| event))
        .collect()
}

pub(super) async fn events_after(link: &Link, game_id: &GameId, sequence: u32) -> Result<Vec<Event>, Fault> {
    // The event of a sequence lies one place before it.
    let mut cmd = redis::cmd("LRANGE");
    cmd.arg(GameKeys::of(game_id).events).arg(sequence).arg(-1);
    let entries: Vec<String> = link.ask(&cmd).await?;
    events(&entries)
}

pub(super) async fn owner_of(link: &Link, game_id: &GameId) -> Result<Option<Ownership>, Fault> {
    let mut cmd = redis::cmd("HMGET");
    cmd.arg(GameKeys::of(game_id).head)
        .arg(&["owner", "epoch", "white", "black", "ended"]);
    let [owner, epoch, white, black, ended]: [Option<String>; 5] = link.ask(&cmd).await?;
    let (Some(owner), Some(epoch), Some(white), Some(black)) = (owner, epoch, white, black) else {
        return Ok(None);
    };
    Ok(Some(Ownership {
        owner: entry::owner(&owner)?,
        epoch: Epoch(
            epoch
                .parse()
                .map_err(|_| Fault::Corrupt(format!("the epoch of game {game_id}")))?,
        ),
        players: [id(white)?, id(black)?],
        running: ended.is_none(),
    }))
}

pub(super) async fn running_of(link: &Link, owner: &Owner) -> Result<Vec<GameId>, Fault> {
    let owner = entry::of_owner(owner)?;
    let mut games = Vec::new();
    for shard in Shard::all() {
        let running: Vec<(String, String)> = link.ask(redis::cmd("HGETALL").arg(shard.running())).await?;
        for (game, its_owner) in running {
            if its_owner == owner {
                games.push(id(game)?);
            }
        }
    }
    games.sort();
    Ok(games)
}
