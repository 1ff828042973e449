//! Which games this process has in memory. One task owns the table; a handle speaks to it.
//!
//! A game comes here in two ways: the lobby begins it, or a player resumes it and it is acquired
//! from the store. Games are never taken at the start: they may be at home in another process.

use std::{collections::HashMap, sync::Arc};

use starvault_rules::{Event, Game, GameId, PlayerId};
use starvault_store::{Acquired, Created, Epoch, Journal as _, StoreError};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::room::{Arrival, Newcomer, Room, RoomContext, RoomHandle};

const MAILBOX_MAX: usize = 1024;

/// Why a game cannot be opened here.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    #[error("there is no such game, or you do not play in it")]
    NotYours,
    #[error("too many games are open here; try again")]
    Full,
    #[error("the store does not answer; try again")]
    Store(#[from] StoreError),
    #[error("this release is going down; connect again")]
    Stopped,
}

type Opened = Result<RoomHandle, OpenError>;

enum Message {
    Find {
        game_id: GameId,
        reply: oneshot::Sender<Option<RoomHandle>>,
    },
    Open {
        game_id: GameId,
        reply: oneshot::Sender<Opened>,
    },
    Begin {
        created: Box<Created>,
        white: Newcomer,
        black: Newcomer,
    },
}

/// Speaks to the table of games.
#[derive(Debug, Clone)]
pub struct Rooms {
    mailbox: mpsc::Sender<Message>,
    context: Arc<RoomContext>,
}

impl Rooms {
    /// The handle, and the task to run. The task ends after `stop`, once every room has finished
    /// what it was doing.
    pub fn new(
        context: RoomContext,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (mailbox, receiver) = mpsc::channel(MAILBOX_MAX);
        let context = Arc::new(context);
        let rooms = Self {
            mailbox,
            context: context.clone(),
        };
        let table = Table {
            context,
            rooms: rooms.clone(),
            games: HashMap::new(),
            stop,
        };
        (rooms, table.run(receiver))
    }

    /// The room of a game that is open here.
    pub async fn find(&self, game_id: GameId) -> Option<RoomHandle> {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(Message::Find { game_id, reply }).await.ok()?;
        answer.await.ok()?
    }

    /// The room of a game that the player is in, acquired from whoever has it if need be.
    ///
    /// # Errors
    /// The player is not in it, or it cannot be had now.
    pub async fn open(&self, game_id: GameId, player_id: &PlayerId) -> Opened {
        if let Some(room) = self.find(game_id.clone()).await {
            return Ok(room);
        }
        // Checked before the game changes hands: nobody may pull other people's games about.
        let journal = &self.context.journal;
        let ownership = journal.owner_of(&game_id).await?.ok_or(OpenError::NotYours)?;
        if !ownership.players.contains(player_id) {
            return Err(OpenError::NotYours);
        }
        self.take(game_id).await
    }

    /// The room of a game that goes on here from now on, whoever plays in it.
    ///
    /// # Errors
    /// It cannot be had now.
    pub async fn take(&self, game_id: GameId) -> Opened {
        let (reply, answer) = oneshot::channel();
        self.mailbox
            .send(Message::Open { game_id, reply })
            .await
            .map_err(|_| OpenError::Stopped)?;
        answer.await.map_err(|_| OpenError::Stopped)?
    }

    /// Opens the room of a game that has just begun.
    pub async fn begin(&self, created: Box<Created>, white: Arrival, black: Arrival) {
        self.begin_with(created, white.into(), black.into()).await;
    }

    /// As [`Self::begin`], for players who need not come from the lobby.
    pub async fn begin_with(&self, created: Box<Created>, white: Newcomer, black: Newcomer) {
        // After the stop nobody is there to tell; both players find the game by resuming it.
        let _ = self
            .mailbox
            .send(Message::Begin {
                created,
                white,
                black,
            })
            .await;
    }
}

enum Slot {
    Loading(Vec<oneshot::Sender<Opened>>),
    Open(RoomHandle),
}

struct Table {
    context: Arc<RoomContext>,
    /// For the rooms, so that one game can follow another.
    rooms: Rooms,
    games: HashMap<GameId, Slot>,
    stop: CancellationToken,
}

impl Table {
    async fn run(mut self, mut mailbox: mpsc::Receiver<Message>) {
        let mut rooms = JoinSet::new();
        let mut loads = JoinSet::new();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                message = mailbox.recv() => match message {
                    Some(Message::Find { game_id, reply }) => {
                        let _ = reply.send(self.find(&game_id));
                    }
                    Some(Message::Open { game_id, reply }) => self.open(game_id, reply, &mut loads),
                    Some(Message::Begin { created, white, black }) => {
                        let Created { epoch, game, started } = *created;
                        let mut room = self.room(epoch, game, vec![started]);
                        room.seat_both(white, black);
                        self.start(room, &mut rooms);
                    }
                    None => break,
                },
                Some(loaded) = loads.join_next(), if !loads.is_empty() => {
                    if let Ok((game_id, loaded)) = loaded {
                        self.loaded(&game_id, loaded, &mut rooms);
                    }
                }
                Some(finished) = rooms.join_next(), if !rooms.is_empty() => {
                    if let Ok(game_id) = finished
                        && self.find(&game_id).is_none()
                        && matches!(self.games.get(&game_id), Some(Slot::Open(_)))
                    {
                        // Not if it was opened again meanwhile.
                        self.games.remove(&game_id);
                    }
                }
            }
        }
        mailbox.close();
        loads.shutdown().await;
        // Rooms stop by the same token, each after the write that it is in.
        while rooms.join_next().await.is_some() {}
    }

    fn find(&self, game_id: &GameId) -> Option<RoomHandle> {
        match self.games.get(game_id) {
            Some(Slot::Open(room)) if !room.is_gone() => Some(room.clone()),
            _ => None,
        }
    }

    fn open(&mut self, game_id: GameId, reply: oneshot::Sender<Opened>, loads: &mut JoinSet<Loaded>) {
        if let Some(room) = self.find(&game_id) {
            let _ = reply.send(Ok(room));
        } else if let Some(Slot::Loading(waiting)) = self.games.get_mut(&game_id) {
            waiting.push(reply);
        } else if self.games.len() >= self.context.limits.rooms_max {
            let _ = reply.send(Err(OpenError::Full));
        } else {
            self.games.insert(game_id.clone(), Slot::Loading(vec![reply]));
            let (journal, owner) = (self.context.journal.clone(), self.context.owner.clone());
            loads.spawn(async move {
                let acquired = journal.acquire(&game_id, owner).await;
                (game_id, acquired)
            });
        }
    }

    fn loaded(
        &mut self,
        game_id: &GameId,
        acquired: Result<Option<Acquired>, StoreError>,
        rooms: &mut JoinSet<GameId>,
    ) {
        let Some(Slot::Loading(waiting)) = self.games.remove(game_id) else {
            return;
        };
        let opened = match acquired {
            Ok(Some(Acquired {
                epoch,
                events,
                game,
                previous,
            })) => {
                tracing::info!(game = %game_id, %previous, "acquired a game");
                let room = self.room(epoch, game, events);
                Ok(self.start(room, rooms))
            }
            Ok(None) => Err(OpenError::NotYours),
            Err(error) => {
                tracing::error!(game = %game_id, %error, "cannot acquire a game");
                Err(OpenError::Store(error))
            }
        };
        for reply in waiting {
            let _ = reply.send(opened.clone());
        }
    }

    fn room(&self, epoch: Epoch, game: Game, events: Vec<Event>) -> Room {
        // Also where another process had it: what that one noted may have gone with it.
        self.context.note_for_copies(game.id());
        Room::new(self.context.clone(), self.rooms.clone(), epoch, game, events)
    }

    fn start(&mut self, room: Room, rooms: &mut JoinSet<GameId>) -> RoomHandle {
        let (handle, task) = room.spawn(self.stop.clone());
        self.games
            .insert(handle.game_id.clone(), Slot::Open(handle.clone()));
        rooms.spawn(task);
        handle
    }
}

type Loaded = (GameId, Result<Option<Acquired>, StoreError>);
