//! Which parameter of the base is which one of the revision.
//!
//! By place and name; in a path by position. An object that is written out into the query (style
//! `form`, exploded) is the same as parameters named like its properties.

use crate::document::At;
use crate::error::ContractError;
use crate::schema;

/// How the names in a path's template changed.
#[derive(Debug, Default)]
pub(super) struct PathNames(Vec<(String, String)>);

impl PathNames {
    pub(super) fn new(base: &[&str], revision: &[&str]) -> Self {
        Self(
            base.iter()
                .zip(revision)
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect(),
        )
    }

    fn same(&self, base: &str, revision: &str) -> bool {
        if self.0.is_empty() {
            return base == revision;
        }
        self.0.iter().any(|(a, b)| a == base && b == revision)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter<'s> {
    pub(super) at: At<'s>,
    pub(super) name: &'s str,
    pub(super) location: &'s str,
    pub(super) schema: Option<At<'s>>,
    /// Whether it is declared for the whole path.
    pub(super) of_path: bool,
}

impl<'s> Parameter<'s> {
    pub(super) fn is_required(&self) -> bool {
        self.at.flag("required")
    }

    pub(super) fn is_in_path(&self) -> bool {
        self.location == "path"
    }

    fn is_in_query_or_cookie(&self) -> bool {
        matches!(self.location, "query" | "cookie")
    }

    /// Whether its values are written one after the other as `name=value` pairs.
    pub(super) fn is_form_exploded(&self) -> bool {
        let style = self.at.text("style");
        let is_form = style == "form" || (style.is_empty() && self.is_in_query_or_cookie());
        is_form && self.at.get("explode").and_then(At::as_bool).unwrap_or(true)
    }

    /// The schema of an object whose properties are parameters of their own on the wire.
    fn exploded_object(&self) -> Result<Option<At<'s>>, ContractError> {
        let Some(schema) = self.schema else {
            return Ok(None);
        };
        let explicit = self.at.get("explode").and_then(At::as_bool) == Some(true);
        if !explicit || !self.is_form_exploded() {
            return Ok(None);
        }
        let schema = schema::schema_at(schema)?.schema;
        let holds = schema::types(schema) == ["object"] && schema::has_members(schema, "properties");
        Ok(holds.then_some(schema))
    }

    /// The parameter that a property of this one amounts to.
    fn of_property(&self, name: &'s str, object: At<'s>) -> Option<Self> {
        let property = object.get("properties")?.get(name)?;
        Some(Self {
            name,
            schema: Some(property),
            ..*self
        })
    }
}

/// Parameters in a list, resolved.
pub(super) fn list<'s>(holder: At<'s>, of_path: bool) -> Result<Vec<Parameter<'s>>, ContractError> {
    let Some(all) = holder.get("parameters") else {
        return Ok(Vec::new());
    };
    if !all.is_array() {
        return Err(all
            .spec
            .malformed(all, "`parameters` is no list", "a list of parameters"));
    }
    let mut found = Vec::new();
    for one in all.items() {
        let at = one.spec.follow(one)?;
        let (Some(name), Some(location)) = (
            at.get("name").and_then(At::as_str),
            at.get("in").and_then(At::as_str),
        ) else {
            return Err(at.spec.malformed(
                at,
                "a parameter without `name` or `in`",
                "an object with name, in and schema",
            ));
        };
        found.push(Parameter {
            at,
            name,
            location,
            schema: at.get("schema"),
            of_path,
        });
    }
    Ok(found)
}

/// Those of the operation, and those of its path that it does not replace.
pub(super) fn effective<'s>(item: At<'s>, operation: At<'s>) -> Result<Vec<Parameter<'s>>, ContractError> {
    let mut all = list(operation, false)?;
    for one in list(item, true)? {
        if !all
            .iter()
            .any(|own| own.name == one.name && own.location == one.location)
        {
            all.push(one);
        }
    }
    Ok(all)
}

#[derive(Debug, Default)]
pub(super) struct Matched<'s> {
    pub(super) added: Vec<Parameter<'s>>,
    pub(super) deleted: Vec<Parameter<'s>>,
    pub(super) pairs: Vec<(Parameter<'s>, Parameter<'s>)>,
}

pub(super) fn matched<'s>(
    base: &[Parameter<'s>],
    revision: &[Parameter<'s>],
    names: &PathNames,
) -> Result<Matched<'s>, ContractError> {
    let mut result = Matched::default();
    let mut base_done = vec![false; base.len()];
    let mut revision_done = vec![false; revision.len()];
    for (from, to) in exploded(base, revision, &mut base_done, &mut revision_done)? {
        result.pairs.push((from, to));
    }
    for (to, from) in exploded(revision, base, &mut revision_done, &mut base_done)? {
        result.pairs.push((from, to));
    }
    for (at, one) in base.iter().enumerate() {
        if base_done[at] {
            continue;
        }
        let found = revision.iter().position(|other| {
            one.location == other.location
                && if one.is_in_path() {
                    names.same(one.name, other.name)
                } else {
                    one.name == other.name
                }
        });
        match found {
            Some(to) if !revision_done[to] => {
                revision_done[to] = true;
                result.pairs.push((*one, revision[to]));
            }
            _ => result.deleted.push(*one),
        }
    }
    result.added = revision
        .iter()
        .zip(revision_done)
        .filter(|(_, done)| !done)
        .map(|(one, _)| *one)
        .collect();
    Ok(result)
}

/// Simple parameters of one side that properties of the other side's exploded objects stand for.
fn exploded<'s>(
    simple: &[Parameter<'s>],
    objects: &[Parameter<'s>],
    simple_done: &mut [bool],
    objects_done: &mut [bool],
) -> Result<Vec<(Parameter<'s>, Parameter<'s>)>, ContractError> {
    let mut pairs = Vec::new();
    for (object_at, object) in objects.iter().enumerate() {
        if objects_done[object_at] || !object.is_in_query_or_cookie() {
            continue;
        }
        let Some(schema) = object.exploded_object()? else {
            continue;
        };
        for (simple_at, one) in simple.iter().enumerate() {
            if simple_done[simple_at] || one.location != object.location || one.exploded_object()?.is_some() {
                continue;
            }
            if let Some(property) = object.of_property(one.name, schema) {
                simple_done[simple_at] = true;
                objects_done[object_at] = true;
                pairs.push((*one, property));
            }
        }
    }
    Ok(pairs)
}
