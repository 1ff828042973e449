//! Who sits at the board: connections that come, go and are replaced, and how far away they are.

use std::{pin::Pin, time::Duration};

use starvault_rules::Color;
use starvault_store::{Journal as _, StoreError};
use starvault_wire::v1::{GameEvent, OpponentPresence, Resumed, error::Code, server_frame::Event as Say};
use tokio::time::Instant;

use super::{Room, Stop, arrival::Place, commit::NotCommitted};
use crate::{
    session::{Close, SessionHandle, SessionId},
    view::{self, Moves},
};

/// The lag of whoever is to move is measured this often while a game goes on.
const MEASURED_EVERY: Duration = Duration::from_secs(5);

/// One side of the board.
#[derive(Debug)]
pub(super) struct Seat {
    pub session: Option<SessionHandle>,
    pub absent_since_ms: i64,
    /// Until the player has shown up for the first time.
    pub arriving: Option<Arriving>,
    /// Where the player came from.
    pub place: Option<Place>,
    measured_at: Option<Instant>,
}

/// What a player owes who was told of the game.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arriving {
    /// The ping whose answer proves it.
    pub ping: u32,
    pub until: Instant,
}

impl Seat {
    pub(super) fn empty(absent_since_ms: i64) -> Self {
        Self {
            session: None,
            absent_since_ms,
            arriving: None,
            place: None,
            measured_at: None,
        }
    }

    pub(super) fn has_arrived(&mut self) {
        self.arriving = None;
    }
}

/// What a connection does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Gone,
    /// The player who is awaited has been told.
    Arrived,
}

/// Waits for what the connection at one seat does by itself. Kept from one turn of the room to the next:
/// to begin and to end a wait takes a lock and time, and a seat seldom changes.
#[derive(Default)]
pub(super) struct Watch {
    of: Option<(SessionId, Option<u32>)>,
    change: Option<Pin<Box<dyn Future<Output = Change> + Send>>>,
}

impl Watch {
    /// Who sits there now, and whether the player is awaited.
    pub(super) fn follow(&mut self, seat: &Seat) {
        let ping = seat.arriving.map(|arriving| arriving.ping);
        let of = seat.session.as_ref().map(|session| (session.id, ping));
        if of == self.of {
            return;
        }
        self.of = of;
        self.change = seat.session.clone().map(|session| {
            let change = async move {
                let arrived = async {
                    match ping {
                        Some(ping) => session.ponged(ping).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = session.closed() => Change::Gone,
                    () = arrived => Change::Arrived,
                }
            };
            Box::pin(change) as Pin<Box<dyn Future<Output = Change> + Send>>
        });
    }

    /// Ready once for each change, and never for an empty seat.
    pub(super) async fn changed(&mut self) -> Change {
        let change = match &mut self.change {
            Some(change) => change.await,
            None => std::future::pending().await,
        };
        *self = Self::default();
        change
    }
}

impl Room {
    pub(super) fn on_change(&mut self, color: Color, change: Change) -> Result<(), Stop> {
        match change {
            Change::Gone => self.on_gone(color),
            Change::Arrived => self.on_arrived(color),
        }
    }

    pub(super) async fn on_resume(
        &mut self,
        session: SessionHandle,
        request_id: u32,
        last_sequence: u32,
    ) -> Result<(), Stop> {
        let Some(color) = self.game.color_of(&session.player_id) else {
            session.refuse(request_id, Code::NotInGame, "you do not play in this game");
            return Ok(());
        };
        match self.settle().await {
            Ok(()) => {}
            Err(NotCommitted::Fenced(owner)) => {
                // Seated, so that it hears where the game has gone.
                self.seat_mut(color).session = Some(session);
                return Err(Stop::Fenced(owner));
            }
            Err(NotCommitted::Unknown) => {
                refuse_unavailable(&session, request_id);
                return Ok(());
            }
        }
        let current = self.game.sequence();
        if last_sequence > current {
            let message = format!("the game is at sequence {current}, it never was at {last_sequence}");
            session.refuse_at(request_id, Code::SequenceGap, message, current);
            return Ok(());
        }
        let Ok(missed) = self.missed(last_sequence).await else {
            refuse_unavailable(&session, request_id);
            return Ok(());
        };
        let now_ms = self.context.time.now_ms();
        let was_absent = self.seat(color).session.is_none();
        let seat = self.seat_mut(color);
        seat.has_arrived();
        seat.measured_at = None;
        if let Some(previous) = seat.session.replace(session.clone())
            && previous.id != session.id
        {
            previous.close(Close::REPLACED);
        }
        self.show_seats();
        let resumed = Resumed {
            you_play: view::color(color).into(),
            game: Some(view::game(&self.game, now_ms, Moves::Included)),
            missed,
        };
        let _held = session.hold();
        session.send(request_id, Say::Resumed(resumed));
        self.measure_lag(color);
        if self.game.outcome().is_none() {
            if was_absent {
                self.tell_presence(color, true);
            }
            if self.seat(color.other()).session.is_none() {
                self.tell_presence(color.other(), false);
            }
        }
        Ok(())
    }

    /// What happened after `sequence`: from memory as a rule, from the journal after a long absence.
    async fn missed(&self, sequence: u32) -> Result<Vec<GameEvent>, StoreError> {
        let told = |event| view::event(self.game.id(), event, None);
        if let Some(events) = self.history.after(sequence) {
            return Ok(events.map(told).collect());
        }
        let events = self
            .context
            .journal
            .events_after(self.game.id(), sequence)
            .await?;
        Ok(events.iter().map(told).collect())
    }

    fn on_gone(&mut self, color: Color) -> Result<(), Stop> {
        let now_ms = self.context.time.now_ms();
        let seat = self.seat_mut(color);
        // It may have answered right before it went.
        if let (Some(session), Some(arriving)) = (&seat.session, &seat.arriving)
            && session.link().has_ponged(arriving.ping)
        {
            seat.has_arrived();
        }
        seat.session = None;
        seat.absent_since_ms = now_ms;
        self.probe_at = Instant::now() + self.context.limits.ownership_probe_every;
        if self.game.outcome().is_none() {
            self.tell_presence(color, false);
        }
        self.on_rematch_player_gone(color);
        Ok(())
    }

    /// Tells the opponent of `color` whether `color` is there.
    fn tell_presence(&self, color: Color, connected: bool) {
        let grace_ms = match (connected, self.seat(color).arriving) {
            (true, _) => 0,
            (false, Some(arriving)) => {
                let left = arriving.until.saturating_duration_since(Instant::now());
                i64::try_from(left.as_millis()).unwrap_or(i64::MAX)
            }
            (false, None) => self.context.time.until_ms(self.abandoned_at_ms(color)),
        };
        if let Some(other) = &self.seat(color.other()).session {
            let game_id = self.game.id().to_string();
            other.send(
                0,
                Say::OpponentPresence(OpponentPresence {
                    game_id,
                    connected,
                    grace_ms,
                }),
            );
        }
    }

    /// The round trip to `color`, in milliseconds, as far as moves are forgiven it.
    pub(super) fn lag_ms(&self, color: Color) -> u32 {
        let measured = self
            .seat(color)
            .session
            .as_ref()
            .and_then(|session| session.round_trip());
        let counted = measured
            .unwrap_or_default()
            .min(self.context.limits.lag_compensation_max);
        u32::try_from(counted.as_millis()).unwrap_or(u32::MAX)
    }

    /// Measures the way to `color` anew, if that was a while ago.
    pub(super) fn measure_lag(&mut self, color: Color) {
        let now = Instant::now();
        let seat = self.seat_mut(color);
        if seat.measured_at.is_some_and(|at| now < at + MEASURED_EVERY) {
            return;
        }
        if let Some(session) = &seat.session {
            session.ping();
            seat.measured_at = Some(now);
        }
    }
}

fn refuse_unavailable(session: &SessionHandle, request_id: u32) {
    session.refuse(
        request_id,
        Code::Unavailable,
        "the store does not answer; try again",
    );
}
