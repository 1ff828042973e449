//! A schema of a body that differs: which rules look at it.

use super::bodies::{Body, Side};
use super::lifecycle::{LifecycleRules, Part};
use super::stability::Stability;
use super::walk::Visit;
use super::{Comparison, Said};
use crate::delta::Delta;
use crate::document::At;
use crate::error::ContractError;

/// Names of one rule for a request's body, a property of it, a response's body, a property of it.
/// An empty name: there is no such rule.
pub(super) type Rules = [&'static str; 4];

/// Rules whose names differ in nothing but where they look.
macro_rules! everywhere {
    ($change:literal) => {
        [
            concat!("request-body-", $change),
            concat!("request-property-", $change),
            concat!("response-body-", $change),
            concat!("response-property-", $change),
        ]
    };
}
pub(super) use everywhere;

/// A schema of a body, on both sides, with what a finding about it needs.
pub(super) struct Site<'a, 's> {
    pub(super) body: &'a Body<'a, 's>,
    pub(super) visit: &'a Visit,
    pub(super) delta: &'a Delta,
    /// The body's own schema.
    pub(super) root: &'a Delta,
    pub(super) b: At<'s>,
    pub(super) r: At<'s>,
    pub(super) subject: String,
}

impl Site<'_, '_> {
    pub(super) fn is_request(&self) -> bool {
        self.body.side == Side::Request
    }

    pub(super) fn is_root(&self) -> bool {
        self.visit.is_root()
    }

    pub(super) fn pick(&self, rules: Rules) -> &'static str {
        let at = usize::from(!self.is_request()) * 2 + usize::from(!self.is_root());
        rules[at]
    }

    /// Whether clients never send it (a request) or never see it (a response).
    pub(super) fn is_out_of_sight(&self) -> bool {
        let keyword = if self.is_request() {
            "readOnly"
        } else {
            "writeOnly"
        };
        !self.is_root() && self.r.flag(keyword)
    }

    pub(super) fn changed(&self, keyword: &str) -> bool {
        self.delta.changed.iter().any(|known| &**known == keyword)
    }

    pub(super) fn said(&self, rule: &'static str, text: String, keyword: &str) -> Said {
        Said::new(
            rule,
            format!("{}: {text}", self.subject),
            self.b.mark_of(keyword),
            self.r.mark_of(keyword),
        )
    }
}

const REQUEST_PROPERTY: LifecycleRules = LifecycleRules {
    reactivated: "request-property-reactivated",
    deprecated: "request-property-deprecated",
    deprecated_with_sunset: "request-property-deprecated-with-sunset",
    sunset_missing: "request-property-deprecated-sunset-missing",
    sunset_unreadable: "request-property-deprecated-sunset-invalid",
    sunset_too_soon: "request-property-sunset-date-too-small",
};

const RESPONSE_PROPERTY: LifecycleRules = LifecycleRules {
    reactivated: "response-property-reactivated",
    deprecated: "response-property-deprecated",
    deprecated_with_sunset: "response-property-deprecated-with-sunset",
    sunset_missing: "response-property-deprecated-sunset-missing",
    sunset_unreadable: "response-property-deprecated-sunset-invalid",
    sunset_too_soon: "response-property-sunset-date-too-small",
};

impl<'s> Comparison<'s> {
    pub(super) fn schema_changes(
        &mut self,
        body: &Body<'_, 's>,
        visit: &Visit,
        root: &Delta,
    ) -> Result<(), ContractError> {
        let site = Site {
            body,
            visit,
            delta: &visit.delta,
            root,
            b: self.graph.base_at(visit.delta.base),
            r: self.graph.revision_at(visit.delta.revision),
            subject: body.subject(&visit.path),
        };
        if site.delta.changed.is_empty() && !site.delta.default_changed {
            return Ok(());
        }
        self.bounds(&site)?;
        self.values(&site)?;
        self.members(&site)?;
        self.properties(&site)?;
        if !site.is_root() {
            self.property_lifecycle(&site)?;
        }
        Ok(())
    }

    /// Says it of the site's schema. An empty name says nothing.
    pub(super) fn of_site(
        &mut self,
        site: &Site<'_, 's>,
        rule: &'static str,
        text: impl Into<String>,
        keyword: &str,
    ) -> Result<(), ContractError> {
        if rule.is_empty() {
            return Ok(());
        }
        let said = site.said(rule, text.into(), keyword).with_values(
            site.b.get(keyword).map(At::render),
            site.r.get(keyword).map(At::render),
        );
        self.say_of(site.body.spot, said, site.delta)
    }

    fn property_lifecycle(&mut self, site: &Site<'_, 's>) -> Result<(), ContractError> {
        let part = Part {
            spot: site.body.spot,
            subject: &site.subject,
            base: site.b,
            revision: site.r,
            delta: Some(site.delta),
            operation: site.body.operation,
        };
        let rules = if site.is_request() {
            &REQUEST_PROPERTY
        } else {
            &RESPONSE_PROPERTY
        };
        if site.changed("deprecated") && Stability::of(site.body.operation).is_ok() {
            self.deprecation(&part, rules)?;
        }
        if !site.body.watches_stability || !site.changed("x-stability-level") {
            return Ok(());
        }
        match (Stability::of(site.b), Stability::of(site.r)) {
            (Err(why), _) => self.invalid_stability(site.body.spot, site.b, &why, true),
            (_, Err(why)) => self.invalid_stability(site.body.spot, site.r, &why, false),
            (Ok(before), Ok(after)) => {
                let names = if site.is_request() {
                    (
                        "request-property-stability-decreased",
                        "request-property-stability-increased",
                    )
                } else {
                    (
                        "response-property-stability-decreased",
                        "response-property-stability-increased",
                    )
                };
                self.stability_change(
                    site.body.spot,
                    names,
                    &site.subject,
                    (before, after),
                    (site.b, site.r),
                )
            }
        }
    }
}
