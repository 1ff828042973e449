//! References, circles, other files, members without names: what is reached, and how often.

use tminus_contract::{Limits, Profile, Spec, compare};

use crate::support::{Memory, diff_with, document, ids, settings};

fn with_schemas(root: &str, schemas: &str) -> String {
    document(
        "3.1.0",
        &format!(
            "paths:\n  /a:\n    post:\n      requestBody: {{ content: {{ application/json: {{ schema: {root} }} }} }}\ncomponents:\n  schemas:\n{schemas}"
        ),
    )
}

fn texts(base: &str, revision: &str) -> Vec<String> {
    diff_with(base, revision, &settings(Profile::Oasdiff))
        .into_iter()
        .map(|it| format!("{} | {}", it.rule.id, it.text))
        .collect()
}

#[test]
fn a_circle_is_followed_once() {
    let tree = |length: u32| {
        with_schemas(
            "{ $ref: '#/components/schemas/Tree' }",
            &format!(
                "    Tree: {{ type: object, properties: {{ name: {{ type: string, maxLength: {length} }}, children: {{ type: array, items: {{ $ref: '#/components/schemas/Tree' }} }} }} }}\n"
            ),
        )
    };
    assert_eq!(
        texts(&tree(9), &tree(5)),
        ["request-property-max-length-decreased | request property `name`: `maxLength` went from 9 to 5"]
    );
    assert!(texts(&tree(9), &tree(9)).is_empty());
}

#[test]
fn two_schemas_that_refer_to_each_other_are_seen_from_both_ends() {
    let pair = |root: &str, length: u32| {
        with_schemas(
            &format!("{{ $ref: '#/components/schemas/{root}' }}"),
            &format!(
                "    A: {{ properties: {{ b: {{ $ref: '#/components/schemas/B' }}, x: {{ maxLength: {length} }} }} }}\n    B: {{ properties: {{ a: {{ $ref: '#/components/schemas/A' }} }} }}\n"
            ),
        )
    };
    for (root, name) in [("A", "x"), ("B", "a/x")] {
        let said = texts(&pair(root, 9), &pair(root, 5));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(&format!("`{name}`")), "{said:?}");
    }
}

#[test]
fn a_schema_that_is_reached_in_many_ways_is_reported_within_bounds() {
    // Each level is used twice by the one above: 2^18 ways to the last.
    let doc = |length: u32| {
        let mut schemas = String::new();
        for level in 0..18 {
            let next = level + 1;
            schemas.push_str(&format!(
                "    L{level}: {{ properties: {{ a: {{ $ref: '#/components/schemas/L{next}' }}, b: {{ $ref: '#/components/schemas/L{next}' }} }} }}\n"
            ));
        }
        schemas.push_str(&format!(
            "    L18: {{ properties: {{ z: {{ maxLength: {length} }} }} }}\n"
        ));
        with_schemas("{ $ref: '#/components/schemas/L0' }", &schemas)
    };
    let found = diff_with(&doc(9), &doc(5), &settings(Profile::Oasdiff));
    assert!(!found.is_empty());
    assert!(found.len() <= 500, "{}", found.len());
    assert_eq!(
        ids(&found).into_iter().collect::<Vec<_>>(),
        ["request-property-max-length-decreased"]
    );
}

#[test]
fn a_schema_moved_into_the_components_is_the_same() {
    let inline = with_schemas(
        "{ oneOf: [ { type: object, properties: { a: {} } }, { type: string } ] }",
        "    S: {}\n",
    );
    let moved = with_schemas(
        "{ oneOf: [ { $ref: '#/components/schemas/S' }, { type: string } ] }",
        "    S: { type: object, description: moved, properties: { a: {} } }\n",
    );
    assert_eq!(texts(&inline, &moved), Vec::<String>::new());
}

#[test]
fn keywords_beside_a_reference_count_from_3_1_on() {
    let doc = |beside: &str, version: &str| {
        with_schemas(
            &format!("{{ properties: {{ p: {{ $ref: '#/components/schemas/S'{beside} }} }} }}"),
            "    S: { type: string }\n",
        )
        .replace("3.1.0", version)
    };
    assert_eq!(
        texts(&doc("", "3.1.0"), &doc(", deprecated: true", "3.1.0")),
        ["request-property-deprecated | request property `p`: deprecated"]
    );
    assert!(texts(&doc("", "3.0.3"), &doc(", deprecated: true", "3.0.3")).is_empty());
}

#[test]
fn references_lead_into_other_files_and_on_from_there() {
    let root = document("3.0.3", "paths:\n  /a:\n    $ref: paths/a.yaml#/item\n");
    let files = |length: u32| {
        let item = "item:\n  get:\n    parameters:\n      - $ref: '../shared.json#/parameters/p~1q'\n";
        let shared = format!(
            "{{\n \"parameters\": {{\n  \"p/q\": {{ \"name\": \"p\", \"in\": \"query\",\n   \"schema\": {{ \"$ref\": \"#/schemas/S\" }} }} }},\n \"schemas\": {{ \"S\": {{\n   \"maxLength\": {length} }} }}\n}}"
        );
        Memory::of(&[
            ("api/root.yaml", root.as_str()),
            ("api/paths/a.yaml", item),
            ("api/shared.json", shared.as_str()),
        ])
    };
    let load = |length: u32| Spec::load("api/root.yaml", &files(length), &Limits::default()).unwrap();
    let found = compare(&load(9), &load(5), &settings(Profile::Oasdiff)).unwrap();
    assert_eq!(found.len(), 1, "{found:#?}");
    let place = &found[0].base;
    assert_eq!((&*place.file, place.line), ("api/shared.json", 6));
}

#[test]
fn both_dialects_of_null_are_the_same_change() {
    for (version, nullable) in [
        ("3.0.3", "{ type: string, nullable: true }"),
        ("3.1.0", "{ type: [string, 'null'] }"),
    ] {
        let base = with_schemas("{ type: string }", "    S: {}\n").replace("3.1.0", version);
        let revision = with_schemas(nullable, "    S: {}\n").replace("3.1.0", version);
        assert_eq!(
            texts(&base, &revision),
            ["request-body-became-nullable | request body: null is now taken"],
            "{version}"
        );
    }
}

#[test]
fn places_are_lines_of_both_documents() {
    let base = document(
        "3.0.3",
        "paths:\n  /a:\n    get:\n      operationId: a\n      parameters:\n        - name: p\n          in: query\n",
    );
    let revision = document("3.0.3", "paths:\n\n  /a:\n    get:\n      operationId: a\n");
    let found = diff_with(&base, &revision, &settings(Profile::Oasdiff));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].base.line, found[0].revision.line), (8, 6), "{found:#?}");
}

#[test]
fn a_name_with_nothing_under_it_is_a_name() {
    let media = |content: &str| {
        let body =
            format!("paths:\n  /a:\n    get: {{ responses: {{ '200': {{ content: {{ {content} }} }} }} }}\n");
        document("3.1.0", &body)
    };
    let both = media("text/plain: , application/json: ");
    assert_eq!(texts(&both, &both), Vec::<String>::new());
    assert_eq!(
        texts(&both, &media("text/plain: ")),
        ["response-media-type-removed | the response 200 no longer comes as `application/json`"]
    );
}

/// What libFuzzer found lies there, too.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test reads its cases")]
fn the_seeds_of_the_fuzz_target_do_not_differ_from_themselves() {
    let mut seeds = 0;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/contract_spec");
    for seed in std::fs::read_dir(folder).unwrap() {
        let path = seed.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(texts(&text, &text), Vec::<String>::new(), "{}", path.display());
        seeds += 1;
    }
    assert!(seeds >= 2);
}
