//! Properties: new, gone, required or not, read-only or not.

use std::rc::Rc;

use super::schema_rules::{Site, everywhere};
use super::{Comparison, Said};
use crate::delta::Delta;
use crate::document::At;
use crate::error::ContractError;
use crate::schema;

impl<'s> Comparison<'s> {
    pub(super) fn properties(&mut self, site: &Site<'_, 's>) -> Result<(), ContractError> {
        for name in &site.delta.properties.deleted {
            self.property_gone(site, name)?;
        }
        for name in &site.delta.properties.added {
            self.property_new(site, name)?;
        }
        if site.changed("required") {
            self.required(site)?;
        }
        if site.changed("dependentRequired") {
            self.dependent_required(site)?;
        }
        if let (Some(parent), Some(name)) = (&site.visit.parent, &site.visit.name) {
            self.read_write_only(site, parent, name)?;
        }
        Ok(())
    }

    fn property_gone(&mut self, site: &Site<'_, 's>, name: &Rc<str>) -> Result<(), ContractError> {
        let Some(property) = schema::property(site.b, name)? else {
            return Ok(());
        };
        if site
            .delta
            .one_of_wrapped
            .as_ref()
            .is_some_and(|moved| moved.contains(name))
        {
            return Ok(());
        }
        let required = schema::is_required(site.b, name);
        let rule = match (site.is_request(), required, property.flag("writeOnly")) {
            (true, _, _) if property.flag("readOnly") => return Ok(()),
            (true, _, _) => "request-property-removed",
            (false, true, false) => "response-required-property-removed",
            (false, true, true) => "response-required-write-only-property-removed",
            (false, false, false) => "response-optional-property-removed",
            (false, false, true) => "response-optional-write-only-property-removed",
        };
        let text = format!("{}: gone", self.inner(site, name));
        let (base, revision) = (in_properties(site.b, name), site.r.mark_of("properties"));
        self.say_of(site.body.spot, Said::new(rule, text, base, revision), site.delta)
    }

    fn property_new(&mut self, site: &Site<'_, 's>, name: &Rc<str>) -> Result<(), ContractError> {
        let Some(property) = schema::property(site.r, name)? else {
            return Ok(());
        };
        let required = schema::is_required(site.r, name);
        let has_default = property.get("default").is_some();
        let rule = match (site.is_request(), required, property.flag("writeOnly")) {
            (true, _, _) if property.flag("readOnly") => return Ok(()),
            (true, true, _) if has_default => "new-required-request-property-with-default",
            (true, true, _) => "new-required-request-property",
            (true, false, _) => "new-optional-request-property",
            (false, true, false) => "response-required-property-added",
            (false, true, true) => "response-required-write-only-property-added",
            (false, false, false) => "response-optional-property-added",
            (false, false, true) => "response-optional-write-only-property-added",
        };
        let need = if required { "required" } else { "optional" };
        let text = format!("{}: new and {need}", self.inner(site, name));
        let (base, revision) = (site.b.mark_of("properties"), in_properties(site.r, name));
        self.say_of(site.body.spot, Said::new(rule, text, base, revision), site.delta)
    }

    /// Who a sentence about a property of this schema speaks of.
    fn inner(&self, site: &Site<'_, 's>, name: &str) -> String {
        if site.visit.path.is_empty() {
            site.body.subject(name)
        } else {
            site.body.subject(&format!("{}/{name}", site.visit.path))
        }
    }

    fn required(&mut self, site: &Site<'_, 's>) -> Result<(), ContractError> {
        let (before, after) = (site.b.strings("required"), site.r.strings("required"));
        for name in after.iter().filter(|name| !before.contains(name)) {
            self.requiredness(site, name, true)?;
        }
        for name in before.iter().filter(|name| !after.contains(name)) {
            self.requiredness(site, name, false)?;
        }
        Ok(())
    }

    fn requiredness(
        &mut self,
        site: &Site<'_, 's>,
        name: &str,
        now_required: bool,
    ) -> Result<(), ContractError> {
        let (from, to) = (schema::property(site.b, name)?, schema::property(site.r, name)?);
        let Some(to) = to else {
            return Ok(());
        };
        // A property that only now appears is told as new. At the root of a response, one that
        // nobody asks for any longer counts even when the base did not describe it.
        let from = match from {
            Some(from) => from,
            None if !site.is_request() && site.is_root() && !now_required => to,
            None => return Ok(()),
        };
        let write_only = if site.is_root() { to } else { from }.flag("writeOnly");
        let rule = match (site.is_request(), now_required) {
            (true, _) if to.flag("readOnly") => return Ok(()),
            (true, true) if to.get("default").is_some() => "request-property-became-required-with-default",
            (true, true) => "request-property-became-required",
            (true, false) => "request-property-became-optional",
            (false, true) if write_only => "response-write-only-property-became-required",
            (false, true) => "response-property-became-required",
            (false, false) if write_only => "response-write-only-property-became-optional",
            (false, false) => "response-property-became-optional",
        };
        let word = if now_required { "required" } else { "optional" };
        let text = format!("{}: now {word}", self.inner(site, name));
        let said = Said::new(
            rule,
            text,
            required_entry(site.b, name),
            required_entry(site.r, name),
        );
        let node = if site.is_request() { site.root } else { site.delta };
        self.say_of(site.body.spot, said, node)
    }

    fn dependent_required(&mut self, site: &Site<'_, 's>) -> Result<(), ContractError> {
        let keyword = "dependentRequired";
        let (from, to) = (site.b.get(keyword), site.r.get(keyword));
        for (name, list) in to.into_iter().flat_map(At::members) {
            let Some(from) = from.and_then(|from| from.entry(name)) else {
                let rule = site.pick(everywhere!("dependent-required-added"));
                let text = format!("`{name}` now asks for {}", list.render());
                self.of_site(site, rule, text, keyword)?;
                continue;
            };
            let entries = |at: At<'s>| -> Vec<&'s str> { at.items().filter_map(At::as_str).collect() };
            let (before, after) = (entries(from), entries(list));
            let same =
                before.iter().all(|one| after.contains(one)) && after.iter().all(|one| before.contains(one));
            if !same {
                let rule = site.pick(everywhere!("dependent-required-changed"));
                let text = format!(
                    "what `{name}` asks for went from {} to {}",
                    from.render(),
                    list.render()
                );
                self.of_site(site, rule, text, keyword)?;
            }
        }
        for (name, list) in from.into_iter().flat_map(At::members) {
            if to.and_then(|to| to.entry(name)).is_none() {
                let rule = site.pick(everywhere!("dependent-required-removed"));
                let text = format!("`{name}` no longer asks for {}", list.render());
                self.of_site(site, rule, text, keyword)?;
            }
        }
        Ok(())
    }

    fn read_write_only(
        &mut self,
        site: &Site<'_, 's>,
        parent: &Delta,
        name: &str,
    ) -> Result<(), ContractError> {
        let required = schema::is_required(self.graph.base_at(parent.base), name);
        for (keyword, rules) in [("writeOnly", WRITE_ONLY), ("readOnly", READ_ONLY)] {
            if !site.changed(keyword) {
                continue;
            }
            let now = site.r.flag(keyword);
            let rule = rules[usize::from(!site.is_request())][usize::from(required)][usize::from(now)];
            let text = if now {
                format!("now {keyword}")
            } else {
                format!("no longer {keyword}")
            };
            self.of_site(site, rule, text, keyword)?;
        }
        Ok(())
    }
}

/// By side (request, response), need (optional, required), and whether it is so now.
type ByNeed = [[[&'static str; 2]; 2]; 2];

const WRITE_ONLY: ByNeed = [
    [
        [
            "request-optional-property-became-not-write-only",
            "request-optional-property-became-write-only",
        ],
        [
            "request-required-property-became-not-write-only",
            "request-required-property-became-write-only",
        ],
    ],
    [
        [
            "response-optional-property-became-not-write-only",
            "response-optional-property-became-write-only",
        ],
        [
            "response-required-property-became-not-write-only",
            "response-required-property-became-write-only",
        ],
    ],
];

const READ_ONLY: ByNeed = [
    [
        [
            "request-optional-property-became-not-read-only",
            "request-optional-property-became-read-only",
        ],
        [
            "request-required-property-became-not-read-only",
            "request-required-property-became-read-only",
        ],
    ],
    [
        [
            "response-optional-property-became-not-read-only",
            "response-optional-property-became-read-only",
        ],
        [
            "response-required-property-became-not-read-only",
            "response-required-property-became-read-only",
        ],
    ],
];

fn in_properties(schema: At<'_>, name: &str) -> crate::document::Mark {
    schema
        .get("properties")
        .map_or_else(|| schema.mark(), |all| all.mark_of(name))
}

fn required_entry(schema: At<'_>, name: &str) -> crate::document::Mark {
    schema
        .get("required")
        .and_then(|list| list.items().find(|item| item.as_str() == Some(name)))
        .map_or_else(|| schema.mark_of("required"), At::mark)
}
