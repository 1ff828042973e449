use http::{HeaderMap, HeaderName};
use proptest::prelude::*;

use super::*;

fn backend(name: &str, version: &str) -> RouteBackend {
    RouteBackend {
        name: name.to_owned(),
        version: version.to_owned(),
        draining: false,
    }
}

/// Backends stand in the order of their names: canary, stable.
const CANARY: BackendId = BackendId(0);
const STABLE: BackendId = BackendId(1);

fn split(canary: u32) -> Split {
    Split::new([(STABLE, 100 - canary), (CANARY, canary)]).unwrap()
}

fn pin(name: &str, version: &str, to: BackendId) -> Rule {
    Rule {
        name: name.to_owned(),
        headers: vec![(HeaderName::from_static("x-version"), version.to_owned())],
        split: Split::new([(to, 100)]).unwrap(),
    }
}

fn table(canary: u32) -> RouteTable {
    RouteTable {
        backends: vec![backend("canary", "v1.3"), backend("stable", "v1.2")],
        rules: vec![pin("pin-v1.2", "v1.2", STABLE), pin("pin-v1.3", "v1.3", CANARY)],
        default_split: split(canary),
    }
}

fn player(id: u64) -> PlayerKey {
    PlayerKey::of("header", id.to_string().as_bytes())
}

fn decide(
    table: &RouteTable,
    version: Option<&str>,
    affinity: Option<&str>,
    id: u64,
) -> Result<Decision, NoBackend> {
    let mut headers = HeaderMap::new();
    if let Some(version) = version {
        headers.insert("x-version", version.parse().unwrap());
    }
    table.decide(
        RequestFacts {
            headers: &headers,
            affinity,
        },
        &player(id),
    )
}

#[test]
fn a_matching_rule_wins_over_affinity_and_affinity_over_the_default() {
    let table = table(0);
    let check = |version, affinity, backend, source| {
        assert_eq!(
            decide(&table, version, affinity, 7),
            Ok(Decision {
                backend,
                source,
                stand_in: false
            }),
            "version {version:?}, affinity {affinity:?}"
        );
    };
    check(None, None, STABLE, Source::Default);
    check(None, Some("v1.3"), CANARY, Source::Affinity);
    check(None, Some("v9"), STABLE, Source::Default);
    check(Some("v1.3"), None, CANARY, Source::Rule(1));
    check(Some("v1.2"), Some("v1.3"), STABLE, Source::Rule(0));
    check(Some("v1.30"), None, STABLE, Source::Default);
}

#[test]
fn a_rule_with_two_headers_needs_both() {
    let mut table = table(0);
    table.rules[1]
        .headers
        .push((HeaderName::from_static("x-tester"), "yes".to_owned()));
    assert_eq!(
        decide(&table, Some("v1.3"), None, 1).unwrap().source,
        Source::Default
    );
}

#[test]
fn a_draining_backend_falls_to_its_split_then_to_the_default() {
    let mut table = table(30);
    table.backends[CANARY.0].draining = true;
    for id in 0..200 {
        let pinned = decide(&table, Some("v1.3"), None, id).unwrap();
        assert_eq!((pinned.backend, pinned.stand_in), (STABLE, true));
        let asked = decide(&table, None, Some("v1.3"), id).unwrap();
        assert_eq!((asked.backend, asked.source), (STABLE, Source::Default));
    }
    // Weight 0 is a last resort, better than no answer.
    table.backends[CANARY.0].draining = false;
    table.backends[STABLE.0].draining = true;
    table.default_split = split(0);
    assert_eq!(decide(&table, None, None, 1).unwrap().backend, CANARY);
    table.backends[CANARY.0].draining = true;
    assert_eq!(decide(&table, None, None, 1), Err(NoBackend));
}

#[test]
fn a_split_must_add_up_and_name_each_backend_once() {
    assert_eq!(
        Split::new([(STABLE, 60), (CANARY, 30)]),
        Err(SplitError::Sum { sum: 90 })
    );
    assert_eq!(Split::new([(STABLE, 50), (STABLE, 50)]), Err(SplitError::Twice));
    assert_eq!(Split::new([]), Err(SplitError::Sum { sum: 0 }));
}

#[test]
fn a_hundred_thousand_players_split_within_three_standard_deviations() {
    for canary in [1_u32, 5, 30, 50, 99] {
        let table = table(canary);
        let players = 100_000_u32;
        let on_canary = (0..u64::from(players))
            .filter(|id| decide(&table, None, None, *id).unwrap().backend == CANARY)
            .count();
        let share = f64::from(canary) / 100.0;
        let expected = f64::from(players) * share;
        let deviation = (f64::from(players) * share * (1.0 - share)).sqrt();
        let off = (on_canary as f64 - expected).abs();
        assert!(
            off <= 3.0 * deviation,
            "{canary} %: {on_canary} players, {:.1} deviations off",
            off / deviation
        );
    }
}

proptest! {
    #[test]
    fn raising_the_canary_moves_players_only_from_stable_to_canary(
        low in 0_u32..=100, high in 0_u32..=100, ids in prop::collection::vec(any::<u64>(), 1..200)
    ) {
        let (low, high) = (low.min(high), low.max(high));
        let (before, after) = (table(low), table(high));
        for id in ids {
            let was = decide(&before, None, None, id).unwrap().backend;
            let is = decide(&after, None, None, id).unwrap().backend;
            prop_assert!(was == is || (was == STABLE && is == CANARY), "{id}: {was:?} to {is:?}");
        }
    }

    #[test]
    fn a_player_stays_where_it_is_when_another_backend_drains(
        weights in prop::array::uniform3(0_u32..=50), ids in prop::collection::vec(any::<u64>(), 1..100), drained in 0_usize..3
    ) {
        let sum: u32 = weights.iter().sum();
        prop_assume!(sum <= 100);
        let split = Split::new([
            (BackendId(0), weights[0] + (100 - sum)), (BackendId(1), weights[1]), (BackendId(2), weights[2]),
        ]).unwrap();
        let mut table = RouteTable {
            backends: vec![backend("a", "v1"), backend("b", "v2"), backend("c", "v3")],
            rules: Vec::new(),
            default_split: split,
        };
        let before: Vec<_> = ids.iter().map(|id| decide(&table, None, None, *id).unwrap()).collect();
        table.backends[drained].draining = true;
        for (id, before) in ids.iter().zip(before) {
            let after = decide(&table, None, None, *id).unwrap();
            if before.backend == BackendId(drained) {
                prop_assert!(after.stand_in && after.backend != before.backend);
            } else {
                prop_assert_eq!(after, before);
            }
        }
    }

    #[test]
    fn a_draining_backend_is_never_chosen_and_nobody_is_refused_while_another_can_take_it(
        canary in 0_u32..=100, drain_canary: bool, drain_stable: bool, id: u64,
        version in prop::option::of(prop::sample::select(vec!["v1.2", "v1.3", "other"])),
        affinity in prop::option::of(prop::sample::select(vec!["v1.2", "v1.3", "other"])),
    ) {
        let mut table = table(canary);
        table.backends[CANARY.0].draining = drain_canary;
        table.backends[STABLE.0].draining = drain_stable;
        match decide(&table, version, affinity, id) {
            Ok(decision) => prop_assert!(!table.backends[decision.backend.0].draining),
            Err(NoBackend) => prop_assert!(drain_canary && drain_stable),
        }
    }
}
