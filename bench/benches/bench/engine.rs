//! The queue alone, beside the article's designs: one list under one lock, and sixteen lists under
//! sixteen locks by `level % 16`. All three are fed the same arrivals and keep the same windows.

use std::time::Instant;

use starvault_matchmaking::baseline::{GlobalMutex, ShardedMutex};
use starvault_matchmaking::drive::{Account, Event, Matcher, Stream, What, drive};
use starvault_matchmaking::{PlayerKey, Policy, Queue, Settings, Ticket, TicketId};

use crate::report::{Limit, Report, quantile, sorted};

/// Narrow enough that a few thousand players wait at any time.
const STREAM: Settings = Settings {
    policy: Policy::V2,
    window_initial: 5,
    window_growth_per_second: 5,
    wait_ms_max: 30_000,
    avoid_ms: 3_000,
    avoid_alone_ms: 300,
    tickets_max: 2_000_000,
};
/// A crowd in which nobody fits anybody, so that it stays.
const CROWD: usize = 1_000_000;
const CROWD_SPACING: i32 = 64;
/// As many as the article's players, for the designs that walk their lists.
const CROWD_SMALL: usize = 10_000;
const CROWD_SMALL_MS: u64 = 4_000;
const CROWD_DECISIONS: usize = 200_000;
pub fn run(report: &mut Report, seed: u64) {
    let history = Stream {
        seed,
        tickets: 300_000,
        tickets_per_second: 2_000.0,
        ..Stream::default()
    }
    .history();
    let ours = stream(&mut Queue::new(STREAM), &history);
    let sharded = stream(&mut ShardedMutex::new(STREAM), &history);
    let global = stream(&mut GlobalMutex::new(STREAM), &history);
    report.add(
        "engine_decisions_per_s",
        ours.per_second(),
        "/s",
        Limit::AtLeast(500_000.0),
    );
    report.add(
        "sharded_mutex_decisions_per_s",
        sharded.per_second(),
        "/s",
        Limit::None,
    );
    report.add(
        "global_mutex_decisions_per_s",
        global.per_second(),
        "/s",
        Limit::None,
    );
    report.add("engine_p99_us", ours.p99_us, "µs", Limit::None);
    report.add(
        "wait_p99_ms",
        ours.account.wait_ms(0.99) as f64,
        "ms",
        Limit::None,
    );
    report.add(
        "sharded_mutex_wait_p99_ms",
        sharded.account.wait_ms(0.99) as f64,
        "ms",
        Limit::None,
    );
    report.add(
        "global_mutex_wait_p99_ms",
        global.account.wait_ms(0.99) as f64,
        "ms",
        Limit::None,
    );
    let history = small_crowd();
    let settings = Settings {
        window_growth_per_second: 0,
        ..STREAM
    };
    let ours = stream(&mut Queue::new(settings), &history).p99_us;
    let sharded = stream(&mut ShardedMutex::new(settings), &history).p99_us;
    let global = stream(&mut GlobalMutex::new(settings), &history).p99_us;
    report.add("engine_p99_us_10k", ours, "µs", Limit::None);
    report.add(
        "ratio_p99_vs_sharded_mutex",
        sharded / ours,
        "times",
        Limit::AtLeast(1.0),
    );
    report.add(
        "ratio_p99_vs_global_mutex",
        global / ours,
        "times",
        Limit::AtLeast(1.0),
    );
    let ours = crowd_p99_us(&mut Queue::new(STREAM), CROWD_DECISIONS);
    report.add("engine_p99_us_1m", ours, "µs", Limit::AtMost(20.0));
    report.note("a decision: an arrival, a cancellation or a due moment, and every match that it leads to");
}

struct Streamed {
    account: Account,
    seconds: f64,
    p99_us: f64,
}

impl Streamed {
    fn per_second(&self) -> f64 {
        self.account.decisions as f64 / self.seconds
    }
}

fn stream<M: Matcher>(matcher: &mut M, history: &[Event]) -> Streamed {
    let mut taken_us = Vec::with_capacity(history.len() * 2);
    let until_ms = history.last().map_or(0, |event| event.at_ms);
    let began = Instant::now();
    let account = drive(matcher, history, until_ms, |matcher, event| {
        let began = Instant::now();
        let pairs = matcher.decide(event);
        // A crowd that is there from the beginning is not measured while it gathers.
        if event.at_ms > 0 {
            taken_us.push(began.elapsed().as_secs_f64() * 1e6);
        }
        pairs
    });
    let seconds = began.elapsed().as_secs_f64();
    Streamed {
        account,
        seconds,
        p99_us: quantile(&sorted(taken_us), 0.99),
    }
}

fn ticket(number: usize, rating: i32, enqueued_at_ms: u64) -> Ticket {
    Ticket {
        id: TicketId(number as u64),
        player: PlayerKey(number as u64),
        rating,
        enqueued_at_ms,
        avoid: None,
    }
}

/// Where a member of a crowd stands. The order of arrival has nothing to do with the rating.
fn place(number: usize, crowd: usize) -> i32 {
    let shuffled = number * 619_999 % crowd;
    (shuffled as i32 - crowd as i32 / 2) * CROWD_SPACING
}

/// Ten thousand wait; 500 times a second somebody comes who fits nobody, and leaves again.
fn small_crowd() -> Vec<Event> {
    let mut history = Vec::new();
    for number in 0..CROWD_SMALL {
        let what = What::Arrive(ticket(number, place(number, CROWD_SMALL), 0));
        history.push(Event { at_ms: 0, what });
    }
    for at_ms in (2..CROWD_SMALL_MS).step_by(2) {
        let number = CROWD_SMALL + at_ms as usize;
        let rating = place(number * 7_919, CROWD_SMALL) + CROWD_SPACING / 2;
        let what = What::Arrive(ticket(number, rating, at_ms));
        history.push(Event { at_ms, what });
        let (at_ms, what) = (at_ms + 1, What::Cancel(TicketId(number as u64)));
        history.push(Event { at_ms, what });
    }
    history
}

/// Decisions before a crowd: somebody comes who fits nobody, leaves again, or fits one of them.
fn crowd_p99_us<M: Matcher>(matcher: &mut M, decisions: usize) -> f64 {
    for number in 0..CROWD {
        fill(matcher, ticket(number, place(number, CROWD), 0));
    }
    let mut taken_us = Vec::with_capacity(decisions);
    let mut decide = |matcher: &mut M, what| {
        let began = Instant::now();
        let pairs = matcher.decide(Event { at_ms: 1, what });
        let _ = matcher.next_deadline();
        taken_us.push(began.elapsed().as_secs_f64() * 1e6);
        pairs
    };
    let mut number = CROWD;
    for step in 0..decisions / 3 {
        let near = step * 7_919 % CROWD;
        let between = ticket(number, place(near, CROWD) + CROWD_SPACING / 2, 0);
        decide(matcher, What::Arrive(between));
        decide(matcher, What::Cancel(between.id));
        number += 1;
        let fits = ticket(number, place(near, CROWD) + 1, 0);
        number += 1;
        for pair in decide(matcher, What::Arrive(fits)) {
            // The crowd stays as large as it was.
            let taken = if pair.older.id == fits.id {
                pair.younger
            } else {
                pair.older
            };
            fill(matcher, ticket(number, taken.rating, 0));
            number += 1;
        }
    }
    quantile(&sorted(taken_us), 0.99)
}

fn fill<M: Matcher>(matcher: &mut M, ticket: Ticket) {
    let what = What::Arrive(ticket);
    let _ = matcher.decide(Event { at_ms: 0, what });
}
