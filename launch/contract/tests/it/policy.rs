//! Decisions and levels.

use tminus_contract::{Date, IgnoreList, Level, Profile, severity};

use crate::support::{diff_with, document, levelled, settings};

fn two_findings() -> Vec<tminus_contract::Finding> {
    let base = document(
        "3.0.3",
        "paths:\n  /a: { get: { parameters: [ { name: p, in: query } ] } }\n  /b: { get: { parameters: [ { name: q, in: query } ] } }\n",
    );
    let revision = document("3.0.3", "paths:\n  /a: { get: {} }\n  /b: { get: {} }\n");
    diff_with(&base, &revision, &settings(Profile::Strict))
}

fn today() -> Date {
    Date::parse("2026-06-01").unwrap()
}

#[test]
fn a_decision_takes_out_what_it_names_and_no_more() {
    for (entry, kept) in [
        ("rule: request-parameter-removed", 0),
        ("rule: request-parameter-removed, path: /a", 1),
        ("rule: request-parameter-removed, path: /a, method: get", 1),
        ("rule: request-parameter-removed, path: /a, method: PUT", 2),
        ("rule: request-parameter-removed, contains: '`q`'", 1),
        ("rule: request-parameter-removed, path: /", 2),
        ("rule: api-tag-removed", 2),
    ] {
        let text = format!("- {{ {entry}, reason: none, expires: '2026-06-01' }}");
        let sifted = IgnoreList::parse("i.yaml", &text)
            .unwrap()
            .sift(two_findings(), today());
        assert_eq!(sifted.findings.len(), kept, "{entry}");
        assert_eq!(sifted.ignored.len(), 2 - kept, "{entry}");
        assert_eq!(sifted.unused.len(), usize::from(kept == 2), "{entry}");
    }
}

#[test]
fn a_decision_ends_after_its_last_day() {
    let list = IgnoreList::parse(
        "i.yaml",
        "- { rule: request-parameter-removed, reason: r, expires: '2026-05-31' }",
    )
    .unwrap();
    let sifted = list.sift(two_findings(), today());
    assert_eq!(
        (sifted.findings.len(), sifted.expired.len(), sifted.unused.len()),
        (2, 1, 0)
    );
}

#[test]
fn a_list_without_reasons_or_days_is_refused() {
    for (text, expected) in [
        (
            "- { rule: request-parameter-removed, expires: '2026-05-31' }",
            "reason",
        ),
        (
            "- { rule: request-parameter-removed, reason: ' ', expires: '2026-05-31' }",
            "the reason is empty",
        ),
        ("- { rule: request-parameter-removed, reason: r }", "expires"),
        (
            "- { rule: request-parameter-removed, reason: r, expires: never }",
            "`never` is not a date",
        ),
        (
            "- { rule: no-such-rule, reason: r, expires: '2026-05-31' }",
            "no rule is called `no-such-rule`",
        ),
        (
            "- { rule: request-parameter-removed, reason: r, expires: '2026-05-31', for: x }",
            "for",
        ),
        ("rule: x", "expected a list of entries"),
    ] {
        let said = IgnoreList::parse("i.yaml", text).unwrap_err().to_string();
        assert!(
            said.starts_with("i.yaml: ") && said.contains(expected),
            "{text}: {said}"
        );
    }
    assert_eq!(IgnoreList::parse("i.yaml", " \n").unwrap(), IgnoreList::default());
}

#[test]
fn levels_are_taken_from_the_command_line_and_from_files() {
    let base = document(
        "3.0.3",
        "paths: { /a: { get: { tags: [t], parameters: [ { name: p, in: query } ] } } }\n",
    );
    let revision = document("3.0.3", "paths: { /a: { get: {} } }\n");
    let mut settings = settings(Profile::Strict);
    severity::read(
        &mut settings,
        "s",
        "# ours\nrequest-parameter-removed error\n\napi-tag-removed: none # quiet\n",
    )
    .unwrap();
    assert_eq!(
        levelled(&diff_with(&base, &revision, &settings)),
        ["error request-parameter-removed"]
    );
    severity::set(&mut settings, "--severity", "api-tag-removed", "warning").unwrap();
    let found = diff_with(&base, &revision, &settings);
    assert_eq!(found[1].level, Level::Warning);
}

#[test]
fn a_wrong_level_is_told_with_its_line() {
    for (text, expected) in [
        ("\nno-such-rule error", "s:2: no rule is called `no-such-rule`"),
        ("api-tag-removed bad", "s:1: `bad` is no level"),
        ("api-tag-removed", "s:1: expected a rule and a level"),
    ] {
        let said = severity::read(&mut settings(Profile::Strict), "s", text)
            .unwrap_err()
            .to_string();
        assert!(said.starts_with(expected), "{said}");
    }
}
