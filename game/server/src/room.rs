//! One game: a task that alone decides what happens in it.
//!
//! A command is decided by the rules, made durable by the journal, then acknowledged, then told to
//! both seats, in this order and one command at a time. The journal fences: as soon as another
//! process has acquired the game, nothing that this task still decides can be written, and it
//! sends its players there. A room never opens a connection and never outlives its game for long.

use std::time::Duration;

use starvault_rules::{Color, Command, CommandId, Event, Game, GameId};
use starvault_store::{
    Answer, Append, AppendOutcome, CommandKey, Decision, Epoch, Journal as _, Owner, SqliteJournal,
    StoreError, payload_hash,
};
use starvault_wire::v1::{
    Ack, Matched, OpponentPresence, Relocated, Resumed, error::Code, server_frame::Event as Say,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Limits,
    session::{Close, SessionHandle},
    time::TimeSource,
    view::{self, Moves},
};

/// After a failure of the store a room does not ask again before this.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What every room of a process shares.
#[derive(Debug, Clone)]
pub struct RoomContext {
    pub journal: SqliteJournal,
    pub owner: Owner,
    pub time: TimeSource,
    pub limits: Limits,
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

/// Why a command has no answer from the journal.
#[derive(Debug)]
enum NotCommitted {
    Fenced(Owner),
    /// Whether it was applied is not known: the same command id tells, later.
    Unknown,
}

/// What became of a command.
enum Committed {
    Applied { events: Vec<Event> },
    Answered { answer: Answer, repeated: bool },
    Conflict,
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
    pub fn seat_both(&mut self, white: SessionHandle, black: SessionHandle) {
        for (color, session) in [(Color::White, white), (Color::Black, black)] {
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

    async fn on_timer(&mut self) -> Result<(), Stop> {
        let now = Instant::now();
        if let Some(ended_at) = self.ended_at {
            return if now >= ended_at + self.context.limits.ended_game_kept {
                Err(Stop::Done)
            } else {
                Ok(())
            };
        }
        if self.retry_at.is_some_and(|at| now < at) {
            return Ok(());
        }
        self.retry_at = None;
        self.on_flag().await?;
        for color in Color::BOTH {
            let absent = self.seat(color).session.is_none() && self.game.outcome().is_none();
            if absent && self.context.time.now_ms() >= self.abandoned_at_ms(color) {
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

    async fn on_flag(&mut self) -> Result<(), Stop> {
        match self.game.flag_deadline_ms() {
            Some(at_ms) if at_ms <= self.context.time.now_ms() => {
                self.on_own(self.game.to_move(), &Command::Flag).await
            }
            _ => Ok(()),
        }
    }

    /// A command of the server's own.
    async fn on_own(&mut self, color: Color, command: &Command) -> Result<(), Stop> {
        match self.commit(color, command, None).await {
            Ok(Committed::Applied { events }) => self.take_in(&events),
            // The game went on in between, and the next timer looks again.
            Ok(Committed::Answered { .. } | Committed::Conflict) | Err(NotCommitted::Unknown) => {
                self.retry_at = Some(Instant::now() + RETRY_EVERY);
            }
            Err(NotCommitted::Fenced(owner)) => return Err(Stop::Fenced(owner)),
        }
        Ok(())
    }

    /// Decides and makes durable. The game here is unchanged: [`Self::take_in`] follows.
    async fn commit(
        &mut self,
        by: Color,
        command: &Command,
        key: Option<CommandKey>,
    ) -> Result<Committed, NotCommitted> {
        // A second try only after the journal knew more than we did.
        for _ in 0..2 {
            self.settle().await?;
            let at_ms = self.context.time.now_ms();
            let (decision, answered, events) = match self.game.decide(by, command, at_ms) {
                Ok(events) => {
                    let mut after = self.game.clone();
                    if let Some(error) = events.iter().find_map(|event| after.apply(event).err()) {
                        tracing::error!(game = %self.game.id(), %error, "the rules refuse their own decision");
                        return Err(NotCommitted::Unknown);
                    }
                    (
                        Decision::Accepted {
                            events: events.clone(),
                            state: after.state(),
                        },
                        None,
                        events,
                    )
                }
                Err(rejection) => {
                    let (code, message) = (rejection.code().to_owned(), rejection.to_string());
                    let sequence = self.game.sequence();
                    let answer = Answer::Rejected {
                        code: code.clone(),
                        message: message.clone(),
                        sequence,
                    };
                    if key.is_none() {
                        // Nobody will ask again.
                        return Ok(Committed::Answered {
                            answer,
                            repeated: false,
                        });
                    }
                    (Decision::Rejected { code, message }, Some(answer), Vec::new())
                }
            };
            let append = Append {
                game_id: self.game.id().clone(),
                owner: self.context.owner.clone(),
                epoch: self.epoch,
                expected_sequence: self.game.sequence(),
                command: key.clone(),
                decision,
                at_ms,
            };
            match self.context.journal.append(append).await {
                Ok(AppendOutcome::Committed { .. }) => {
                    return Ok(match answered {
                        Some(answer) => Committed::Answered {
                            answer,
                            repeated: false,
                        },
                        None => Committed::Applied { events },
                    });
                }
                Ok(AppendOutcome::Repeated { answer }) => {
                    return Ok(Committed::Answered {
                        answer,
                        repeated: true,
                    });
                }
                Ok(AppendOutcome::Conflict) => return Ok(Committed::Conflict),
                Ok(AppendOutcome::Fenced { owner, .. }) => return Err(NotCommitted::Fenced(owner)),
                Ok(AppendOutcome::Gap { current }) => {
                    tracing::warn!(game = %self.game.id(), current, "the journal is ahead; loading the game again");
                    self.uncertain = true;
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Err(NotCommitted::Unknown)
    }

    fn failed(&mut self, error: &StoreError) -> NotCommitted {
        tracing::error!(game = %self.game.id(), %error, "the journal failed");
        self.uncertain = true;
        NotCommitted::Unknown
    }

    /// Takes durable events in and tells both seats.
    fn take_in(&mut self, events: &[Event]) {
        for event in events {
            if let Err(error) = self.game.apply(event) {
                tracing::error!(game = %self.game.id(), %error, "a durable event does not fit; loading the game again");
                self.uncertain = true;
                return;
            }
            self.events.push(event.clone());
            let after = view::game(&self.game, self.context.time.now_ms(), Moves::Omitted);
            self.tell_both(&Say::GameEvent(view::event(self.game.id(), event, Some(after))));
        }
        if self.game.outcome().is_some() {
            self.ended_at.get_or_insert_with(Instant::now);
        }
    }

    fn tell_both(&self, say: &Say) {
        for session in [&self.white.session, &self.black.session].into_iter().flatten() {
            session.send(0, say.clone());
        }
    }

    /// Makes sure that this task knows what the journal knows.
    async fn settle(&mut self) -> Result<(), NotCommitted> {
        if !self.uncertain {
            return Ok(());
        }
        self.still_ours().await?;
        let journal = self.context.journal.clone();
        let acquired = match journal.acquire(self.game.id(), self.context.owner.clone()).await {
            Ok(Some(acquired)) => acquired,
            Ok(None) => {
                return Err(self.failed(&StoreError::UnknownGame {
                    game_id: self.game.id().clone(),
                }));
            }
            Err(error) => return Err(self.failed(&error)),
        };
        let known = self.game.sequence();
        self.epoch = acquired.epoch;
        self.game = acquired.game;
        self.events = acquired.events;
        self.uncertain = false;
        let after = view::game(&self.game, self.context.time.now_ms(), Moves::Omitted);
        for event in self.events.iter().filter(|event| event.sequence > known) {
            self.tell_both(&Say::GameEvent(view::event(
                self.game.id(),
                event,
                Some(after.clone()),
            )));
        }
        if self.game.outcome().is_some() {
            self.ended_at.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    async fn still_ours(&mut self) -> Result<(), NotCommitted> {
        let journal = self.context.journal.clone();
        match journal.owner_of(self.game.id()).await {
            Ok(Some(found)) if found.owner == self.context.owner && found.epoch == self.epoch => Ok(()),
            Ok(Some(found)) => Err(NotCommitted::Fenced(found.owner)),
            Ok(None) => Err(self.failed(&StoreError::UnknownGame {
                game_id: self.game.id().clone(),
            })),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn wakes_at(&self) -> Instant {
        let now = Instant::now();
        if let Some(ended_at) = self.ended_at {
            return ended_at + self.context.limits.ended_game_kept;
        }
        let flag_ms = self.game.flag_deadline_ms();
        let absent = Color::BOTH
            .into_iter()
            .filter(|color| self.seat(*color).session.is_none());
        let by_clock = absent
            .map(|color| self.abandoned_at_ms(color))
            .chain(flag_ms)
            .min();
        let by_clock = by_clock.map(|at_ms| now + self.context.time.until(at_ms));
        let probe = self.anybody_absent().then_some(self.probe_at);
        let next = by_clock
            .into_iter()
            .chain(probe)
            .min()
            .unwrap_or(now + Duration::from_secs(3600));
        self.retry_at.map_or(next, |retry_at| next.max(retry_at))
    }

    fn abandoned_at_ms(&self, color: Color) -> i64 {
        let grace_ms = i64::try_from(self.context.limits.disconnect_grace.as_millis()).unwrap_or(i64::MAX);
        self.seat(color).absent_since_ms.saturating_add(grace_ms)
    }

    fn anybody_absent(&self) -> bool {
        self.white.session.is_none() || self.black.session.is_none()
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
