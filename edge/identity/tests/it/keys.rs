//! Which keys are taken from a set, and when a set is fetched again.

use serde_json::{Value, json};
use tminus_identity::{JWKS_BYTES_MAX, JwksError, KEYS_MAX, KeySet, Revocations, Rotation, Token};

use crate::fixtures::Tokens;

fn keys() -> Vec<Value> {
    let document: Value = serde_json::from_slice(&Tokens::read().documents[0]).unwrap();
    document["keys"].as_array().unwrap().clone()
}

fn parse(keys: &[Value]) -> Result<KeySet, JwksError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

#[test]
fn keys_for_other_things_are_passed_over() {
    let [rsa, ec, ed] = keys().try_into().unwrap();
    let with = |key: &Value, name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        key
    };
    let secret = json!({ "kty": "oct", "k": "AAAA", "kid": "hmac", "alg": "HS256" });
    for (what, key) in [
        ("a symmetric key", secret),
        ("for encryption", with(&rsa, "use", "enc".into())),
        ("for signing", with(&ed, "key_ops", json!(["sign"]))),
        ("another algorithm of RSA", with(&rsa, "alg", "PS256".into())),
        ("HMAC with an RSA key", with(&rsa, "alg", "HS256".into())),
        ("an algorithm that does not fit", with(&ec, "alg", "EdDSA".into())),
        ("another curve", with(&ec, "crv", "P-384".into())),
        ("X25519", with(&ed, "crv", "X25519".into())),
        ("of an unknown type", with(&ed, "kty", "AKP".into())),
        ("without a type", with(&ed, "kty", Value::Null)),
    ] {
        let mut others = vec![rsa.clone(), ec.clone(), ed.clone()];
        let key = with(&key, "kid", "one-more".into());
        others.push(key.clone());
        let read = parse(&others).unwrap();
        assert_eq!((read.len(), read.skipped()), (3, 1), "{what}");
        assert_eq!(parse(&[key]).unwrap_err(), JwksError::Empty, "{what}");
    }
    let plain = with(&ed, "key_ops", json!(["verify"]));
    assert_eq!(parse(&[plain]).unwrap().len(), 1);
}

#[test]
fn a_key_that_is_wrong_in_itself_makes_the_whole_set_wrong() {
    let [rsa, ec, ed] = keys().try_into().unwrap();
    let with = |key: &Value, name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        key
    };
    let short = &rsa["n"].as_str().unwrap()[..100];
    for (what, key) in [
        ("a private part", with(&ed, "d", "AAAA".into())),
        ("a short Ed25519 key", with(&ed, "x", "AAAA".into())),
        ("a long Ed25519 key", with(&ed, "x", "A".repeat(44).into())),
        ("no base64url", with(&ed, "x", "+/+/".into())),
        ("no point", with(&ec, "y", Value::Null)),
        ("a short point", with(&ec, "x", "AAAA".into())),
        ("a short modulus", with(&rsa, "n", short.into())),
        ("an endless modulus", with(&rsa, "n", "_".repeat(1400).into())),
        ("an exponent of 1", with(&rsa, "e", "AQ".into())),
        ("an even exponent", with(&rsa, "e", "BA".into())),
        ("no exponent", with(&rsa, "e", "".into())),
        ("an empty name", with(&ed, "kid", "".into())),
        ("a path as a name", with(&ed, "kid", "../../etc/passwd".into())),
        ("a number as a name", with(&ed, "kid", 1.into())),
        ("an endless name", with(&ed, "kid", "k".repeat(257).into())),
        ("a name that stands there twice", with(&ed, "kid", "rsa-1".into())),
        ("no object", Value::Null),
    ] {
        assert!(
            matches!(parse(&[rsa.clone(), key]), Err(JwksError::Key { index: 1, .. })),
            "{what}"
        );
    }
}

#[test]
fn what_is_no_set_of_keys_is_refused() {
    let ed = keys().pop().unwrap();
    let many: Vec<Value> = (0..=KEYS_MAX)
        .map(|n| {
            let mut key = ed.clone();
            key["kid"] = format!("k{n}").into();
            key
        })
        .collect();
    assert_eq!(parse(&many[1..]).unwrap().len(), KEYS_MAX);
    assert_eq!(parse(&many).unwrap_err(), JwksError::TooMany);
    let long = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(JWKS_BYTES_MAX));
    assert_eq!(KeySet::parse(long.as_bytes()).unwrap_err(), JwksError::TooLong);
    for wrong in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
        "<html>",
    ] {
        assert_eq!(
            KeySet::parse(wrong.as_bytes()).unwrap_err(),
            JwksError::NotASet,
            "{wrong}"
        );
    }
    assert_eq!(parse(&[]).unwrap_err(), JwksError::Empty);
}

#[test]
fn a_rotated_key_is_found_after_one_fetch_and_unknown_ones_cause_no_more() {
    let tokens = Tokens::read();
    let mut rotation = Rotation::new(10_000);
    assert!(rotation.keys().is_none());
    assert!(rotation.begin_fetch(0));
    rotation.fetched(&tokens.documents[0], 0).unwrap();

    let rotated = Token::parse(tokens.get("good.newer_key")).unwrap();
    assert!(rotated.wants_newer(&rotation.keys().unwrap()));
    // Whoever guesses keys does not knock at the issuer's door.
    for now_ms in 0..10_000 {
        assert!(!rotation.begin_fetch(now_ms));
    }
    assert_eq!(
        (rotation.figures().fetches, rotation.figures().held_back),
        (1, 10_000)
    );
    assert!(rotation.begin_fetch(10_000));
    assert!(
        !rotation.begin_fetch(10_000),
        "two that come at once: one fetches"
    );
    rotation.fetched(&tokens.documents[1], 10_100).unwrap();
    let keys = rotation.keys().unwrap();
    assert!(!rotated.wants_newer(&keys));
    let none = Revocations::default();
    assert!(rotated.verify(&keys, &tokens.rules, &none, tokens.now_s).is_ok());
    assert_eq!(rotation.figures().fetched_at_ms, Some(10_100));

    // Only a key that nobody knows is a reason to fetch.
    for (name, wanted) in [
        ("unknown_kid", true),
        ("good.EdDSA", false),
        ("another_key", false),
        ("kid_of_another_algorithm", false),
        ("good.no_kid", false),
    ] {
        assert_eq!(
            Token::parse(tokens.get(name)).unwrap().wants_newer(&keys),
            wanted,
            "{name}"
        );
    }
}

#[test]
fn the_last_good_set_stays_in_force() {
    let tokens = Tokens::read();
    let mut rotation = Rotation::new(1_000);
    rotation.fetched(&tokens.documents[0], 5).unwrap();
    rotation.failed();
    assert!(rotation.fetched(b"<html>busy</html>", 2_000).is_err());
    assert!(rotation.fetched(br#"{"keys":[]}"#, 3_000).is_err());
    let figures = rotation.figures();
    assert_eq!(
        (figures.keys, figures.failures, figures.fetched_at_ms),
        (3, 3, Some(5))
    );
    assert_eq!(rotation.keys().unwrap().len(), 3);
    // A clock that was set back does not end fetching for ever.
    assert!(rotation.begin_fetch(1_000_000));
    assert!(rotation.begin_fetch(0));
}

#[test]
fn a_key_set_shows_names_of_keys_and_nothing_else() {
    let shown = format!("{:?}", Tokens::read().keys);
    assert!(shown.contains("ed-1") && shown.len() < 120, "{shown}");
}
