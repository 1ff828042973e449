//! One game: a task that alone decides what happens in it.
//!
//! A command is decided by the rules, made durable by the journal, then acknowledged, then told to
//! both seats, in this order and one command at a time. The journal fences: as soon as another
//! process has acquired the game, nothing that this task still decides can be written, and it
//! sends its players there. A room never opens a connection and never outlives its game for long.

mod commit;
mod timers;

use starvault_rules::{Color, Command, CommandId, Event, Game, GameId};
use starvault_store::{Answer, CommandKey, Epoch, Owner, SqliteJournal, payload_hash};
use starvault_wire::v1::{
    Ack, Matched, OpponentPresence, Relocated, Resumed, error::Code, server_frame::Event as Say,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use self::commit::{Committed, NotCommitted};
use crate::{
    config::{Limits, Region},
    inject::Injector,
    lobby::Returning,
    session::{Close, SessionHandle},
    time::TimeSource,
    view::{self, Moves},
};

/// What every room of a process shares.
#[derive(Debug, Clone)]
pub struct RoomContext {
    pub journal: SqliteJournal,
    pub owner: Owner,
    pub time: TimeSource,
    pub limits: Limits,
    pub injector: Injector,
    /// Where a player goes whose opponent never arrived.
    pub returns: mpsc::Sender<Returning>,
}

/// A matched player on the way from the lobby to the game.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub session: SessionHandle,
    pub region: Region,
    /// When the wait in the lobby began, in milliseconds since 1970-01-01 UTC.
    pub enqueued_at_ms: u64,
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
}

/// Speaks to a room.
#[derive(Debug, Clone)]
pub struct RoomHandle {
    pub game_id: GameId,
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

#[derive(Debug)]
struct SeatState {
    session: Option<SessionHandle>,
    absent_since_ms: i64,
}

impl SeatState {
    async fn closed(&self) {
        match &self.session {
            Some(session) => session.closed().await,
            None => std::future::pending().await,
        }
    }
}

/// The state of one game in this process. See the module for its life.
#[derive(Debug)]
pub struct Room {
    context: RoomContext,
    epoch: Epoch,
    game: Game,
    /// All of them, oldest first, for those who come back.
    events: Vec<Event>,
    white: SeatState,
    black: SeatState,
    /// The journal may know more than this task: a write failed without an answer.
    uncertain: bool,
    retry_at: Option<Instant>,
    probe_at: Instant,
    ended_at: Option<Instant>,
}

impl Room {
    /// A room over a game that this process owns in `epoch`; both seats are empty.
    #[must_use]
    pub fn new(context: RoomContext, epoch: Epoch, game: Game, events: Vec<Event>) -> Self {
        let absent_since_ms = context.time.now_ms();
        let seat = || SeatState {
            session: None,
            absent_since_ms,
        };
        let ended_at = game.outcome().map(|_| Instant::now());
        let (white, black) = (seat(), seat());
        Self {
            context,
            epoch,
            game,
            events,
            white,
            black,
            uncertain: false,
            retry_at: None,
            probe_at: Instant::now(),
            ended_at,
        }
    }

    /// Seats both players of a game that has just begun and tells them.
    pub fn seat_both(&mut self, white: Arrival, black: Arrival) {
        for (color, Arrival { session, .. }) in [(Color::White, white), (Color::Black, black)] {
            let game = view::game(&self.game, self.context.time.now_ms(), Moves::Included);
            session.send(
                0,
                Say::Matched(Matched {
                    you_play: view::color(color).into(),
                    game: Some(game),
                }),
            );
            self.seat_mut(color).session = Some(session);
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
            mailbox,
        };
        let task = async move {
            self.run(receiver, stop).await;
            game_id
        };
        (handle, task)
    }

    async fn run(mut self, mut mailbox: mpsc::Receiver<RoomMessage>, stop: CancellationToken) {
        let ended = loop {
            // Nothing is written inside this `select!`: whatever was begun is finished.
            let step = tokio::select! {
                () = stop.cancelled() => break Stop::Done,
                message = mailbox.recv() => match message {
                    Some(message) => self.on_message(message).await,
                    None => break Stop::Done,
                },
                () = self.white.closed() => self.on_gone(Color::White),
                () = self.black.closed() => self.on_gone(Color::Black),
                () = tokio::time::sleep_until(self.wakes_at()) => self.on_timer().await,
            };
            if let Err(stop) = step {
                break stop;
            }
        };
        mailbox.close();
        if let Stop::Fenced(owner) = ended {
            tracing::info!(game = %self.game.id(), %owner, "the game goes on in another process");
            let mut waiting = Vec::new();
            while let Ok(RoomMessage::Command { session, .. } | RoomMessage::Resume { session, .. }) =
                mailbox.try_recv()
            {
                waiting.push(session);
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
        }
    }

    async fn on_resume(
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
                session.refuse(
                    request_id,
                    Code::Unavailable,
                    "the store does not answer; try again",
                );
                return Ok(());
            }
        }
        let was_absent = self.seat(color).session.is_none();
        if let Some(previous) = self.seat_mut(color).session.replace(session.clone())
            && previous.id != session.id
        {
            previous.close(Close::REPLACED);
        }
        let missed = self.events.iter().filter(|event| event.sequence > last_sequence);
        let missed = missed
            .map(|event| view::event(self.game.id(), event, None))
            .collect();
        let game = view::game(&self.game, self.context.time.now_ms(), Moves::Included);
        let resumed = Resumed {
            you_play: view::color(color).into(),
            game: Some(game),
            missed,
        };
        session.send(request_id, Say::Resumed(resumed));
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

    fn on_gone(&mut self, color: Color) -> Result<(), Stop> {
        let now_ms = self.context.time.now_ms();
        let seat = self.seat_mut(color);
        seat.session = None;
        seat.absent_since_ms = now_ms;
        self.probe_at = Instant::now() + self.context.limits.ownership_probe_every;
        if self.game.outcome().is_none() {
            self.tell_presence(color, false);
        }
        Ok(())
    }

    /// Tells the opponent of `color` whether `color` is there.
    fn tell_presence(&self, color: Color, connected: bool) {
        let grace_ms = if connected {
            0
        } else {
            self.context.time.until_ms(self.abandoned_at_ms(color))
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

    async fn on_command(
        &mut self,
        session: &SessionHandle,
        request_id: u32,
        command_id: CommandId,
        command: &Command,
    ) -> Result<(), Stop> {
        let color = self.game.color_of(&session.player_id);
        let seated = |color: &Color| {
            self.seat(*color)
                .session
                .as_ref()
                .is_some_and(|seated| seated.id == session.id)
        };
        let Some(color) = color.filter(seated) else {
            session.refuse(
                request_id,
                Code::NotInGame,
                "resume the game on this connection first",
            );
            return Ok(());
        };
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
        match self.commit(color, command, Some(key)).await {
            Ok(Committed::Applied { events }) => {
                let sequence = events.last().map_or(self.game.sequence(), |event| event.sequence);
                session.send(request_id, ack(sequence, false));
                self.take_in(&events);
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

    fn tell_both(&self, say: &Say) {
        for session in [&self.white.session, &self.black.session].into_iter().flatten() {
            session.send(0, say.clone());
        }
    }

    fn seat(&self, color: Color) -> &SeatState {
        match color {
            Color::White => &self.white,
            Color::Black => &self.black,
        }
    }

    fn seat_mut(&mut self, color: Color) -> &mut SeatState {
        match color {
            Color::White => &mut self.white,
            Color::Black => &mut self.black,
        }
    }
}
