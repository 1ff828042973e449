//! Security: what the reference calls it, and who is shut out.

use std::collections::BTreeSet;

use tminus_contract::{Level, Profile};

use crate::support::{diff_with, document, ids, levelled, settings};

fn of(global: &str, own: &str) -> String {
    document(
        "3.0.3",
        &format!("{global}\npaths:\n  /a:\n    get: {{ {own} }}\n"),
    )
}

/// What, the base's and the revision's lists (the document's, the operation's), what the reference
/// says, what we say.
type Row = (
    &'static str,
    [&'static str; 2],
    [&'static str; 2],
    &'static [&'static str],
    &'static [&'static str],
);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("a requirement on an open operation", ["", ""], ["", "security: [ { key: [] } ]"],
        &["info api-security-added"], &["error api-security-added"]),
    ("a requirement on everything", ["", ""], ["security: [ { key: [] } ]", ""],
        &["info api-global-security-added"], &["error api-global-security-added"]),
    ("another way in", ["", "security: [ { key: [] } ]"], ["", "security: [ { key: [] }, { token: [] } ]"],
        &["info api-security-added"], &["info api-security-added"]),
    ("one way in less", ["", "security: [ { key: [] }, { token: [] } ]"], ["", "security: [ { token: [] } ]"],
        &["info api-security-removed"], &["error api-security-removed"]),
    ("a requirement lifted", ["", "security: [ { key: [] } ]"], ["", "security: []"],
        &["info api-security-removed"], &["info api-security-removed"]),
    ("one way for another", ["security: [ { key: [] } ]", ""], ["security: [ { token: [] } ]", ""],
        &["info api-global-security-added", "info api-global-security-removed"], &["error api-global-security-added", "info api-global-security-removed"]),
    ("both instead of one", ["", "security: [ { key: [] } ]"], ["", "security: [ { key: [], token: [] } ]"],
        &["info api-security-added", "info api-security-removed"], &["error api-security-added", "info api-security-removed"]),
    ("one instead of both", ["", "security: [ { key: [], token: [] } ]"], ["", "security: [ { key: [] } ]"],
        &["info api-security-added", "info api-security-removed"], &["info api-security-added", "info api-security-removed"]),
    ("more scopes", ["", "security: [ { o: [r] } ]"], ["", "security: [ { o: [r, w] } ]"],
        &["info api-security-scope-added"], &["error api-security-scope-added"]),
    ("fewer scopes", ["", "security: [ { o: [r, w] } ]"], ["", "security: [ { o: [r] } ]"],
        &["info api-security-scope-removed"], &["info api-security-scope-removed"]),
    ("scopes of the document", ["security: [ { o: [r, x] } ]", ""], ["security: [ { o: [r, w] } ]", ""],
        &["info api-global-security-scope-added", "info api-global-security-scope-removed"], &["error api-global-security-scope-added", "info api-global-security-scope-removed"]),
    ("nobody comes in without a name any longer", ["", "security: [ {}, { key: [] } ]"], ["", "security: [ { key: [] } ]"],
        &[], &["error api-security-added"]),
    ("an operation loses its exception", ["security: [ { key: [] } ]", "security: []"], ["security: [ { key: [] } ]", ""],
        &[], &["error api-security-added"]),
    ("the same in another order", ["", "security: [ { a: [] }, { b: [x, y] } ]"], ["", "security: [ { b: [y, x] }, { a: [] } ]"],
        &[], &[]),
];

fn lists(profile: Profile) -> BTreeSet<&'static str> {
    let mut produced = BTreeSet::new();
    for (what, base, revision, reference, ours) in ROWS {
        let found = diff_with(
            &of(base[0], base[1]),
            &of(revision[0], revision[1]),
            &settings(profile),
        );
        let mut said = levelled(&found);
        said.sort();
        let expected = if profile == Profile::Strict {
            ours
        } else {
            reference
        };
        assert_eq!(said, *expected, "{what}: {found:#?}");
        produced.extend(ids(&found));
    }
    produced
}

const SCHEMES: [&str; 2] = [
    "components: { securitySchemes: { gone: { type: http }, kind: { type: http }, flow: { type: oauth2, flows: { implicit: { authorizationUrl: a, tokenUrl: b, scopes: { r: x, s: y, t: z } } } } } }",
    "components: { securitySchemes: { new: { type: http }, kind: { type: apiKey }, flow: { type: oauth2, flows: { implicit: { authorizationUrl: c, tokenUrl: d, scopes: { r: x, s: other, u: z } } } } } }",
];

fn schemes(profile: Profile) -> Vec<tminus_contract::Finding> {
    diff_with(&of(SCHEMES[0], ""), &of(SCHEMES[1], ""), &settings(profile))
}

pub fn produced() -> BTreeSet<&'static str> {
    let mut all = lists(Profile::Oasdiff);
    all.extend(ids(&schemes(Profile::Oasdiff)));
    all
}

#[test]
fn the_reference_calls_every_change_information() {
    lists(Profile::Oasdiff);
    assert!(schemes(Profile::Oasdiff).iter().all(|it| it.level == Level::Info));
}

#[test]
fn whoever_is_shut_out_is_an_error() {
    lists(Profile::Strict);
}

#[test]
fn another_way_to_prove_who_one_is_breaks() {
    let found = schemes(Profile::Strict);
    let errors: BTreeSet<&str> = found
        .iter()
        .filter(|it| it.level == Level::Error)
        .map(|it| it.rule.id)
        .collect();
    assert_eq!(errors, BTreeSet::from(["api-security-component-type-changed"]));
    assert_eq!(found.len(), 8, "{found:#?}");
}
