//! What other nodes say, and what that means here. Nothing waits in here: whatever takes time is a task.

use std::sync::{Arc, PoisonError};

use prost::Message as _;
use starvault_nodes::{
    Attach, Begin, Begun, Body, Here, Instance, Receiver, Rematched, Returning, Seated, Shut, Take, Waiting,
};
use starvault_rules::{Event, Game, GameId, PlayerId};
use starvault_store::{Created, Epoch};
use starvault_wire::v1::{ClientFrame, ServerFrame};
use tokio::{sync::mpsc, time::Instant};

use super::{Nodes, guests::Ask, leading, route};
use crate::{
    app::App,
    lobby::{self, Candidate, FromRoom},
    room::Arrival,
    session::{Close, SessionHandle},
};

pub struct Switch {
    app: Arc<App>,
    nodes: Arc<Nodes>,
    to_lobby: mpsc::Sender<FromRoom>,
}

impl Switch {
    pub fn new(app: Arc<App>, nodes: Arc<Nodes>, to_lobby: mpsc::Sender<FromRoom>) -> Self {
        Self { app, nodes, to_lobby }
    }

    fn refused(from: &Instance, what: &str) {
        tracing::warn!(node = %from, what, "a message that makes no sense was refused");
    }

    fn on_command(&self, from: &Instance, session_id: u64, frame: &[u8]) {
        match ClientFrame::decode(frame) {
            Ok(ClientFrame {
                request_id,
                command: Some(command),
            }) => {
                // A session that ended here just now; its edge hears of that.
                let _ = self
                    .nodes
                    .guests
                    .ask(from, session_id, Ask::Command { request_id, command });
            }
            _ => Self::refused(from, "a command that cannot be read"),
        }
    }

    fn on_frame(&self, from: &Instance, session_id: u64, frame: &[u8]) {
        let Some(local) = self.nodes.locals.get(session_id) else {
            return;
        };
        match ServerFrame::decode(frame) {
            Ok(frame) if local.is_used_by(from) => local.tell(from, frame),
            Ok(_) => {}
            Err(_) => Self::refused(from, "a frame that cannot be read"),
        }
    }

    fn on_ping(&self, from: &Instance, session_id: u64, number: u32) {
        let Some(local) = self.nodes.locals.get(session_id) else {
            return;
        };
        if !local.is_used_by(from) {
            return;
        }
        let own = local.session.ping();
        let (nodes, from) = (self.nodes.clone(), from.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = local.session.closed() => {}
                () = local.session.ponged(own) => {
                    let _ = nodes.bus.send(&from, Body::Pong(starvault_nodes::Pong { session_id, number }));
                }
            }
        });
    }

    fn on_attach(&self, from: &Instance, Attach { who, game }: Attach) {
        let attached = self
            .nodes
            .locals
            .of(&who)
            .is_some_and(|local| local.attach(from, game));
        if !attached {
            self.nodes.turn_away(from, who.session_id);
        }
    }

    /// Players are connected elsewhere for whom there may be something here.
    fn on_here(&self, from: &Instance, here: Here) {
        let (app, nodes, from) = (self.app.clone(), self.nodes.clone(), from.clone());
        tokio::spawn(async move {
            if here.game_id.is_empty() {
                if !nodes.leads_in_time().await {
                    return;
                }
                let known = app.lobby.knows(&here.who).await;
                for who in &known {
                    if nodes.invite(&app, &from, who, false).is_some() {
                        nodes.guests.ask(&from, who.session_id, Ask::Connected);
                    }
                }
                return;
            }
            let Ok(game_id) = GameId::new(&here.game_id) else {
                return;
            };
            if app.rooms.find(game_id.clone()).await.is_none() {
                return;
            }
            for who in &here.who {
                if nodes.invite(&app, &from, who, true).is_some() {
                    nodes
                        .guests
                        .ask(&from, who.session_id, Ask::ConnectedTo(game_id.clone()));
                }
            }
        });
    }

    fn on_waiting(&self, from: &Instance, waiting: Waiting) {
        for wait in waiting.waits {
            if self.nodes.invite(&self.app, from, &wait.who, false).is_some() {
                let ask = Ask::Rejoin {
                    region: wait.region,
                    since_ms: wait.since_ms,
                };
                self.nodes.guests.ask(from, wait.who.session_id, ask);
            }
        }
    }

    /// The session of a player wherever the socket is; one that has ended, if it is gone.
    fn session_of(&self, seated: &Seated, game: bool) -> Option<SessionHandle> {
        let player_id = PlayerId::new(&seated.who.player_id).ok()?;
        let edge = Instance::from(seated.edge.as_str());
        let session = if edge == self.nodes.me {
            let local = self.nodes.locals.of(&seated.who);
            if let (true, Some(local)) = (game, &local) {
                // Not to be announced to the next leader: `Matched` comes from here, not from a node.
                local.waits(None);
            }
            local.map(|local| local.session.clone())
        } else {
            self.nodes.invite(&self.app, &edge, &seated.who, game)
        };
        Some(session.unwrap_or_else(|| SessionHandle::ended(player_id)))
    }

    fn arrival(&self, seated: &Seated) -> Option<Arrival> {
        Some(Arrival {
            session: self.session_of(seated, true)?,
            region: seated.region.parse().ok()?,
            enqueued_at_ms: seated.enqueued_at_ms,
        })
    }

    fn on_begin(&self, from: &Instance, begin: &Begin) {
        let started = serde_json::from_str::<Event>(&begin.started_json).ok();
        let begun = started.and_then(|started| {
            let game = Game::from_events([&started]).ok()?;
            (game.id().as_str() == begin.game_id).then_some((game, started))
        });
        let arrivals = (self.arrival(&begin.white), self.arrival(&begin.black));
        let (Some((game, started)), (Some(white), Some(black))) = (begun, arrivals) else {
            Self::refused(from, "a game that cannot begin");
            return;
        };
        let created = Box::new(Created {
            epoch: Epoch(1),
            game,
            started,
        });
        let (app, nodes, from, game_id) = (
            self.app.clone(),
            self.nodes.clone(),
            from.clone(),
            begin.game_id.clone(),
        );
        tokio::spawn(async move {
            app.rooms.begin(created, white, black).await;
            let _ = nodes.bus.send(&from, Body::Begun(Begun { game_id }));
        });
    }

    fn on_begun(&self, from: &Instance, begun: &Begun) {
        let Ok(game_id) = GameId::new(&begun.game_id) else {
            return;
        };
        let mut begins = self.nodes.begins();
        if begins
            .get(&game_id)
            .is_some_and(|beginning| beginning.host == *from)
        {
            begins.remove(&game_id);
        }
    }

    fn on_take(&self, take: Take) {
        let Ok(game_id) = GameId::new(&take.game_id) else {
            return;
        };
        tokio::spawn(leading::take(
            self.app.clone(),
            game_id,
            Instance::from(take.from),
        ));
    }

    fn on_returning(&self, from: &Instance, returning: &Returning) {
        let session = self.session_of(&returning.seated, false);
        let (Some(session), Ok(region)) = (session, returning.seated.region.parse()) else {
            Self::refused(from, "a player on the way back who is none");
            return;
        };
        self.tell_lobby(FromRoom::Returning(Box::new(lobby::Returning {
            candidate: Candidate {
                session,
                display_name: returning.display_name.clone(),
                rating: returning.rating,
            },
            region,
            enqueued_at_ms: returning.seated.enqueued_at_ms,
        })));
    }

    fn on_rematched(&self, from: &Instance, rematched: &Rematched) {
        let sessions: Vec<SessionHandle> = rematched
            .edges
            .iter()
            .zip(&rematched.players)
            .filter_map(|(edge, who)| {
                let player_id = PlayerId::new(&who.player_id).ok()?;
                let edge = Instance::from(edge.as_str());
                let session = if edge == self.nodes.me {
                    self.nodes.locals.of(who).map(|local| local.session.clone())
                } else {
                    self.nodes.guests.get(&edge, who.session_id)
                };
                Some(session.unwrap_or_else(|| SessionHandle::ended(player_id)))
            })
            .collect();
        let Ok(players) = <[SessionHandle; 2]>::try_from(sessions) else {
            Self::refused(from, "a rematch that is not of two");
            return;
        };
        self.tell_lobby(FromRoom::Rematched(lobby::Rematched {
            players,
            began_at_ms: rematched.began_at_ms,
        }));
    }

    fn tell_lobby(&self, told: FromRoom) {
        if self.to_lobby.try_send(told).is_err() {
            tracing::warn!("the lobby is too busy to hear of a game of another node");
        }
    }
}

impl Receiver for Switch {
    fn on_message(&self, from: &Instance, body: Body) {
        let nodes = &self.nodes;
        match body {
            Body::Open(open) => {
                let who = starvault_nodes::Who {
                    session_id: open.session_id,
                    player_id: open.player_id,
                };
                if nodes.guest(&self.app, from, &who).is_none() {
                    Self::refused(from, "a session that cannot be opened");
                    let session_id = who.session_id;
                    let code = Close::NODE_LOST.code.into();
                    let _ = nodes.bus.send(from, Body::Shut(Shut { session_id, code }));
                }
            }
            Body::Command(command) => self.on_command(from, command.session_id, &command.frame),
            Body::Closed(closed) => nodes.guests.end(from, closed.session_id),
            Body::Pong(pong) => {
                if let Some(session) = nodes.guests.get(from, pong.session_id) {
                    session.link().on_pong(&pong.number.to_be_bytes(), Instant::now());
                }
            }
            Body::Here(here) => self.on_here(from, here),
            Body::Waiting(waiting) => self.on_waiting(from, waiting),
            Body::Attach(attach) => self.on_attach(from, attach),
            Body::Frame(frame) => self.on_frame(from, frame.session_id, &frame.frame),
            Body::Ping(ping) => self.on_ping(from, ping.session_id, ping.number),
            Body::Shut(shut) => {
                if let Some(local) = nodes.locals.get(shut.session_id)
                    && local.is_used_by(from)
                {
                    local.session.close(Close::from_node(shut.code));
                }
            }
            Body::NotHere(asked) => {
                if let Some(local) = nodes.locals.get(asked.session_id) {
                    let (app, nodes) = (self.app.clone(), nodes.clone());
                    tokio::spawn(route::resume_again(app, nodes, local, from.clone(), asked));
                }
            }
            Body::Begin(begin) => self.on_begin(from, &begin),
            Body::Begun(begun) => self.on_begun(from, &begun),
            Body::Take(take) => self.on_take(take),
            Body::Returning(returning) => self.on_returning(from, &returning),
            Body::Rematched(rematched) => self.on_rematched(from, &rematched),
            Body::Beat(_) | Body::Reset(_) | Body::Leaving(_) => {}
        }
    }

    fn on_reset(&self, peer: &Instance) {
        self.nodes.guests.end_of(peer);
        self.nodes.locals.lost(peer);
        self.nodes.membership.nudge();
        leading::begin_instead_of(&self.app, &self.nodes, |beginning| beginning.host == *peer);
        if self.nodes.leader().as_ref() == Some(peer) {
            self.nodes.announce.notify_one();
        }
    }

    fn on_leaving(&self, peer: &Instance) {
        tracing::info!(node = %peer, "a node goes down");
        let mut leaving = self.nodes.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.insert(peer.clone());
    }
}
