//! `x-stability-level`: what is promised at all. Parts below beta may change as they like.

use super::operations::Operation;
use super::{Comparison, Said, Spot};
use crate::document::At;
use crate::error::ContractError;

/// From least to most; an operation that says nothing is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stability {
    Draft,
    Alpha,
    Beta,
    Stable,
}

impl Stability {
    pub(super) fn of(part: At<'_>) -> Result<Self, String> {
        let Some(level) = part.get("x-stability-level") else {
            return Ok(Self::Stable);
        };
        match level.as_str() {
            Some("draft") => Ok(Self::Draft),
            Some("alpha") => Ok(Self::Alpha),
            Some("beta") => Ok(Self::Beta),
            Some("stable") => Ok(Self::Stable),
            _ => Err(format!(
                "`x-stability-level` is {}; expected draft, alpha, beta or stable",
                level.render()
            )),
        }
    }

    pub(super) fn is_promised(self) -> bool {
        self >= Self::Beta
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Alpha => "alpha",
            Self::Beta => "beta",
            Self::Stable => "stable",
        }
    }
}

impl<'s> Comparison<'s> {
    /// Says how the level changed; whether the operation's changes count.
    pub(super) fn stability_of_pair(&mut self, operation: &Operation<'s>) -> Result<bool, ContractError> {
        let (before, after) = (Stability::of(operation.base), Stability::of(operation.revision));
        if let Err(why) = &before {
            self.invalid_stability(&operation.spot, operation.base, why, true)?;
        }
        if let Err(why) = &after {
            self.invalid_stability(&operation.spot, operation.revision, why, false)?;
        }
        if let (Ok(before), Ok(after)) = (&before, &after) {
            self.stability_change(
                &operation.spot,
                ("api-stability-decreased", "api-stability-increased"),
                "the operation",
                (*before, *after),
                (operation.base, operation.revision),
            )?;
        }
        Ok(after.is_ok_and(Stability::is_promised))
    }

    pub(super) fn stability_change(
        &mut self,
        spot: &Spot,
        (decreased, increased): (&'static str, &'static str),
        subject: &str,
        (before, after): (Stability, Stability),
        (base, revision): (At<'s>, At<'s>),
    ) -> Result<(), ContractError> {
        if before == after || !before.is_promised() {
            return Ok(());
        }
        let rule = if after < before { decreased } else { increased };
        let text = format!(
            "{subject}: its stability went from {} to {}",
            before.name(),
            after.name()
        );
        let said = Said::new(
            rule,
            text,
            base.mark_of("x-stability-level"),
            revision.mark_of("x-stability-level"),
        );
        self.say(
            spot,
            said.with_values(before.name().to_owned(), after.name().to_owned()),
        )
    }

    pub(super) fn invalid_stability(
        &mut self,
        spot: &Spot,
        part: At<'s>,
        why: &str,
        is_base: bool,
    ) -> Result<(), ContractError> {
        let mark = part.mark_of("x-stability-level");
        let (base, revision) = if is_base {
            (mark, self.revision.root().mark())
        } else {
            (self.base.root().mark(), mark)
        };
        let text = why.to_owned();
        self.say(
            spot,
            Said::new("api-invalid-stability-level", text, base, revision),
        )
    }

    /// Days that a part of this stability has to stay after its deprecation.
    pub(super) fn deprecation_days(&self, stability: Stability) -> i64 {
        match stability {
            Stability::Draft | Stability::Alpha => 0,
            Stability::Beta => i64::from(self.settings.deprecation_days_beta),
            Stability::Stable => i64::from(self.settings.deprecation_days_stable),
        }
    }
}
