//! Which binding a method and a path mean. A literal goes before `*`, and `*` before `**`; where two templates
//! fit, the one that is more literal from the left wins, and one whose HTTP method does not fit gives way to one
//! whose does.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;

use crate::template::{Segment, Template};

/// The HTTP method of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    /// `custom { kind: "*" }`
    Any,
    Named(String),
}

#[derive(Debug, Default)]
pub(crate) struct Router {
    root: Node,
    /// What stands behind a colon in any template.
    verbs: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<String, Self>,
    one: Option<Box<Self>>,
    /// Where a `**` ends the template.
    rest: Leaf,
    end: Leaf,
}

type Leaf = Vec<Entry>;

#[derive(Debug)]
struct Entry {
    custom_verb: Option<String>,
    method: Verb,
    binding: usize,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'p> {
    Binding {
        binding: usize,
        /// Without a verb.
        segments: Vec<&'p str>,
    },
    /// The path is known, with these methods.
    OtherMethods(BTreeSet<String>),
    Nothing,
}

impl Router {
    /// # Errors
    /// The binding that has this method and a template of the same shape already.
    pub(crate) fn insert(&mut self, template: &Template, method: Verb, binding: usize) -> Result<(), usize> {
        let mut node = &mut self.root;
        let mut at_rest = false;
        for segment in &template.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::One => node.one.get_or_insert_default(),
                Segment::Rest => {
                    at_rest = true;
                    break;
                }
            };
        }
        let leaf = if at_rest { &mut node.rest } else { &mut node.end };
        if let Some(other) = leaf
            .iter()
            .find(|entry| entry.custom_verb == template.verb && entry.method == method)
        {
            return Err(other.binding);
        }
        self.verbs.extend(template.verb.clone());
        leaf.push(Entry {
            custom_verb: template.verb.clone(),
            method,
            binding,
        });
        Ok(())
    }

    pub(crate) fn find<'p>(&self, method: &Method, path: &'p str) -> Found<'p> {
        let Some(inside) = path.strip_prefix('/') else {
            return Found::Nothing;
        };
        let mut segments: Vec<&str> = if inside.is_empty() {
            Vec::new()
        } else {
            inside.split('/').collect()
        };
        let mut others = BTreeSet::new();
        // Behind a colon stands a verb if any template has it; else it belongs to the segment.
        let verb = segments
            .last()
            .and_then(|last| last.rsplit_once(':'))
            .filter(|(_, verb)| self.verbs.contains(*verb));
        if let Some((head, verb)) = verb
            && let Some(last) = segments.pop()
        {
            segments.push(head);
            if let Some(binding) = search(&self.root, &segments, Some(verb), method, &mut others) {
                return Found::Binding { binding, segments };
            }
            segments.pop();
            segments.push(last);
        }
        if let Some(binding) = search(&self.root, &segments, None, method, &mut others) {
            return Found::Binding { binding, segments };
        }
        if others.is_empty() {
            Found::Nothing
        } else {
            Found::OtherMethods(others)
        }
    }
}

/// Each node is visited once at most, for its depth is the position in the path; templates bound the depth.
fn search(
    node: &Node,
    segments: &[&str],
    verb: Option<&str>,
    method: &Method,
    others: &mut BTreeSet<String>,
) -> Option<usize> {
    let found = match segments.split_first() {
        None => choose(&node.end, verb, method, others),
        Some((first, rest)) => node
            .literals
            .get(*first)
            .and_then(|next| search(next, rest, verb, method, others))
            .or_else(|| {
                let next = node.one.as_deref().filter(|_| !first.is_empty())?;
                search(next, rest, verb, method, others)
            }),
    };
    found.or_else(|| choose(&node.rest, verb, method, others))
}

fn choose(leaf: &Leaf, verb: Option<&str>, method: &Method, others: &mut BTreeSet<String>) -> Option<usize> {
    let fitting = || leaf.iter().filter(|entry| entry.custom_verb.as_deref() == verb);
    let named = |wanted: &str| {
        fitting()
            .find(|entry| matches!(&entry.method, Verb::Named(name) if name == wanted))
            .map(|entry| entry.binding)
    };
    let found = named(method.as_str())
        // Who answers GET answers HEAD (RFC 9110 section 9.1).
        .or_else(|| {
            if *method == Method::HEAD {
                named("GET")
            } else {
                None
            }
        })
        .or_else(|| {
            fitting()
                .find(|entry| entry.method == Verb::Any)
                .map(|entry| entry.binding)
        });
    if found.is_none() {
        others.extend(fitting().filter_map(|entry| match &entry.method {
            Verb::Named(name) => Some(name.clone()),
            Verb::Any => None,
        }));
    }
    found
}
