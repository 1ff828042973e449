//! What is shown is a part of the whole; what is left out stays unknown.

use proptest::prelude::*;
use serde_json::{Value, json};
use tminus_packages::{Disclosure, LEFT_OUT};

const SECRET: &[u8; 32] = &[7; 32];

fn full() -> Value {
    json!({
        "product": "Shop", "ticked": 9, "empty": [], "nothing": null,
        "items": [ { "id": "load", "target": "http://10.0.0.7:8080", "measured": 61.4 }, { "id": "canary", "target": "http://10.0.0.8" } ],
        "a/b~c": true,
    })
}

fn shown() -> Value {
    let mut shown = full();
    for item in shown["items"].as_array_mut().unwrap() {
        item["target"] = json!(LEFT_OUT);
    }
    shown
}

#[test]
fn a_part_proves_itself_and_says_how_much_is_missing() {
    let disclosure = Disclosure::new(&full(), &shown(), SECRET).unwrap();
    disclosure.verify(&disclosure.root, &shown()).unwrap();
    assert_eq!(disclosure.counts(), (8, 2));
    let text = serde_json::to_string(&disclosure).unwrap();
    assert!(!text.contains("10.0.0.") && !text.contains("target"), "{text}");
    // Every package of a launch has the same root, whatever it shows.
    let all = Disclosure::new(&full(), &full(), SECRET).unwrap();
    assert_eq!(all.root, disclosure.root);
    assert_eq!(all.counts(), (10, 0));
}

#[test]
fn anything_else_than_the_whole_says_is_noticed() {
    let disclosure = Disclosure::new(&full(), &shown(), SECRET).unwrap();
    let root = disclosure.root.clone();
    let refused = |shown: &Value| disclosure.verify(&root, shown).unwrap_err();
    let mut nicer = shown();
    nicer["ticked"] = json!(10);
    assert!(refused(&nicer).contains("/ticked says what was not disclosed"));
    let mut more = shown();
    more["sla"] = json!("99.99 %");
    assert!(refused(&more).contains("/sla"));
    let mut guessed = shown();
    guessed["items"][0]["target"] = json!("http://10.0.0.7:8080");
    assert!(refused(&guessed).contains("/items/0/target"));
    assert!(
        Disclosure::new(&full(), &nicer, SECRET)
            .unwrap_err()
            .contains("/ticked")
    );

    let mut leaves = disclosure.clone();
    leaves.leaves.remove(0);
    assert!(
        leaves
            .verify(&root, &shown())
            .unwrap_err()
            .contains("have the root")
    );
    let mut swapped = disclosure.clone();
    swapped.leaves.swap(0, 1);
    assert!(swapped.verify(&root, &shown()).is_err());
    assert!(disclosure.verify(&"0".repeat(64), &shown()).is_err());
}

#[test]
fn another_secret_gives_other_hashes_so_that_guesses_cannot_be_tried() {
    let one = Disclosure::new(&full(), &shown(), SECRET).unwrap();
    let two = Disclosure::new(&full(), &shown(), &[8; 32]).unwrap();
    assert_ne!(one.root, two.root);
}

proptest! {
    #[test]
    fn no_bytes_make_reading_it_panic(text in ".{0,200}", root in "[0-9a-f]{0,64}") {
        if let Ok(disclosure) = serde_json::from_str::<Disclosure>(&text) {
            let _ = disclosure.verify(&root, &json!({}));
        }
    }
}
