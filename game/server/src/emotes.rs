//! What two players say to each other without words.
//!
//! An emote goes from the connection that read it straight to the opponent's outbox: the game's task
//! is not asked, it only keeps [`Seats`] up to date. Nothing here is written down, answered or told
//! again, and an emote never takes the room in an outbox that the game itself may need.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use starvault_rules::{Color, GameId};
use starvault_wire::v1::{Emote, EmoteReceived, ServerFrame, server_frame::Event as Say};

use crate::{
    metrics::GameMetrics,
    session::{SessionHandle, SharedFrame},
    view,
};

/// Every emote but the unspecified one.
const EMOTES: usize = 6;

/// What became of an emote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It waits to be written to the opponent.
    Passed,
    /// Nobody is there, or so much waits for the opponent already that this is left out.
    Dropped,
    /// The connection has no seat at this game.
    NotSeated,
}

/// Who can hear whom at one game: its two connections.
pub struct Seats {
    game_id: GameId,
    connections: Mutex<[Option<SessionHandle>; 2]>,
    /// Written out once for each emote, side and codec.
    frames: [[OnceLock<Arc<SharedFrame>>; EMOTES]; 2],
}

impl Seats {
    /// Passes `emote` on to whoever sits opposite the connection `from`.
    #[must_use]
    pub fn say(&self, from: &SessionHandle, emote: Emote) -> Said {
        let (by, opponent) = {
            let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            let seat_of = |color: Color| connections[color as usize].as_ref();
            let seat = Color::BOTH
                .into_iter()
                .find(|color| seat_of(*color).is_some_and(|seated| seated.id == from.id));
            let Some(by) = seat else { return Said::NotSeated };
            (by, seat_of(by.other()).cloned())
        };
        match (opponent, self.frame(by, emote)) {
            (Some(opponent), Some(frame)) if opponent.send_if_room(frame) => Said::Passed,
            _ => Said::Dropped,
        }
    }

    fn frame(&self, by: Color, emote: Emote) -> Option<&Arc<SharedFrame>> {
        let place = self.frames[by as usize].get((emote as usize).checked_sub(1)?)?;
        Some(place.get_or_init(|| {
            Arc::new(SharedFrame::new(ServerFrame {
                request_id: 0,
                event: Some(Say::EmoteReceived(EmoteReceived {
                    game_id: self.game_id.to_string(),
                    seat: view::color(by).into(),
                    emote: emote.into(),
                })),
            }))
        }))
    }
}

impl fmt::Debug for Seats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seats")
            .field("game_id", &self.game_id)
            .finish_non_exhaustive()
    }
}

/// A game's own end of its [`Seats`], and its part in the figures: counted from here to the drop.
#[derive(Debug)]
pub struct Host {
    seats: Arc<Seats>,
    metrics: Arc<GameMetrics>,
    running: bool,
}

impl Host {
    #[must_use]
    pub fn new(game_id: GameId, metrics: Arc<GameMetrics>) -> Self {
        metrics.open.rise();
        Self {
            seats: Arc::new(Seats {
                game_id,
                connections: Mutex::new([None, None]),
                frames: Default::default(),
            }),
            metrics,
            running: false,
        }
    }

    #[must_use]
    pub fn seats(&self) -> Arc<Seats> {
        self.seats.clone()
    }

    /// The game has these connections now, and goes on or not. Costs nothing where nothing has changed.
    pub fn show(&mut self, white: Option<&SessionHandle>, black: Option<&SessionHandle>, running: bool) {
        {
            let mut connections = self
                .seats
                .connections
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for (shown, seated) in connections.iter_mut().zip([white, black]) {
                if shown.as_ref().map(|session| session.id) != seated.map(|session| session.id) {
                    *shown = seated.cloned();
                }
            }
        }
        if running != self.running {
            self.running = running;
            if running {
                self.metrics.running.rise();
            } else {
                self.metrics.running.fall();
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Whoever still has the seats at hand keeps no connection alive with them.
        self.show(None, None, false);
        self.metrics.open.fall();
    }
}

#[cfg(test)]
mod tests {
    use starvault_rules::PlayerId;

    use super::*;
    use crate::session::{Outgoing, Outlet, SessionId};

    fn connection(id: u64, outbox: usize) -> (SessionHandle, Outlet) {
        SessionHandle::new(SessionId(id), PlayerId::new(format!("p-{id}")).unwrap(), outbox)
    }

    fn host() -> Host {
        Host::new(GameId::new("g-1").unwrap(), Arc::default())
    }

    #[test]
    fn an_emote_goes_to_the_other_side_and_a_stranger_says_nothing() {
        let mut host = host();
        let ((white, to_white), (black, to_black)) = (connection(1, 8), connection(2, 8));
        let (stranger, _) = connection(3, 8);
        host.show(Some(&white), Some(&black), true);
        let seats = host.seats();
        assert_eq!(seats.say(&white, Emote::Oops), Said::Passed);
        assert!(to_white.take().is_none());
        let Some(Outgoing::Shared(frame)) = to_black.take() else {
            panic!("an emote")
        };
        assert_eq!(
            &frame.wire(starvault_wire::Codec::Json)[2..],
            br#"{"emoteReceived":{"gameId":"g-1","seat":"WHITE","emote":"OOPS"}}"#
        );
        assert_eq!(seats.say(&stranger, Emote::Oops), Said::NotSeated);
        assert_eq!(seats.say(&white, Emote::Unspecified), Said::Dropped);
        // Said again, it is the same frame: nothing is written out twice.
        assert_eq!(seats.say(&white, Emote::Oops), Said::Passed);
        assert!(matches!(to_black.take(), Some(Outgoing::Shared(again)) if Arc::ptr_eq(&again, &frame)));
        assert_eq!(seats.say(&black, Emote::Oops), Said::Passed);
        assert!(matches!(to_white.take(), Some(Outgoing::Shared(other)) if !Arc::ptr_eq(&other, &frame)));
    }

    #[test]
    fn a_seat_follows_its_newest_connection_and_the_end_of_the_game_empties_both() {
        let mut host = host();
        let ((white, _w), (black, to_black)) = (connection(1, 8), connection(2, 8));
        host.show(Some(&white), None, true);
        let seats = host.seats();
        assert_eq!(seats.say(&white, Emote::Thanks), Said::Dropped, "nobody is there");
        host.show(Some(&white), Some(&black), true);
        let (newer, _n) = connection(3, 8);
        host.show(Some(&newer), Some(&black), true);
        assert_eq!(seats.say(&white, Emote::Thanks), Said::NotSeated);
        assert_eq!(seats.say(&newer, Emote::Thanks), Said::Passed);
        assert!(to_black.take().is_some());
        drop(host);
        assert_eq!(seats.say(&newer, Emote::Thanks), Said::NotSeated);
    }

    #[test]
    fn emotes_leave_half_of_an_outbox_to_the_game() {
        let mut host = host();
        let ((white, _w), (black, to_black)) = (connection(1, 8), connection(2, 8));
        host.show(Some(&white), Some(&black), true);
        let seats = host.seats();
        let passed = (0..100).filter(|_| seats.say(&white, Emote::Greeting) == Said::Passed);
        assert_eq!(passed.count(), 4);
        for _ in 0..4 {
            black.ping();
        }
        assert!(!black.is_closed(), "there was room for the game");
        // What has been written makes room again.
        for _ in 0..8 {
            to_black.take().unwrap();
        }
        assert_eq!(seats.say(&white, Emote::Greeting), Said::Passed);
    }

    #[test]
    fn games_are_counted_while_they_are_open_and_while_they_go_on() {
        let metrics = Arc::<GameMetrics>::default();
        let mut one = Host::new(GameId::new("g-1").unwrap(), metrics.clone());
        let mut two = Host::new(GameId::new("g-2").unwrap(), metrics.clone());
        one.show(None, None, true);
        two.show(None, None, true);
        assert_eq!((metrics.open.now(), metrics.running.now()), (2, 2));
        one.show(None, None, false);
        one.show(None, None, false);
        assert_eq!((metrics.open.now(), metrics.running.now()), (2, 1));
        drop(two);
        assert_eq!((metrics.open.now(), metrics.running.now()), (1, 0));
        drop(one);
        assert_eq!((metrics.open.now(), metrics.running.now()), (0, 0));
    }
}
