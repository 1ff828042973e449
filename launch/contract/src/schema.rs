//! Reading a schema in either dialect: 3.0 (`nullable`, boolean exclusive bounds) and 3.1 (JSON
//! Schema 2020-12: type lists, `null`, boolean schemas).

use crate::document::{At, NodeId, Value};
use crate::error::ContractError;

/// A schema where it is used: what it means, and the reference that led there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SchemaUse<'s> {
    pub(crate) schema: At<'s>,
    pub(crate) reference: Option<&'s str>,
}

impl SchemaUse<'_> {
    /// The target, when it was reached by a reference: what a circle is recognised by.
    pub(crate) fn target(&self) -> Option<NodeId> {
        self.reference.map(|_| self.schema.id)
    }
}

/// The schema at a node that has to be one.
pub(crate) fn schema_at(at: At<'_>) -> Result<SchemaUse<'_>, ContractError> {
    let reference = if at.spec.is_reference(at) {
        at.get("$ref").and_then(At::as_str)
    } else {
        None
    };
    let schema = at.spec.follow(at)?;
    let id = match schema.value() {
        Value::Object(_) => schema.id,
        Value::Bool(true) => at.spec.empty(),
        Value::Bool(false) => at.spec.never(),
        _ => return Err(at.spec.malformed(schema, "no schema", "an object, true or false")),
    };
    Ok(SchemaUse {
        schema: At { spec: at.spec, id },
        reference,
    })
}

/// A schema-valued member; booleans count only where they are schemas and not switches.
pub(crate) fn member_schema<'s>(schema: At<'s>, name: &str) -> Result<Option<SchemaUse<'s>>, ContractError> {
    match schema.get(name) {
        Some(it) if it.as_bool().is_some() && is_switch(name) => Ok(None),
        Some(it) => schema_at(it).map(Some),
        None => Ok(None),
    }
}

/// Keywords whose boolean form allows or forbids instead of describing.
fn is_switch(name: &str) -> bool {
    matches!(
        name,
        "additionalProperties" | "unevaluatedItems" | "unevaluatedProperties"
    )
}

/// The members of a list of schemas.
pub(crate) fn schema_list<'s>(schema: At<'s>, name: &str) -> Result<Vec<SchemaUse<'s>>, ContractError> {
    match schema.get(name) {
        None => Ok(Vec::new()),
        Some(list) if list.is_array() => list.items().map(schema_at).collect(),
        Some(other) => Err(schema
            .spec
            .malformed(other, format!("`{name}` is no list"), "a list of schemas")),
    }
}

/// A property, resolved.
pub(crate) fn property<'s>(schema: At<'s>, name: &str) -> Result<Option<At<'s>>, ContractError> {
    match schema.get("properties").and_then(|all| all.get(name)) {
        Some(at) => Ok(Some(schema_at(at)?.schema)),
        None => Ok(None),
    }
}

pub(crate) fn is_required(schema: At<'_>, name: &str) -> bool {
    schema
        .get("required")
        .is_some_and(|list| list.items().any(|item| item.as_str() == Some(name)))
}

/// `type` as a list, whatever the dialect.
pub(crate) fn types(schema: At<'_>) -> Vec<&str> {
    schema.strings("type")
}

/// Whether null is taken by the keyword of 3.0 or a type list of 3.1.
pub(crate) fn accepts_null(schema: At<'_>) -> bool {
    schema.flag("nullable") || types(schema).contains(&"null")
}

pub(crate) fn has_members(schema: At<'_>, name: &str) -> bool {
    match schema.get(name) {
        Some(it) if it.is_array() => it.items().next().is_some(),
        Some(it) => it.members().next().is_some(),
        None => false,
    }
}

/// Keywords that describe and never reject.
pub(crate) fn is_annotation(keyword: &str) -> bool {
    matches!(
        keyword,
        "title" | "description" | "default" | "example" | "examples" | "externalDocs" | "$comment"
    )
}

/// The member, unless it says what its absence says too.
pub(crate) fn significant<'s>(schema: At<'s>, keyword: &str) -> Option<At<'s>> {
    let at = schema.get(keyword)?;
    let is_default = match keyword {
        "nullable" | "readOnly" | "writeOnly" | "deprecated" | "uniqueItems" | "allowEmptyValue"
        | "exclusiveMinimum" | "exclusiveMaximum" => at.as_bool() == Some(false),
        "minLength" | "minItems" | "minProperties" => at.as_number() == Some(0.0),
        "pattern" | "format" | "title" | "description" | "contentMediaType" | "contentEncoding" | "$id"
        | "$anchor" | "$comment" | "$schema" | "$dynamicRef" | "$dynamicAnchor" => at.as_str() == Some(""),
        "required" | "oneOf" | "anyOf" | "allOf" | "prefixItems" => {
            at.is_array() && at.items().next().is_none()
        }
        "properties" | "patternProperties" | "dependentSchemas" | "dependentRequired" | "$defs" => {
            at.is_object() && at.members().next().is_none()
        }
        _ => false,
    };
    (!is_default).then_some(at)
}

/// Whether nothing but annotations, and the keywords named, is said.
pub(crate) fn constrains_nothing_but(schema: At<'_>, allowed: &[&str]) -> bool {
    schema.members().all(|(keyword, _)| {
        allowed.contains(&keyword) || is_annotation(keyword) || significant(schema, keyword).is_none()
    })
}

/// A bound: 3.0 has boolean exclusive ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    Number(f64),
    Exclusive,
}

pub(crate) fn bound(schema: At<'_>, keyword: &str) -> Option<Bound> {
    let at = significant(schema, keyword)?;
    match at.as_number() {
        Some(number) => Some(Bound::Number(number)),
        None => (at.as_bool() == Some(true)).then_some(Bound::Exclusive),
    }
}
