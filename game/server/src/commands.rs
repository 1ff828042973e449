//! What a player on a socket can ask for: each frame goes to the lobby, to a game, or is answered
//! here. Checks form; what is allowed in a game is the game's to say.

use std::sync::Arc;

use starvault_rules::{Command as GameCommand, CommandId, GameId};
use starvault_wire::v1::{
    Emote, Pong, SendEmote, client_frame::Command, error::Code, server_frame::Event as Say,
};
use tminus_origin::rate::TokenBucket;
use tokio::time::Instant;

use crate::{
    app::App,
    emotes::Said,
    inject::Fault,
    lobby::Candidate,
    nodes::Registered,
    room::{RoomHandle, RoomMessage, Undelivered},
    rooms::OpenError,
    session::SessionHandle,
};

/// The longest move in UCI is `e7e8q`; anything above this is no move (bytes).
const UCI_BYTES_MAX: usize = 8;

/// One connected player.
#[derive(Debug)]
pub struct Player {
    pub session: SessionHandle,
    pub app: Arc<App>,
    /// This session as one that may use other nodes; `None` for a guest of this node, and where there are
    /// no other nodes.
    pub registered: Option<Registered>,
    /// The game of the last command, so that not each one has to be looked up.
    room: Option<RoomHandle>,
    /// `None`: bounded where the player is.
    emotes: Option<TokenBucket>,
}

impl Player {
    #[must_use]
    pub fn new(app: Arc<App>, session: SessionHandle) -> Self {
        let limits = &app.config.limits;
        let emotes = TokenBucket::every(limits.emotes_every, limits.emotes_max, Instant::now());
        let registered = app.nodes.as_ref().map(|nodes| nodes.register(session.clone()));
        Self {
            session,
            app,
            registered,
            room: None,
            emotes: Some(emotes),
        }
    }

    /// A player whose socket is at another node.
    #[must_use]
    pub fn guest(app: Arc<App>, session: SessionHandle) -> Self {
        Self {
            session,
            app,
            registered: None,
            room: None,
            emotes: None,
        }
    }

    /// The socket is open. A game that still waits for this player to arrive is told.
    pub async fn connected(&self, active_game: Option<GameId>) {
        let Some(game_id) = active_game else { return };
        if let Some(room) = self.app.rooms.find(game_id.clone()).await {
            // A room that is too busy has somebody who plays in it: the client resumes.
            let _ = room.tell(RoomMessage::Connected {
                session: self.session.clone(),
            });
        } else {
            self.tell_host(&game_id).await;
        }
    }

    /// Carries a command out that arrived at `now`, if nobody has to be waited for: most commands of a
    /// game that goes on. Gives back any other one, for [`Self::on_command`].
    pub fn at_once(&mut self, request_id: u32, command: Command, now: Instant) -> Option<Command> {
        if !self.app.injector.is_idle() {
            return Some(command);
        }
        match command {
            Command::SendEmote(send) if self.knows(&send.game_id) => {
                if let Some(emote) = self.allowed_emote(request_id, &send, now) {
                    self.say(request_id, emote);
                }
            }
            Command::PlayMove(play) if play.uci.len() <= UCI_BYTES_MAX && self.knows(&play.game_id) => {
                let command = GameCommand::Move {
                    uci: play.uci,
                    expected_sequence: play.expected_sequence,
                };
                self.tell_room(request_id, &play.command_id, command);
            }
            other => return self.pass_on_at_once(request_id, other, now),
        }
        None
    }

    /// Carries one command out. Every command gets exactly one answer with its `request_id`.
    pub async fn on_command(&mut self, request_id: u32, command: Command) {
        // Once for each command: where the player is.
        let fault = match self.session.edge() {
            None => self.app.injector.draw(Instant::now()),
            Some(_) => Fault::None,
        };
        match fault {
            Fault::None => {}
            Fault::Swallow => return,
            Fault::Delay(delay) => tokio::time::sleep(delay).await,
            Fault::Fail => {
                self.session
                    .refuse(request_id, Code::Internal, "an internal error; try again");
                return;
            }
        }
        let mut command = command;
        if self.registered.is_some() {
            match Box::pin(self.pass_on(request_id, command)).await {
                Some(own) => command = own,
                None => return,
            }
        }
        match command {
            Command::Ping(_) => {
                let server_time_ms = self.app.config.time.now_ms();
                self.session.send(request_id, Say::Pong(Pong { server_time_ms }));
            }
            Command::JoinLobby(join) => self.join_lobby(request_id, join.region).await,
            Command::LeaveLobby(_) => self.app.lobby.leave(self.session.clone(), request_id).await,
            Command::Resume(resume) => {
                self.resume(request_id, &resume.game_id, resume.last_sequence)
                    .await;
            }
            Command::SendEmote(send) => self.emote(request_id, &send).await,
            Command::PlayMove(play) if play.uci.len() > UCI_BYTES_MAX => {
                self.session.refuse(
                    request_id,
                    Code::InvalidArgument,
                    "`uci` is a move like e2e4 or e7e8q",
                );
            }
            Command::PlayMove(play) => {
                let command = GameCommand::Move {
                    uci: play.uci,
                    expected_sequence: play.expected_sequence,
                };
                self.in_game(request_id, &play.game_id, &play.command_id, command)
                    .await;
            }
            Command::Resign(resign) => {
                self.in_game(
                    request_id,
                    &resign.game_id,
                    &resign.command_id,
                    GameCommand::Resign,
                )
                .await;
            }
            Command::OfferDraw(offer) => {
                self.in_game(
                    request_id,
                    &offer.game_id,
                    &offer.command_id,
                    GameCommand::OfferDraw,
                )
                .await;
            }
            Command::AnswerDraw(answer) => {
                let command = GameCommand::AnswerDraw {
                    accept: answer.accept,
                };
                self.in_game(request_id, &answer.game_id, &answer.command_id, command)
                    .await;
            }
            Command::OfferRematch(offer) => {
                let session = self.session.clone();
                let message = RoomMessage::OfferRematch { session, request_id };
                self.after_game(request_id, &offer.game_id, message).await;
            }
            Command::AnswerRematch(answer) => {
                let message = RoomMessage::AnswerRematch {
                    session: self.session.clone(),
                    request_id,
                    accept: answer.accept,
                };
                self.after_game(request_id, &answer.game_id, message).await;
            }
        }
    }

    async fn join_lobby(&self, request_id: u32, region: String) {
        match self.app.own_recent_profile(&self.session.player_id).await {
            Ok(profile) if profile.active_game_id.is_some() => {
                let message = "you are in a running game; resume it";
                self.session.refuse(request_id, Code::AlreadyPlaying, message);
            }
            Ok(profile) => {
                let candidate = Candidate {
                    session: self.session.clone(),
                    display_name: profile.display_name,
                    rating: profile.progress.rating,
                };
                self.app.lobby.join(candidate, region, request_id).await;
            }
            Err(error) => {
                tracing::error!(%error, "cannot read the profile of a player who joins");
                self.session
                    .refuse(request_id, Code::Unavailable, error.to_string());
            }
        }
    }

    async fn resume(&mut self, request_id: u32, game_id: &str, last_sequence: u32) {
        let Some(game_id) = self.game_id(request_id, game_id) else {
            return;
        };
        if let (Some(edge), false) = (self.session.edge(), self.is_host(&game_id).await) {
            edge.pass_not_here(request_id, game_id.to_string(), last_sequence);
            return;
        }
        // A room that ends just now is opened anew.
        for _ in 0..2 {
            match self
                .app
                .rooms
                .open(game_id.clone(), &self.session.player_id)
                .await
            {
                Ok(room) => {
                    let session = self.session.clone();
                    let told = room.tell(RoomMessage::Resume {
                        session,
                        request_id,
                        last_sequence,
                    });
                    self.room = Some(room);
                    match told {
                        Ok(()) => return,
                        Err(Undelivered::Gone) => {}
                        Err(Undelivered::Busy) => break,
                    }
                }
                Err(error @ OpenError::NotYours) => {
                    self.session
                        .refuse(request_id, Code::NotInGame, error.to_string());
                    return;
                }
                Err(error) => {
                    self.session
                        .refuse(request_id, Code::Unavailable, error.to_string());
                    return;
                }
            }
        }
        self.session
            .refuse(request_id, Code::Unavailable, "the game is busy; try again");
    }

    async fn in_game(&mut self, request_id: u32, game_id: &str, command_id: &str, command: GameCommand) {
        let Some(game_id) = self.game_id(request_id, game_id) else {
            return;
        };
        self.turn_to(game_id).await;
        self.tell_room(request_id, command_id, command);
    }

    /// Passes a command on to the room of the last game looked up.
    fn tell_room(&mut self, request_id: u32, command_id: &str, command: GameCommand) {
        let command_id = match CommandId::new(command_id) {
            Ok(command_id) => command_id,
            Err(error) => {
                self.session
                    .refuse(request_id, Code::InvalidArgument, error.to_string());
                return;
            }
        };
        let Some(room) = &self.room else {
            self.session.refuse(
                request_id,
                Code::NotInGame,
                "this game is not open here; resume it",
            );
            return;
        };
        let session = self.session.clone();
        match room.tell(RoomMessage::Command {
            session,
            request_id,
            command_id,
            command,
        }) {
            Ok(()) => {}
            Err(Undelivered::Busy) => {
                self.session.refuse(
                    request_id,
                    Code::Unavailable,
                    "the game is busy; send the command again",
                );
            }
            Err(Undelivered::Gone) => {
                self.room = None;
                self.session.refuse(
                    request_id,
                    Code::NotInGame,
                    "this game is not open here any more; resume it",
                );
            }
        }
    }

    /// Looks the room of a game up, unless it is that of the last command.
    async fn turn_to(&mut self, game_id: GameId) {
        if !self.knows(game_id.as_str()) {
            self.room = self.app.rooms.find(game_id).await;
        }
    }

    pub fn knows(&self, game_id: &str) -> bool {
        let room = self.room.as_ref();
        room.is_some_and(|room| room.game_id.as_str() == game_id && !room.is_gone())
    }

    /// Passes an emote on. Nothing but a refusal is answered, and of many refusals not each one.
    async fn emote(&mut self, request_id: u32, send: &SendEmote) {
        let Some(emote) = self.allowed_emote(request_id, send, Instant::now()) else {
            return;
        };
        if !self.knows(&send.game_id) {
            let Some(game_id) = self.game_id(request_id, &send.game_id) else {
                return;
            };
            self.room = self.app.rooms.find(game_id).await;
        }
        self.say(request_id, emote);
    }

    pub fn allowed_emote(&mut self, request_id: u32, send: &SendEmote, now: Instant) -> Option<Emote> {
        let emote = match Emote::try_from(send.emote) {
            Ok(emote) if emote != Emote::Unspecified => emote,
            _ => {
                let message = "there is no such emote";
                self.session.refuse(request_id, Code::InvalidArgument, message);
                return None;
            }
        };
        if self.emotes.as_mut().is_some_and(|emotes| !emotes.take(now)) {
            self.app.metrics.emotes_refused.count();
            let message = "too many emotes; wait a few seconds";
            self.session
                .refuse_if_room(request_id, Code::RateLimited, message);
            return None;
        }
        Some(emote)
    }

    /// At the game of the last room looked up.
    fn say(&self, request_id: u32, emote: Emote) {
        let said = match &self.room {
            Some(room) => room.seats.say(&self.session, emote),
            None => Said::NotSeated,
        };
        match said {
            Said::Passed => self.app.metrics.emotes_passed.count(),
            Said::Dropped => self.app.metrics.emotes_dropped.count(),
            Said::NotSeated => {
                let message = "you have no seat at this game here; resume it";
                self.session.refuse(request_id, Code::NotInGame, message);
            }
        }
    }

    async fn after_game(&mut self, request_id: u32, game_id: &str, message: RoomMessage) {
        let Some(game_id) = self.game_id(request_id, game_id) else {
            return;
        };
        let told = match self.app.rooms.find(game_id).await {
            Some(room) => room.tell(message),
            None => Err(Undelivered::Gone),
        };
        match told {
            Ok(()) => {}
            Err(Undelivered::Busy) => {
                self.session
                    .refuse(request_id, Code::Unavailable, "the game is busy; try again");
            }
            Err(Undelivered::Gone) => {
                let message = "this game is not open here any more";
                self.session.refuse(request_id, Code::NoRematch, message);
            }
        }
    }

    fn game_id(&self, request_id: u32, text: &str) -> Option<GameId> {
        match GameId::new(text) {
            Ok(game_id) => Some(game_id),
            Err(error) => {
                self.session
                    .refuse(request_id, Code::InvalidArgument, error.to_string());
                None
            }
        }
    }
}

/// What traces call a command.
pub fn name_of(command: &Command) -> &'static str {
    match command {
        Command::JoinLobby(_) => "join_lobby",
        Command::LeaveLobby(_) => "leave_lobby",
        Command::Resume(_) => "resume",
        Command::PlayMove(_) => "play_move",
        Command::Resign(_) => "resign",
        Command::OfferDraw(_) => "offer_draw",
        Command::AnswerDraw(_) => "answer_draw",
        Command::Ping(_) => "ping",
        Command::OfferRematch(_) => "offer_rematch",
        Command::AnswerRematch(_) => "answer_rematch",
        Command::SendEmote(_) => "send_emote",
    }
}
