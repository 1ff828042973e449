//! Bounds of a parameter's values, lengths and counts.

use super::parameters::ParameterSite;
use super::{Comparison, types};
use crate::document::At;
use crate::error::ContractError;
use crate::schema::{self, bound};

impl<'s> Comparison<'s> {
    pub(super) fn parameter_bounds(&mut self, site: &ParameterSite<'_, 's>) -> Result<(), ContractError> {
        for rules in BOUNDS {
            if !site.changed(rules.keyword) {
                continue;
            }
            self.parameter_bound(site, rules, site.b, site.r)?;
        }
        // A limit on the lists inside counts where the list itself has none that changed.
        if !site.changed("maxItems")
            && let (Some(b), Some(r)) = (
                schema::member_schema(site.b, "items")?,
                schema::member_schema(site.r, "items")?,
            )
        {
            for rules in BOUNDS.iter().filter(|rules| rules.keyword == "maxItems") {
                self.parameter_bound(site, rules, b.schema, r.schema)?;
            }
        }
        Ok(())
    }

    fn parameter_bound(
        &mut self,
        site: &ParameterSite<'_, 's>,
        rules: &BoundRules,
        b: At<'s>,
        r: At<'s>,
    ) -> Result<(), ContractError> {
        let or_zero = |it| match it {
            None if rules.zero_by_default => Some(bound_zero()),
            other => other,
        };
        let (from, to) = (or_zero(bound(b, rules.keyword)), or_zero(bound(r, rules.keyword)));
        let rule = match (from, to) {
            (Some(from), Some(to)) if from != to => {
                types::either(rules.keyword, (from, to), rules.increased, rules.decreased)
            }
            (None, Some(_)) => rules.set,
            _ => "",
        };
        if rule.is_empty() {
            return Ok(());
        }
        let text = types::value_sentence(rules.keyword, b.get(rules.keyword), r.get(rules.keyword));
        self.at_parameter(site, rule, text, rules.keyword, false)
    }
}

fn bound_zero() -> schema::Bound {
    schema::Bound::Number(0.0)
}

struct BoundRules {
    keyword: &'static str,
    increased: &'static str,
    decreased: &'static str,
    set: &'static str,
    /// Whether a missing bound is the bound 0.
    zero_by_default: bool,
}

const BOUNDS: &[BoundRules] = &[
    BoundRules {
        keyword: "maximum",
        increased: "request-parameter-max-increased",
        decreased: "request-parameter-max-decreased",
        set: "request-parameter-max-set",
        zero_by_default: false,
    },
    BoundRules {
        keyword: "exclusiveMaximum",
        increased: "request-parameter-exclusive-max-increased",
        decreased: "request-parameter-exclusive-max-decreased",
        set: "request-parameter-exclusive-max-set",
        zero_by_default: false,
    },
    BoundRules {
        keyword: "minimum",
        increased: "request-parameter-min-increased",
        decreased: "request-parameter-min-decreased",
        set: "request-parameter-min-set",
        zero_by_default: false,
    },
    BoundRules {
        keyword: "exclusiveMinimum",
        increased: "request-parameter-exclusive-min-increased",
        decreased: "request-parameter-exclusive-min-decreased",
        set: "request-parameter-exclusive-min-set",
        zero_by_default: false,
    },
    BoundRules {
        keyword: "maxLength",
        increased: "request-parameter-max-length-increased",
        decreased: "request-parameter-max-length-decreased",
        set: "request-parameter-max-length-set",
        zero_by_default: false,
    },
    BoundRules {
        keyword: "minLength",
        increased: "request-parameter-min-length-increased",
        decreased: "request-parameter-min-length-decreased",
        set: "",
        zero_by_default: true,
    },
    BoundRules {
        keyword: "maxItems",
        increased: "request-parameter-max-items-increased",
        decreased: "request-parameter-max-items-decreased",
        set: "",
        zero_by_default: false,
    },
    BoundRules {
        keyword: "minItems",
        increased: "request-parameter-min-items-increased",
        decreased: "request-parameter-min-items-decreased",
        set: "",
        zero_by_default: true,
    },
];
