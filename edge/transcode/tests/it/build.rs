//! Descriptor sets that make no transcoder.

use std::sync::LazyLock;

use proptest::prelude::*;
use tminus_transcode::{Options, Transcoder};

use crate::support::descriptors;

static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| descriptors(None));

fn with(methods: &str) -> String {
    format!(
        "syntax = \"proto3\";\npackage other;\nimport \"google/api/annotations.proto\";\n\
         import \"google/protobuf/struct.proto\";\n\
         message M {{ string a = 1; repeated string list = 2; map<string, string> map = 3; M m = 4; \
         google.protobuf.Struct s = 5; }}\nservice S {{ {methods} }}"
    )
}

fn rule(name: &str, rule: &str) -> String {
    format!("rpc {name}(M) returns (M) {{ option (google.api.http) = {{ {rule} }}; }}\n")
}

#[test]
fn a_rule_that_is_not_valid_is_named_with_its_method() {
    // google/api/http.proto: "Path template syntax" and the notes on HttpRule's fields.
    let rows = [
        ("get: \"v1/x\"", "it does not begin with '/'"),
        ("get: \"/v1//x\"", "a segment is empty"),
        ("get: \"/v1/x/\"", "a segment is empty"),
        ("get: \"/v1/{a\"", "a '{' is not closed"),
        ("get: \"/v1/{a}b\"", "a '/' is missing behind a '}'"),
        ("get: \"/v1/{a={m.a}}\"", "'{' cannot stand in"),
        ("get: \"/v1/{}\"", "\"\" is no field path"),
        ("get: \"/v1/{a.}\"", "\"a.\" is no field path"),
        ("get: \"/v1/{a=}\"", "a segment is empty"),
        ("get: \"/v1/{a}/{a}\"", "\"a\" is captured twice"),
        ("get: \"/v1/**/x\"", "'**' is not its last segment"),
        ("get: \"/v1/{a=**}/x\"", "'**' is not its last segment"),
        ("get: \"/v1/x:\"", "a segment is empty"),
        ("get: \"/v1/x:a:b\"", "':' cannot stand in"),
        ("get: \"/v1/a:b/c\"", "':' cannot stand in"),
        ("get: \"/v1/a*\"", "'*' cannot stand in"),
        ("get: \"/v1/a?b\"", "'?' cannot stand in"),
        ("get: \"/v1/{b}\"", "other.M has no field \"b\""),
        ("get: \"/v1/{m.b}\"", "other.M has no field \"b\""),
        ("get: \"/v1/{a.b}\"", "\"a\" has no fields"),
        ("get: \"/v1/{list}\"", "\"list\" is repeated"),
        ("get: \"/v1/{map}\"", "\"map\" is a map"),
        ("get: \"/v1/{m}\"", "\"m\" is a message; name a field of it"),
        ("get: \"/v1/{s}\"", "\"s\" is a message; name a field of it"),
        ("get: \"/v1/{s.fields}\"", "google.protobuf.Struct has no field"),
        (
            "post: \"/v1/x\" body: \"b\"",
            "its body \"b\" is no field of other.M",
        ),
        (
            "post: \"/v1/x\" body: \"m.a\"",
            "its body \"m.a\" is no field of other.M",
        ),
        (
            "post: \"/v1/{m.a}\" body: \"m\"",
            "\"m\" is both in its path and its body",
        ),
        (
            "get: \"/v1/x\" response_body: \"b\"",
            "its response_body \"b\" is no field of other.M",
        ),
        ("body: \"*\"", "its rule has no pattern"),
        (
            "custom { kind: \"A B\" path: \"/v1/x\" }",
            "\"A B\" is no HTTP method",
        ),
        (
            "get: \"/v1/x\" additional_bindings { get: \"/v1/y\" additional_bindings { get: \"/v1/z\" } }",
            "additional_bindings lie within additional_bindings",
        ),
    ];
    for (text, reason) in rows {
        let set = descriptors(Some(&with(&rule("Call", text))));
        let error = Transcoder::new(&set, Options::default()).unwrap_err().to_string();
        assert!(
            error.contains("other.S.Call") && error.contains(reason),
            "{text}: {error}"
        );
    }
}

#[test]
fn two_rules_that_answer_the_same_are_both_named() {
    let rows = [
        ("get: \"/v1/{a}\"", "get: \"/v1/{m.a}\"", true),
        ("get: \"/v1/{a=x/*}\"", "get: \"/v1/x/{a}\"", true),
        ("get: \"/v1/{a=**}\"", "get: \"/v1/**\"", true),
        ("get: \"/v1/x:go\"", "get: \"/v1/x:go\"", true),
        (
            "get: \"/v1/x\"",
            "get: \"/v1/y\" additional_bindings { get: \"/v1/x\" }",
            true,
        ),
        ("custom { kind: \"GET\" path: \"/v1/x\" }", "get: \"/v1/x\"", true),
        ("get: \"/v1/x\"", "post: \"/v1/x\"", false),
        ("get: \"/v1/x:go\"", "get: \"/v1/x\"", false),
        ("get: \"/v1/{a}\"", "get: \"/v1/x\"", false),
        ("get: \"/v1/{a=**}\"", "get: \"/v1/{a=*}\"", false),
        ("custom { kind: \"*\" path: \"/v1/x\" }", "get: \"/v1/x\"", false),
    ];
    for (first, second, conflict) in rows {
        let set = descriptors(Some(&with(&(rule("One", first) + &rule("Two", second)))));
        match Transcoder::new(&set, Options::default()) {
            Ok(_) => assert!(!conflict, "{first} beside {second}"),
            Err(error) => {
                let error = error.to_string();
                assert!(conflict, "{first} beside {second}: {error}");
                assert!(
                    error.contains("other.S.One") && error.contains("other.S.Two"),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn damaged_descriptors_are_an_error() {
    let whole = descriptors(None);
    for bytes in [
        &whole[..whole.len() - 7],
        b"\xff\xff\xff".as_slice(),
        b"not a descriptor set".as_slice(),
    ] {
        assert!(Transcoder::new(bytes, Options::default()).is_err());
    }
    assert!(
        Transcoder::new(b"", Options::default()).is_ok(),
        "no services are no error"
    );
}

/// A field of bytes on the wire.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

#[test]
fn a_set_that_would_take_much_more_memory_than_it_has_bytes_is_refused() {
    // google/protobuf/descriptor.proto: a set's file 1; a file's package 2, message 4; a message's name 1, field 2,
    // nested message 3.
    let empty_fields = [0x12, 0].repeat(1 << 19);
    let many = field(1, &field(4, &empty_fields));
    let named = |count: usize| -> Vec<u8> {
        (0..count)
            .flat_map(|index| field(4, &field(1, format!("M{index}").as_bytes())))
            .collect()
    };
    let package = field(2, "a".repeat(1 << 20).as_bytes());
    let long = field(1, &[named(100), package].concat());
    let mut nested = field(1, "a".repeat(20_000).as_bytes());
    for _ in 0..90 {
        nested = [field(1, "a".repeat(20_000).as_bytes()), field(3, &nested)].concat();
    }
    let deep = field(1, &field(4, &nested));
    for (set, words) in [
        (many, "more than 524288 fields"),
        (long, "more than 67108864 bytes of full names"),
        (deep, "more than 67108864 bytes of full names"),
    ] {
        assert!(set.len() < 4 << 20);
        let error = Transcoder::new(&set, Options::default()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let fine = field(1, &named(10_000));
    assert!(Transcoder::new(&fine, Options::default()).is_ok());
}

#[test]
fn a_file_of_a_syntax_that_is_not_known_is_named() {
    // google/protobuf/descriptor.proto: a file's name 1, package 2, syntax 12.
    let file = |name: &str, syntax: &str| {
        let parts = [
            field(1, name.as_bytes()),
            field(2, b"a.b"),
            field(4, &field(1, b"M")),
            field(12, syntax.as_bytes()),
        ];
        field(1, &parts.concat())
    };
    let set = |syntax| [file("fine.proto", "proto3"), file("newer.proto", syntax)].concat();
    for syntax in ["editions", "", "proto4"] {
        let error = Transcoder::new(&set(syntax), Options::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "newer.proto in the descriptor set has the syntax {syntax:?}, and only proto2 and proto3 are known; \
                 write it in one of them"
            )
        );
    }
    let twice = Transcoder::new(&set("proto2"), Options::default()).unwrap_err();
    assert!(twice.to_string().contains("a.b.M"), "{twice}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn descriptors_with_wrong_bytes_in_them_are_an_error_or_a_transcoder(
        wrong in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut set = WHOLE.clone();
        for (at, byte) in wrong {
            let at = at.index(set.len());
            set[at] = byte;
        }
        let _ = Transcoder::new(&set, Options::default());
    }
}
