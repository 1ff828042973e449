//! Who is let in. A list of alternatives; each names schemes that have to be there together, with
//! their scopes. An operation without a list of its own has the document's.
//!
//! The reference calls every change of them information. Here a change that refuses a client that
//! was let in before is an error: some alternative of the base holds none of the revision's.

use super::operations::Operation;
use super::{Comparison, Said, Spot};
use crate::document::At;
use crate::error::ContractError;
use crate::rules::Level;

/// Scheme names, each with its scopes; sorted.
type Alternative<'s> = Vec<(&'s str, Vec<&'s str>)>;

fn alternatives(list: Option<At<'_>>) -> Vec<Alternative<'_>> {
    list.into_iter()
        .flat_map(At::items)
        .map(|one| {
            let mut schemes: Alternative<'_> = one
                .members()
                .map(|(name, scopes)| {
                    let mut scopes: Vec<&str> = scopes.items().filter_map(At::as_str).collect();
                    scopes.sort_unstable();
                    scopes.dedup();
                    (name, scopes)
                })
                .collect();
            schemes.sort();
            schemes
        })
        .collect()
}

fn shown(alternative: &Alternative<'_>) -> String {
    if alternative.is_empty() {
        return "nothing".to_owned();
    }
    let parts: Vec<String> = alternative
        .iter()
        .map(|(name, scopes)| {
            if scopes.is_empty() {
                (*name).to_owned()
            } else {
                format!("{name} ({})", scopes.join(", "))
            }
        })
        .collect();
    parts.join(" and ")
}

fn same_schemes(a: &Alternative<'_>, b: &Alternative<'_>) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|((a, _), (b, _))| a == b)
}

#[derive(Debug, Default)]
struct SecurityChange<'s> {
    added: Vec<Alternative<'s>>,
    deleted: Vec<Alternative<'s>>,
    /// The same schemes with other scopes.
    scopes_added: Vec<(&'s str, &'s str)>,
    scopes_deleted: Vec<(&'s str, &'s str)>,
}

impl<'s> SecurityChange<'s> {
    /// Equal ones first; then, where only one on either side has certain schemes, those two.
    fn of(base: &[Alternative<'s>], revision: &[Alternative<'s>]) -> Self {
        let mut left: Vec<&Alternative<'s>> = base.iter().collect();
        let mut right: Vec<&Alternative<'s>> = revision.iter().collect();
        left.retain(|one| match right.iter().position(|other| other == one) {
            Some(at) => {
                right.remove(at);
                false
            }
            None => true,
        });
        let mut it = Self::default();
        let count = |list: &[&Alternative<'s>], one: &Alternative<'s>| {
            list.iter().filter(|other| same_schemes(other, one)).count()
        };
        let all_left = left.clone();
        for one in all_left {
            if count(&left, one) != 1 || count(&right, one) != 1 {
                continue;
            }
            let Some(at) = right.iter().position(|other| same_schemes(other, one)) else {
                continue;
            };
            let other = right.remove(at);
            left.retain(|kept| *kept != one);
            for ((name, before), (_, after)) in one.iter().zip(other) {
                let only = |these: &[&'s str], those: &[&'s str]| -> Vec<(&'s str, &'s str)> {
                    these
                        .iter()
                        .filter(|scope| !those.contains(scope))
                        .map(|scope| (*scope, *name))
                        .collect()
                };
                it.scopes_added.extend(only(after, before));
                it.scopes_deleted.extend(only(before, after));
            }
        }
        it.deleted = left.into_iter().cloned().collect();
        it.added = right.into_iter().cloned().collect();
        it
    }
}

/// Whether whoever fulfils `client` fulfils `wanted`.
fn fulfils(client: &Alternative<'_>, wanted: &Alternative<'_>) -> bool {
    wanted.iter().all(|(name, scopes)| {
        client
            .iter()
            .any(|(have, own)| have == name && scopes.iter().all(|scope| own.contains(scope)))
    })
}

/// The alternatives of the base that no longer let anyone in. No list at all lets everyone in.
fn refused<'a, 's>(base: &'a [Alternative<'s>], revision: &[Alternative<'s>]) -> Vec<&'a Alternative<'s>> {
    if revision.is_empty() {
        return Vec::new();
    }
    base.iter()
        .filter(|client| !revision.iter().any(|wanted| fulfils(client, wanted)))
        .collect()
}

/// A client that brings nothing, for a list that asks for nothing.
fn or_nothing(list: Vec<Alternative<'_>>) -> Vec<Alternative<'_>> {
    if list.is_empty() { vec![Vec::new()] } else { list }
}

/// Rules about the document's list, and about an operation's.
struct Names {
    added: &'static str,
    removed: &'static str,
    scope_added: &'static str,
    scope_removed: &'static str,
}

const GLOBAL: Names = Names {
    added: "api-global-security-added",
    removed: "api-global-security-removed",
    scope_added: "api-global-security-scope-added",
    scope_removed: "api-global-security-scope-removed",
};

const OPERATION: Names = Names {
    added: "api-security-added",
    removed: "api-security-removed",
    scope_added: "api-security-scope-added",
    scope_removed: "api-security-scope-removed",
};

impl<'s> Comparison<'s> {
    /// The document's own list.
    pub(super) fn security(&mut self) -> Result<(), ContractError> {
        let (from, to) = (self.base.root(), self.revision.root());
        let (base, revision) = (
            alternatives(from.get("security")),
            alternatives(to.get("security")),
        );
        let stricter = self.is_strict() && !refused(&or_nothing(base.clone()), &revision).is_empty();
        let change = SecurityChange::of(&base, &revision);
        self.security_change(
            &Spot::NOWHERE,
            &GLOBAL,
            &change,
            (from, to),
            stricter,
            "the document",
        )
        .map(drop)
    }

    pub(super) fn operation_security(&mut self, operation: &Operation<'s>) -> Result<(), ContractError> {
        let key = "security";
        let (from, to) = (operation.base, operation.revision);
        let mut change = SecurityChange::of(&alternatives(from.get(key)), &alternatives(to.get(key)));
        // An empty alternative is no requirement that could come or go.
        change.added.retain(|one| !one.is_empty());
        change.deleted.retain(|one| !one.is_empty());
        if !self.is_strict() {
            let spot = &operation.spot;
            return self
                .security_change(spot, &OPERATION, &change, (from, to), false, "the operation")
                .map(drop);
        }
        let effective =
            |own: At<'s>, root: At<'s>| or_nothing(alternatives(own.get(key).or_else(|| root.get(key))));
        let base = effective(from, self.base.root());
        let revision = effective(to, self.revision.root());
        let shut_out = refused(&base, &revision);
        let spot = &operation.spot;
        let stricter = !shut_out.is_empty();
        let told = self.security_change(spot, &OPERATION, &change, (from, to), stricter, "the operation")?;
        let inherits = from.get(key).is_none() && to.get(key).is_none();
        if told || inherits {
            // What the document's own list says is told once, there.
            return Ok(());
        }
        if let Some(first) = shut_out.first() {
            let text = format!(
                "the operation: a client that brings {} is no longer let in",
                shown(first)
            );
            let said = Said::new("api-security-added", text, from.mark_of(key), to.mark_of(key));
            self.say_at(spot, said, Some(Level::Error))?;
        }
        Ok(())
    }

    /// Whether something was said. What lets fewer in is an error when somebody is shut out.
    fn security_change(
        &mut self,
        spot: &Spot,
        names: &Names,
        change: &SecurityChange<'s>,
        (from, to): (At<'s>, At<'s>),
        stricter: bool,
        subject: &str,
    ) -> Result<bool, ContractError> {
        let level = stricter.then_some(Level::Error);
        let marks = (from.mark_of("security"), to.mark_of("security"));
        let mut said = Vec::new();
        for one in &change.added {
            said.push((names.added, format!("asks for {}", shown(one)), level));
        }
        for one in &change.deleted {
            // Without a new one beside it, it is the removal that shuts out.
            let level = level.filter(|_| change.added.is_empty());
            said.push((names.removed, format!("no longer takes {}", shown(one)), level));
        }
        for (scope, scheme) in &change.scopes_added {
            let text = format!("asks for the scope `{scope}` of {scheme}");
            said.push((names.scope_added, text, level));
        }
        for (scope, scheme) in &change.scopes_deleted {
            let text = format!("no longer asks for the scope `{scope}` of {scheme}");
            said.push((names.scope_removed, text, None));
        }
        let told = !said.is_empty();
        for (rule, text, level) in said {
            let said = Said::new(rule, format!("{subject}: {text}"), marks.0, marks.1);
            self.say_at(spot, said, level)?;
        }
        Ok(told)
    }
}
