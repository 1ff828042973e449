use std::collections::BTreeSet;

use tminus_after::triggers::{
    Decision, EMERGENCY_ROLLBACK, Event, Keeper, KeeperError, Observed, Reason, Retro, Rules, TriggerError,
};

const HOUR: u64 = 3_600_000;
const START: u64 = 1_795_000_000_000;

fn edited(hours: u64) -> Event {
    Event::EditedByHand {
        launch: "s7".into(),
        version: "v2".into(),
        at_ms: START + hours * HOUR,
    }
}

fn downloaded(at_ms: u64) -> Event {
    Event::Downloaded {
        launch: "s7".into(),
        file: "ops.zip".into(),
        who: "مريم 👩‍🚀".into(),
        at_ms,
    }
}

fn done(at_ms: u64) -> Event {
    Event::OperationDone {
        launch: "s7".into(),
        file: "ops.zip".into(),
        at_ms,
    }
}

fn decided(events: &[Event], now_ms: u64) -> Vec<Decision> {
    let mut retro = Retro::default();
    for event in events {
        retro.observe(event, &Rules::default(), now_ms).unwrap();
    }
    retro.due(&Rules::default(), now_ms)
}

#[test]
fn a_ticked_emergency_rollback_is_one_decision_however_often_it_is_seen() {
    let tick = |zone: &str| Event::Ticked {
        launch: "s7".into(),
        zone: zone.into(),
    };
    let found = decided(
        &[tick(EMERGENCY_ROLLBACK), tick("other"), tick(EMERGENCY_ROLLBACK)],
        START,
    );
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].reason, Reason::EmergencyRollback);
    assert!(decided(&[tick("other")], START).is_empty());
}

#[test]
fn three_edits_count_only_inside_one_sliding_window() {
    let now = START + 400 * HOUR;
    for (hours, expected) in [
        (vec![0, 30, 72], true),
        (vec![0, 30, 73], false),
        (vec![0, 30, 73, 101], true),
        (vec![0, 0, 0], false),
        (vec![0, 71], false),
        (vec![300, 0, 290, 150, 295], true),
    ] {
        let events: Vec<Event> = hours.iter().copied().map(edited).collect();
        assert_eq!(decided(&events, now).len(), usize::from(expected), "{hours:?}");
    }
    let one_millisecond_late = Event::EditedByHand {
        launch: "s7".into(),
        version: "v2".into(),
        at_ms: START + 72 * HOUR + 1,
    };
    assert!(decided(&[edited(0), edited(30), one_millisecond_late], now).is_empty());
}

#[test]
fn edits_of_different_versions_or_launches_are_not_added_up() {
    let other = |launch: &str, version: &str| Event::EditedByHand {
        launch: launch.into(),
        version: version.into(),
        at_ms: START,
    };
    assert!(
        decided(
            &[edited(1), edited(2), other("s7", "v3"), other("s8", "v2")],
            START + HOUR
        )
        .is_empty()
    );
}

#[test]
fn a_download_without_its_operation_is_decided_after_two_hours_and_not_before() {
    let rules = Rules::default();
    let deadline = START + 2 * HOUR + rules.late_ms;
    assert!(decided(&[downloaded(START)], deadline).is_empty());
    let found = decided(&[downloaded(START)], deadline + 1);
    assert!(matches!(&found[0].reason, Reason::NotCarriedOut { who, .. } if who == "مريم 👩‍🚀"));
    for (at_ms, followed) in [
        (START, true),
        (START + 2 * HOUR, true),
        (START + 2 * HOUR + 1, false),
        (START - 1, false),
    ] {
        let found = decided(&[done(at_ms), downloaded(START)], START + 9 * HOUR);
        assert_eq!(found.is_empty(), followed, "{}", at_ms as i64 - START as i64);
    }
    let mut retro = Retro::default();
    retro.observe(&downloaded(START), &rules, START).unwrap();
    assert_eq!(retro.wake_at_ms(&rules, START), Some(deadline + 1));
    assert_eq!(retro.wake_at_ms(&rules, deadline + 1), None);
}

#[test]
fn three_people_who_download_one_file_are_one_decision() {
    let by = |who: &str, at_ms| Event::Downloaded {
        launch: "s7".into(),
        file: "ops.zip".into(),
        who: who.into(),
        at_ms,
    };
    let now = START + 9 * HOUR;
    assert_eq!(
        decided(&[by("a", START), by("b", START + 1), by("c", START + 2)], now).len(),
        1
    );
}

/// Shuffled, repeated, with a restart after each event: the same tickets, each once.
#[test]
fn order_repetition_and_restarts_change_no_decision() {
    for seed in 0..25 {
        let mut random = fastrand::Rng::with_seed(seed);
        let now = START + 200 * HOUR;
        let mut events: Vec<Event> = (0..random.usize(1..25))
            .map(|_| match random.u8(0..4) {
                0 => edited(random.u64(0..200)),
                1 => downloaded(START + random.u64(0..190 * HOUR)),
                2 => done(START + random.u64(0..190 * HOUR)),
                _ => Event::Ticked {
                    launch: format!("s{}", random.u8(0..3)),
                    zone: EMERGENCY_ROLLBACK.into(),
                },
            })
            .collect();
        let expected: BTreeSet<String> = decided(&events, now).into_iter().map(|d| d.id).collect();
        let again: Vec<Event> = (0..events.len())
            .map(|_| events[random.usize(0..events.len())].clone())
            .collect();
        events.extend(again);
        random.shuffle(&mut events);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("retro.json");
        for event in &events {
            Keeper::open(&path, Rules::default())
                .unwrap()
                .observe(std::slice::from_ref(event), now)
                .unwrap();
        }
        let mut raised = Vec::new();
        for _ in 0..3 {
            let mut keeper = Keeper::open(&path, Rules::default()).unwrap();
            keeper
                .raise(now, |decision| {
                    raised.push(decision.id.clone());
                    Ok::<(), String>(())
                })
                .unwrap();
        }
        assert_eq!(raised.len(), expected.len(), "seed {seed}: {raised:?}");
        assert_eq!(
            raised.into_iter().collect::<BTreeSet<_>>(),
            expected,
            "seed {seed}"
        );
    }
}

#[test]
fn an_edit_that_comes_late_does_not_make_a_second_ticket() {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = Keeper::open(&folder.path().join("retro.json"), Rules::default()).unwrap();
    let now = START + 300 * HOUR;
    keeper
        .observe(&[edited(100), edited(101), edited(102)], now)
        .unwrap();
    assert_eq!(keeper.raise(now, |_| Ok::<(), String>(())).unwrap().len(), 1);
    keeper
        .observe(
            &[edited(99), edited(98), edited(200), edited(201), edited(202)],
            now,
        )
        .unwrap();
    assert!(keeper.raise(now, |_| Ok::<(), String>(())).unwrap().is_empty());
}

#[test]
fn a_decision_that_could_not_be_handed_on_stays_due() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("retro.json");
    let mut keeper = Keeper::open(&path, Rules::default()).unwrap();
    keeper.observe(&[downloaded(START)], START).unwrap();
    let now = START + 9 * HOUR;
    let refused = keeper.raise(now, |_| Err("disk full")).unwrap_err();
    assert!(matches!(refused, KeeperError::HandedOn(_)));
    drop(keeper);
    let mut keeper = Keeper::open(&path, Rules::default()).unwrap();
    assert_eq!(keeper.raise(now, |_| Ok::<(), String>(())).unwrap().len(), 1);
}

#[test]
fn old_events_are_forgotten_and_do_not_come_back() {
    let rules = Rules::default();
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = Keeper::open(&folder.path().join("retro.json"), rules).unwrap();
    keeper
        .observe(&[downloaded(START), done(START + 1)], START)
        .unwrap();
    let later = START + rules.keep_ms + HOUR;
    assert_eq!(
        keeper.observe(&[downloaded(START)], later).unwrap(),
        [Observed::TooOld]
    );
    assert!(keeper.raise(later, |_| Ok::<(), String>(())).unwrap().is_empty());
}

#[test]
fn bad_names_are_refused_and_nothing_of_that_batch_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = Keeper::open(&folder.path().join("retro.json"), Rules::default()).unwrap();
    for version in [String::new(), "\u{202e}x".repeat(301)] {
        let bad = Event::EditedByHand {
            launch: "s7".into(),
            version,
            at_ms: START,
        };
        let refused = keeper.observe(&[downloaded(START), bad], START).unwrap_err();
        assert!(matches!(refused, KeeperError::Trigger(TriggerError::Name { .. })));
        assert!(!refused.to_string().contains('\u{202e}'));
    }
    assert_eq!(
        keeper.observe(&[downloaded(START)], START).unwrap(),
        [Observed::New]
    );
}

#[test]
fn a_damaged_state_file_and_a_second_process_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("retro.json");
    std::fs::write(&path, "{\"edits\":").unwrap();
    let damaged = Keeper::open(&path, Rules::default()).unwrap_err().to_string();
    assert!(
        damaged.contains("retro.json does not hold what it should"),
        "{damaged}"
    );
    std::fs::remove_file(&path).unwrap();
    let _first = Keeper::open(&path, Rules::default()).unwrap();
    let second = Keeper::open(&path, Rules::default()).unwrap_err().to_string();
    assert!(second.contains("in use by another process"), "{second}");
}
