//! Documents that cannot be read or compared: never "no changes", always where and what.

use tminus_contract::{ContractError, Files, Limits, Profile, Spec, compare};

use crate::support::{Memory, document, load, settings};

/// Loads and, if that works, compares with itself.
fn refusal(name: &str, files: &dyn Files, limits: &Limits) -> String {
    let result: Result<_, ContractError> =
        Spec::load(name, files, limits).and_then(|spec| compare(&spec, &spec, &settings(Profile::Strict)));
    match result {
        Ok(findings) => panic!("it was compared: {} findings", findings.len()),
        Err(error) => error.to_string(),
    }
}

fn refused(name: &str, text: &str) -> String {
    refusal(name, &Memory::of(&[(name, text)]), &Limits::default())
}

#[test]
fn what_is_wrong_is_told_with_file_line_and_column() {
    for (name, text, expected) in [
        (
            "a.json",
            "",
            "a.json:1:1: the document ends before it is complete",
        ),
        (
            "a.json",
            "{\"openapi\": \"3.0.0\",\n  \"paths\" {}}",
            "a.json:2:11: expected `:`",
        ),
        (
            "a.json",
            "{\"openapi\": \"3.0.0\",\n\"a\": 1,}",
            "a.json:2:8: `}` is not expected here",
        ),
        (
            "a.json",
            "{\"openapi\": \"3.0.0\"}\n{}",
            "a.json:2:1: something follows",
        ),
        (
            "a.json",
            "{\"openapi\": 01}",
            "a.json:1:13: `01` is no JSON value",
        ),
        ("a.json", "{\"a\": \"\\x\"}", "a.json:1:8: an escape"),
        ("a.json", "{\"a\": \"b", "a.json:1:7: a string that does not end"),
        ("a.json", "{\"a\": [1 2]}", "a.json:1:10: expected `,`"),
        ("a.json", "{\"a\": [1}", "a.json:1:9: "),
        (
            "a.json",
            "{\"a\": 1,\n \"a\": 2}",
            "a.json:2:2: `a` is there twice (first on line 1)",
        ),
        (
            "a.yaml",
            "openapi: 3.0.0\npaths: {}\npaths: {}",
            "a.yaml:3:1: `paths` is there twice (first on line 2)",
        ),
        ("a.yaml", "openapi: 3.0.0\n  paths: {", "a.yaml:2:"),
        (
            "a.yaml",
            "openapi: 3.0.0\n---\nopenapi: 3.0.0",
            "a.yaml:2:1: a second document",
        ),
        ("a.yaml", "a: &x [*x]", "a.yaml:1:"),
        (
            "a.yaml",
            "? [a]\n: b",
            "a.yaml:1:3: a list or a mapping as a name",
        ),
        (
            "a.yaml",
            "- 1",
            "not an OpenAPI 3 document: its root is no object",
        ),
        ("a.yaml", "swagger: '2.0'", "it is Swagger 2.0"),
        ("a.yaml", "info: {}", "it has no `openapi` version"),
        (
            "a.yaml",
            "openapi: 4.0.0",
            "`openapi: 4.0.0`; this release knows 3.0 and 3.1",
        ),
        (
            "a.yaml",
            "openapi: 3.0.0\npaths: [a]",
            "a.yaml:2:1: `paths` is no object; expected names with path items",
        ),
        (
            "a.yaml",
            "openapi: 3.0.0\npaths: { /a: 1 }",
            "a.yaml:2:10: `/a` is no object",
        ),
        (
            "a.yaml",
            "openapi: 3.0.0\npaths: { /a: { get: [] } }",
            "`get` is no object",
        ),
        (
            "a.yaml",
            "openapi: 3.0.0\npaths: { /a: { get: { parameters: {} } } }",
            "`parameters` is no list",
        ),
        (
            "a.yaml",
            "openapi: 3.0.0\npaths: { /a: { get: { parameters: [ {} ] } } }",
            "a parameter without `name` or `in`",
        ),
    ] {
        let said = refused(name, text);
        assert!(said.contains(expected), "{text:?}: {said}");
    }
}

#[test]
fn a_malformed_schema_is_an_error_where_it_is_used() {
    for (schema, expected) in [
        ("7", "no schema; expected an object, true or false"),
        ("{ allOf: {} }", "`allOf` is no list"),
        ("{ properties: [] }", "`properties` is no object"),
        ("{ items: [ {} ] }", "no schema"),
    ] {
        let of = |schema: &str| {
            document(
                "3.1.0",
                &format!(
                    "paths:\n  /a:\n    post: {{ requestBody: {{ content: {{ a/b: {{ schema: {schema} }} }} }} }}\n"
                ),
            )
        };
        let (base, revision) = (
            load("b.yaml", &of("{}")).unwrap(),
            load("r.yaml", &of(schema)).unwrap(),
        );
        let said = compare(&base, &revision, &settings(Profile::Strict))
            .unwrap_err()
            .to_string();
        assert!(
            said.starts_with("r.yaml:5:") && said.contains(expected),
            "{schema}: {said}"
        );
    }
}

#[test]
fn a_reference_that_leads_nowhere_is_an_error_where_it_is_used() {
    let with = |reference: &str| {
        document(
            "3.0.3",
            &format!(
                "paths:\n  /a:\n    get:\n      parameters:\n        - $ref: '{reference}'\ncomponents:\n  parameters:\n    loop: {{ $ref: '#/components/parameters/loop' }}\n"
            ),
        )
    };
    for (reference, expected) in [
        (
            "#/components/parameters/missing",
            "there is no `missing` in a.yaml",
        ),
        (
            "#/components/parameters/loop",
            "it leads in a circle of references",
        ),
        ("missing.yaml#/p", "missing.yaml: cannot be read: no such file"),
        ("https://example.com/a.yaml#/p", "it names another host"),
        ("#anchor", "anchors are not followed"),
    ] {
        let said = refused("a.yaml", &with(reference));
        assert!(
            said.contains("a.yaml:7:") && said.contains(expected),
            "{reference}: {said}"
        );
    }
}

#[test]
fn a_reference_that_nothing_uses_may_lead_nowhere() {
    let text = document(
        "3.0.3",
        "paths: {}\ncomponents:\n  schemas:\n    S: { $ref: 'missing.yaml#/S' }\n",
    );
    let spec = load("a.yaml", &text).unwrap();
    assert!(
        compare(&spec, &spec, &settings(Profile::Strict))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_broken_file_that_is_referred_to_is_an_error() {
    let root = document("3.0.3", "paths: { /a: { $ref: 'b.json' } }\n");
    let files = Memory::of(&[("a.yaml", root.as_str()), ("b.json", "{")]);
    let said = refusal("a.yaml", &files, &Limits::default());
    assert!(said.starts_with("b.json:1:2"), "{said}");
}

#[test]
fn depth_bombs_are_refused() {
    for (name, open, close) in [
        ("a.json", "[", "]"),
        ("a.yaml", "[", "]"),
        ("a.json", "{\"a\":", "}"),
    ] {
        for count in [1_000, 200_000] {
            let text = format!("{}1{}", open.repeat(count), close.repeat(count));
            let said = refused(name, &text);
            assert!(said.contains(name), "{said}");
        }
    }
    let mut nested = String::from("openapi: 3.0.0\n");
    for depth in 0..1_000 {
        nested.push_str(&format!("{}a:\n", " ".repeat(depth)));
    }
    assert!(refused("a.yaml", &nested).contains("a.yaml:"));
}

#[test]
fn an_alias_bomb_is_refused_before_it_unfolds() {
    let mut text = String::from("openapi: 3.0.0\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let before = format!("*a{}", level - 1);
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![before; 10].join(", ")
        ));
    }
    let said = refused("a.yaml", &text);
    assert!(said.contains("once every alias is written out"), "{said}");
}

#[test]
fn limits_hold() {
    let small = Limits {
        file_bytes_max: 100,
        files_max: 2,
        nodes_max: 50,
    };
    let long = format!("openapi: 3.0.0\nx: {}", "a".repeat(200));
    let said = refusal("a.yaml", &Memory::of(&[("a.yaml", &long)]), &small);
    assert!(said.contains("more than the limit of 100"), "{said}");
    let many = format!("openapi: 3.0.0\nx: [{}]", "1,".repeat(60));
    let said = refusal(
        "a.yaml",
        &Memory::of(&[("a.yaml", &many[..])]),
        &Limits {
            file_bytes_max: 1_000,
            ..small
        },
    );
    assert!(said.contains("more than 50 values"), "{said}");
    let files = Memory::of(&[
        (
            "a.yaml",
            "openapi: 3.0.0\nx: [ { $ref: b.yaml }, { $ref: c.yaml } ]",
        ),
        ("b.yaml", "{}"),
        ("c.yaml", "{}"),
    ]);
    let said = refusal("a.yaml", &files, &small);
    assert!(said.contains("files of one document"), "{said}");
}

#[test]
fn bytes_that_are_no_utf_8_are_refused() {
    let mut files = Memory::default();
    files
        .0
        .insert("a.yaml".to_owned(), b"openapi: 3.0.0\n\xff".to_vec());
    let said = refusal("a.yaml", &files, &Limits::default());
    assert_eq!(said, "a.yaml: byte 15 is not UTF-8; save the document as UTF-8");
}

#[test]
fn json_and_yaml_say_the_same() {
    let json = "{\"openapi\": \"3.0.0\", \"paths\": {\"/a\": {\"get\": {\"parameters\": [{\"name\": \"\\u00fc\\ud83d\\ude00\", \"in\": \"query\", \"schema\": {\"maximum\": 1.50e1}}]}}}}";
    let yaml = "openapi: 3.0.0\nx: &p { name: ü😀, in: query, schema: { maximum: 15 } }\npaths:\n  /a:\n    get:\n      parameters:\n        - <<: *p\n          required: false\n";
    let (one, two) = (load("a.json", json).unwrap(), load("a.yaml", yaml).unwrap());
    let found = compare(&one, &two, &settings(Profile::Strict)).unwrap();
    assert!(found.is_empty(), "{found:#?}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[\\PC\\n ]{0,200}") {
        for name in ["a.json", "a.yaml", "a"] {
            let _ = load(name, &text);
        }
    }

    #[test]
    fn any_bytes_after_a_good_start_are_read_or_refused(rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let mut files = Memory::default();
        let mut bytes = b"openapi: 3.1.0\npaths: {}\n".to_vec();
        bytes.extend(rest);
        files.0.insert("a.yaml".to_owned(), bytes);
        if let Ok(spec) = Spec::load("a.yaml", &files, &Limits::default()) {
            let _ = compare(&spec, &spec, &settings(Profile::Strict));
        }
    }
}
