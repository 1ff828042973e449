//! Deprecation and sunset, of operations, parameters and properties: one course, other names.

use super::operations::{Operation, sunset_date};
use super::stability::Stability;
use super::{Comparison, Said, Spot};
use crate::delta::Delta;
use crate::document::At;
use crate::error::ContractError;

/// The rules of one sort of part.
pub(super) struct LifecycleRules {
    pub(super) reactivated: &'static str,
    pub(super) deprecated: &'static str,
    pub(super) deprecated_with_sunset: &'static str,
    pub(super) sunset_missing: &'static str,
    pub(super) sunset_unreadable: &'static str,
    pub(super) sunset_too_soon: &'static str,
}

const OPERATION: LifecycleRules = LifecycleRules {
    reactivated: "endpoint-reactivated",
    deprecated: "endpoint-deprecated",
    deprecated_with_sunset: "endpoint-deprecated-with-sunset",
    sunset_missing: "api-deprecated-sunset-missing",
    sunset_unreadable: "api-deprecated-sunset-parse",
    sunset_too_soon: "api-sunset-date-too-small",
};

/// The rules about a sunset that was changed or taken back.
pub(super) struct SunsetRules {
    pub(super) deleted: &'static str,
    pub(super) unreadable: &'static str,
    pub(super) changed_too_soon: &'static str,
}

const OPERATION_SUNSET: SunsetRules = SunsetRules {
    deleted: "sunset-deleted",
    unreadable: "api-path-sunset-parse",
    changed_too_soon: "api-sunset-date-changed-too-small",
};

/// A part on both sides.
pub(super) struct Part<'a, 's> {
    pub(super) spot: &'a Spot,
    pub(super) subject: &'a str,
    pub(super) base: At<'s>,
    pub(super) revision: At<'s>,
    /// The schema that it is, where it is one.
    pub(super) delta: Option<&'a Delta>,
    /// The operation that promises it.
    pub(super) operation: At<'s>,
}

impl<'s> Comparison<'s> {
    pub(super) fn operation_deprecation(&mut self, operation: &Operation<'s>) -> Result<(), ContractError> {
        self.deprecation(&Self::operation_part(operation), &OPERATION)
    }

    pub(super) fn operation_sunset(&mut self, operation: &Operation<'s>) -> Result<(), ContractError> {
        self.sunset(&Self::operation_part(operation), &OPERATION_SUNSET)
    }

    fn operation_part<'a>(operation: &'a Operation<'s>) -> Part<'a, 's> {
        Part {
            spot: &operation.spot,
            subject: "the operation",
            base: operation.base,
            revision: operation.revision,
            delta: None,
            operation: operation.revision,
        }
    }

    pub(super) fn deprecation(
        &mut self,
        part: &Part<'_, 's>,
        rules: &LifecycleRules,
    ) -> Result<(), ContractError> {
        let (before, after) = (part.base.flag("deprecated"), part.revision.flag("deprecated"));
        if before == after {
            return Ok(());
        }
        let subject = part.subject;
        if !after {
            let text = format!("{subject}: no longer deprecated");
            return self.tell(part, "deprecated", rules.reactivated, text);
        }
        let Ok(stability) = Stability::of(part.operation) else {
            return Ok(());
        };
        let days = self.deprecation_days(stability);
        let Some(sunset) = part.revision.get("x-sunset") else {
            let (rule, text) = if days > 0 {
                (
                    rules.sunset_missing,
                    format!(
                        "{subject}: deprecated without the `x-sunset` date that {days} days of notice ask for"
                    ),
                )
            } else {
                (rules.deprecated, format!("{subject}: deprecated"))
            };
            return self.tell(part, "deprecated", rule, text);
        };
        match sunset_date(sunset) {
            Err(why) => self.tell(
                part,
                "x-sunset",
                rules.sunset_unreadable,
                format!("{subject}: {why}"),
            ),
            Ok(date) if date.days_since(self.settings.today) < days => {
                let text = format!("{subject}: the sunset on {date} leaves less than {days} days of notice");
                self.tell(part, "x-sunset", rules.sunset_too_soon, text)
            }
            Ok(date) => {
                let text = format!("{subject}: deprecated, sunset on {date}");
                self.tell(part, "deprecated", rules.deprecated_with_sunset, text)
            }
        }
    }

    pub(super) fn sunset(&mut self, part: &Part<'_, 's>, rules: &SunsetRules) -> Result<(), ContractError> {
        let Some(before) = part.base.get("x-sunset") else {
            return Ok(());
        };
        if !part.revision.flag("deprecated") {
            return Ok(());
        }
        let subject = part.subject;
        let Some(after) = part.revision.get("x-sunset") else {
            let text = format!("{subject}: still deprecated, but its `x-sunset` is gone");
            return self.tell(part, "x-sunset", rules.deleted, text);
        };
        if crate::document::same(before, after) {
            return Ok(());
        }
        let (after, before) = match (sunset_date(after), sunset_date(before)) {
            (Ok(after), Ok(before)) => (after, before),
            (Err(why), _) | (_, Err(why)) => {
                return self.tell(part, "x-sunset", rules.unreadable, format!("{subject}: {why}"));
            }
        };
        let Ok(stability) = Stability::of(part.operation) else {
            return Ok(());
        };
        let days = self.deprecation_days(stability);
        if before > after && after.days_since(self.settings.today) < days {
            let text = format!(
                "{subject}: its sunset moved from {before} to {after}, with less than {days} days of notice"
            );
            return self.tell(part, "x-sunset", rules.changed_too_soon, text);
        }
        Ok(())
    }

    fn tell(
        &mut self,
        part: &Part<'_, 's>,
        keyword: &str,
        rule: &'static str,
        text: String,
    ) -> Result<(), ContractError> {
        let value = |at: At<'_>| at.get(keyword).map(At::render);
        let said = Said::new(
            rule,
            text,
            part.base.mark_of(keyword),
            part.revision.mark_of(keyword),
        )
        .with_values(value(part.base), value(part.revision));
        match part.delta {
            Some(delta) => self.say_of(part.spot, said, delta),
            None => self.say(part.spot, said),
        }
    }
}
