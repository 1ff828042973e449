//! Sessions as Go, PHP and Java write them, and what is none.

use proptest::prelude::*;
use tminus_identity::session::{
    DEPTH_MAX, JavaScalar, SESSION_BYTES_MAX, SessionError, SessionFormat, SpringFields, VALUES_MAX,
    java_scalar, player_of,
};

use crate::fixtures::{session, sessions};

const FORMATS: [SessionFormat; 3] = [SessionFormat::Json, SessionFormat::Gob, SessionFormat::Php];

/// The kind of what is wrong, so that a row need not spell it out.
fn check(format: SessionFormat, value: &[u8], expected: Result<&str, &str>) {
    let found = player_of(format, value, "player_id");
    let found = found.as_deref().map_err(|error| error.kind());
    assert_eq!(
        found,
        expected,
        "{format:?} {:?}",
        String::from_utf8_lossy(&value[..value.len().min(200)])
    );
}

#[test]
fn gob_maps_name_their_player() {
    for (name, expected) in [
        ("gob.text", Ok("p-legacy-7")),
        ("gob.int", Ok("4711")),
        ("gob.int_negative", Ok("-9223372036854775808")),
        ("gob.uint64", Ok("18446744073709551615")),
        ("gob.several", Ok("p-legacy-7")),
        ("gob.own_types_beside", Ok("p-legacy-7")),
        ("gob.nested_map_beside", Ok("p-legacy-7")),
        ("gob.unicode", Ok("星穹")),
        ("gob.named_int", Err("player_id")),
        ("gob.float", Err("player_id")),
        ("gob.list_of_own_type", Err("unsupported")),
        ("gob.struct_with_interface", Err("unsupported")),
        ("gob.flashes", Ok("p-legacy-7")),
        ("gob.long_text", Err("player_id")),
        ("gob.nobody", Err("no_player")),
        ("gob.empty", Err("no_player")),
        ("gob.string_map", Err("unsupported")),
        ("gob.struct", Err("unsupported")),
        ("php.text", Err("truncated")),
        ("java.text", Err("malformed")),
    ] {
        check(SessionFormat::Gob, &session(name), expected);
    }
    let any_order = |(name, _): &(String, Vec<u8>)| name.starts_with("gob.any_order");
    let orders: Vec<_> = sessions().into_iter().filter(any_order).collect();
    assert_eq!(orders.len(), 6);
    for (_, value) in orders {
        check(SessionFormat::Gob, &value, Ok("p-legacy-7"));
    }
}

#[test]
fn php_sessions_name_their_player() {
    for (name, expected) in [
        ("php.text", Ok("p-legacy-7")),
        ("php.int", Ok("4711")),
        ("php.int_negative", Ok("-9223372036854775808")),
        ("php.several", Ok("p-legacy-7")),
        ("php.after_tricks", Ok("p-legacy-7")),
        ("php.array_text", Ok("p-legacy-7")),
        ("php.array_several", Ok("4711")),
        ("php.unicode", Ok("星穹")),
        ("php.array_empty", Err("no_player")),
        ("php.nobody", Err("no_player")),
        ("php.float", Err("player_id")),
        ("php.array_id", Err("player_id")),
        ("php.own_form", Err("unsupported")),
        ("php.binary_handler", Err("truncated")),
        ("gob.text", Err("truncated")),
    ] {
        check(SessionFormat::Php, &session(name), expected);
    }
    let deep = |depth: usize| {
        format!(
            "d|{}{}player_id|i:7;",
            "a:1:{i:0;".repeat(depth),
            "}".repeat(depth)
        )
    };
    // The innermost array has its one value, so that the form is right.
    let deep = |depth: usize| deep(depth).replacen("i:0;}", "i:0;N;}", 1);
    let many = format!("d|a:{VALUES_MAX}:{{{}}}", "i:0;N;".repeat(VALUES_MAX));
    for (value, expected) in [
        (deep(DEPTH_MAX).as_str(), Ok("7")),
        (&deep(DEPTH_MAX + 1), Err("too_many_values")),
        (&deep(3000), Err("too_many_values")),
        (&many, Err("too_many_values")),
        ("player_id|i:1;player_id|i:1;", Err("ambiguous")),
        (
            r#"a:2:{s:9:"player_id";i:1;s:9:"player_id";i:2;}"#,
            Err("ambiguous"),
        ),
        ("!player_id|other|i:1;", Err("no_player")),
        ("player_id|i:01;", Err("malformed")),
        ("player_id|i:+1;", Err("malformed")),
        ("player_id|i:9223372036854775808;", Err("malformed")),
        ("player_id|i:99999999999999999999999999;", Err("malformed")),
        (r#"player_id|s:4:"abc";"#, Err("malformed")),
        (r#"player_id|s:2:"abc";"#, Err("malformed")),
        (r#"player_id|s:99999999999999999999:"abc";"#, Err("malformed")),
        (r#"player_id|s:-1:"abc";"#, Err("malformed")),
        (r#"player_id|s:3:"abc""#, Err("truncated")),
        (r#"player_id|S:3:"a\62";"#, Err("unsupported")),
        ("player_id|s:2:\"a\n\";", Err("player_id")),
        ("player_id|s:0:\"\";", Err("player_id")),
        ("player_id|N;", Err("player_id")),
        ("player_id|x:1;", Err("malformed")),
        ("player_id|", Err("truncated")),
        ("player_id", Err("truncated")),
        ("a:18446744073709551615:{", Err("truncated")),
        ("d|a:18446744073709551615:{}", Err("too_many_values")),
        ("a:0:{}x", Err("malformed")),
        ("d|a:1:{a:0:{}i:1;}", Err("malformed")),
        ("", Err("no_player")),
    ] {
        check(SessionFormat::Php, value.as_bytes(), expected);
    }
    check(
        SessionFormat::Php,
        b"player_id|s:2:\"\xff\xfe\";",
        Err("player_id"),
    );
}

#[test]
fn json_sessions_name_their_player() {
    for (value, expected) in [
        (r#"{"player_id":"p-legacy-7"}"#, Ok("p-legacy-7")),
        (
            r#"{"cookie":{"player_id":"p-other"},"player_id":4711}"#,
            Ok("4711"),
        ),
        (
            r#"{"player_id":18446744073709551615}"#,
            Ok("18446744073709551615"),
        ),
        (r#"{"player_id":"\u661f"}"#, Ok("星")),
        (r#"{"player_id":1.0}"#, Err("player_id")),
        (r#"{"player_id":18446744073709551616}"#, Err("player_id")),
        (r#"{"player_id":null}"#, Err("player_id")),
        (r#"{"player_id":["p"]}"#, Err("player_id")),
        (r#"{"player_id":""}"#, Err("player_id")),
        (r#"{"player_id":"a\u0000"}"#, Err("player_id")),
        (r#"{"player_id":"\ud800"}"#, Err("malformed")),
        (r#"{"player_id":"a","player_id":"a"}"#, Err("malformed")),
        (r#"{"Player_id":"a"}"#, Err("no_player")),
        (r#"["player_id","a"]"#, Err("malformed")),
        (r#"{"player_id":"a"} "#, Ok("a")),
        (r#"{"player_id":"a"}x"#, Err("malformed")),
        ("", Err("malformed")),
    ] {
        check(SessionFormat::Json, value.as_bytes(), expected);
    }
    let bomb = format!(r#"{{"player_id":{}"#, "[".repeat(60_000));
    check(SessionFormat::Json, bomb.as_bytes(), Err("malformed"));
}

#[test]
fn java_values_are_texts_and_boxed_numbers() {
    let text = |text: &str| Ok(JavaScalar::Text(text.to_owned()));
    for (name, expected) in [
        ("java.text", text("p-legacy-7")),
        ("java.text_odd", text("星\0𝄞é")),
        ("java.text_empty", text("")),
        ("java.text_long", text(&"x".repeat(300))),
        ("java.long", Ok(JavaScalar::Whole(4711))),
        ("java.long_min", Ok(JavaScalar::Whole(i64::MIN))),
        ("java.integer", Ok(JavaScalar::Whole(4711))),
        ("java.integer_negative", Ok(JavaScalar::Whole(-1))),
        ("java.null", Ok(JavaScalar::Null)),
        ("java.short", Err("unsupported")),
        ("java.double", Err("unsupported")),
        ("java.uuid", Err("unsupported")),
        ("java.list", Err("unsupported")),
        ("java.array", Err("unsupported")),
        ("gob.text", Err("malformed")),
        ("php.text", Err("malformed")),
    ] {
        assert_eq!(
            java_scalar(&session(name)).map_err(SessionError::kind),
            expected,
            "{name}"
        );
    }
    for (value, expected) in [
        ("", "truncated"),
        ("aced0005", "truncated"),
        ("aced0006740000", "malformed"),
        ("aced000574000161ff", "malformed"),
        ("aced0005740002c080", ""),
        ("aced0005740002c1bf", "malformed"),
        ("aced0005740003e08080", ""),
        ("aced0005740003eda080", "malformed"),
        ("aced000574000100", "malformed"),
        ("aced0005740004f09d849e", "malformed"),
        ("aced00057400010a", ""),
        ("aced000571007e0000", "unsupported"),
    ] {
        let found = java_scalar(&hex::decode(value).unwrap());
        assert_eq!(found.err().map_or("", SessionError::kind), expected, "{value}");
    }
}

#[test]
fn a_spring_session_ends_by_its_own_times() {
    let used = session("java.used_1700000000000");
    let half_an_hour = session("java.integer_1800");
    let for_ever = session("java.integer_negative");
    let [text, number, null] = ["java.text", "java.long", "java.null"].map(session);
    let odd = session("java.text_odd");
    let used_at = 1_700_000_000_000_i64;
    let check =
        |player: Option<&[u8]>, last_used: Option<&[u8]>, lifetime: Option<&[u8]>, now_ms, expected| {
            let fields = SpringFields {
                player,
                last_used,
                lifetime,
            };
            let found = fields.player_of(now_ms);
            assert_eq!(
                found.as_ref().map(Option::as_deref).map_err(|error| error.kind()),
                expected
            );
        };
    let (used, half_an_hour) = (Some(used.as_slice()), Some(half_an_hour.as_slice()));
    check(Some(&text), used, half_an_hour, used_at, Ok(Some("p-legacy-7")));
    check(
        Some(&number),
        used,
        half_an_hour,
        used_at + 1_799_999,
        Ok(Some("4711")),
    );
    check(Some(&text), used, half_an_hour, used_at + 1_800_000, Ok(None));
    check(
        Some(&text),
        used,
        Some(&for_ever),
        i64::MAX,
        Ok(Some("p-legacy-7")),
    );
    check(None, used, half_an_hour, used_at, Err("no_player"));
    check(Some(&null), used, half_an_hour, used_at, Err("no_player"));
    check(Some(&odd), used, half_an_hour, used_at, Err("player_id"));
    check(Some(&text), None, half_an_hour, used_at, Err("malformed"));
    check(Some(&text), used, None, used_at, Err("malformed"));
    check(Some(&text), used, Some(&text), used_at, Err("malformed"));
}

#[test]
fn a_value_beyond_the_limit_is_not_read() {
    for format in FORMATS {
        check(format, &vec![b' '; SESSION_BYTES_MAX + 1], Err("too_large"));
    }
    let long = [session("java.text"), vec![0; SESSION_BYTES_MAX]].concat();
    assert_eq!(java_scalar(&long), Err(SessionError::TooLarge));
    check(SessionFormat::Spring, b"{}", Err("wrong_type"));
}

#[test]
fn what_is_cut_off_names_nobody_else() {
    for (name, value) in sessions() {
        for cut in 0..value.len() {
            let value = &value[..cut];
            for format in FORMATS {
                // PHP's handler writes variables one after another: the first ones may well be whole.
                if let Ok(player) = player_of(format, value, "player_id") {
                    assert!(
                        format == SessionFormat::Php && ["p-legacy-7", "4711"].contains(&&*player),
                        "{name} {cut}"
                    );
                }
            }
            assert!(java_scalar(value).is_err(), "{name} {cut}");
        }
    }
}

#[test]
fn lengths_that_lie_cost_nothing() {
    for digits in [
        "ff",
        "f8ffffffffffffffff",
        "f8ffffffffffffffff00",
        "0eff81040102ff82000110011000",
        // A map of 2^64 - 1 pairs.
        "0eff81040102ff820001100110000",
        "0eff81040102ff8200011001100000 0d ff82 00 f8ffffffffffffffff",
        // A definition of type 2, which is Go's own.
        "0d0304010204000110011000000",
        // A definition whose id is the smallest number.
        "09f8ffffffffffffffff",
        "f7",
        "00",
    ] {
        let digits: String = digits.split_whitespace().collect();
        let digits = if digits.len().is_multiple_of(2) {
            digits
        } else {
            format!("{digits}0")
        };
        assert!(player_of(SessionFormat::Gob, &hex::decode(digits).unwrap(), "player_id").is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for format in FORMATS {
            let _ = player_of(format, &bytes, "player_id");
        }
        let _ = java_scalar(&bytes);
    }

    /// Near to what is right: one byte of a real value is another one.
    #[test]
    fn no_changed_byte_does_harm(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte: u8) {
        let all: Vec<Vec<u8>> = sessions().into_values().collect();
        let mut value = which.get(&all).clone();
        prop_assume!(!value.is_empty());
        let at = at.index(value.len());
        value[at] = byte;
        for format in FORMATS {
            if let Ok(player) = player_of(format, &value, "player_id") {
                prop_assert!((1..=128).contains(&player.len()));
            }
        }
        let _ = java_scalar(&value);
    }
}
