//! Two documents, compared: which findings there are. Every rule of the table is decided below here.

mod bodies;
mod components;
mod headers;
mod lifecycle;
mod media;
mod operations;
mod parameters;
mod parameters_bounds;
mod parameters_matching;
mod paths;
mod schema_bounds;
mod schema_members;
mod schema_properties;
mod schema_rules;
mod schema_values;
mod security;
mod stability;
mod types;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::date::Date;
use crate::delta::{Delta, Graph};
use crate::document::{Mark, Spec};
use crate::error::ContractError;
use crate::finding::{Finding, Place};
use crate::rules::{self, Level};

/// Whose judgement counts where ours differs from the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Ours: security is judged by who is refused, parameters of a path count for its operations.
    #[default]
    Strict,
    /// What oasdiff says, rule by rule and level by level.
    Oasdiff,
}

/// How to judge.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The day on which sunsets are looked at.
    pub today: Date,
    pub profile: Profile,
    /// Days that a stable part has to stay after it was deprecated; 0 asks for no sunset.
    pub deprecation_days_stable: u32,
    /// The same for parts whose `x-stability-level` is beta.
    pub deprecation_days_beta: u32,
    /// Levels that differ from the table's; nothing switches a rule off.
    pub levels: BTreeMap<&'static str, Option<Level>>,
}

impl Settings {
    pub fn new(today: Date) -> Self {
        Self {
            today,
            profile: Profile::default(),
            deprecation_days_stable: 0,
            deprecation_days_beta: 0,
            levels: BTreeMap::new(),
        }
    }
}

/// Findings of one comparison.
const FINDINGS_MAX: usize = 200_000;

/// What a client written against `base` meets in `revision`, worst first.
///
/// # Errors
/// The documents cannot be compared: a reference leads nowhere, a part is malformed, a limit is
/// passed. Then nothing at all is said about them.
pub fn compare(base: &Spec, revision: &Spec, settings: &Settings) -> Result<Vec<Finding>, ContractError> {
    let mut comparison = Comparison {
        graph: Graph::new(base, revision),
        base,
        revision,
        settings,
        findings: Vec::new(),
        files: BTreeMap::new(),
    };
    comparison.paths()?;
    comparison.webhooks()?;
    comparison.components()?;
    comparison.security()?;
    let mut findings = comparison.findings;
    findings.sort_by(|a, b| a.key().cmp(&b.key()));
    let mut seen = BTreeSet::new();
    findings.retain(|it| seen.insert((it.rule.id, it.method, it.path.clone(), it.text.clone())));
    Ok(findings)
}

/// The operation that a finding belongs to.
#[derive(Debug, Clone)]
struct Spot {
    method: Option<&'static str>,
    path: Option<Arc<str>>,
    operation_id: Option<Arc<str>>,
}

impl Spot {
    const NOWHERE: Self = Self {
        method: None,
        path: None,
        operation_id: None,
    };
}

/// A finding in the making.
#[derive(Debug)]
struct Said {
    rule: &'static str,
    text: String,
    values: (Option<String>, Option<String>),
    base: Mark,
    revision: Mark,
}

impl Said {
    fn new(rule: &'static str, text: impl Into<String>, base: Mark, revision: Mark) -> Self {
        Self {
            rule,
            text: text.into(),
            values: (None, None),
            base,
            revision,
        }
    }

    fn with_values(mut self, from: impl Into<Option<String>>, to: impl Into<Option<String>>) -> Self {
        self.values = (from.into(), to.into());
        self
    }
}

struct Comparison<'s> {
    graph: Graph<'s>,
    base: &'s Spec,
    revision: &'s Spec,
    settings: &'s Settings,
    findings: Vec<Finding>,
    /// One copy of each file's name, by side and number.
    files: BTreeMap<(bool, u32), Arc<str>>,
}

impl Comparison<'_> {
    fn is_strict(&self) -> bool {
        self.settings.profile == Profile::Strict
    }

    fn say(&mut self, spot: &Spot, said: Said) -> Result<(), ContractError> {
        self.say_at(spot, said, None)
    }

    /// Says it unless the change at `delta` is explained by a finding of its own.
    fn say_of(&mut self, spot: &Spot, said: Said, delta: &Delta) -> Result<(), ContractError> {
        let Some(rule) = rules::rule(said.rule) else {
            return Err(unknown_rule(said.rule));
        };
        if delta.explains(rule, self.base, self.revision) {
            return Ok(());
        }
        self.say_at(spot, said, None)
    }

    /// Says it, at a level that replaces the table's unless the settings name one.
    fn say_at(&mut self, spot: &Spot, said: Said, level: Option<Level>) -> Result<(), ContractError> {
        let Some(rule) = rules::rule(said.rule) else {
            return Err(unknown_rule(said.rule));
        };
        let level = match self.settings.levels.get(rule.id) {
            Some(None) => return Ok(()),
            Some(Some(level)) => *level,
            None => level.unwrap_or(rule.level),
        };
        if self.findings.len() >= FINDINGS_MAX {
            return Err(ContractError::Limit {
                what: "findings".to_owned(),
                limit: FINDINGS_MAX as u64,
            });
        }
        let (base, revision) = (self.place(true, said.base), self.place(false, said.revision));
        self.findings.push(Finding {
            rule,
            level,
            method: spot.method,
            path: spot.path.clone(),
            operation_id: spot.operation_id.clone(),
            text: said.text,
            from: said.values.0,
            to: said.values.1,
            base,
            revision,
        });
        Ok(())
    }

    fn place(&mut self, is_base: bool, mark: Mark) -> Place {
        let spec = if is_base { self.base } else { self.revision };
        let file = self
            .files
            .entry((is_base, mark.file))
            .or_insert_with(|| spec.file_name(mark).into());
        Place {
            file: Arc::clone(file),
            line: mark.line,
            column: mark.column,
        }
    }
}

/// A name that the table lacks is a mistake of this crate, and still no reason to say nothing.
fn unknown_rule(id: &str) -> ContractError {
    ContractError::Policy {
        file: "rules".to_owned(),
        what: format!("no rule is called `{id}`: please report this"),
    }
}
