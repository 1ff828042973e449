//! Components: schemas that are gone, security schemes that came, went or changed.

use super::{Comparison, Said, Spot};
use crate::document::{At, same_option};
use crate::error::ContractError;
use crate::rules::Level;

impl<'s> Comparison<'s> {
    pub(super) fn components(&mut self) -> Result<(), ContractError> {
        let (from, to) = (
            component(self.base.root(), "schemas"),
            component(self.revision.root(), "schemas"),
        );
        for (name, at) in from.into_iter().flat_map(At::members) {
            if to.and_then(|to| to.entry(name)).is_none() {
                let text = format!("the schema `{name}` is gone from the components");
                let around = to.unwrap_or(self.revision.root()).mark();
                self.say(
                    &Spot::NOWHERE,
                    Said::new("api-schema-removed", text, at.mark(), around),
                )?;
            }
        }
        self.security_schemes()
    }

    fn security_schemes(&mut self) -> Result<(), ContractError> {
        let key = "securitySchemes";
        let (from, to) = (
            component(self.base.root(), key),
            component(self.revision.root(), key),
        );
        for (name, at) in from.into_iter().flat_map(At::members) {
            match to.and_then(|to| to.entry(name)) {
                Some(other) => {
                    let (base, revision) = (at.spec.follow(at)?, other.spec.follow(other)?);
                    self.security_scheme(name, base, revision)?;
                }
                None => {
                    let text = format!("the security scheme `{name}` is gone");
                    let around = to.unwrap_or(self.revision.root()).mark();
                    self.say(
                        &Spot::NOWHERE,
                        Said::new("api-security-component-removed", text, at.mark(), around),
                    )?;
                }
            }
        }
        for (name, at) in to.into_iter().flat_map(At::members) {
            if from.and_then(|from| from.entry(name)).is_none() {
                let text = format!("the security scheme `{name}` is new");
                let around = from.unwrap_or(self.base.root()).mark();
                self.say(
                    &Spot::NOWHERE,
                    Said::new("api-security-component-added", text, around, at.mark()),
                )?;
            }
        }
        Ok(())
    }

    fn security_scheme(&mut self, name: &str, from: At<'s>, to: At<'s>) -> Result<(), ContractError> {
        // How a client proves who it is: one that knows the old way only is refused.
        let mut identity = vec!["type"];
        if self.is_strict() {
            identity.extend(["name", "in", "scheme", "openIdConnectUrl"]);
        }
        for keyword in identity {
            if same_option(from.get(keyword), to.get(keyword)) {
                continue;
            }
            let change = super::types::value_sentence(keyword, from.get(keyword), to.get(keyword));
            let text = format!("the security scheme `{name}`: {change}");
            let said = Said::new(
                "api-security-component-type-changed",
                text,
                from.mark_of(keyword),
                to.mark_of(keyword),
            );
            let level = self.is_strict().then_some(Level::Error);
            self.say_at(&Spot::NOWHERE, said, level)?;
        }
        let flows: &[&str] = if self.is_strict() {
            &["implicit", "password", "clientCredentials", "authorizationCode"]
        } else {
            &["implicit"]
        };
        for flow in flows {
            let of = |at: At<'s>| at.get("flows").and_then(|flows| flows.get(flow));
            if let (Some(from), Some(to)) = (of(from), of(to)) {
                self.oauth_flow(&format!("the security scheme `{name}`, flow {flow}"), from, to)?;
            }
        }
        Ok(())
    }

    fn oauth_flow(&mut self, subject: &str, from: At<'s>, to: At<'s>) -> Result<(), ContractError> {
        for (keyword, rule) in [
            ("authorizationUrl", "api-security-component-oauth-url-changed"),
            ("tokenUrl", "api-security-component-oauth-token-url-changed"),
        ] {
            if from.text(keyword) != to.text(keyword) {
                let change = super::types::value_sentence(keyword, from.get(keyword), to.get(keyword));
                let said = Said::new(
                    rule,
                    format!("{subject}: {change}"),
                    from.mark_of(keyword),
                    to.mark_of(keyword),
                );
                self.say(&Spot::NOWHERE, said)?;
            }
        }
        let (before, after) = (from.get("scopes"), to.get("scopes"));
        let marks = (from.mark_of("scopes"), to.mark_of("scopes"));
        for (scope, meaning) in before.into_iter().flat_map(At::members) {
            let (rule, text) = match after.and_then(|after| after.entry(scope)) {
                None => (
                    "api-security-component-oauth-scope-removed",
                    format!("{subject}: the scope `{scope}` is gone"),
                ),
                Some(other) if !same_option(Some(meaning), Some(other)) => (
                    "api-security-component-oauth-scope-changed",
                    format!("{subject}: the scope `{scope}` is described otherwise"),
                ),
                Some(_) => continue,
            };
            self.say(&Spot::NOWHERE, Said::new(rule, text, marks.0, marks.1))?;
        }
        for (scope, _) in after.into_iter().flat_map(At::members) {
            if before.and_then(|before| before.entry(scope)).is_none() {
                let text = format!("{subject}: the scope `{scope}` is new");
                let rule = "api-security-component-oauth-scope-added";
                self.say(&Spot::NOWHERE, Said::new(rule, text, marks.0, marks.1))?;
            }
        }
        Ok(())
    }
}

fn component<'s>(root: At<'s>, key: &str) -> Option<At<'s>> {
    root.get("components").and_then(|components| components.get(key))
}
