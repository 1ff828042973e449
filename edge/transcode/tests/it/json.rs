//! ProtoJSON both ways, beside another implementation.

use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};
use tminus_transcode::{Options, Transcoder};

use crate::support::{call, pool, to_bytes, to_json, transcoder};

const TABLE: &str = "protobuf.dev/programming-guides/json, table of types";
const TIME: &str = "google/protobuf/timestamp.proto and duration.proto, JSON Mapping";
const STRUCT: &str = "google/protobuf/struct.proto";
const ANY: &str = "google/protobuf/any.proto, JSON";
const MASK: &str = "google/protobuf/field_mask.proto, JSON Encoding of Field Masks";

fn written(transcoder: &Transcoder, message: &[u8]) -> Result<Value, String> {
    let route = transcoder.route(&Method::GET, "/v1/items").unwrap();
    let payload = transcoder
        .response(&route, message)
        .map_err(|error| error.to_string())?;
    Ok(serde_json::from_slice(&payload.bytes).unwrap())
}

/// What is sent, and what the same message is as this project writes it.
fn rows() -> Vec<(&'static str, Value, Value)> {
    let same = |source, value: Value| (source, value.clone(), value);
    vec![
        same(
            TABLE,
            json!({"name": "星\u{1}\"\\\u{1F600}", "otherName": "x", "flag": true}),
        ),
        (
            TABLE,
            json!({"renamed": "x", "display_name": "y"}),
            json!({"displayName": "y", "otherName": "x"}),
        ),
        (
            TABLE,
            json!({"name": null, "child": null, "tags": null, "labels": null, "at": null, "maybe": null}),
            json!({}),
        ),
        (
            TABLE,
            json!({"name": "", "count": 0, "flag": false, "tags": [], "labels": {}, "numbers": []}),
            json!({}),
        ),
        same(TABLE, json!({"maybe": 0, "child": {}, "left": "", "empty": {}})),
        same(
            TABLE,
            json!({"count": -2147483648, "u32": 4294967295u32, "s32": -7, "f32": 7, "sf32": -7}),
        ),
        same(
            TABLE,
            json!({"big": "-9223372036854775808", "u64": "18446744073709551615", "s64": "-9223372036854775808", "f64": "7", "sf64": "-7"}),
        ),
        (
            TABLE,
            json!({"big": 5, "u64": 18446744073709551615u64, "count": "-5", "s64": -5}),
            json!({"count": -5, "big": "5", "u64": "18446744073709551615", "s64": "-5"}),
        ),
        (
            TABLE,
            json!({"count": 3.0, "big": 1e3, "f32": 1e2}),
            json!({"count": 3, "big": "1000", "f32": 100}),
        ),
        same(TABLE, json!({"ratio": 1.5, "small": -0.25})),
        (
            TABLE,
            json!({"ratio": "1.5", "small": 3}),
            json!({"ratio": 1.5, "small": 3.0}),
        ),
        same(
            TABLE,
            json!({"ratio": "NaN", "small": "-Infinity", "ratios": ["Infinity", 0.0]}),
        ),
        same(TABLE, json!({"color": "GREEN", "colors": ["RED", "BELOW", 99]})),
        (
            TABLE,
            json!({"color": 1, "colors": [2, "CRIMSON", -1]}),
            json!({"color": "RED", "colors": ["GREEN", "RED", "BELOW"]}),
        ),
        same(TABLE, json!({"data": "/+8="})),
        (TABLE, json!({"data": "_-8"}), json!({"data": "/+8="})),
        (TABLE, json!({"data": "_-8="}), json!({"data": "/+8="})),
        same(
            TABLE,
            json!({"tags": ["a", ""], "numbers": [0, -1], "unpacked": ["0", "5"], "flags": [false, true]}),
        ),
        same(
            TABLE,
            json!({"labels": {"": "", "a": "b"}, "byNumber": {"-1": {}, "2": {"name": "x"}}, "byFlag": {"false": "n", "true": "y"}}),
        ),
        same(
            TABLE,
            json!({"children": [{}, {"name": "a", "children": [{"count": 1}]}]}),
        ),
        same(TABLE, json!({"other": {"right": "x"}})),
        same(
            TABLE,
            json!({"boxed": "0", "boxedFlag": false, "boxedText": "", "boxedData": "", "boxedRatio": 0.0, "boxedU32": 7}),
        ),
        (TABLE, json!({"nothing": null}), json!({})),
        same(TIME, json!({"at": "0001-01-01T00:00:00Z"})),
        same(TIME, json!({"at": "9999-12-31T23:59:59.999999999Z"})),
        same(TIME, json!({"at": "1969-12-31T23:59:59.999Z"})),
        same(TIME, json!({"at": "2000-02-29T00:00:00.000001Z"})),
        (
            TIME,
            json!({"at": "2026-03-01T00:30:00.120+01:00"}),
            json!({"at": "2026-02-28T23:30:00.120Z"}),
        ),
        (
            TIME,
            json!({"at": "1970-01-01T00:00:00.1-00:30"}),
            json!({"at": "1970-01-01T00:30:00.100Z"}),
        ),
        same(
            TIME,
            json!({"ttl": "315576000000s", "times": ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000001Z"]}),
        ),
        same(TIME, json!({"ttl": "-0.500s"})),
        (TIME, json!({"ttl": "-1.5s"}), json!({"ttl": "-1.500s"})),
        (TIME, json!({"ttl": "0s"}), json!({"ttl": "0s"})),
        same(MASK, json!({"mask": "displayName,child.otherName"})),
        (MASK, json!({"mask": ""}), json!({"mask": ""})),
        same(
            STRUCT,
            json!({"meta": {"a": null, "b": [1.5, "x", {"c": false}, []], "d": {}}}),
        ),
        same(STRUCT, json!({"value": null})),
        same(STRUCT, json!({"value": [null, {"a": [true]}]})),
        same(
            STRUCT,
            json!({"value": "text", "list": [1.0, [2.0]], "anyList": [null, 1.0, {}]}),
        ),
        same(STRUCT, json!({"values": {"a": null, "b": {"c": 1.0}}})),
        same(
            ANY,
            json!({"any": {"@type": "type.googleapis.com/cases.v1.Item", "name": "x", "at": "1970-01-01T00:00:00Z"}}),
        ),
        same(
            ANY,
            json!({"any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}}),
        ),
        same(
            ANY,
            json!({"any": {"@type": "type.googleapis.com/google.protobuf.Any", "value": {"@type": "x/cases.v1.Item", "count": 1}}}),
        ),
        same(
            ANY,
            json!({"any": {"@type": "x.org/google.protobuf.Struct", "value": {"a": 1.0}}}),
        ),
        same(
            ANY,
            json!({"any": {"@type": "x.org/google.protobuf.Value", "value": null}}),
        ),
    ]
}

#[test]
fn json_becomes_the_message_that_it_says_and_comes_back() {
    let (transcoder, pool) = (transcoder(Options::default()), pool());
    let (_, bytes) = call(&transcoder, "POST", "/v1/items", r#"{"any":{}}"#).unwrap();
    assert_eq!(bytes, b"\xc2\x01\x00", "{ANY}");
    for (source, sent, expected) in rows() {
        let (_, bytes) = call(&transcoder, "POST", "/v1/items", &sent.to_string())
            .unwrap_or_else(|error| panic!("{sent}: {error} ({source})"));
        assert_eq!(
            written(&transcoder, &bytes),
            Ok(expected.clone()),
            "{sent} ({source})"
        );
        // The other implementation reads the same in what was written here, and what it writes is read the same.
        let theirs = to_bytes(&pool, "cases.v1.Item", &sent.to_string());
        assert_eq!(
            to_json(&pool, "cases.v1.Item", &bytes),
            to_json(&pool, "cases.v1.Item", &theirs),
            "{sent}"
        );
        assert_eq!(written(&transcoder, &theirs), Ok(expected), "{sent} ({source})");
    }
}

#[test]
fn defaults_are_written_when_asked() {
    let transcoder = transcoder(Options {
        write_defaults: true,
        ..Options::default()
    });
    let all = written(&transcoder, b"").unwrap();
    let expected = [
        ("name", json!("")),
        ("count", json!(0)),
        ("big", json!("0")),
        ("color", json!("COLOR_UNSPECIFIED")),
        ("tags", json!([])),
        ("labels", json!({})),
        ("data", json!("")),
        ("ratio", json!(0.0)),
        ("small", json!(0.0)),
        ("f64", json!("0")),
        ("sf32", json!(0)),
        ("flag", json!(false)),
        ("otherName", json!("")),
    ];
    for (name, value) in expected {
        assert_eq!(all[name], value, "{name}");
    }
    for absent in ["maybe", "child", "left", "at"] {
        assert!(all.get(absent).is_none(), "{absent} has presence");
    }
}

/// Bytes that encoders of other languages may write, or that come of joining messages.
#[test]
fn any_valid_encoding_of_a_message_is_read() {
    let text = |bytes: &[u8]| written(&transcoder(Options::default()), bytes);
    let rows: &[(&str, &[u8], Value)] = &[
        (
            "the last of a scalar counts",
            b"\x18\x01\x18\x02",
            json!({"count": 2}),
        ),
        (
            "a default on the wire is none",
            b"\x18\x01\x18\x00\x0a\x00",
            json!({}),
        ),
        (
            "messages are merged",
            b"\x42\x03\x0a\x01a\x42\x02\x18\x07",
            json!({"child": {"name": "a", "count": 7}}),
        ),
        (
            "of a oneof the last counts",
            b"\x92\x01\x01a\x9a\x01\x01b",
            json!({"right": "b"}),
        ),
        (
            "and it alone",
            b"\xa2\x01\x02\x18\x01\x92\x01\x01a\xa2\x01\x03\x0a\x01x",
            json!({"other": {"name": "x"}}),
        ),
        (
            "packed where it is not declared",
            b"\xb2\x02\x02\x05\x06",
            json!({"unpacked": ["5", "6"]}),
        ),
        (
            "not packed where it is declared",
            b"\xa0\x02\x05\xa2\x02\x02\x06\x07\xa0\x02\x08",
            json!({"numbers": [5, 6, 7, 8]}),
        ),
        ("an empty packed list", b"\xa2\x02\x00", json!({})),
        (
            "fields in any order",
            b"\x18\x07\x0a\x01a",
            json!({"name": "a", "count": 7}),
        ),
        (
            "unknown fields",
            b"\xf8\x7f\x01\xfa\x7f\x02xy\xfd\x7f\x00\x00\x00\x00\x0a\x01a",
            json!({"name": "a"}),
        ),
        (
            "an unknown group",
            b"\xfb\x7f\x08\x01\xfb\x7e\xfc\x7e\xfc\x7f\x0a\x01a",
            json!({"name": "a"}),
        ),
        (
            "a known field of another wire type",
            b"\x0d\x00\x00\x00\x00\x18\x07",
            json!({"count": 7}),
        ),
        (
            "of a map's key the last counts",
            b"\x4a\x06\x0a\x01a\x12\x01x\x4a\x06\x0a\x01a\x12\x01y",
            json!({"labels": {"a": "y"}}),
        ),
        (
            "an entry without key or value",
            b"\x4a\x00\xba\x02\x00",
            json!({"labels": {"": ""}, "byNumber": {"0": {}}}),
        ),
        (
            "an entry's value before its key",
            b"\x4a\x06\x12\x01x\x0a\x01a",
            json!({"labels": {"a": "x"}}),
        ),
        (
            "a negative int32 in ten bytes",
            b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            json!({"count": -1}),
        ),
        (
            "a varint longer than it has to be",
            b"\x18\x87\x80\x00",
            json!({"count": 7}),
        ),
        ("a bool that is not 1", b"\x58\x02", json!({"flag": true})),
        (
            "a struct's value of nothing",
            b"\xb2\x01\x00",
            json!({"value": null}),
        ),
        ("an Any of nothing", b"\xc2\x01\x00", json!({"any": {}})),
        (
            "an Any of a type that is not known",
            b"\xc2\x01\x09\x0a\x03x/y\x12\x02hi",
            json!({"any": {"@type": "x/y", "value": "aGk="}}),
        ),
    ];
    for (what, bytes, expected) in rows {
        assert_eq!(text(bytes), Ok(expected.clone()), "{what}");
    }
}

#[test]
fn a_message_that_is_none_is_an_error() {
    let nested = |depth: usize| {
        let mut bytes = Vec::new();
        for _ in 0..depth {
            let mut outer = vec![0x42];
            let mut length = bytes.len();
            while length >= 0x80 {
                outer.push(length as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend_from_slice(&bytes);
            bytes = outer;
        }
        bytes
    };
    let rows: &[(&str, Vec<u8>, &str)] = &[
        ("cut short", b"\x0a\x05ab".to_vec(), "it is damaged"),
        ("no tag", b"\x00".to_vec(), "it is damaged"),
        ("wire type 6", b"\x0e".to_vec(), "it is damaged"),
        ("a group that ends alone", b"\x0c".to_vec(), "it is damaged"),
        (
            "a group that does not end",
            b"\xfb\x7f\x08\x01".to_vec(),
            "it is damaged",
        ),
        (
            "eleven bytes of a varint",
            [&b"\x18"[..], &[0x80; 10], b"\x00"].concat(),
            "it is damaged",
        ),
        ("no UTF-8", b"\x0a\x01\xff".to_vec(), "it is damaged"),
        (
            "a time out of range",
            b"\x6a\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x10\x00".to_vec(),
            "a Timestamp holds",
        ),
        (
            "a mask that does not come back",
            b"\x7a\x05\x0a\x03a_B".to_vec(),
            "a FieldMask holds",
        ),
        ("100,000 deep", nested(100_000), "messages lie deeper than 100"),
    ];
    let transcoder = transcoder(Options::default());
    for (what, bytes, reason) in rows {
        let got = written(&transcoder, bytes).unwrap_err();
        assert!(
            got.contains(reason) && got.contains("cases.v1.Item"),
            "{what}: {got}"
        );
    }
    assert!(written(&transcoder, &nested(100)).is_ok());
    assert!(written(&transcoder, &nested(101)).is_err());
}

#[test]
fn json_that_outgrows_its_limit_is_an_error() {
    let transcoder = transcoder(Options {
        response_bytes_max: 1_000,
        ..Options::default()
    });
    // Empty messages in a list are two bytes on the wire and three as JSON.
    let bytes = b"\xca\x01\x00".repeat(1_000);
    assert!(
        written(&transcoder, &bytes)
            .unwrap_err()
            .contains("its JSON is longer than 1000 bytes")
    );
    let packed = [&b"\x92\x03\xe8\x07"[..], &[0; 1_000]].concat();
    assert!(
        written(&transcoder, &packed)
            .unwrap_err()
            .contains("its JSON is longer than 1000 bytes")
    );
    assert!(written(&transcoder, &b"\xca\x01\x00".repeat(300)).is_ok());
}

/// Items with a few fields set, as JSON that both implementations write the same way.
fn item() -> impl Strategy<Value = Value> {
    let leaf = (
        any::<i32>(),
        any::<i64>(),
        any::<u64>(),
        ".{0,12}",
        prop::collection::vec(any::<i32>(), 0..4),
        any::<bool>(),
    );
    let leaf = leaf.prop_map(|(count, big, u64, name, numbers, flag)| {
        json!({"count": count, "big": big.to_string(), "u64": u64.to_string(), "name": name, "numbers": numbers, "flag": flag,
               "s32": count, "s64": big.to_string(), "sf64": big.to_string(), "tags": [name, ""]})
    });
    leaf.prop_recursive(4, 24, 3, |inner| {
        (
            inner.clone(),
            prop::collection::vec(inner.clone(), 0..3),
            prop::collection::hash_map("[a-z]{0,3}", any::<i32>(), 0..3),
            inner,
        )
            .prop_map(|(mut outer, children, meta, child)| {
                let meta: serde_json::Map<_, _> = meta
                    .into_iter()
                    .map(|(name, value)| (name, json!(f64::from(value) / 4.0)))
                    .collect();
                outer["children"] = children.into();
                outer["meta"] = meta.into();
                outer["child"] = child;
                outer
            })
    })
}

#[test]
fn the_seeds_of_the_fuzz_target_are_calls() {
    let transcoder = transcoder(Options::default());
    let mut seeds = 0;
    for entry in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/transcode")).unwrap()
    {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let (line, body) = text.split_once('\n').unwrap_or((&text, ""));
        let (method, target) = line.split_once(' ').unwrap();
        call(&transcoder, method, target, body).unwrap_or_else(|error| panic!("{text}: {error}"));
        seeds += 1;
    }
    assert!(seeds >= 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn items_are_the_same_here_and_in_another_implementation(item in item()) {
        let (transcoder, pool) = (transcoder(Options::default()), pool());
        let (_, ours) = call(&transcoder, "POST", "/v1/items", &item.to_string()).unwrap();
        let theirs = to_bytes(&pool, "cases.v1.Item", &item.to_string());
        prop_assert_eq!(to_json(&pool, "cases.v1.Item", &ours), to_json(&pool, "cases.v1.Item", &theirs));
        prop_assert_eq!(written(&transcoder, &ours).unwrap(), to_json(&pool, "cases.v1.Item", &theirs));
    }

    #[test]
    fn no_input_panics_and_what_is_read_can_be_written(text in "\\PC{0,64}", bytes in prop::collection::vec(any::<u8>(), 0..64), path in "/[a-z0-9:%/*]{0,24}") {
        let transcoder = transcoder(Options::default());
        if let Ok((_, message)) = call(&transcoder, "POST", "/v1/items", &text) {
            written(&transcoder, &message).unwrap();
        }
        let _ = written(&transcoder, &bytes);
        let _ = call(&transcoder, "GET", &path, "");
    }
}
