use std::fs;
use std::path::Path;

use tminus_control::team::{Published, Watched, compare, publish, watch};
use tminus_record::SigningKey;
use tminus_record::merkle;

fn key() -> SigningKey {
    SigningKey::from_seed([3; 32])
}

fn checklist(n: u8) -> Published {
    Published {
        launch_id: format!("l-{n}"),
        product: "Shop".to_owned(),
        version: format!("v{n}"),
        verdict: "complete".to_owned(),
        sha256: hex::encode([n; 32]),
        bytes: 1000,
        record_origin: format!("shop/{n}"),
        record_size: 12,
        record_root: "ab".repeat(32),
        launch_key_id: "cd".repeat(32),
        at_ms: u64::from(n),
    }
}

fn published(team: &Path, numbers: impl IntoIterator<Item = u8>) {
    for n in numbers {
        publish(team, "shop-team", &key(), &checklist(n)).unwrap();
    }
}

fn hashes(list: &[String]) -> Vec<[u8; 32]> {
    let one = |text: &String| <[u8; 32]>::try_from(hex::decode(text).unwrap()).unwrap();
    list.iter().map(one).collect()
}

#[test]
fn any_two_checklists_prove_that_they_are_of_one_log() {
    let folder = tempfile::tempdir().unwrap();
    let team = folder.path().join("team");
    published(&team, 0..7);
    assert_eq!(
        publish(&team, "shop-team", &key(), &checklist(4)).unwrap(),
        (4, false)
    );
    let leaves = tminus_record::verify(&team, None).unwrap().leaves();
    for (a, b) in [(0_u8, 6_u8), (6, 0), (2, 3), (5, 5)] {
        let digests = [hex::encode([a; 32]), hex::encode([b; 32])];
        let found = compare(&team, Some(&key().verifying_key()), [&digests[0], &digests[1]]).unwrap();
        let (early, late) = (a.min(b), a.max(b));
        assert_eq!(
            (found.earlier.index, found.later.index),
            (u64::from(early), u64::from(late))
        );
        assert_eq!(found.later.published.launch_id, format!("l-{late}"));
        // As somebody else would check it, from what --json shows alone.
        let roots = hashes(&[found.earlier.root.clone(), found.later.root.clone()]);
        let (old, new) = (found.earlier.index + 1, found.later.index + 1);
        merkle::verify_consistency(old, new, &hashes(&found.consistency), &roots[0], &roots[1]).unwrap();
        for (entry, size, root) in [(&found.earlier, old, roots[0]), (&found.later, new, roots[1])] {
            let leaf = leaves[usize::try_from(entry.index).unwrap()];
            merkle::verify_inclusion(&leaf, entry.index, size, &hashes(&entry.inclusion), &root).unwrap();
        }
    }
    let missing = hex::encode([99; 32]);
    let known = hex::encode([1; 32]);
    let error = compare(&team, None, [&known, &missing]).unwrap_err().to_string();
    assert!(error.contains(&missing), "{error}");
}

#[test]
fn another_key_does_not_write_to_the_teams_record() {
    let folder = tempfile::tempdir().unwrap();
    let team = folder.path().join("team");
    published(&team, 0..2);
    let other = SigningKey::from_seed([4; 32]);
    assert!(publish(&team, "shop-team", &other, &checklist(9)).is_err());
    published(&team, 2..3);
}

#[test]
fn a_watcher_is_told_of_a_fork_and_of_removed_entries() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (team, seen) = (path("team"), path("seen"));
    let look = |team: &Path| watch(team, &seen, Some(&key().verifying_key())).unwrap();
    published(&team, 0..3);
    assert_eq!(look(&team), Watched::First { size: 3 });
    published(&team, 3..5);
    assert_eq!(look(&team), Watched::Continues { seen: 3, size: 5 });
    assert_eq!(look(&team), Watched::Continues { seen: 5, size: 5 });

    // The same key, the same name, another past: shorter, and of the same length.
    let shorter = path("shorter");
    published(&shorter, 0..4);
    assert_eq!(look(&shorter), Watched::Removed { seen: 5, size: 4 });
    let other = path("other");
    published(&other, [0, 1, 9, 3, 4, 5]);
    assert_eq!(look(&other), Watched::Forked { seen: 5, size: 6 });
    let newest = path("newest");
    published(&newest, [0, 1, 2, 3, 9]);
    assert_eq!(look(&newest), Watched::Forked { seen: 5, size: 5 });
    // What was seen is not forgotten over it.
    assert_eq!(look(&team), Watched::Continues { seen: 5, size: 5 });

    let renamed = path("renamed");
    publish(&renamed, "another-team", &key(), &checklist(0)).unwrap();
    assert!(matches!(look(&renamed), Watched::Another { .. }));
    let tile = team.join("tile/entries/000.p/5");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[40] ^= 1;
    fs::write(&tile, bytes).unwrap();
    assert!(matches!(look(&team), Watched::Damaged { .. }));
}
