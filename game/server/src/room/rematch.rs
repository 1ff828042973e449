//! Another game of the same two, colours swapped, while the ended one is still in memory and both are
//! connected. It begins as every game does, in one transaction of the store that refuses a player
//! who is in a running game: whatever else the two do meanwhile, nobody gets two games.

use starvault_rules::{Color, GameId, PlayerId, Reason, Seat, Setup};
use starvault_store::{CreateOutcome, Journal as _, NewGame, StoreError};
use starvault_wire::v1::{Ack, RematchDeclined, RematchOffered, error::Code, server_frame::Event as Say};

use super::{Newcomer, Room};
use crate::{
    lobby::{FromRoom, Rematched},
    session::SessionHandle,
};

/// How far the two are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rematch {
    None,
    OfferedBy(Color),
    /// It was declined, or it has begun: there will be no other one.
    Over,
}

impl Room {
    pub(super) async fn on_rematch_offer(&mut self, session: &SessionHandle, request_id: u32) {
        let Some(color) = self.may_follow(session, request_id) else {
            return;
        };
        match self.rematch {
            Rematch::Over => session.refuse(request_id, Code::NoRematch, "there will be no rematch"),
            // Both want it.
            Rematch::OfferedBy(by) if by != color => self.begin_rematch(color, request_id).await,
            Rematch::OfferedBy(_) => self.acknowledge(session, request_id),
            Rematch::None => match &self.seat(color.other()).session {
                Some(other) if !other.is_closed() => {
                    let game_id = self.game.id().to_string();
                    other.send(0, Say::RematchOffered(RematchOffered { game_id }));
                    self.rematch = Rematch::OfferedBy(color);
                    self.acknowledge(session, request_id);
                }
                _ => session.refuse(request_id, Code::NoRematch, "your opponent has gone"),
            },
        }
    }

    pub(super) async fn on_rematch_answer(&mut self, session: &SessionHandle, request_id: u32, accept: bool) {
        let Some(color) = self.may_follow(session, request_id) else {
            return;
        };
        if self.rematch != Rematch::OfferedBy(color.other()) {
            session.refuse(request_id, Code::NoRematch, "your opponent offers no rematch");
        } else if accept {
            self.begin_rematch(color, request_id).await;
        } else {
            self.decline_rematch(color, request_id);
        }
    }

    /// Whoever asks, if this game can be followed by another one at all.
    fn may_follow(&self, session: &SessionHandle, request_id: u32) -> Option<Color> {
        let Some(color) = self.seat_of(session) else {
            let message = "resume the game on this connection first";
            session.refuse(request_id, Code::NotInGame, message);
            return None;
        };
        match self.game.outcome() {
            Some(outcome) if outcome.reason != Reason::Aborted => Some(color),
            Some(_) => {
                session.refuse(request_id, Code::NoRematch, "this game was never played");
                None
            }
            None => {
                session.refuse(request_id, Code::NoRematch, "the game goes on");
                None
            }
        }
    }

    /// Says that an offer stands. It is not durable: the sequence is that of the ended game.
    fn acknowledge(&self, session: &SessionHandle, request_id: u32) {
        let ack = Ack {
            game_id: self.game.id().to_string(),
            command_id: String::new(),
            sequence: self.game.sequence(),
            repeated: false,
        };
        session.send(request_id, Say::Ack(ack));
    }

    /// Tells both; `request_id` is that of `by`.
    fn decline_rematch(&mut self, by: Color, request_id: u32) {
        self.rematch = Rematch::Over;
        for (color, request_id) in [(by, request_id), (by.other(), 0)] {
            if let Some(session) = &self.seat(color).session {
                let game_id = self.game.id().to_string();
                session.send(request_id, Say::RematchDeclined(RematchDeclined { game_id }));
            }
        }
    }

    /// A connection of the ended game has closed; an offer that it made or that was made to it falls.
    pub(super) fn on_rematch_player_gone(&mut self, color: Color) {
        if let Rematch::OfferedBy(_) = self.rematch {
            self.rematch = Rematch::None;
            if let Some(other) = &self.seat(color.other()).session {
                let game_id = self.game.id().to_string();
                other.send(0, Say::RematchDeclined(RematchDeclined { game_id }));
            }
        }
    }

    /// The room ends: an offer that nobody has answered falls with it.
    pub(super) fn let_offer_fall(&mut self) {
        if let Rematch::OfferedBy(color) = self.rematch {
            self.decline_rematch(color, 0);
        }
    }

    async fn begin_rematch(&mut self, accepted_by: Color, request_id: u32) {
        let began_at_ms = u64::try_from(self.context.time.now_ms()).unwrap_or(0);
        let outcome = match self.rematch_setup().await {
            Ok(setup) => {
                let owner = self.context.owner.clone();
                self.context.journal.create_game(NewGame { setup, owner }).await
            }
            Err(error) => Err(error),
        };
        let refused = match outcome {
            Ok(CreateOutcome::Created(created)) => {
                self.rematch = Rematch::Over;
                // Who had White has Black now. A seat that has just emptied finds the game by its profile.
                let newcomer = |room: &Self, color: Color| {
                    let session = room.seat(color).session.clone();
                    session.map(|session| Newcomer {
                        session,
                        request_id: if color == accepted_by { request_id } else { 0 },
                        place: None,
                    })
                };
                let (white, black) = (newcomer(self, Color::Black), newcomer(self, Color::White));
                self.context.metrics.rematches.count();
                if let (Some(white), Some(black)) = (white, black) {
                    // Before the players can have ended it: a ticket of after that is not meant.
                    let rematched = Rematched {
                        players: [white.session.clone(), black.session.clone()],
                        began_at_ms,
                    };
                    // A lobby that has stopped has no tickets any more.
                    let _ = self.context.lobby.send(FromRoom::Rematched(rematched)).await;
                    self.rooms.begin_with(created, white, black).await;
                }
                return;
            }
            Ok(CreateOutcome::AlreadyPlaying { player_id, .. }) => {
                if player_id == *self.player_id(accepted_by) {
                    "you are in another game already"
                } else {
                    "your opponent is in another game already"
                }
            }
            Err(error) => {
                tracing::error!(game = %self.game.id(), %error, "cannot begin a rematch");
                "the store does not answer; join the lobby"
            }
        };
        self.rematch = Rematch::Over;
        if let Some(session) = &self.seat(accepted_by).session {
            session.refuse(request_id, Code::NoRematch, refused);
        }
        if let Some(session) = &self.seat(accepted_by.other()).session {
            let game_id = self.game.id().to_string();
            session.send(0, Say::RematchDeclined(RematchDeclined { game_id }));
        }
    }

    async fn rematch_setup(&self) -> Result<Setup, StoreError> {
        let before = self.game.setup();
        Ok(Setup {
            game_id: next_game_id(),
            white: self.seat_again(&before.black).await?,
            black: self.seat_again(&before.white).await?,
            clock: before.clock,
            started_at_ms: self.context.time.now_ms(),
        })
    }

    /// The player with the rating of now.
    async fn seat_again(&self, before: &Seat) -> Result<Seat, StoreError> {
        let player_id = before.player_id.clone();
        match self.context.journal.get_profile(&player_id).await? {
            Some(profile) => Ok(Seat {
                player_id,
                name: profile.display_name,
                rating: profile.progress.rating,
            }),
            None => Err(StoreError::UnknownPlayer { player_id }),
        }
    }

    fn player_id(&self, color: Color) -> &PlayerId {
        &self.game.setup().seat(color).player_id
    }
}

fn next_game_id() -> GameId {
    GameId::new(format!("g-{}", uuid::Uuid::now_v7().simple())).expect("a prefix and hexadecimal digits")
}
