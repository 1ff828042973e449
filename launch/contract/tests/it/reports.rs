//! The six forms of a report, as they are.

use tminus_contract::ignore::Sifted;
use tminus_contract::report::{Format, Report};
use tminus_contract::{Date, IgnoreList, Level, Profile};

use crate::support::{diff_with, document, settings};

fn sifted() -> Sifted {
    let base = document(
        "3.0.3",
        "paths:\n  /games/{id}:\n    get:\n      operationId: getGame\n      tags: [games]\n      parameters:\n        - { name: page, in: query }\n        - { name: 'a<b&\"c', in: query, schema: { maxLength: 9 } }\n  /old: { get: { parameters: [ { name: p, in: query } ] } }\n",
    );
    let revision = document(
        "3.0.3",
        "paths:\n  /games/{id}:\n    get:\n      operationId: getGame\n      parameters:\n        - { name: 'a<b&\"c', in: query, schema: { maxLength: 5 } }\n  /old: { get: {} }\ncomponents: {}\n",
    );
    let list = "- { rule: request-parameter-removed, path: /old, reason: 'nobody sends it, 100%', expires: '2026-12-31' }\n- { rule: api-tag-added, reason: r, expires: '2026-12-31' }\n- { rule: webhook-removed, reason: r, expires: '2026-01-01' }\n";
    IgnoreList::parse("decided.yaml", list).unwrap().sift(
        diff_with(&base, &revision, &settings(Profile::Strict)),
        Date::parse("2026-06-01").unwrap(),
    )
}

fn rendered(format: Format) -> String {
    let sifted = sifted();
    Report {
        base: "base.yaml",
        revision: "revision.yaml",
        sifted: &sifted,
        fail_on: Level::Error,
    }
    .render(format)
}

#[test]
fn a_report_for_people() {
    insta::assert_snapshot!(rendered(Format::Text));
}

#[test]
fn a_report_in_json() {
    insta::assert_snapshot!(rendered(Format::Json));
}

#[test]
fn a_report_in_sarif() {
    let text = rendered(Format::Sarif).replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(text);
}

#[test]
fn a_report_of_annotations() {
    insta::assert_snapshot!(rendered(Format::Github));
}

#[test]
fn a_report_for_a_build_server() {
    insta::assert_snapshot!(rendered(Format::Junit));
}

#[test]
fn a_changelog() {
    insta::assert_snapshot!(rendered(Format::Markdown));
}

#[test]
fn only_findings_that_are_bad_enough_fail() {
    let sifted = sifted();
    let fails = |fail_on, sifted: &Sifted| {
        Report {
            base: "b",
            revision: "r",
            sifted,
            fail_on,
        }
        .fails()
    };
    assert!(fails(Level::Error, &sifted));
    let harmless = Sifted {
        findings: sifted
            .findings
            .into_iter()
            .filter(|it| it.level == Level::Warning)
            .collect(),
        ..Sifted::default()
    };
    assert!(!fails(Level::Error, &harmless));
    assert!(fails(Level::Warning, &harmless));
    assert!(fails(Level::Info, &harmless));
    assert!(!fails(Level::Info, &Sifted::default()));
}
