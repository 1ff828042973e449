//! Pairs of schemas, and in what they differ.
//!
//! A graph with one node for each pair of schemas that meet, made as it is asked for. Circles of
//! references are circles of the graph: each pair is compared once however often it is reached.
//! What a difference means is not decided here.

mod build;
mod members;
mod transitions;

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::document::{At, NodeId, Spec};
use crate::error::ContractError;

pub(crate) use members::{Members, name as member_name};
pub(crate) use transitions::ListOfTypes;

/// A pair of schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeltaId(u32);

/// One level of comparison may ask for another, for lists whose members have no names.
const NESTED_MATCHING_MAX: usize = 60;

/// Pairs that are compared at all.
const PAIRS_MAX: usize = 2_000_000;

/// How a schema is reached from the one that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A named property.
    Property(Rc<str>),
    /// `items`, `oneOf[…]`, …
    Inside(Rc<str>),
}

#[derive(Debug, Clone)]
pub(crate) struct Edge {
    pub(crate) step: Step,
    pub(crate) to: DeltaId,
    /// The targets, where a reference led there.
    pub(crate) base_target: Option<NodeId>,
    pub(crate) revision_target: Option<NodeId>,
}

/// Names on one side only.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) added: Vec<Rc<str>>,
    pub(crate) deleted: Vec<Rc<str>>,
}

/// In what two schemas differ at their own level.
#[derive(Debug)]
pub(crate) struct Delta {
    pub(crate) base: NodeId,
    pub(crate) revision: NodeId,
    /// Keywords that reject values, or speak of a life cycle, and differ.
    pub(crate) changed: Vec<Rc<str>>,
    /// Whether `default` differs.
    pub(crate) default_changed: bool,
    /// Whether any other annotation differs.
    pub(crate) annotation_changed: bool,
    pub(crate) one_of: Members,
    pub(crate) any_of: Members,
    pub(crate) all_of: Members,
    pub(crate) prefix_items: Members,
    pub(crate) properties: Names,
    pub(crate) pattern_properties: Names,
    pub(crate) dependent_schemas: Names,
    /// Keywords with a schema on one side only; true when it is the revision's.
    pub(crate) one_sided: Vec<(&'static str, bool)>,
    pub(crate) edges: Vec<Edge>,
    /// X became oneOf [null, X] (true), or the other way round (false).
    pub(crate) null_wrapped: Option<bool>,
    /// An object became a oneOf of objects: the properties that moved into them.
    pub(crate) one_of_wrapped: Option<Vec<Rc<str>>>,
    pub(crate) list_of_types: Option<ListOfTypes>,
}

/// What [`Graph::differs`] looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sought {
    /// Any difference.
    Any,
    /// A difference in what is accepted.
    Validation,
    /// A difference that a rule may speak of.
    Relevant,
}

impl Delta {
    fn shows(&self, sought: Sought) -> bool {
        !self.changed.is_empty()
            || match sought {
                Sought::Any => self.default_changed || self.annotation_changed,
                Sought::Validation => false,
                Sought::Relevant => self.default_changed,
            }
    }
}

#[derive(Debug)]
enum Slot {
    Planned,
    InWork,
    Built(Rc<Delta>),
}

#[derive(Debug)]
pub(crate) struct Graph<'s> {
    pub(crate) base: &'s Spec,
    pub(crate) revision: &'s Spec,
    ids: BTreeMap<(NodeId, NodeId), DeltaId>,
    pairs: Vec<(NodeId, NodeId)>,
    slots: Vec<Slot>,
    /// Known answers of `differs`, by what was sought.
    known: [Vec<Option<bool>>; 3],
    nested: usize,
}

impl<'s> Graph<'s> {
    pub(crate) fn new(base: &'s Spec, revision: &'s Spec) -> Self {
        Self {
            base,
            revision,
            ids: BTreeMap::new(),
            pairs: Vec::new(),
            slots: Vec::new(),
            known: [Vec::new(), Vec::new(), Vec::new()],
            nested: 0,
        }
    }

    pub(crate) fn base_at(&self, id: NodeId) -> At<'s> {
        At { spec: self.base, id }
    }

    pub(crate) fn revision_at(&self, id: NodeId) -> At<'s> {
        At {
            spec: self.revision,
            id,
        }
    }

    /// The pair of two schemas.
    pub(crate) fn pair(&mut self, base: NodeId, revision: NodeId) -> Result<DeltaId, ContractError> {
        if let Some(id) = self.ids.get(&(base, revision)) {
            return Ok(*id);
        }
        if self.slots.len() >= PAIRS_MAX {
            return Err(ContractError::Limit {
                what: "pairs of schemas to compare".to_owned(),
                limit: PAIRS_MAX as u64,
            });
        }
        let id = DeltaId(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        self.ids.insert((base, revision), id);
        self.pairs.push((base, revision));
        self.slots.push(Slot::Planned);
        for known in &mut self.known {
            known.push(None);
        }
        Ok(id)
    }

    pub(crate) fn delta(&mut self, id: DeltaId) -> Result<Rc<Delta>, ContractError> {
        match &self.slots[id.0 as usize] {
            Slot::Built(delta) => Ok(Rc::clone(delta)),
            Slot::Planned | Slot::InWork => {
                self.slots[id.0 as usize] = Slot::InWork;
                let (base, revision) = self.pairs[id.0 as usize];
                let delta = Rc::new(self.build(base, revision)?);
                self.slots[id.0 as usize] = Slot::Built(Rc::clone(&delta));
                Ok(delta)
            }
        }
    }

    /// Whether the two differ, in themselves or in anything that they hold.
    ///
    /// A pair that is being built counts as equal: this is asked on its behalf.
    pub(crate) fn differs(&mut self, start: DeltaId, sought: Sought) -> Result<bool, ContractError> {
        let sort = sought as usize;
        if let Some(known) = self.known[sort][start.0 as usize] {
            return Ok(known);
        }
        if self.nested >= NESTED_MATCHING_MAX {
            return Err(ContractError::Limit {
                what: "lists of unnamed schemas inside each other".to_owned(),
                limit: NESTED_MATCHING_MAX as u64,
            });
        }
        self.nested += 1;
        let answer = self.seek(start, sought);
        self.nested -= 1;
        answer
    }

    fn seek(&mut self, start: DeltaId, sought: Sought) -> Result<bool, ContractError> {
        let sort = sought as usize;
        // What this search has met, each with whoever led to it.
        let mut met: Vec<(DeltaId, usize)> = vec![(start, usize::MAX)];
        let mut seen: std::collections::BTreeSet<DeltaId> = [start].into();
        let mut at = 0;
        let mut met_unfinished = false;
        while at < met.len() {
            let (id, _) = met[at];
            let known = self.known[sort][id.0 as usize];
            let shows = match (known, &self.slots[id.0 as usize]) {
                (Some(known), _) => known,
                (None, Slot::InWork) => {
                    met_unfinished = true;
                    at += 1;
                    continue;
                }
                (None, _) => self.delta(id)?.shows(sought),
            };
            if shows {
                let mut back = at;
                while back != usize::MAX {
                    let (id, by) = met[back];
                    self.known[sort][id.0 as usize] = Some(true);
                    back = by;
                }
                return Ok(true);
            }
            if known.is_none() {
                let delta = self.delta(id)?;
                for edge in &delta.edges {
                    if seen.insert(edge.to) {
                        met.push((edge.to, at));
                    }
                }
            }
            at += 1;
        }
        if !met_unfinished {
            for (id, _) in met {
                self.known[sort][id.0 as usize] = Some(false);
            }
        }
        Ok(false)
    }
}
