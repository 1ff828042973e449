//! This process as one of several nodes of its release (`--nodes`). A player's socket stays where it
//! arrived, at its *edge*; the lobby is at the node that leads, and a game at the node that owns it: its
//! *host*. The edge passes commands on to the host, where a session that looks like any other
//! ([`guests`]) runs them through the very code of a local socket; what it is told goes back over the
//! bus. Whatever is lost on the way ends that session there and, if a game hangs on it, the socket here,
//! as if the player's own connection had been lost: clients resume.
//!
//! A game that this node owns needs none of this, and neither does a process that is alone.

mod edge;
mod guests;
mod leading;
mod locals;
mod route;
mod switch;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use starvault_nodes::{
    Begin, Body, Bus, ConnectError, Figures, Idle, Instance, Membership, Seated, Standing, TicketLog, Timing,
    View, Who,
};
use starvault_rules::{GameId, PlayerId};
use starvault_store::{Created, Journal as _, Ownership};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use self::{
    edge::Edge,
    locals::{Local, Registered},
};
use self::{guests::Guests, locals::Locals, switch::Switch};
use crate::{app::App, config::Config, lobby::FromRoom, room::Arrival, session::SessionHandle};

/// An owner that does not say in this time that it has opened a game loses it to the leader.
const BEGIN_WITHIN: Duration = Duration::from_secs(2);
/// What is not told by anybody is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where a game is played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// Here, or at another release, or nowhere: as if this node were alone.
    Here,
    At(Instance),
    /// Its node is not heard of.
    Unknown,
}

/// This node among the others.
#[derive(Debug)]
pub struct Nodes {
    pub me: Instance,
    release: String,
    timing: Timing,
    bus: Bus,
    membership: Membership,
    tickets: TicketLog,
    figures: Arc<Figures>,
    /// Who leads the lobby, once that is ready to be asked.
    leader: watch::Sender<Option<Instance>>,
    /// The leader has to be told again who waits here.
    announce: Notify,
    locals: Locals,
    guests: Guests,
    /// Games that were begun for other nodes and that these have not opened yet.
    begins: Mutex<HashMap<GameId, Beginning>>,
    /// Nodes that have said that they go down.
    leaving: Mutex<HashSet<Instance>>,
}

#[derive(Debug)]
struct Beginning {
    host: Instance,
    white: Arrival,
    black: Arrival,
    since: Instant,
}

/// What has to run for the nodes once the server stands.
pub struct Parts {
    idle: Idle,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Nodes {
    /// Joins the nodes of this release, if the configuration names any.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn join(
        config: &Config,
        instance: &str,
        stop: CancellationToken,
    ) -> Result<Option<(Arc<Self>, Parts)>, ConnectError> {
        let Some(url) = &config.nodes else { return Ok(None) };
        let (me, release, timing) = (
            Instance::from(instance),
            config.release.to_string(),
            config.nodes_timing,
        );
        let now_ms = config.time.now_ms();
        let figures = Arc::new(Figures::default());
        let (bus, idle) = Bus::new(url, me.clone(), timing, figures.clone());
        let (membership, signs) =
            Membership::join(url, &release, me.clone(), now_ms, timing, stop.clone()).await?;
        let (tickets, writing) = TicketLog::new(url, &release, stop.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(signs);
        tasks.spawn(writing);
        let nodes = Self {
            me,
            release,
            timing,
            bus,
            membership,
            tickets,
            figures,
            leader: watch::Sender::new(None),
            announce: Notify::new(),
            locals: Locals::default(),
            guests: Guests::default(),
            begins: Mutex::default(),
            leaving: Mutex::default(),
        };
        Ok(Some((Arc::new(nodes), Parts { idle, tasks, stop })))
    }

    /// Runs until the games stop. `told`: what games here tell the lobby, wherever that is.
    pub fn start(
        self: &Arc<Self>,
        app: &Arc<App>,
        parts: Parts,
        told: mpsc::Receiver<FromRoom>,
        to_lobby: mpsc::Sender<FromRoom>,
        games: &mut JoinSet<()>,
    ) {
        let Parts {
            idle,
            mut tasks,
            stop,
        } = parts;
        let switch = Arc::new(Switch::new(app.clone(), self.clone(), to_lobby.clone()));
        tasks.spawn(idle.run(switch, self.membership.view(), stop.clone()));
        tasks.spawn(leading::follow(app.clone(), self.clone()));
        tasks.spawn(leading::take_over(app.clone(), self.clone()));
        tasks.spawn(leading::forward(self.clone(), told, to_lobby));
        let nodes = self.clone();
        games.spawn(async move {
            stop.cancelled().await;
            // They wait for what other tasks of this server may have given up already.
            tasks.shutdown().await;
            nodes.guests.end_all();
        });
    }

    /// This node goes down: its games and its lobby go on elsewhere, as soon as the others hear of it.
    pub async fn leave(&self) {
        let view = self.view();
        self.membership.leave().await;
        self.bus.say_leaving(&view).await;
        self.guests.end_all();
    }

    #[must_use]
    pub fn view(&self) -> View {
        self.membership.view().borrow().clone()
    }

    /// Whether only this node may make matches, right now.
    #[must_use]
    pub fn may_lead(&self) -> bool {
        self.membership.lease().is_held()
    }

    #[must_use]
    pub fn tickets(&self) -> &TicketLog {
        &self.tickets
    }

    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Other nodes whose messages come through.
    #[must_use]
    pub fn linked(&self) -> usize {
        self.bus.heard()
    }

    /// Sessions that this node hosts for others, and sessions of its own that others host.
    #[must_use]
    pub fn remote_sessions(&self) -> (usize, usize) {
        (self.guests.len(), self.locals.used())
    }

    /// A socket has opened here.
    #[must_use]
    pub fn register(self: &Arc<Self>, session: SessionHandle) -> Registered {
        Registered::new(self.clone(), session)
    }

    fn is_leaving(&self, instance: &str) -> bool {
        let leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.contains(instance)
    }

    fn standing(&self, instance: &Instance) -> Standing {
        if *instance == self.me {
            Standing::Alive
        } else if self.is_leaving(instance) {
            Standing::Dead
        } else {
            self.membership.view().borrow().standing(instance)
        }
    }

    /// What `instance` is, waiting for a node that is neither heard nor known to be dead, within bounds.
    async fn standing_in_time(&self, instance: &Instance) -> Standing {
        let until = Instant::now() + self.timing.patience();
        loop {
            match self.standing(instance) {
                Standing::Dead => return Standing::Dead,
                Standing::Alive if self.bus.is_heard(instance) => return Standing::Alive,
                Standing::Alive | Standing::Unknown => self.membership.nudge(),
            }
            if Instant::now() >= until {
                return Standing::Unknown;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Who leads, waiting for that within bounds.
    pub async fn leader_in_time(&self) -> Option<Instance> {
        let until = Instant::now() + self.timing.patience();
        loop {
            let leader = self.leader.borrow().clone();
            match leader {
                Some(leader) if self.bus.is_heard(&leader) => return Some(leader),
                _ if Instant::now() >= until => return None,
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Whether the lobby here leads, waiting for that within bounds: others may know of it before it is
    /// ready, or before this node has asked Redis again.
    pub async fn leads_in_time(&self) -> bool {
        let leads = |leader: &Option<Instance>| leader.as_ref() == Some(&self.me);
        let mut leader = self.leader.subscribe();
        if !leads(&leader.borrow_and_update()) {
            self.membership.nudge();
        }
        let led = tokio::time::timeout(self.timing.patience(), leader.wait_for(leads)).await;
        matches!(led, Ok(Ok(_)))
    }

    /// Who leads as far as is known now.
    #[must_use]
    pub fn leader(&self) -> Option<Instance> {
        self.leader.borrow().clone()
    }

    /// Nodes that games can be given to, in order.
    fn takers(&self) -> Vec<Instance> {
        let mut alive = self.view().alive;
        alive.retain(|instance| self.bus.is_heard(instance) && !self.is_leaving(instance));
        if !alive.contains(&self.me) {
            alive.push(self.me.clone());
            alive.sort();
        }
        alive
    }

    /// Where a game is, for a player who is in it. `take`: a game whose node is gone may be taken over.
    pub async fn host_of(&self, app: &App, game_id: &GameId, player_id: &PlayerId, take: bool) -> Host {
        let Ok(Some(Ownership { owner, players, .. })) = app.journal.owner_of(game_id).await else {
            return Host::Here;
        };
        if owner.release != self.release || *owner.instance == *self.me || !players.contains(player_id) {
            return Host::Here;
        }
        let instance = Instance::from(owner.instance);
        match self.standing_in_time(&instance).await {
            Standing::Alive => Host::At(instance),
            Standing::Unknown => Host::Unknown,
            Standing::Dead if !take => Host::Here,
            // Both players come, perhaps to different nodes: these agree without asking each other.
            Standing::Dead => match starvault_nodes::place(game_id.as_str(), &self.takers()) {
                Some(taker) if *taker != self.me => Host::At(taker.clone()),
                _ => Host::Here,
            },
        }
    }

    /// The node whose game this player's next one is to be, if it is not this one.
    #[must_use]
    pub fn host_for(&self, session: &SessionHandle) -> Option<Instance> {
        let node = &session.edge()?.node;
        let fit = self.standing(node) == Standing::Alive && self.bus.is_heard(node);
        fit.then(|| node.clone())
    }

    /// A game has begun that `host` owns.
    pub fn begin_at(&self, host: &Instance, created: &Created, white: Arrival, black: Arrival) {
        let game_id = created.game.id();
        let Ok(started_json) = serde_json::to_string(&created.started) else {
            return;
        };
        let body = Body::Begin(Box::new(Begin {
            game_id: game_id.to_string(),
            started_json,
            white: self.seated(&white),
            black: self.seated(&black),
        }));
        let beginning = Beginning {
            host: host.clone(),
            white,
            black,
            since: Instant::now(),
        };
        self.begins().insert(game_id.clone(), beginning);
        // If it is lost, the link's reset says so.
        let _ = self.bus.send(host, body);
    }

    fn seated(&self, arrival: &Arrival) -> Seated {
        let (edge, who) = self.address(&arrival.session);
        Seated {
            edge: edge.to_string(),
            who,
            region: arrival.region.to_string(),
            enqueued_at_ms: arrival.enqueued_at_ms,
        }
    }

    fn begins(&self) -> std::sync::MutexGuard<'_, HashMap<GameId, Beginning>> {
        self.begins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a session's socket is, and the name that it has there.
    fn address(&self, session: &SessionHandle) -> (Instance, Who) {
        let (edge, session_id) = match session.edge() {
            Some(edge) => (edge.node.clone(), edge.session_id),
            None => (self.me.clone(), session.id.0),
        };
        let player_id = session.player_id.to_string();
        (
            edge,
            Who {
                session_id,
                player_id,
            },
        )
    }
}
