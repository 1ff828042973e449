//! `${name}` in a plan's texts, replaced before a gate runs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error::PlanError;
use crate::plan::{ArtifactRef, Plan};
use crate::spec::{Count, GateKind, HopSource, Protocol, ReplayCredentials, ReplayRequest, Traffic};

/// Names to values, e.g. `gateway` to `http://127.0.0.1:8080`.
pub type Variables = BTreeMap<String, String>;

/// Where a plan uses a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VariableUse {
    pub name: String,
    /// 1-based.
    pub line: u32,
    /// 1-based, of the text that holds it.
    pub column: u32,
}

/// The names of the variables in a text, in their order.
///
/// # Errors
/// A `${` that is never closed, or a name that is not letters, digits, `_`, `.` or `-`.
pub fn variables_in(text: &str) -> Result<Vec<&str>, String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let after = &rest[start + 2..];
        let end = after
            .find('}')
            .ok_or_else(|| format!("`{text}` opens a variable and never closes it"))?;
        let name = &after[..end];
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        {
            return Err(format!("`${{{name}}}` is not the name of a variable"));
        }
        names.push(name);
        rest = &after[end + 1..];
    }
    Ok(names)
}

impl Plan {
    /// Whether every variable that the plan uses is among `known`.
    ///
    /// # Errors
    /// The first use of an unknown variable, with its place and the known names.
    pub fn check_variables<'a>(&self, known: impl IntoIterator<Item = &'a str>) -> Result<(), PlanError> {
        let known: Vec<&str> = known.into_iter().collect();
        match self
            .variables
            .iter()
            .find(|usage| !known.contains(&usage.name.as_str()))
        {
            None => Ok(()),
            Some(usage) => Err(self.unknown(usage, &known)),
        }
    }

    /// What a gate has to run, with every variable replaced, so that every [`Count`] is a
    /// number.
    ///
    /// # Errors
    /// No such gate, a variable that is not in `variables`, or one whose value is no number
    /// where a number must stand.
    pub fn resolve_gate(
        &self,
        item: &str,
        gate: &str,
        rehearsal: bool,
        variables: &Variables,
    ) -> Result<GateKind, PlanError> {
        let found = self.gate(item, gate).ok_or_else(|| {
            self.error_at(
                1,
                1,
                format!("no gate `{gate}` in item `{item}`"),
                "a gate of the plan".to_owned(),
            )
        })?;
        Resolver {
            plan: self,
            line: found.line,
            variables,
        }
        .kind(found.kind_for(rehearsal))
    }

    /// An artifact's path with every variable replaced.
    ///
    /// # Errors
    /// A variable that is not in `variables`.
    pub fn resolve_artifact(
        &self,
        artifact: &ArtifactRef,
        variables: &Variables,
    ) -> Result<String, PlanError> {
        Resolver {
            plan: self,
            line: artifact.line,
            variables,
        }
        .text(&artifact.path)
    }

    fn unknown(&self, usage: &VariableUse, known: &[&str]) -> PlanError {
        self.error_at(
            usage.line,
            usage.column,
            format!("unknown variable `${{{}}}`", usage.name),
            format!(
                "one of {}",
                if known.is_empty() {
                    "none (no variable is defined)".to_owned()
                } else {
                    known.join(", ")
                }
            ),
        )
    }

    fn error_at(&self, line: u32, column: u32, what: String, expected: String) -> PlanError {
        PlanError {
            file: self.file.clone(),
            line,
            column,
            what,
            expected,
        }
    }
}

struct Resolver<'a> {
    plan: &'a Plan,
    /// Line from which on the texts stand.
    line: u32,
    variables: &'a Variables,
}

impl Resolver<'_> {
    /// Replaces each variable once; a value is never read for variables again.
    fn text(&self, text: &str) -> Result<String, PlanError> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let Some(end) = rest[start..].find('}') else { break };
            let name = &rest[start + 2..start + end];
            let value = self.variables.get(name).ok_or_else(|| {
                let known: Vec<&str> = self.variables.keys().map(String::as_str).collect();
                self.plan.unknown(&self.place(name), &known)
            })?;
            out.push_str(&rest[..start]);
            out.push_str(value);
            rest = &rest[start + end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn place(&self, name: &str) -> VariableUse {
        self.plan
            .variables
            .iter()
            .find(|usage| usage.name == name && usage.line >= self.line)
            .cloned()
            .unwrap_or(VariableUse {
                name: name.to_owned(),
                line: self.line,
                column: 1,
            })
    }

    fn texts(&self, map: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, PlanError> {
        map.iter()
            .map(|(key, value)| Ok((key.clone(), self.text(value)?)))
            .collect()
    }

    fn count(&self, count: &Count, least: u32) -> Result<Count, PlanError> {
        let Count::Variable(source) = count else {
            return Ok(count.clone());
        };
        let text = self.text(source)?;
        text.trim()
            .parse()
            .ok()
            .filter(|number| *number >= least)
            .map(Count::Number)
            .ok_or_else(|| {
                let name = variables_in(source)
                    .ok()
                    .and_then(|names| names.first().copied())
                    .unwrap_or_default();
                let place = self.place(name);
                self.plan.error_at(
                    place.line,
                    place.column,
                    format!("`{source}` is `{text}`"),
                    format!("a whole number of at least {least}"),
                )
            })
    }

    fn traffic(&self, traffic: &Traffic) -> Result<Traffic, PlanError> {
        Ok(Traffic {
            target: self.text(&traffic.target)?,
            players: self.count(&traffic.players, 1)?,
            arrivals_s: traffic.arrivals_s,
            think_ms: traffic.think_ms,
            protocol: match &traffic.protocol {
                Protocol::Starvault => Protocol::Starvault,
                Protocol::Http {
                    method,
                    path,
                    headers,
                    rate_per_s,
                } => Protocol::Http {
                    method: method.clone(),
                    path: self.text(path)?,
                    headers: self.texts(headers)?,
                    rate_per_s: *rate_per_s,
                },
            },
        })
    }

    fn kind(&self, kind: &GateKind) -> Result<GateKind, PlanError> {
        let mut resolved = kind.clone();
        match &mut resolved {
            GateKind::Load(spec) => spec.traffic = self.traffic(&spec.traffic)?,
            GateKind::Recovery(spec) => {
                spec.target = self.text(&spec.target)?;
                spec.players = self.count(&spec.players, 2)?;
            }
            GateKind::Canary(spec) => {
                for text in spec.texts_mut() {
                    *text = self.text(text)?;
                }
                spec.traffic = spec
                    .traffic
                    .as_ref()
                    .map(|traffic| self.traffic(traffic))
                    .transpose()?;
            }
            GateKind::Http(spec) => {
                spec.url = self.text(&spec.url)?;
                spec.headers = self.texts(&spec.headers)?;
                spec.body = spec.body.as_ref().map(|body| self.text(body)).transpose()?;
                spec.expect_headers = self.texts(&spec.expect_headers)?;
                for value in spec.expect_json.values_mut() {
                    self.value(value)?;
                }
                if let Some(split) = &mut spec.split {
                    let mut shares = BTreeMap::new();
                    for (release, share) in &split.shares {
                        shares.insert(self.text(release)?, *share);
                    }
                    split.shares = shares;
                }
            }
            GateKind::Command(spec) => {
                for word in &mut spec.argv {
                    *word = self.text(word)?;
                }
                spec.cwd = spec.cwd.as_ref().map(|cwd| self.text(cwd)).transpose()?;
            }
            GateKind::Sessions(spec) => {
                spec.target = self.text(&spec.target)?;
                for request in &mut spec.requests {
                    self.request(request)?;
                }
                spec.recorded = spec.recorded.as_ref().map(|path| self.text(path)).transpose()?;
                match &mut spec.credentials {
                    ReplayCredentials::Listed(players) => {
                        for player in players {
                            player.token = self.texts(&player.token)?;
                            player.session = self.texts(&player.session)?;
                        }
                    }
                    ReplayCredentials::Command { argv, .. } => {
                        for word in argv {
                            *word = self.text(word)?;
                        }
                    }
                }
            }
            GateKind::Deadlines(spec) => {
                spec.target = self.text(&spec.target)?;
                self.request(&mut spec.request)?;
                self.request(&mut spec.slow.request)?;
                if let Some(target) = spec.grpc.as_mut().and_then(|grpc| grpc.target.as_mut()) {
                    *target = self.text(target)?;
                }
                for hop in &mut spec.hops {
                    match &mut hop.source {
                        HopSource::Gateway { path } | HopSource::Nginx { path, .. } => {
                            *path = self.text(path)?;
                        }
                        HopSource::Given(_) => {}
                    }
                }
            }
            GateKind::ToCome { .. } => {}
        }
        Ok(resolved)
    }

    fn request(&self, request: &mut ReplayRequest) -> Result<(), PlanError> {
        request.path = self.text(&request.path)?;
        request.headers = self.texts(&request.headers)?;
        request.body = request.body.as_ref().map(|body| self.text(body)).transpose()?;
        Ok(())
    }

    fn value(&self, value: &mut Value) -> Result<(), PlanError> {
        match value {
            Value::String(text) => *text = self.text(text)?,
            Value::Array(items) => {
                for item in items {
                    self.value(item)?;
                }
            }
            Value::Object(map) => {
                for item in map.values_mut() {
                    self.value(item)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }
}
