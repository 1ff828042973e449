//! Who waits for an opponent in this process. One task owns the queue; a handle speaks to it.
//!
//! A pool belongs to one release, so that two releases never meet in one game. A match is made in
//! two phases: both tickets leave the queue, then the store begins the game. If one side cannot
//! play, the other returns to its place. The lobby never touches a game once it has begun.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use starvault_matchmaking::{Match, PlayerKey, Queue, Reserved, Settings, Ticket, TicketId};
use starvault_rules::{Clock, GameId, PlayerId, Seat, Setup};
use starvault_store::{CreateOutcome, Journal as _, NewGame, StoreError};
use starvault_wire::v1::{LeftLobby, Queued, error::Code, server_frame::Event as Say};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Region,
    room::{Arrival, RoomContext},
    rooms::Rooms,
    session::{SessionHandle, SessionId},
};

const MAILBOX_MAX: usize = 1024;
/// Games that are being begun at the same time; further matches wait their turn.
const BEGINNINGS_MAX: usize = 256;

/// Somebody who wants to play.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub session: SessionHandle,
    pub display_name: String,
    pub rating: i32,
}

/// A matched player whose opponent never arrived: back in the pool, with the seniority of the wait.
#[derive(Debug)]
pub struct Returning {
    pub candidate: Candidate,
    pub region: Region,
    /// When the wait began, in milliseconds since 1970-01-01 UTC.
    pub enqueued_at_ms: u64,
}

#[derive(Debug)]
enum Message {
    Join { candidate: Candidate, request_id: u32 },
    Leave { session: SessionHandle, request_id: u32 },
    Gone { session_id: SessionId },
}

/// Speaks to the lobby.
#[derive(Debug, Clone)]
pub struct Lobby {
    mailbox: mpsc::Sender<Message>,
}

impl Lobby {
    /// The handle, and the task to run until `stop`.
    pub fn new(
        context: RoomContext,
        rooms: Rooms,
        clock: Clock,
        region: Region,
        seed: u64,
        returns: mpsc::Receiver<Returning>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (mailbox, receiver) = mpsc::channel(MAILBOX_MAX);
        let pool = Pool {
            context,
            rooms,
            clock,
            region,
            coin: StdRng::seed_from_u64(seed),
            queue: Queue::new(Settings::default()),
            waiting: HashMap::new(),
            by_player: HashMap::new(),
            beginning: HashMap::new(),
            matched: VecDeque::new(),
        };
        (Self { mailbox }, pool.run(receiver, returns, stop))
    }

    /// The answer goes to the session: `Queued`, or an error.
    pub async fn join(&self, candidate: Candidate, request_id: u32) {
        let _ = self
            .mailbox
            .send(Message::Join {
                candidate,
                request_id,
            })
            .await;
    }

    /// The answer goes to the session.
    pub async fn leave(&self, session: SessionHandle, request_id: u32) {
        let _ = self.mailbox.send(Message::Leave { session, request_id }).await;
    }

    /// The connection has ended. Concerns only its own ticket, never that of a newer connection.
    pub async fn gone(&self, session_id: SessionId) {
        let _ = self.mailbox.send(Message::Gone { session_id }).await;
    }
}

/// A match whose game the store is asked to begin.
struct Beginning {
    older: (Reserved, Candidate),
    younger: (Reserved, Candidate),
    older_plays_white: bool,
    outcome: Result<CreateOutcome, StoreError>,
}

struct Pool {
    context: RoomContext,
    rooms: Rooms,
    clock: Clock,
    region: Region,
    coin: StdRng,
    queue: Queue,
    waiting: HashMap<TicketId, Candidate>,
    by_player: HashMap<PlayerId, TicketId>,
    /// Players whose game is being begun, and over which session.
    beginning: HashMap<PlayerId, SessionId>,
    matched: VecDeque<Match>,
}

impl Pool {
    async fn run(
        mut self,
        mut mailbox: mpsc::Receiver<Message>,
        mut returns: mpsc::Receiver<Returning>,
        stop: CancellationToken,
    ) {
        let mut beginnings = JoinSet::new();
        loop {
            self.match_up(&mut beginnings);
            let wakes_at = self.wakes_at();
            tokio::select! {
                () = stop.cancelled() => break,
                message = mailbox.recv() => match message {
                    Some(message) => self.on_message(message),
                    None => break,
                },
                Some(returning) = returns.recv() => self.on_returning(returning),
                Some(begun) = beginnings.join_next(), if !beginnings.is_empty() => {
                    if let Ok(begun) = begun {
                        self.on_begun(begun).await;
                    }
                }
                () = tokio::time::sleep_until(wakes_at) => {}
            }
        }
        mailbox.close();
        // A game that the store begins now is found by resuming it.
        while beginnings.join_next().await.is_some() {}
    }

    fn wakes_at(&mut self) -> Instant {
        let wait = match self.queue.next_deadline() {
            Some(at_ms) => self.context.time.until(i64::try_from(at_ms).unwrap_or(i64::MAX)),
            None => Duration::from_secs(3600),
        };
        Instant::now() + wait
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.context.time.now_ms()).unwrap_or(0)
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Join {
                candidate,
                request_id,
            } => self.on_join(candidate, request_id),
            Message::Leave { session, request_id } => {
                if self.beginning.get(&session.player_id) == Some(&session.id) {
                    session.refuse(request_id, Code::AlreadyPlaying, "an opponent has been found");
                } else {
                    self.drop_ticket(session.id);
                    session.send(request_id, Say::LeftLobby(LeftLobby {}));
                }
            }
            Message::Gone { session_id } => self.drop_ticket(session_id),
        }
    }

    fn on_join(&mut self, candidate: Candidate, request_id: u32) {
        let session = candidate.session.clone();
        if self.beginning.contains_key(&session.player_id) {
            session.refuse(request_id, Code::AlreadyPlaying, "an opponent has been found");
            return;
        }
        if let Some(id) = self.by_player.get(&session.player_id).copied() {
            if id == ticket_id(session.id) {
                session.refuse(request_id, Code::AlreadyQueued, "you are waiting already");
                return;
            }
            // The newer connection counts; the older one may be dead without our knowing.
            if let Some(former) = self.waiting.get(&id) {
                former.session.send(0, Say::LeftLobby(LeftLobby {}));
            }
            self.drop_ticket(SessionId(id.0));
        }
        let since_ms = self.now_ms();
        let ticket = Ticket {
            id: ticket_id(session.id),
            player: PlayerKey(session.id.0),
            rating: candidate.rating,
            enqueued_at_ms: since_ms,
            avoid: None,
        };
        match self.queue.add(ticket) {
            Ok(()) => {
                self.by_player.insert(session.player_id.clone(), ticket.id);
                self.waiting.insert(ticket.id, candidate);
                session.send(
                    request_id,
                    Say::Queued(Queued {
                        since_ms: since_ms as i64,
                        ..Queued::default()
                    }),
                );
            }
            Err(error) => {
                tracing::warn!(%error, "a ticket was refused");
                session.refuse(
                    request_id,
                    Code::Unavailable,
                    "too many players are waiting; try again",
                );
            }
        }
    }

    fn on_returning(&mut self, returning: Returning) {
        let Returning {
            candidate,
            enqueued_at_ms,
            ..
        } = returning;
        let session = &candidate.session;
        if session.is_closed() || self.by_player.contains_key(&session.player_id) {
            return;
        }
        let ticket = Ticket {
            id: ticket_id(session.id),
            player: PlayerKey(session.id.0),
            rating: candidate.rating,
            enqueued_at_ms,
            avoid: None,
        };
        if self.queue.add(ticket).is_ok() {
            session.send(
                0,
                Say::Queued(Queued {
                    since_ms: enqueued_at_ms as i64,
                    ..Queued::default()
                }),
            );
            self.by_player.insert(session.player_id.clone(), ticket.id);
            self.waiting.insert(ticket.id, candidate);
        }
    }

    fn drop_ticket(&mut self, session_id: SessionId) {
        let id = ticket_id(session_id);
        self.queue.remove(id);
        if let Some(candidate) = self.waiting.remove(&id) {
            self.by_player.remove(&candidate.session.player_id);
        }
    }

    fn match_up(&mut self, beginnings: &mut JoinSet<Beginning>) {
        while beginnings.len() < BEGINNINGS_MAX {
            if self.matched.is_empty() {
                let found = self.queue.poll(self.now_ms());
                self.matched.extend(found);
            }
            let Some(found) = self.matched.pop_front() else {
                return;
            };
            // Somebody who left between the match and now leaves no candidate.
            let (older, younger) = (self.take(found.older), self.take(found.younger));
            match (older, younger) {
                (Some(older), Some(younger)) => {
                    self.begin((found.older, older), (found.younger, younger), beginnings);
                }
                (Some(older), None) => self.put_back(found.older, older),
                (None, Some(younger)) => self.put_back(found.younger, younger),
                (None, None) => {}
            }
        }
    }

    /// Whoever holds a matched ticket, if that player is still there.
    fn take(&mut self, reserved: Reserved) -> Option<Candidate> {
        let candidate = self.waiting.remove(&reserved.ticket.id)?;
        self.by_player.remove(&candidate.session.player_id);
        (!candidate.session.is_closed()).then_some(candidate)
    }

    fn begin(
        &mut self,
        older: (Reserved, Candidate),
        younger: (Reserved, Candidate),
        beginnings: &mut JoinSet<Beginning>,
    ) {
        for (_, candidate) in [&older, &younger] {
            self.beginning
                .insert(candidate.session.player_id.clone(), candidate.session.id);
        }
        let older_plays_white = self.coin.next_u32() & 1 == 0;
        let (white, black) = if older_plays_white {
            (&older.1, &younger.1)
        } else {
            (&younger.1, &older.1)
        };
        let seat = |candidate: &Candidate| Seat {
            player_id: candidate.session.player_id.clone(),
            name: candidate.display_name.clone(),
            rating: candidate.rating,
        };
        let setup = Setup {
            game_id: new_game_id(),
            white: seat(white),
            black: seat(black),
            clock: self.clock,
            started_at_ms: self.context.time.now_ms(),
        };
        let game = NewGame {
            setup,
            owner: self.context.owner.clone(),
        };
        let journal = self.context.journal.clone();
        beginnings.spawn(async move {
            let outcome = journal.create_game(game).await;
            Beginning {
                older,
                younger,
                older_plays_white,
                outcome,
            }
        });
    }

    async fn on_begun(&mut self, begun: Beginning) {
        let Beginning {
            older,
            younger,
            older_plays_white,
            outcome,
        } = begun;
        for (_, candidate) in [&older, &younger] {
            self.beginning.remove(&candidate.session.player_id);
        }
        match outcome {
            Ok(CreateOutcome::Created(created)) => {
                let (white, black) = if older_plays_white {
                    (older, younger)
                } else {
                    (younger, older)
                };
                let [white, black] = [white, black].map(|(reserved, candidate)| Arrival {
                    session: candidate.session,
                    region: self.region.clone(),
                    enqueued_at_ms: reserved.ticket.enqueued_at_ms,
                });
                self.rooms.begin(created, white, black).await;
            }
            Ok(CreateOutcome::AlreadyPlaying { player_id, .. }) => {
                for (reserved, candidate) in [older, younger] {
                    if candidate.session.player_id == player_id {
                        let message = "you are in a running game; resume it";
                        candidate.session.refuse(0, Code::AlreadyPlaying, message);
                    } else {
                        self.put_back(reserved, candidate);
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot begin a game");
                for (_, candidate) in [older, younger] {
                    candidate.session.send(0, Say::LeftLobby(LeftLobby {}));
                    candidate
                        .session
                        .refuse(0, Code::Unavailable, "the store does not answer; join again");
                }
            }
        }
    }

    fn put_back(&mut self, reserved: Reserved, candidate: Candidate) {
        // A player who has queued again over a newer connection waits there.
        if candidate.session.is_closed() || self.by_player.contains_key(&candidate.session.player_id) {
            return;
        }
        if self.queue.put_back(reserved).is_ok() {
            self.by_player
                .insert(candidate.session.player_id.clone(), reserved.ticket.id);
            self.waiting.insert(reserved.ticket.id, candidate);
        }
    }
}

fn ticket_id(session_id: SessionId) -> TicketId {
    TicketId(session_id.0)
}

fn new_game_id() -> GameId {
    GameId::new(format!("g-{}", uuid::Uuid::now_v7().simple())).expect("a prefix and hexadecimal digits")
}
