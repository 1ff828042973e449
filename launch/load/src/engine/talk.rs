//! One conversation over one socket: from Welcome to the end of the game or of the connection.
//!
//! At most one request is under way at a time, as with a person who plays. What is to be done next
//! has a time at which it is meant to be done. What answers mean is in [`answers`](super::answers).

use std::time::Duration;

use rand::RngExt as _;
use starvault_wire::v1::{self, client_frame::Command};
use tokio::time::{Instant, sleep_until, timeout};

use super::player::{End, Player};
use super::seat::Unanswered;
use crate::book::{Ended, Operation, Times};
use crate::schedule::think_time;
use crate::socket::{Incoming, PlaySocket};

const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// After the stop of a recovery run players move only in games that have to show that they go on.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The server says: reconnect (service restart, going away, another process owns the game).
const CLOSE_RECONNECT: [u16; 3] = [1012, 1001, 4001];

/// The state of a conversation.
#[derive(Default)]
pub(super) struct Talk {
    pub pending: Option<Pending>,
    pub due: Option<Due>,
    pub errors_in_a_row: u32,
    pub queued_since: Option<Instant>,
    pub leaving: bool,
    /// When the last resume was sent, and from which sequence.
    pub resuming: Option<(Instant, u32)>,
}

pub(super) struct Pending {
    pub operation: Operation,
    pub request_id: u32,
    pub intended: Instant,
    pub sent: Instant,
    pub times_out: Instant,
}

#[derive(Clone, Copy)]
pub(super) struct Due {
    pub at: Instant,
    /// When it was known: the generator cannot be late before.
    pub armed: Instant,
    pub action: Action,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Join,
    LeaveLobby,
    Resume,
    /// Make a move, resign, or send again what was not answered.
    Move,
}

impl Talk {
    pub fn plan(&mut self, at: Instant, action: Action) {
        self.due = Some(Due {
            at,
            armed: Instant::now(),
            action,
        });
    }
}

impl Player {
    pub(super) async fn converse(&mut self, socket: &mut PlaySocket) -> End {
        let mut talk = Talk::default();
        let in_game = self.seat.is_some() || self.resume_id.is_some();
        talk.plan(
            Instant::now(),
            if in_game { Action::Resume } else { Action::Join },
        );
        let end = self.keep_talking(socket, &mut talk).await;
        if let Some(pending) = talk.pending.take() {
            // What a drain or our own cut interrupts is no failure of the server; it is sent again.
            if matches!(end, End::Broken) {
                self.record(&pending, &Ended::Failed("disconnected".into()));
            }
            self.no_longer_waiting(&pending);
        }
        end
    }

    async fn keep_talking(&mut self, socket: &mut PlaySocket, talk: &mut Talk) -> End {
        loop {
            let wake = self.wake_at(talk);
            let without_game = self.seat.is_none() && self.resume_id.is_none();
            let may_leave = without_game && !talk.leaving && talk.pending.is_none();
            let run = self.run.clone();
            let end = tokio::select! {
                biased;
                () = run.closing.cancelled() => Some(End::Leave),
                () = run.audit.cancelled(), if !self.auditing && self.seat.is_some() => Some(End::Audit),
                () = run.stop.cancelled(), if may_leave => {
                    talk.leaving = true;
                    if talk.queued_since.is_none() {
                        Some(End::Leave)
                    } else {
                        talk.plan(Instant::now(), Action::LeaveLobby);
                        None
                    }
                }
                incoming = socket.next() => match incoming {
                    Incoming::Frame(frame) => self.on_frame(talk, frame).await,
                    Incoming::Closed(Some(code)) if CLOSE_RECONNECT.contains(&code) => Some(End::Relocated),
                    Incoming::Closed(_) | Incoming::Broken => Some(End::Broken),
                },
                () = sleep_until(wake) => self.on_time(socket, talk).await,
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn wake_at(&self, talk: &Talk) -> Instant {
        let next = match (&talk.pending, talk.due) {
            (Some(pending), _) => pending.times_out,
            (None, Some(due)) => due.at,
            (None, None) => Instant::now() + Duration::from_secs(3600),
        };
        match self.cuts.front() {
            Some(cut) if self.seat.is_some() && !cut.before_answer => next.min(cut.at),
            _ => next,
        }
    }

    async fn on_time(&mut self, socket: &mut PlaySocket, talk: &mut Talk) -> Option<End> {
        let now = Instant::now();
        if self.seat.is_some()
            && self
                .cuts
                .front()
                .is_some_and(|cut| !cut.before_answer && cut.at <= now)
            && !self.run.stop.is_cancelled()
        {
            self.cuts.pop_front();
            return Some(End::Cut);
        }
        if let Some(pending) = &talk.pending {
            if pending.times_out > now {
                return None;
            }
            self.record(pending, &Ended::TimedOut);
            let operation = pending.operation;
            self.finish_pending(talk);
            return Some(if operation == Operation::LeaveLobby {
                End::Leave
            } else {
                End::Unusable
            });
        }
        let due = talk.due.filter(|due| due.at <= now)?;
        talk.due = None;
        if due.action == Action::Move && !self.may_move() {
            talk.plan(now + LOOK_AGAIN, Action::Move);
            return None;
        }
        self.run.book().started(due.at.max(due.armed), now);
        self.act(socket, talk, due).await
    }

    /// With cuts, a run ends with an audit: after its stop only those games move on that still owe
    /// the proof that they can.
    fn may_move(&self) -> bool {
        let Some(seat) = &self.seat else { return false };
        self.run.settings.cuts.is_none()
            || !self.run.stop.is_cancelled()
            || self.run.games().waits_for_progress(&seat.game_id)
    }

    async fn act(&mut self, socket: &mut PlaySocket, talk: &mut Talk, due: Due) -> Option<End> {
        let (operation, command) = match due.action {
            Action::Join => {
                talk.queued_since.get_or_insert_with(Instant::now);
                (
                    Operation::Join,
                    Command::JoinLobby(v1::JoinLobby {
                        region: String::new(),
                    }),
                )
            }
            Action::LeaveLobby => (Operation::LeaveLobby, Command::LeaveLobby(v1::LeaveLobby {})),
            Action::Resume => {
                let (game_id, known) = match (&self.seat, &self.resume_id) {
                    (Some(seat), _) => (seat.game_id.clone(), seat.sequence),
                    (None, Some(game_id)) => (game_id.clone(), 0),
                    (None, None) => return Some(End::Over),
                };
                let last_sequence = if self.auditing { 0 } else { known };
                talk.resuming = Some((Instant::now(), last_sequence));
                (
                    Operation::Resume,
                    Command::Resume(v1::Resume {
                        game_id,
                        last_sequence,
                    }),
                )
            }
            Action::Move => self.choose()?,
        };
        self.observe_sending(operation).await;
        let sent = Instant::now();
        let limit = self.run.settings.command_timeout;
        let request_id = match timeout(limit, socket.send(command)).await {
            Ok(Ok(request_id)) => request_id,
            Ok(Err(())) | Err(_) => return Some(End::Broken),
        };
        if operation == Operation::Move
            && let Some(seat) = &self.seat
            && let Some(Unanswered::Move {
                command_id,
                uci,
                follows,
            }) = &seat.unanswered
        {
            self.run
                .games()
                .sent(&seat.game_id, &self.player_id, command_id, uci, *follows);
        }
        talk.pending = Some(Pending {
            operation,
            request_id,
            intended: due.at,
            sent,
            times_out: sent + limit,
        });
        if operation == Operation::Move && self.cut_before_answer().await {
            return Some(End::Cut);
        }
        None
    }

    /// The command of this player's turn: the one that was not answered, else a new one.
    fn choose(&mut self) -> Option<(Operation, Command)> {
        let command_id = self.next_command_id();
        let resign_after = self.run.settings.resign_after_plies;
        let seat = self.seat.as_mut()?;
        if seat.unanswered.is_none() {
            if !seat.is_my_turn() {
                return None;
            }
            seat.unanswered = Some(if resign_after.is_some_and(|plies| seat.sequence > plies) {
                Unanswered::Resign { command_id }
            } else {
                let chosen = self.rng.random_range(0..seat.legal_moves.len());
                Unanswered::Move {
                    command_id,
                    uci: seat.legal_moves[chosen].clone(),
                    follows: seat.sequence,
                }
            });
        }
        let game_id = seat.game_id.clone();
        Some(match seat.unanswered.clone()? {
            Unanswered::Move {
                command_id,
                uci,
                follows: expected_sequence,
            } => (
                Operation::Move,
                Command::PlayMove(v1::PlayMove {
                    game_id,
                    command_id,
                    expected_sequence,
                    uci,
                }),
            ),
            Unanswered::Resign { command_id } => (
                Operation::Resign,
                Command::Resign(v1::Resign { game_id, command_id }),
            ),
        })
    }

    async fn cut_before_answer(&mut self) -> bool {
        let now = Instant::now();
        if self.run.stop.is_cancelled() || !self.cuts.front().is_some_and(|c| c.before_answer && c.at <= now)
        {
            return false;
        }
        self.cuts.pop_front();
        // A moment later or not at all: so that some of these moves have reached the server and
        // some have not.
        let moment = Duration::from_micros(self.rng.random_range(0..4000));
        if moment > Duration::from_millis(1) {
            tokio::time::sleep(moment).await;
        }
        self.run.book().cuts_before_answer += 1;
        true
    }

    /// After a disturbance that both players know of.
    pub(super) fn plan_anew(&mut self, talk: &mut Talk) {
        let now = Instant::now();
        let (mean, seed) = (self.run.settings.think_time, self.run.settings.seed);
        let Some(seat) = &mut self.seat else { return };
        seat.disturbances = self.run.games().disturbances(&seat.game_id);
        seat.planned = seat
            .planned
            .max(now + think_time(mean, seed, &seat.game_id, seat.sequence));
        self.plan_move(talk);
    }

    pub(super) fn plan_move(&self, talk: &mut Talk) {
        let Some(seat) = &self.seat else { return };
        // Whatever arrives before it: a resume that is owed comes first.
        if talk.pending.is_some() || talk.due.is_some_and(|due| due.action == Action::Resume) {
            return;
        }
        if seat.unanswered.is_some() {
            talk.plan(Instant::now(), Action::Move);
        } else if seat.is_my_turn() {
            talk.plan(seat.planned, Action::Move);
        }
    }

    pub(super) fn think(&self, game_id: &str, sequence: u32) -> Duration {
        think_time(
            self.run.settings.think_time,
            self.run.settings.seed,
            game_id,
            sequence,
        )
    }

    pub(super) fn retry_delay(&mut self) -> Duration {
        let half = self.run.settings.think_time / 2;
        half.clamp(RETRY_MIN, RETRY_MAX)
            .mul_f64(0.5 + self.rng.random::<f64>())
    }

    pub(super) fn record(&self, pending: &Pending, ended: &Ended) {
        let times = Times {
            intended: pending.intended,
            sent: pending.sent,
            ended: Instant::now(),
        };
        self.run
            .book()
            .record(pending.operation, self.release.as_deref(), ended, times);
    }

    /// The answer to the pending request, if that is one of these.
    pub(super) fn complete(&mut self, talk: &mut Talk, operations: &[Operation]) {
        if let Some(pending) = talk.pending.take_if(|p| operations.contains(&p.operation)) {
            self.record(&pending, &Ended::Ok);
            self.no_longer_waiting(&pending);
            self.failures = 0;
        }
    }

    fn finish_pending(&self, talk: &mut Talk) {
        if let Some(pending) = talk.pending.take() {
            self.no_longer_waiting(&pending);
        }
    }

    pub(super) fn no_longer_waiting(&self, pending: &Pending) {
        if pending.operation == Operation::Move {
            self.run.games().answered();
        }
    }
}
