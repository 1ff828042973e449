//! What happens in a game by time alone: a flag falls, a player never arrives, an absent player
//! forfeits, another process turns out to have the game, an ended game is forgotten.

use std::time::Duration;

use starvault_rules::{Color, Command, Moment};
use tokio::time::Instant;

use super::{
    Room, Stop,
    commit::{Committed, NotCommitted},
};

/// After a failure of the store a room does not ask again before this.
const RETRY_EVERY: Duration = Duration::from_secs(1);

impl Room {
    pub(super) async fn on_timer(&mut self) -> Result<(), Stop> {
        let now = Instant::now();
        if let Some(ended_at) = self.ended_at {
            if now < ended_at + self.context.limits.ended_game_kept {
                return Ok(());
            }
            self.let_offer_fall();
            return Err(Stop::Done);
        }
        if self.retry_at.is_some_and(|at| now < at) {
            return Ok(());
        }
        self.retry_at = None;
        if self.context.injector.is_stalled(now) {
            self.retry_at = Some(now + RETRY_EVERY);
            return Ok(());
        }
        self.on_flag().await?;
        self.on_arrival_timeout(now).await?;
        for color in Color::BOTH {
            if self.is_absent(color)
                && self.game.outcome().is_none()
                && self.context.time.now_ms() >= self.abandoned_at_ms(color)
            {
                self.on_own(color, &Command::Abandon).await?;
            }
        }
        if self.anybody_absent() && now >= self.probe_at {
            self.probe_at = now + self.context.limits.ownership_probe_every;
            if let Err(NotCommitted::Fenced(owner)) = self.still_ours().await {
                return Err(Stop::Fenced(owner));
            }
        }
        Ok(())
    }

    pub(super) async fn on_flag(&mut self) -> Result<(), Stop> {
        match self.flag_falls_at_ms() {
            Some(at_ms) if at_ms <= self.context.time.now_ms() => {
                self.on_own(self.game.to_move(), &Command::Flag).await
            }
            _ => Ok(()),
        }
    }

    /// When the flag of the side to move falls: a move that was made in time may still be on its way.
    fn flag_falls_at_ms(&self) -> Option<i64> {
        self.game
            .flag_deadline_with_lag_ms(self.lag_ms(self.game.to_move()))
    }

    /// A command of the server's own.
    pub(super) async fn on_own(&mut self, color: Color, command: &Command) -> Result<(), Stop> {
        let moment = Moment::with_lag(self.context.time.now_ms(), self.lag_ms(color));
        match self.commit(color, command, moment, None).await {
            Ok(Committed::Applied(step)) => {
                self.take_in(step);
                self.after_step().await;
            }
            // The game went on in between, and the next timer looks again.
            Ok(Committed::Answered { .. } | Committed::Conflict) | Err(NotCommitted::Unknown) => {
                self.retry_at = Some(Instant::now() + RETRY_EVERY);
            }
            Err(NotCommitted::Fenced(owner)) => return Err(Stop::Fenced(owner)),
        }
        Ok(())
    }

    pub(super) fn wakes_at(&self) -> Instant {
        let now = Instant::now();
        if let Some(ended_at) = self.ended_at {
            return ended_at + self.context.limits.ended_game_kept;
        }
        let flag_ms = self.flag_falls_at_ms();
        let absent = Color::BOTH.into_iter().filter(|color| self.is_absent(*color));
        let by_clock = absent
            .map(|color| self.abandoned_at_ms(color))
            .chain(flag_ms)
            .min();
        let by_clock = by_clock.map(|at_ms| now + self.context.time.until(at_ms));
        let probe = self.anybody_absent().then_some(self.probe_at);
        let arriving = [&self.white, &self.black].map(|seat| seat.arriving.map(|arriving| arriving.until));
        let next = by_clock
            .into_iter()
            .chain(probe)
            .chain(arriving.into_iter().flatten())
            .min()
            .unwrap_or(now + Duration::from_secs(3600));
        self.retry_at.map_or(next, |retry_at| next.max(retry_at))
    }

    pub(super) fn abandoned_at_ms(&self, color: Color) -> i64 {
        let grace_ms = i64::try_from(self.context.limits.disconnect_grace.as_millis()).unwrap_or(i64::MAX);
        self.seat(color).absent_since_ms.saturating_add(grace_ms)
    }

    /// Whether the player was here and has gone. Who has not arrived yet has a time limit of its own.
    fn is_absent(&self, color: Color) -> bool {
        let seat = self.seat(color);
        seat.session.is_none() && seat.arriving.is_none()
    }

    fn anybody_absent(&self) -> bool {
        self.white.session.is_none() || self.black.session.is_none()
    }
}
