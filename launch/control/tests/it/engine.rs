use std::collections::BTreeMap;
use std::sync::Arc;

use tminus_control::console::Console;
use tminus_control::engine::book::Book;
use tminus_control::engine::book::Snapshot;
use tminus_control::engine::{Issued, Issuer};
use tminus_control::error::{CliError, Exit, Kind, Result};
use tminus_control::layout::Layout;
use tminus_control::report;
use tminus_control::session::{self, Found, Wish};
use tminus_plan::{Fact, ItemStatus, LaunchState};

use crate::bench::{PLAN, Scripted, StopsAt, begin, engine, key, open, open_record, plan};

/// What must be the same however often a launch was interrupted: everything but times, attempts and
/// the places of entries.
fn result(state: &LaunchState) -> Vec<(String, ItemStatus, Vec<String>, Vec<bool>)> {
    state
        .items
        .iter()
        .map(|i| {
            let signed = i.sign_offs.iter().map(|s| s.signed.is_some()).collect();
            (i.id.clone(), i.status, i.reasons.clone(), signed)
        })
        .collect()
}

fn evidence_per_gate(book: &Book) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (_, fact) in book.facts() {
        if let Fact::Evidence(evidence) = fact {
            *counts
                .entry(format!("{}/{}", evidence.item, evidence.gate))
                .or_default() += 1;
        }
    }
    counts
}

fn runner() -> Scripted {
    Scripted {
        steps: vec!["c".into()],
        ..Scripted::default()
    }
}

#[tokio::test]
async fn a_launch_goes_through_its_windows_and_ends_with_the_checklist() {
    let folder = tempfile::tempdir().unwrap();
    // Steps go on record for canary gates; any gate that is open may have them.
    begin(folder.path(), &plan(PLAN), true);
    let mut running = engine(folder.path(), open(folder.path()), Arc::new(runner()), true);
    let state = running.engine.run().await.unwrap();
    assert_eq!(report::totals_line(&state), "2 ticked, 0 crossed, 1 not checked");
    assert_eq!(report::exit(&state), Exit::Ok);
    let names: Vec<&str> = running
        .engine
        .book
        .facts()
        .iter()
        .map(|(_, f)| f.name())
        .collect();
    assert_eq!(
        names,
        [
            "launch-started",
            "gate-started",
            "evidence",
            "gate-started",
            "evidence",
            "sign-off",
            "sign-off",
            "gate-started",
            "rollout-step",
            "evidence",
            "sign-off",
            "launch-finished",
            "checklist-issued"
        ]
    );
    // The second window is waited for: 24 plan hours at 900 times the speed are 96 s.
    let began = state.clock.started_at_ms;
    let later = running
        .engine
        .book
        .facts()
        .iter()
        .rev()
        .find_map(|(_, f)| match f {
            Fact::Evidence(e) if e.gate == "c" => Some(e.started_at_ms),
            _ => None,
        });
    assert_eq!(later, Some(began + 96_000));
}

#[tokio::test]
async fn killed_at_any_entry_and_resumed_a_launch_ends_the_same_and_no_evidence_is_there_twice() {
    let whole = tempfile::tempdir().unwrap();
    begin(whole.path(), &plan(PLAN), true);
    let mut running = engine(whole.path(), open(whole.path()), Arc::new(runner()), true);
    let expected = result(&running.engine.run().await.unwrap());
    let appends = running.engine.book.facts().len() - 1;

    for at in 0..appends {
        for after in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            begin(folder.path(), &plan(PLAN), true);
            let record = open_record(folder.path());
            let log = StopsAt {
                record,
                left: at,
                after,
            };
            let killed = engine(
                folder.path(),
                Book::open(Box::new(log), key(1)).unwrap(),
                Arc::new(runner()),
                true,
            )
            .engine
            .run()
            .await;
            assert_eq!(
                killed.unwrap_err().kind,
                Kind::Stopped,
                "killed at {at}, after {after}"
            );

            let mut resumed = engine(folder.path(), open(folder.path()), Arc::new(runner()), true);
            let state = resumed.engine.run().await.unwrap();
            assert_eq!(result(&state), expected, "killed at {at}, after {after}");
            let counts = evidence_per_gate(&resumed.engine.book);
            assert!(
                counts.values().all(|n| *n == 1),
                "killed at {at}, after {after}: {counts:?}"
            );
            let (_, last) = resumed.engine.book.facts().last().unwrap();
            let Fact::ChecklistIssued { sha256, .. } = last else {
                panic!("the last entry is {last:?}")
            };
            let file = std::fs::read(folder.path().join("checklist.pdf")).unwrap();
            use sha2::Digest as _;
            assert_eq!(
                *sha256,
                hex::encode(sha2::Sha256::digest(&file)),
                "killed at {at}, after {after}"
            );
        }
    }
}

#[tokio::test]
async fn a_failed_expectation_crosses_the_item_and_asks_nobody_to_sign() {
    let folder = tempfile::tempdir().unwrap();
    begin(folder.path(), &plan(PLAN), true);
    let numbers = BTreeMap::from([("b".to_owned(), vec![("lost", 3.0)])]);
    let runner = Scripted { numbers, ..runner() };
    let mut running = engine(folder.path(), open(folder.path()), Arc::new(runner), true);
    let state = running.engine.run().await.unwrap();
    assert_eq!(report::totals_line(&state), "1 ticked, 1 crossed, 1 not checked");
    assert_eq!(report::exit(&state), Exit::CheckFailed);
    assert!(state.items[0].sign_offs.iter().all(|s| s.signed.is_none()));
    assert!(
        state.items[0].reasons[0].contains("lost is 3"),
        "{:?}",
        state.items[0].reasons
    );
}

#[tokio::test]
async fn a_gate_that_could_not_run_is_not_checked_with_its_reason_and_never_ticked() {
    let folder = tempfile::tempdir().unwrap();
    begin(folder.path(), &plan(PLAN), true);
    let could_not = BTreeMap::from([("a".to_owned(), "nothing answers at http://127.0.0.1:1".to_owned())]);
    let runner = Scripted {
        could_not,
        ..runner()
    };
    let mut running = engine(folder.path(), open(folder.path()), Arc::new(runner), true);
    let state = running.engine.run().await.unwrap();
    assert_eq!(state.items[0].status, ItemStatus::NotChecked);
    let reasons = state.items[0].reasons.join("; ");
    assert!(
        reasons.contains("nothing answers") && reasons.contains("mend it"),
        "{reasons}"
    );
    assert_eq!(report::exit(&state), Exit::CouldNotRun);
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_gate_leaves_the_gate_open_and_a_resume_runs_it_again() {
    let folder = tempfile::tempdir().unwrap();
    begin(folder.path(), &plan(PLAN), true);
    let hanging = Arc::new(Scripted {
        hang: vec!["b".into()],
        ..runner()
    });
    let mut running = engine(folder.path(), open(folder.path()), Arc::clone(&hanging), true);
    let (stop, board) = (running.stop.clone(), running.engine.board.clone());
    let mut changes = board.watch();
    let stopper = tokio::spawn(async move {
        while board.read(|b| b.running.as_ref().is_none_or(|r| r.gate != "b")) {
            changes.changed().await.unwrap();
        }
        stop.cancel();
    });
    let stopped = running.engine.run().await.unwrap_err();
    stopper.await.unwrap();
    assert_eq!(stopped.kind, Kind::Stopped);
    drop(running);

    let state = open(folder.path()).state().unwrap();
    assert!(state.gate("first", "b").unwrap().evidence().is_none());
    let mut resumed = engine(folder.path(), open(folder.path()), Arc::new(runner()), true);
    let state = resumed.engine.run().await.unwrap();
    assert_eq!(state.gate("first", "b").unwrap().attempts.len(), 2);
    assert_eq!(state.items[0].status, ItemStatus::Ticked);
}

#[tokio::test]
async fn what_stands_in_the_folder_decides_how_a_rehearsal_may_begin() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    let layout = Layout::new(&out);
    layout.create().unwrap();
    key(1).store_new(&layout.launch_key()).unwrap();
    begin(&out, &plan(PLAN), true);
    let console = Console::silent();
    let wish = |resume, rehearsal| Wish { resume, rehearsal };

    // Unfinished: only to go on with, and only as what it is.
    let said = session::open(&layout, wish(false, true), &console)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("has not ended") && said.contains("--resume"),
        "{said}"
    );
    let said = session::open(&layout, wish(true, false), &console)
        .unwrap_err()
        .to_string();
    assert!(said.contains("holds a rehearsal"), "{said}");
    let Found::Unfinished(book) = session::open(&layout, wish(true, true), &console).unwrap() else {
        panic!("an unfinished rehearsal")
    };

    let launch_id = book.state().unwrap().launch_id;
    engine(&out, book, Arc::new(runner()), true)
        .engine
        .run()
        .await
        .unwrap();
    assert!(matches!(
        session::open(&layout, wish(true, true), &console).unwrap(),
        Found::Ended(_)
    ));
    // Finished: moved aside, whole, and a new one begins.
    assert!(matches!(
        session::open(&layout, wish(false, true), &console).unwrap(),
        Found::Fresh(_)
    ));
    let aside = parent.path().join(format!("out.{launch_id}"));
    assert!(tminus_record::verify(&aside.join("record"), None).is_ok());
    assert!(aside.join("checklist.pdf").is_file());
}

#[tokio::test]
async fn a_variable_of_the_plan_reaches_the_gate() {
    let yaml = PLAN.replace("argv: [\"a\"]", "argv: [\"${program}\"]");
    let folder = tempfile::tempdir().unwrap();
    begin(folder.path(), &plan(&yaml), true);
    let mut running = engine(folder.path(), open(folder.path()), Arc::new(runner()), true);
    let said = running.engine.run().await.unwrap_err();
    assert!(
        said.message.contains("${program}") && said.message.contains("bench.yaml:"),
        "{}",
        said.message
    );
    drop(running);
    let mut running = engine(folder.path(), open(folder.path()), Arc::new(runner()), true);
    running.engine.variables.insert("program".into(), "true".into());
    assert!(running.engine.run().await.is_ok());
}

/// Issues as another does, and has an answer of its own for the link.
struct Asks {
    issuer: Arc<dyn Issuer>,
    link: Option<&'static str>,
}

impl Issuer for Asks {
    fn issue(&self, record: &Snapshot) -> Result<Issued> {
        self.issuer.issue(record)
    }

    fn feedback_url(&self, state: &LaunchState, _: u64) -> Result<Option<String>> {
        assert_eq!(state.finished, None);
        match self.link {
            Some(link) => Ok(Some(link.to_owned())),
            None => Err(CliError::new(Kind::Environment, "the key is damaged")),
        }
    }
}

#[tokio::test]
async fn the_end_of_a_launch_has_the_link_for_feedback_and_does_not_fail_on_it() {
    for link in [Some("https://launch.example.org/feedback/f1"), None] {
        let folder = tempfile::tempdir().unwrap();
        begin(folder.path(), &plan(PLAN), true);
        let mut running = engine(folder.path(), open(folder.path()), Arc::new(runner()), true);
        let issuer = Arc::clone(&running.engine.issuer);
        running.engine.issuer = Arc::new(Asks { issuer, link });
        let state = running.engine.run().await.unwrap();
        assert_eq!(state.feedback_url.as_deref(), link);
        assert!(state.finished.is_some() && state.checklist.is_some());
    }
}
