//! What games tell the lobby.

use starvault_wire::v1::{LeftLobby, error::Code, server_frame::Event as Say};

use super::{Rematched, Returning, metrics::count, opponents::player_key, task::Task};

impl Task {
    /// The opponent never arrived at the game.
    pub(super) fn on_returning(&mut self, returning: Returning) {
        let Returning {
            candidate,
            region,
            enqueued_at_ms,
        } = returning;
        let player_id = &candidate.session.player_id;
        if self.beginning.contains_key(player_id) || self.by_player.contains_key(player_id) {
            // Waiting again already, over this connection or a newer one.
            return;
        }
        let session = candidate.session.clone();
        if !self.leads {
            self.turn_away(&session);
            return;
        }
        match self.enter(candidate, region, enqueued_at_ms) {
            Ok(id) => {
                count(&self.metrics.put_back);
                self.tell_queued(id, 0);
            }
            Err(error) => {
                tracing::warn!(%error, "a returning player was refused");
                session.refuse(0, Code::Unavailable, "too many players are waiting; try again");
            }
        }
    }

    /// Two players have begun another game without the lobby: neither waits for one any more.
    pub(super) fn on_rematched(&mut self, Rematched { players, began_at_ms }: Rematched) {
        let [one, two] = &players;
        self.last_opponents
            .remember(player_key(&one.player_id), player_key(&two.player_id));
        for player in &players {
            let Some(id) = self.by_player.get(&player.player_id).copied() else {
                continue;
            };
            // Not a ticket that was drawn after that game.
            if self
                .waiting
                .get(&id)
                .is_none_or(|waiting| waiting.since_ms > began_at_ms)
            {
                continue;
            }
            self.pools.remove(id);
            let Some(waiting) = self.forget(id) else { continue };
            count(&self.metrics.overtaken);
            // The connection of the new game hears of that; any other one has to be told.
            let session = waiting.candidate.session;
            if session.id != player.id {
                session.send(0, Say::LeftLobby(LeftLobby {}));
            }
        }
    }
}
