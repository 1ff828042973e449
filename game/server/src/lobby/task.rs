//! The lobby's one task: messages in, games out.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use starvault_matchmaking::{Match, PoolError, Pools, Ticket, TicketId};
use starvault_rules::PlayerId;
use starvault_wire::v1::{LeftLobby, Queued, error::Code, server_frame::Event as Say};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Candidate, FromRoom, LobbyMetrics, Message, Options,
    metrics::count,
    opponents::{LastOpponents, player_key},
    pairing::BEGINNINGS_MAX,
    steady::SteadyTime,
};
use crate::{config::Region, nodes::Nodes, room::RoomContext, rooms::Rooms, session::SessionHandle};

/// Without any deadline the task looks up this often.
const IDLE: Duration = Duration::from_secs(3600);
/// The same while it leads and may not make matches.
const UNSURE: Duration = Duration::from_millis(100);

/// A player who waits, or whose match waits for its turn to begin.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) candidate: Candidate,
    pub(super) region: Region,
    pub(super) since_ms: u64,
    /// The connection that holds the ticket has asked for it, not inherited it.
    pub(super) asked: bool,
    /// That connection has ended.
    pub(super) gone: bool,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) context: RoomContext,
    pub(super) rooms: Rooms,
    pub(super) nodes: Option<Arc<Nodes>>,
    /// Matches are made here, and not at another node.
    pub(super) leads: bool,
    pub(super) options: Options,
    pub(super) draining: CancellationToken,
    pub(super) metrics: Arc<LobbyMetrics>,
    pub(super) time: SteadyTime,
    pub(super) coin: StdRng,
    pub(super) pools: Pools<Region>,
    pub(super) tickets: u64,
    pub(super) waiting: HashMap<TicketId, Waiting>,
    pub(super) by_player: HashMap<PlayerId, TicketId>,
    /// Players whose game is being begun, and the newest connection of each.
    pub(super) beginning: HashMap<PlayerId, SessionHandle>,
    pub(super) matched: VecDeque<(Region, Match)>,
    pub(super) last_opponents: LastOpponents,
}

impl Task {
    pub(super) fn new(
        context: RoomContext,
        (rooms, nodes): (Rooms, Option<Arc<Nodes>>),
        options: Options,
        draining: CancellationToken,
        metrics: Arc<LobbyMetrics>,
    ) -> Self {
        Self {
            time: SteadyTime::new(context.time.clone()),
            coin: StdRng::seed_from_u64(options.seed),
            pools: Pools::new(options.settings, options.regions.as_slice().iter().cloned()),
            tickets: 0,
            waiting: HashMap::new(),
            by_player: HashMap::new(),
            beginning: HashMap::new(),
            matched: VecDeque::new(),
            last_opponents: LastOpponents::new(context.limits.last_opponents_max),
            context,
            rooms,
            leads: nodes.is_none(),
            nodes,
            options,
            draining,
            metrics,
        }
    }

    pub(super) async fn run(
        mut self,
        mut mailbox: mpsc::Receiver<Message>,
        mut from_rooms: mpsc::Receiver<FromRoom>,
        stop: CancellationToken,
    ) {
        let mut beginnings = JoinSet::new();
        let mut flags = self.options.switches.flags();
        self.follow_policies().await;
        loop {
            self.expire();
            self.match_up(&mut beginnings);
            self.publish();
            let wakes_at = self.wakes_at(beginnings.len() < BEGINNINGS_MAX);
            tokio::select! {
                () = stop.cancelled() => break,
                message = mailbox.recv() => match message {
                    Some(message) => self.on_message(message),
                    None => break,
                },
                Some(begun) = beginnings.join_next(), if !beginnings.is_empty() => {
                    if let Ok(begun) = begun {
                        self.on_begun(begun).await;
                    }
                }
                Some(told) = from_rooms.recv() => match told {
                    FromRoom::Returning(returning) => self.on_returning(*returning),
                    FromRoom::Rematched(rematched) => self.on_rematched(rematched),
                },
                _ = flags.changed() => self.follow_policies().await,
                () = tokio::time::sleep_until(wakes_at) => {}
            }
        }
        mailbox.close();
        // A game that the store begins now is found by resuming it.
        while beginnings.join_next().await.is_some() {}
    }

    /// While no game can be begun, a match that is due is no reason to wake: the end of a beginning is.
    fn wakes_at(&mut self, may_begin: bool) -> Instant {
        let match_at = if may_begin && self.may_match() {
            self.pools.next_deadline()
        } else {
            None
        };
        let next = match_at.into_iter().chain(self.pools.next_expiry()).min();
        let now_ms = self.time.now_ms();
        let wait = next.map_or(IDLE, |at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)));
        // Nobody says when a lease that had run out is held again.
        let idle = if self.leads && !self.may_match() {
            UNSURE
        } else {
            IDLE
        };
        Instant::now() + wait.min(idle)
    }

    fn publish(&self) {
        let metrics = &self.metrics;
        for (region, queue) in self.pools.iter() {
            let suspended = queue.suspended_len();
            metrics.publish(region, queue.len() - suspended, suspended);
        }
        let oldest = self.pools.oldest_enqueued_at_ms().unwrap_or(0);
        metrics.oldest_enqueued_at_ms.store(oldest, Ordering::Relaxed);
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Join {
                candidate,
                region,
                request_id,
            } => self.on_join(candidate, &region, request_id),
            Message::Leave { session, request_id } => self.on_leave(&session, request_id),
            Message::Connected { session } => self.on_connected(session),
            Message::Gone { session } => self.on_gone(&session),
            Message::Rejoin {
                candidate,
                region,
                since_ms,
            } => self.on_rejoin(candidate, &region, since_ms),
            Message::Knows { who, reply } => drop(reply.send(self.known(&who))),
            Message::Lead { tickets, reply } => {
                self.lead(tickets);
                let _ = reply.send(());
            }
            Message::StepDown { reply } => drop(reply.send(self.step_down())),
        }
    }

    fn on_join(&mut self, candidate: Candidate, region: &str, request_id: u32) {
        let session = candidate.session.clone();
        let Some(region) = self.region(region) else {
            let regions: Vec<&str> = self.regions().iter().map(Region::as_str).collect();
            let message = format!("there is no such region here; there is {}", regions.join(", "));
            session.refuse(request_id, Code::InvalidArgument, message);
            return;
        };
        if !self.leads {
            let message = "the lobby has just moved to another node; join again";
            session.refuse(request_id, Code::Unavailable, message);
            return;
        }
        if self.draining.is_cancelled() {
            let message = "this release is going down; connect again and join";
            session.refuse(request_id, Code::Unavailable, message);
            return;
        }
        if self.beginning.contains_key(&session.player_id) {
            session.refuse(request_id, Code::AlreadyPlaying, "an opponent has been found");
            return;
        }
        if let Some(id) = self.by_player.get(&session.player_id).copied() {
            self.join_again(id, session, &region, request_id);
            return;
        }
        let since_ms = self.time.now_ms();
        match self.enter(candidate, region, since_ms) {
            Ok(id) => self.tell_queued(id, request_id),
            Err(error) => {
                tracing::warn!(%error, "a ticket was refused");
                let message = "too many players are waiting; try again";
                session.refuse(request_id, Code::Unavailable, message);
            }
        }
    }

    /// Somebody who waits already asks to wait.
    fn join_again(&mut self, id: TicketId, session: SessionHandle, region: &Region, request_id: u32) {
        let Some(waiting) = self.waiting.get_mut(&id) else {
            return;
        };
        let same = waiting.candidate.session.id == session.id;
        if waiting.region != *region {
            let message = format!("you are waiting in {}; leave there first", waiting.region);
            session.refuse(request_id, Code::AlreadyQueued, message);
        } else if same && waiting.asked {
            session.refuse(request_id, Code::AlreadyQueued, "you are waiting already");
        } else {
            // A client that does not know that its ticket outlived its last connection.
            if !same {
                self.attach(id, session);
            }
            if let Some(waiting) = self.waiting.get_mut(&id) {
                waiting.asked = true;
            }
            self.tell_queued(id, request_id);
        }
    }

    fn on_leave(&mut self, session: &SessionHandle, request_id: u32) {
        let begins = self.beginning.get(&session.player_id);
        if begins.is_some_and(|newest| newest.id == session.id) {
            session.refuse(request_id, Code::AlreadyPlaying, "an opponent has been found");
            return;
        }
        if let Some(id) = self.ticket_on(session) {
            self.pools.remove(id);
            self.forget(id);
        }
        session.send(request_id, Say::LeftLobby(LeftLobby {}));
    }

    fn on_connected(&mut self, session: SessionHandle) {
        if let Some(newest) = self.beginning.get_mut(&session.player_id) {
            *newest = session;
            count(&self.metrics.redelivered);
        } else if let Some(id) = self.by_player.get(&session.player_id).copied() {
            self.attach(id, session);
            self.tell_queued(id, 0);
        }
    }

    fn on_gone(&mut self, session: &SessionHandle) {
        if let Some(id) = self.ticket_on(session) {
            self.suspend(id);
        }
    }

    /// The ticket that hangs on this very connection.
    fn ticket_on(&self, session: &SessionHandle) -> Option<TicketId> {
        let id = *self.by_player.get(&session.player_id)?;
        (self.waiting.get(&id)?.candidate.session.id == session.id).then_some(id)
    }

    /// The ticket goes on over a newer connection; the former may be dead without our knowing.
    pub(super) fn attach(&mut self, id: TicketId, session: SessionHandle) {
        let Some(waiting) = self.waiting.get_mut(&id) else {
            return;
        };
        if waiting.candidate.session.id == session.id && !waiting.gone {
            return;
        }
        let former = std::mem::replace(&mut waiting.candidate.session, session);
        waiting.asked = false;
        waiting.gone = false;
        if !former.is_closed() {
            former.send(0, Say::LeftLobby(LeftLobby {}));
        }
        self.pools.resume(id);
        count(&self.metrics.reattached);
    }

    /// The player has no connection: the ticket keeps its place and cannot be matched for now. One
    /// that is in a match already is told so by `gone`.
    fn suspend(&mut self, id: TicketId) {
        let grace_ms = u64::try_from(self.context.limits.ticket_grace.as_millis()).unwrap_or(u64::MAX);
        let expires_at_ms = self.time.now_ms().saturating_add(grace_ms);
        self.pools.suspend(id, expires_at_ms);
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.gone = true;
        }
    }

    fn expire(&mut self) {
        let now_ms = self.time.now_ms();
        if self.pools.next_expiry().is_none_or(|at_ms| at_ms > now_ms) {
            return;
        }
        for (_, ticket) in self.pools.expire(now_ms) {
            self.forget(ticket.id);
            count(&self.metrics.expired);
        }
    }

    pub(super) fn enter(
        &mut self,
        candidate: Candidate,
        region: Region,
        since_ms: u64,
    ) -> Result<TicketId, PoolError<Region>> {
        self.tickets += 1;
        let player = player_key(&candidate.session.player_id);
        let ticket = Ticket {
            id: TicketId(self.tickets),
            player,
            rating: candidate.rating,
            enqueued_at_ms: since_ms,
            avoid: self.last_opponents.of(player),
        };
        self.pools.add(&region, ticket)?;
        self.keep(ticket.id, candidate, region, since_ms);
        Ok(ticket.id)
    }

    pub(super) fn keep(&mut self, id: TicketId, candidate: Candidate, region: Region, since_ms: u64) {
        let gone = candidate.session.is_closed();
        self.by_player.insert(candidate.session.player_id.clone(), id);
        let waiting = Waiting {
            candidate,
            region,
            since_ms,
            asked: true,
            gone,
        };
        self.waiting.insert(id, waiting);
        if gone {
            self.suspend(id);
        }
        if let Some(nodes) = &self.nodes {
            self.record(nodes, id);
        }
    }

    pub(super) fn forget(&mut self, id: TicketId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        let player_id = &waiting.candidate.session.player_id;
        self.by_player.remove(player_id);
        if let Some(nodes) = &self.nodes {
            nodes.tickets().drop_of(player_id.as_str());
        }
        Some(waiting)
    }

    pub(super) fn tell_queued(&self, id: TicketId, request_id: u32) {
        let Some(waiting) = self.waiting.get(&id) else {
            return;
        };
        let Some(settings) = self.pools.get(&waiting.region).map(|queue| queue.settings()) else {
            return;
        };
        let queued = Queued {
            since_ms: i64::try_from(waiting.since_ms).unwrap_or(i64::MAX),
            region: waiting.region.to_string(),
            rating: waiting.candidate.rating,
            window_initial: settings.window_initial,
            window_growth_per_second: settings.window_growth_per_second,
            wait_ms_max: u32::try_from(settings.wait_ms_max).unwrap_or(u32::MAX),
        };
        waiting.candidate.session.send(request_id, Say::Queued(queued));
    }

    fn regions(&self) -> &[Region] {
        self.options.regions.as_slice()
    }

    pub(super) fn region(&self, name: &str) -> Option<Region> {
        if name.is_empty() {
            return self.regions().first().cloned();
        }
        self.regions()
            .iter()
            .find(|region| region.as_str() == name)
            .cloned()
    }
}
