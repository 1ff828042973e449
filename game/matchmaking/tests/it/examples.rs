//! The queue by examples.

use starvault_matchmaking::{
    AddError, Match, PlayerKey, Policy, Queue, Settings, SettingsError, Ticket, TicketId,
};

const NARROW: Settings = Settings {
    policy: Policy::V2,
    window_initial: 50,
    window_growth_per_second: 25,
    wait_ms_max: 20_000,
    avoid_ms: 5_000,
    avoid_alone_ms: 300,
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
fn a_moment_between_two_milliseconds_is_the_later_one() {
    let settings = Settings {
        window_growth_per_second: 300,
        ..NARROW
    };
    // One point more than the window on arrival: 1/300 s.
    let mut queue = queue_of(settings, &[(1, 1000, 0), (2, 1051, 0)]);
    assert_eq!(queue.next_deadline(), Some(4));
    assert!(queue.poll(3).is_empty());
    assert_eq!(ids(&queue.poll(4)), [(1, 2)]);
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

// --- last opponents ---

fn avoiding(id: u64, rating: i32, enqueued_at_ms: u64, avoid: u64) -> Ticket {
    Ticket {
        avoid: Some(PlayerKey(avoid)),
        ..ticket(id, rating, enqueued_at_ms)
    }
}

#[test]
fn last_opponents_meet_again_only_after_both_have_waited() {
    // The third one fits nobody for a long time, but it is there.
    let mut queue = queue_of(NARROW, &[(1, 1000, 0), (3, 2900, 0)]);
    queue.add(avoiding(2, 1000, 1_000, 1)).expect("a fresh id");
    assert!(queue.poll(1_000).is_empty());
    assert_eq!(queue.next_deadline(), Some(6_000), "one's wish is enough");
    assert!(queue.poll(5_999).is_empty());
    assert_eq!(ids(&queue.poll(6_000)), [(1, 2)]);
}

#[test]
fn last_opponents_meet_soon_when_nobody_else_waits() {
    let mut queue = queue_of(NARROW, &[(1, 1000, 0)]);
    queue.add(avoiding(2, 1000, 1_000, 1)).expect("a fresh id");
    assert!(queue.poll(1_000).is_empty());
    assert_eq!(queue.next_deadline(), Some(1_300));
    assert!(queue.poll(1_299).is_empty());
    assert_eq!(ids(&queue.poll(1_300)), [(1, 2)]);

    // Company may come meanwhile.
    let mut queue = queue_of(NARROW, &[(1, 1000, 0)]);
    queue.add(avoiding(2, 1000, 1_000, 1)).expect("a fresh id");
    assert!(queue.poll(1_000).is_empty());
    queue.add(ticket(3, 2900, 1_100)).expect("a fresh id");
    assert!(queue.poll(1_300).is_empty());
    assert_eq!(queue.next_deadline(), Some(6_000), "there are three now");
}

#[test]
fn alone_last_opponents_are_not_kept_apart_longer_than_in_company() {
    let settings = Settings {
        avoid_ms: 100,
        ..NARROW
    };
    let mut queue = queue_of(settings, &[(1, 1000, 0)]);
    queue.add(avoiding(2, 1000, 1_000, 1)).expect("a fresh id");
    assert_eq!(queue.next_deadline(), Some(1_100));
}

#[test]
fn last_opponents_meet_as_soon_as_the_last_other_one_has_gone() {
    let with_a_third = || {
        let mut queue = queue_of(NARROW, &[(1, 1000, 0), (3, 2900, 0)]);
        queue.add(avoiding(2, 1000, 1_000, 1)).expect("a fresh id");
        assert!(queue.poll(1_000).is_empty());
        queue
    };
    let mut queue = with_a_third();
    queue.remove(TicketId(3)).expect("it waits");
    assert_eq!(queue.next_deadline(), Some(1_300));
    assert_eq!(ids(&queue.poll(2_000)), [(1, 2)]);

    let mut queue = with_a_third();
    assert!(queue.suspend(TicketId(3), 60_000));
    assert_eq!(
        ids(&queue.poll(2_000)),
        [(1, 2)],
        "a suspended ticket is nobody's company"
    );

    let mut queue = with_a_third();
    queue.add(ticket(4, 2900, 2_000)).expect("a fresh id");
    assert_eq!(
        ids(&queue.poll(2_000)),
        [(3, 4), (1, 2)],
        "the others' match leaves the two alone, in the same moment"
    );
}

#[test]
fn two_last_opponents_who_are_alone_still_need_windows_that_reach() {
    let mut queue = queue_of(NARROW, &[(1, 1000, 0)]);
    queue.add(avoiding(2, 2900, 1_000, 1)).expect("a fresh id");
    assert!(queue.poll(1_000).is_empty());
    assert_eq!(queue.next_deadline(), Some(20_000), "the bound on waiting");
}

#[test]
fn somebody_else_comes_before_the_last_opponent_even_when_further_away() {
    let mut queue = queue_of(NARROW, &[(1, 1000, 0), (4, 2900, 0)]);
    queue.add(avoiding(2, 1000, 0, 1)).expect("a fresh id");
    assert!(queue.poll(0).is_empty());
    queue.add(ticket(3, 1040, 7_000)).expect("a fresh id");
    let found = queue.poll(7_000);
    assert_eq!(ids(&found), [(1, 3)], "the third one splits the pair");
    assert_eq!(queue.len(), 2);
}

#[test]
fn behind_somebody_whom_both_avoid_two_equals_find_each_other() {
    let mut queue = queue_of(NARROW, &[(1, 1000, 0)]);
    queue.add(avoiding(2, 1000, 1, 1)).expect("a fresh id");
    queue.add(avoiding(3, 1000, 2, 1)).expect("a fresh id");
    assert_eq!(ids(&queue.poll(2)), [(2, 3)]);
}

#[test]
fn the_bound_on_waiting_overrides_the_wish_but_only_for_want_of_others() {
    let settings = Settings {
        avoid_ms: 20_000,
        ..NARROW
    };
    let mut queue = queue_of(settings, &[(1, 1000, 0), (3, 2900, 16_000)]);
    queue.add(avoiding(2, 1000, 15_000, 1)).expect("a fresh id");
    assert!(queue.poll(19_999).is_empty());
    assert_eq!(queue.next_deadline(), Some(20_000));
    assert_eq!(ids(&queue.poll(20_000)), [(1, 3)]);
}

#[test]
fn a_player_whom_a_crowd_avoids_still_finds_somebody() {
    let mut queue = Queue::new(Settings {
        tickets_max: 1_000,
        ..NARROW
    });
    queue.add(ticket(1, 1000, 0)).expect("a fresh id");
    for id in 2..=Queue::AVOIDERS_MAX as u64 + 1 {
        queue.add(avoiding(id, 1000, 0, 1)).expect("a fresh id");
    }
    queue.remove(TicketId(2)).expect("it waits");
    queue.add(avoiding(100, 1000, 0, 1)).expect("a fresh id");
    queue.add(avoiding(101, 1000, 0, 1)).expect("a fresh id");
    // The wish of the last one is one too many.
    assert!(ids(&queue.poll(0)).contains(&(1, 101)));
}

// --- suspended tickets ---

#[test]
fn a_suspended_ticket_is_never_matched_and_comes_back_to_its_place() {
    let mut queue = queue_of(NARROW, &[(1, 1000, 0)]);
    assert!(queue.suspend(TicketId(1), 10_000));
    assert_eq!((queue.len(), queue.suspended_len()), (1, 1));
    assert_eq!(queue.oldest_enqueued_at_ms(), None);
    queue.add(ticket(2, 1000, 10)).expect("a fresh id");
    assert!(queue.poll(9_000).is_empty());
    assert_eq!(queue.next_deadline(), None, "nobody is there to meet");
    assert!(queue.resume(TicketId(1)));
    assert!(!queue.resume(TicketId(1)), "once");
    let found = queue.poll(9_000);
    assert_eq!(ids(&found), [(1, 2)], "1 is the older one, as before");
}

#[test]
fn a_suspended_ticket_lasts_until_the_moment_that_was_set_last() {
    let mut queue = queue_of(NARROW, &[(1, 1000, 0), (2, 1900, 0)]);
    assert!(queue.suspend(TicketId(1), 5_000));
    assert!(queue.suspend(TicketId(1), 7_000), "the connection was lost again");
    assert_eq!(queue.next_expiry(), Some(7_000));
    assert!(queue.expire(6_999).is_empty());
    assert_eq!(queue.expire(7_000), [ticket(1, 1000, 0)]);
    assert_eq!((queue.next_expiry(), queue.len()), (None, 1));
    assert!(!queue.resume(TicketId(1)) && !queue.suspend(TicketId(1), 9_000));
    assert!(queue.suspend(TicketId(2), 9_000) && queue.resume(TicketId(2)));
    assert!(queue.expire(10_000).is_empty(), "whoever is back is not dropped");
}

#[test]
fn a_suspended_player_cannot_queue_a_second_time() {
    let mut queue = queue_of(NARROW, &[(1, 1000, 0)]);
    queue.suspend(TicketId(1), 5_000);
    let second = Ticket {
        id: TicketId(9),
        ..ticket(1, 1000, 10)
    };
    let player = PlayerKey(1);
    let refused = Err(AddError::PlayerWaiting {
        player,
        id: TicketId(1),
    });
    assert_eq!(queue.add(second), refused);
    assert_eq!(
        queue.remove(TicketId(1)),
        Some(ticket(1, 1000, 0)),
        "leaving works meanwhile"
    );
    assert_eq!(queue.add(second), Ok(()));
}

// --- clocks, knobs ---

#[test]
fn a_clock_that_jumps_breaks_nothing() {
    let mut queue = queue_of(NARROW, &[(1, 1000, 50_000)]);
    queue.add(ticket(2, 1000, 10_000)).expect("a fresh id");
    assert!(queue.poll(9_000).is_empty(), "neither has arrived at this time");
    assert_eq!(
        queue.next_deadline(),
        Some(30_000),
        "the bound of the older one comes first"
    );
    assert_eq!(ids(&queue.poll(30_000)), [(2, 1)]);
    queue.add(ticket(3, 1000, 0)).expect("a fresh id");
    assert!(queue.poll(u64::MAX).is_empty());
    assert!(matches!(
        queue.add(ticket(4, 1000, u64::MAX)),
        Err(AddError::TimeOutOfRange { .. })
    ));
}

#[test]
fn the_ends_of_the_rating_scale_are_ratings_like_others() {
    let mut queue = queue_of(NARROW, &[(1, i32::MIN, 0), (2, i32::MAX, 0)]);
    assert_eq!(queue.next_deadline(), Some(20_000));
    assert_eq!(ids(&queue.poll(20_000)), [(1, 2)]);
}

#[test]
fn knobs_outside_their_range_are_refused_with_the_range() {
    let default = Settings::default();
    assert_eq!(default.validate(), Ok(default));
    let check = |settings: Settings, expect: &str| {
        let error: SettingsError = settings.validate().expect_err("out of range");
        assert_eq!(error.to_string(), expect);
    };
    check(
        Settings {
            window_growth_per_second: 1_000,
            ..default
        },
        "the window would be 10400 rating points wide to either side when the bound on waiting is reached; at most 10000",
    );
    check(
        Settings {
            wait_ms_max: 99,
            ..default
        },
        "wait_ms_max is 99; it must be from 100 to 600000 milliseconds",
    );
    check(
        Settings {
            avoid_ms: 10_001,
            ..default
        },
        "avoid_ms is 10001; it must not exceed wait_ms_max, 10000",
    );
    check(
        Settings {
            tickets_max: 1,
            ..default
        },
        "tickets_max is 1; it must be from 2 to 4000000",
    );
}

#[test]
fn ten_thousand_equals_pair_off_by_age() {
    let mut queue = Queue::new(Settings::default());
    for id in 0..10_000 {
        queue.add(ticket(id, 1500, id / 10)).expect("a fresh id");
    }
    let found = ids(&queue.poll(1_000));
    assert_eq!(found.len(), 5_000);
    assert!(
        found
            .iter()
            .enumerate()
            .all(|(i, pair)| *pair == (2 * i as u64, 2 * i as u64 + 1))
    );
}

#[test]
fn the_first_policy_keeps_its_window_takes_the_oldest_and_heeds_no_wish() {
    let first = Policy::V1.applied_to(NARROW);
    assert_eq!(first.validate(), Ok(first));
    assert_eq!(
        (first.window(0), first.window(19_999)),
        (50, 50),
        "it does not widen"
    );
    // 1060 is nearer to 1050 than 1001, which has waited longer.
    for (settings, matched) in [(first, (1, 3)), (NARROW, (2, 3))] {
        let mut queue = queue_of(settings, &[(1, 1001, 0), (2, 1060, 0)]);
        assert_eq!(queue.poll(0), []);
        queue.add(ticket(3, 1050, 1)).expect("fresh");
        assert_eq!(ids(&queue.poll(1)), [matched], "{:?}", settings.policy);
    }
    // Nobody within the window: the bound on waiting, and then the one who has waited longest.
    let mut queue = queue_of(first, &[(1, 1000, 0), (2, 1500, 1), (3, 1100, 2)]);
    assert_eq!(queue.poll(2), []);
    assert_eq!(queue.next_deadline(), Some(20_000));
    assert_eq!(queue.poll(19_999), []);
    assert_eq!(ids(&queue.poll(20_000)), [(1, 2)]);
    // Last opponents meet again at once; the one who has waited longest, avoided or not.
    let mut queue = queue_of(first, &[(1, 950, 0), (2, 1040, 1)]);
    assert_eq!(queue.poll(1), []);
    let avoid = Some(PlayerKey(1));
    queue
        .add(Ticket {
            avoid,
            ..ticket(3, 1000, 2)
        })
        .expect("fresh");
    assert_eq!(ids(&queue.poll(2)), [(1, 3)]);
    let mut queue = Queue::new(first);
    for id in [1, 2] {
        let avoid = Some(PlayerKey(3 - id));
        queue
            .add(Ticket {
                avoid,
                ..ticket(id, 1000, 0)
            })
            .expect("fresh");
    }
    assert_eq!(ids(&queue.poll(0)), [(1, 2)]);
}

#[test]
fn a_pool_that_changes_its_policy_keeps_everybody_and_goes_by_the_new_rules_at_once() {
    let first = Policy::V1.applied_to(NARROW);
    let mut queue = queue_of(first, &[(1, 1000, 0), (2, 1100, 0), (3, 1300, 0)]);
    assert_eq!(queue.poll(0), []);
    assert!(queue.suspend(TicketId(3), 9_000));
    // To 100 points the second one's window has opened at 2 s: due as soon as that is the policy.
    assert_eq!(queue.poll(5_000), []);
    queue.adopt(NARROW);
    assert_eq!(queue.next_deadline(), Some(2_000), "past already");
    assert_eq!(ids(&queue.poll(5_000)), [(1, 2)]);
    assert_eq!(
        (queue.len(), queue.suspended_len(), queue.next_expiry()),
        (1, 1, Some(9_000))
    );
    // And back: a timer of the former rules makes no match.
    assert!(queue.resume(TicketId(3)));
    queue.add(ticket(4, 1400, 5_000)).expect("fresh");
    assert_eq!(queue.poll(5_000), []);
    assert_eq!(queue.next_deadline(), Some(7_000));
    queue.adopt(first);
    assert_eq!(queue.next_deadline(), Some(20_000));
    assert_eq!(queue.poll(7_000), []);
    // Wishes outlive the policy that does not heed them.
    let mut queue = Queue::new(first);
    let avoid = Some(PlayerKey(2));
    queue
        .add(Ticket {
            avoid,
            ..ticket(1, 1000, 0)
        })
        .expect("fresh");
    queue.adopt(NARROW);
    queue.add(ticket(2, 1000, 0)).expect("fresh");
    assert_eq!(queue.poll(0), []);
    assert_eq!(queue.next_deadline(), Some(300));
}
