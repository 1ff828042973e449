use starvault_snapshots::{VerifyOptions, compare::Side, repair};

use crate::{
    on_each_kind,
    source::{Written, fill},
    stores::{Kind, Stores},
    verifying::plant,
};

on_each_kind!(
    a_repair_takes_from_the_journal_and_from_nothing_else,
    a_repair_never_replaces_a_row_that_it_has_not_looked_at,
);

async fn a_repair_takes_from_the_journal_and_from_nothing_else(kind: Kind) {
    let stores = Stores::new(kind).await;
    let source = Written::default();
    for number in 0..1_000 {
        source.write(&format!("p{number:05}"), &format!("{{\"n\":{number:05}}}"));
    }
    fill(&source, [&stores.primary, &stores.secondary]).await;
    let planted = plant(&stores).await;
    // Damage in a version: higher than the journal's.
    stores
        .run(
            0,
            "UPDATE player_snapshots SET version = 900 WHERE player_id = X'703030373330'",
        )
        .await;
    // A row that no journal knows.
    stores.run(1, "INSERT INTO player_snapshots SELECT X'7A7A', 1, 0, body, sha256, 5 FROM player_snapshots WHERE player_id = X'703030303031'").await;
    let before = stores.verify(&VerifyOptions::default()).await;
    assert_eq!(before.differences.len(), planted.len() + 2);
    let repairs = repair(&source, &stores.primary, &stores.secondary, &before.differences)
        .await
        .unwrap();
    let left: Vec<_> = repairs.iter().filter(|repair| !repair.done).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(
        (left[0].player_id.as_str(), left[0].store, left[0].to_version),
        ("zz", Side::Secondary, None)
    );
    assert!(
        left[0].why.as_ref().unwrap().contains("does not know"),
        "{left:?}"
    );
    // One for each row, two for the one that was broken on both sides.
    assert_eq!(repairs.len(), before.differences.len() + 1);
    let raised = repairs
        .iter()
        .find(|repair| repair.from_version == Some(900))
        .unwrap();
    assert_eq!((raised.store, raised.to_version), (Side::Primary, Some(1)));
    let after = stores.verify(&VerifyOptions::default()).await;
    let rest: Vec<_> = after
        .differences
        .iter()
        .map(|one| one.player_id.as_str())
        .collect();
    assert_eq!(rest, ["zz"]);
}

async fn a_repair_never_replaces_a_row_that_it_has_not_looked_at(kind: Kind) {
    let stores = Stores::new(kind).await;
    let source = Written::default();
    source.write("p", "{}");
    fill(&source, [&stores.primary, &stores.secondary]).await;
    let seen = stores.primary.row(b"p").await.unwrap().unwrap();
    // A copier writes meanwhile.
    source.write("p", "{\"later\":1}");
    fill(&source, [&stores.primary, &stores.secondary]).await;
    let later = stores.primary.row(b"p").await.unwrap();
    assert!(!stores.primary.replace(Some(&seen), &seen).await.unwrap());
    // Nor one that was not there when it looked.
    stores.primary.replace(None, &seen).await.unwrap();
    assert_eq!(stores.primary.row(b"p").await.unwrap(), later);
}
