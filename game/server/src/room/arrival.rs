//! The way of two matched players to their game. `Matched` is followed by a ping: its answer proves
//! that the player has been told. Whoever does not show up in time, over this connection or a newer
//! one, has not come: the game is aborted and counts for nobody, and the other player goes back to
//! the lobby, where the wait goes on as if it had never ended.

use starvault_rules::{Color, Command, Outcome, Reason};
use starvault_wire::v1::{Matched, server_frame::Event as Say};
use tokio::time::Instant;

use super::{Room, Stop, seats::Arriving};
use crate::{
    config::Region,
    lobby::{Candidate, FromRoom, Returning},
    session::{Close, SessionHandle},
    view::{self, Moves},
};

/// A matched player on the way from the lobby to the game.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub session: SessionHandle,
    pub region: Region,
    /// When the wait in the lobby began, in milliseconds since 1970-01-01 UTC.
    pub enqueued_at_ms: u64,
}

/// A player of a game that has just begun.
#[derive(Debug)]
pub struct Newcomer {
    pub session: SessionHandle,
    /// The request that the game answers, 0 for none.
    pub request_id: u32,
    /// The place in the lobby to go back to, if there is one.
    pub place: Option<Place>,
}

/// A place in the lobby.
#[derive(Debug, Clone)]
pub struct Place {
    region: Region,
    enqueued_at_ms: u64,
}

impl From<Arrival> for Newcomer {
    fn from(arrival: Arrival) -> Self {
        Self {
            session: arrival.session,
            request_id: 0,
            place: Some(Place {
                region: arrival.region,
                enqueued_at_ms: arrival.enqueued_at_ms,
            }),
        }
    }
}

impl Room {
    /// Seats both players of a game that has just begun and tells them.
    pub fn seat_both(&mut self, white: Newcomer, black: Newcomer) {
        let until = Instant::now() + self.context.limits.arrival_timeout;
        for (color, newcomer) in [(Color::White, white), (Color::Black, black)] {
            self.seat_mut(color).place = newcomer.place;
            self.tell_matched(color, newcomer.session, newcomer.request_id, until);
        }
    }

    fn tell_matched(&mut self, color: Color, session: SessionHandle, request_id: u32, until: Instant) {
        self.seat_mut(color).session = Some(session.clone());
        self.show_seats();
        let game = view::game(&self.game, self.context.time.now_ms(), Moves::Included);
        let _held = session.hold();
        session.send(
            request_id,
            Say::Matched(Matched {
                you_play: view::color(color).into(),
                game: Some(game),
            }),
        );
        let ping = session.ping();
        self.seat_mut(color).arriving = Some(Arriving { ping, until });
    }

    /// The player has read everything up to the ping.
    pub(super) fn on_arrived(&mut self, color: Color) -> Result<(), Stop> {
        self.seat_mut(color).has_arrived();
        Ok(())
    }

    /// A newer connection of a player who has not arrived is told as the first one was. Everybody
    /// else resumes.
    pub(super) fn on_connected(&mut self, session: SessionHandle) {
        let Some(color) = self.game.color_of(&session.player_id) else {
            return;
        };
        let Some(Arriving { until, .. }) = self.seat(color).arriving else {
            return;
        };
        if let Some(former) = self.seat_mut(color).session.take() {
            former.close(Close::REPLACED);
        }
        self.tell_matched(color, session, 0, until);
    }

    /// Ends the game of a player who has not come, if the time is up.
    pub(super) async fn on_arrival_timeout(&mut self, now: Instant) -> Result<(), Stop> {
        for color in Color::BOTH {
            let is_late = |arriving: &Arriving| now >= arriving.until;
            if self.game.outcome().is_none() && self.seat(color).arriving.as_ref().is_some_and(is_late) {
                tracing::info!(game = %self.game.id(), ?color, "a player never arrived");
                self.on_own(color, &Command::Abort).await?;
            }
        }
        Ok(())
    }

    /// After an abort: whoever is here waits on in the lobby.
    pub(super) async fn return_to_lobby(&mut self) {
        let aborted = Outcome {
            winner: None,
            reason: Reason::Aborted,
        };
        if self.game.outcome() != Some(aborted) {
            return;
        }
        for color in Color::BOTH {
            let seat = self.seat_mut(color);
            let here = seat.arriving.is_none();
            let (Some(session), Some(place)) = (seat.session.clone(), seat.place.take()) else {
                continue;
            };
            if !here || session.is_closed() {
                continue;
            }
            let seat = self.game.setup().seat(color);
            let returning = Returning {
                candidate: Candidate {
                    session,
                    display_name: seat.name.clone(),
                    rating: seat.rating,
                },
                region: place.region,
                enqueued_at_ms: place.enqueued_at_ms,
            };
            // A lobby that has stopped matches nobody any more.
            let returning = FromRoom::Returning(Box::new(returning));
            let _ = self.context.lobby.send(returning).await;
        }
    }
}
