//! A document as a table of nodes, each with its place in the text. JSON and YAML become the same
//! table; YAML aliases share one node. Nothing here knows what OpenAPI is.

mod builder;
mod json;
mod load;
mod number;
mod yaml;

pub use load::{Files, Limits, Spec};

use std::fmt;

/// A node of one [`Spec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(u32);

/// Where something stands. A member of an object stands where its name does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub(crate) file: u32,
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
}

#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// The value, and the text as it was written.
    Number(f64, Box<str>),
    String(Box<str>),
    Array(Box<[NodeId]>),
    Object(Object),
}

/// Members in the order of the document; wide objects are indexed by name.
#[derive(Debug)]
pub(crate) struct Object {
    members: Box<[(Box<str>, NodeId)]>,
    by_name: Option<Box<[u32]>>,
}

/// Up to this many members are looked through one by one.
const MEMBERS_SCANNED_MAX: usize = 12;

impl Object {
    fn new(members: Vec<(Box<str>, NodeId)>) -> Self {
        let by_name = (members.len() > MEMBERS_SCANNED_MAX).then(|| {
            let mut order: Vec<u32> = (0..u32::try_from(members.len()).unwrap_or(u32::MAX)).collect();
            order.sort_by(|a, b| members[*a as usize].0.cmp(&members[*b as usize].0));
            order.into_boxed_slice()
        });
        Self {
            members: members.into_boxed_slice(),
            by_name,
        }
    }

    fn get(&self, name: &str) -> Option<NodeId> {
        match &self.by_name {
            None => self
                .members
                .iter()
                .find(|(key, _)| &**key == name)
                .map(|(_, id)| *id),
            Some(order) => order
                .binary_search_by(|at| (*self.members[*at as usize].0).cmp(name))
                .ok()
                .map(|found| self.members[order[found] as usize].1),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) mark: Mark,
    /// Nodes below and including this one when every alias is written out; saturating.
    size: u64,
}

/// A cursor: a node together with the document that it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct At<'s> {
    pub(crate) spec: &'s Spec,
    pub(crate) id: NodeId,
}

impl fmt::Debug for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

impl<'s> At<'s> {
    pub(crate) fn value(self) -> &'s Value {
        &self.spec.node(self.id).value
    }

    pub(crate) fn mark(self) -> Mark {
        self.spec.node(self.id).mark
    }

    fn at(self, id: NodeId) -> Self {
        At { spec: self.spec, id }
    }

    /// The member of that name; a member that is null is no member.
    pub(crate) fn get(self, name: &str) -> Option<Self> {
        self.entry(name).filter(|it| !matches!(it.value(), Value::Null))
    }

    /// The entry of a map whose names mean something by themselves; it may be null.
    pub(crate) fn entry(self, name: &str) -> Option<Self> {
        match self.value() {
            Value::Object(object) => object.get(name).map(|id| self.at(id)),
            _ => None,
        }
    }

    pub(crate) fn members(self) -> impl Iterator<Item = (&'s str, Self)> {
        let members: &[(Box<str>, NodeId)] = match self.value() {
            Value::Object(object) => &object.members,
            _ => &[],
        };
        members.iter().map(move |(name, id)| (&**name, self.at(*id)))
    }

    pub(crate) fn items(self) -> impl Iterator<Item = Self> {
        let items: &[NodeId] = match self.value() {
            Value::Array(items) => items,
            _ => &[],
        };
        items.iter().map(move |id| self.at(*id))
    }

    pub(crate) fn is_object(self) -> bool {
        matches!(self.value(), Value::Object(_))
    }

    pub(crate) fn is_array(self) -> bool {
        matches!(self.value(), Value::Array(_))
    }

    pub(crate) fn as_str(self) -> Option<&'s str> {
        match self.value() {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_bool(self) -> Option<bool> {
        match self.value() {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    pub(crate) fn as_number(self) -> Option<f64> {
        match self.value() {
            Value::Number(number, _) => Some(*number),
            _ => None,
        }
    }

    /// A string member; the empty string when there is none.
    pub(crate) fn text(self, name: &str) -> &'s str {
        self.get(name).and_then(At::as_str).unwrap_or("")
    }

    /// Whether a member is `true`.
    pub(crate) fn flag(self, name: &str) -> bool {
        self.get(name).and_then(At::as_bool).unwrap_or(false)
    }

    /// The strings of an array member, or one string as a list of one.
    pub(crate) fn strings(self, name: &str) -> Vec<&'s str> {
        match self.get(name) {
            Some(it) if it.is_array() => it.items().filter_map(At::as_str).collect(),
            Some(it) => it.as_str().into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Where a member stands; where this node stands when there is no such member.
    pub(crate) fn mark_of(self, name: &str) -> Mark {
        self.get(name).map_or_else(|| self.mark(), At::mark)
    }

    /// The value in one line, cut when it is long.
    pub(crate) fn render(self) -> String {
        const CHARACTERS_MAX: usize = 120;
        let mut out = String::new();
        self.write(&mut out, CHARACTERS_MAX);
        if out.chars().count() > CHARACTERS_MAX {
            out = out.chars().take(CHARACTERS_MAX).collect();
            out.push('…');
        }
        out
    }

    /// Stops soon after `limit` bytes, so that shared nodes cannot make it long.
    fn write(self, out: &mut String, limit: usize) {
        if out.len() > limit {
            return;
        }
        match self.value() {
            Value::Null => out.push_str("null"),
            Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Value::Number(_, text) => out.push_str(text),
            Value::String(text) => out.push_str(text),
            Value::Array(_) => {
                out.push('[');
                for (index, item) in self.items().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    if out.len() > limit {
                        break;
                    }
                    item.write(out, limit);
                }
                out.push(']');
            }
            Value::Object(_) => {
                out.push('{');
                for (index, (name, member)) in self.members().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    if out.len() > limit {
                        break;
                    }
                    out.push_str(name);
                    out.push_str(": ");
                    member.write(out, limit);
                }
                out.push('}');
            }
        }
    }
}

/// Whether two values are the same JSON: members in any order, numbers by value.
/// Depth is bounded by the parser's limit, length by the limit on nodes.
pub(crate) fn same(a: At<'_>, b: At<'_>) -> bool {
    match (a.value(), b.value()) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a, _), Value::Number(b, _)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && a.items().zip(b.items()).all(|(a, b)| same(a, b))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.members.len() == y.members.len()
                && a.members()
                    .all(|(name, one)| y.get(name).is_some_and(|id| same(one, b.at(id))))
        }
        _ => false,
    }
}

/// [`same`] for values that may be absent.
pub(crate) fn same_option(a: Option<At<'_>>, b: Option<At<'_>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => same(a, b),
        _ => false,
    }
}
