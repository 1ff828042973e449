//! Schemas inside a schema that came or went: members of oneOf, anyOf, allOf, prefixItems, named
//! ones, single ones; and the discriminator that chooses among them.

use super::Comparison;
use super::schema_rules::{Rules, Site, everywhere};
use crate::delta::Members;
use crate::document::{At, same_option};
use crate::error::ContractError;
use crate::schema::{self, SchemaUse};

/// Keywords with one schema, and the rules for its coming and going.
const SINGLE: &[(&str, Rules, Rules)] = &[
    (
        "contains",
        everywhere!("contains-added"),
        everywhere!("contains-removed"),
    ),
    (
        "propertyNames",
        everywhere!("property-names-added"),
        everywhere!("property-names-removed"),
    ),
    (
        "unevaluatedItems",
        everywhere!("unevaluated-items-added"),
        everywhere!("unevaluated-items-removed"),
    ),
    (
        "unevaluatedProperties",
        everywhere!("unevaluated-properties-added"),
        everywhere!("unevaluated-properties-removed"),
    ),
    ("if", everywhere!("if-added"), everywhere!("if-removed")),
    ("then", everywhere!("then-added"), everywhere!("then-removed")),
    ("else", everywhere!("else-added"), everywhere!("else-removed")),
    (
        "contentSchema",
        everywhere!("content-schema-added"),
        everywhere!("content-schema-removed"),
    ),
];

impl<'s> Comparison<'s> {
    pub(super) fn members(&mut self, site: &Site<'_, 's>) -> Result<(), ContractError> {
        if site.is_root() && site.delta.one_of_wrapped.is_some() {
            let rule = site.pick([
                "request-body-wrapped-in-one-of",
                "",
                "response-body-wrapped-in-one-of",
                "",
            ]);
            let text = "an object became a oneOf of objects: a value that fits two of them is refused";
            self.of_site(site, rule, text, "oneOf")?;
        }
        let plain: [(&str, &Members, Rules, Rules); 3] = [
            (
                "oneOf",
                &site.delta.one_of,
                everywhere!("one-of-added"),
                everywhere!("one-of-removed"),
            ),
            (
                "anyOf",
                &site.delta.any_of,
                everywhere!("any-of-added"),
                everywhere!("any-of-removed"),
            ),
            (
                "prefixItems",
                &site.delta.prefix_items,
                everywhere!("prefix-items-added"),
                everywhere!("prefix-items-removed"),
            ),
        ];
        for (keyword, members, added, removed) in plain {
            if members.is_empty() {
                continue;
            }
            let (base, revision) = lists(site, keyword)?;
            self.came(site, site.pick(added), keyword, &revision, &members.added)?;
            self.went(site, site.pick(removed), keyword, &base, &members.deleted)?;
        }
        self.all_of(site)?;
        for (keyword, added, removed) in SINGLE {
            for (found, is_added) in &site.delta.one_sided {
                if found != keyword {
                    continue;
                }
                let (rules, text) = if *is_added {
                    (added, "new")
                } else {
                    (removed, "gone")
                };
                self.of_site(site, site.pick(*rules), format!("`{keyword}` is {text}"), keyword)?;
            }
        }
        let named = [
            (
                "patternProperties",
                &site.delta.pattern_properties,
                everywhere!("pattern-property-added"),
                everywhere!("pattern-property-removed"),
            ),
            (
                "dependentSchemas",
                &site.delta.dependent_schemas,
                everywhere!("dependent-schema-added"),
                everywhere!("dependent-schema-removed"),
            ),
        ];
        for (keyword, names, added, removed) in named {
            for name in &names.added {
                let text = format!("`{keyword}` of `{name}` is new");
                self.of_site(site, site.pick(added), text, keyword)?;
            }
            for name in &names.deleted {
                let text = format!("`{keyword}` of `{name}` is gone");
                self.of_site(site, site.pick(removed), text, keyword)?;
            }
        }
        if site.changed("discriminator") {
            self.discriminator(site)?;
        }
        Ok(())
    }

    /// Members that only describe are told apart from those that reject values.
    fn all_of(&mut self, site: &Site<'_, 's>) -> Result<(), ContractError> {
        let members = &site.delta.all_of;
        if members.is_empty() {
            return Ok(());
        }
        let (base, revision) = lists(site, "allOf")?;
        let rejects = |list: &[SchemaUse<'_>], at: &usize| {
            list.get(*at)
                .is_none_or(|one| !schema::constrains_nothing_but(one.schema, &[]))
        };
        let (added, annotating): (Vec<usize>, Vec<usize>) = members
            .added
            .iter()
            .copied()
            .partition(|at| rejects(&revision, at));
        let rules = (
            site.pick(everywhere!("all-of-added")),
            site.pick(everywhere!("all-of-added-annotation-only")),
        );
        self.came(site, rules.0, "allOf", &revision, &added)?;
        self.came(site, rules.1, "allOf", &revision, &annotating)?;
        let (deleted, annotating): (Vec<usize>, Vec<usize>) =
            members.deleted.iter().copied().partition(|at| rejects(&base, at));
        let rules = (
            site.pick(everywhere!("all-of-removed")),
            site.pick(everywhere!("all-of-removed-annotation-only")),
        );
        self.went(site, rules.0, "allOf", &base, &deleted)?;
        self.went(site, rules.1, "allOf", &base, &annotating)
    }

    fn came(
        &mut self,
        site: &Site<'_, 's>,
        rule: &'static str,
        keyword: &str,
        list: &[SchemaUse<'s>],
        members: &[usize],
    ) -> Result<(), ContractError> {
        let Some(first) = members.first() else {
            return Ok(());
        };
        let text = format!("new in `{keyword}`: {}", names(list, members));
        let mut said = site.said(rule, text, keyword);
        if let Some(one) = list.get(*first) {
            said.revision = one.schema.mark();
        }
        self.say_of(site.body.spot, said, site.delta)
    }

    fn went(
        &mut self,
        site: &Site<'_, 's>,
        rule: &'static str,
        keyword: &str,
        list: &[SchemaUse<'s>],
        members: &[usize],
    ) -> Result<(), ContractError> {
        let Some(first) = members.first() else {
            return Ok(());
        };
        let text = format!("gone from `{keyword}`: {}", names(list, members));
        let mut said = site.said(rule, text, keyword);
        if let Some(one) = list.get(*first) {
            said.base = one.schema.mark();
        }
        self.say_of(site.body.spot, said, site.delta)
    }

    fn discriminator(&mut self, site: &Site<'_, 's>) -> Result<(), ContractError> {
        let keyword = "discriminator";
        let (from, to) = match (site.b.get(keyword), site.r.get(keyword)) {
            (None, None) => return Ok(()),
            (None, Some(_)) => {
                let rule = site.pick(everywhere!("discriminator-added"));
                return self.of_site(site, rule, "a discriminator is new", keyword);
            }
            (Some(_), None) => {
                let rule = site.pick(everywhere!("discriminator-removed"));
                return self.of_site(site, rule, "the discriminator is gone", keyword);
            }
            (Some(from), Some(to)) => (from, to),
        };
        let (before, after) = (from.text("propertyName"), to.text("propertyName"));
        if before != after {
            let rule = site.pick(everywhere!("discriminator-property-name-changed"));
            let text = format!("the discriminator's property went from `{before}` to `{after}`");
            self.of_site(site, rule, text, keyword)?;
        }
        let (from, to) = (from.get("mapping"), to.get("mapping"));
        let missing = |these: Option<At<'s>>, those: Option<At<'s>>| -> Vec<&'s str> {
            these
                .into_iter()
                .flat_map(At::members)
                .map(|(name, _)| name)
                .filter(|name| those.and_then(|those| those.entry(name)).is_none())
                .collect()
        };
        let added = missing(to, from);
        if !added.is_empty() {
            let rule = site.pick(everywhere!("discriminator-mapping-added"));
            let text = format!("the discriminator's mapping knows {} now", added.join(", "));
            self.of_site(site, rule, text, keyword)?;
        }
        let deleted = missing(from, to);
        if !deleted.is_empty() {
            let rule = site.pick(everywhere!("discriminator-mapping-deleted"));
            let text = format!(
                "the discriminator's mapping no longer knows {}",
                deleted.join(", ")
            );
            self.of_site(site, rule, text, keyword)?;
        }
        for (name, value) in from.into_iter().flat_map(At::members) {
            let other = to.and_then(|to| to.entry(name));
            if other.is_none() || same_option(Some(value), other) {
                continue;
            }
            let rule = site.pick(everywhere!("discriminator-mapping-changed"));
            let text = format!("the discriminator's mapping of `{name}` leads elsewhere");
            self.of_site(site, rule, text, keyword)?;
        }
        Ok(())
    }
}

fn lists<'s>(
    site: &Site<'_, 's>,
    keyword: &str,
) -> Result<(Vec<SchemaUse<'s>>, Vec<SchemaUse<'s>>), ContractError> {
    Ok((
        schema::schema_list(site.b, keyword)?,
        schema::schema_list(site.r, keyword)?,
    ))
}

fn names(list: &[SchemaUse<'_>], members: &[usize]) -> String {
    let shown: Vec<String> = members
        .iter()
        .map(|at| format!("`{}`", crate::delta::member_name(list, *at)))
        .collect();
    shown.join(", ")
}
