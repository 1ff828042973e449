//! Sends the cases of a document to a running service, one after the other, and has the answers judged.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Client, Method, Url};
use serde::Serialize;
use serde_json::Value;
use tminus_conformance::{Answer, Case, CaseKind, Finding, Hints, Judge, Operation, Pair, Spec, cases};

use crate::gates::{CouldNotRun, http};

/// An answer's body is read up to this length.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Findings that a report keeps; all are counted.
const FINDINGS_MAX: usize = 500;

/// A value out of the answer to an operation: `OPERATION#/json/pointer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub operation: String,
    pub pointer: String,
}

impl std::str::FromStr for Taken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('#') {
            Some((operation, pointer)) if !operation.is_empty() && pointer.starts_with('/') => Ok(Self {
                operation: operation.to_owned(),
                pointer: pointer.to_owned(),
            }),
            _ => Err("expected OPERATION#/json/pointer, e.g. signIn#/accessToken".to_owned()),
        }
    }
}

/// What is to be checked, and with what.
#[derive(Debug, Clone)]
pub struct Check {
    pub url: Url,
    pub hints: Hints,
    /// Values for parameters and fields, by name, out of earlier answers.
    pub taken: Vec<(String, Taken)>,
    /// A bearer token out of an earlier answer.
    pub bearer: Option<Taken>,
    /// These operations only; all if empty.
    pub only: Vec<String>,
    pub timeout: Duration,
}

/// A finding with the request that showed it.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    pub finding: Finding,
    pub case: CaseKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Method and target, without headers: they may hold a credential.
    pub request: String,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub operations: usize,
    pub requests: usize,
    /// How many findings there are, the ones that are not listed too.
    pub findings_total: usize,
    pub findings: Vec<Shown>,
    /// Operations that could not be called, with the reason.
    pub not_called: BTreeMap<String, String>,
    /// Pairs of operation and status that are declared.
    pub declared: usize,
    pub seen: usize,
    pub never_seen: Vec<Pair>,
}

impl Report {
    /// Whether every operation was called and nothing was found. What is declared and was never seen is told, and
    /// is no failure: a status may need what no request from outside can bring about.
    pub fn passed(&self) -> bool {
        self.findings_total == 0 && self.not_called.is_empty() && self.operations > 0
    }
}

/// # Errors
/// The document or what was given with it does not fit, or nothing answers at all.
pub async fn run(
    spec: &Spec,
    check: &Check,
    progress: impl Fn(usize, usize, &str),
) -> Result<Report, CouldNotRun> {
    let client = http::client()?;
    let mut judge = Judge::new(spec).map_err(|error| CouldNotRun::new(error.to_string()))?;
    let chosen = chosen(spec, check)?;
    let mut report = Report {
        operations: chosen.len(),
        declared: chosen.iter().map(|operation| operation.statuses().count()).sum(),
        ..Report::default()
    };
    let mut hints = check.hints.clone();
    let mut answered = false;
    for (n, operation) in chosen.iter().enumerate() {
        progress(n, chosen.len(), &operation.id);
        let made = match cases(spec, operation, &hints) {
            Ok(made) => made,
            Err(why) => {
                report.not_called.insert(operation.id.clone(), why);
                continue;
            }
        };
        for case in made {
            let answer = match send(&client, check, &case).await {
                Ok(answer) => answer,
                Err(why) if !answered => {
                    return Err(CouldNotRun::new(format!("{} gives no answer: {why}", check.url))
                        .hint("is the service running, and is --url its base address?"));
                }
                Err(why) => {
                    let entry = report.not_called.entry(operation.id.clone());
                    entry.or_insert_with(|| format!("no answer to {}: {why}", shown(&case)));
                    continue;
                }
            };
            answered = true;
            report.requests += 1;
            if case.kind == CaseKind::Valid {
                take(check, &operation.id, &answer, &mut hints);
            }
            for finding in judge.judge(&case, &answer) {
                report.findings_total += 1;
                if report.findings.len() < FINDINGS_MAX {
                    report.findings.push(Shown {
                        finding,
                        case: case.kind,
                        about: case.about.clone(),
                        request: shown(&case),
                    });
                }
            }
        }
    }
    report.seen = judge.seen();
    report.never_seen = judge.never_seen();
    report
        .never_seen
        .retain(|pair| chosen.iter().any(|operation| operation.id == pair.operation));
    Ok(report)
}

/// The operations to call: first those whose answers others need.
fn chosen<'s>(spec: &'s Spec, check: &Check) -> Result<Vec<&'s Operation>, CouldNotRun> {
    let known = |id: &str| {
        spec.operation(id).ok_or_else(|| {
            let ids: Vec<&str> = spec
                .operations
                .iter()
                .map(|operation| operation.id.as_str())
                .collect();
            CouldNotRun::new(format!("the document has no operation `{id}`"))
                .hint(format!("its operations are {}", ids.join(", ")))
        })
    };
    let mut first = Vec::new();
    for taken in check
        .bearer
        .iter()
        .chain(check.taken.iter().map(|(_, taken)| taken))
    {
        let operation = known(&taken.operation)?;
        if !first.iter().any(|it: &&Operation| it.id == operation.id) {
            first.push(operation);
        }
    }
    for id in &check.only {
        known(id)?;
    }
    let wanted = |operation: &&Operation| check.only.is_empty() || check.only.contains(&operation.id);
    let rest = spec.operations.iter().filter(wanted);
    let is_first = |operation: &&Operation| first.iter().any(|it| it.id == operation.id);
    let rest: Vec<&Operation> = rest.filter(|operation| !is_first(operation)).collect();
    first.extend(rest);
    Ok(first)
}

/// Keeps what later requests need of this answer.
fn take(check: &Check, operation: &str, answer: &Answer, hints: &mut Hints) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    for (name, taken) in &check.taken {
        if taken.operation == operation
            && let Some(value) = body.pointer(&taken.pointer)
        {
            hints.values.insert(name.clone(), value.clone());
        }
    }
    if let Some(taken) = &check.bearer
        && taken.operation == operation
        && let Some(token) = body.pointer(&taken.pointer).and_then(Value::as_str)
    {
        hints
            .headers
            .push(("authorization".to_owned(), format!("Bearer {token}")));
        hints.credentials.push("authorization".to_owned());
    }
}

fn shown(case: &Case) -> String {
    format!("{} {}", case.request.method, case.request.target)
}

async fn send(client: &Client, check: &Check, case: &Case) -> Result<Answer, String> {
    let method = Method::from_bytes(case.request.method.as_bytes()).map_err(|error| error.to_string())?;
    let base = check.url.as_str().trim_end_matches('/');
    let mut request = client
        .request(method, format!("{base}{}", case.request.target))
        .timeout(check.timeout);
    for (name, value) in &case.request.headers {
        request = request.header(name, value);
    }
    if let Some(body) = &case.request.body {
        request = request.body(body.clone());
    }
    let mut response = request.send().await.map_err(|error| http::words(&error))?;
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| http::words(&error))? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(format!("its answer is longer than {BODY_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status,
        headers,
        body,
    })
}
