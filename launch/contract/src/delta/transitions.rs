//! Changes that are one step for whoever made them and look like many: a schema made nullable by a
//! oneOf with null, an object turned into a oneOf of objects, one type turned into a choice of types.

use std::rc::Rc;

use super::{Delta, Graph, Sought};
use crate::document::{At, Spec};
use crate::error::ContractError;
use crate::rules::Rule;
use crate::schema::{self, SchemaUse};

/// Types that a choice of plain types gained and lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListOfTypes {
    pub(crate) added: Vec<Rc<str>>,
    pub(crate) deleted: Vec<Rc<str>>,
}

impl<'s> Graph<'s> {
    /// X against oneOf [null, X]: true when the revision is the wrapped one.
    pub(super) fn null_wrapping(&mut self, b: At<'s>, r: At<'s>) -> Result<Option<bool>, ContractError> {
        if let Some(payload) = wrapped_payload(b, r)?
            && self.accepts_same(b, payload.schema)?
        {
            return Ok(Some(true));
        }
        if let Some(payload) = wrapped_payload(r, b)?
            && self.accepts_same(payload.schema, r)?
        {
            return Ok(Some(false));
        }
        Ok(None)
    }

    fn accepts_same(&mut self, base: At<'s>, revision: At<'s>) -> Result<bool, ContractError> {
        let pair = self.pair(base.id, revision.id)?;
        Ok(!self.differs(pair, Sought::Validation)?)
    }
}

/// The branch beside null, when `wrapped` is nothing but a oneOf of null and something, and `plain`
/// could be that something.
fn wrapped_payload<'s>(plain: At<'_>, wrapped: At<'s>) -> Result<Option<SchemaUse<'s>>, ContractError> {
    let composed = ["oneOf", "anyOf", "allOf"]
        .iter()
        .any(|keyword| schema::has_members(plain, keyword))
        || plain.get("not").is_some();
    if composed || schema::accepts_null(plain) || !schema::constrains_nothing_but(wrapped, &["oneOf"]) {
        return Ok(None);
    }
    let branches = schema::schema_list(wrapped, "oneOf")?;
    let is_null = |one: &SchemaUse<'_>| {
        schema::types(one.schema) == ["null"] && schema::constrains_nothing_but(one.schema, &["type"])
    };
    match branches[..] {
        [null, payload] | [payload, null] if is_null(&null) && !is_null(&payload) => Ok(Some(payload)),
        _ => Ok(None),
    }
}

/// An object with properties against a bare oneOf whose members have them.
pub(super) fn one_of_wrapping(b: At<'_>, r: At<'_>) -> Result<Option<Vec<Rc<str>>>, ContractError> {
    if schema::has_members(b, "oneOf")
        || !schema::has_members(b, "properties")
        || !schema::has_members(r, "oneOf")
        || schema::has_members(r, "properties")
        || !schema::types(r).is_empty()
    {
        return Ok(None);
    }
    let alternatives = schema::schema_list(r, "oneOf")?;
    let has = |name: &str| {
        alternatives.iter().any(|one| {
            one.schema
                .get("properties")
                .is_some_and(|all| all.get(name).is_some())
        })
    };
    let moved: Vec<Rc<str>> = b
        .get("properties")
        .into_iter()
        .flat_map(At::members)
        .filter(|(name, _)| has(name))
        .map(|(name, _)| Rc::from(name))
        .collect();
    Ok((!moved.is_empty()).then_some(moved))
}

enum Pattern<'s> {
    Single(&'s str),
    List(Vec<&'s str>),
}

impl<'s> Pattern<'s> {
    fn types(&self) -> Vec<&'s str> {
        match self {
            Self::Single(one) => vec![*one],
            Self::List(all) => all.clone(),
        }
    }
}

/// One plain type against a oneOf or anyOf of plain types, or two such choices.
pub(super) fn list_of_types(b: At<'_>, r: At<'_>) -> Result<Option<ListOfTypes>, ContractError> {
    let (Some(before), Some(after)) = (pattern(b)?, pattern(r)?) else {
        return Ok(None);
    };
    if matches!((&before, &after), (Pattern::Single(_), Pattern::Single(_))) {
        return Ok(None);
    }
    let (before, after) = (before.types(), after.types());
    if before.len() == after.len() && after.iter().all(|one| before.contains(one)) {
        return Ok(None);
    }
    let only_in = |these: &[&str], those: &[&str]| {
        let mut found: Vec<Rc<str>> = these
            .iter()
            .filter(|one| !those.contains(one))
            .map(|one| Rc::from(*one))
            .collect();
        found.sort();
        found.dedup();
        found
    };
    let found = ListOfTypes {
        added: only_in(&after, &before),
        deleted: only_in(&before, &after),
    };
    Ok((!found.added.is_empty() || !found.deleted.is_empty()).then_some(found))
}

fn pattern(schema: At<'_>) -> Result<Option<Pattern<'_>>, ContractError> {
    if schema.get("not").is_some()
        || schema::has_members(schema, "allOf")
        || schema::has_members(schema, "properties")
    {
        return Ok(None);
    }
    if let Some(first) = schema::types(schema).first() {
        return Ok(Some(Pattern::Single(first)));
    }
    for keyword in ["oneOf", "anyOf"] {
        let list = schema::schema_list(schema, keyword)?;
        let types: Option<Vec<&str>> = list.iter().map(|one| plain_type(one.schema)).collect();
        if let Some(types) = types
            && !types.is_empty()
        {
            return Ok(Some(Pattern::List(types)));
        }
    }
    Ok(None)
}

fn plain_type(schema: At<'_>) -> Option<&str> {
    let composed = ["properties", "oneOf", "anyOf", "allOf"]
        .iter()
        .any(|keyword| schema::has_members(schema, keyword));
    match schema::types(schema)[..] {
        [one] if !composed => Some(one),
        _ => None,
    }
}

/// Type lists that differ in null alone, with the same format.
pub(crate) fn is_null_only(b: At<'_>, r: At<'_>) -> bool {
    let (before, after) = (schema::types(b), schema::types(r));
    let mut differing = before
        .iter()
        .filter(|one| !after.contains(one))
        .chain(after.iter().filter(|one| !before.contains(one)))
        .peekable();
    differing.peek().is_some() && differing.all(|one| *one == "null") && b.text("format") == r.text("format")
}

impl Delta {
    /// Whether a finding of `rule` at this schema is only a reflection of one of the steps above,
    /// which has a finding of its own.
    pub(crate) fn explains(&self, rule: &Rule, base: &Spec, revision: &Spec) -> bool {
        let tells_null = rule.id.ends_with("-became-nullable") || rule.id.ends_with("-became-not-nullable");
        let tells_wrapping = matches!(
            rule.id,
            "request-body-wrapped-in-one-of"
                | "response-body-wrapped-in-one-of"
                | "request-property-one-of-added"
                | "response-property-one-of-added"
        );
        let shape = matches!(rule.kind, "type" | "structure");
        if self.null_wrapped.is_some()
            && !tells_null
            && (shape || matches!(rule.kind, "values" | "constraints" | "existence" | "requiredness"))
        {
            return true;
        }
        if self.one_of_wrapped.is_some() && shape && !tells_wrapping {
            return true;
        }
        if self.list_of_types.is_some() && shape && !rule.id.contains("-list-of-types-") {
            return true;
        }
        rule.kind == "type"
            && is_null_only(
                At {
                    spec: base,
                    id: self.base,
                },
                At {
                    spec: revision,
                    id: self.revision,
                },
            )
    }
}
