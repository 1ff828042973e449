//! The sockets of this node, and which other nodes each of them uses.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prost::Message as _;
use starvault_nodes::{Body, Closed, Command, Instance, Open, Wait, Who};
use starvault_rules::GameId;
use starvault_wire::v1::{
    ClientFrame, LeftLobby, ServerFrame, client_frame, error::Code, server_frame::Event as Say,
};

use super::Nodes;
use crate::session::{Close, SessionHandle};

/// Requests to the lobby that wait for an answer of another node.
const ASKED_MAX: usize = 16;

/// One socket of this node.
#[derive(Debug)]
pub struct Local {
    pub session: SessionHandle,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: Vec<Used>,
    /// The game of the last command, and who has it.
    far: Option<(GameId, Instance)>,
    /// The place in the lobby of another node.
    wait: Option<(String, u64)>,
    /// What the lobby of another node was asked: the request, and whether it was to join.
    asked: Vec<(u32, bool)>,
    /// Which node that was.
    lobby: Option<Instance>,
    ended: bool,
}

#[derive(Debug)]
struct Used {
    node: Instance,
    /// A game hangs on it.
    game: bool,
}

impl State {
    /// Whether it was not used before.
    fn uses(&mut self, node: &Instance, game: bool) -> bool {
        match self.used.iter_mut().find(|used| used.node == *node) {
            Some(used) => {
                used.game |= game;
                false
            }
            None => {
                let node = node.clone();
                self.used.push(Used { node, game });
                true
            }
        }
    }
}

impl Local {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn who(&self) -> Who {
        Who {
            session_id: self.session.id.0,
            player_id: self.session.player_id.to_string(),
        }
    }

    /// The node that has this game, if it is the last one that was looked up.
    #[must_use]
    pub fn far(&self, game_id: &str) -> Option<Instance> {
        match &self.state().far {
            Some((far, node)) if far.as_str() == game_id => Some(node.clone()),
            _ => None,
        }
    }

    pub fn set_far(&self, far: Option<(GameId, Instance)>) {
        self.state().far = far;
    }

    /// Passes a command on to the game's node.
    pub fn to_game(&self, nodes: &Nodes, node: &Instance, request_id: u32, command: client_frame::Command) {
        self.pass(&mut self.state(), nodes, node, true, request_id, command);
    }

    /// Passes a command on to the lobby's node.
    pub fn to_lobby(&self, nodes: &Nodes, node: &Instance, request_id: u32, command: client_frame::Command) {
        let mut state = self.state();
        if state.asked.len() >= ASKED_MAX {
            drop(state);
            let message = "the lobby has not answered yet; try again";
            self.session.refuse(request_id, Code::Unavailable, message);
            return;
        }
        let joins = matches!(command, client_frame::Command::JoinLobby(_));
        state.asked.push((request_id, joins));
        state.lobby = Some(node.clone());
        self.pass(&mut state, nodes, node, false, request_id, command);
    }

    fn pass(
        &self,
        state: &mut State,
        nodes: &Nodes,
        node: &Instance,
        game: bool,
        request_id: u32,
        command: client_frame::Command,
    ) {
        let Who {
            session_id,
            player_id,
        } = self.who();
        // What cannot be sent has ended the link: `on_reset` follows.
        if state.uses(node, game) {
            let _ = nodes.bus.send(
                node,
                Body::Open(Open {
                    session_id,
                    player_id,
                }),
            );
        }
        let frame = ClientFrame {
            request_id,
            command: Some(command),
        };
        let frame = frame.encode_to_vec();
        let _ = nodes.bus.send(node, Body::Command(Command { session_id, frame }));
    }

    /// A host uses this session. False: it has ended.
    pub fn attach(&self, node: &Instance, game: bool) -> bool {
        let mut state = self.state();
        if !state.ended {
            state.uses(node, game);
        }
        !state.ended
    }

    /// Whether what `node` sends is meant for this session still.
    #[must_use]
    pub fn is_used_by(&self, node: &Instance) -> bool {
        self.state().used.iter().any(|used| used.node == *node)
    }

    /// Passes a host's frame on to the player.
    pub fn tell(&self, from: &Instance, frame: ServerFrame) {
        let mut state = self.state();
        if frame.request_id != 0 {
            state.asked.retain(|(asked, _)| *asked != frame.request_id);
        }
        let here = |game: Option<&starvault_wire::v1::GameView>| {
            let game_id = GameId::new(&game?.game_id).ok()?;
            Some((game_id, from.clone()))
        };
        match &frame.event {
            Some(Say::Queued(queued)) => {
                let since_ms = u64::try_from(queued.since_ms).unwrap_or(0);
                state.wait = Some((queued.region.clone(), since_ms));
            }
            Some(Say::LeftLobby(_)) => state.wait = None,
            Some(Say::Matched(matched)) => {
                state.wait = None;
                state.far = here(matched.game.as_ref());
                state.uses(from, true);
            }
            Some(Say::Resumed(resumed)) => {
                state.far = here(resumed.game.as_ref());
                state.uses(from, true);
            }
            Some(Say::Error(error)) if matches!(error.code(), Code::NotInGame | Code::NoRematch) => {
                state.far = None;
            }
            _ => {}
        }
        drop(state);
        let may_be_left_out = matches!(frame.event, Some(Say::EmoteReceived(_)));
        if may_be_left_out && !self.session.outbox().is_roomy() {
            return;
        }
        self.session.pass(frame);
    }

    /// Whether the player waits in a lobby that is not here, in which region and since when.
    pub fn waits(&self, wait: Option<(String, u64)>) {
        self.state().wait = wait;
    }

    /// What hung on `node` has ended.
    fn lost(&self, node: &Instance) {
        let mut state = self.state();
        let Some(at) = state.used.iter().position(|used| used.node == *node) else {
            return;
        };
        let used = state.used.remove(at);
        if state.far.as_ref().is_some_and(|(_, far)| far == node) {
            state.far = None;
        }
        let asked = match &state.lobby {
            Some(lobby) if lobby == node => std::mem::take(&mut state.asked),
            _ => Vec::new(),
        };
        if asked.iter().any(|(_, joins)| !joins) {
            // It is gone from the next lobby as well: nobody announces it.
            state.wait = None;
        }
        drop(state);
        for (request_id, joins) in asked {
            if joins {
                let message = "the lobby has just moved to another node; join again";
                self.session.refuse(request_id, Code::Unavailable, message);
            } else {
                self.session.send(request_id, Say::LeftLobby(LeftLobby {}));
            }
        }
        if used.game {
            self.session.close(Close::NODE_LOST);
        }
    }
}

/// All sockets of this node.
#[derive(Debug, Default)]
pub struct Locals(Mutex<HashMap<u64, Arc<Local>>>);

impl Locals {
    fn sessions(&self) -> MutexGuard<'_, HashMap<u64, Arc<Local>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn get(&self, session_id: u64) -> Option<Arc<Local>> {
        self.sessions().get(&session_id).cloned()
    }

    /// As [`Self::get`], if it is this player's.
    #[must_use]
    pub fn of(&self, who: &Who) -> Option<Arc<Local>> {
        let local = self.get(who.session_id)?;
        (local.session.player_id.as_str() == who.player_id).then_some(local)
    }

    #[must_use]
    pub fn all(&self) -> Vec<Arc<Local>> {
        self.sessions().values().cloned().collect()
    }

    /// How many use another node.
    #[must_use]
    pub fn used(&self) -> usize {
        let all = self.all();
        all.iter().filter(|local| !local.state().used.is_empty()).count()
    }

    /// Who waits in a lobby of another node, and who is only there.
    #[must_use]
    pub fn waiting_and_here(&self) -> (Vec<Wait>, Vec<Who>) {
        let (mut waiting, mut here) = (Vec::new(), Vec::new());
        for local in self.all() {
            let who = local.who();
            match &local.state().wait {
                Some((region, since_ms)) => waiting.push(Wait {
                    who,
                    region: region.clone(),
                    since_ms: *since_ms,
                }),
                None => here.push(who),
            }
        }
        (waiting, here)
    }

    pub fn lost(&self, node: &Instance) {
        for local in self.all() {
            local.lost(node);
        }
    }
}

/// A socket's own end of its [`Local`]: dropped, the session has ended and whoever uses it is told.
#[derive(Debug)]
pub struct Registered {
    pub nodes: Arc<Nodes>,
    pub local: Arc<Local>,
}

impl Registered {
    #[must_use]
    pub fn new(nodes: Arc<Nodes>, session: SessionHandle) -> Self {
        let local = Arc::new(Local {
            session,
            state: Mutex::default(),
        });
        nodes.locals.sessions().insert(local.session.id.0, local.clone());
        Self { nodes, local }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let session_id = self.local.session.id.0;
        self.nodes.locals.sessions().remove(&session_id);
        let mut state = self.local.state();
        state.ended = true;
        for used in std::mem::take(&mut state.used) {
            let _ = self
                .nodes
                .bus
                .send(&used.node, Body::Closed(Closed { session_id }));
        }
    }
}
