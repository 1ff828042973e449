//! Among several nodes one lobby leads and the others are empty. This is how a lobby begins to lead, with
//! the tickets that the former leader left, and how it stops.

use std::sync::Arc;

use starvault_matchmaking::TicketId;
use starvault_nodes::{Ticket, Who};
use starvault_rules::PlayerId;
use starvault_wire::v1::{LeftLobby, error::Code, server_frame::Event as Say};

use super::{Candidate, metrics::count, task::Task};
use crate::{config::Region, nodes::Nodes, session::SessionHandle};

/// Somebody who waited in a lobby that leads no more, and whose socket is at this node.
#[derive(Debug)]
pub struct StillWaiting {
    pub session: SessionHandle,
    pub region: Region,
    pub since_ms: u64,
}

impl Task {
    /// Whether a match may be made now: asked before each one, since a process can be stopped at any
    /// moment and another lobby may lead when it goes on.
    pub(super) fn may_match(&self) -> bool {
        self.leads
            && !self.draining.is_cancelled()
            && self.nodes.as_ref().is_none_or(|nodes| nodes.may_lead())
    }

    /// Leads from now on. A ticket waits suspended until its player's node says that the player is there.
    pub(super) fn lead(&mut self, tickets: Vec<Ticket>) {
        self.leads = true;
        for ticket in tickets {
            let (Ok(player_id), Some(region)) =
                (PlayerId::new(&ticket.player_id), self.region(&ticket.region))
            else {
                continue;
            };
            if self.by_player.contains_key(&player_id) || self.beginning.contains_key(&player_id) {
                continue;
            }
            let candidate = Candidate {
                session: SessionHandle::ended(player_id),
                display_name: ticket.display_name,
                rating: ticket.rating,
            };
            match self.enter(candidate, region, ticket.enqueued_at_ms) {
                Ok(id) => self.inherited(id),
                Err(error) => tracing::warn!(%error, "a former leader's ticket was refused"),
            }
        }
    }

    /// The connection that holds the ticket has not asked this lobby for it.
    fn inherited(&mut self, id: TicketId) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.asked = false;
        }
    }

    /// Leads no more. The tickets are the next leader's; answers those whose sockets are at this node.
    pub(super) fn step_down(&mut self) -> Vec<StillWaiting> {
        self.leads = false;
        self.matched.clear();
        self.by_player.clear();
        self.pools = self.empty_pools();
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let still = waiting.filter(|waiting| {
            let session = &waiting.candidate.session;
            session.edge().is_none() && !session.is_closed()
        });
        still
            .map(|waiting| StillWaiting {
                session: waiting.candidate.session,
                region: waiting.region,
                since_ms: waiting.since_ms,
            })
            .collect()
    }

    /// A player who waits, as a former leader has said.
    pub(super) fn on_rejoin(&mut self, candidate: Candidate, region: &str, since_ms: u64) {
        let session = candidate.session.clone();
        if let Some(newest) = self.beginning.get_mut(&session.player_id) {
            *newest = session;
            return;
        }
        if let Some(id) = self.by_player.get(&session.player_id).copied() {
            self.attach(id, session);
            self.tell_queued(id, 0);
            return;
        }
        let entered = match self.region(region) {
            Some(region) if self.leads => self.enter(candidate, region, since_ms).ok(),
            _ => None,
        };
        match entered {
            Some(id) => {
                count(&self.metrics.reattached);
                self.tell_queued(id, 0);
            }
            None => self.turn_away(&session),
        }
    }

    /// A player who was on the way here from a match or a game finds no lobby.
    pub(super) fn turn_away(&self, session: &SessionHandle) {
        session.send(0, Say::LeftLobby(LeftLobby {}));
        session.refuse(
            0,
            Code::Unavailable,
            "the lobby has moved to another node; join again",
        );
    }

    /// Who of them has a ticket here, or a match that begins.
    pub(super) fn known(&self, who: &[Who]) -> Vec<Who> {
        let is_known = |who: &&Who| {
            PlayerId::new(&who.player_id)
                .is_ok_and(|id| self.by_player.contains_key(&id) || self.beginning.contains_key(&id))
        };
        who.iter().filter(is_known).cloned().collect()
    }

    /// Keeps the ticket for the next leader.
    pub(super) fn record(&self, nodes: &Arc<Nodes>, id: TicketId) {
        let Some(waiting) = self.waiting.get(&id) else {
            return;
        };
        let session = &waiting.candidate.session;
        let node = session.edge().map_or(&nodes.me, |edge| &edge.node);
        nodes.tickets().keep(Ticket {
            player_id: session.player_id.to_string(),
            display_name: waiting.candidate.display_name.clone(),
            rating: waiting.candidate.rating,
            region: waiting.region.to_string(),
            enqueued_at_ms: waiting.since_ms,
            node: node.to_string(),
        });
    }
}
