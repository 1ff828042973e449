//! Looks at which a side is not known: they never let a step pass.

use tminus_plan::{Counts, Look, Rollout, RolloutVerdict, Step};

use crate::rollout::spec;

fn look(at_s: u64, canary: u64) -> Look {
    let counts = |requests| Counts {
        requests,
        ..Counts::default()
    };
    Look {
        at_ms: at_s * 1000,
        stable: counts(100_000 + at_s * 1000),
        canary: counts(canary),
        ..Look::default()
    }
}

/// At 5 %, with all the requests that the step needs.
fn rollout() -> Rollout {
    let mut rollout = Rollout::new(&spec());
    rollout.next(&look(0, 0));
    assert_eq!(rollout.next(&look(121, 0)).step, Step::SetWeight(5));
    rollout.next(&look(122, 1000));
    rollout
}

#[test]
fn what_had_been_seen_before_does_not_let_a_blind_step_pass() {
    let mut rollout = rollout();
    for blind_s in [0, 30, 59] {
        let decision = rollout.blind("no series", blind_s * 1000, 60_000);
        let Step::Hold { why } = &decision.step else {
            panic!("{decision:?}");
        };
        assert!(why.contains("nothing is known at 5 %: no series"), "{why}");
        assert_eq!(decision.verdict, RolloutVerdict::NotEnoughEvidence);
    }
    assert_eq!(rollout.weight_percent(), 5);
    // Seen again, what came meanwhile counts.
    assert_eq!(rollout.next(&look(400, 2000)).step, Step::SetWeight(30));
}

#[test]
fn a_canary_that_stays_unknown_is_taken_back() {
    let mut rollout = rollout();
    let decision = rollout.blind("no series", 60_000, 60_000);
    assert!(matches!(&decision.step, Step::Rollback { reason } if reason.contains("no series")));
    assert_eq!(decision.verdict, RolloutVerdict::NotEnoughEvidence);
    assert_eq!(rollout.weight_percent(), 0);
    assert_eq!(rollout.measurements()["rolled_back"].value, 1.0);
    assert_eq!(rollout.next(&look(500, 9000)), decision, "it is over");
}

#[test]
fn a_side_without_traffic_need_not_be_known() {
    let mut rollout = Rollout::new(&spec());
    assert_eq!(rollout.needs(), (true, false), "before it begins");
    rollout.next(&look(0, 0));
    assert_eq!(rollout.needs(), (true, false), "at 0 %");
    rollout.next(&look(121, 0));
    assert_eq!(rollout.needs(), (true, true), "at 5 %");
    for (at_s, canary) in [(250, 1000), (400, 2000), (600, 3000)] {
        rollout.next(&look(at_s, canary));
    }
    assert_eq!(rollout.weight_percent(), 100);
    assert_eq!(rollout.needs(), (false, true), "at 100 %");
}

#[test]
fn sides_whose_counters_are_read_at_different_times_are_compared_all_the_same() {
    let mut rollout = rollout();
    let mut now = look(122, 1000);
    for turn in 0..20 {
        now.at_ms += 100;
        // One source's turn, then the other's: never both within one look.
        if turn % 2 == 0 {
            now.canary.requests += 20;
            now.canary.errors += 10;
        } else {
            now.stable.requests += 380;
        }
        if let Step::Rollback { .. } = rollout.next(&now).step {
            return;
        }
    }
    panic!("half of the canary's answers are errors, and nobody minds");
}
