//! From JSON to a [`Rule`]: what is not understood, or cannot mean what its author meant, is told here with its place.

mod fractional;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    json::{Json, Node},
    limits::{RULE_DEPTH_MAX, RULE_NODES_MAX, SET_NODES_MAX},
    problem::{Path, Problems},
    rule::{Comparison, Rule, VersionTest, version},
};

/// Every operator, as problems list them.
const OPERATORS: &str = "var, ==, !=, ===, !==, !, !!, and, or, if, in, <, <=, >, >=, +, -, *, /, %, cat, starts_with, \
     ends_with, sem_ver, fractional, $ref";

/// A named rule of the document, which `$ref` stands for.
#[derive(Debug, Clone, Copy)]
pub struct Evaluator<'a> {
    pub layer: usize,
    pub node: &'a Node,
}

/// Compiles the rules of one document.
#[derive(Debug)]
pub struct Checker<'a, 'p, 'l> {
    evaluators: &'p BTreeMap<&'a str, Evaluator<'a>>,
    problems: &'p mut Problems<'l>,
    /// Nodes of all rules so far.
    nodes: usize,
    /// The same when this rule began.
    nodes_before: usize,
    /// Evaluators that are being written out, the outermost first.
    inside: Vec<&'a str>,
    layer: usize,
}

/// What a rule's result is for.
#[derive(Clone, Copy)]
enum Use<'v> {
    /// It names the variant of this flag.
    Variant(&'v str, &'v BTreeMap<String, Value>),
    Operand,
}

/// A place in a rule: its node, the way there, and how many operations may still be within each other.
#[derive(Clone, Copy)]
struct Here<'a, 'b> {
    node: &'a Node,
    path: &'b Path<'b>,
    depth_left: usize,
}

impl<'a, 'p, 'l> Checker<'a, 'p, 'l> {
    pub fn new(evaluators: &'p BTreeMap<&'a str, Evaluator<'a>>, problems: &'p mut Problems<'l>) -> Self {
        Self {
            evaluators,
            problems,
            nodes: 0,
            nodes_before: 0,
            inside: Vec::new(),
            layer: 0,
        }
    }

    pub fn problems(&mut self) -> &mut Problems<'l> {
        self.problems
    }

    /// The rule of a flag with these variants. `None`: problems were told.
    pub fn targeting(
        &mut self,
        layer: usize,
        node: &'a Node,
        path: &Path<'_>,
        (flag, variants): (&str, &BTreeMap<String, Value>),
    ) -> Option<Rule> {
        self.start(layer);
        let here = Here {
            node,
            path,
            depth_left: RULE_DEPTH_MAX,
        };
        self.rule(here, Use::Variant(flag, variants))
    }

    /// An evaluator by itself, whether or not anybody refers to it.
    pub fn evaluator(&mut self, name: &'a str, evaluator: Evaluator<'a>, path: &Path<'_>) {
        self.start(evaluator.layer);
        self.inside.push(name);
        let here = Here {
            node: evaluator.node,
            path,
            depth_left: RULE_DEPTH_MAX,
        };
        let _ = self.rule(here, Use::Operand);
    }

    fn start(&mut self, layer: usize) {
        self.layer = layer;
        self.nodes_before = self.nodes;
        self.inside.clear();
    }

    fn wrong<T>(&mut self, here: Here<'_, '_>, message: impl Into<String>) -> Option<T> {
        self.problems.add((self.layer, here.node.at), here.path, message);
        None
    }

    fn rule(&mut self, here: Here<'a, '_>, used: Use<'_>) -> Option<Rule> {
        self.nodes += 1;
        if self.nodes - self.nodes_before > RULE_NODES_MAX {
            // Told once: whoever asks again is beyond it too.
            if self.nodes - self.nodes_before == RULE_NODES_MAX + 1 {
                let message =
                    format!("the rule has more than {RULE_NODES_MAX} parts, references written out");
                return self.wrong(here, message);
            }
            return None;
        }
        if self.nodes > SET_NODES_MAX {
            return self.wrong(
                here,
                format!("all rules together have more than {SET_NODES_MAX} parts"),
            );
        }
        if here.depth_left == 0 {
            let message =
                format!("more than {RULE_DEPTH_MAX} operations within each other, references written out");
            return self.wrong(here, message);
        }
        match &here.node.json {
            Json::Object(members) => {
                let [member] = members.as_slice() else {
                    let message = format!("an operation has one name, this object has {}", members.len());
                    return self.wrong(here, message);
                };
                let path = here.path.key(&member.key);
                let inner = Here {
                    node: &member.value,
                    path: &path,
                    depth_left: here.depth_left - 1,
                };
                self.operation(here, &member.key, inner, used)
            }
            Json::Array(items) => {
                if let Use::Variant(flag, _) = used {
                    return self.wrong(here, format!("an array is no variant of {flag}"));
                }
                let rules = self.all(items, here, Use::Operand)?;
                Some(match rules.iter().map(literal).collect::<Option<Vec<Value>>>() {
                    Some(values) => Rule::Literal(Value::Array(values)),
                    None => Rule::Array(rules.into()),
                })
            }
            _ => self.literal(here, used),
        }
    }

    fn literal(&mut self, here: Here<'a, '_>, used: Use<'_>) -> Option<Rule> {
        let value = here.node.to_value();
        if let Use::Variant(flag, variants) = used {
            let name = match &value {
                Value::Null => None,
                Value::String(name) => Some(name.clone()),
                other => Some(other.to_string()),
            };
            if let Some(name) = name
                && !variants.contains_key(&name)
            {
                let known: Vec<&str> = variants.keys().map(String::as_str).take(20).collect();
                let message = format!("{name:?} is no variant of {flag}; there is {}", known.join(", "));
                return self.wrong(here, message);
            }
        }
        Some(Rule::Literal(value))
    }

    /// Every member of an array, so that all problems are told at once.
    fn all(&mut self, items: &'a [Node], here: Here<'a, '_>, used: Use<'_>) -> Option<Vec<Rule>> {
        let mut rules = Vec::with_capacity(items.len());
        for (index, node) in items.iter().enumerate() {
            let path = here.path.index(index);
            let item = Here {
                node,
                path: &path,
                ..here
            };
            rules.push(self.rule(item, used));
        }
        rules.into_iter().collect()
    }

    fn operation(
        &mut self,
        here: Here<'a, '_>,
        name: &'a str,
        inner: Here<'a, '_>,
        used: Use<'_>,
    ) -> Option<Rule> {
        match name {
            "var" => self.var(inner),
            "$ref" => self.reference(inner, used),
            "fractional" => self.fractional(inner, used),
            "if" => self.branches(inner, used),
            "sem_ver" => self.sem_ver(inner),
            _ => self.plain_operation(here, name, inner),
        }
    }

    /// Those whose arguments are all alike.
    fn plain_operation(&mut self, here: Here<'a, '_>, name: &str, inner: Here<'a, '_>) -> Option<Rule> {
        let most = usize::MAX;
        let (least, most) = match name {
            "!" | "!!" => (1, 1),
            "==" | "!=" | "===" | "!==" | "in" | "/" | "%" | "starts_with" | "ends_with" => (2, 2),
            "<" | "<=" | ">" | ">=" => (2, 3),
            "-" => (1, 2),
            "and" | "or" | "+" | "*" | "cat" => (1, most),
            _ => {
                let message = format!("unknown operator {name:?}; there is {OPERATORS}");
                return self.wrong(here, message);
            }
        };
        let mut rules = match &inner.node.json {
            Json::Array(items) => self.all(items, inner, Use::Operand)?,
            // A single argument needs no brackets.
            _ => vec![self.rule(inner, Use::Operand)?],
        };
        if !(least..=most).contains(&rules.len()) {
            let wanted = match (least, most) {
                (1, usize::MAX) => "1 or more arguments".to_owned(),
                (1, 1) => "1 argument".to_owned(),
                (least, most) if least == most => format!("{least} arguments"),
                (least, most) => format!("{least} or {most} arguments"),
            };
            return self.wrong(inner, format!("{name:?} takes {wanted}, not {}", rules.len()));
        }
        let equal = |strict, negated, sides| Rule::Equal {
            strict,
            negated,
            sides,
        };
        let compare = |comparison, rules: Vec<Rule>| Rule::Compare(comparison, rules.into());
        Some(match name {
            "==" => equal(false, false, two(rules)?),
            "!=" => equal(false, true, two(rules)?),
            "===" => equal(true, false, two(rules)?),
            "!==" => equal(true, true, two(rules)?),
            "!" => Rule::Not(Box::new(rules.pop()?)),
            "!!" => Rule::Truth(Box::new(rules.pop()?)),
            "and" => Rule::And(rules.into()),
            "or" => Rule::Or(rules.into()),
            "in" => Rule::In(two(rules)?),
            "<" => compare(Comparison::Less, rules),
            "<=" => compare(Comparison::LessOrEqual, rules),
            ">" => compare(Comparison::Greater, rules),
            ">=" => compare(Comparison::GreaterOrEqual, rules),
            "+" => Rule::Sum(rules.into()),
            "*" => Rule::Product(rules.into()),
            "-" if rules.len() == 1 => Rule::Negative(Box::new(rules.pop()?)),
            "-" => Rule::Difference(two(rules)?),
            "/" => Rule::Quotient(two(rules)?),
            "%" => Rule::Remainder(two(rules)?),
            "cat" => Rule::Cat(rules.into()),
            "starts_with" => Rule::StartsWith(two(rules)?),
            _ => Rule::EndsWith(two(rules)?),
        })
    }

    fn var(&mut self, inner: Here<'a, '_>) -> Option<Rule> {
        let (name, or) = match &inner.node.json {
            Json::Array(items) => match items.as_slice() {
                [name] => (name, None),
                [name, or] => (name, Some(or)),
                _ => {
                    return self.wrong(
                        inner,
                        "\"var\" takes a name and perhaps a value for when it is missing",
                    );
                }
            },
            _ => (inner.node, None),
        };
        let Json::String(name) = &name.json else {
            let message = format!("the name of an attribute is a string here, not {}", name.what());
            return self.wrong(inner, message);
        };
        if name.split('.').any(str::is_empty) {
            let message = format!("{name:?} names no attribute: a name, or several with dots between");
            return self.wrong(inner, message);
        }
        match name.strip_prefix("$flagd.") {
            Some("flagKey") => return Some(Rule::FlagKey),
            Some("timestamp") => return Some(Rule::Timestamp),
            None if name != "$flagd" => {}
            _ => {
                let message = format!("there is no {name}; there is $flagd.flagKey and $flagd.timestamp");
                return self.wrong(inner, message);
            }
        }
        let or = match or {
            Some(node) => {
                let path = inner.path.index(1);
                let path = &path;
                let or = Here { node, path, ..inner };
                Some(Box::new(self.rule(or, Use::Operand)?))
            }
            None => None,
        };
        Some(Rule::Var {
            path: name.split('.').map(str::to_owned).collect(),
            or,
        })
    }

    /// The rule that the name stands for takes the reference's place.
    fn reference(&mut self, inner: Here<'a, '_>, used: Use<'_>) -> Option<Rule> {
        let Json::String(name) = &inner.node.json else {
            let message = format!(
                "\"$ref\" takes the name of an evaluator, not {}",
                inner.node.what()
            );
            return self.wrong(inner, message);
        };
        let Some(evaluator) = self.evaluators.get(name.as_str()).copied() else {
            let known: Vec<&str> = self.evaluators.keys().copied().take(20).collect();
            let there_is = if known.is_empty() {
                "there is none under \"$evaluators\"".to_owned()
            } else {
                format!("there is {}", known.join(", "))
            };
            return self.wrong(inner, format!("no evaluator is called {name:?}; {there_is}"));
        };
        if let Some(at) = self.inside.iter().position(|outer| outer == name) {
            let round: Vec<&str> = self.inside[at..].iter().copied().chain([name.as_str()]).collect();
            return self.wrong(
                inner,
                format!("evaluators go round in a circle: {}", round.join(" -> ")),
            );
        }
        let outer_layer = std::mem::replace(&mut self.layer, evaluator.layer);
        self.inside.push(name);
        let root = Path::ROOT;
        let folder = root.key("$evaluators");
        let path = folder.key(name);
        let target = Here {
            node: evaluator.node,
            path: &path,
            depth_left: inner.depth_left,
        };
        let rule = self.rule(target, used);
        self.inside.pop();
        self.layer = outer_layer;
        rule
    }

    fn branches(&mut self, inner: Here<'a, '_>, used: Use<'_>) -> Option<Rule> {
        let items = match &inner.node.json {
            Json::Array(items) if items.len() >= 2 => items,
            _ => {
                return self.wrong(
                    inner,
                    "\"if\" takes a condition, a result, and perhaps more of both and an else",
                );
            }
        };
        let mut rules = Vec::with_capacity(items.len());
        for (index, node) in items.iter().enumerate() {
            let path = inner.path.index(index);
            let is_condition = index % 2 == 0 && index + 1 < items.len();
            let used = if is_condition { Use::Operand } else { used };
            let path = &path;
            rules.push(self.rule(Here { node, path, ..inner }, used));
        }
        Some(Rule::If(rules.into_iter().collect::<Option<Vec<_>>>()?.into()))
    }

    fn sem_ver(&mut self, inner: Here<'a, '_>) -> Option<Rule> {
        let Json::Array(items) = &inner.node.json else {
            return self.wrong(inner, "\"sem_ver\" takes a version, an operator and a version");
        };
        let [_, operator, _] = items.as_slice() else {
            let message = format!(
                "\"sem_ver\" takes a version, an operator and a version, not {} arguments",
                items.len()
            );
            return self.wrong(inner, message);
        };
        let test = match &operator.json {
            Json::String(text) => VersionTest::of(text),
            _ => None,
        };
        let Some(test) = test else {
            let path = inner.path.index(1);
            let here = Here {
                node: operator,
                path: &path,
                ..inner
            };
            return self.wrong(
                here,
                "the operator of \"sem_ver\" is one of =, !=, <, <=, >, >=, ^, ~",
            );
        };
        let mut sides = Vec::new();
        for index in [0, 2] {
            let path = inner.path.index(index);
            let here = Here {
                node: &items[index],
                path: &path,
                ..inner
            };
            if let Json::String(text) = &here.node.json
                && version(text).is_none()
            {
                return self.wrong(here, format!("{text:?} is no version; one is like 1.2.3"));
            }
            sides.push(self.rule(here, Use::Operand)?);
        }
        Some(Rule::SemVer(test, two(sides)?))
    }
}

fn literal(rule: &Rule) -> Option<Value> {
    match rule {
        Rule::Literal(value) => Some(value.clone()),
        _ => None,
    }
}

/// `None` only where the number of arguments was not looked at.
fn two(rules: Vec<Rule>) -> Option<Box<[Rule; 2]>> {
    rules.try_into().ok().map(Box::new)
}
