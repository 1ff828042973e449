//! When a token names a player. Every token was made by PyJWT, or by hand where PyJWT refuses to.

use std::collections::BTreeSet;

use tminus_identity::{
    KeySet, LEEWAY_S, NbfRule, Revocations, RevocationsError, Token, TokenError, TokenRules, Verified,
};

use crate::fixtures::Tokens;

fn verify(tokens: &Tokens, text: &str, now_s: i64) -> Result<Verified, TokenError> {
    Token::parse(text)?.verify(&tokens.keys, &tokens.rules, &Revocations::default(), now_s)
}

#[test]
fn tokens_of_all_three_algorithms_name_their_player() {
    let tokens = Tokens::read();
    for name in [
        "good.EdDSA",
        "good.ES256",
        "good.RS256",
        "good.audience_list",
        "good.no_nbf",
        "good.fraction",
        "good.no_kid",
        "good.at_jwt",
        "good.jku_ignored",
    ] {
        let found = verify(&tokens, tokens.get(name), tokens.now_s);
        let verified = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (
                verified.subject.as_str(),
                verified.name.as_deref(),
                verified.issuer.as_str()
            ),
            ("p-legacy-7", Some("Ada"), "https://id.example"),
            "{name}"
        );
        assert_eq!(verified.expires_at_s, tokens.now_s + 600, "{name}");
    }
    let unnamed = verify(&tokens, tokens.get("good.no_name"), tokens.now_s).unwrap();
    assert_eq!(unnamed.name, None);
}

#[test]
fn every_other_token_is_refused_for_what_is_wrong_with_it() {
    use TokenError::{
        Algorithm, AmbiguousKey, Audience, Expired, Form, Header, IssuedInFuture, Issuer, KeyName,
        NotYetValid, Signature, Subject, Times, UnknownKey,
    };
    let tokens = Tokens::read();
    let table = [
        ("alg_none", Algorithm),
        ("alg_none_odd", Algorithm),
        ("another_key", Signature),
        ("aud_number", Audience),
        ("claims_no_object", Form),
        ("control_sub", Subject),
        ("crit", Header),
        ("duplicate_alg", Form),
        ("duplicate_sub", Form),
        ("embedded_key", Signature),
        ("embedded_key_url", UnknownKey),
        ("empty_aud", Audience),
        ("empty_sub", Subject),
        ("es384", Algorithm),
        ("exp_before_iat", Times),
        ("exp_huge", Times),
        ("exp_in_ms", Times),
        ("exp_negative", Times),
        ("exp_text", Times),
        ("expired", Expired),
        ("future_iat", IssuedInFuture),
        ("future_nbf", NotYetValid),
        ("good.newer_key", UnknownKey),
        ("hs256_ed_public_raw", Algorithm),
        ("hs256_empty_secret", Algorithm),
        ("hs256_rsa_public_der", Algorithm),
        ("hs256_rsa_public_pem", Algorithm),
        ("kid_number", KeyName),
        ("kid_of_another_algorithm", Algorithm),
        ("kid_sql", KeyName),
        ("kid_traversal", KeyName),
        ("kid_traversal_windows", KeyName),
        ("long_sub", Subject),
        ("no_aud", Audience),
        ("no_exp", Times),
        ("no_iss", Issuer),
        ("no_sub", Subject),
        ("ps256", Algorithm),
        ("rs512", Algorithm),
        ("typ", Header),
        ("unknown_kid", UnknownKey),
        ("wrong_aud", Audience),
        ("wrong_iss", Issuer),
    ];
    for (name, error) in table {
        assert_eq!(
            verify(&tokens, tokens.get(name), tokens.now_s),
            Err(error),
            "{name}"
        );
    }
    // Nothing in the file is left out of this table and the others.
    let used: BTreeSet<&str> = table.iter().map(|(name, _)| *name).collect();
    let elsewhere = ["sub_revocable_without_iat", "other_player"];
    for name in tokens
        .names()
        .filter(|name| !used.contains(name) && !elsewhere.contains(name))
    {
        assert!(name.starts_with("good."), "{name} stands in no table");
    }
    // Which of several keys it should be, it has to say.
    assert_eq!(
        Token::parse(tokens.get("good.no_kid")).unwrap().verify(
            &tokens.newer,
            &tokens.rules,
            &Revocations::default(),
            tokens.now_s
        ),
        Err(AmbiguousKey)
    );
}

#[test]
fn times_are_held_to_the_second_with_five_of_leeway() {
    let tokens = Tokens::read();
    let good = tokens.get("good.EdDSA");
    let begins = tokens.now_s;
    let ends = begins + 600;
    for (now_s, expected) in [
        (begins - LEEWAY_S, None),
        (begins - LEEWAY_S - 1, Some(TokenError::NotYetValid)),
        (ends + LEEWAY_S - 1, None),
        (ends + LEEWAY_S, Some(TokenError::Expired)),
        (i64::MAX, Some(TokenError::Expired)),
        (i64::MIN, Some(TokenError::NotYetValid)),
    ] {
        assert_eq!(verify(&tokens, good, now_s).err(), expected, "{now_s}");
    }
    assert_eq!(LEEWAY_S, 5);
    // The same without `nbf`: then the time of issue counts.
    let unbounded = tokens.get("good.no_nbf");
    let early = verify(&tokens, unbounded, begins - LEEWAY_S - 1);
    assert_eq!(early, Err(TokenError::IssuedInFuture));
    let strict = TokenRules {
        nbf: NbfRule::Required,
        ..tokens.rules.clone()
    };
    let none = Revocations::default();
    let token = Token::parse(unbounded).unwrap();
    assert_eq!(
        token.verify(&tokens.keys, &strict, &none, begins),
        Err(TokenError::Times)
    );
}

#[test]
fn what_is_no_token_is_refused_before_any_key_is_looked_at() {
    let tokens = Tokens::read();
    let good = tokens.get("good.EdDSA");
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let long = "x".repeat(64 * 1024);
    let padded = format!("{header}=.{claims}.{signature}");
    for (text, error) in [
        ("", TokenError::Form),
        ("x", TokenError::Form),
        ("a.b", TokenError::Form),
        ("..", TokenError::Form),
        (&format!("{good}.x"), TokenError::Form),
        (&padded, TokenError::Form),
        (&long, TokenError::TooLong),
        (
            &format!("{}.{claims}.{signature}", header.replace('e', "é")),
            TokenError::Form,
        ),
    ] {
        assert_eq!(verify(&tokens, text, tokens.now_s), Err(error));
    }
    for signature in [
        "",
        "AAAA",
        &signature[..20],
        &signature.replace(|c: char| c.is_ascii_digit(), "A"),
    ] {
        let text = format!("{message}.{signature}");
        assert_eq!(verify(&tokens, &text, tokens.now_s), Err(TokenError::Signature));
    }
}

#[test]
fn any_changed_character_makes_a_token_worthless() {
    let tokens = Tokens::read();
    for name in ["good.EdDSA", "good.ES256", "good.RS256"] {
        let good = tokens.get(name);
        for at in (0..good.len()).step_by(7) {
            let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
            let changed = format!("{}{other}{}", &good[..at], &good[at + 1..]);
            assert!(verify(&tokens, &changed, tokens.now_s).is_err(), "{name} at {at}");
        }
    }
}

#[test]
fn revoked_tokens_are_refused_by_their_id_or_by_their_players_moment() {
    let tokens = Tokens::read();
    let now = tokens.now_s;
    let refused = |list: &str, name: &str| {
        let list = Revocations::parse(list.as_bytes()).unwrap();
        let token = Token::parse(tokens.get(name)).unwrap();
        token.verify(&tokens.keys, &tokens.rules, &list, now) == Err(TokenError::Revoked)
    };
    let by_player = |before: i64| format!(r#"{{"sub":"p-legacy-7","issued_before_s":{before}}}"#);
    for (list, name, expected) in [
        ("".to_owned(), "good.EdDSA", false),
        ("# none\n\n".to_owned(), "good.EdDSA", false),
        (r#"{"jti":"j-1"}"#.to_owned(), "good.EdDSA", true),
        (r#"{"jti":"j-1"}"#.to_owned(), "other_player", false),
        (
            "{\"jti\":\"j-9\"}\r\n{\"jti\":\"j-2\"}\n".to_owned(),
            "other_player",
            true,
        ),
        (by_player(now + 1), "good.EdDSA", true),
        (by_player(now), "good.EdDSA", false),
        (by_player(now + 1), "other_player", false),
        // Two moments of one player: the later one counts, in either order.
        (
            format!("{}\n{}", by_player(now + 1), by_player(now - 9)),
            "good.EdDSA",
            true,
        ),
        (by_player(0), "sub_revocable_without_iat", true),
    ] {
        assert_eq!(refused(&list, name), expected, "{list} {name}");
    }
    // A token that is bad anyway says nothing about the list.
    let list = Revocations::parse(br#"{"jti":"j-1"}"#).unwrap();
    let forged = Token::parse(tokens.get("another_key")).unwrap();
    assert_eq!(
        forged.verify(&tokens.keys, &tokens.rules, &list, now),
        Err(TokenError::Signature)
    );
}

#[test]
fn a_list_with_one_line_that_is_not_understood_is_no_list() {
    for wrong in [
        "x",
        "{}",
        r#"{"jti":""}"#,
        r#"{"jti":1}"#,
        r#"{"jti":"a","sub":"b"}"#,
        r#"{"sub":"a"}"#,
        r#"{"sub":"a","issued_before_s":"1"}"#,
        r#"{"sub":"a","issued_before_s":1,"more":1}"#,
        r#"{"jti":"a","jti":"b"}"#,
    ] {
        let text = format!("{{\"jti\":\"a\"}}\n{wrong}\n");
        assert_eq!(
            Revocations::parse(text.as_bytes()),
            Err(RevocationsError::Line { line: 2 }),
            "{wrong}"
        );
    }
}

#[test]
fn an_issuer_that_is_only_claimed_chooses_and_proves_nothing() {
    let tokens = Tokens::read();
    let forged = Token::parse(tokens.get("wrong_iss")).unwrap();
    assert_eq!(forged.claimed_issuer(), Some("https://evil.example"));
    let own = TokenRules {
        issuer: "https://evil.example".into(),
        ..tokens.rules.clone()
    };
    let none = Revocations::default();
    let other_keys = KeySet::of_ed25519(&[9; 32]);
    assert!(forged.verify(&other_keys, &own, &none, tokens.now_s).is_err());
    // Debug shows nothing of a token.
    let shown = format!("{forged:?}");
    assert!(!shown.contains("evil") && !shown.contains("legacy"), "{shown}");
}
