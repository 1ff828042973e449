use std::sync::Arc;

use futures_util::future::BoxFuture;
use tminus_control::dashboard::SignOffRequest;
use tminus_control::engine::book::Book;
use tminus_control::engine::sign_offs::{self, Purpose, Signing};
use tminus_control::gates::{CouldNotRun, GateRunner, Hands, Job, Measured};
use tminus_plan::RolloutVerdict;
use tminus_record::SigningKey;
use tokio::sync::oneshot;

use crate::bench::{PLAN, Scripted, begin, engine, key, open, plan, signers};

fn signing<'a>(book: &Book, item: &'a str, role: &'a str) -> Signing<'a> {
    Signing {
        item,
        purpose: Purpose::Item,
        role,
        statement: "approved",
        at_ms: 5,
        record_root_hex: book.root_hex(),
        record_size: book.size(),
    }
}

fn signed(book: &Book, what: Signing<'_>, key: &SigningKey) -> Vec<u8> {
    sign_offs::envelope(what, book.subject(), key).unwrap().to_bytes()
}

/// A launch (no rehearsal) whose first item waits for its people while a later gate runs.
async fn waiting(folder: &std::path::Path) -> Book {
    begin(folder, &plan(PLAN), false);
    let runner = Scripted {
        hang: vec!["c".into()],
        ..Scripted::default()
    };
    let mut running = engine(folder, open(folder), Arc::new(runner), false);
    let board = running.engine.board.clone();
    let stop = running.stop.clone();
    let mut changes = board.watch();
    let stopper = tokio::spawn(async move {
        while board.read(|b| b.running.as_ref().is_none_or(|r| r.gate != "c")) {
            changes.changed().await.unwrap();
        }
        stop.cancel();
    });
    assert!(running.engine.run().await.is_err());
    stopper.await.unwrap();
    drop(running);
    open(folder)
}

#[tokio::test]
async fn only_the_roles_key_over_this_record_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut book = waiting(folder.path()).await;
    let qa = &signers()["qa"];
    let refused = |book: &mut Book, bytes: &[u8]| sign_offs::accept(book, bytes).unwrap().unwrap_err();

    let why = {
        let bytes = signed(&book, signing(&book, "first", "qa"), &key(99));
        refused(&mut book, &bytes)
    };
    assert!(
        why.contains("not the key that the launch was started with"),
        "{why}"
    );

    let bytes = signed(
        &book,
        Signing {
            record_root_hex: "00".repeat(32),
            ..signing(&book, "first", "qa")
        },
        qa,
    );
    let why = refused(&mut book, &bytes);
    assert!(why.contains("another record"), "{why}");

    let one = book.root_hex_at(1).unwrap();
    let bytes = signed(
        &book,
        Signing {
            record_root_hex: one,
            record_size: 1,
            ..signing(&book, "first", "qa")
        },
        qa,
    );
    let why = refused(&mut book, &bytes);
    assert!(why.contains("before the evidence"), "{why}");

    let bytes = signed(&book, signing(&book, "open", "qa"), qa);
    let why = refused(&mut book, &bytes);
    assert!(why.contains("asks for no sign-off"), "{why}");

    let bytes = signed(&book, signing(&book, "nowhere", "qa"), qa);
    let why = refused(&mut book, &bytes);
    assert!(
        why.contains("no item `nowhere`") && why.contains("first, later, open"),
        "{why}"
    );

    let mut bytes = signed(&book, signing(&book, "first", "qa"), qa);
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    assert!(sign_offs::accept(&mut book, &bytes).unwrap().is_err());
    let before = book.size();

    let bytes = signed(&book, signing(&book, "first", "qa"), qa);
    let accepted = sign_offs::accept(&mut book, &bytes).unwrap().unwrap();
    assert_eq!(
        (accepted.item.as_str(), accepted.role.as_str(), accepted.entry),
        ("first", "qa", before)
    );

    let bytes = signed(&book, signing(&book, "first", "qa"), qa);
    let why = refused(&mut book, &bytes);
    assert!(why.contains("already signed"), "{why}");
}

#[tokio::test]
async fn an_item_whose_gate_has_not_passed_cannot_be_signed() {
    let folder = tempfile::tempdir().unwrap();
    begin(folder.path(), &plan(PLAN), false);
    let mut book = open(folder.path());
    let bytes = signed(&book, signing(&book, "first", "qa"), &signers()["qa"]);
    let why = sign_offs::accept(&mut book, &bytes).unwrap().unwrap_err();
    assert!(why.contains("gate `a` of `first` has not passed"), "{why}");
}

#[tokio::test]
async fn a_running_launch_takes_sign_offs_and_goes_on_when_all_are_there() {
    let yaml = PLAN.replace("from_h: 24, to_h: 48", "from_h: 0, to_h: 48");
    let folder = tempfile::tempdir().unwrap();
    begin(folder.path(), &plan(&yaml), false);
    // The gate that is still running when the signature comes.
    let runner = Arc::new(Scripted {
        hang: vec!["c".into()],
        ..Scripted::default()
    });
    let mut running = engine(folder.path(), open(folder.path()), runner, false);
    let (board, stop, sender) = (
        running.engine.board.clone(),
        running.stop.clone(),
        running.sign_offs.clone(),
    );
    let mut changes = board.watch();
    let dir = folder.path().join("record");
    let signer = tokio::spawn(async move {
        while board.read(|b| b.running.as_ref().is_none_or(|r| r.gate != "c")) {
            changes.changed().await.unwrap();
        }
        let verified = tminus_record::verify(&dir, None).unwrap();
        let what = Signing {
            item: "first",
            purpose: Purpose::Item,
            role: "qa",
            statement: "approved",
            at_ms: 5,
            record_root_hex: hex::encode(verified.root),
            record_size: verified.size,
        };
        let envelope = sign_offs::envelope(what, &[], &signers()["qa"])
            .unwrap()
            .to_bytes();
        let (answer, answered) = oneshot::channel();
        sender.send(SignOffRequest { envelope, answer }).await.unwrap();
        let accepted = answered.await.unwrap();
        stop.cancel();
        accepted
    });
    assert!(running.engine.run().await.is_err());
    assert_eq!(signer.await.unwrap().unwrap().role, "qa");
    drop(running);
    let state = open(folder.path()).state().unwrap();
    assert!(state.items[0].sign_offs[0].signed.is_some());
}

/// A plan whose canary waits for an approval before it carries everything.
fn waiting_canary() -> String {
    PLAN.replace(
        "      - { id: c, kind: command, argv: [\"c\"] }",
        "      - { id: c, kind: canary, gateway_admin: \"http://127.0.0.1:9\", stable: s, canary: c, \
         steps: [30, { weight: 100, approval: go-live }], min_requests: 1, hold_s: 1 }",
    )
    .replace("from_h: 24, to_h: 48", "from_h: 0, to_h: 48")
}

/// Reaches 30 %, asks for the approval and ends once it is given.
#[derive(Debug, Default)]
struct Asks;

impl GateRunner for Asks {
    fn run<'a>(&'a self, job: &'a Job, hands: &'a Hands) -> BoxFuture<'a, Result<Measured, CouldNotRun>> {
        Box::pin(async move {
            let mut measured = Measured::default();
            measured.measure("exit_code", 0.0, "1");
            measured.measure("lost", 0.0, "1");
            if job.gate.id == "c" {
                hands
                    .record_step(30, "the rollout begins".to_owned(), RolloutVerdict::Started)
                    .await?;
                let mut approvals = hands.approvals.clone();
                approvals.wait_for(Some("go-live"));
                hands.progress(None, "waits for go-live");
                while !approvals.given().contains("go-live") {
                    tokio::select! {
                        () = hands.stop.cancelled() => return Err(CouldNotRun::new("stopped")),
                        () = approvals.changed() => {}
                    }
                }
                measured.measure("approved", 1.0, "1");
            }
            Ok(measured)
        })
    }
}

#[tokio::test]
async fn a_running_launch_takes_an_approval_and_its_canary_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    begin(folder.path(), &plan(&waiting_canary()), false);
    let mut running = engine(folder.path(), open(folder.path()), Arc::new(Asks), false);
    let (board, stop, sender) = (
        running.engine.board.clone(),
        running.stop.clone(),
        running.sign_offs.clone(),
    );
    let mut changes = board.watch();
    let dir = folder.path().join("record");
    let signer = tokio::spawn(async move {
        while board.read(|b| b.running.as_ref().is_none_or(|r| r.text != "waits for go-live")) {
            changes.changed().await.unwrap();
        }
        let verified = tminus_record::verify(&dir, None).unwrap();
        let mut answers = Vec::new();
        for (role, record_size) in [
            ("qa", verified.size),
            ("sre", verified.size - 1),
            ("sre", verified.size),
        ] {
            let leaves = &verified.leaves()[..usize::try_from(record_size).unwrap()];
            let what = Signing {
                item: "later",
                purpose: Purpose::Step {
                    gate: "c",
                    approval: "go-live",
                },
                role,
                statement: "watched it for an hour",
                at_ms: 5,
                record_root_hex: hex::encode(tminus_record::merkle::root(leaves)),
                record_size,
            };
            let envelope = sign_offs::envelope(what, &[], &signers()[role])
                .unwrap()
                .to_bytes();
            let (answer, answered) = oneshot::channel();
            sender.send(SignOffRequest { envelope, answer }).await.unwrap();
            answers.push(answered.await.unwrap());
        }
        while board.read(|b| b.running.is_some()) {
            changes.changed().await.unwrap();
        }
        stop.cancel();
        answers
    });
    assert!(running.engine.run().await.is_err());
    let answers = signer.await.unwrap();
    let why = answers[0].as_ref().unwrap_err();
    assert!(why.contains("asks for no sign-off by `qa`"), "{why}");
    let why = answers[1].as_ref().unwrap_err();
    assert!(why.contains("before the step before it was reached"), "{why}");
    assert_eq!(answers[2].as_ref().unwrap().approval.as_deref(), Some("go-live"));
    drop(running);
    let state = open(folder.path()).state().unwrap();
    let gate = state.gate("later", "c").unwrap();
    assert_eq!(gate.approvals[0].signed.statement, "watched it for an hour");
    assert_eq!(gate.evidence().unwrap().1.measurements["approved"].value, 1.0);
}

#[tokio::test]
async fn a_rehearsal_approves_by_itself_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    begin(folder.path(), &plan(&waiting_canary()), true);
    let mut running = engine(folder.path(), open(folder.path()), Arc::new(Asks), true);
    let state = running.engine.run().await.unwrap();
    let given = &state.gate("later", "c").unwrap().approvals[0];
    assert_eq!(
        (given.role.as_str(), given.signed.statement.as_str()),
        ("sre", sign_offs::REHEARSAL_STATEMENT)
    );
}
