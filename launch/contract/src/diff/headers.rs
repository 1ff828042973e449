//! Headers of a response.

use super::{Comparison, Said, Spot, types};
use crate::document::At;
use crate::error::ContractError;
use crate::schema;

impl<'s> Comparison<'s> {
    pub(super) fn response_headers(
        &mut self,
        spot: &Spot,
        status: &str,
        base: At<'s>,
        revision: At<'s>,
    ) -> Result<(), ContractError> {
        let (from, to) = (base.get("headers"), revision.get("headers"));
        for (name, at) in from.into_iter().flat_map(At::members) {
            let header = at.spec.follow(at)?;
            match to.and_then(|to| to.entry(name)) {
                Some(other) => {
                    let other = other.spec.follow(other)?;
                    self.header_pair(spot, status, name, header, other)?;
                }
                None => {
                    let rule = if header.flag("required") {
                        "required-response-header-removed"
                    } else {
                        "optional-response-header-removed"
                    };
                    let text = format!("header `{name}` of response {status}: gone");
                    let around = revision.mark_of("headers");
                    self.say(spot, Said::new(rule, text, header.mark(), around))?;
                }
            }
        }
        for (name, at) in to.into_iter().flat_map(At::members) {
            if from.and_then(|from| from.entry(name)).is_none() {
                let text = format!("header `{name}` of response {status}: new");
                let around = base.mark_of("headers");
                self.say(spot, Said::new("response-header-added", text, around, at.mark()))?;
            }
        }
        Ok(())
    }

    fn header_pair(
        &mut self,
        spot: &Spot,
        status: &str,
        name: &str,
        from: At<'s>,
        to: At<'s>,
    ) -> Result<(), ContractError> {
        let subject = format!("header `{name}` of response {status}");
        if from.flag("required") && !to.flag("required") {
            let text = format!("{subject}: now optional");
            let marks = (from.mark_of("required"), to.mark_of("required"));
            self.say(
                spot,
                Said::new("response-header-became-optional", text, marks.0, marks.1),
            )?;
        }
        let (Some(b), Some(r)) = (from.get("schema"), to.get("schema")) else {
            return Ok(());
        };
        let (b, r) = (schema::schema_at(b)?.schema, schema::schema_at(r)?.schema);
        let pair = self.graph.pair(b.id, r.id)?;
        let delta = self.graph.delta(pair)?;
        let marks = (b.mark_of("type"), r.mark_of("type"));
        if let Some(nullable) = types::nullability(&delta, b, r) {
            let (rule, text) = if nullable {
                ("response-header-became-nullable", "may now be null")
            } else {
                ("response-header-became-not-nullable", "is no longer null")
            };
            let text = format!("{subject}: {text}");
            self.say(spot, Said::new(rule, text, marks.0, marks.1))?;
        }
        if let Some(change) = types::TypeChange::of(b, r) {
            let rule = change.response_rule(
                false,
                [
                    "response-header-type-specialized",
                    "response-header-type-compatible",
                    "response-header-type-generalized",
                    "response-header-type-changed",
                ],
            );
            let text = format!("{subject}: {}", change.sentence());
            self.say_of(spot, Said::new(rule, text, marks.0, marks.1), &delta)?;
        }
        Ok(())
    }
}
