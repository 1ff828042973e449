//! Who waits for an opponent in this process. One task owns the pools; a handle speaks to it.
//!
//! There is one pool for each region, and all of them belong to one release, so that neither
//! regions nor releases ever meet in one game. A match is made in two phases: both tickets leave
//! their pool, then the store begins the game. If one side cannot play, the other returns to its
//! place; so does a player whose opponent never arrives at the game ([`Returning`]).
//!
//! A ticket belongs to a player, not to a connection. When the connection ends, the ticket stays
//! where it is for a while, cannot be matched, and goes on as soon as the player is back. The lobby
//! never touches a game once it has begun; of a rematch, which begins without it, it is told, so that
//! neither player keeps a ticket.

mod from_rooms;
mod handover;
mod metrics;
mod opponents;
mod pairing;
mod policies;
mod steady;
mod task;

use std::sync::Arc;

use starvault_matchmaking::Settings;
use starvault_nodes::{Ticket, Who};
use starvault_rules::Clock;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::task::Task;
pub use self::{handover::StillWaiting, metrics::LobbyMetrics};
use crate::{
    config::{Region, Regions},
    flags::Switches,
    nodes::Nodes,
    room::RoomContext,
    rooms::Rooms,
    session::SessionHandle,
};

const MAILBOX_MAX: usize = 1024;

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

/// What games tell the lobby.
#[derive(Debug)]
pub enum FromRoom {
    Returning(Box<Returning>),
    Rematched(Rematched),
}

/// The players of a game that has ended have begun another one, over these connections.
#[derive(Debug)]
pub struct Rematched {
    pub players: [SessionHandle; 2],
    /// In milliseconds since 1970-01-01 UTC.
    pub began_at_ms: u64,
}

#[derive(Debug)]
enum Message {
    Join {
        candidate: Candidate,
        region: String,
        request_id: u32,
    },
    Leave {
        session: SessionHandle,
        request_id: u32,
    },
    Connected {
        session: SessionHandle,
    },
    Gone {
        session: SessionHandle,
    },
    Rejoin {
        candidate: Candidate,
        region: String,
        since_ms: u64,
    },
    Knows {
        who: Vec<Who>,
        reply: oneshot::Sender<Vec<Who>>,
    },
    Lead {
        tickets: Vec<Ticket>,
        reply: oneshot::Sender<()>,
    },
    StepDown {
        reply: oneshot::Sender<Vec<StillWaiting>>,
    },
}

/// What matches are made of, and how.
#[derive(Debug, Clone)]
pub struct Options {
    pub regions: Regions,
    /// Of every game that begins here.
    pub clock: Clock,
    /// Those of the newest policy; an older one leaves some of them unused.
    pub settings: Settings,
    /// Decides who plays White.
    pub seed: u64,
    /// Which policy each pool goes by; it may change at any time.
    pub switches: Arc<Switches>,
}

/// Speaks to the lobby.
#[derive(Debug, Clone)]
pub struct Lobby {
    mailbox: mpsc::Sender<Message>,
    metrics: Arc<LobbyMetrics>,
}

impl Lobby {
    /// The handle, and the task to run until `stop`. Once `draining` is cancelled no more matches
    /// are made: their games would only have to move at once. With `nodes`, it makes none until it leads.
    pub fn new(
        context: RoomContext,
        (rooms, nodes): (Rooms, Option<Arc<Nodes>>),
        options: Options,
        from_rooms: mpsc::Receiver<FromRoom>,
        draining: CancellationToken,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (mailbox, receiver) = mpsc::channel(MAILBOX_MAX);
        let metrics = Arc::new(LobbyMetrics::new(&options.regions));
        let task = Task::new(context, (rooms, nodes), options, draining, metrics.clone());
        (Self { mailbox, metrics }, task.run(receiver, from_rooms, stop))
    }

    #[must_use]
    pub fn metrics(&self) -> &Arc<LobbyMetrics> {
        &self.metrics
    }

    /// The answer goes to the session: `Queued`, or an error. `region` is a name, or empty for the
    /// first region.
    pub async fn join(&self, candidate: Candidate, region: String, request_id: u32) {
        let message = Message::Join {
            candidate,
            region,
            request_id,
        };
        let _ = self.mailbox.send(message).await;
    }

    /// The answer goes to the session.
    pub async fn leave(&self, session: SessionHandle, request_id: u32) {
        let _ = self.mailbox.send(Message::Leave { session, request_id }).await;
    }

    /// A player has a new connection: if there is a ticket, it goes on over this one, and the
    /// session hears `Queued` unasked.
    pub async fn connected(&self, session: SessionHandle) {
        let _ = self.mailbox.send(Message::Connected { session }).await;
    }

    /// The connection has ended. Concerns only the ticket that hangs on it, never that of a newer
    /// connection.
    pub async fn gone(&self, session: SessionHandle) {
        let _ = self.mailbox.send(Message::Gone { session }).await;
    }

    /// A player waits already, as a former leader has said. The session hears `Queued` unasked.
    pub async fn rejoin(&self, candidate: Candidate, region: String, since_ms: u64) {
        let message = Message::Rejoin {
            candidate,
            region,
            since_ms,
        };
        let _ = self.mailbox.send(message).await;
    }

    /// Who of them has something to hear here when they come back.
    pub async fn knows(&self, who: &[Who]) -> Vec<Who> {
        let (reply, answer) = oneshot::channel();
        let who = who.to_vec();
        let _ = self.mailbox.send(Message::Knows { who, reply }).await;
        answer.await.unwrap_or_default()
    }

    /// From here on this lobby makes matches, among these tickets of the former leader and those that come.
    pub async fn lead(&self, tickets: Vec<Ticket>) {
        let (reply, answer) = oneshot::channel();
        let _ = self.mailbox.send(Message::Lead { tickets, reply }).await;
        let _ = answer.await;
    }

    /// Another lobby makes the matches. Answers who waited here and has a socket at this node.
    pub async fn step_down(&self) -> Vec<StillWaiting> {
        let (reply, answer) = oneshot::channel();
        let _ = self.mailbox.send(Message::StepDown { reply }).await;
        answer.await.unwrap_or_default()
    }
}
