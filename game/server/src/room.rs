//! One game: a task that alone decides what happens in it.
//!
//! A command is decided by the rules, made durable by the journal, then acknowledged, then told to
//! both seats, in this order and one command at a time. The journal fences: as soon as another
//! process has acquired the game, nothing that this task still decides can be written, and it
//! sends its players there. A room never opens a connection and never outlives its game for long.

mod arrival;
mod commit;
mod history;
mod rematch;
mod seats;
mod timers;

use std::{pin::pin, sync::Arc};

use starvault_rules::{Color, Command, CommandId, Event, Game, GameId, Moment};
use starvault_store::{Answer, CommandKey, Epoch, Owner, Store, payload_hash};
use starvault_wire::v1::{Ack, Relocated, error::Code, server_frame::Event as Say};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

pub use self::arrival::{Arrival, Newcomer};
use self::{
    commit::{Committed, NotCommitted},
    history::History,
    rematch::Rematch,
    seats::{Seat, Watch},
};
use crate::{
    config::Limits,
    emotes::{Host, Seats},
    game_copies::GameCopies,
    inject::Injector,
    link::SharedFrame,
    lobby::FromRoom,
    metrics::GameMetrics,
    rooms::Rooms,
    session::{Close, SessionHandle},
    time::TimeSource,
    view,
};

/// What every room of a process shares.
#[derive(Debug, Clone)]
pub struct RoomContext {
    pub journal: Store,
    pub owner: Owner,
    pub time: TimeSource,
    pub limits: Limits,
    pub injector: Injector,
    /// The lobby, for what it has to know of games.
    pub lobby: mpsc::Sender<FromRoom>,
    pub metrics: Arc<GameMetrics>,
    /// Told of games that have gone on, if they are copied.
    pub copies: Option<GameCopies>,
}

impl RoomContext {
    /// The game has gone on, or is here since a moment ago.
    pub fn note_for_copies(&self, game_id: &GameId) {
        if let Some(copies) = &self.copies {
            copies.note(game_id);
        }
    }
}

/// What a room can be told.
#[derive(Debug)]
pub enum RoomMessage {
    /// A player of this game is back (or here for the first time in this process).
    Resume {
        session: SessionHandle,
        request_id: u32,
        last_sequence: u32,
    },
    Command {
        session: SessionHandle,
        request_id: u32,
        command_id: CommandId,
        command: Command,
    },
    /// A player of this game has a new connection, and has not asked for anything yet.
    Connected {
        session: SessionHandle,
    },
    OfferRematch {
        session: SessionHandle,
        request_id: u32,
    },
    AnswerRematch {
        session: SessionHandle,
        request_id: u32,
        accept: bool,
    },
}

impl RoomMessage {
    fn session(self) -> SessionHandle {
        match self {
            Self::Resume { session, .. }
            | Self::Command { session, .. }
            | Self::Connected { session }
            | Self::OfferRematch { session, .. }
            | Self::AnswerRematch { session, .. } => session,
        }
    }
}

/// Speaks to a room.
#[derive(Debug, Clone)]
pub struct RoomHandle {
    pub game_id: GameId,
    /// For what the two say to each other without the room.
    pub seats: Arc<Seats>,
    mailbox: mpsc::Sender<RoomMessage>,
}

/// Why a room did not take a message.
#[derive(Debug)]
pub enum Undelivered {
    /// Too much waits for it already.
    Busy,
    /// It has ended.
    Gone,
}

impl RoomHandle {
    /// # Errors
    /// The room is overwhelmed, or gone.
    pub fn tell(&self, message: RoomMessage) -> Result<(), Undelivered> {
        self.mailbox.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Undelivered::Busy,
            mpsc::error::TrySendError::Closed(_) => Undelivered::Gone,
        })
    }

    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.mailbox.is_closed()
    }
}

/// Why a room stops.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// The process ends, or the game ended a while ago.
    Done,
    /// Another process has the game.
    Fenced(Owner),
}

/// The state of one game in this process. See the module for its life.
#[derive(Debug)]
pub struct Room {
    context: Arc<RoomContext>,
    /// Where the game that follows this one begins.
    rooms: Rooms,
    epoch: Epoch,
    game: Game,
    history: History,
    white: Seat,
    black: Seat,
    /// Where others see who is seated.
    host: Host,
    rematch: Rematch,
    /// The journal may know more than this task: a write failed without an answer.
    uncertain: bool,
    retry_at: Option<Instant>,
    probe_at: Instant,
    ended_at: Option<Instant>,
}

impl Room {
    /// A room over a game that this process owns in `epoch`; both seats are empty.
    #[must_use]
    pub fn new(
        context: Arc<RoomContext>,
        rooms: Rooms,
        epoch: Epoch,
        game: Game,
        events: Vec<Event>,
    ) -> Self {
        let absent_since_ms = context.time.now_ms();
        let ended_at = game.outcome().map(|_| Instant::now());
        Self {
            host: Host::new(game.id().clone(), context.metrics.clone()),
            context,
            rooms,
            epoch,
            game,
            history: History::new(events),
            white: Seat::empty(absent_since_ms),
            black: Seat::empty(absent_since_ms),
            rematch: Rematch::None,
            uncertain: false,
            retry_at: None,
            probe_at: Instant::now(),
            ended_at,
        }
    }

    /// Starts the task; the handle speaks to it.
    pub fn spawn(
        self,
        stop: CancellationToken,
    ) -> (RoomHandle, impl Future<Output = GameId> + Send + 'static) {
        let (mailbox, receiver) = mpsc::channel(self.context.limits.room_mailbox_max);
        let game_id = self.game.id().clone();
        let handle = RoomHandle {
            game_id: game_id.clone(),
            seats: self.host.seats(),
            mailbox,
        };
        let task = async move {
            self.run(receiver, stop).await;
            game_id
        };
        (handle, task)
    }

    async fn run(mut self, mut mailbox: mpsc::Receiver<RoomMessage>, stop: CancellationToken) {
        let mut stopped = pin!(stop.cancelled());
        let mut timer = pin!(tokio::time::sleep_until(self.wakes_at()));
        let (mut white, mut black) = (Watch::default(), Watch::default());
        let ended = loop {
            self.show_seats();
            white.follow(&self.white);
            black.follow(&self.black);
            let wakes_at = self.wakes_at();
            // What is due next moves away with each move. The timer follows when it is due itself.
            if wakes_at < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(wakes_at);
            }
            // Nothing is written inside this `select!`: whatever was begun is finished.
            let step = tokio::select! {
                () = &mut stopped => break Stop::Done,
                message = mailbox.recv() => match message {
                    Some(message) => self.on_message(message).await,
                    None => break Stop::Done,
                },
                change = white.changed() => self.on_change(Color::White, change),
                change = black.changed() => self.on_change(Color::Black, change),
                () = &mut timer => self.on_timer().await,
            };
            if let Err(stop) = step {
                break stop;
            }
        };
        mailbox.close();
        if let Stop::Fenced(owner) = ended {
            tracing::info!(game = %self.game.id(), %owner, "the game goes on in another process");
            let mut waiting = Vec::new();
            while let Ok(message) = mailbox.try_recv() {
                waiting.push(message.session());
            }
            let seated = [self.white.session.take(), self.black.session.take()];
            let mut told = Vec::new();
            for session in seated.into_iter().flatten().chain(waiting) {
                if !told.contains(&session.id) {
                    told.push(session.id);
                    let game_id = self.game.id().to_string();
                    session.send(
                        0,
                        Say::Relocated(Relocated {
                            game_id,
                            release: owner.release.clone(),
                        }),
                    );
                    session.close(Close::RELOCATED);
                }
            }
        }
    }

    async fn on_message(&mut self, message: RoomMessage) -> Result<(), Stop> {
        match message {
            RoomMessage::Resume {
                session,
                request_id,
                last_sequence,
            } => self.on_resume(session, request_id, last_sequence).await,
            RoomMessage::Command {
                session,
                request_id,
                command_id,
                command,
            } => self.on_command(&session, request_id, command_id, &command).await,
            RoomMessage::Connected { session } => {
                self.on_connected(session);
                Ok(())
            }
            RoomMessage::OfferRematch { session, request_id } => {
                self.on_rematch_offer(&session, request_id).await;
                Ok(())
            }
            RoomMessage::AnswerRematch {
                session,
                request_id,
                accept,
            } => {
                self.on_rematch_answer(&session, request_id, accept).await;
                Ok(())
            }
        }
    }

    async fn on_command(
        &mut self,
        session: &SessionHandle,
        request_id: u32,
        command_id: CommandId,
        command: &Command,
    ) -> Result<(), Stop> {
        let Some(color) = self.seat_of(session) else {
            session.refuse(
                request_id,
                Code::NotInGame,
                "resume the game on this connection first",
            );
            return Ok(());
        };
        self.seat_mut(color).has_arrived();
        // A flag that has fallen comes before whatever arrives after it.
        self.on_flag().await?;
        let key = CommandKey {
            player_id: session.player_id.clone(),
            command_id: command_id.clone(),
            payload_hash: payload_hash(command),
        };
        let game_id = self.game.id().to_string();
        let ack = |sequence, repeated| {
            Say::Ack(Ack {
                game_id,
                command_id: command_id.to_string(),
                sequence,
                repeated,
            })
        };
        let moment = Moment::with_lag(self.context.time.now_ms(), self.lag_ms(color));
        match self.commit(color, command, moment, Some(key)).await {
            Ok(Committed::Applied(step)) => {
                {
                    // The answer and the event leave in one write.
                    let _held = session.hold();
                    session.send(request_id, ack(step.game.sequence(), false));
                    self.take_in(step);
                }
                self.after_step().await;
            }
            Ok(Committed::Answered {
                answer: Answer::Accepted { sequence },
                repeated,
            }) => {
                session.send(request_id, ack(sequence, repeated));
            }
            Ok(Committed::Answered {
                answer:
                    Answer::Rejected {
                        code,
                        message,
                        sequence,
                    },
                ..
            }) => {
                let current = self.game.sequence().max(sequence);
                session.refuse_at(request_id, view::rejection_code(&code), message, current);
            }
            Ok(Committed::Conflict) => {
                let message = "this command id was used for another command; take a fresh one";
                session.refuse_at(request_id, Code::CommandIdConflict, message, self.game.sequence());
            }
            Err(NotCommitted::Unknown) => {
                let message = "the store does not answer; send the same command again";
                session.refuse(request_id, Code::Unavailable, message);
            }
            Err(NotCommitted::Fenced(owner)) => return Err(Stop::Fenced(owner)),
        }
        Ok(())
    }

    /// After a change of who is seated, before they are told.
    fn show_seats(&mut self) {
        let (white, black) = (self.white.session.as_ref(), self.black.session.as_ref());
        self.host.show(white, black, self.game.outcome().is_none());
    }

    /// Tells both seats the same, written out once for each codec.
    fn tell_both(&self, frame: SharedFrame) {
        let frame = Arc::new(frame);
        for session in [&self.white.session, &self.black.session].into_iter().flatten() {
            session.send_shared(&frame);
        }
    }

    fn seat(&self, color: Color) -> &Seat {
        match color {
            Color::White => &self.white,
            Color::Black => &self.black,
        }
    }

    fn seat_mut(&mut self, color: Color) -> &mut Seat {
        match color {
            Color::White => &mut self.white,
            Color::Black => &mut self.black,
        }
    }

    /// The colour that is played over this very connection.
    fn seat_of(&self, session: &SessionHandle) -> Option<Color> {
        let color = self.game.color_of(&session.player_id)?;
        let seated = self.seat(color).session.as_ref()?;
        (seated.id == session.id).then_some(color)
    }
}
