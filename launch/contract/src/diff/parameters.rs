//! Parameters: new, gone, changed.

use super::lifecycle::{LifecycleRules, Part, SunsetRules};
use super::operations::{Operation, sunset_date};
use super::parameters_matching::{self as matching, Parameter};
use super::paths::PathPair;
use super::{Comparison, Said, Spot, types};
use crate::delta::Sought;
use crate::document::At;
use crate::error::ContractError;
use crate::schema;

const LIFECYCLE: LifecycleRules = LifecycleRules {
    reactivated: "request-parameter-reactivated",
    deprecated: "request-parameter-deprecated",
    deprecated_with_sunset: "request-parameter-deprecated",
    sunset_missing: "request-parameter-deprecated-sunset-missing",
    sunset_unreadable: "request-parameter-sunset-parse",
    sunset_too_soon: "request-parameter-sunset-date-too-small",
};

const SUNSET: SunsetRules = SunsetRules {
    deleted: "request-parameter-sunset-deleted",
    unreadable: "request-parameter-sunset-parse",
    changed_too_soon: "request-parameter-sunset-date-changed-too-small",
};

impl<'s> Comparison<'s> {
    pub(super) fn parameters(
        &mut self,
        pair: &PathPair<'s>,
        operation: &Operation<'s>,
    ) -> Result<(), ContractError> {
        let (base, revision) = if self.is_strict() {
            (
                matching::effective(pair.base, operation.base)?,
                matching::effective(pair.revision, operation.revision)?,
            )
        } else {
            self.path_parameters_added(pair, operation)?;
            (
                matching::list(operation.base, false)?,
                matching::list(operation.revision, false)?,
            )
        };
        let matched = matching::matched(&base, &revision, &pair.names)?;
        for parameter in matched.added {
            self.parameter_added(operation, parameter)?;
        }
        for parameter in matched.deleted {
            self.parameter_removed(operation, parameter)?;
        }
        for (from, to) in matched.pairs {
            self.parameter_pair(operation, from, to)?;
        }
        Ok(())
    }

    /// Parameters that the path gained, for each operation that it has.
    fn path_parameters_added(
        &mut self,
        pair: &PathPair<'s>,
        operation: &Operation<'s>,
    ) -> Result<(), ContractError> {
        let matched = matching::matched(
            &matching::list(pair.base, true)?,
            &matching::list(pair.revision, true)?,
            &pair.names,
        )?;
        for parameter in matched.added {
            if !parameter.is_in_path() {
                self.parameter_added(operation, parameter)?;
            }
        }
        Ok(())
    }

    fn parameter_added(
        &mut self,
        operation: &Operation<'s>,
        parameter: Parameter<'s>,
    ) -> Result<(), ContractError> {
        let required = parameter.is_required();
        let rule = match (parameter.is_in_path(), parameter.of_path, required) {
            (true, _, _) => "new-request-path-parameter",
            (_, true, true) => "new-required-request-default-parameter-to-existing-path",
            (_, true, false) => "new-optional-request-default-parameter-to-existing-path",
            (_, false, true) => "new-required-request-parameter",
            (_, false, false) => "new-optional-request-parameter",
        };
        let need = if required { "required" } else { "optional" };
        let text = format!("{}: new and {need}", subject(&parameter));
        let around = operation.base.mark_of("parameters");
        self.say(
            &operation.spot,
            Said::new(rule, text, around, parameter.at.mark()),
        )
    }

    fn parameter_removed(
        &mut self,
        operation: &Operation<'s>,
        parameter: Parameter<'s>,
    ) -> Result<(), ContractError> {
        let around = operation.revision.mark_of("parameters");
        let said = |rule, text: String| Said::new(rule, text, parameter.at.mark(), around);
        let subject = subject(&parameter);
        if !parameter.at.flag("deprecated") {
            let text = format!("{subject}: gone; a server may refuse or ignore it");
            return self.say(&operation.spot, said("request-parameter-removed", text));
        }
        let Some(sunset) = parameter.at.get("x-sunset") else {
            let text = format!("{subject}: gone; it was marked as deprecated");
            return self.say(
                &operation.spot,
                said("request-parameter-removed-with-deprecation", text),
            );
        };
        match sunset_date(sunset) {
            Err(why) => {
                let text = format!("{subject}: {why}");
                self.say(&operation.spot, said("request-parameter-sunset-parse", text))
            }
            Ok(date) if self.settings.today < date => {
                let text = format!("{subject}: gone before its sunset on {date}");
                self.say(
                    &operation.spot,
                    said("request-parameter-removed-before-sunset", text),
                )
            }
            Ok(_) => Ok(()),
        }
    }

    fn parameter_pair(
        &mut self,
        operation: &Operation<'s>,
        from: Parameter<'s>,
        to: Parameter<'s>,
    ) -> Result<(), ContractError> {
        let subject = subject(&from);
        if from.is_required() != to.is_required() {
            let (rule, text) = if to.is_required() {
                ("request-parameter-became-required", "now required")
            } else {
                ("request-parameter-became-optional", "now optional")
            };
            let said = Said::new(
                rule,
                format!("{subject}: {text}"),
                from.at.mark_of("required"),
                to.at.mark_of("required"),
            );
            self.say(&operation.spot, said)?;
        }
        let part = Part {
            spot: &operation.spot,
            subject: &subject,
            base: from.at,
            revision: to.at,
            delta: None,
            operation: operation.revision,
        };
        self.deprecation(&part, &LIFECYCLE)?;
        self.sunset(&part, &SUNSET)?;
        let (Some(base), Some(revision)) = (from.schema, to.schema) else {
            return Ok(());
        };
        let (base, revision) = (schema::schema_at(base)?, schema::schema_at(revision)?);
        let root = self.graph.pair(base.schema.id, revision.schema.id)?;
        if !self.graph.differs(root, Sought::Relevant)? {
            return Ok(());
        }
        for visit in self.visits(root, base.target(), revision.target())? {
            let site = ParameterSite {
                spot: &operation.spot,
                from,
                to,
                b: self.graph.base_at(visit.delta.base),
                r: self.graph.revision_at(visit.delta.revision),
                subject: if visit.is_root() {
                    subject.clone()
                } else {
                    format!("property `{}` of the {subject}", visit.path)
                },
                visit: &visit,
            };
            self.parameter_schema(&site)?;
        }
        Ok(())
    }

    fn parameter_schema(&mut self, site: &ParameterSite<'_, 's>) -> Result<(), ContractError> {
        let root = site.visit.is_root();
        if site.changed("enum") {
            self.parameter_enum(site, root)?;
        }
        if let Some(nullable) = types::nullability(&site.visit.delta, site.b, site.r) {
            let rule = match (root, nullable) {
                (true, true) => "request-parameter-became-nullable",
                (true, false) => "request-parameter-became-not-nullable",
                (false, true) => "request-parameter-property-became-nullable",
                (false, false) => "request-parameter-property-became-not-nullable",
            };
            let text = if nullable {
                "null is now taken"
            } else {
                "null is no longer taken"
            };
            self.at_parameter(site, rule, text.to_owned(), "type", true)?;
        }
        if let Some(list) = &site.visit.delta.list_of_types {
            let (rule, text) = match (root, list.deleted.is_empty()) {
                (true, false) => ("request-parameter-list-of-types-narrowed", &list.deleted),
                (true, true) => ("request-parameter-list-of-types-widened", &list.added),
                (false, false) => ("request-parameter-property-list-of-types-narrowed", &list.deleted),
                (false, true) => ("request-parameter-property-list-of-types-widened", &list.added),
            };
            let word = if list.deleted.is_empty() {
                "now takes"
            } else {
                "no longer takes"
            };
            let text = format!("{word} {}", text.join(", "));
            self.at_parameter(site, rule, text, "type", true)?;
        }
        self.parameter_type(site, root)?;
        if site.from.location == "header" {
            self.header_properties(site, root)?;
        }
        if root {
            self.parameter_value(site)?;
            self.parameter_bounds(site)?;
        }
        Ok(())
    }

    fn parameter_enum(&mut self, site: &ParameterSite<'_, 's>, root: bool) -> Result<(), ContractError> {
        let change = types::EnumChange::of(site.b, site.r);
        if change.became_enum && root {
            self.at_parameter(
                site,
                "request-parameter-became-enum",
                "now an enum".into(),
                "enum",
                true,
            )?;
        }
        if change.became_enum && site.from.location == "header" {
            let rule = "request-header-property-became-enum";
            self.at_parameter(site, rule, "now an enum".into(), "enum", false)?;
        }
        let (removed, added) = if root {
            (
                "request-parameter-enum-value-removed",
                "request-parameter-enum-value-added",
            )
        } else {
            (
                "request-parameter-property-enum-value-removed",
                "request-parameter-property-enum-value-added",
            )
        };
        for value in change.deleted {
            let text = format!("the enum value `{}` is gone", value.render());
            self.at_parameter(site, removed, text, "enum", true)?;
        }
        for value in change.added {
            let text = format!("the enum value `{}` is new", value.render());
            self.at_parameter(site, added, text, "enum", true)?;
        }
        Ok(())
    }

    fn parameter_type(&mut self, site: &ParameterSite<'_, 's>, root: bool) -> Result<(), ContractError> {
        let Some(change) = types::TypeChange::of(site.b, site.r) else {
            return Ok(());
        };
        let rule = if root {
            if !change.breaks_parameter(false) || self.becomes_list_of_same(site, &change)? {
                "request-parameter-type-generalized"
            } else {
                "request-parameter-type-changed"
            }
        } else {
            // How an object is written is not known: JSON is typed, form fields are all text.
            match (change.breaks_parameter(true), change.breaks_parameter(false)) {
                (true, true) => "request-parameter-property-type-specialized",
                (false, false) => "request-parameter-property-type-generalized",
                _ => "request-parameter-property-type-changed",
            }
        };
        self.at_parameter(site, rule, change.sentence(), "type", true)
    }

    /// `?id=1` is the same request whether `id` is one value or a list that is written one by one.
    fn becomes_list_of_same(
        &mut self,
        site: &ParameterSite<'_, 's>,
        change: &types::TypeChange<'s>,
    ) -> Result<bool, ContractError> {
        let without_null = |types: &[&'s str]| -> Vec<&'s str> {
            types.iter().copied().filter(|one| *one != "null").collect()
        };
        let before = without_null(&schema::types(site.b));
        if without_null(&change.added) != ["array"] || before.is_empty() || !site.to.is_form_exploded() {
            return Ok(false);
        }
        let Some(items) = schema::member_schema(site.r, "items")? else {
            return Ok(false);
        };
        if !types::is_contained(&without_null(&schema::types(items.schema)), &before, false) {
            return Ok(false);
        }
        let pair = self.graph.pair(site.b.id, items.schema.id)?;
        let delta = self.graph.delta(pair)?;
        let mut same = delta
            .changed
            .iter()
            .all(|keyword| matches!(&**keyword, "type" | "nullable"));
        for edge in &delta.edges {
            same = same && !self.graph.differs(edge.to, Sought::Validation)?;
        }
        Ok(same)
    }

    fn header_properties(&mut self, site: &ParameterSite<'_, 's>, root: bool) -> Result<(), ContractError> {
        let delta = &site.visit.delta;
        for name in &delta.properties.added {
            let read_only = schema::property(site.r, name)?.is_some_and(|it| it.flag("readOnly"));
            if !read_only && schema::is_required(site.r, name) {
                let text = format!("its property `{name}` is new and required");
                self.at_parameter(
                    site,
                    "new-required-request-header-property",
                    text,
                    "properties",
                    false,
                )?;
            }
        }
        if site.changed("required") {
            for name in site.r.strings("required") {
                let Some(property) = schema::property(site.r, name)? else {
                    continue;
                };
                let known = !root || schema::property(site.b, name)?.is_some();
                if schema::is_required(site.b, name) || property.flag("readOnly") || !known {
                    continue;
                }
                let rule = "request-header-property-became-required";
                let text = format!("its property `{name}` is now required");
                self.at_parameter(site, rule, text, "required", false)?;
            }
        }
        Ok(())
    }

    fn parameter_value(&mut self, site: &ParameterSite<'_, 's>) -> Result<(), ContractError> {
        let (from, to) = (site.b.get("default"), site.r.get("default"));
        if site.visit.delta.default_changed && !site.from.is_required() && !site.to.is_required() {
            let rule = match (from, to) {
                (None, _) => "request-parameter-default-value-added",
                (_, None) => "request-parameter-default-value-removed",
                _ => "request-parameter-default-value-changed",
            };
            let text = types::value_sentence("default", from, to);
            self.at_parameter(site, rule, text, "default", false)?;
        }
        if site.changed("pattern") {
            let (from, to) = (site.b.text("pattern"), site.r.text("pattern"));
            let rule = match (from, to) {
                ("", _) => "request-parameter-pattern-added",
                (_, "") => "request-parameter-pattern-removed",
                (_, ".*") => "request-parameter-pattern-generalized",
                _ => "request-parameter-pattern-changed",
            };
            let text = types::value_sentence("pattern", site.b.get("pattern"), site.r.get("pattern"));
            self.at_parameter(site, rule, text, "pattern", true)?;
        }
        if site.changed("x-extensible-enum") {
            for value in types::extensible_enum_removed(site.b, site.r) {
                let rule = "request-parameter-x-extensible-enum-value-removed";
                let text = format!("the value `{value}` of `x-extensible-enum` is gone");
                self.at_parameter(site, rule, text, "x-extensible-enum", false)?;
            }
        }
        Ok(())
    }

    pub(super) fn at_parameter(
        &mut self,
        site: &ParameterSite<'_, 's>,
        rule: &'static str,
        text: String,
        keyword: &str,
        may_be_explained: bool,
    ) -> Result<(), ContractError> {
        let said = Said::new(
            rule,
            format!("{}: {text}", site.subject),
            site.b.mark_of(keyword),
            site.r.mark_of(keyword),
        )
        .with_values(
            site.b.get(keyword).map(At::render),
            site.r.get(keyword).map(At::render),
        );
        if may_be_explained {
            self.say_of(site.spot, said, &site.visit.delta)
        } else {
            self.say(site.spot, said)
        }
    }
}

/// A schema of a parameter: its own, or one inside.
pub(super) struct ParameterSite<'a, 's> {
    spot: &'a Spot,
    from: Parameter<'s>,
    to: Parameter<'s>,
    pub(super) b: At<'s>,
    pub(super) r: At<'s>,
    subject: String,
    visit: &'a super::walk::Visit,
}

impl ParameterSite<'_, '_> {
    pub(super) fn changed(&self, keyword: &str) -> bool {
        self.visit.delta.changed.iter().any(|known| &**known == keyword)
    }
}

fn subject(parameter: &Parameter<'_>) -> String {
    format!("{} parameter `{}`", parameter.location, parameter.name)
}
