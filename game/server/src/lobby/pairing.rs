//! From a match to a game: both tickets leave the lobby, the store begins the game, and the game's
//! room takes over. Whatever fails on the way, who can still play has the old place again.

use rand::Rng as _;
use starvault_matchmaking::{Reserved, TicketId};
use starvault_nodes::Instance;
use starvault_rules::{GameId, Seat, Setup};
use starvault_store::{CreateOutcome, Created, Journal as _, NewGame, StoreError};
use starvault_wire::v1::{LeftLobby, error::Code, server_frame::Event as Say};
use tokio::task::JoinSet;

use super::{Candidate, metrics::count, task::Task};
use crate::{config::Region, room::Arrival};

/// Games that are being begun at the same time; further matches wait their turn.
pub(super) const BEGINNINGS_MAX: usize = 256;

/// One of the two players of a match whose game the store is asked to begin.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) reserved: Reserved,
    pub(super) region: Region,
    pub(super) candidate: Candidate,
}

#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) older: Side,
    pub(super) younger: Side,
    pub(super) older_plays_white: bool,
    /// The node that is to have the game, if it is another one.
    pub(super) host: Option<Instance>,
    pub(super) outcome: Result<CreateOutcome, StoreError>,
}

impl Task {
    pub(super) fn match_up(&mut self, beginnings: &mut JoinSet<Beginning>) {
        while beginnings.len() < BEGINNINGS_MAX && self.may_match() {
            if self.matched.is_empty() {
                let now_ms = self.time.now_ms();
                self.matched.extend(self.pools.poll(now_ms));
            }
            let Some((region, found)) = self.matched.pop_front() else {
                return;
            };
            let sides = [found.older, found.younger];
            // Whoever left between the match and now is not there; whoever was cut off is gone.
            if sides.iter().all(|side| self.is_ready(side.ticket.id)) {
                let [older, younger] = sides.map(|reserved| {
                    let waiting = self.forget(reserved.ticket.id)?;
                    Some(Side {
                        reserved,
                        region: region.clone(),
                        candidate: waiting.candidate,
                    })
                });
                if let (Some(older), Some(younger)) = (older, younger) {
                    self.begin(older, younger, beginnings);
                }
                continue;
            }
            for reserved in sides {
                if let Some(waiting) = self.forget(reserved.ticket.id) {
                    self.put_back(reserved, region.clone(), waiting.candidate, waiting.asked);
                }
            }
        }
    }

    fn is_ready(&self, id: TicketId) -> bool {
        self.waiting
            .get(&id)
            .is_some_and(|waiting| !waiting.gone && !waiting.candidate.session.is_closed())
    }

    fn begin(&mut self, older: Side, younger: Side, beginnings: &mut JoinSet<Beginning>) {
        for side in [&older, &younger] {
            let session = &side.candidate.session;
            self.beginning.insert(session.player_id.clone(), session.clone());
        }
        let older_plays_white = self.coin.next_u32() & 1 == 0;
        let (white, black) = if older_plays_white {
            (&older, &younger)
        } else {
            (&younger, &older)
        };
        let seat = |side: &Side| Seat {
            player_id: side.candidate.session.player_id.clone(),
            name: side.candidate.display_name.clone(),
            rating: side.candidate.rating,
        };
        let setup = Setup {
            game_id: new_game_id(),
            white: seat(white),
            black: seat(black),
            clock: self.options.clock,
            started_at_ms: self.context.time.now_ms(),
        };
        // Games follow the players.
        let host = self
            .nodes
            .as_ref()
            .and_then(|nodes| nodes.host_for(&older.candidate.session));
        let mut owner = self.context.owner.clone();
        if let Some(host) = &host {
            owner.instance = host.to_string();
        }
        let game = NewGame { setup, owner };
        let journal = self.context.journal.clone();
        beginnings.spawn(async move {
            let outcome = journal.create_game(game).await;
            Beginning {
                older,
                younger,
                older_plays_white,
                host,
                outcome,
            }
        });
    }

    pub(super) async fn on_begun(&mut self, begun: Beginning) {
        let Beginning {
            mut older,
            mut younger,
            older_plays_white,
            host,
            outcome,
        } = begun;
        for side in [&mut older, &mut younger] {
            let newest = self.beginning.remove(&side.candidate.session.player_id);
            if let Some(newest) = newest {
                side.candidate.session = newest;
            }
        }
        match outcome {
            Ok(CreateOutcome::Created(created)) => {
                let sides = if older_plays_white {
                    [older, younger]
                } else {
                    [younger, older]
                };
                self.hand_over(created, sides, host).await;
            }
            Ok(CreateOutcome::AlreadyPlaying { player_id, .. }) => {
                for side in [older, younger] {
                    if side.candidate.session.player_id == player_id {
                        let message = "you are in a running game; resume it";
                        let session = &side.candidate.session;
                        session.send(0, Say::LeftLobby(LeftLobby {}));
                        session.refuse(0, Code::AlreadyPlaying, message);
                    } else {
                        self.put_back(side.reserved, side.region, side.candidate, true);
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot begin a game");
                for side in [older, younger] {
                    let session = &side.candidate.session;
                    session.send(0, Say::LeftLobby(LeftLobby {}));
                    session.refuse(0, Code::Unavailable, "the store does not answer; join again");
                }
            }
        }
    }

    async fn hand_over(&mut self, created: Box<Created>, sides: [Side; 2], host: Option<Instance>) {
        let [white, black] = sides.map(|side| {
            let arrival = Arrival {
                session: side.candidate.session,
                region: side.region,
                enqueued_at_ms: side.reserved.ticket.enqueued_at_ms,
            };
            (arrival, side.reserved.ticket.player)
        });
        self.last_opponents.remember(white.1, black.1);
        count(&self.metrics.matched);
        match (&self.nodes, host) {
            (Some(nodes), Some(host)) => nodes.begin_at(&host, &created, white.0, black.0),
            _ => self.rooms.begin(created, white.0, black.0).await,
        }
    }

    /// A match came to nothing: the ticket has its place again.
    fn put_back(&mut self, reserved: Reserved, region: Region, candidate: Candidate, asked: bool) {
        if !self.leads {
            self.turn_away(&candidate.session);
            return;
        }
        match self.pools.put_back(&region, reserved) {
            Ok(()) => {
                let id = reserved.ticket.id;
                self.keep(id, candidate, region, reserved.ticket.enqueued_at_ms);
                if let Some(waiting) = self.waiting.get_mut(&id) {
                    waiting.asked = asked;
                }
                count(&self.metrics.put_back);
            }
            Err(error) => {
                tracing::error!(%error, "a ticket found its place taken");
                candidate.session.send(0, Say::LeftLobby(LeftLobby {}));
            }
        }
    }
}

fn new_game_id() -> GameId {
    GameId::new(format!("g-{}", uuid::Uuid::now_v7().simple())).expect("a prefix and hexadecimal digits")
}
