//! Examples by hand, then random histories against a model that looks at every pair.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::{AddError, Match, PlayerKey, Queue, Settings, Ticket, TicketId};

const NARROW: Settings = Settings {
    window_initial: 50,
    window_growth_per_second: 25,
    wait_ms_max: 20_000,
    avoid_ms: 5_000,
    tickets_max: 64,
};

fn ticket(id: u64, rating: i32, enqueued_at_ms: u64) -> Ticket {
    Ticket {
        id: TicketId(id),
        player: PlayerKey(id),
        rating,
        enqueued_at_ms,
        avoid: None,
    }
}

fn queue_of(settings: Settings, tickets: &[(u64, i32, u64)]) -> Queue {
    let mut queue = Queue::new(settings);
    for (id, rating, enqueued_at_ms) in tickets {
        queue
            .add(ticket(*id, *rating, *enqueued_at_ms))
            .expect("a fresh id");
    }
    queue
}

fn ids(matches: &[Match]) -> Vec<(u64, u64)> {
    matches
        .iter()
        .map(|found| (found.older.ticket.id.0, found.younger.ticket.id.0))
        .collect()
}

#[test]
fn guests_meet_at_once_with_the_default_windows() {
    let mut queue = queue_of(
        Settings::default(),
        &[(1, 1200, 0), (2, 1210, 5), (3, 1190, 6), (4, 1500, 7)],
    );
    assert_eq!(ids(&queue.poll(7)), [(1, 2), (3, 4)]);
    assert!(queue.is_empty());
}

#[test]
fn the_nearest_rating_wins_and_of_two_equally_near_ones_the_older() {
    let mut queue = queue_of(NARROW, &[(1, 1000, 0), (2, 1100, 0), (3, 1060, 1)]);
    assert_eq!(ids(&queue.poll(1)), [(2, 3)]);
    let mut queue = queue_of(NARROW, &[(1, 940, 0), (2, 1040, 1), (3, 990, 2)]);
    assert_eq!(ids(&queue.poll(2)), [(1, 3)]);
}

#[test]
fn both_windows_must_hold_the_gap_and_the_moment_is_exact() {
    // A gap of 100 needs a window of 100, which a ticket has after two seconds.
    let mut queue = queue_of(NARROW, &[(1, 1000, 0), (2, 1100, 9_000)]);
    assert_eq!(queue.next_deadline(), Some(11_000));
    assert!(queue.poll(10_999).is_empty());
    assert_eq!(ids(&queue.poll(11_000)), [(1, 2)]);
}

#[test]
fn whoever_has_waited_for_the_bound_plays_anybody_oldest_first() {
    let mut queue = queue_of(NARROW, &[(1, 100, 1_000), (2, 2900, 0), (3, 1500, 19_999)]);
    assert_eq!(queue.next_deadline(), Some(20_000));
    assert!(queue.poll(19_999).is_empty());
    assert_eq!(ids(&queue.poll(20_000)), [(2, 3)]);
    assert_eq!(queue.next_deadline(), None, "nobody is left to wait for");
}

#[test]
fn a_partner_who_leaves_moves_the_deadline() {
    let mut queue = queue_of(NARROW, &[(1, 1000, 0), (2, 1100, 0), (3, 1200, 0)]);
    assert_eq!(queue.next_deadline(), Some(2_000));
    assert_eq!(queue.remove(TicketId(2)), Some(ticket(2, 1100, 0)));
    assert_eq!(queue.next_deadline(), Some(6_000));
    assert_eq!(queue.remove(TicketId(2)), None);
}

#[test]
fn a_ticket_put_back_keeps_its_seniority_and_is_refused_twice() {
    let mut queue = queue_of(NARROW, &[(1, 1000, 7), (2, 1000, 7)]);
    let found = queue.poll(7);
    assert_eq!(ids(&found), [(1, 2)]);
    // 2 has gone; 3 came in the same millisecond as 1, but after it.
    queue.add(ticket(3, 1000, 7)).expect("a fresh id");
    queue.put_back(found[0].older).expect("1 does not wait");
    assert_eq!(
        queue.put_back(found[0].older),
        Err(AddError::AlreadyWaiting { id: TicketId(1) })
    );
    queue.add(ticket(4, 1000, 8)).expect("a fresh id");
    assert_eq!(ids(&queue.poll(8))[0].0, 1);
}

#[test]
fn a_full_queue_and_a_known_id_are_refused() {
    let settings = Settings {
        tickets_max: 1,
        ..NARROW
    };
    let mut queue = queue_of(settings, &[(1, 1000, 0)]);
    assert_eq!(
        queue.add(ticket(2, 1000, 0)),
        Err(AddError::Full { tickets_max: 1 })
    );
    let mut queue = queue_of(NARROW, &[(1, 1000, 0)]);
    assert_eq!(
        queue.add(ticket(1, 1500, 3)),
        Err(AddError::AlreadyWaiting { id: TicketId(1) })
    );
    assert_eq!(queue.remove(TicketId(1)), Some(ticket(1, 1000, 0)));
}

#[test]
fn a_window_that_never_grows_leaves_only_the_bound() {
    let settings = Settings {
        window_growth_per_second: 0,
        ..NARROW
    };
    let mut queue = queue_of(settings, &[(1, 1000, 0), (2, 1051, 0)]);
    assert_eq!(queue.next_deadline(), Some(20_000));
    assert_eq!(ids(&queue.poll(20_000)), [(1, 2)]);
}

// --- the model ---

/// When a pair fits, straight from the definition.
fn model_fits_at_ms(settings: &Settings, a: &Ticket, b: &Ticket) -> u64 {
    let (older, younger) = if a.enqueued_at_ms <= b.enqueued_at_ms {
        (a, b)
    } else {
        (b, a)
    };
    let bound = older.enqueued_at_ms + settings.wait_ms_max;
    let gap = u64::from(a.rating.abs_diff(b.rating));
    let agrees = |at_ms: u64| {
        [older, younger]
            .iter()
            .all(|one| at_ms >= one.enqueued_at_ms && settings.window(at_ms - one.enqueued_at_ms) >= gap)
    };
    (younger.enqueued_at_ms..bound)
        .find(|at_ms| agrees(*at_ms))
        .unwrap_or(bound)
}

fn model_next(settings: &Settings, waiting: &[Ticket]) -> Option<u64> {
    let pairs = waiting
        .iter()
        .enumerate()
        .flat_map(|(i, a)| waiting[..i].iter().map(move |b| (a, b)));
    pairs.map(|(a, b)| model_fits_at_ms(settings, a, b)).min()
}

#[derive(Debug, Clone)]
enum Step {
    Add {
        rating: i32,
    },
    /// Leaves, whoever is at this position among those who wait.
    Remove {
        position: usize,
    },
    Wait {
        ms: u64,
    },
    WaitForDeadline,
    /// The last match came to nothing for its younger side.
    PutBack,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (900..1500_i32).prop_map(|rating| Step::Add { rating }),
        1 => (0..2000_i32).prop_map(|rating| Step::Add { rating }),
        1 => (0..16_usize).prop_map(|position| Step::Remove { position }),
        2 => (0..400_u64).prop_map(|ms| Step::Wait { ms }),
        2 => Just(Step::WaitForDeadline),
        1 => Just(Step::PutBack),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn nobody_who_fits_is_left_waiting(steps in proptest::collection::vec(step(), 1..60)) {
        // Milliseconds are coarse here so that the model can look at each of them.
        let settings = Settings { window_initial: 20, window_growth_per_second: 200, wait_ms_max: 1_500, avoid_ms: 700, tickets_max: 64 };
        let mut queue = Queue::new(settings);
        let mut waiting: Vec<Ticket> = Vec::new();
        let mut returned = None;
        let (mut now_ms, mut next_id) = (0_u64, 0_u64);
        let mut in_a_match = BTreeSet::new();
        for step in steps {
            match step {
                Step::Add { rating } => {
                    next_id += 1;
                    let ticket = ticket(next_id, rating, now_ms);
                    queue.add(ticket).expect("a fresh id");
                    waiting.push(ticket);
                }
                Step::Remove { position } if position < waiting.len() => {
                    let gone = waiting.remove(position);
                    prop_assert_eq!(queue.remove(gone.id), Some(gone));
                }
                Step::Remove { .. } => {}
                Step::Wait { ms } => now_ms += ms,
                Step::WaitForDeadline => now_ms = queue.next_deadline().unwrap_or(now_ms),
                Step::PutBack => {
                    if let Some(found) = returned.take() {
                        let found: Match = found;
                        queue.put_back(found.older).expect("it was taken out");
                        in_a_match.remove(&found.older.ticket.id);
                        waiting.push(found.older.ticket);
                    }
                }
            }
            let due = model_next(&settings, &waiting).is_some_and(|at_ms| at_ms <= now_ms);
            let found = queue.poll(now_ms);
            prop_assert_eq!(due, !found.is_empty(), "a match is made exactly when a pair fits");
            for found in &found {
                let (older, younger) = (found.older.ticket, found.younger.ticket);
                prop_assert!(older.enqueued_at_ms <= younger.enqueued_at_ms);
                prop_assert!(model_fits_at_ms(&settings, &older, &younger) <= now_ms, "both windows agree");
                for ticket in [older, younger] {
                    prop_assert!(in_a_match.insert(ticket.id), "no ticket is in two matches");
                    waiting.retain(|one| one.id != ticket.id);
                }
            }
            returned = found.last().copied().or(returned);
            prop_assert_eq!(queue.len(), waiting.len());
            prop_assert_eq!(queue.next_deadline(), model_next(&settings, &waiting), "the next moment is exact");
            // With an opponent there, nobody waits longer than the bound.
            if waiting.len() >= 2 {
                prop_assert!(waiting.iter().all(|one| now_ms - one.enqueued_at_ms < settings.wait_ms_max));
            }
        }
    }
}
