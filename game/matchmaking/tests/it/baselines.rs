//! The same arrivals for the queue and for the designs that it is measured against.

use starvault_matchmaking::{
    Policy, Queue, Settings,
    baseline::{GlobalMutex, ShardedMutex},
    drive::{Account, Event, Matcher, Pair, Stream, drive},
};

const SETTINGS: Settings = Settings {
    policy: Policy::V2,
    window_initial: 50,
    window_growth_per_second: 100,
    wait_ms_max: 10_000,
    avoid_ms: 0,
    avoid_alone_ms: 0,
    tickets_max: 100_000,
};
const HOUR_MS: u64 = 3_600_000;

fn stream() -> Vec<Event> {
    let stream = Stream {
        tickets: 20_000,
        tickets_per_second: 50.0,
        ..Stream::default()
    };
    stream.history()
}

fn account(mut matcher: impl Matcher, history: &[Event]) -> Account {
    drive(&mut matcher, history, HOUR_MS, Matcher::decide)
}

#[test]
fn every_matcher_accounts_for_every_ticket() {
    let history = stream();
    let arrivals = 20_000;
    for account in [
        account(Queue::new(SETTINGS), &history),
        account(GlobalMutex::new(SETTINGS), &history),
        account(ShardedMutex::new(SETTINGS), &history),
    ] {
        assert_eq!(account.waits_ms.len() as u64, 2 * account.matches);
        assert!(account.waits_ms.len() + account.left <= arrivals);
        assert!(account.matches > 9_900, "{} matches", account.matches);
    }
}

#[test]
fn sharing_out_by_level_makes_the_slowest_wait_longer() {
    let history = stream();
    let ours = account(Queue::new(SETTINGS), &history).wait_ms(0.99);
    let theirs = account(ShardedMutex::new(SETTINGS), &history).wait_ms(0.99);

    assert!(theirs > ours, "P99: {ours} ms, {theirs} ms");
}

#[test]
fn the_same_seed_gives_the_same_account() {
    let history = stream();
    assert_eq!(history, stream());
    let mut asked = 0_u64;
    let mut queue = Queue::new(SETTINGS);
    let counted = drive(&mut queue, &history, HOUR_MS, |queue, event| -> Vec<Pair> {
        asked += 1;
        queue.decide(event)
    });
    assert_eq!(counted, account(Queue::new(SETTINGS), &history));
    assert_eq!(
        asked, counted.decisions,
        "every decision goes through the closure"
    );
}
