//! `fractional`: who divides, and into which shares.

use super::{Checker, Here, Use};
use crate::{
    json::Json,
    limits::WEIGHT_SUM_MAX,
    rule::{Rule, Share, Weight},
};

impl<'a> Checker<'a, '_, '_> {
    pub(super) fn fractional(&mut self, inner: Here<'a, '_>, used: Use<'_>) -> Option<Rule> {
        let Json::Array(items) = &inner.node.json else {
            let message = "\"fractional\" takes an array: perhaps what to divide by, then [variant, weight] of each share";
            return self.wrong(inner, message);
        };
        let (by, first_share) = match items.first().map(|first| (first, &first.json)) {
            None => return self.wrong(inner, "\"fractional\" has no shares"),
            Some((_, Json::Array(_))) => (None, 0),
            Some((node, json)) => {
                let path = inner.path.index(0);
                let here = Here {
                    node,
                    path: &path,
                    ..inner
                };
                if !matches!(json, Json::Object(_)) {
                    let message = format!(
                        "{} is the same for everybody, so that all would have one variant; divide by an attribute: \
                         {{\"var\": \"…\"}}",
                        node.what()
                    );
                    return self.wrong(here, message);
                }
                (Some(Box::new(self.rule(here, Use::Operand)?)), 1)
            }
        };
        let shares: Vec<Option<Share>> = items
            .iter()
            .enumerate()
            .skip(first_share)
            .map(|(index, node)| {
                let path = inner.path.index(index);
                let path = &path;
                self.share(Here { node, path, ..inner }, used)
            })
            .collect();
        let shares = shares.into_iter().collect::<Option<Vec<_>>>()?;
        if shares.is_empty() {
            return self.wrong(inner, "\"fractional\" has no shares");
        }
        let known = shares.iter().map(|share| match share.weight {
            Weight::Known(weight) => Some(weight),
            Weight::Computed(_) => None,
        });
        if let Some(sum) = known.sum::<Option<i64>>()
            && !(1..=WEIGHT_SUM_MAX).contains(&sum)
        {
            let message = format!("the weights add up to {sum}; it must be from 1 to {WEIGHT_SUM_MAX}");
            return self.wrong(inner, message);
        }
        Some(Rule::Fractional {
            by,
            shares: shares.into(),
        })
    }

    fn share(&mut self, here: Here<'a, '_>, used: Use<'_>) -> Option<Share> {
        let (variant, weight) = match &here.node.json {
            Json::Array(items) => match items.as_slice() {
                [variant] => (variant, None),
                [variant, weight] => (variant, Some(weight)),
                _ => return self.wrong(here, "a share is [variant] or [variant, weight]"),
            },
            _ => return self.wrong(here, "a share is [variant] or [variant, weight]"),
        };
        let (variant_path, weight_path) = (here.path.index(0), here.path.index(1));
        let variant = self.rule(
            Here {
                node: variant,
                path: &variant_path,
                ..here
            },
            used,
        );
        let weight = match weight {
            None => Some(Weight::Known(1)),
            Some(node) => self.weight(Here {
                node,
                path: &weight_path,
                ..here
            }),
        };
        Some(Share {
            variant: variant?,
            weight: weight?,
        })
    }

    fn weight(&mut self, here: Here<'a, '_>) -> Option<Weight> {
        match &here.node.json {
            Json::Object(_) => Some(Weight::Computed(self.rule(here, Use::Operand)?)),
            Json::Number(number) => match number.as_i64() {
                Some(weight @ 0..=WEIGHT_SUM_MAX) => Some(Weight::Known(weight)),
                _ => self.wrong(
                    here,
                    format!("a weight is a whole number from 0 to {WEIGHT_SUM_MAX}"),
                ),
            },
            _ => self.wrong(
                here,
                format!("a weight is a whole number, not {}", here.node.what()),
            ),
        }
    }
}
