use http::{HeaderMap, HeaderName, Method};
use proptest::prelude::*;

use super::*;
use crate::matching::{HeaderValueMatch, Text};

fn backend(name: &str, version: &str) -> RouteBackend {
    RouteBackend {
        name: name.to_owned(),
        version: version.to_owned(),
        draining: false,
        healthy: true,
    }
}

/// Backends stand in the order of their names: canary, stable.
const CANARY: BackendId = BackendId(0);
const STABLE: BackendId = BackendId(1);

fn percent(percent: u32) -> Weight {
    Weight::percent(percent).unwrap()
}

fn split(canary: u32) -> Split {
    Split::new([(STABLE, percent(100 - canary)), (CANARY, percent(canary))]).unwrap()
}

fn asks(header: &'static str, value: &str) -> (HeaderName, HeaderValueMatch) {
    let wanted = HeaderValueMatch::Text(Text::Exact(value.to_owned()));
    (HeaderName::from_static(header), wanted)
}

fn pin(name: &str, version: &str, to: BackendId) -> Rule {
    Rule {
        name: name.to_owned(),
        conditions: Conditions {
            headers: vec![asks("x-version", version)],
            ..Conditions::default()
        },
        split: Split::new([(to, Weight::WHOLE)]).unwrap(),
    }
}

fn table(canary: u32) -> RouteTable {
    RouteTable {
        backends: vec![backend("canary", "v1.3"), backend("stable", "v1.2")],
        pins: HashMap::new(),
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
            asked: Asked {
                method: &Method::GET,
                path: "/",
                host: None,
                headers: &headers,
            },
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
    table.rules[1].conditions.headers.push(asks("x-tester", "yes"));
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
fn what_is_not_healthy_gets_nothing_while_another_can_take_it() {
    let mut table = table(100);
    table.backends[CANARY.0].healthy = false;
    for id in 0..100 {
        let decision = decide(&table, Some("v1.3"), Some("v1.3"), id).unwrap();
        assert_eq!((decision.backend, decision.stand_in), (STABLE, true));
    }
    table.backends[STABLE.0].healthy = false;
    assert_eq!(
        decide(&table, None, None, 1).unwrap().backend,
        CANARY,
        "a check may be wrong"
    );
    table.backends[STABLE.0].healthy = true;
    table.backends[STABLE.0].draining = true;
    assert_eq!(
        decide(&table, None, None, 1).unwrap().backend,
        CANARY,
        "none that may have it is healthy"
    );
}

#[test]
fn a_split_must_add_up_and_name_each_backend_once() {
    assert_eq!(
        Split::new([(STABLE, percent(60)), (CANARY, percent(30))]),
        Err(SplitError::Sum { sum: 90.0 })
    );
    assert_eq!(
        Split::new([(STABLE, percent(50)), (STABLE, percent(50))]),
        Err(SplitError::Twice)
    );
    assert_eq!(Split::new([]), Err(SplitError::Sum { sum: 0.0 }));
}

#[test]
fn a_million_players_split_exactly_and_none_moves_the_wrong_way_while_ramping() {
    const PLAYERS: u32 = 1_000_000;
    let keys: Vec<PlayerKey> = (0..u64::from(PLAYERS)).map(player).collect();
    let mut on_canary = vec![false; keys.len()];
    for weight in ["0.1", "1", "5", "30", "50", "99.9"] {
        let weight: Weight = weight.parse().unwrap();
        let rest = Weight::from_buckets(BUCKETS - weight.buckets());
        let mut table = table(0);
        table.default_split = Split::new([(STABLE, rest), (CANARY, weight)]).unwrap();
        let headers = HeaderMap::new();
        let facts = RequestFacts {
            asked: Asked {
                method: &Method::GET,
                path: "/",
                host: None,
                headers: &headers,
            },
            affinity: None,
        };
        let mut count = 0_u32;
        for (key, on_canary) in keys.iter().zip(&mut on_canary) {
            let is = table.decide(facts, key).unwrap().backend == CANARY;
            assert!(is || !*on_canary, "a player left the canary at {weight} %");
            *on_canary = is;
            count += u32::from(is);
        }
        let share = weight.as_percent() / 100.0;
        let expected = f64::from(PLAYERS) * share;
        let deviation = (expected * (1.0 - share)).sqrt();
        let off = (f64::from(count) - expected) / deviation;
        assert!(
            off.abs() <= 3.0,
            "{weight} %: {count} players, {off:.1} deviations off"
        );
    }
}

#[test]
fn the_articles_table_splits_who_names_a_version_and_nobody_else() {
    let yaml = include_str!("../examples/article.yaml");
    let config = crate::config::parse(yaml, "article.yaml").unwrap();
    let on_new = |version: Option<&str>| {
        let decided = (0..10_000).map(|id| {
            let decision = decide(&config.routes, version, None, id).unwrap();
            u32::from(config.routes.backends[decision.backend.0].version == "v1.3")
        });
        decided.sum::<u32>()
    };
    for version in ["v1.2", "v1.3"] {
        let off = (f64::from(on_new(Some(version))) - 3_000.0) / (10_000.0 * 0.3 * 0.7_f64).sqrt();
        assert!(off.abs() <= 3.0, "{version}: {off:.1} deviations off");
    }
    assert_eq!((on_new(None), on_new(Some("v1.4"))), (0, 0));
    let tester = config.sticky[1].key_of(b"tester-1");
    assert!(config.routes.pins.contains_key(&tester));
}

#[test]
fn a_pinned_player_goes_where_it_is_pinned_until_that_drains() {
    let mut table = table(0);
    table.pins.insert(player(7), CANARY);
    let pinned = decide(&table, Some("v1.2"), Some("v1.2"), 7).unwrap();
    assert_eq!((pinned.backend, pinned.source), (CANARY, Source::Pin));
    assert_eq!(decide(&table, None, None, 8).unwrap().backend, STABLE);
    table.backends[CANARY.0].draining = true;
    let moved = decide(&table, None, None, 7).unwrap();
    assert_eq!(
        (moved.backend, moved.source, moved.stand_in),
        (STABLE, Source::Pin, true)
    );
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
            (BackendId(0), percent(weights[0] + (100 - sum))), (BackendId(1), percent(weights[1])), (BackendId(2), percent(weights[2])),
        ]).unwrap();
        let mut table = RouteTable {
            backends: vec![backend("a", "v1"), backend("b", "v2"), backend("c", "v3")],
            pins: HashMap::new(),
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
