//! Every way to get a plan wrong is told with its place, what was found and what was expected.

use std::fmt::Write as _;

use proptest::prelude::*;
use tminus_plan::Plan;

use crate::shipped::{HTTP_SERVICE, STARVAULT};
use crate::support::SMALL;

/// (what is done wrong, text that is replaced, text that replaces it)
const MISTAKES: &[(&str, &str, &str)] = &[
    ("unknown field of the plan", "version: v1", "versoin: v1"),
    ("unknown field of an item", "    owner: sre\n", "    ownr: sre\n"),
    ("unknown field of a gate", "duration_s: 60", "duration: 60"),
    (
        "unknown field in a flow mapping",
        "{ zh: 压测, en: Load }",
        "{ zh: 压测, eng: Load }",
    ),
    ("missing field", "    owner: sre\n", ""),
    ("missing field of a gate", "        target: ${gateway}\n", ""),
    ("missing kind", "        kind: load\n", ""),
    ("unknown kind", "kind: load", "kind: laod"),
    (
        "field on a kind to come",
        "{ id: diff, kind: contract }",
        "{ id: diff, kind: contract, url: x }",
    ),
    ("unknown protocol", "protocol: starvault", "protocol: grpc"),
    (
        "field of another protocol",
        "protocol: starvault",
        "protocol: starvault\n        path: /x",
    ),
    ("no comparison", "p99_ms <= 200", "p99_ms 200"),
    ("no number", "p99_ms <= 200", "p99_ms <= fast"),
    ("a unit on the number", "p99_ms <= 200", "p99_ms <= 200ms"),
    ("not a measurement", "p99_ms <= 200", "P99 <= 200"),
    ("a single equals sign", "[lost == 0]", "[lost = 0]"),
    ("an expectation that is a number", "[lost == 0]", "[0]"),
    (
        "nothing expected",
        "        expect:\n          - p99_ms <= 200\n",
        "",
    ),
    ("window backwards", "from_h: 0, to_h: 12", "from_h: 12, to_h: 0"),
    ("window empty", "from_h: 0, to_h: 12", "from_h: 12, to_h: 12"),
    ("window negative", "from_h: 0, to_h: 12", "from_h: -1, to_h: 12"),
    ("window in words", "from_h: 0, to_h: 12", "from_h: 0, to_h: noon"),
    ("same item id", "- id: contract", "- id: load"),
    ("same item number", "number: 2", "number: 1"),
    ("same gate id", "id: journal", "id: players"),
    ("same role", "[qa, sre]", "[qa, qa]"),
    ("role with a space", "[qa, sre]", "[qa, Site Reliability]"),
    ("owner in capitals", "    owner: sre\n", "    owner: SRE\n"),
    ("item id with a slash", "- id: contract", "- id: a/b"),
    ("same field twice", "version: v1", "version: v1\nversion: v2"),
    ("number where text belongs", "version: v1", "version: 1.0"),
    (
        "feedback without an address",
        "version: v1",
        "version: v1\nfeedback: { sections: [load] }",
    ),
    (
        "feedback to no web address",
        "version: v1",
        "version: v1\nfeedback: { url: launch.example.org }",
    ),
    (
        "feedback with a user",
        "version: v1",
        "version: v1\nfeedback: { url: \"https://me:pw@launch.example.org\" }",
    ),
    (
        "feedback with a query",
        "version: v1",
        "version: v1\nfeedback: { url: \"https://launch.example.org/?a=b\" }",
    ),
    (
        "feedback asks nothing",
        "version: v1",
        "version: v1\nfeedback: { url: \"https://a.example\", sections: [] }",
    ),
    (
        "feedback asks twice",
        "version: v1",
        "version: v1\nfeedback: { url: \"https://a.example\", sections: [load, load] }",
    ),
    (
        "feedback asks more than a code holds",
        "version: v1",
        "version: v1\nfeedback: { url: \"https://a.example\", sections: [一二三四五六七八九十一二三四五, 二二三四五六七八九十一二三四五, 三二三四五六七八九十一二三四五] }",
    ),
    (
        "feedback in an unknown field",
        "version: v1",
        "version: v1\nfeedback: { url: \"https://a.example\", section: [load] }",
    ),
    (
        "text where a number belongs",
        "duration_s: 60",
        "duration_s: long",
    ),
    ("number out of range", "duration_s: 60", "duration_s: 0"),
    ("players in words", "players: ${players}", "players: many"),
    (
        "variable never closed",
        "target: ${gateway}",
        "target: \"${gateway\"",
    ),
    ("variable without a name", "target: ${gateway}", "target: ${}"),
    (
        "rehearsal that lowers the bar",
        "rehearsal: { duration_s: 5 }",
        "rehearsal: { expect: [] }",
    ),
    (
        "rehearsal that believes a late generator",
        "rehearsal: { duration_s: 5 }",
        "rehearsal: { generator_lag_max_ms: 1000 }",
    ),
    (
        "generator that may never be late",
        "duration_s: 60",
        "duration_s: 60\n        generator_lag_max_ms: 0",
    ),
    (
        "rehearsal with a bad value",
        "rehearsal: { duration_s: 5 }",
        "rehearsal: { duration_s: -5 }",
    ),
    ("steps that fall", "[0, 5, 30, 70, 100]", "[0, 30, 5, 100]"),
    ("steps that do not end", "[0, 5, 30, 70, 100]", "[0, 5, 30]"),
    (
        "a step with an unknown field",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, { weight: 5, wait_s: 3 }, 100]",
    ),
    (
        "an approval for no weight",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [{ weight: 0, approval: sre }, 100]",
    ),
    (
        "one approval for two steps",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [{ weight: 5, approval: sre }, { weight: 100, approval: sre }]",
    ),
    (
        "an approval that nobody can give",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [5, { weight: 100, approval: go-live }]",
    ),
    (
        "an approval in words",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [{ weight: 5, approval: SRE says so }, 100]",
    ),
    (
        "a freeze on no day",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        freeze: [{ days: [], from: \"22:00\", to: \"06:00\" }]",
    ),
    (
        "a freeze on a day that is none",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        freeze: [{ days: [saturday], from: \"22:00\", to: \"06:00\" }]",
    ),
    (
        "a freeze at a time that is none",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        freeze: [{ from: \"24:00\", to: \"06:00\" }]",
    ),
    (
        "a freeze at a number",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        freeze: [{ from: 22, to: \"06:00\" }]",
    ),
    (
        "a freeze for ever",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        freeze: [{ from: \"06:00\", to: \"06:00\" }]",
    ),
    (
        "quantiles that fall",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        quantiles: [99, 50]",
    ),
    (
        "a quantile of all",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        quantiles: [100]",
    ),
    (
        "an unknown margin",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        margins: { errors: 3 }",
    ),
    (
        "a margin below nothing",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        margins: { rate_percent: -1 }",
    ),
    (
        "a business counter with a bad name",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        business: [Games-Aborted]",
    ),
    (
        "a business counter named as a quantile",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        business: [p99]",
    ),
    (
        "a business counter twice",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        business: [aborts, { name: aborts }]",
    ),
    (
        "a part of alpha for nothing",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        alpha_parts: { latency: 1 }",
    ),
    (
        "a part of alpha of nothing",
        "steps: [0, 5, 30, 70, 100]",
        "steps: [0, 5, 30, 70, 100]\n        alpha_parts: { errors: 0 }",
    ),
    ("an unknown block", "items:\n", "items: []\nother:\n"),
    (
        "a list where a mapping belongs",
        "title: { zh: 压测, en: Load }",
        "title: [压测, Load]",
    ),
    ("empty text", "en: Load }", "en: \"\" }"),
    (
        "a program that is not named",
        "argv: [starvault, journal, check]",
        "argv: []",
    ),
    ("YAML that does not close", "[qa, sre]", "[qa, sre"),
    ("a tab for indentation", "    owner: sre\n", "\towner: sre\n"),
    ("an unknown anchor", "    owner: sre\n", "    owner: *nobody\n"),
    ("a second document", "items:\n", "---\nitems:\n"),
];

#[test]
fn a_mistake_is_told_with_its_place_and_what_would_be_right() {
    let mut told = String::new();
    for (mistake, from, to) in MISTAKES {
        assert!(SMALL.contains(from), "{mistake}: nothing to replace");
        let yaml = SMALL.replacen(from, to, 1);
        let error = Plan::parse(&yaml, "small.yaml").expect_err(mistake);
        assert!(error.line > 0 && error.column > 0, "{mistake}: {error}");
        let _ = writeln!(told, "{mistake}\n    {error}");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn an_error_points_at_the_line_and_column_of_the_mistake() {
    let yaml = SMALL.replacen("p99_ms <= 200", "p99_ms =< 200", 1);
    let error = Plan::parse(&yaml, "small.yaml").unwrap_err();
    let line = yaml.lines().nth(error.line as usize - 1).unwrap();
    assert!(
        line[error.column as usize - 1..].starts_with("p99_ms =< 200"),
        "{error}"
    );
}

#[test]
fn nothing_at_all_is_an_error_and_not_a_panic() {
    for yaml in [
        "",
        "\n\n",
        "null",
        "[]",
        "42",
        "---",
        "\u{feff}",
        "a: &a [*a]",
        "? [x]\n: y",
        "{{{{",
        "%YAML 9.9\n---\n",
    ] {
        let error = Plan::parse(yaml, "x.yaml").expect_err(yaml);
        assert!(!error.what.is_empty() && !error.expected.is_empty(), "{error}");
    }
}

#[test]
fn a_plan_without_items_is_no_plan() {
    let error = Plan::parse("name: x\nversion: v1\nitems: []\n", "x.yaml").unwrap_err();
    assert_eq!(
        error.to_string(),
        "x.yaml:3:8: `items` is empty; expected at least one item"
    );
}

#[test]
fn deep_nesting_and_repeated_aliases_are_bounded() {
    let deep = format!("name: {}x{}", "[".repeat(10_000), "]".repeat(10_000));
    Plan::parse(&deep, "deep.yaml").unwrap_err();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        let _ = writeln!(bomb, "a{level}: &a{level} [{}]", vec![below; 10].join(", "));
    }
    Plan::parse(&bomb, "bomb.yaml").unwrap_err();
}

/// What a hand, an editor or a merge does to a file.
#[derive(Debug, Clone)]
enum Damage {
    Cut { at: usize, length: usize },
    Insert { at: usize, text: String },
    Swap { line: usize, other: usize },
    Repeat { line: usize, times: usize },
    Indent { line: usize, by: usize },
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0..20_000_usize;
    let text = prop_oneof![
        "[ \\t\\n:\\-{}\\[\\]&*!|>%@`\"'#,?~$.0-9a-z]{1,8}",
        Just("\u{0}".to_owned()),
        Just("${".to_owned()),
        Just("<<: *x".to_owned()),
        Just("1e999".to_owned()),
        Just("-9223372036854775809".to_owned()),
        Just("!!binary x".to_owned()),
        Just("𝄞".to_owned()),
        Just("\r".to_owned()),
    ];
    prop_oneof![
        (at.clone(), 1..200_usize).prop_map(|(at, length)| Damage::Cut { at, length }),
        (at.clone(), text).prop_map(|(at, text)| Damage::Insert { at, text }),
        (0..400_usize, 0..400_usize).prop_map(|(line, other)| Damage::Swap { line, other }),
        (0..400_usize, 1..4_usize).prop_map(|(line, times)| Damage::Repeat { line, times }),
        (0..400_usize, 1..8_usize).prop_map(|(line, by)| Damage::Indent { line, by }),
    ]
}

fn apply(yaml: &str, damage: &Damage) -> String {
    let place = |at: usize| {
        let mut at = at % (yaml.len() + 1);
        while !yaml.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let mut lines: Vec<&str> = yaml.split('\n').collect();
    let count = lines.len();
    match damage {
        Damage::Cut { at, length } => {
            let start = place(*at);
            let end = place((start + length).min(yaml.len()));
            format!("{}{}", &yaml[..start], &yaml[end.max(start)..])
        }
        Damage::Insert { at, text } => {
            let (before, after) = yaml.split_at(place(*at));
            format!("{before}{text}{after}")
        }
        Damage::Swap { line, other } => {
            lines.swap(line % count, other % count);
            lines.join("\n")
        }
        Damage::Repeat { line, times } => {
            let repeated = lines[line % count];
            for _ in 0..*times {
                lines.insert(line % count, repeated);
            }
            lines.join("\n")
        }
        Damage::Indent { line, by } => {
            let indented = format!("{}{}", " ".repeat(*by), lines[line % count]);
            lines[line % count] = &indented;
            lines.join("\n")
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_plan_reads_or_is_refused_with_a_place(
        which in 0..3_usize,
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        let mut yaml = [STARVAULT, HTTP_SERVICE, SMALL][which].to_owned();
        for damage in &damages {
            yaml = apply(&yaml, damage);
        }
        match Plan::parse(&yaml, "damaged.yaml") {
            // What reads can be judged, folded over and asked for its variables.
            Ok(plan) => {
                for gate in plan.items.iter().flat_map(|item| &item.gates) {
                    let _ = tminus_plan::judge(gate, None);
                }
                let _ = plan.check_variables(["gateway"]);
            }
            Err(error) => {
                prop_assert!(error.line >= 1, "{}", error);
                prop_assert!(error.line as usize <= yaml.split('\n').count() + 1, "{}", error);
                prop_assert!(!error.expected.is_empty());
            }
        }
    }

    #[test]
    fn any_text_at_all_is_refused_and_never_panics(yaml in "\\PC{0,200}") {
        let _ = Plan::parse(&yaml, "noise.yaml");
    }
}
