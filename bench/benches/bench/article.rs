//! The article's way to apply an event: take it from a stream as one of a group, remember its id, update the state
//! if its version is the expected one, acknowledge. Four round trips, and what is remembered is lost work if
//! the process dies after the second. A baseline only. Games and players cost it nothing, and the clients' own way of putting
//! events into the stream neither: they lie there before anything is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use starvault_rules::{Event, Game, GameId, Looks, PlayerId, Progress};
use starvault_store::{
    Acquired, Append, AppendOutcome, CreateOutcome, Created, Decision, Epoch, EquipOutcome, Journal, NewGame,
    NewPlayer, Owner, Ownership, Profile, StoreError,
};

/// A connection for each producer, as a pool hands them out; nobody shares one while it waits for an answer.
const CONNECTIONS: usize = 65;

/// For a day.
const REMEMBERED_S: u32 = 24 * 3600;
const STREAM: &str = "article:events";
const GROUP: &str = "article";
/// Events in the stream beforehand, and how many of them go there at a time: more than can be applied.
const EVENTS: usize = 400_000;
const AT_A_TIME: usize = 10_000;
/// Compares the version, then writes.
const UPDATE: &str = "local last = redis.call('HGET', KEYS[1], 'sequence') \
    if last and last ~= ARGV[1] then return 0 end \
    redis.call('HSET', KEYS[1], 'sequence', ARGV[2], 'state', ARGV[3], 'event', ARGV[4]) return 1";

#[derive(Debug)]
pub struct Article {
    connections: Arc<Vec<MultiplexedConnection>>,
    /// The digest of the script.
    update: Arc<str>,
    next: Arc<AtomicUsize>,
    own: usize,
}

impl Clone for Article {
    fn clone(&self) -> Self {
        Self {
            connections: self.connections.clone(),
            update: self.update.clone(),
            next: self.next.clone(),
            own: self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len(),
        }
    }
}

impl Article {
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let info: redis::ConnectionInfo = url.parse()?;
        let info = info.set_tcp_settings(redis::io::tcp::TcpSettings::default().set_nodelay(true));
        let client = redis::Client::open(info)?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut connection = client.get_multiplexed_async_connection().await?;
            connection.set_response_timeout(Duration::from_secs(5));
            connections.push(connection);
        }
        let first = &mut connections[0];
        // Of the length of a move as ours is kept.
        let event = "x".repeat(120);
        for _ in 0..EVENTS / AT_A_TIME {
            let mut pipe = redis::pipe();
            for n in 0..AT_A_TIME {
                pipe.cmd("XADD")
                    .arg(STREAM)
                    .arg("*")
                    .arg(&["event_id", &n.to_string(), "event", &event]);
            }
            let _: Vec<String> = pipe.query_async(first).await?;
        }
        let mut group = redis::cmd("XGROUP");
        group.arg("CREATE").arg(STREAM).arg(GROUP).arg(0);
        let () = group.query_async(first).await?;
        let update: String = redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(UPDATE)
            .query_async(first)
            .await?;
        Ok(Self {
            connections: Arc::new(connections),
            update: update.into(),
            next: Arc::default(),
            own: 0,
        })
    }

    async fn apply(&self, append: &Append) -> redis::RedisResult<bool> {
        let Decision::Accepted { events, state } = &append.decision else {
            return Ok(false);
        };
        let mut connection = self.connections[self.own].clone();
        let game = append.game_id.as_str();
        let id = append.command.as_ref().map_or("-", |key| key.command_id.as_str());
        let state = serde_json::to_string(state).unwrap_or_default();
        let event = serde_json::to_string(events).unwrap_or_default();
        let taken: StreamReadReply = redis::cmd("XREADGROUP")
            .arg("GROUP")
            .arg(GROUP)
            .arg(format!("consumer-{}", self.own))
            .arg("COUNT")
            .arg(1)
            .arg("STREAMS")
            .arg(STREAM)
            .arg(">")
            .query_async(&mut connection)
            .await?;
        let Some(entry) = taken.keys.first().and_then(|stream| stream.ids.first()) else {
            return Ok(false);
        };
        let fresh: Option<String> = redis::cmd("SET")
            .arg(format!("idemp:{game}:{id}"))
            .arg(1)
            .arg("NX")
            .arg("EX")
            .arg(REMEMBERED_S)
            .query_async(&mut connection)
            .await?;
        if fresh.is_none() {
            return Ok(false);
        }
        let sequence = append.expected_sequence + events.len() as u32;
        let updated: i64 = redis::cmd("EVALSHA")
            .arg(&*self.update)
            .arg(1)
            .arg(format!("game:{game}"))
            .arg(append.expected_sequence)
            .arg(sequence)
            .arg(state)
            .arg(event)
            .query_async(&mut connection)
            .await?;
        if updated == 0 {
            return Ok(false);
        }
        let acknowledged: i64 = redis::cmd("XACK")
            .arg(STREAM)
            .arg(GROUP)
            .arg(&entry.id)
            .query_async(&mut connection)
            .await?;
        Ok(acknowledged == 1)
    }
}

fn not_part_of_it<T>() -> Result<T, StoreError> {
    Err(StoreError::Invalid {
        what: "the baseline applies events and nothing else".to_owned(),
    })
}

impl Journal for Article {
    async fn create_player(&self, player: NewPlayer) -> Result<Profile, StoreError> {
        Ok(Profile {
            player_id: player.player_id,
            display_name: player.display_name,
            progress: Progress::new(player.rating),
            equipped: Default::default(),
            version: 1,
            active_game_id: None,
        })
    }

    async fn create_game(&self, game: NewGame) -> Result<CreateOutcome, StoreError> {
        let Ok((game, started)) = Game::with_looks(game.setup, Looks::default()) else {
            return not_part_of_it();
        };
        Ok(CreateOutcome::Created(Box::new(Created {
            epoch: Epoch(1),
            game,
            started,
        })))
    }

    async fn append(&self, append: Append) -> Result<AppendOutcome, StoreError> {
        match self.apply(&append).await {
            Ok(true) => Ok(AppendOutcome::Committed {
                sequence: append.expected_sequence,
            }),
            Ok(false) => Ok(AppendOutcome::Conflict),
            Err(error) => Err(StoreError::Invalid {
                what: error.to_string(),
            }),
        }
    }

    async fn get_profile(&self, _: &PlayerId) -> Result<Option<Profile>, StoreError> {
        not_part_of_it()
    }

    async fn equip(&self, _: &PlayerId, _: &str, _: bool, _: i64) -> Result<EquipOutcome, StoreError> {
        not_part_of_it()
    }

    async fn acquire(&self, _: &GameId, _: Owner) -> Result<Option<Acquired>, StoreError> {
        not_part_of_it()
    }

    async fn events_after(&self, _: &GameId, _: u32) -> Result<Vec<Event>, StoreError> {
        not_part_of_it()
    }

    async fn owner_of(&self, _: &GameId) -> Result<Option<Ownership>, StoreError> {
        not_part_of_it()
    }

    async fn active_game_of(&self, _: &PlayerId) -> Result<Option<GameId>, StoreError> {
        not_part_of_it()
    }

    async fn running_games_of(&self, _: &Owner) -> Result<Vec<GameId>, StoreError> {
        not_part_of_it()
    }
}
