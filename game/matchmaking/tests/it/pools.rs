//! Several pools, one place for each player.

use std::collections::BTreeMap;

use proptest::prelude::*;
use starvault_matchmaking::{AddError, PlayerKey, Policy, PoolError, Pools, Settings, Ticket, TicketId};

fn ticket(id: u64, player: u64, rating: i32) -> Ticket {
    Ticket {
        id: TicketId(id),
        player: PlayerKey(player),
        rating,
        enqueued_at_ms: 0,
        avoid: None,
    }
}

fn pools() -> Pools<&'static str> {
    Pools::new(Settings::default(), ["asia", "eu"])
}

#[test]
fn a_second_ticket_is_refused_with_the_pool_in_which_the_player_waits() {
    let mut pools = pools();
    pools.add(&"eu", ticket(1, 7, 1500)).expect("the first");
    let refused = Err(PoolError::AlreadyWaiting {
        pool: "eu",
        id: TicketId(1),
    });
    assert_eq!(pools.add(&"asia", ticket(2, 7, 1500)), refused, "the same player");
    assert_eq!(
        pools.add(&"eu", ticket(2, 7, 1500)),
        refused,
        "in the same pool as well"
    );
    assert_eq!(pools.add(&"asia", ticket(1, 8, 1500)), refused, "the same id");
    assert!(pools.suspend(TicketId(1), 99));
    assert_eq!(
        pools.add(&"asia", ticket(2, 7, 1500)),
        refused,
        "and while it is suspended"
    );
    assert_eq!(pools.pool_of(PlayerKey(7)), Some((&"eu", TicketId(1))));
    assert!(pools.remove(TicketId(1)).is_some());
    assert_eq!(pools.add(&"asia", ticket(2, 7, 1500)), Ok(()));
}

#[test]
fn an_unknown_pool_is_named_and_a_full_one_says_so() {
    let mut pools = pools();
    assert_eq!(
        pools.add(&"mars", ticket(1, 1, 1500)),
        Err(PoolError::Unknown { pool: "mars" })
    );
    let settings = Settings {
        tickets_max: 2,
        ..Settings::default()
    };
    let mut pools = Pools::new(settings, ["eu", "asia"]);
    for id in 0..2 {
        pools.add(&"eu", ticket(id, id, 1500)).expect("there is room");
    }
    let full = PoolError::Refused(AddError::Full { tickets_max: 2 });
    assert_eq!(pools.add(&"eu", ticket(3, 3, 1500)), Err(full));
    assert_eq!(
        pools.add(&"asia", ticket(3, 3, 1500)),
        Ok(()),
        "the limit is each pool's own"
    );
}

#[test]
fn a_returned_ticket_goes_back_to_its_pool_unless_its_player_waits_elsewhere() {
    let mut pools = pools();
    pools.add(&"eu", ticket(1, 1, 1500)).expect("fresh");
    pools.add(&"eu", ticket(2, 2, 1500)).expect("fresh");
    let (pool, found) = pools.poll(0)[0];
    assert_eq!(pool, "eu");
    pools
        .add(&"asia", ticket(3, 1, 1500))
        .expect("1 has left the pool");
    let refused = Err(PoolError::AlreadyWaiting {
        pool: "asia",
        id: TicketId(3),
    });
    assert_eq!(pools.put_back(&pool, found.older), refused);
    assert_eq!(pools.put_back(&pool, found.younger), Ok(()));
    assert!(pools.suspend(TicketId(2), 30) && pools.resume(TicketId(2)) && pools.suspend(TicketId(2), 40));
    assert_eq!(pools.next_expiry(), Some(40));
    assert_eq!(pools.expire(40), [("eu", ticket(2, 2, 1500))]);
    assert_eq!(pools.len(), 1);
}

#[test]
fn the_next_moment_is_that_of_the_pool_that_is_due_first() {
    let mut pools = pools();
    for (id, pool, rating) in [
        (1, "asia", 1500),
        (2, "asia", 2200),
        (3, "eu", 1500),
        (4, "eu", 2000),
    ] {
        pools.add(&pool, ticket(id, id, rating)).expect("fresh");
    }
    assert!(pools.poll(0).is_empty());
    assert_eq!(
        pools.next_deadline(),
        Some(1_000),
        "100 points beyond the window, 100 a second"
    );
    assert_eq!(pools.poll(1_000)[0].0, "eu");
    assert_eq!(pools.next_deadline(), Some(3_000));
    let eu = pools.get(&"eu").expect("a pool");
    assert_eq!((eu.len(), pools.len()), (0, 2));
    assert_eq!(pools.oldest_enqueued_at_ms(), Some(0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn matches_never_span_pools_and_nobody_waits_twice(
        steps in proptest::collection::vec((0..3_u8, 0..12_u64, 1000..2400_i32, 0..900_u64), 1..80)
    ) {
        let mut pools: Pools<u8> = Pools::new(Settings::default(), [0, 1, 2]);
        let mut waits_in: BTreeMap<PlayerKey, u8> = BTreeMap::new();
        let mut now_ms = 0;
        for (id, (pool, player, rating, ms)) in steps.into_iter().enumerate() {
            now_ms += ms;
            let ticket = Ticket { enqueued_at_ms: now_ms, ..ticket(id as u64, player, rating) };
            let answer = pools.add(&pool, ticket);
            match waits_in.get(&ticket.player) {
                Some(place) => {
                    let named = matches!(answer, Err(PoolError::AlreadyWaiting { pool, .. }) if pool == *place);
                    prop_assert!(named, "{answer:?}");
                }
                None => {
                    prop_assert_eq!(answer, Ok(()));
                    waits_in.insert(ticket.player, pool);
                }
            }
            for (pool, found) in pools.poll(now_ms) {
                for side in [found.older, found.younger] {
                    prop_assert_eq!(waits_in.remove(&side.ticket.player), Some(pool));
                }
            }
            prop_assert_eq!(pools.len(), waits_in.len());
            prop_assert!(pools.next_deadline().is_none_or(|at_ms| at_ms > now_ms));
        }
    }
}

#[test]
fn each_pool_has_a_policy_of_its_own() {
    let mut pools = pools();
    assert!(pools.adopt(&"eu", Policy::V1.applied_to(Settings::default())));
    assert!(!pools.adopt(&"mars", Settings::default()));
    let policy = |pools: &Pools<_>, pool| pools.get(&pool).map(|queue| queue.settings().policy);
    assert_eq!(policy(&pools, "eu"), Some(Policy::V1));
    assert_eq!(policy(&pools, "asia"), Some(Policy::V2));
}
