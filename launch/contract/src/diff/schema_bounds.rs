//! Bounds of values, lengths and counts. A request may only be bound more loosely, a response only
//! more tightly.

use super::Comparison;
use super::schema_rules::{Rules, Site, everywhere};
use super::types;
use crate::error::ContractError;
use crate::schema::{Bound, bound};

struct Family {
    keyword: &'static str,
    increased: Rules,
    decreased: Rules,
    set: Rules,
    unset: Rules,
    /// The name when a client does not send the property anyhow.
    read_only: &'static str,
    /// Properties that clients do not send are left out altogether.
    skips_read_only: bool,
    zero_by_default: bool,
}

const NONE: Rules = ["", "", "", ""];

/// A rule of requests alone, and of responses alone.
const fn request(rules: Rules) -> Rules {
    [rules[0], rules[1], "", ""]
}

const fn response(rules: Rules) -> Rules {
    ["", "", rules[2], rules[3]]
}

const FAMILIES: &[Family] = &[
    Family {
        keyword: "maximum",
        increased: everywhere!("max-increased"),
        decreased: request(everywhere!("max-decreased")),
        set: request(everywhere!("max-set")),
        unset: NONE,
        read_only: "request-read-only-property-max-decreased",
        skips_read_only: false,
        zero_by_default: false,
    },
    Family {
        keyword: "exclusiveMaximum",
        increased: everywhere!("exclusive-max-increased"),
        decreased: request(everywhere!("exclusive-max-decreased")),
        set: request(everywhere!("exclusive-max-set")),
        unset: NONE,
        read_only: "request-read-only-property-exclusive-max-decreased",
        skips_read_only: false,
        zero_by_default: false,
    },
    Family {
        keyword: "maxLength",
        increased: everywhere!("max-length-increased"),
        decreased: request(everywhere!("max-length-decreased")),
        set: request(everywhere!("max-length-set")),
        unset: response(everywhere!("max-length-unset")),
        read_only: "request-read-only-property-max-length-decreased",
        skips_read_only: false,
        zero_by_default: false,
    },
    Family {
        keyword: "minimum",
        increased: request(everywhere!("min-increased")),
        decreased: everywhere!("min-decreased"),
        set: request(everywhere!("min-set")),
        unset: NONE,
        read_only: "request-read-only-property-min-increased",
        skips_read_only: false,
        zero_by_default: false,
    },
    Family {
        keyword: "exclusiveMinimum",
        increased: request(everywhere!("exclusive-min-increased")),
        decreased: everywhere!("exclusive-min-decreased"),
        set: request(everywhere!("exclusive-min-set")),
        unset: NONE,
        read_only: "request-read-only-property-exclusive-min-increased",
        skips_read_only: false,
        zero_by_default: false,
    },
    Family {
        keyword: "minLength",
        increased: request(everywhere!("min-length-increased")),
        decreased: everywhere!("min-length-decreased"),
        set: NONE,
        unset: NONE,
        read_only: "",
        skips_read_only: false,
        zero_by_default: true,
    },
    Family {
        keyword: "minItems",
        increased: request(everywhere!("min-items-increased")),
        decreased: response(everywhere!("min-items-decreased")),
        set: NONE,
        unset: NONE,
        read_only: "",
        skips_read_only: true,
        zero_by_default: true,
    },
    Family {
        keyword: "minContains",
        increased: everywhere!("min-contains-increased"),
        decreased: everywhere!("min-contains-decreased"),
        set: NONE,
        unset: NONE,
        read_only: "",
        skips_read_only: false,
        zero_by_default: false,
    },
    Family {
        keyword: "maxContains",
        increased: everywhere!("max-contains-increased"),
        decreased: everywhere!("max-contains-decreased"),
        set: NONE,
        unset: NONE,
        read_only: "",
        skips_read_only: false,
        zero_by_default: false,
    },
];

impl<'s> Comparison<'s> {
    pub(super) fn bounds(&mut self, site: &Site<'_, 's>) -> Result<(), ContractError> {
        for family in FAMILIES {
            if site.changed(family.keyword) {
                self.bound_of(site, family)?;
            }
        }
        Ok(())
    }

    fn bound_of(&mut self, site: &Site<'_, 's>, family: &Family) -> Result<(), ContractError> {
        let or_zero = |it: Option<Bound>| it.or(family.zero_by_default.then_some(Bound::Number(0.0)));
        let (from, to) = (
            or_zero(bound(site.b, family.keyword)),
            or_zero(bound(site.r, family.keyword)),
        );
        let hidden = site.is_out_of_sight();
        let is_contains = family.keyword.ends_with("Contains");
        let rule = match (from, to) {
            (Some(from), Some(to)) if from != to => {
                let (increased, decreased) = (site.pick(family.increased), site.pick(family.decreased));
                let rule = types::either(family.keyword, (from, to), increased, decreased);
                let tighter = if types::is_upper(family.keyword) {
                    decreased
                } else {
                    increased
                };
                if !site.is_request() {
                    if hidden && !is_contains { "" } else { rule }
                } else if hidden && family.skips_read_only {
                    ""
                } else if hidden && rule == tighter && !family.read_only.is_empty() {
                    family.read_only
                } else {
                    rule
                }
            }
            (None, Some(_)) if !hidden => site.pick(family.set),
            (Some(_), None) if !hidden => site.pick(family.unset),
            _ => "",
        };
        let text = types::value_sentence(
            family.keyword,
            site.b.get(family.keyword),
            site.r.get(family.keyword),
        );
        self.of_site(site, rule, text, family.keyword)
    }
}
