//! Keyword by keyword: what differs between two schemas.

use std::rc::Rc;

use super::{Delta, Edge, Graph, Names, Step};
use crate::document::{At, NodeId, same, same_option};
use crate::error::ContractError;
use crate::schema::{self, SchemaUse};

/// Keywords that hold one schema.
const SCHEMAS: &[&str] = &[
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "if",
    "then",
    "else",
    "not",
    "contentSchema",
];

const LISTS: &[&str] = &["oneOf", "anyOf", "allOf", "prefixItems"];

const MAPS: &[&str] = &["properties", "patternProperties", "dependentSchemas", "$defs"];

impl<'s> Graph<'s> {
    pub(super) fn build(&mut self, base: NodeId, revision: NodeId) -> Result<Delta, ContractError> {
        let (b, r) = (self.base_at(base), self.revision_at(revision));
        let mut delta = Delta {
            base,
            revision,
            changed: Vec::new(),
            default_changed: !same_option(b.get("default"), r.get("default")),
            annotation_changed: false,
            one_of: Default::default(),
            any_of: Default::default(),
            all_of: Default::default(),
            prefix_items: Default::default(),
            properties: Names::default(),
            pattern_properties: Names::default(),
            dependent_schemas: Names::default(),
            one_sided: Vec::new(),
            edges: Vec::new(),
            null_wrapped: None,
            one_of_wrapped: None,
            list_of_types: None,
        };
        for (keyword, _) in b.members() {
            self.plain_keyword(&mut delta, keyword, b, r);
        }
        for (keyword, _) in r.members() {
            if b.get(keyword).is_none() {
                self.plain_keyword(&mut delta, keyword, b, r);
            }
        }
        for keyword in LISTS {
            self.list(&mut delta, keyword, b, r)?;
        }
        for keyword in SCHEMAS {
            self.held(&mut delta, keyword, b, r)?;
        }
        for keyword in MAPS {
            self.map(&mut delta, keyword, b, r)?;
        }
        delta.null_wrapped = self.null_wrapping(b, r)?;
        delta.one_of_wrapped = super::transitions::one_of_wrapping(b, r)?;
        delta.list_of_types = super::transitions::list_of_types(b, r)?;
        Ok(delta)
    }

    fn plain_keyword(&self, delta: &mut Delta, keyword: &str, b: At<'s>, r: At<'s>) {
        if keyword == "default" || LISTS.contains(&keyword) || MAPS.contains(&keyword) {
            return;
        }
        let (from, to) = (schema::significant(b, keyword), schema::significant(r, keyword));
        let equal = match keyword {
            "type" | "required" => same_set(&b.strings(keyword), &r.strings(keyword)),
            "enum" => same_values(from, to),
            "dependentRequired" => same_dependent_required(from, to),
            _ if SCHEMAS.contains(&keyword) => {
                // The schemas themselves are pairs of their own; the boolean forms are not.
                let flag = |it: Option<At<'_>>| it.and_then(At::as_bool);
                flag(from) == flag(to)
            }
            _ => same_option(from, to),
        };
        if equal {
            return;
        }
        if schema::is_annotation(keyword) {
            delta.annotation_changed = true;
        } else {
            note(delta, keyword);
        }
    }

    fn list(
        &mut self,
        delta: &mut Delta,
        keyword: &'static str,
        b: At<'s>,
        r: At<'s>,
    ) -> Result<(), ContractError> {
        let base = schema::schema_list(b, keyword)?;
        let revision = schema::schema_list(r, keyword)?;
        if base.is_empty() && revision.is_empty() {
            return Ok(());
        }
        let (members, pairs) = self.match_members(&base, &revision)?;
        if !members.is_empty() {
            note(delta, keyword);
        }
        for (from, to) in pairs {
            let label = super::members::label(&base, from, &revision, to);
            let step = Step::Inside(format!("{keyword}[{label}]").into());
            self.edge(delta, step, base[from], revision[to])?;
        }
        match keyword {
            "oneOf" => delta.one_of = members,
            "anyOf" => delta.any_of = members,
            "allOf" => delta.all_of = members,
            _ => delta.prefix_items = members,
        }
        Ok(())
    }

    fn held(
        &mut self,
        delta: &mut Delta,
        keyword: &'static str,
        b: At<'s>,
        r: At<'s>,
    ) -> Result<(), ContractError> {
        match (
            schema::member_schema(b, keyword)?,
            schema::member_schema(r, keyword)?,
        ) {
            (Some(from), Some(to)) => self.edge(delta, Step::Inside(keyword.into()), from, to),
            (None, None) => Ok(()),
            (from, _) => {
                note(delta, keyword);
                delta.one_sided.push((keyword, from.is_none()));
                Ok(())
            }
        }
    }

    fn map(
        &mut self,
        delta: &mut Delta,
        keyword: &'static str,
        b: At<'s>,
        r: At<'s>,
    ) -> Result<(), ContractError> {
        let (from, to) = (b.get(keyword), r.get(keyword));
        for one in [from, to].into_iter().flatten() {
            if !one.is_object() {
                return Err(one.spec.malformed(
                    one,
                    format!("`{keyword}` is no object"),
                    "names with schemas",
                ));
            }
        }
        let mut names = Names::default();
        for (name, one) in from.into_iter().flat_map(At::members) {
            match to.and_then(|to| to.get(name)) {
                None => names.deleted.push(name.into()),
                // `$defs` are compared where something refers to them.
                Some(_) if keyword == "$defs" => {}
                Some(other) => {
                    let step = if keyword == "properties" {
                        Step::Property(name.into())
                    } else {
                        Step::Inside(format!("{keyword}[{name}]").into())
                    };
                    let (one, other) = (schema::schema_at(one)?, schema::schema_at(other)?);
                    self.edge(delta, step, one, other)?;
                }
            }
        }
        for (name, _) in to.into_iter().flat_map(At::members) {
            if from.and_then(|from| from.get(name)).is_none() {
                names.added.push(name.into());
            }
        }
        if names != Names::default() {
            note(delta, keyword);
        }
        match keyword {
            "properties" => delta.properties = names,
            "patternProperties" => delta.pattern_properties = names,
            "dependentSchemas" => delta.dependent_schemas = names,
            _ => {}
        }
        Ok(())
    }

    fn edge(
        &mut self,
        delta: &mut Delta,
        step: Step,
        from: SchemaUse<'s>,
        to: SchemaUse<'s>,
    ) -> Result<(), ContractError> {
        let pair = self.pair(from.schema.id, to.schema.id)?;
        delta.edges.push(Edge {
            step,
            to: pair,
            base_target: from.target(),
            revision_target: to.target(),
        });
        Ok(())
    }
}

fn note(delta: &mut Delta, keyword: &str) {
    if !delta.changed.iter().any(|known| &**known == keyword) {
        delta.changed.push(Rc::from(keyword));
    }
}

fn same_set(a: &[&str], b: &[&str]) -> bool {
    a.iter().all(|one| b.contains(one)) && b.iter().all(|one| a.contains(one))
}

fn same_values(a: Option<At<'_>>, b: Option<At<'_>>) -> bool {
    let holds = |a: Option<At<'_>>, b: Option<At<'_>>| {
        a.into_iter()
            .flat_map(At::items)
            .all(|one| b.into_iter().flat_map(At::items).any(|other| same(one, other)))
    };
    holds(a, b) && holds(b, a)
}

fn same_dependent_required(a: Option<At<'_>>, b: Option<At<'_>>) -> bool {
    let holds = |a: Option<At<'_>>, b: Option<At<'_>>| {
        a.into_iter().flat_map(At::members).all(|(name, _)| {
            b.is_some_and(|b| {
                b.get(name).is_some()
                    && same_set(&a.map_or_else(Vec::new, |a| a.strings(name)), &b.strings(name))
            })
        })
    };
    holds(a, b) && holds(b, a)
}
