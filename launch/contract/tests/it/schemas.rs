//! Rules about schemas: one row is a change, and what it is called in each place.

use std::collections::BTreeSet;

use tminus_contract::{Profile, rules};

use crate::support::{diff_with, document, ids, settings};

/// Request body, property of one, response body, property of one, parameter, property of one.
type Expected = [&'static str; 6];

struct Row {
    what: &'static str,
    base: &'static str,
    revision: &'static str,
    /// Names parted by spaces.
    expected: Expected,
}

const fn row(what: &'static str, base: &'static str, revision: &'static str, expected: Expected) -> Row {
    Row {
        what,
        base,
        revision,
        expected,
    }
}

/// The document with a schema at one of the six places.
fn at_place(place: usize, schema: &str) -> String {
    let schema = if place % 2 == 1 {
        format!("{{ type: object, properties: {{ a: {schema} }} }}")
    } else {
        schema.to_owned()
    };
    let content = format!("{{ content: {{ application/json: {{ schema: {schema} }} }} }}");
    let operation = match place {
        0 | 1 => format!("requestBody: {content}"),
        2 | 3 => format!("responses: {{ '200': {content} }}"),
        _ => format!("parameters: [ {{ name: p, in: query, schema: {schema} }} ]"),
    };
    document(
        "3.1.0",
        &format!("paths:\n  /things:\n    post:\n      {operation}\n"),
    )
}

/// Every name that some row has produced.
fn check(rows: &[Row]) -> BTreeSet<&'static str> {
    let settings = settings(Profile::Oasdiff);
    let mut produced = BTreeSet::new();
    for row in rows {
        for (place, expected) in row.expected.iter().enumerate() {
            let found = diff_with(
                &at_place(place, row.base),
                &at_place(place, row.revision),
                &settings,
            );
            let expected: BTreeSet<&str> = expected.split_whitespace().collect();
            assert_eq!(ids(&found), expected, "{} at place {place}: {found:#?}", row.what);
            produced.extend(ids(&found));
        }
    }
    produced
}

#[rustfmt::skip]
const BOUNDS: &[Row] = &[
    row("maximum raised", "{ maximum: 5 }", "{ maximum: 9 }",
        ["request-body-max-increased", "request-property-max-increased", "response-body-max-increased", "response-property-max-increased", "request-parameter-max-increased", ""]),
    row("maximum lowered", "{ maximum: 9 }", "{ maximum: 5.5 }",
        ["request-body-max-decreased", "request-property-max-decreased", "", "", "request-parameter-max-decreased", ""]),
    row("maximum set", "{ type: integer }", "{ type: integer, maximum: 9 }",
        ["request-body-max-set", "request-property-max-set", "", "", "request-parameter-max-set", ""]),
    row("exclusive maximum raised", "{ exclusiveMaximum: 5 }", "{ exclusiveMaximum: 9 }",
        ["request-body-exclusive-max-increased", "request-property-exclusive-max-increased", "response-body-exclusive-max-increased", "response-property-exclusive-max-increased", "request-parameter-exclusive-max-increased", ""]),
    row("exclusive maximum lowered", "{ exclusiveMaximum: 9 }", "{ exclusiveMaximum: 5 }",
        ["request-body-exclusive-max-decreased", "request-property-exclusive-max-decreased", "", "", "request-parameter-exclusive-max-decreased", ""]),
    row("exclusive maximum set", "{ maximum: 9 }", "{ maximum: 9, exclusiveMaximum: true }",
        ["request-body-exclusive-max-set", "request-property-exclusive-max-set", "", "", "request-parameter-exclusive-max-set", ""]),
    row("exclusive maximum said to be off", "{ maximum: 9 }", "{ maximum: 9, exclusiveMaximum: false }", ["", "", "", "", "", ""]),
    row("minimum raised", "{ minimum: 5 }", "{ minimum: 9 }",
        ["request-body-min-increased", "request-property-min-increased", "", "", "request-parameter-min-increased", ""]),
    row("minimum lowered", "{ minimum: 9 }", "{ minimum: 5 }",
        ["request-body-min-decreased", "request-property-min-decreased", "response-body-min-decreased", "response-property-min-decreased", "request-parameter-min-decreased", ""]),
    row("minimum set", "{ type: integer }", "{ type: integer, minimum: 0 }",
        ["request-body-min-set", "request-property-min-set", "", "", "request-parameter-min-set", ""]),
    row("exclusive minimum raised", "{ exclusiveMinimum: 5 }", "{ exclusiveMinimum: 9 }",
        ["request-body-exclusive-min-increased", "request-property-exclusive-min-increased", "", "", "request-parameter-exclusive-min-increased", ""]),
    row("exclusive minimum lowered", "{ exclusiveMinimum: 9 }", "{ exclusiveMinimum: 5 }",
        ["request-body-exclusive-min-decreased", "request-property-exclusive-min-decreased", "response-body-exclusive-min-decreased", "response-property-exclusive-min-decreased", "request-parameter-exclusive-min-decreased", ""]),
    row("exclusive minimum set", "{ type: number }", "{ type: number, exclusiveMinimum: 1 }",
        ["request-body-exclusive-min-set", "request-property-exclusive-min-set", "", "", "request-parameter-exclusive-min-set", ""]),
    row("maxLength raised", "{ maxLength: 5 }", "{ maxLength: 9 }",
        ["request-body-max-length-increased", "request-property-max-length-increased", "response-body-max-length-increased", "response-property-max-length-increased", "request-parameter-max-length-increased", ""]),
    row("maxLength lowered", "{ maxLength: 9 }", "{ maxLength: 5 }",
        ["request-body-max-length-decreased", "request-property-max-length-decreased", "", "", "request-parameter-max-length-decreased", ""]),
    row("maxLength set", "{ type: string }", "{ type: string, maxLength: 5 }",
        ["request-body-max-length-set", "request-property-max-length-set", "", "", "request-parameter-max-length-set", ""]),
    row("maxLength taken away", "{ type: string, maxLength: 5 }", "{ type: string }",
        ["", "", "response-body-max-length-unset", "response-property-max-length-unset", "", ""]),
    row("minLength raised from nothing", "{ type: string }", "{ type: string, minLength: 1 }",
        ["request-body-min-length-increased", "request-property-min-length-increased", "", "", "request-parameter-min-length-increased", ""]),
    row("minLength taken away", "{ type: string, minLength: 2 }", "{ type: string }",
        ["request-body-min-length-decreased", "request-property-min-length-decreased", "response-body-min-length-decreased", "response-property-min-length-decreased", "request-parameter-min-length-decreased", ""]),
    row("minLength said to be 0", "{ type: string }", "{ type: string, minLength: 0 }", ["", "", "", "", "", ""]),
    row("minItems raised", "{ type: array, minItems: 1 }", "{ type: array, minItems: 2 }",
        ["request-body-min-items-increased", "request-property-min-items-increased", "", "", "request-parameter-min-items-increased", ""]),
    row("minItems lowered", "{ type: array, minItems: 2 }", "{ type: array, minItems: 1 }",
        ["", "", "response-body-min-items-decreased", "response-property-min-items-decreased", "request-parameter-min-items-decreased", ""]),
    row("maxItems raised", "{ type: array, maxItems: 2 }", "{ type: array, maxItems: 3 }", ["", "", "", "", "request-parameter-max-items-increased", ""]),
    row("maxItems lowered", "{ type: array, maxItems: 3 }", "{ type: array, maxItems: 2 }", ["", "", "", "", "request-parameter-max-items-decreased", ""]),
    row("minContains raised", "{ minContains: 1 }", "{ minContains: 2 }",
        ["request-body-min-contains-increased", "request-property-min-contains-increased", "response-body-min-contains-increased", "response-property-min-contains-increased", "", ""]),
    row("minContains lowered", "{ minContains: 2 }", "{ minContains: 1 }",
        ["request-body-min-contains-decreased", "request-property-min-contains-decreased", "response-body-min-contains-decreased", "response-property-min-contains-decreased", "", ""]),
    row("maxContains raised", "{ maxContains: 1 }", "{ maxContains: 2 }",
        ["request-body-max-contains-increased", "request-property-max-contains-increased", "response-body-max-contains-increased", "response-property-max-contains-increased", "", ""]),
    row("maxContains lowered", "{ maxContains: 2 }", "{ maxContains: 1 }",
        ["request-body-max-contains-decreased", "request-property-max-contains-decreased", "response-body-max-contains-decreased", "response-property-max-contains-decreased", "", ""]),
    row("lowered for what clients do not send", "{ readOnly: true, maximum: 9, minimum: 1, maxLength: 9, exclusiveMaximum: 9, exclusiveMinimum: 1 }", "{ readOnly: true, maximum: 8, minimum: 2, maxLength: 8, exclusiveMaximum: 8, exclusiveMinimum: 2 }",
        ["request-body-max-decreased request-body-min-increased request-body-max-length-decreased request-body-exclusive-max-decreased request-body-exclusive-min-increased",
         "request-read-only-property-max-decreased request-read-only-property-min-increased request-read-only-property-max-length-decreased request-read-only-property-exclusive-max-decreased request-read-only-property-exclusive-min-increased",
         "", "", "request-parameter-max-decreased request-parameter-min-increased request-parameter-max-length-decreased request-parameter-exclusive-max-decreased request-parameter-exclusive-min-increased", ""]),
    row("raised for what clients never see", "{ writeOnly: true, maximum: 8, maxLength: 5 }", "{ writeOnly: true, maximum: 9, maxLength: 6 }",
        ["request-body-max-increased request-body-max-length-increased", "request-property-max-increased request-property-max-length-increased", "response-body-max-increased response-body-max-length-increased", "", "request-parameter-max-increased request-parameter-max-length-increased", ""]),
];

#[rustfmt::skip]
const VALUES: &[Row] = &[
    row("string became integer", "{ type: string }", "{ type: integer }",
        ["request-body-type-changed", "request-property-type-changed", "response-body-type-changed", "response-property-type-changed", "request-parameter-type-changed", "request-parameter-property-type-specialized"]),
    row("integer became number", "{ type: integer }", "{ type: number }",
        ["request-body-type-generalized", "request-property-type-generalized", "response-body-type-generalized", "response-property-type-generalized", "request-parameter-type-generalized", "request-parameter-property-type-generalized"]),
    row("number became integer", "{ type: number }", "{ type: integer }",
        ["request-body-type-changed", "request-property-type-changed", "response-body-type-specialized", "response-property-type-specialized", "request-parameter-type-changed", "request-parameter-property-type-specialized"]),
    row("integer became string", "{ type: integer }", "{ type: string }",
        ["request-body-type-changed", "request-property-type-changed", "response-body-type-changed", "response-property-type-changed", "request-parameter-type-generalized", "request-parameter-property-type-changed"]),
    row("any type became string", "{}", "{ type: string }",
        ["request-body-type-changed", "request-property-type-changed", "response-body-type-specialized", "response-property-type-specialized", "request-parameter-type-generalized", "request-parameter-property-type-changed"]),
    row("string became any type", "{ type: string }", "{}",
        ["request-body-type-generalized", "request-property-type-generalized", "response-body-type-changed", "response-property-type-changed", "request-parameter-type-generalized", "request-parameter-property-type-changed"]),
    row("date became date-time", "{ type: string, format: date }", "{ type: string, format: date-time }",
        ["request-body-type-generalized", "request-property-type-generalized", "response-body-type-changed", "response-property-type-changed", "request-parameter-type-generalized", "request-parameter-property-type-generalized"]),
    row("a format was added", "{ type: string }", "{ type: string, format: uuid }",
        ["request-body-type-changed", "request-property-type-changed", "response-body-type-specialized", "response-property-type-specialized", "request-parameter-type-changed", "request-parameter-property-type-specialized"]),
    row("null in the type list", "{ type: string }", "{ type: [string, 'null'] }",
        ["request-body-became-nullable", "request-property-became-nullable", "response-body-became-nullable", "response-property-became-nullable", "request-parameter-became-nullable", "request-parameter-property-became-nullable"]),
    row("null by keyword, gone", "{ type: string, nullable: true }", "{ type: string }",
        ["request-body-became-not-nullable", "request-property-became-not-nullable", "response-body-became-not-nullable", "response-property-became-not-nullable", "request-parameter-became-not-nullable", "request-parameter-property-became-not-nullable"]),
    row("null by oneOf", "{ type: string, maxLength: 3 }", "{ oneOf: [ { type: 'null' }, { type: string, maxLength: 3 } ] }",
        ["request-body-became-nullable", "request-property-became-nullable", "response-body-became-nullable", "response-property-became-nullable", "request-parameter-became-nullable", "request-parameter-property-became-nullable"]),
    row("one type became a choice of two", "{ type: string }", "{ anyOf: [ { type: string }, { type: integer } ] }",
        ["request-body-list-of-types-widened", "request-property-list-of-types-widened", "response-body-list-of-types-widened", "response-property-list-of-types-widened", "request-parameter-list-of-types-widened", "request-parameter-property-list-of-types-widened"]),
    row("a choice of two became one type", "{ oneOf: [ { type: string }, { type: integer } ] }", "{ type: string }",
        ["request-body-list-of-types-narrowed", "request-property-list-of-types-narrowed", "response-body-list-of-types-narrowed", "response-property-list-of-types-narrowed", "request-parameter-list-of-types-narrowed", "request-parameter-property-list-of-types-narrowed"]),
    row("an enum value is gone", "{ enum: [a, b] }", "{ enum: [b] }",
        ["request-body-enum-value-removed", "request-property-enum-value-removed", "response-mediatype-enum-value-removed", "response-property-enum-value-removed", "request-parameter-enum-value-removed", "request-parameter-property-enum-value-removed"]),
    row("an enum value is new", "{ enum: [a] }", "{ enum: [b, a] }",
        ["", "request-property-enum-value-added", "", "response-property-enum-value-added", "request-parameter-enum-value-added", "request-parameter-property-enum-value-added"]),
    row("values in another order, written otherwise", "{ enum: [1, 2] }", "{ enum: [2.0, 1] }", ["", "", "", "", "", ""]),
    row("an enum came", "{ type: string }", "{ type: string, enum: [a] }",
        ["request-body-became-enum", "request-property-became-enum request-property-enum-value-added", "", "response-property-enum-value-added", "request-parameter-became-enum request-parameter-enum-value-added", "request-parameter-property-enum-value-added"]),
    row("enum values of what is out of sight", "{ readOnly: true, enum: [a] }", "{ readOnly: true, enum: [b] }",
        ["request-body-enum-value-removed", "request-read-only-property-enum-value-removed request-property-enum-value-added", "response-mediatype-enum-value-removed", "response-property-enum-value-removed response-property-enum-value-added",
         "request-parameter-enum-value-removed request-parameter-enum-value-added", "request-parameter-property-enum-value-removed request-parameter-property-enum-value-added"]),
    row("a new enum value that clients never see", "{ writeOnly: true, enum: [a] }", "{ writeOnly: true, enum: [a, b] }",
        ["", "request-property-enum-value-added", "", "response-write-only-property-enum-value-added", "request-parameter-enum-value-added", "request-parameter-property-enum-value-added"]),
    row("const came", "{}", "{ const: 1 }", ["request-body-const-added", "request-property-const-added", "response-body-const-added", "response-property-const-added", "", ""]),
    row("const went", "{ const: 1 }", "{}", ["request-body-const-removed", "request-property-const-removed", "response-body-const-removed", "response-property-const-removed", "", ""]),
    row("const changed", "{ const: 1 }", "{ const: 2 }", ["request-body-const-changed", "request-property-const-changed", "response-body-const-changed", "response-property-const-changed", "", ""]),
    row("default came", "{}", "{ default: 1 }",
        ["request-body-default-value-added", "request-property-default-value-added", "response-body-default-value-added", "response-property-default-value-added", "request-parameter-default-value-added", ""]),
    row("default went", "{ default: 1 }", "{}",
        ["request-body-default-value-removed", "request-property-default-value-removed", "response-body-default-value-removed", "response-property-default-value-removed", "request-parameter-default-value-removed", ""]),
    row("default changed", "{ default: 1 }", "{ default: 2 }",
        ["request-body-default-value-changed", "request-property-default-value-changed", "response-body-default-value-changed", "response-property-default-value-changed", "request-parameter-default-value-changed", ""]),
    row("pattern came", "{}", "{ pattern: a }", ["", "request-property-pattern-added", "", "response-property-pattern-added", "request-parameter-pattern-added", ""]),
    row("pattern went", "{ pattern: a }", "{}", ["", "request-property-pattern-removed", "", "response-property-pattern-removed", "request-parameter-pattern-removed", ""]),
    row("pattern changed", "{ pattern: a }", "{ pattern: b }", ["", "request-property-pattern-changed", "", "response-property-pattern-changed", "request-parameter-pattern-changed", ""]),
    row("pattern takes all", "{ pattern: a }", "{ pattern: '.*' }", ["", "request-property-pattern-generalized", "", "response-property-pattern-changed", "request-parameter-pattern-generalized", ""]),
    row("content type of a string", "{ contentMediaType: text/plain }", "{ contentMediaType: text/html }",
        ["request-body-content-media-type-changed", "request-property-content-media-type-changed", "response-body-content-media-type-changed", "response-property-content-media-type-changed", "", ""]),
    row("encoding of a string", "{}", "{ contentEncoding: base64 }",
        ["request-body-content-encoding-changed", "request-property-content-encoding-changed", "response-body-content-encoding-changed", "response-property-content-encoding-changed", "", ""]),
    row("an open enum lost a value", "{ x-extensible-enum: [a, b] }", "{ x-extensible-enum: [a] }",
        ["", "request-property-x-extensible-enum-value-removed", "", "", "request-parameter-x-extensible-enum-value-removed", ""]),
    row("nothing but words", "{ type: string, description: a, title: b, example: c }", "{ type: string, description: d, title: e, example: f }", ["", "", "", "", "", ""]),
];

#[rustfmt::skip]
const STRUCTURE: &[Row] = &[
    row("a oneOf member came", "{ oneOf: [ { title: a, minimum: 1, maximum: 2 } ] }", "{ oneOf: [ { title: a, minimum: 1, maximum: 2 }, { title: b, pattern: x } ] }",
        ["request-body-one-of-added", "request-property-one-of-added", "response-body-one-of-added", "response-property-one-of-added", "", ""]),
    row("a oneOf member went", "{ oneOf: [ { pattern: x }, { minimum: 1 } ] }", "{ oneOf: [ { minimum: 1 } ] }",
        ["request-body-one-of-removed", "request-property-one-of-removed", "response-body-one-of-removed", "response-property-one-of-removed", "", ""]),
    row("an anyOf member came", "{ anyOf: [ { minimum: 1 } ] }", "{ anyOf: [ { pattern: x }, { minimum: 1 } ] }",
        ["request-body-any-of-added", "request-property-any-of-added", "response-body-any-of-added", "response-property-any-of-added", "", ""]),
    row("an anyOf member went", "{ anyOf: [ { minimum: 1 }, { pattern: x } ] }", "{ anyOf: [ { minimum: 1 } ] }",
        ["request-body-any-of-removed", "request-property-any-of-removed", "response-body-any-of-removed", "response-property-any-of-removed", "", ""]),
    row("an allOf member came", "{ allOf: [ { minimum: 1 } ] }", "{ allOf: [ { minimum: 1 }, { maximum: 2 } ] }",
        ["request-body-all-of-added", "request-property-all-of-added", "response-body-all-of-added", "response-property-all-of-added", "", ""]),
    row("an allOf member went", "{ allOf: [ { minimum: 1 }, { maximum: 2 } ] }", "{ allOf: [ { minimum: 1 } ] }",
        ["request-body-all-of-removed", "request-property-all-of-removed", "response-body-all-of-removed", "response-property-all-of-removed", "", ""]),
    row("an allOf member that only describes came", "{ allOf: [ { minimum: 1 } ] }", "{ allOf: [ { minimum: 1 }, { description: d, default: 1 } ] }",
        ["request-body-all-of-added-annotation-only", "request-property-all-of-added-annotation-only", "response-body-all-of-added-annotation-only", "response-property-all-of-added-annotation-only", "", ""]),
    row("an allOf member that only describes went", "{ allOf: [ { minimum: 1 }, { title: t } ] }", "{ allOf: [ { minimum: 1 } ] }",
        ["request-body-all-of-removed-annotation-only", "request-property-all-of-removed-annotation-only", "response-body-all-of-removed-annotation-only", "response-property-all-of-removed-annotation-only", "", ""]),
    row("members in another order", "{ allOf: [ { minimum: 1 }, { maximum: 2 } ] }", "{ allOf: [ { maximum: 2 }, { minimum: 1 } ] }", ["", "", "", "", "", ""]),
    row("a first item came", "{ prefixItems: [ { minimum: 1 } ] }", "{ prefixItems: [ { minimum: 1 }, { pattern: x } ] }",
        ["request-body-prefix-items-added", "request-property-prefix-items-added", "response-body-prefix-items-added", "response-property-prefix-items-added", "", ""]),
    row("a first item went", "{ prefixItems: [ { minimum: 1 }, { pattern: x } ] }", "{ prefixItems: [ { minimum: 1 } ] }",
        ["request-body-prefix-items-removed", "request-property-prefix-items-removed", "response-body-prefix-items-removed", "response-property-prefix-items-removed", "", ""]),
    row("if, then and else came", "{}", "{ if: { minimum: 1 }, then: { maximum: 2 }, else: { maximum: 3 } }",
        ["request-body-if-added request-body-then-added request-body-else-added", "request-property-if-added request-property-then-added request-property-else-added", "response-body-if-added response-body-then-added response-body-else-added", "response-property-if-added response-property-then-added response-property-else-added", "", ""]),
    row("if, then and else went", "{ if: { minimum: 1 }, then: { maximum: 2 }, else: { maximum: 3 } }", "{}",
        ["request-body-if-removed request-body-then-removed request-body-else-removed", "request-property-if-removed request-property-then-removed request-property-else-removed", "response-body-if-removed response-body-then-removed response-body-else-removed", "response-property-if-removed response-property-then-removed response-property-else-removed", "", ""]),
    row("contains came", "{}", "{ contains: { minimum: 1 } }", ["request-body-contains-added", "request-property-contains-added", "response-body-contains-added", "response-property-contains-added", "", ""]),
    row("contains went", "{ contains: true }", "{}", ["request-body-contains-removed", "request-property-contains-removed", "response-body-contains-removed", "response-property-contains-removed", "", ""]),
    row("propertyNames came", "{}", "{ propertyNames: { pattern: x } }", ["request-body-property-names-added", "request-property-property-names-added", "response-body-property-names-added", "response-property-property-names-added", "", ""]),
    row("propertyNames went", "{ propertyNames: { pattern: x } }", "{}", ["request-body-property-names-removed", "request-property-property-names-removed", "response-body-property-names-removed", "response-property-property-names-removed", "", ""]),
    row("unevaluatedItems came", "{}", "{ unevaluatedItems: { minimum: 1 } }", ["request-body-unevaluated-items-added", "request-property-unevaluated-items-added", "response-body-unevaluated-items-added", "response-property-unevaluated-items-added", "", ""]),
    row("unevaluatedItems went", "{ unevaluatedItems: { minimum: 1 } }", "{}", ["request-body-unevaluated-items-removed", "request-property-unevaluated-items-removed", "response-body-unevaluated-items-removed", "response-property-unevaluated-items-removed", "", ""]),
    row("unevaluatedProperties came", "{}", "{ unevaluatedProperties: { minimum: 1 } }", ["request-body-unevaluated-properties-added", "request-property-unevaluated-properties-added", "response-body-unevaluated-properties-added", "response-property-unevaluated-properties-added", "", ""]),
    row("unevaluatedProperties went", "{ unevaluatedProperties: { minimum: 1 } }", "{}", ["request-body-unevaluated-properties-removed", "request-property-unevaluated-properties-removed", "response-body-unevaluated-properties-removed", "response-property-unevaluated-properties-removed", "", ""]),
    row("contentSchema came", "{}", "{ contentSchema: { minimum: 1 } }", ["request-body-content-schema-added", "request-property-content-schema-added", "response-body-content-schema-added", "response-property-content-schema-added", "", ""]),
    row("contentSchema went", "{ contentSchema: { minimum: 1 } }", "{}", ["request-body-content-schema-removed", "request-property-content-schema-removed", "response-body-content-schema-removed", "response-property-content-schema-removed", "", ""]),
    row("a pattern property came", "{}", "{ patternProperties: { ^x: { minimum: 1 } } }", ["request-body-pattern-property-added", "request-property-pattern-property-added", "response-body-pattern-property-added", "response-property-pattern-property-added", "", ""]),
    row("a pattern property went", "{ patternProperties: { ^x: { minimum: 1 } } }", "{}", ["request-body-pattern-property-removed", "request-property-pattern-property-removed", "response-body-pattern-property-removed", "response-property-pattern-property-removed", "", ""]),
    row("a dependent schema came", "{}", "{ dependentSchemas: { x: { minimum: 1 } } }", ["request-body-dependent-schema-added", "request-property-dependent-schema-added", "response-body-dependent-schema-added", "response-property-dependent-schema-added", "", ""]),
    row("a dependent schema went", "{ dependentSchemas: { x: { minimum: 1 } } }", "{}", ["request-body-dependent-schema-removed", "request-property-dependent-schema-removed", "response-body-dependent-schema-removed", "response-property-dependent-schema-removed", "", ""]),
    row("dependentRequired came", "{}", "{ dependentRequired: { x: [y] } }", ["request-body-dependent-required-added", "request-property-dependent-required-added", "response-body-dependent-required-added", "response-property-dependent-required-added", "", ""]),
    row("dependentRequired went", "{ dependentRequired: { x: [y] } }", "{}", ["request-body-dependent-required-removed", "request-property-dependent-required-removed", "response-body-dependent-required-removed", "response-property-dependent-required-removed", "", ""]),
    row("dependentRequired changed", "{ dependentRequired: { x: [y] } }", "{ dependentRequired: { x: [y, z] } }", ["request-body-dependent-required-changed", "request-property-dependent-required-changed", "response-body-dependent-required-changed", "response-property-dependent-required-changed", "", ""]),
    row("a discriminator came", "{}", "{ discriminator: { propertyName: k } }", ["request-body-discriminator-added", "request-property-discriminator-added", "response-body-discriminator-added", "response-property-discriminator-added", "", ""]),
    row("a discriminator went", "{ discriminator: { propertyName: k } }", "{}", ["request-body-discriminator-removed", "request-property-discriminator-removed", "response-body-discriminator-removed", "response-property-discriminator-removed", "", ""]),
    row("a discriminator changed", "{ discriminator: { propertyName: k, mapping: { a: A, b: B } } }", "{ discriminator: { propertyName: l, mapping: { b: X, c: C } } }",
        ["request-body-discriminator-property-name-changed request-body-discriminator-mapping-added request-body-discriminator-mapping-deleted request-body-discriminator-mapping-changed",
         "request-property-discriminator-property-name-changed request-property-discriminator-mapping-added request-property-discriminator-mapping-deleted request-property-discriminator-mapping-changed",
         "response-body-discriminator-property-name-changed response-body-discriminator-mapping-added response-body-discriminator-mapping-deleted response-body-discriminator-mapping-changed",
         "response-property-discriminator-property-name-changed response-property-discriminator-mapping-added response-property-discriminator-mapping-deleted response-property-discriminator-mapping-changed", "", ""]),
    row("an object became a choice of objects", "{ type: object, properties: { x: {}, y: {} } }", "{ oneOf: [ { title: m, properties: { x: {} } }, { title: n, properties: { y: {} } } ] }",
        ["request-body-wrapped-in-one-of", "request-property-one-of-added", "response-body-wrapped-in-one-of", "response-property-one-of-added", "", ""]),
];

#[rustfmt::skip]
const PROPERTIES: &[Row] = &[
    row("an optional property came", "{ properties: {} }", "{ properties: { n: {} } }",
        ["new-optional-request-property", "new-optional-request-property", "response-optional-property-added", "response-optional-property-added", "", ""]),
    row("a required property came", "{}", "{ required: [n], properties: { n: {} } }",
        ["new-required-request-property", "new-required-request-property", "response-required-property-added", "response-required-property-added", "", ""]),
    row("a required property with a default came", "{}", "{ required: [n], properties: { n: { default: 1 } } }",
        ["new-required-request-property-with-default", "new-required-request-property-with-default", "response-required-property-added", "response-required-property-added", "", ""]),
    row("properties out of sight came", "{}", "{ required: [s], properties: { r: { readOnly: true }, w: { writeOnly: true }, s: { writeOnly: true } } }",
        ["new-optional-request-property new-required-request-property", "new-optional-request-property new-required-request-property", "response-optional-property-added response-optional-write-only-property-added response-required-write-only-property-added", "response-optional-property-added response-optional-write-only-property-added response-required-write-only-property-added", "", ""]),
    row("properties went", "{ required: [a, c], properties: { a: {}, b: {}, c: { writeOnly: true }, d: { writeOnly: true } } }", "{}",
        ["request-property-removed", "request-property-removed",
         "response-required-property-removed response-optional-property-removed response-required-write-only-property-removed response-optional-write-only-property-removed",
         "response-required-property-removed response-optional-property-removed response-required-write-only-property-removed response-optional-write-only-property-removed", "", ""]),
    row("a property that clients do not send went", "{ properties: { a: { readOnly: true } } }", "{}", ["", "", "response-optional-property-removed", "response-optional-property-removed", "", ""]),
    row("a property became required", "{ properties: { n: {} } }", "{ required: [n], properties: { n: {} } }",
        ["request-property-became-required", "request-property-became-required", "response-property-became-required", "response-property-became-required", "", ""]),
    row("a property with a default became required", "{ properties: { n: { default: 1 } } }", "{ required: [n], properties: { n: { default: 1 } } }",
        ["request-property-became-required-with-default", "request-property-became-required-with-default", "response-property-became-required", "response-property-became-required", "", ""]),
    row("a property became optional", "{ required: [n], properties: { n: {} } }", "{ properties: { n: {} } }",
        ["request-property-became-optional", "request-property-became-optional", "response-property-became-optional", "response-property-became-optional", "", ""]),
    row("a property that clients never see became required", "{ properties: { n: { writeOnly: true } } }", "{ required: [n], properties: { n: { writeOnly: true } } }",
        ["request-property-became-required", "request-property-became-required", "response-write-only-property-became-required", "response-write-only-property-became-required", "", ""]),
    row("a property that clients never see became optional", "{ required: [n], properties: { n: { writeOnly: true } } }", "{ properties: { n: { writeOnly: true } } }",
        ["request-property-became-optional", "request-property-became-optional", "response-write-only-property-became-optional", "response-write-only-property-became-optional", "", ""]),
    row("a property that clients do not send became required", "{ properties: { n: { readOnly: true } } }", "{ required: [n], properties: { n: { readOnly: true } } }",
        ["", "", "response-property-became-required", "response-property-became-required", "", ""]),
    row("an optional property is now read-only, another write-only", "{ properties: { r: {}, w: {} } }", "{ properties: { r: { readOnly: true }, w: { writeOnly: true } } }",
        ["request-optional-property-became-read-only request-optional-property-became-write-only", "request-optional-property-became-read-only request-optional-property-became-write-only", "response-optional-property-became-read-only response-optional-property-became-write-only", "response-optional-property-became-read-only response-optional-property-became-write-only", "", ""]),
    row("an optional property is no longer so", "{ properties: { r: { readOnly: true }, w: { writeOnly: true } } }", "{ properties: { r: {}, w: {} } }",
        ["request-optional-property-became-not-read-only request-optional-property-became-not-write-only", "request-optional-property-became-not-read-only request-optional-property-became-not-write-only", "response-optional-property-became-not-read-only response-optional-property-became-not-write-only", "response-optional-property-became-not-read-only response-optional-property-became-not-write-only", "", ""]),
    row("a required property is now read-only, another write-only", "{ required: [r, w], properties: { r: {}, w: {} } }", "{ required: [r, w], properties: { r: { readOnly: true }, w: { writeOnly: true } } }",
        ["request-required-property-became-read-only request-required-property-became-write-only", "request-required-property-became-read-only request-required-property-became-write-only", "response-required-property-became-read-only response-required-property-became-write-only", "response-required-property-became-read-only response-required-property-became-write-only", "", ""]),
    row("a required property is no longer so", "{ required: [r, w], properties: { r: { readOnly: true }, w: { writeOnly: true } } }", "{ required: [r, w], properties: { r: {}, w: {} } }",
        ["request-required-property-became-not-read-only request-required-property-became-not-write-only", "request-required-property-became-not-read-only request-required-property-became-not-write-only", "response-required-property-became-not-read-only response-required-property-became-not-write-only", "response-required-property-became-not-read-only response-required-property-became-not-write-only", "", ""]),
    row("deprecated", "{}", "{ deprecated: true }", ["", "request-property-deprecated", "", "response-property-deprecated", "", ""]),
    row("deprecated with a sunset", "{}", "{ deprecated: true, x-sunset: '2099-01-01' }", ["", "request-property-deprecated-with-sunset", "", "response-property-deprecated-with-sunset", "", ""]),
    row("deprecated with a sunset that has passed", "{}", "{ deprecated: true, x-sunset: '2020-01-01' }", ["", "request-property-sunset-date-too-small", "", "response-property-sunset-date-too-small", "", ""]),
    row("deprecated with a sunset that is no date", "{}", "{ deprecated: true, x-sunset: soon }", ["", "request-property-deprecated-sunset-invalid", "", "response-property-deprecated-sunset-invalid", "", ""]),
    row("no longer deprecated", "{ deprecated: true }", "{}", ["", "request-property-reactivated", "", "response-property-reactivated", "", ""]),
    row("less stable", "{}", "{ x-stability-level: alpha }", ["", "request-property-stability-decreased", "", "response-property-stability-decreased", "", ""]),
    row("more stable", "{ x-stability-level: beta }", "{ x-stability-level: stable }", ["", "request-property-stability-increased", "", "response-property-stability-increased", "", ""]),
    row("from a level that promises nothing", "{ x-stability-level: draft }", "{ x-stability-level: stable }", ["", "", "", "", "", ""]),
    row("a level that does not exist", "{}", "{ x-stability-level: solid }", ["", "api-invalid-stability-level", "", "api-invalid-stability-level", "", ""]),
];

#[test]
fn a_change_of_a_bound_is_called_by_its_place() {
    check(BOUNDS);
}

#[test]
fn a_change_of_a_value_is_called_by_its_place() {
    check(VALUES);
}

#[test]
fn a_schema_that_comes_or_goes_is_called_by_its_place() {
    check(STRUCTURE);
}

#[test]
fn a_property_that_comes_goes_or_changes_is_called_by_its_place() {
    check(PROPERTIES);
}

/// Names that no document can bring about: lengths and counts without a minimum have the minimum 0,
/// so that none is ever set or unset.
const NEVER: &[&str] = &[
    "request-body-min-items-set",
    "request-parameter-min-items-set",
    "request-property-min-items-set",
    "response-body-min-items-unset",
    "response-property-min-items-unset",
];

#[test]
fn every_rule_is_produced_by_a_row() {
    let mut produced = BTreeSet::new();
    for rows in [BOUNDS, VALUES, STRUCTURE, PROPERTIES] {
        produced.extend(check(rows));
    }
    produced.extend(crate::operations::produced());
    produced.extend(crate::security::produced());
    let missing: Vec<&str> = rules()
        .iter()
        .map(|rule| rule.id)
        .filter(|id| !produced.contains(id) && !NEVER.contains(id))
        .collect();
    assert!(missing.is_empty(), "no row produces {missing:#?}");
    assert!(NEVER.iter().all(|id| !produced.contains(id)));
}
