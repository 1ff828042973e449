//! Dead letters: looked at, tried again, dropped.

use std::time::Duration;

use super::{RedisOptions, RedisUrl, fault::Fault, keys::Shard, link::Link};
use crate::StoreError;

/// An ended game whose end could not be brought to its players.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DeadLetter {
    /// Names it among all dead letters: the shard and the entry.
    pub id: String,
    pub game_id: String,
    pub why: String,
    /// When it was given up, in milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
}

/// The ends of games that could not be brought to their players: to be looked at, tried again or dropped.
#[derive(Debug)]
pub struct DeadLetters {
    link: Link,
}

impl DeadLetters {
    /// # Errors
    /// It cannot be reached.
    pub async fn open(url: &RedisUrl) -> Result<DeadLetters, StoreError> {
        let link = Link::open(url, Duration::from_millis(RedisOptions::default().timeout_ms)).await?;
        Ok(DeadLetters { link })
    }

    /// The oldest of each shard first, at most `limit` of each.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        let mut letters = Vec::new();
        for shard in Shard::all() {
            let mut cmd = redis::cmd("XRANGE");
            cmd.arg(shard.dead()).arg("-").arg("+").arg("COUNT").arg(limit);
            let found: Result<redis::streams::StreamRangeReply, Fault> = self.link.ask(&cmd).await;
            let found = found.map_err(|fault| self.link.at(fault, "list dead letters"))?;
            letters.extend(found.ids.into_iter().map(|letter| {
                DeadLetter {
                    game_id: letter.get("game").unwrap_or_default(),
                    why: letter.get("why").unwrap_or_default(),
                    at_ms: letter
                        .id
                        .split('-')
                        .next()
                        .and_then(|ms| ms.parse().ok())
                        .unwrap_or_default(),
                    id: format!("{}/{}", shard.index(), letter.id),
                }
            }));
        }
        Ok(letters)
    }

    /// Puts a letter back into the stream that it came from; false if there is none of this id.
    ///
    /// # Errors
    /// The id is none, or the store fails.
    pub async fn replay(&self, id: &str) -> Result<bool, StoreError> {
        let (shard, letter) = parse_letter(id)?;
        let mut cmd = redis::cmd("FCALL");
        cmd.arg("sv1_replay")
            .arg(2)
            .arg(shard.ends())
            .arg(shard.dead())
            .arg(letter);
        self.done(&cmd, "replay a dead letter").await
    }

    /// Forgets a letter for good; false if there is none of this id. Its players stay in their game.
    ///
    /// # Errors
    /// The id is none, or the store fails.
    pub async fn drop_letter(&self, id: &str) -> Result<bool, StoreError> {
        let (shard, letter) = parse_letter(id)?;
        let mut cmd = redis::cmd("XDEL");
        cmd.arg(shard.dead()).arg(letter);
        self.done(&cmd, "drop a dead letter").await
    }

    async fn done(&self, cmd: &redis::Cmd, operation: &'static str) -> Result<bool, StoreError> {
        let done: Result<i64, Fault> = self.link.ask(cmd).await;
        done.map(|done| done == 1)
            .map_err(|fault| self.link.at(fault, operation))
    }
}

fn parse_letter(id: &str) -> Result<(Shard, &str), StoreError> {
    let parsed = id.split_once('/').and_then(|(shard, letter)| {
        let shard: u8 = shard.parse().ok()?;
        let (ms, n) = letter.split_once('-')?;
        let _: (u64, u64) = (ms.parse().ok()?, n.parse().ok()?);
        Some((Shard::all().find(|one| one.index() == shard)?, letter))
    });
    parsed.ok_or_else(|| StoreError::Invalid {
        what: format!("{id:?} is no dead letter; `starvault dead-letters list` shows their ids"),
    })
}
