//! One operation on both sides, or on one: its name, its tags, its removal.

use std::sync::Arc;

use super::paths::PathPair;
use super::stability::Stability;
use super::{Comparison, Said, Spot};
use crate::date::Date;
use crate::document::At;
use crate::error::ContractError;

pub(super) struct Operation<'s> {
    pub(super) spot: Spot,
    pub(super) base: At<'s>,
    pub(super) revision: At<'s>,
}

impl<'s> Operation<'s> {
    pub(super) fn new(method: &'static str, path: &str, base: At<'s>, revision: At<'s>) -> Self {
        Self {
            spot: spot(method, path, revision),
            base,
            revision,
        }
    }
}

pub(super) fn spot(method: &'static str, path: &str, operation: At<'_>) -> Spot {
    Spot {
        method: Some(method),
        path: Some(path.into()),
        operation_id: operation.get("operationId").and_then(At::as_str).map(Arc::from),
    }
}

impl<'s> Comparison<'s> {
    pub(super) fn operation_pair(
        &mut self,
        pair: &PathPair<'s>,
        operation: &Operation<'s>,
    ) -> Result<(), ContractError> {
        if !pair.is_webhook && !self.stability_of_pair(operation)? {
            return Ok(());
        }
        self.operation_id(operation)?;
        self.tags(operation)?;
        self.operation_deprecation(operation)?;
        self.operation_sunset(operation)?;
        self.operation_security(operation)?;
        self.parameters(pair, operation)?;
        self.request_body(pair, operation)?;
        self.responses(pair, operation)
    }

    fn operation_id(&mut self, operation: &Operation<'s>) -> Result<(), ContractError> {
        let (from, to) = (
            operation.base.text("operationId"),
            operation.revision.text("operationId"),
        );
        if from == to {
            return Ok(());
        }
        let (rule, text) = match (from, to) {
            ("", to) => (
                "api-operation-id-added",
                format!("the operation id `{to}` is new"),
            ),
            (from, "") => (
                "api-operation-id-removed",
                format!("the operation id `{from}` is gone"),
            ),
            (from, to) => (
                "api-operation-id-removed",
                format!("the operation id `{from}` became `{to}`"),
            ),
        };
        let said = Said::new(
            rule,
            text,
            operation.base.mark_of("operationId"),
            operation.revision.mark_of("operationId"),
        );
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.say(&operation.spot, said.with_values(filled(from), filled(to)))
    }

    fn tags(&mut self, operation: &Operation<'s>) -> Result<(), ContractError> {
        let (from, to) = (operation.base.strings("tags"), operation.revision.strings("tags"));
        let (base, revision) = (operation.base.mark_of("tags"), operation.revision.mark_of("tags"));
        for tag in from.iter().filter(|tag| !to.contains(tag)) {
            let text = format!("the tag `{tag}` is gone");
            self.say(
                &operation.spot,
                Said::new("api-tag-removed", text, base, revision),
            )?;
        }
        for tag in to.iter().filter(|tag| !from.contains(tag)) {
            let text = format!("the tag `{tag}` is new");
            self.say(&operation.spot, Said::new("api-tag-added", text, base, revision))?;
        }
        Ok(())
    }

    /// A path that is gone takes all its operations with it.
    pub(super) fn path_removed(&mut self, path: &str, item: At<'s>) -> Result<(), ContractError> {
        for (method, operation) in super::paths::operations(item) {
            let spot = spot(method, path, operation);
            match Stability::of(operation) {
                Err(why) => self.invalid_stability(&spot, operation, &why, true)?,
                Ok(stability) if stability.is_promised() => {
                    self.removal(&spot, operation, true, self.revision.root().at_paths())?;
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn operation_removed(
        &mut self,
        pair: &PathPair<'s>,
        method: &'static str,
        operation: At<'s>,
    ) -> Result<(), ContractError> {
        let spot = spot(method, &pair.path, operation);
        if !pair.is_webhook {
            match Stability::of(operation) {
                Err(why) => return self.invalid_stability(&spot, operation, &why, true),
                Ok(stability) if !stability.is_promised() => return Ok(()),
                Ok(_) => {}
            }
        }
        self.removal(&spot, operation, false, pair.revision)
    }

    fn removal(
        &mut self,
        spot: &Spot,
        operation: At<'s>,
        with_path: bool,
        around: At<'s>,
    ) -> Result<(), ContractError> {
        let pick = |path: &'static str, alone: &'static str| if with_path { path } else { alone };
        let what = pick(
            "the path is gone, and the operation with it",
            "the operation is gone",
        );
        let said = |rule, text: String| Said::new(rule, text, operation.mark(), around.mark());
        if !operation.flag("deprecated") {
            let rule = pick(
                "api-path-removed-without-deprecation",
                "api-removed-without-deprecation",
            );
            return self.say(
                spot,
                said(rule, format!("{what}; it was never marked as deprecated")),
            );
        }
        let Some(sunset) = operation.get("x-sunset") else {
            let rule = pick(
                "api-path-removed-with-deprecation",
                "api-removed-with-deprecation",
            );
            return self.say(spot, said(rule, format!("{what}; it was marked as deprecated")));
        };
        match sunset_date(sunset) {
            Err(why) => self.say(spot, said("api-path-sunset-parse", why)),
            Ok(date) if self.settings.today < date => {
                let rule = pick("api-path-removed-before-sunset", "api-removed-before-sunset");
                self.say(
                    spot,
                    said(rule, format!("{what} before its sunset on {date}"))
                        .with_values(Some(date.to_string()), None),
                )
            }
            Ok(_) => Ok(()),
        }
    }
}

/// The date in an `x-sunset`, or why there is none.
pub(super) fn sunset_date(sunset: At<'_>) -> Result<Date, String> {
    let text = sunset.as_str().ok_or_else(|| {
        format!(
            "`x-sunset` is {}; expected a date as in 2026-03-31",
            sunset.render()
        )
    })?;
    Date::parse(text).map_err(|error| format!("`x-sunset`: {error}"))
}

impl<'s> At<'s> {
    /// `paths`, or the root where there are none: what surrounds a path that is gone.
    fn at_paths(self) -> At<'s> {
        self.get("paths").unwrap_or(self)
    }
}
