//! Rules about paths, operations, parameters, bodies, responses, headers: small documents, and what
//! is said of them.

use std::collections::BTreeSet;

use tminus_contract::{Profile, Settings};

use crate::support::{diff_with, document, ids, levelled, settings};

struct Case {
    what: &'static str,
    base: &'static str,
    revision: &'static str,
    /// `level rule`, as reported.
    expected: &'static [&'static str],
}

const fn case(
    what: &'static str,
    base: &'static str,
    revision: &'static str,
    expected: &'static [&'static str],
) -> Case {
    Case {
        what,
        base,
        revision,
        expected,
    }
}

/// Parts of one operation, `get /a`.
fn operation(parts: &str) -> String {
    document("3.0.3", &format!("paths:\n  /a:\n    get: {{ {parts} }}\n"))
}

fn paths(parts: &str) -> String {
    document("3.1.0", parts)
}

fn check(cases: &[Case], whole: fn(&str) -> String, settings: &Settings) -> BTreeSet<&'static str> {
    let mut produced = BTreeSet::new();
    for case in cases {
        let found = diff_with(&whole(case.base), &whole(case.revision), settings);
        let mut said = levelled(&found);
        let mut expected: Vec<String> = case.expected.iter().map(|it| (*it).to_owned()).collect();
        said.sort();
        expected.sort();
        assert_eq!(said, expected, "{}: {found:#?}", case.what);
        produced.extend(ids(&found));
    }
    produced
}

#[rustfmt::skip]
const OPERATION: &[Case] = &[
    case("operation id new", "", "operationId: b", &["info api-operation-id-added"]),
    case("operation id renamed", "operationId: a", "operationId: b", &["info api-operation-id-removed"]),
    case("tags", "tags: [a, b]", "tags: [b, c]", &["info api-tag-added", "info api-tag-removed"]),
    case("deprecated", "", "deprecated: true", &["info endpoint-deprecated"]),
    case("deprecated with a sunset", "", "deprecated: true, x-sunset: '2026-06-01'", &["info endpoint-deprecated-with-sunset"]),
    case("deprecated with a sunset that has passed", "", "deprecated: true, x-sunset: '2026-05-31'", &["error api-sunset-date-too-small"]),
    case("deprecated with a sunset that is no date", "", "deprecated: true, x-sunset: soon", &["error api-deprecated-sunset-parse"]),
    case("no longer deprecated", "deprecated: true", "", &["info endpoint-reactivated"]),
    case("sunset taken back", "deprecated: true, x-sunset: '2026-07-01'", "deprecated: true", &["error sunset-deleted"]),
    case("sunset moved to the past", "deprecated: true, x-sunset: '2026-07-01'", "deprecated: true, x-sunset: '2026-05-01'", &["error api-sunset-date-changed-too-small"]),
    case("sunset moved, not to the past", "deprecated: true, x-sunset: '2026-07-01'", "deprecated: true, x-sunset: '2026-06-02'", &[]),
    case("sunset that is no longer a date", "deprecated: true, x-sunset: '2026-07-01'", "deprecated: true, x-sunset: soon", &["error api-path-sunset-parse"]),
    case("less stable", "x-stability-level: stable", "x-stability-level: beta", &["error api-stability-decreased"]),
    case("more stable", "x-stability-level: beta", "", &["info api-stability-increased"]),
    case("no level at all", "", "x-stability-level: 7", &["error api-invalid-stability-level"]),
    case("what is not promised may change", "x-stability-level: alpha, parameters: []", "x-stability-level: alpha, parameters: [ { name: a, in: query, required: true } ]", &[]),
    case("parameters came", "", "parameters: [ { name: a, in: query, required: true }, { name: b, in: header }, { name: c, in: path, required: true } ]",
        &["error new-required-request-parameter", "info new-optional-request-parameter", "error new-request-path-parameter"]),
    case("a parameter went", "parameters: [ { name: a, in: query } ]", "", &["warning request-parameter-removed"]),
    case("a deprecated parameter went", "parameters: [ { name: a, in: query, deprecated: true } ]", "", &["info request-parameter-removed-with-deprecation"]),
    case("a parameter went before its sunset", "parameters: [ { name: a, in: query, deprecated: true, x-sunset: '2026-06-02' } ]", "", &["error request-parameter-removed-before-sunset"]),
    case("a parameter went after its sunset", "parameters: [ { name: a, in: query, deprecated: true, x-sunset: '2026-06-01' } ]", "", &[]),
    case("a parameter went with a sunset that is no date", "parameters: [ { name: a, in: query, deprecated: true, x-sunset: no } ]", "", &["error request-parameter-sunset-parse"]),
    case("a parameter became required", "parameters: [ { name: a, in: query } ]", "parameters: [ { name: a, in: query, required: true } ]", &["error request-parameter-became-required"]),
    case("a parameter became optional", "parameters: [ { name: a, in: query, required: true } ]", "parameters: [ { name: a, in: query } ]", &["info request-parameter-became-optional"]),
    case("a parameter is deprecated", "parameters: [ { name: a, in: query } ]", "parameters: [ { name: a, in: query, deprecated: true } ]", &["info request-parameter-deprecated"]),
    case("a parameter is deprecated too late", "parameters: [ { name: a, in: query } ]", "parameters: [ { name: a, in: query, deprecated: true, x-sunset: '2020-01-01' } ]", &["error request-parameter-sunset-date-too-small"]),
    case("a parameter is no longer deprecated", "parameters: [ { name: a, in: query, deprecated: true } ]", "parameters: [ { name: a, in: query } ]", &["info request-parameter-reactivated"]),
    case("a parameter's sunset taken back", "parameters: [ { name: a, in: query, deprecated: true, x-sunset: '2026-09-01' } ]", "parameters: [ { name: a, in: query, deprecated: true } ]", &["error request-parameter-sunset-deleted"]),
    case("a parameter's sunset moved to the past", "parameters: [ { name: a, in: query, deprecated: true, x-sunset: '2026-09-01' } ]", "parameters: [ { name: a, in: query, deprecated: true, x-sunset: '2026-01-01' } ]", &["error request-parameter-sunset-date-changed-too-small"]),
    case("a required parameter's default does not matter", "parameters: [ { name: a, in: query, required: true, schema: { default: 1 } } ]", "parameters: [ { name: a, in: query, required: true, schema: { default: 2 } } ]", &[]),
    case("one value became a list that is written one by one", "parameters: [ { name: a, in: query, schema: { type: string, pattern: x } } ]", "parameters: [ { name: a, in: query, schema: { type: array, items: { type: string, pattern: x } } } ]",
        &["info request-parameter-type-generalized", "info request-parameter-pattern-removed"]),
    case("the same list written with commas", "parameters: [ { name: a, in: query, schema: { type: string } } ]", "parameters: [ { name: a, in: query, explode: false, schema: { type: array, items: { type: string } } } ]", &["error request-parameter-type-changed"]),
    case("parameters became an object that is written out", "parameters: [ { name: a, in: query, schema: { type: string } } ]", "parameters: [ { name: f, in: query, explode: true, schema: { type: object, properties: { a: { type: integer } } } } ]", &["error request-parameter-type-changed"]),
    case("an object in a header", "parameters: [ { name: h, in: header, schema: { type: object, properties: { a: {} } } } ]", "parameters: [ { name: h, in: header, schema: { type: object, required: [a, b], properties: { a: { enum: [1] }, b: {} } } } ]",
        &["error new-required-request-header-property", "error request-header-property-became-required", "error request-header-property-became-enum", "info request-parameter-property-enum-value-added"]),
    case("a required body came", "", "requestBody: { required: true, content: {} }", &["error request-body-added-required"]),
    case("an optional body came", "", "requestBody: { content: {} }", &["info request-body-added-optional"]),
    case("the body went", "requestBody: { content: {} }", "", &["error request-body-removed"]),
    case("the body became required", "requestBody: { content: {} }", "requestBody: { required: true, content: {} }", &["error request-body-became-required"]),
    case("the body became optional", "requestBody: { required: true, content: {} }", "requestBody: { content: {} }", &["info request-body-became-optional"]),
    case("another media type", "requestBody: { content: { text/plain: {} } }", "requestBody: { content: { text/html: {} } }", &["error request-body-media-type-removed", "info request-body-media-type-added"]),
    case("a media type with a charset is the same", "requestBody: { content: { application/json: {} } }", "requestBody: { content: { application/json; charset=utf-8: {} } }", &[]),
    case("a body's schema came", "requestBody: { content: { text/plain: {} } }", "requestBody: { content: { text/plain: { schema: {} } } }", &["error request-body-media-type-schema-added"]),
    case("a body's schema went", "requestBody: { content: { text/plain: { schema: {} } } }", "requestBody: { content: { text/plain: {} } }", &["info request-body-media-type-schema-removed"]),
    case("a body of text", "requestBody: { content: { text/plain: { schema: { type: integer } } } }", "requestBody: { content: { text/plain: { schema: { type: string } } } }", &["info request-body-type-compatible"]),
    case("a property in a form", "requestBody: { content: { a/form: { schema: { properties: { p: { type: boolean } } } } } }", "requestBody: { content: { a/form: { schema: { properties: { p: { type: string } } } } } }", &["info request-property-type-compatible"]),
    case("statuses", "responses: { '200': {}, '404': {}, default: {} }", "responses: { '201': {}, '409': {}, 5XX: {} }",
        &["error response-success-status-removed", "info response-success-status-added", "info response-non-success-status-removed", "info response-non-success-status-added"]),
    case("a response's media types", "responses: { '200': { content: { text/plain: {} } } }", "responses: { '200': { content: { text/html: {} } } }", &["error response-media-type-removed", "info response-media-type-added"]),
    case("a response's charset", "responses: { '200': { content: { text/plain: {} } } }", "responses: { '200': { content: { text/plain; charset=utf-8: {} } } }", &["info response-media-type-name-changed"]),
    case("a narrower media type", "responses: { '200': { content: { application/json: {} } } }", "responses: { '200': { content: { application/problem+json: {} } } }", &["info response-media-type-name-specialized"]),
    case("a wider media type", "responses: { '200': { content: { application/problem+json: {} } } }", "responses: { '200': { content: { application/json: {} } } }", &["error response-media-type-name-generalized"]),
    case("a response's schema came", "responses: { '200': { content: { text/plain: {} } } }", "responses: { '200': { content: { text/plain: { schema: {} } } } }", &["info response-body-media-type-schema-added"]),
    case("a response's schema went", "responses: { '200': { content: { text/plain: { schema: {} } } } }", "responses: { '200': { content: { text/plain: {} } } }", &["warning response-body-media-type-schema-removed"]),
    case("a response of text", "responses: { '200': { content: { text/plain: { schema: { type: string } } } } }", "responses: { '200': { content: { text/plain: { schema: { type: integer } } } } }", &["info response-body-type-compatible"]),
    case("a property of a form that comes back", "responses: { '200': { content: { a/form: { schema: { properties: { p: { type: string } } } } } } }", "responses: { '200': { content: { a/form: { schema: { properties: { p: { type: boolean } } } } } } }", &["info response-property-type-compatible"]),
    case("headers came and went", "responses: { '200': { headers: { a: { required: true }, b: {}, c: { required: true } } } }", "responses: { '200': { headers: { c: {}, d: {} } } }",
        &["error required-response-header-removed", "warning optional-response-header-removed", "error response-header-became-optional", "info response-header-added"]),
    case("types of headers", "responses: { '200': { headers: { a: { schema: { type: boolean } }, b: { schema: { type: integer } }, c: { schema: { type: number } }, d: { schema: { type: string } }, e: { schema: { nullable: true } }, f: { schema: {} } } } }",
        "responses: { '200': { headers: { a: { schema: { type: object } }, b: { schema: { type: number } }, c: { schema: { type: integer } }, d: { schema: { type: integer } }, e: { schema: {} }, f: { schema: { nullable: true } } } } }",
        &["error response-header-type-changed", "error response-header-type-generalized", "info response-header-type-specialized", "info response-header-type-compatible", "info response-header-became-not-nullable", "error response-header-became-nullable"]),
];

#[rustfmt::skip]
const PATHS: &[Case] = &[
    case("a path came", "paths: {}", "paths: { /a: { get: {}, post: {} } }", &["info endpoint-added", "info endpoint-added"]),
    case("an operation came", "paths: { /a: { get: {} } }", "paths: { /a: { get: {}, post: {} } }", &["info endpoint-added"]),
    case("a path went", "paths: { /a: { get: {}, put: { deprecated: true }, head: { x-stability-level: draft }, delete: { deprecated: true, x-sunset: '2027-01-01' }, patch: { deprecated: true, x-sunset: '2026-01-01' }, post: { deprecated: true, x-sunset: x } } }", "paths: {}",
        &["error api-path-removed-without-deprecation", "info api-path-removed-with-deprecation", "error api-path-removed-before-sunset", "error api-path-sunset-parse"]),
    case("operations went", "paths: { /a: { get: {}, put: { deprecated: true }, head: { x-stability-level: alpha }, delete: { deprecated: true, x-sunset: '2027-01-01' }, trace: {} } }", "paths: { /a: { trace: {} } }",
        &["error api-removed-without-deprecation", "info api-removed-with-deprecation", "error api-removed-before-sunset"]),
    case("a path's parameter was renamed", "paths: { '/a/{b}/{c}': { get: { parameters: [ { name: b, in: path, required: true, schema: { maxLength: 2 } }, { name: c, in: path, required: true } ] } } }",
        "paths: { '/a/{x}/{b}': { get: { parameters: [ { name: b, in: path, required: true }, { name: x, in: path, required: true, schema: { maxLength: 1 } } ] } } }", &["error request-parameter-max-length-decreased"]),
    case("parameters of a path came", "paths: { /a: { get: {} } }", "paths: { /a: { parameters: [ { name: a, in: query, required: true }, { name: b, in: query } ], get: {} } }",
        &["error new-required-request-default-parameter-to-existing-path", "info new-optional-request-default-parameter-to-existing-path"]),
    case("webhooks", "webhooks: { a: { post: {} }, b: { post: { requestBody: { content: {} } } } }", "webhooks: { b: { post: {}, put: {} }, c: { post: {} } }",
        &["error webhook-removed", "info webhook-added", "error request-body-removed", "info endpoint-added"]),
    case("schemas", "paths: {}\ncomponents: { schemas: { A: {}, B: {} } }", "paths: {}\ncomponents: { schemas: { B: {}, C: {} } }", &["info api-schema-removed"]),
];

#[rustfmt::skip]
const WITH_NOTICE: &[Case] = &[
    case("no sunset where one is asked for", "", "deprecated: true", &["error api-deprecated-sunset-missing"]),
    case("a sunset in a week", "", "deprecated: true, x-sunset: '2026-06-08'", &["error api-sunset-date-too-small"]),
    case("a sunset in time", "", "deprecated: true, x-sunset: '2026-07-01'", &["info endpoint-deprecated-with-sunset"]),
    case("less notice for beta", "x-stability-level: beta", "x-stability-level: beta, deprecated: true, x-sunset: '2026-06-08'", &["info endpoint-deprecated-with-sunset"]),
    case("a parameter without a sunset", "parameters: [ { name: a, in: query } ]", "parameters: [ { name: a, in: query, deprecated: true } ]", &["error request-parameter-deprecated-sunset-missing"]),
    case("properties without a sunset", "requestBody: { content: { a/b: { schema: { properties: { p: {} } } } } }, responses: { '200': { content: { a/b: { schema: { properties: { p: {} } } } } } }",
        "requestBody: { content: { a/b: { schema: { properties: { p: { deprecated: true } } } } } }, responses: { '200': { content: { a/b: { schema: { properties: { p: { deprecated: true } } } } } } }",
        &["error request-property-deprecated-sunset-missing", "error response-property-deprecated-sunset-missing"]),
];

fn with_notice() -> Settings {
    let mut settings = settings(Profile::Oasdiff);
    settings.deprecation_days_stable = 30;
    settings.deprecation_days_beta = 7;
    settings
}

pub fn produced() -> BTreeSet<&'static str> {
    let mut all = check(OPERATION, operation, &settings(Profile::Oasdiff));
    all.extend(check(PATHS, paths, &settings(Profile::Oasdiff)));
    all.extend(check(WITH_NOTICE, operation, &with_notice()));
    all
}

#[test]
fn a_change_of_an_operation_is_judged() {
    check(OPERATION, operation, &settings(Profile::Oasdiff));
}

#[test]
fn our_own_profile_judges_an_operation_the_same() {
    check(OPERATION, operation, &settings(Profile::Strict));
}

#[test]
fn a_change_of_paths_is_judged() {
    check(PATHS, paths, &settings(Profile::Oasdiff));
    check(PATHS, paths, &settings(Profile::Strict));
}

#[test]
fn a_deprecation_is_judged_by_the_notice_that_is_asked_for() {
    check(WITH_NOTICE, operation, &with_notice());
}

#[rustfmt::skip]
const OF_THE_PATH: &[Case] = &[
    case("a path's parameter went", "paths: { /a: { parameters: [ { name: a, in: query } ], get: {} } }", "paths: { /a: { get: {} } }", &["warning request-parameter-removed"]),
    case("a path's parameter changed", "paths: { /a: { parameters: [ { name: a, in: query, schema: { maxLength: 2 } } ], get: {} } }", "paths: { /a: { parameters: [ { name: a, in: query, schema: { maxLength: 1 } } ], get: {} } }", &["error request-parameter-max-length-decreased"]),
    case("a parameter moved up to the path", "paths: { /a: { get: { parameters: [ { name: a, in: query } ] } } }", "paths: { /a: { parameters: [ { name: a, in: query } ], get: {} } }", &[]),
    case("an operation's own parameter replaces the path's", "paths: { /a: { parameters: [ { name: a, in: query } ], get: { parameters: [ { name: a, in: query, required: true } ] } } }", "paths: { /a: { get: { parameters: [ { name: a, in: query, required: true } ] } } }", &[]),
];

#[test]
fn parameters_of_a_path_count_for_its_operations() {
    check(OF_THE_PATH, paths, &settings(Profile::Strict));
}
