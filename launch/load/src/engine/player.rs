//! One player: signs in, reads its profile now and then, and keeps itself connected to its game.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use starvault_wire::v1;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Run;
use super::seat::Seat;
use crate::api::Answer;
use crate::book::{Ended, Operation, Times};
use crate::games::Leaving;
use crate::socket::{Incoming, PlaySocket, Refused};
use crate::target::Target;

const SIGN_IN_TRIES_MAX: u32 = 8;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// After so many failures a player no longer asks for the release that it was on.
const FAILURES_BEFORE_ANY_RELEASE: u32 = 3;

pub(super) struct Player {
    pub run: Arc<Run>,
    pub rng: SmallRng,
    pub token: String,
    pub player_id: String,
    target: Target,
    /// Who serves this player, as the last Welcome said.
    pub release: Option<String>,
    /// Ask for this release when connecting again.
    pub at: Option<String>,
    pub seat: Option<Seat>,
    /// A game that the server says we are in and that we know nothing of.
    pub resume_id: Option<String>,
    /// Since when the connection to the game is lost.
    pub away_since: Option<Instant>,
    /// Who served it then.
    pub left: Option<String>,
    pub auditing: bool,
    /// Since a request was last answered.
    pub failures: u32,
    commands: u64,
    /// How many connections this player has had, and when the last one was begun.
    pub connections: u32,
    pub connected_at: Instant,
    pub cuts: VecDeque<Cut>,
}

/// A connection that is going to be cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub at: Instant,
    /// Right after the next move was sent, so that its answer is never seen.
    pub before_answer: bool,
}

/// Why a conversation ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The game ended, or does not exist any more.
    Over,
    /// Nothing more to do in this run.
    Leave,
    /// Come back and look at the whole game.
    Audit,
    /// Connect again at once: this connection cannot be used for what is to be done.
    Again,
    Cut,
    /// The server or the gateway sent us elsewhere.
    Relocated,
    Broken,
    /// Answers do not come, or only errors do.
    Unusable,
}

/// The whole life of a player within a run.
pub(super) async fn live(run: Arc<Run>, index: u32, arrives: Instant) {
    tokio::select! {
        () = sleep_until(arrives) => {}
        () = run.stop.cancelled() => return,
    }
    {
        let mut book = run.book();
        book.started(arrives, Instant::now());
        book.players_arrived += 1;
    }
    let seed = run
        .settings
        .seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(u64::from(index));
    let mut rng = SmallRng::seed_from_u64(seed);
    let Some((token, player_id)) = sign_in(&run, index, arrives, &mut rng).await else {
        run.book().players_without_sign_in += 1;
        return;
    };
    let mut target = run.settings.target.clone();
    // Every second player: then each game that is cut on the wire has, as a rule, a side that is not.
    target.through = run.settings.cuts.and_then(|c| c.relay).filter(|_| index % 2 == 1);
    let cuts = cuts(&run, &mut rng);
    let phase = rng.random::<f64>();
    run.book().players_present += 1;
    let mut player = Player {
        rng,
        token: token.clone(),
        player_id,
        target,
        release: None,
        at: None,
        seat: None,
        resume_id: None,
        away_since: None,
        left: None,
        auditing: false,
        failures: 0,
        commands: 0,
        connections: 0,
        connected_at: Instant::now(),
        cuts,
        run: run.clone(),
    };
    tokio::select! {
        () = Box::pin(player.play()) => {}
        () = read_profiles(&run, &token, phase) => {}
    }
    player.give_up_game(Leaving::Unfinished);
    run.book().players_present -= 1;
}

/// When this player's connection is cut: within the middle of the run, so that there is a game to cut
/// and time to go on.
fn cuts(run: &Run, rng: &mut SmallRng) -> VecDeque<Cut> {
    let Some(cuts) = run.settings.cuts else {
        return VecDeque::new();
    };
    if rng.random::<f64>() >= cuts.fraction {
        return VecDeque::new();
    }
    let from = run.settings.arrivals_over.min(run.settings.duration / 2);
    let to = run.settings.duration.mul_f64(0.85);
    let mut at: Vec<Duration> = (0..cuts.per_player)
        .map(|_| from + to.saturating_sub(from).mul_f64(rng.random()))
        .collect();
    at.sort_unstable();
    let first: bool = rng.random();
    at.into_iter()
        .enumerate()
        .map(|(i, at)| Cut {
            at: run.began + at,
            before_answer: (i % 2 == 0) == first,
        })
        .collect()
}

async fn sign_in(run: &Run, index: u32, arrives: Instant, rng: &mut SmallRng) -> Option<(String, String)> {
    let session = format!("load-{}-{index}", run.settings.seed);
    let name = format!("Player {index}");
    let mut intended = arrives;
    for failures in 1..=SIGN_IN_TRIES_MAX {
        let sent = Instant::now();
        let Answer { result, release } = tokio::select! {
            answer = run.api.sign_in(&name, &session) => answer,
            () = run.closing.cancelled() => return None,
        };
        let times = Times {
            intended,
            sent,
            ended: Instant::now(),
        };
        let ended = ended(&result);
        run.book()
            .record(Operation::SignIn, release.as_deref(), &ended, times);
        if let Ok(v1::SignInAsGuestResponse {
            token,
            profile: Some(profile),
            ..
        }) = result
        {
            return Some((token, profile.player_id));
        }
        tokio::select! {
            () = sleep(backoff(failures, rng)) => intended = Instant::now(),
            () = run.stop.cancelled() => return None,
        }
    }
    None
}

/// Reads the own profile at a fixed rate. A slow answer delays the next request but not its intended
/// start, so the delay is counted. Ends with the run.
async fn read_profiles(run: &Run, token: &str, phase: f64) {
    let Some(every) = run.settings.profile_every else {
        return std::future::pending().await;
    };
    let mut due = Instant::now() + every.mul_f64(phase);
    loop {
        let armed = Instant::now();
        tokio::select! {
            () = sleep_until(due) => {}
            () = run.stop.cancelled() => return std::future::pending().await,
        }
        let sent = Instant::now();
        run.book().started(due.max(armed), sent);
        let Answer { result, release } = run.api.profile(token).await;
        let times = Times {
            intended: due,
            sent,
            ended: Instant::now(),
        };
        run.book()
            .record(Operation::Profile, release.as_deref(), &ended(&result), times);
        due += every;
    }
}

fn ended<T>(result: &Result<T, crate::api::Failure>) -> Ended {
    match result {
        Ok(_) => Ended::Ok,
        Err(failure) if failure.is_timeout() => Ended::TimedOut,
        Err(failure) => Ended::Failed(failure.code()),
    }
}

/// 50 ms doubling to 2 s, times 0.5 to 1.5 so that a crowd does not come back in step.
fn backoff(failures: u32, rng: &mut SmallRng) -> Duration {
    let doubled = BACKOFF_MIN.saturating_mul(1 << failures.saturating_sub(1).min(6));
    doubled.min(BACKOFF_MAX).mul_f64(0.5 + rng.random::<f64>())
}

impl Player {
    async fn play(&mut self) {
        while !self.run.closing.is_cancelled() {
            if self.seat.is_none() && self.run.stop.is_cancelled() {
                return;
            }
            self.auditing = self.run.audit.is_cancelled();
            let Some(mut socket) = self.connect().await else {
                if self.wait_and_try_again().await {
                    continue;
                }
                return;
            };
            let end = self.converse(&mut socket).await;
            match end {
                End::Over => {
                    socket.close().await;
                    self.at = None;
                    self.failures = 0;
                    self.rest().await;
                }
                End::Leave => {
                    socket.close().await;
                    return;
                }
                End::Audit | End::Again => socket.close().await,
                End::Cut => {
                    socket.abort();
                    self.lost_connection();
                    self.run.book().cuts += 1;
                }
                End::Relocated => {
                    socket.close().await;
                    self.run.book().relocated += u64::from(self.seat.is_some());
                    self.lost_connection();
                }
                End::Broken | End::Unusable => {
                    drop(socket);
                    self.run.book().disconnects += 1;
                    self.lost_connection();
                    if end == End::Unusable && !self.wait_and_try_again().await {
                        return;
                    }
                }
            }
        }
    }

    fn lost_connection(&mut self) {
        let Some(seat) = &self.seat else { return };
        if self.away_since.is_none() {
            self.away_since = Some(Instant::now());
            self.left.clone_from(&self.release);
        }
        if self.run.settings.cuts.is_some() {
            self.run.games().cut(&seat.game_id);
        }
    }

    /// One attempt to connect, until Welcome.
    async fn connect(&mut self) -> Option<PlaySocket> {
        let at = if self.failures < FAILURES_BEFORE_ANY_RELEASE {
            self.at.clone()
        } else {
            None
        };
        let sent = Instant::now();
        (self.connections, self.connected_at) = (self.connections + 1, sent);
        let attempt = async {
            let headers = &self.run.settings.headers;
            let (mut socket, served) =
                PlaySocket::connect(&self.target, &self.token, at.as_deref(), headers).await?;
            let refused = |code: String| Refused {
                code,
                release: served.clone(),
            };
            match socket.next().await {
                Incoming::Frame(v1::ServerFrame {
                    event: Some(v1::server_frame::Event::Welcome(w)),
                    ..
                }) => Ok((socket, w)),
                Incoming::Frame(v1::ServerFrame {
                    event: Some(v1::server_frame::Event::Error(e)),
                    ..
                }) => Err(refused(error_code(&e))),
                Incoming::Closed(Some(1012 | 4001)) => Err(refused("relocated".into())),
                Incoming::Frame(_) | Incoming::Closed(_) | Incoming::Broken => {
                    Err(refused("disconnected".into()))
                }
            }
        };
        let limit = self.run.settings.command_timeout + super::GATEWAY_MARGIN;
        let outcome = tokio::select! {
            outcome = timeout(limit, Box::pin(attempt)) => outcome,
            () = self.run.closing.cancelled() => return None,
        };
        let times = Times {
            intended: sent,
            sent,
            ended: Instant::now(),
        };
        let mut book = self.run.book();
        if self.away_since.is_some() {
            book.reconnects += 1;
        }
        match outcome {
            Ok(Ok((socket, welcome))) => {
                book.record(Operation::Connect, Some(&welcome.release), &Ended::Ok, times);
                drop(book);
                self.welcomed(welcome);
                Some(socket)
            }
            Ok(Err(refused)) => {
                let release = refused.release.as_deref().or(at.as_deref());
                let ended = match refused.code.as_str() {
                    "http_504" => Ended::TimedOut,
                    _ => Ended::Failed(refused.code),
                };
                book.record(Operation::Connect, release, &ended, times);
                None
            }
            Err(_) => {
                book.record(Operation::Connect, at.as_deref(), &Ended::TimedOut, times);
                None
            }
        }
    }

    fn welcomed(&mut self, welcome: v1::Welcome) {
        self.at = Some(welcome.release.clone());
        self.release = Some(welcome.release);
        let known = self.seat.as_ref().map(|s| s.game_id.as_str());
        if !welcome.active_game_id.is_empty() && known != Some(welcome.active_game_id.as_str()) {
            self.give_up_game(Leaving::ToldOver);
            self.resume_id = Some(welcome.active_game_id);
        }
    }

    /// False when the run is over for this player. A game that cannot be reached in time is lost.
    async fn wait_and_try_again(&mut self) -> bool {
        self.failures += 1;
        let pause = backoff(self.failures, &mut self.rng);
        tokio::select! {
            () = sleep(pause) => {}
            () = self.run.closing.cancelled() => return false,
            () = self.run.stop.cancelled(), if self.seat.is_none() => return false,
        }
        if self
            .away_since
            .is_some_and(|since| since.elapsed() > self.run.settings.resume_within)
        {
            self.give_up_game(Leaving::Lost);
        }
        true
    }

    /// Between two games.
    async fn rest(&mut self) {
        let pause = self
            .run
            .settings
            .think_time
            .mul_f64(0.5 + self.rng.random::<f64>());
        tokio::select! {
            () = sleep(pause) => {}
            () = self.run.stop.cancelled() => {}
        }
    }

    pub fn give_up_game(&mut self, how: Leaving) {
        self.away_since = None;
        self.left = None;
        self.resume_id = None;
        if let Some(seat) = self.seat.take() {
            self.run.games().leave(&seat.game_id, &self.player_id, how);
        }
    }

    /// Unique for this player, whatever the game: 1 to 64 characters.
    pub fn next_command_id(&mut self) -> String {
        self.commands += 1;
        let tail = self.player_id.len().saturating_sub(32);
        let player = self.player_id.get(tail..).unwrap_or_default();
        format!("{player}-{}", self.commands)
    }
}

/// `NOT_YOUR_TURN` -> `not_your_turn`.
pub(super) fn error_code(error: &v1::Error) -> String {
    error.code().as_str_name().to_ascii_lowercase()
}
