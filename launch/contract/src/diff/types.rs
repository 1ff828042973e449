//! Types, formats, enums, nullability, bounds: what a change of them amounts to. No findings here.

use crate::delta::Delta;
use crate::document::{At, same};
use crate::schema::{self, Bound};

/// How `type` and `format` changed.
#[derive(Debug)]
pub(super) struct TypeChange<'s> {
    before: Vec<&'s str>,
    after: Vec<&'s str>,
    pub(super) added: Vec<&'s str>,
    deleted: Vec<&'s str>,
    format: Option<(&'s str, &'s str)>,
}

impl<'s> TypeChange<'s> {
    pub(super) fn of(b: At<'s>, r: At<'s>) -> Option<Self> {
        let (before, after) = (schema::types(b), schema::types(r));
        let added: Vec<&str> = after
            .iter()
            .copied()
            .filter(|one| !before.contains(one))
            .collect();
        let deleted: Vec<&str> = before
            .iter()
            .copied()
            .filter(|one| !after.contains(one))
            .collect();
        let format = (b.text("format"), r.text("format"));
        let it = Self {
            before,
            after,
            added,
            deleted,
            format: (format.0 != format.1).then_some(format),
        };
        (it.type_differs() || it.format.is_some()).then_some(it)
    }

    fn type_differs(&self) -> bool {
        !self.added.is_empty() || !self.deleted.is_empty()
    }

    /// The revision takes all that the base took.
    pub(super) fn is_widened(&self) -> bool {
        self.type_differs() && is_subset(&self.before, &self.after)
    }

    fn is_narrowed(&self) -> bool {
        self.type_differs() && is_subset(&self.after, &self.before)
    }

    /// One type in the place of another, neither of them "any".
    fn is_swap(&self) -> bool {
        self.type_differs() && !self.before.is_empty() && !self.after.is_empty()
    }

    pub(super) fn breaks_request(&self, typed: bool) -> bool {
        let differs = self.type_differs() && !self.is_widened();
        if differs && self.after.is_empty() {
            return false;
        }
        breaks(
            differs.then_some((&self.added[..], &self.deleted[..])),
            self.format,
            typed,
            &self.after,
        )
    }

    /// What comes back may only become narrower: the request's question, asked backwards.
    pub(super) fn breaks_response(&self, typed: bool) -> bool {
        let differs = self.type_differs() && !self.is_narrowed();
        if differs && self.before.is_empty() {
            return false;
        }
        breaks(
            differs.then_some((&self.deleted[..], &self.added[..])),
            self.format.map(|(from, to)| (to, from)),
            typed,
            &self.before,
        )
    }

    /// Parameters: lists of types are taken as they stand.
    pub(super) fn breaks_parameter(&self, typed: bool) -> bool {
        breaks(
            self.type_differs()
                .then_some((&self.added[..], &self.deleted[..])),
            self.format,
            typed,
            &self.after,
        )
    }

    pub(super) fn request_rule(
        &self,
        typed: bool,
        [generalized, compatible, changed]: [&'static str; 3],
    ) -> &'static str {
        if self.breaks_request(typed) {
            changed
        } else if self.is_swap() && !self.is_widened() {
            compatible
        } else {
            generalized
        }
    }

    pub(super) fn response_rule(
        &self,
        typed: bool,
        [specialized, compatible, generalized, changed]: [&'static str; 4],
    ) -> &'static str {
        if self.breaks_response(typed) {
            if self.is_widened() { generalized } else { changed }
        } else if self.is_swap() && !self.is_narrowed() {
            compatible
        } else {
            specialized
        }
    }

    pub(super) fn sentence(&self) -> String {
        let with_format = self.format.is_some();
        let (from, to) = self.format.unwrap_or(("", ""));
        let shown = |types: &[&str], format: &str| {
            let types = if types.is_empty() {
                "any".to_owned()
            } else {
                types.join("|")
            };
            match (with_format, format) {
                (true, "") => format!("{types} without format"),
                (true, format) => format!("{types} ({format})"),
                (false, _) => types,
            }
        };
        format!(
            "the type went from {} to {}",
            shown(&self.before, from),
            shown(&self.after, to)
        )
    }
}

fn breaks(
    types: Option<(&[&str], &[&str])>,
    format: Option<(&str, &str)>,
    typed: bool,
    to_types: &[&str],
) -> bool {
    types.is_some_and(|(to, from)| !is_contained(to, from, typed))
        || format.is_some_and(|(from, to)| !is_format_contained(to_types, to, from))
}

/// Whether what had the types `from` has the types `to` too. Where values are written without
/// quotes (`typed` is false), everything is also a string.
pub(super) fn is_contained(to: &[&str], from: &[&str], typed: bool) -> bool {
    if let ([to], [from]) = (to, from)
        && is_subtype(from, to)
    {
        return true;
    }
    !typed && matches!(to, [] | ["string"])
}

fn is_subtype(sub: &str, of: &str) -> bool {
    sub == of || (sub == "integer" && of == "number")
}

fn is_subset(sub: &[&str], of: &[&str]) -> bool {
    !sub.is_empty()
        && sub
            .iter()
            .all(|one| of.iter().any(|other| is_subtype(one, other)))
}

fn is_format_contained(types: &[&str], to: &str, from: &str) -> bool {
    if to.is_empty() {
        return true;
    }
    match types {
        ["number"] => (to, from) == ("double", "float"),
        ["integer"] => matches!((to, from), ("int64" | "bigint", "int32") | ("bigint", "int64")),
        ["string"] => matches!((to, from), ("date-time", "date" | "time")),
        _ => false,
    }
}

/// Whether null came to be taken (true) or ceased to be (false), in any dialect.
pub(super) fn nullability(delta: &Delta, b: At<'_>, r: At<'_>) -> Option<bool> {
    match (b.flag("nullable"), r.flag("nullable")) {
        (true, false) => return Some(false),
        (false, true) => return Some(true),
        _ => {}
    }
    let (before, after) = (schema::types(b), schema::types(r));
    // A schema without a type takes null already.
    if before.contains(&"null") && !after.contains(&"null") && !after.is_empty() {
        return Some(false);
    }
    if after.contains(&"null") && !before.contains(&"null") && !before.is_empty() {
        return Some(true);
    }
    delta.null_wrapped
}

/// How an `enum` changed.
#[derive(Debug)]
pub(super) struct EnumChange<'s> {
    pub(super) became_enum: bool,
    pub(super) added: Vec<At<'s>>,
    pub(super) deleted: Vec<At<'s>>,
}

impl<'s> EnumChange<'s> {
    pub(super) fn of(b: At<'s>, r: At<'s>) -> Self {
        let (from, to) = (b.get("enum"), r.get("enum"));
        let missing_in = |these: Option<At<'s>>, those: Option<At<'s>>| -> Vec<At<'s>> {
            these
                .into_iter()
                .flat_map(At::items)
                .filter(|one| {
                    !those
                        .into_iter()
                        .flat_map(At::items)
                        .any(|other| same(*one, other))
                })
                .collect()
        };
        let added = missing_in(to, from);
        Self {
            became_enum: from.is_none() && !added.is_empty(),
            added,
            deleted: missing_in(from, to),
        }
    }
}

pub(super) fn extensible_enum_removed<'s>(b: At<'s>, r: At<'s>) -> Vec<&'s str> {
    match (b.get("x-extensible-enum"), r.get("x-extensible-enum")) {
        (Some(from), Some(to)) if from.is_array() && to.is_array() => from
            .items()
            .filter_map(At::as_str)
            .filter(|value| !to.items().any(|other| other.as_str() == Some(value)))
            .collect(),
        _ => Vec::new(),
    }
}

/// Which of two rules. Bounds of different dialects cannot be compared, and count as loosened.
pub(super) fn either(
    keyword: &str,
    (from, to): (Bound, Bound),
    increased: &'static str,
    decreased: &'static str,
) -> &'static str {
    match (from, to) {
        (Bound::Number(from), Bound::Number(to)) if from < to => increased,
        (Bound::Number(_), Bound::Number(_)) => decreased,
        _ if is_upper(keyword) => increased,
        _ => decreased,
    }
}

pub(super) fn is_upper(keyword: &str) -> bool {
    keyword.starts_with("max") || keyword == "exclusiveMaximum"
}

pub(super) fn value_sentence(keyword: &str, from: Option<At<'_>>, to: Option<At<'_>>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => format!("`{keyword}` went from {} to {}", from.render(), to.render()),
        (None, Some(to)) => format!("`{keyword}` {} is new", to.render()),
        (Some(from), None) => format!("`{keyword}` {} is gone", from.render()),
        (None, None) => format!("`{keyword}` changed"),
    }
}
