use std::sync::Arc;

use tminus_control::dashboard::SignOffRequest;
use tminus_control::engine::book::Book;
use tminus_control::engine::sign_offs::{self, Signing};
use tminus_record::SigningKey;
use tokio::sync::oneshot;

use crate::bench::{PLAN, Scripted, begin, engine, key, open, plan, signers};

fn signing<'a>(book: &Book, item: &'a str, role: &'a str) -> Signing<'a> {
    Signing {
        item,
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
