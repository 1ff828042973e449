//! What a value may be: type, null, enum, const, default, pattern, content.

use super::Comparison;
use super::media;
use super::schema_rules::{Site, everywhere};
use super::types;
use crate::document::At;
use crate::error::ContractError;

impl<'s> Comparison<'s> {
    pub(super) fn values(&mut self, site: &Site<'_, 's>) -> Result<(), ContractError> {
        self.type_of(site)?;
        if let Some(nullable) = types::nullability(site.delta, site.b, site.r) {
            let (rules, text) = match (nullable, site.is_request()) {
                (true, true) => (everywhere!("became-nullable"), "null is now taken"),
                (true, false) => (everywhere!("became-nullable"), "may now be null"),
                (false, true) => (everywhere!("became-not-nullable"), "null is no longer taken"),
                (false, false) => (everywhere!("became-not-nullable"), "is no longer null"),
            };
            let keyword = if site.changed("nullable") {
                "nullable"
            } else {
                "type"
            };
            self.of_site(site, site.pick(rules), text, keyword)?;
        }
        if let Some(list) = &site.delta.list_of_types
            && !(site.is_request() && site.is_out_of_sight())
        {
            // Requests are judged by what they lost, responses by what they gained.
            let widened = if site.is_request() {
                list.deleted.is_empty()
            } else {
                !list.added.is_empty()
            };
            let (rules, text) = if widened {
                (
                    everywhere!("list-of-types-widened"),
                    format!("may now also be {}", list.added.join(", ")),
                )
            } else {
                (
                    everywhere!("list-of-types-narrowed"),
                    format!("may no longer be {}", list.deleted.join(", ")),
                )
            };
            self.of_site(site, site.pick(rules), text, "type")?;
        }
        if site.changed("enum") {
            self.enum_of(site)?;
        }
        if site.changed("const") {
            let rules = match (site.b.get("const"), site.r.get("const")) {
                (None, _) => everywhere!("const-added"),
                (_, None) => everywhere!("const-removed"),
                _ => everywhere!("const-changed"),
            };
            self.value_of(site, site.pick(rules), "const")?;
        }
        if site.delta.default_changed {
            let rules = match (site.b.get("default"), site.r.get("default")) {
                (None, _) => everywhere!("default-value-added"),
                (_, None) => everywhere!("default-value-removed"),
                _ => everywhere!("default-value-changed"),
            };
            self.value_of(site, site.pick(rules), "default")?;
        }
        if site.changed("pattern") {
            self.pattern_of(site)?;
        }
        if site.changed("contentMediaType") {
            self.value_of(
                site,
                site.pick(everywhere!("content-media-type-changed")),
                "contentMediaType",
            )?;
        }
        if site.changed("contentEncoding") {
            self.value_of(
                site,
                site.pick(everywhere!("content-encoding-changed")),
                "contentEncoding",
            )?;
        }
        if site.changed("x-extensible-enum")
            && site.is_request()
            && !site.is_root()
            && !site.is_out_of_sight()
        {
            for value in types::extensible_enum_removed(site.b, site.r) {
                let text = format!("the value `{value}` of `x-extensible-enum` is gone");
                let rule = "request-property-x-extensible-enum-value-removed";
                self.of_site(site, rule, text, "x-extensible-enum")?;
            }
        }
        Ok(())
    }

    fn value_of(
        &mut self,
        site: &Site<'_, 's>,
        rule: &'static str,
        keyword: &str,
    ) -> Result<(), ContractError> {
        let text = types::value_sentence(keyword, site.b.get(keyword), site.r.get(keyword));
        self.of_site(site, rule, text, keyword)
    }

    fn type_of(&mut self, site: &Site<'_, 's>) -> Result<(), ContractError> {
        if site.is_request() && site.is_out_of_sight() {
            return Ok(());
        }
        let Some(change) = types::TypeChange::of(site.b, site.r) else {
            return Ok(());
        };
        let typed = media::is_typed(site.body.media);
        let rule = match (site.is_request(), site.is_root()) {
            (true, true) => change.request_rule(
                typed,
                [
                    "request-body-type-generalized",
                    "request-body-type-compatible",
                    "request-body-type-changed",
                ],
            ),
            (true, false) => change.request_rule(
                typed,
                [
                    "request-property-type-generalized",
                    "request-property-type-compatible",
                    "request-property-type-changed",
                ],
            ),
            (false, true) => change.response_rule(
                typed,
                [
                    "response-body-type-specialized",
                    "response-body-type-compatible",
                    "response-body-type-generalized",
                    "response-body-type-changed",
                ],
            ),
            (false, false) => change.response_rule(
                typed,
                [
                    "response-property-type-specialized",
                    "response-property-type-compatible",
                    "response-property-type-generalized",
                    "response-property-type-changed",
                ],
            ),
        };
        let keyword = if site.changed("type") { "type" } else { "format" };
        self.of_site(site, rule, change.sentence(), keyword)
    }

    fn enum_of(&mut self, site: &Site<'_, 's>) -> Result<(), ContractError> {
        let change = types::EnumChange::of(site.b, site.r);
        let hidden = site.is_out_of_sight();
        if change.became_enum && site.is_request() {
            let (rule, text) = (site.pick(everywhere!("became-enum")), "now an enum");
            if site.is_root() {
                let said = site.said(rule, text.to_owned(), "enum");
                self.say(site.body.spot, said)?;
            } else {
                self.of_site(site, rule, text, "enum")?;
            }
        }
        let removed = match (site.is_request(), site.is_root(), hidden) {
            (true, true, _) => "request-body-enum-value-removed",
            (true, false, true) => "request-read-only-property-enum-value-removed",
            (true, false, false) => "request-property-enum-value-removed",
            (false, true, _) => "response-mediatype-enum-value-removed",
            (false, false, _) => "response-property-enum-value-removed",
        };
        let added = match (site.is_request(), site.is_root(), hidden) {
            (_, true, _) => "",
            (true, false, _) => "request-property-enum-value-added",
            (false, false, true) => "response-write-only-property-enum-value-added",
            (false, false, false) => "response-property-enum-value-added",
        };
        for value in &change.deleted {
            let text = format!("the enum value `{}` is gone", value.render());
            if site.is_root() {
                let said = site.said(removed, text, "enum");
                self.say(site.body.spot, said.with_values(value.render(), None))?;
            } else {
                self.enum_value(site, removed, text, (Some(*value), None))?;
            }
        }
        for value in &change.added {
            let text = format!("the enum value `{}` is new", value.render());
            self.enum_value(site, added, text, (None, Some(*value)))?;
        }
        Ok(())
    }

    fn enum_value(
        &mut self,
        site: &Site<'_, 's>,
        rule: &'static str,
        text: String,
        (from, to): (Option<At<'s>>, Option<At<'s>>),
    ) -> Result<(), ContractError> {
        if rule.is_empty() {
            return Ok(());
        }
        let mut said = site
            .said(rule, text, "enum")
            .with_values(from.map(At::render), to.map(At::render));
        if let Some(value) = from {
            said.base = value.mark();
        }
        if let Some(value) = to {
            said.revision = value.mark();
        }
        self.say_of(site.body.spot, said, site.delta)
    }

    fn pattern_of(&mut self, site: &Site<'_, 's>) -> Result<(), ContractError> {
        if site.is_root() {
            return Ok(());
        }
        let (from, to) = (site.b.text("pattern"), site.r.text("pattern"));
        let rule = match (site.is_request(), from, to) {
            (true, _, "") => "request-property-pattern-removed",
            (true, "", _) => "request-property-pattern-added",
            (true, _, ".*") => "request-property-pattern-generalized",
            (true, _, _) => "request-property-pattern-changed",
            (false, _, "") => "response-property-pattern-removed",
            (false, "", _) => "response-property-pattern-added",
            (false, _, _) => "response-property-pattern-changed",
        };
        self.value_of(site, rule, "pattern")
    }
}
