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

/// The root that these leaves have, as somebody who signs manifests may sign it.
fn root_of(disclosure: &Disclosure) -> String {
    let said = disclosure.verify(&"0".repeat(64), &json!({})).unwrap_err();
    let root = said.strip_prefix("its leaves have the root ").unwrap();
    root.split(',').next().unwrap().to_owned()
}

fn with_leaves(change: impl FnOnce(&mut Vec<Value>)) -> Disclosure {
    let disclosure = Disclosure::new(&full(), &shown(), SECRET).unwrap();
    let mut text = serde_json::to_value(disclosure).unwrap();
    change(text["leaves"].as_array_mut().unwrap());
    serde_json::from_value(text).unwrap()
}

#[test]
fn a_switch_or_a_number_is_not_left_out_by_being_false_or_zero() {
    let disclosure = Disclosure::new(&full(), &shown(), SECRET).unwrap();
    for (place, value) in [
        ("/a~1b~0c", json!(false)),
        ("/ticked", json!(0)),
        ("/product", json!("")),
    ] {
        let mut other = shown();
        *other.pointer_mut(place).unwrap() = value;
        let said = disclosure.verify(&disclosure.root, &other).unwrap_err();
        assert!(said.contains(place), "{said}");
    }
}

#[test]
fn a_value_is_disclosed_once_with_a_whole_salt_even_when_the_root_is_signed() {
    let first = |leaves: &[Value]| {
        leaves
            .iter()
            .position(|leaf| leaf.get("shown").is_some())
            .unwrap()
    };
    let mut twice = with_leaves(|leaves| {
        let mut again = leaves[first(leaves)].clone();
        again["shown"]["value"] = json!("nicer");
        leaves.push(again);
    });
    let said = twice.verify(&twice.root, &shown()).unwrap_err();
    assert!(said.contains("is disclosed twice"), "{said}");
    twice.leaves.pop();
    assert_eq!(root_of(&twice), twice.root);
    for salt in ["", "00", &"0".repeat(66), "no digits"] {
        let short = with_leaves(|leaves| {
            let at = first(leaves);
            leaves[at]["shown"]["salt"] = json!(salt);
        });
        let said = short.verify(&short.root, &shown()).unwrap_err();
        assert!(said.contains("the salt is not 32 bytes"), "{said}");
    }
    for hash in ["", "00", &"0".repeat(62)] {
        let short = with_leaves(|leaves| leaves.push(json!({ "left-out": { "hash": hash } })));
        let said = short.verify(&short.root, &shown()).unwrap_err();
        assert!(said.contains("a hash is not 32 bytes"), "{said}");
    }
    // The file's own word for its root is compared, too.
    let mut other = Disclosure::new(&full(), &shown(), SECRET).unwrap();
    let root = std::mem::replace(&mut other.root, "1".repeat(64));
    assert!(other.verify(&root, &shown()).is_err());
}

#[test]
fn the_border_between_path_and_value_cannot_be_moved() {
    let (full, moved) = (json!({ "x": 12 }), json!({ "x1": 2 }));
    let disclosure = Disclosure::new(&full, &full, SECRET).unwrap();
    let mut text = serde_json::to_value(&disclosure).unwrap();
    text["leaves"][0]["shown"]["path"] = json!("/x1");
    text["leaves"][0]["shown"]["value"] = json!(2);
    let forged: Disclosure = serde_json::from_value(text).unwrap();
    assert!(forged.verify(&disclosure.root, &moved).is_err());
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
