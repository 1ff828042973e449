//! Members of `oneOf`, `anyOf`, `allOf` and `prefixItems` have no names. They are matched by
//! reference, by content, by title; one left on either side is taken to be the same one, changed.
//! A schema that moved from its place into a reference, or back, and accepts the same is the same.

use std::collections::BTreeMap;

use super::{Graph, Sought};
use crate::error::ContractError;
use crate::schema::SchemaUse;

/// Members on one side only, as indices into its list.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Members {
    pub(crate) added: Vec<usize>,
    pub(crate) deleted: Vec<usize>,
}

impl Members {
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.deleted.is_empty()
    }
}

type Pairs = Vec<(usize, usize)>;

impl<'s> Graph<'s> {
    pub(super) fn match_members(
        &mut self,
        base: &[SchemaUse<'s>],
        revision: &[SchemaUse<'s>],
    ) -> Result<(Members, Pairs), ContractError> {
        let mut pairs = Pairs::new();
        let mut members = by_reference(base, revision, &mut pairs);
        self.by_content(base, revision, &mut members, &mut pairs)?;
        self.across_references(base, revision, &mut members)?;
        Ok((members, pairs))
    }

    fn by_content(
        &mut self,
        base: &[SchemaUse<'s>],
        revision: &[SchemaUse<'s>],
        members: &mut Members,
        pairs: &mut Pairs,
    ) -> Result<(), ContractError> {
        let inline = |list: &[SchemaUse<'_>]| -> Vec<usize> {
            (0..list.len())
                .filter(|at| list[*at].reference.is_none())
                .collect()
        };
        let mut added = inline(revision);
        let mut deleted = Vec::new();
        for from in inline(base) {
            let mut found = None;
            for (position, to) in added.iter().enumerate() {
                let pair = self.pair(base[from].schema.id, revision[*to].schema.id)?;
                if !self.differs(pair, Sought::Any)? {
                    found = Some(position);
                    break;
                }
            }
            match found {
                Some(position) => {
                    added.remove(position);
                }
                None => deleted.push(from),
            }
        }
        // The first with a title on either side are one; titles match once.
        let mut titles: Vec<&str> = vec![""];
        let mut unmatched = Vec::new();
        for to in added {
            let title = revision[to].schema.text("title");
            let from = deleted
                .iter()
                .position(|from| base[*from].schema.text("title") == title);
            match from {
                Some(position) if !titles.contains(&title) => {
                    titles.push(title);
                    pairs.push((deleted.remove(position), to));
                }
                _ => unmatched.push(to),
            }
        }
        if let ([from], [to]) = (&deleted[..], &unmatched[..])
            && base[*from].schema.text("title").is_empty()
            && revision[*to].schema.text("title").is_empty()
        {
            pairs.push((*from, *to));
        } else {
            members.added.append(&mut unmatched);
            members.deleted.append(&mut deleted);
        }
        Ok(())
    }

    fn across_references(
        &mut self,
        base: &[SchemaUse<'s>],
        revision: &[SchemaUse<'s>],
        members: &mut Members,
    ) -> Result<(), ContractError> {
        let mut kept = Vec::new();
        for from in std::mem::take(&mut members.deleted) {
            let mut found = None;
            for (position, to) in members.added.iter().enumerate() {
                if base[from].reference.is_none() == revision[*to].reference.is_none() {
                    continue;
                }
                let pair = self.pair(base[from].schema.id, revision[*to].schema.id)?;
                if !self.differs(pair, Sought::Validation)? {
                    found = Some(position);
                    break;
                }
            }
            match found {
                Some(position) => {
                    members.added.remove(position);
                }
                None => kept.push(from),
            }
        }
        members.deleted = kept;
        Ok(())
    }
}

fn by_reference(base: &[SchemaUse<'_>], revision: &[SchemaUse<'_>], pairs: &mut Pairs) -> Members {
    let mut waiting: BTreeMap<&str, std::collections::VecDeque<usize>> = BTreeMap::new();
    for (to, one) in revision.iter().enumerate() {
        if let Some(reference) = one.reference {
            waiting.entry(reference).or_default().push_back(to);
        }
    }
    let mut members = Members::default();
    for (from, one) in base.iter().enumerate() {
        let Some(reference) = one.reference else {
            continue;
        };
        match waiting
            .get_mut(reference)
            .and_then(std::collections::VecDeque::pop_front)
        {
            Some(to) => pairs.push((from, to)),
            None => members.deleted.push(from),
        }
    }
    members.added = waiting.into_values().flatten().collect();
    members.added.sort_unstable();
    members
}

/// What a member is called in a sentence: its component, its title, or its number.
pub(crate) fn name(list: &[SchemaUse<'_>], at: usize) -> String {
    let Some(one) = list.get(at) else {
        return format!("#{}", at + 1);
    };
    match one.reference {
        Some(reference) => reference.rsplit('/').next().unwrap_or(reference).to_owned(),
        None => match one.schema.text("title") {
            "" => format!("#{}", at + 1),
            title => format!("#{} {title}", at + 1),
        },
    }
}

pub(super) fn label(base: &[SchemaUse<'_>], from: usize, revision: &[SchemaUse<'_>], to: usize) -> String {
    let (before, after) = (name(base, from), name(revision, to));
    if before == after {
        before
    } else {
        format!("{before} -> {after}")
    }
}
