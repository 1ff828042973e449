//! Where players write down what they measured, and what can be read from it while they play.
//!
//! One mutex, held for a few hundred nanoseconds per operation and never across an await.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::latency::{LatencyHistogram, LatencySummary};

/// A start later than this after its intended time counts as a late start.
pub(crate) const LATE_START: Duration = Duration::from_millis(50);
/// At most this many releases and error codes are told apart; the rest is `other`.
const LABELS_MAX: usize = 32;
/// Games that moved are listed up to this many.
const GAMES_MOVED_MAX: usize = 10_000;
/// Who served it is not known.
pub(crate) const UNKNOWN_RELEASE: &str = "unknown";

/// What a player asks of the server. Its name is the prefix of its measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    SignIn,
    Profile,
    Connect,
    Join,
    Resume,
    Move,
    Resign,
    LeaveLobby,
}

impl Operation {
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Profile => "profile",
            Self::Connect => "connect",
            Self::Join => "join",
            Self::Resume => "resume",
            Self::Move => "move",
            Self::Resign => "resign",
            Self::LeaveLobby => "leave_lobby",
        }
    }
}

/// How it ended. Errors are named by code: `timeout`, `http_500`, `internal`, `disconnected`, …
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Ok,
    Failed(String),
    TimedOut,
}

/// The three times of an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub intended: Instant,
    pub sent: Instant,
    pub ended: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct OperationBook {
    pub count: u64,
    pub errors: u64,
    pub timeouts: u64,
    pub response: LatencyHistogram,
    pub service: LatencyHistogram,
}

/// What one release did, from the beginning of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReleaseSnapshot {
    /// Commands that were answered or timed out.
    pub commands: u64,
    /// Of these: answered with an error, cut off, or timed out.
    pub errors: u64,
    /// Of these errors: no answer in time.
    pub timeouts: u64,
    /// Commands without error whose response took longer than the run's `slow_after`.
    pub slow: u64,
    /// Response latency of commands without error and of timeouts.
    pub latency: LatencyHistogram,
}

/// The run at one moment. Counts are cumulative; `recent_*` covers about the last second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// Since the start of the run.
    pub elapsed_ms: u64,
    pub players_present: u64,
    pub games_open: u64,
    pub games_started: u64,
    pub games_finished: u64,
    pub games_lost: u64,
    pub moves: u64,
    pub relocated: u64,
    /// How often a player was back in its game after losing its connection.
    pub resumed: u64,
    pub commands: u64,
    pub errors: u64,
    pub recent_commands_per_s: f64,
    pub recent_p50_ms: f64,
    pub recent_p99_ms: f64,
    pub recent_error_percent: f64,
    pub generator_lag_p99_ms: f64,
    /// By release label, as the server says it of itself in `Welcome` and `x-served-version`.
    pub releases: BTreeMap<String, ReleaseSnapshot>,
    /// True in the last snapshot of a run.
    pub finished: bool,
}

/// A game that was taken over by another release while it was played.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GameMoved {
    pub game_id: String,
    /// The release that its first player lost.
    pub from: String,
    /// The release at which that player found it again.
    pub to: String,
    /// How often a player came back to it so.
    pub players: u64,
    /// The longest that one of them was away.
    pub gap_max_ms: f64,
}

/// One kind of operation in a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperationReport {
    pub count: u64,
    pub errors: u64,
    pub timeouts: u64,
    /// End − intended start.
    pub response: LatencySummary,
    /// End − actual start.
    pub service: LatencySummary,
}

/// One release in a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReleaseReport {
    pub commands: u64,
    pub errors: u64,
    pub timeouts: u64,
    pub slow: u64,
    pub latency: LatencySummary,
}

impl From<&ReleaseSnapshot> for ReleaseReport {
    fn from(of: &ReleaseSnapshot) -> Self {
        let ReleaseSnapshot {
            commands,
            errors,
            timeouts,
            slow,
            ref latency,
        } = *of;
        Self {
            commands,
            errors,
            timeouts,
            slow,
            latency: latency.summary(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    slow_after: Duration,
    pub operations: BTreeMap<Operation, OperationBook>,
    pub releases: BTreeMap<String, ReleaseSnapshot>,
    /// All operations together.
    pub total: OperationBook,
    pub error_codes: BTreeMap<String, u64>,
    pub lag: LatencyHistogram,
    pub late_starts: u64,
    /// From JoinLobby to Matched: includes waiting for somebody to play with.
    pub match_wait: LatencyHistogram,
    /// From the loss of a connection in the middle of a game to Resumed.
    pub resume_gap: LatencyHistogram,
    /// Games that went on at another release, by game.
    pub games_moved: BTreeMap<String, GameMoved>,
    pub players_arrived: u64,
    pub players_present: u64,
    pub players_without_sign_in: u64,
    pub moves: u64,
    pub relocated: u64,
    pub reconnects: u64,
    pub resumed: u64,
    pub disconnects: u64,
    pub cuts: u64,
    pub cuts_before_answer: u64,
    /// Events that came again, or for a game that the player is not in.
    pub stray_events: u64,
    /// What the current second holds, for `recent_*`.
    pub recent: Recent,
}

#[derive(Debug, Default)]
pub(crate) struct Recent {
    pub commands: u64,
    pub errors: u64,
    pub latency: LatencyHistogram,
}

impl Book {
    pub fn new(slow_after: Duration) -> Self {
        Self {
            slow_after,
            ..Self::default()
        }
    }

    pub fn record(&mut self, operation: Operation, release: Option<&str>, ended: &Ended, times: Times) {
        let response = times.ended.saturating_duration_since(times.intended);
        let service = times.ended.saturating_duration_since(times.sent);
        let failed = *ended != Ended::Ok;
        let timed_out = *ended == Ended::TimedOut;
        // A quick refusal must not make a server look fast; a timeout is as slow as it was.
        let timed = !failed || timed_out;

        for book in [self.operations.entry(operation).or_default(), &mut self.total] {
            book.count += 1;
            book.errors += u64::from(failed);
            book.timeouts += u64::from(timed_out);
            if timed {
                book.response.record(response);
                book.service.record(service);
            }
        }
        self.recent.commands += 1;
        self.recent.errors += u64::from(failed);
        if timed {
            self.recent.latency.record(response);
        }

        let release = release.unwrap_or(UNKNOWN_RELEASE);
        let release = bounded_entry(&mut self.releases, release);
        release.commands += 1;
        release.errors += u64::from(failed);
        release.timeouts += u64::from(timed_out);
        release.slow += u64::from(!failed && response > self.slow_after);
        if timed {
            release.latency.record(response);
        }

        match ended {
            Ended::Ok => {}
            Ended::Failed(code) => self.count_error(code),
            Ended::TimedOut => self.count_error("timeout"),
        }
    }

    /// A player is back in its game, at another release than the one that it lost.
    pub fn moved(&mut self, game_id: &str, from: &str, to: &str, gap: Duration) {
        if self.games_moved.len() >= GAMES_MOVED_MAX && !self.games_moved.contains_key(game_id) {
            return;
        }
        let moved = self
            .games_moved
            .entry(game_id.to_owned())
            .or_insert_with(|| GameMoved {
                game_id: game_id.to_owned(),
                from: from.to_owned(),
                to: to.to_owned(),
                players: 0,
                gap_max_ms: 0.0,
            });
        moved.players += 1;
        moved.gap_max_ms = moved.gap_max_ms.max(gap.as_secs_f64() * 1000.0);
    }

    pub fn count_error(&mut self, code: &str) {
        *bounded_entry(&mut self.error_codes, code) += 1;
    }

    /// Something was started at `now` that was meant for `due`.
    pub fn started(&mut self, due: Instant, now: Instant) {
        let lag = now.saturating_duration_since(due);
        self.lag.record(lag);
        self.late_starts += u64::from(lag > LATE_START);
    }
}

/// The entry of `label`, or of `other` once there are too many.
fn bounded_entry<'a, V: Default>(map: &'a mut BTreeMap<String, V>, label: &str) -> &'a mut V {
    if !map.contains_key(label) {
        let key = if map.len() < LABELS_MAX { label } else { "other" };
        return map.entry(key.to_owned()).or_default();
    }
    map.get_mut(label).expect("the key was just found")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(intended_ms: u64, sent_ms: u64, ended_ms: u64) -> Times {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        Times {
            intended: at(intended_ms),
            sent: at(sent_ms),
            ended: at(ended_ms),
        }
    }

    #[test]
    fn response_counts_from_the_intended_start_and_service_from_the_actual_one() {
        let mut book = Book::new(Duration::from_millis(200));
        book.record(Operation::Move, Some("v1"), &Ended::Ok, times(0, 900, 1000));
        let m = &book.operations[&Operation::Move];
        assert!((m.response.summary().max_ms - 1000.0).abs() < 2.0);
        assert!((m.service.summary().max_ms - 100.0).abs() < 1.0);
        assert_eq!((book.releases["v1"].commands, book.releases["v1"].slow), (1, 1));
    }

    #[test]
    fn a_failure_counts_for_its_release_and_stays_out_of_the_latencies() {
        let mut book = Book::new(Duration::from_millis(200));
        book.record(
            Operation::Move,
            Some("v2"),
            &Ended::Failed("internal".into()),
            times(0, 0, 1),
        );
        book.record(Operation::Move, Some("v2"), &Ended::TimedOut, times(0, 0, 2000));
        let v2 = &book.releases["v2"];
        assert_eq!(
            (v2.commands, v2.errors, v2.timeouts, v2.slow, v2.latency.count()),
            (2, 2, 1, 0, 1)
        );
        assert_eq!(
            (book.error_codes["internal"], book.error_codes["timeout"]),
            (1, 1)
        );
    }

    #[test]
    fn labels_are_bounded() {
        let mut book = Book::new(Duration::ZERO);
        for i in 0..100 {
            book.record(
                Operation::Move,
                Some(&format!("r{i}")),
                &Ended::Ok,
                times(0, 0, 1),
            );
        }
        assert_eq!(book.releases.len(), LABELS_MAX + 1);
        assert_eq!(book.releases["other"].commands, 100 - LABELS_MAX as u64);
    }
}
