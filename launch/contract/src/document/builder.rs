//! Puts nodes together from the events of either parser, within the limits.

use std::collections::BTreeMap;

use super::{Mark, Node, NodeId, Object, Value};
use crate::error::ContractError;

/// Objects and arrays inside each other.
const DEPTH_MAX: usize = 200;

enum Frame {
    Array {
        mark: Mark,
        anchor: usize,
        items: Vec<NodeId>,
    },
    Object {
        mark: Mark,
        anchor: usize,
        members: Vec<(Box<str>, NodeId)>,
        marks: Vec<Mark>,
        key: Option<(Box<str>, Mark)>,
        merges: bool,
    },
}

pub(super) struct Builder<'a> {
    nodes: &'a mut Vec<Node>,
    file_name: &'a str,
    nodes_max: u64,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, NodeId>,
    root: Option<NodeId>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(nodes: &'a mut Vec<Node>, file_name: &'a str, nodes_max: u64) -> Self {
        Self {
            nodes,
            file_name,
            nodes_max,
            stack: Vec::new(),
            anchors: BTreeMap::new(),
            root: None,
        }
    }

    pub(super) fn syntax(&self, mark: Mark, what: impl Into<String>) -> ContractError {
        ContractError::Syntax {
            file: self.file_name.to_owned(),
            line: mark.line,
            column: mark.column,
            what: what.into(),
        }
    }

    /// Whether the next value is the name of a member.
    pub(super) fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame::Object { key: None, .. }))
    }

    pub(super) fn is_complete(&self) -> bool {
        self.stack.is_empty() && self.root.is_some()
    }

    pub(super) fn key(&mut self, name: &str, mark: Mark, may_merge: bool) {
        if let Some(Frame::Object { key, merges, .. }) = self.stack.last_mut() {
            *merges |= may_merge && name == "<<";
            *key = Some((name.into(), mark));
        }
    }

    pub(super) fn scalar(&mut self, value: Value, mark: Mark, anchor: usize) -> Result<(), ContractError> {
        let id = self.push(value, mark, 1)?;
        self.attach(id, anchor);
        Ok(())
    }

    pub(super) fn begin(&mut self, is_object: bool, mark: Mark, anchor: usize) -> Result<(), ContractError> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(self.syntax(mark, format!("nested deeper than the limit of {DEPTH_MAX}")));
        }
        self.stack.push(if is_object {
            Frame::Object {
                mark,
                anchor,
                members: Vec::new(),
                marks: Vec::new(),
                key: None,
                merges: false,
            }
        } else {
            Frame::Array {
                mark,
                anchor,
                items: Vec::new(),
            }
        });
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<(), ContractError> {
        match self.stack.pop() {
            None => Ok(()),
            Some(Frame::Array { mark, anchor, items }) => {
                let size = self.size(items.iter());
                let id = self.push(Value::Array(items.into_boxed_slice()), mark, size)?;
                self.attach(id, anchor);
                Ok(())
            }
            Some(Frame::Object {
                mark,
                anchor,
                mut members,
                marks,
                merges,
                ..
            }) => {
                self.refuse_duplicates(&members, &marks)?;
                if merges {
                    self.merge(&mut members, mark)?;
                }
                let size = self.size(members.iter().map(|(_, id)| id));
                let id = self.push(Value::Object(Object::new(members)), mark, size)?;
                self.attach(id, anchor);
                Ok(())
            }
        }
    }

    pub(super) fn alias(&mut self, anchor: usize, mark: Mark) -> Result<(), ContractError> {
        // An anchor is known once its node is whole: a node cannot contain itself.
        let Some(id) = self.anchors.get(&anchor).copied() else {
            return Err(self.syntax(mark, "an alias inside the node that it names"));
        };
        self.attach(id, 0);
        Ok(())
    }

    /// The root, once everything has been read.
    pub(super) fn finish(self, mark: Mark) -> Result<NodeId, ContractError> {
        match self.root {
            Some(id) if self.stack.is_empty() => Ok(id),
            _ => Err(self.syntax(mark, "the document ends before it is complete")),
        }
    }

    fn size<'i>(&self, children: impl Iterator<Item = &'i NodeId>) -> u64 {
        children.fold(1_u64, |sum, id| {
            sum.saturating_add(self.nodes[id.0 as usize].size)
        })
    }

    fn push(&mut self, value: Value, own_mark: Mark, size: u64) -> Result<NodeId, ContractError> {
        // A member stands where its name does.
        let mark = match self.stack.last() {
            Some(Frame::Object {
                key: Some((_, mark)), ..
            }) => *mark,
            _ => own_mark,
        };
        if size > self.nodes_max || self.nodes.len() as u64 >= self.nodes_max {
            return Err(self.syntax(
                own_mark,
                format!(
                    "more than {} values once every alias is written out",
                    self.nodes_max
                ),
            ));
        }
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { value, mark, size });
        Ok(id)
    }

    fn attach(&mut self, id: NodeId, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        match self.stack.last_mut() {
            None => self.root = Some(id),
            Some(Frame::Array { items, .. }) => items.push(id),
            Some(Frame::Object {
                members, marks, key, ..
            }) => {
                if let Some((name, mark)) = key.take() {
                    members.push((name, id));
                    marks.push(mark);
                }
            }
        }
    }

    fn refuse_duplicates(&self, members: &[(Box<str>, NodeId)], marks: &[Mark]) -> Result<(), ContractError> {
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by(|a, b| members[*a].0.cmp(&members[*b].0).then(a.cmp(b)));
        for pair in order.windows(2) {
            if members[pair[0]].0 == members[pair[1]].0 {
                let what = format!(
                    "`{}` is there twice (first on line {})",
                    members[pair[0]].0, marks[pair[0]].line
                );
                return Err(self.syntax(marks[pair[1]], what));
            }
        }
        Ok(())
    }

    /// YAML's merge key: members of the named mappings that are not there yet.
    fn merge(&self, members: &mut Vec<(Box<str>, NodeId)>, mark: Mark) -> Result<(), ContractError> {
        let Some(at) = members.iter().position(|(name, _)| &**name == "<<") else {
            return Ok(());
        };
        let (_, source) = members.remove(at);
        let sources: Vec<NodeId> = match &self.nodes[source.0 as usize].value {
            Value::Array(items) => items.to_vec(),
            _ => vec![source],
        };
        for id in sources {
            let Value::Object(object) = &self.nodes[id.0 as usize].value else {
                return Err(self.syntax(mark, "a merge key (<<) wants a mapping or a list of mappings"));
            };
            for (name, member) in &object.members {
                if !members.iter().any(|(known, _)| known == name) {
                    members.push((name.clone(), *member));
                }
            }
        }
        Ok(())
    }
}
