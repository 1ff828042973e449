use std::time::Duration;

use proptest::prelude::*;
use tminus_deadline::{BUDGET_MAX, Deadline, MARGIN_MAX, MARGIN_MIN, margin};
use tokio::time::Instant;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn start() -> std::time::Instant {
    Instant::now().into_std()
}

#[test]
fn the_shorter_of_caller_and_route_holds() {
    let arrival = start();
    let check = |requested: Option<u64>, route_max: u64, expected: u64| {
        let deadline = Deadline::of(arrival, requested.map(ms), ms(route_max));
        assert_eq!(deadline.left(arrival), ms(expected), "{requested:?} {route_max}");
    };
    check(None, 10_000, 10_000);
    check(Some(300), 10_000, 300);
    check(Some(20_000), 10_000, 10_000);
    let forever = Deadline::of(arrival, Some(Duration::MAX), Duration::MAX);
    assert_eq!(forever.left(arrival), BUDGET_MAX);
}

#[test]
fn less_is_handed_on_than_is_left_and_never_nothing() {
    let arrival = start();
    let check = |budget_us: u64, spent_us: u64, margin_us: u64, expected_ms: Option<u64>| {
        let deadline = Deadline::after(arrival, Duration::from_micros(budget_us));
        let now = arrival + Duration::from_micros(spent_us);
        let left = deadline.remaining_for_next_hop(now, Duration::from_micros(margin_us));
        assert_eq!(left, expected_ms.map(ms), "{budget_us} {spent_us} {margin_us}");
    };
    check(300_000, 0, 15_000, Some(285));
    check(300_000, 100_400, 9_000, Some(190));
    check(300_000, 300_000, 1_000, None);
    check(300_000, 400_000, 1_000, None);
    check(2_000, 0, 1_000, Some(1));
    check(1_999, 0, 1_000, None);
    check(1_000, 0, 0, Some(1));
    check(999, 0, 0, None);
    check(0, 0, 0, None);
}

#[test]
fn a_hop_keeps_a_twentieth_within_bounds() {
    assert_eq!(margin(Duration::ZERO), MARGIN_MIN);
    assert_eq!(margin(ms(20)), ms(1));
    assert_eq!(margin(ms(300)), ms(15));
    assert_eq!(margin(ms(10_000)), MARGIN_MAX);
}

proptest! {
    /// Along any chain of hops the budget only shrinks, and ends.
    #[test]
    fn a_budget_shrinks_from_hop_to_hop(
        budget_ms in 1_u64..1_000_000,
        spent_us in proptest::collection::vec(0_u64..5_000_000, 1..20),
    ) {
        let mut now = start();
        let mut budget = ms(budget_ms);
        for spent in spent_us {
            let deadline = Deadline::after(now, budget);
            now += Duration::from_micros(spent);
            let left = deadline.left(now);
            match deadline.remaining_for_next_hop(now, margin(left)) {
                Some(next) => {
                    prop_assert!(!next.is_zero() && next < budget && next + MARGIN_MIN <= left);
                    prop_assert_eq!(next.subsec_nanos() % 1_000_000, 0);
                    budget = next;
                }
                None => {
                    prop_assert!(left < MARGIN_MIN + ms(1));
                    break;
                }
            }
        }
    }
}
