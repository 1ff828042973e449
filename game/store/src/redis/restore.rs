//! Filling an empty Redis from copies, after the one before was lost.

use std::time::Duration;

use starvault_rules::{Event, EventKind, Game, PlayerId};

use super::{
    RedisJournal, RedisOptions, RedisUrl, ends, entry,
    fault::{Fault, RedisTrouble},
    keys::{self, GameKeys, Shard},
    link::Link,
    players::{self, Entered},
};
use crate::{Owner, Profile, StoreError, snapshot::to_json};

/// What became of a game's copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It goes on.
    Running,
    /// It was over when the copy was made, or has counted for one of its players since.
    Over,
}

/// Puts copies into an empty Redis. No server may run on it meanwhile.
#[derive(Debug)]
pub struct RedisRestore {
    link: Link,
}

impl RedisRestore {
    /// # Errors
    /// It cannot be reached, or there is something of a journal in it.
    pub async fn open(url: &RedisUrl) -> Result<RedisRestore, StoreError> {
        // Checks what it is, and makes it a journal if it is empty.
        let journal = RedisJournal::open(url, "restore", RedisOptions::default()).await?;
        journal.close().await;
        let timeout = Duration::from_millis(RedisOptions::default().timeout_ms);
        let restore = RedisRestore {
            link: Link::open(url, timeout).await?,
        };
        let empty = async {
            let mut pipe = redis::pipe();
            pipe.cmd("EXISTS").arg(keys::OUTBOX_COUNTER);
            for shard in Shard::all() {
                pipe.cmd("EXISTS").arg(shard.running());
            }
            let found: Vec<u64> = restore.link.ask_all(&pipe).await?;
            if found.iter().any(|found| *found > 0) {
                let what = "it is not empty: copies are put into an empty Redis only".to_owned();
                return Err(Fault::Trouble(RedisTrouble::Foreign(what)));
            }
            Ok(())
        };
        restore.named("look whether it is empty", empty).await?;
        Ok(restore)
    }

    /// Before any player: snapshots are written behind this position, so that the stores' cursors stay right.
    ///
    /// # Errors
    /// Redis fails.
    pub async fn begin_behind(&self, position: i64) -> Result<(), StoreError> {
        let begin = async {
            let mut pipe = redis::pipe();
            pipe.cmd("SET").arg(keys::OUTBOX_COUNTER).arg(position).ignore();
            // Profiles count games that are not here any more: `check` must not take this for a new journal.
            pipe.cmd("HSET").arg(keys::META).arg("made_ms").arg(0).ignore();
            self.link.ask_all::<()>(&pipe).await
        };
        self.named("restore", begin).await
    }

    /// A profile out of the body of its copy, put there unless a newer one is.
    ///
    /// # Errors
    /// The body is no profile, or Redis fails.
    pub async fn put_player(&self, body: &str, at_ms: i64) -> Result<(), StoreError> {
        let put = async {
            let profile = players::parse(body)?;
            let before = players::read(&self.link, &profile.player_id).await?;
            let before = before.map_or(0, |profile| profile.version);
            if before < profile.version {
                players::put(&self.link, before, &profile, at_ms).await?;
            }
            Ok(())
        };
        self.named("restore a player", put).await
    }

    /// A game out of its events, after its players. Its time begins again at `now_ms`: nobody loses on time for
    /// what was down. `owner` need not exist; whoever comes first takes the game over from it.
    ///
    /// # Errors
    /// The events are no game, a player is missing, or Redis fails.
    pub async fn put_game(
        &self,
        mut events: Vec<Event>,
        owner: &Owner,
        now_ms: i64,
    ) -> Result<Restored, StoreError> {
        let put = async {
            let stood_ms = events.last().map_or(0, |last| now_ms - last.at_ms);
            for event in &mut events {
                event.at_ms += stood_ms;
                if let EventKind::Started { setup, .. } = &mut event.kind {
                    setup.started_at_ms += stood_ms;
                }
            }
            let corrupt = |what: String| Fault::Corrupt(format!("the copy of a game: {what}"));
            let game = Game::from_events(&events).map_err(|error| corrupt(error.to_string()))?;
            if game.outcome().is_some() {
                return Ok(Restored::Over);
            }
            let setup = game.setup();
            let seated = [setup.white.player_id.clone(), setup.black.player_id.clone()];
            let began_ms = setup.started_at_ms - stood_ms;
            let [white, black] = [self.player(&seated[0]).await?, self.player(&seated[1]).await?];
            let counted = |profile: &Profile| {
                let rated_at_ms = profile.progress.skill.rated_at_ms;
                rated_at_ms.is_some_and(|at_ms| at_ms >= began_ms)
            };
            if counted(&white) || counted(&black) {
                return Ok(Restored::Over);
            }
            match players::enter(&self.link, &seated, game.id(), setup.started_at_ms).await? {
                Entered::Both(_) => {}
                // The copy of an older game: its end was not copied.
                Entered::Playing { .. } | Entered::Unknown(_) => return Ok(Restored::Over),
            }
            let keys = GameKeys::of(game.id());
            let mut cmd = redis::cmd("FCALL");
            cmd.arg("sv1_restore_game").arg(3);
            cmd.arg(keys.head).arg(keys.events).arg(keys.shard.running());
            cmd.arg(game.id().as_str())
                .arg(entry::of_owner(owner)?)
                .arg(seated[0].as_str())
                .arg(seated[1].as_str())
                .arg(ends::state_digest(&game.state())?)
                .arg(to_json(&[white.progress, black.progress])?)
                .arg(game.sequence());
            for event in &events {
                cmd.arg(entry::of_event(event)?);
            }
            self.link.ask::<i64>(&cmd).await?;
            Ok(Restored::Running)
        };
        self.named("restore a game", put).await
    }

    async fn player(&self, player_id: &PlayerId) -> Result<Profile, Fault> {
        let player_id = player_id.clone();
        let found = players::read(&self.link, &player_id).await?;
        found.ok_or_else(|| StoreError::UnknownPlayer { player_id }.into())
    }

    async fn named<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, StoreError> {
        work.await.map_err(|fault| self.link.at(fault, operation))
    }
}
