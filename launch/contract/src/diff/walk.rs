//! From a schema to everything inside it that differs.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Comparison;
use crate::delta::{Delta, DeltaId, Sought, Step};
use crate::document::NodeId;
use crate::error::ContractError;

/// Ways to differing schemas that are followed from one body; beyond, each schema is shown once.
const WAYS_MAX: usize = 500;

/// A schema that differs, and how it was reached.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) delta: Rc<Delta>,
    /// `items/owner/name`; empty at the root.
    pub(super) path: String,
    /// Whoever holds it.
    pub(super) parent: Option<Rc<Delta>>,
    /// Its name, where it is a property of that.
    pub(super) name: Option<Rc<str>>,
}

impl Visit {
    pub(super) fn is_root(&self) -> bool {
        self.parent.is_none()
    }
}

struct Way {
    at: DeltaId,
    from: Option<usize>,
    step: Option<Step>,
    base_target: Option<NodeId>,
    revision_target: Option<NodeId>,
}

impl Comparison<'_> {
    /// The root and what differs inside it, nearest first. A circle is followed once.
    pub(super) fn visits(
        &mut self,
        root: DeltaId,
        base_target: Option<NodeId>,
        revision_target: Option<NodeId>,
    ) -> Result<Vec<Visit>, ContractError> {
        let mut ways = vec![Way {
            at: root,
            from: None,
            step: None,
            base_target,
            revision_target,
        }];
        let mut seen: BTreeSet<DeltaId> = [root].into();
        let mut visits: Vec<Visit> = Vec::new();
        let mut at = 0;
        while at < ways.len() {
            let delta = self.graph.delta(ways[at].at)?;
            let (path, name, parent) = match (&ways[at].step, ways[at].from) {
                (Some(step), Some(from)) => {
                    let (label, name) = match step {
                        Step::Property(name) => (name, Some(Rc::clone(name))),
                        Step::Inside(label) => (label, None),
                    };
                    let above = &visits[from].path;
                    let path = if above.is_empty() {
                        label.to_string()
                    } else {
                        format!("{above}/{label}")
                    };
                    (path, name, Some(Rc::clone(&visits[from].delta)))
                }
                _ => (String::new(), None, None),
            };
            for edge in &delta.edges {
                let circles = |target: Option<NodeId>, of: fn(&Way) -> Option<NodeId>| {
                    let mut back = Some(at);
                    while let Some(way) = back {
                        if target.is_some() && of(&ways[way]) == target {
                            return true;
                        }
                        back = ways[way].from;
                    }
                    false
                };
                if circles(edge.base_target, |way| way.base_target)
                    || circles(edge.revision_target, |way| way.revision_target)
                    || !self.graph.differs(edge.to, Sought::Relevant)?
                {
                    continue;
                }
                if !seen.insert(edge.to) && ways.len() >= WAYS_MAX {
                    continue;
                }
                ways.push(Way {
                    at: edge.to,
                    from: Some(at),
                    step: Some(edge.step.clone()),
                    base_target: edge.base_target,
                    revision_target: edge.revision_target,
                });
            }
            visits.push(Visit {
                delta,
                path,
                parent,
                name,
            });
            at += 1;
        }
        Ok(visits)
    }
}
