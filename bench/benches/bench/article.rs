//! The article's way to apply an event from a stream: remember its id, then look, then update, then
//! acknowledge: four round trips, and what is remembered is lost work if the process dies after the first. A baseline
//! only. Games and players cost it nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
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

#[derive(Debug)]
pub struct Article {
    connections: Arc<Vec<MultiplexedConnection>>,
    next: Arc<AtomicUsize>,
    own: usize,
}

impl Clone for Article {
    fn clone(&self) -> Self {
        Self {
            connections: self.connections.clone(),
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
        let mut group = redis::cmd("XGROUP");
        group.arg("CREATE").arg(STREAM).arg(GROUP).arg(0).arg("MKSTREAM");
        let () = group.query_async(&mut connections[0]).await?;
        Ok(Self {
            connections: Arc::new(connections),
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
        let fresh: Option<String> = redis::cmd("SET")
            .arg(format!("idemp:{game}:{id}"))
            .arg(1)
            .arg("NX")
            .arg("EX")
            .arg(REMEMBERED_S)
            .query_async(&mut connection)
            .await?;
        let last: Option<u32> = redis::cmd("HGET")
            .arg(format!("game:{game}"))
            .arg("sequence")
            .query_async(&mut connection)
            .await?;
        if fresh.is_none() || last.is_some_and(|last| last != append.expected_sequence) {
            return Ok(false);
        }
        let sequence = append.expected_sequence + events.len() as u32;
        let _: i64 = redis::cmd("HSET")
            .arg(format!("game:{game}"))
            .arg(&[
                "sequence",
                &sequence.to_string(),
                "state",
                &state,
                "event",
                &event,
            ])
            .query_async(&mut connection)
            .await?;
        let _: i64 = redis::cmd("XACK")
            .arg(STREAM)
            .arg(GROUP)
            .arg(format!("{}-1", append.at_ms.max(1)))
            .query_async(&mut connection)
            .await?;
        Ok(true)
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
