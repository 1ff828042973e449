//! Sessions of players whose sockets are at other nodes: what such a player asks for runs here, through
//! the code of a local socket, one command after the other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use starvault_nodes::{Attach, Body, Closed, Instance, Who};
use starvault_rules::{GameId, PlayerId};
use starvault_wire::v1::{client_frame::Command, error::Code};
use tokio::{sync::mpsc, time::Instant};

use super::{Edge, Nodes, route};
use crate::{
    app::App,
    commands::Player,
    session::{Outlet, SessionHandle},
};

/// Commands of one player that wait; the edge lets few through at a time.
const MAILBOX_MAX: usize = 128;
/// Guests of one node.
const GUESTS_MAX: usize = 200_000;

/// What a guest's task is to do.
#[derive(Debug)]
pub enum Ask {
    Command {
        request_id: u32,
        command: Command,
    },
    /// The player was told so by a former leader.
    Rejoin {
        region: String,
        since_ms: u64,
    },
    /// The player has a new connection, and the lobby has a ticket.
    Connected,
    /// The same, and a game waits for the player.
    ConnectedTo(GameId),
}

impl Ask {
    fn is_for_the_lobby(&self) -> bool {
        match self {
            Self::Command { command, .. } => {
                matches!(command, Command::JoinLobby(_) | Command::LeaveLobby(_))
            }
            Self::Rejoin { .. } | Self::Connected => true,
            Self::ConnectedTo(_) => false,
        }
    }
}

#[derive(Debug)]
struct Guest {
    session: SessionHandle,
    mailbox: mpsc::Sender<Ask>,
}

/// All guests of this node, by their edge and the name that they have there.
#[derive(Debug, Default)]
pub struct Guests(Mutex<HashMap<(Instance, u64), Guest>>);

impl Guests {
    fn guests(&self) -> MutexGuard<'_, HashMap<(Instance, u64), Guest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.guests().len()
    }

    #[must_use]
    pub fn get(&self, edge: &Instance, session_id: u64) -> Option<SessionHandle> {
        let guests = self.guests();
        Some(guests.get(&(edge.clone(), session_id))?.session.clone())
    }

    /// False: there is no such guest.
    pub fn ask(&self, edge: &Instance, session_id: u64, ask: Ask) -> bool {
        let guests = self.guests();
        let Some(guest) = guests.get(&(edge.clone(), session_id)) else {
            return false;
        };
        if let Err(mpsc::error::TrySendError::Full(Ask::Command { request_id, .. })) =
            guest.mailbox.try_send(ask)
        {
            let message = "too many commands wait; try again";
            guest.session.refuse(request_id, Code::Unavailable, message);
        }
        true
    }

    pub fn end(&self, edge: &Instance, session_id: u64) {
        self.guests().remove(&(edge.clone(), session_id));
    }

    pub fn end_of(&self, node: &Instance) {
        self.guests().retain(|(edge, _), _| edge != node);
    }

    pub fn end_all(&self) {
        self.guests().clear();
    }
}

impl Nodes {
    /// The session of a player at another node, made if need be. `None`: there are too many, or the
    /// player's name is none.
    pub fn guest(self: &Arc<Self>, app: &Arc<App>, edge: &Instance, who: &Who) -> Option<SessionHandle> {
        let player_id = PlayerId::new(&who.player_id).ok()?;
        let mut guests = self.guests.guests();
        if let Some(guest) = guests.get(&(edge.clone(), who.session_id)) {
            return (guest.session.player_id == player_id).then(|| guest.session.clone());
        }
        if guests.len() >= GUESTS_MAX {
            tracing::warn!(node = %edge, "too many players of other nodes; one is turned away");
            return None;
        }
        let way = Edge::new(edge.clone(), who.session_id, self.bus.clone());
        let limit = app.config.limits.outbox_frames_max;
        let (session, outlet) = SessionHandle::guest(app.next_session_id(), player_id, way, limit);
        let (mailbox, asked) = mpsc::channel(MAILBOX_MAX);
        let guest = Guest {
            session: session.clone(),
            mailbox,
        };
        guests.insert((edge.clone(), who.session_id), guest);
        drop(guests);
        tokio::spawn(run(app.clone(), session.clone(), outlet, asked));
        Some(session)
    }

    /// As [`Self::guest`], on this node's own accord: the edge is told first.
    pub fn invite(
        self: &Arc<Self>,
        app: &Arc<App>,
        edge: &Instance,
        who: &Who,
        game: bool,
    ) -> Option<SessionHandle> {
        let session = self.guest(app, edge, who)?;
        let who = who.clone();
        let _ = self.bus.send(edge, Body::Attach(Attach { who, game }));
        Some(session)
    }

    /// The edge does not know the session that it is asked about.
    pub fn turn_away(&self, edge: &Instance, session_id: u64) {
        let _ = self.bus.send(edge, Body::Closed(Closed { session_id }));
    }
}

async fn run(app: Arc<App>, session: SessionHandle, outlet: Outlet, mut asked: mpsc::Receiver<Ask>) {
    let mut player = Player::guest(app.clone(), session.clone());
    while let Some(ask) = asked.recv().await {
        if let (true, Some(nodes)) = (ask.is_for_the_lobby(), &app.nodes) {
            // A lobby that does not lead after all says so itself.
            nodes.leads_in_time().await;
        }
        match ask {
            Ask::Command { request_id, command } => {
                if let Some(command) = player.at_once(request_id, command, Instant::now()) {
                    Box::pin(player.on_command(request_id, command)).await;
                }
            }
            Ask::Rejoin { region, since_ms } => route::rejoin(&app, session.clone(), region, since_ms).await,
            Ask::Connected => app.lobby.connected(session.clone()).await,
            Ask::ConnectedTo(game_id) => player.connected(Some(game_id)).await,
        }
    }
    drop(outlet);
    app.lobby.gone(session).await;
}
