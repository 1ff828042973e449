//! Histories of a game that really has one order are accepted; damaged in one way, they are rejected by the rule
//! that this breaks.

use proptest::prelude::*;

use crate::{
    damage::Damage,
    support::check,
    world::{play, steps},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_history_of_a_real_order_is_accepted(steps in steps()) {
        let history = play(&steps);
        let report = check(&history);
        prop_assert!(report.is_clean(), "{:#?}\n{:#?}", report.found, history);
    }

    #[test]
    fn a_damaged_history_is_rejected_by_the_rule_that_it_breaks(steps in steps(), pick in any::<usize>()) {
        let history = play(&steps);
        for (damage, rule) in Damage::ALL {
            let Some(damaged) = damage.apply(&history, pick) else { continue };
            let found = check(&damaged);
            prop_assert!(
                found.found.iter().any(|one| one.rule == rule),
                "{damage:?} is not seen as {rule:?}: {:#?}\n{damaged:#?}", found.found
            );
        }
    }
}

/// Every kind of damage finds something to damage in a history as they are made here.
#[test]
fn every_kind_of_damage_is_tried() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    for (damage, _) in Damage::ALL {
        let tried = (0..40)
            .filter(|pick| {
                let history = play(&steps().new_tree(&mut runner).unwrap().current());
                damage.apply(&history, *pick).is_some()
            })
            .count();
        assert!(tried >= 10, "{damage:?}: {tried} of 40");
    }
}
