//! What an answer shows, beside what the document declares.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use serde::Serialize;
use serde_json::{Value, json};

use crate::case::{Case, CaseKind};
use crate::document::{Operation, Response, Spec, essence, is_json};
use crate::error::SpecError;
use crate::limits::FINDINGS_MAX;
use crate::schema;

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The status is not declared, not even by `default`.
    UndeclaredStatus,
    /// A status of 500 and more that is not declared by itself.
    ServerError,
    /// What should have been refused was not.
    NotRefused,
    /// The valid request was refused.
    ValidRefused,
    UndeclaredMediaType,
    /// A body that is not what its media type says.
    MalformedBody,
    /// A body that its schema does not allow.
    SchemaViolation,
    /// A field that no schema speaks of.
    UndeclaredField,
    /// A header that is declared as required is missing.
    MissingHeader,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    pub operation: String,
    pub status: u16,
    /// Where in the body, as a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    pub what: String,
}

/// An operation and a status that it declares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Pair {
    pub operation: String,
    /// As the document writes it: `200`, `4XX`, `default`.
    pub status: String,
}

/// Compares answers with one document and remembers what was seen.
pub struct Judge<'s> {
    spec: &'s Spec,
    validators: BTreeMap<(String, String, String), Validator>,
    seen: BTreeSet<Pair>,
}

impl std::fmt::Debug for Judge<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

impl<'s> Judge<'s> {
    /// # Errors
    /// A schema of a response is not valid by itself.
    pub fn new(spec: &'s Spec) -> Result<Self, SpecError> {
        let components = spec.root.get("components").cloned().unwrap_or_else(|| json!({}));
        let mut validators = BTreeMap::new();
        for operation in &spec.operations {
            for (status, response) in &operation.responses {
                for (media_type, schema) in &response.content {
                    let Some(schema) = schema.as_ref().filter(|_| is_json(media_type)) else {
                        continue;
                    };
                    let whole = json!({ "allOf": [schema], "components": components });
                    let validator = jsonschema::draft202012::options()
                        .should_validate_formats(true)
                        .build(&whole)
                        .map_err(|error| {
                            SpecError::at(
                                format!("{}, status {status}, {media_type}", operation.id),
                                format!("its schema cannot be used: {error}"),
                            )
                        })?;
                    validators.insert(
                        (operation.id.clone(), status.clone(), media_type.clone()),
                        validator,
                    );
                }
            }
        }
        Ok(Self {
            spec,
            validators,
            seen: BTreeSet::new(),
        })
    }

    /// What is wrong with an answer; nothing, if it is as declared.
    pub fn judge(&mut self, case: &Case, answer: &Answer) -> Vec<Finding> {
        let Some(operation) = self.spec.operation(&case.operation) else {
            return Vec::new();
        };
        let mut findings = Vec::new();
        let mut say = |kind, pointer: Option<String>, what: String| {
            if findings.len() < FINDINGS_MAX {
                findings.push(Finding {
                    kind,
                    operation: operation.id.clone(),
                    status: answer.status,
                    pointer,
                    what,
                });
            }
        };
        let declared = declared(operation, answer.status);
        if let Some((status, _)) = declared {
            self.seen.insert(Pair {
                operation: operation.id.clone(),
                status: status.to_owned(),
            });
        }
        if answer.status >= 500 && declared.is_none_or(|(status, _)| status == "default" || status == "5XX") {
            let what = "the server failed, and no such failure is declared".to_owned();
            say(FindingKind::ServerError, None, what);
        } else if declared.is_none() {
            let known: Vec<&str> = operation.statuses().collect();
            let what = format!("declared are {}", known.join(", "));
            say(FindingKind::UndeclaredStatus, None, what);
        }
        if let Some(what) = outcome(case.kind, answer.status) {
            let kind = if case.kind == CaseKind::Valid {
                FindingKind::ValidRefused
            } else {
                FindingKind::NotRefused
            };
            say(kind, None, what.to_owned());
        }
        if let Some((status, response)) = declared {
            for name in &response.headers {
                if !answer.headers.iter().any(|(there, _)| there == name) {
                    say(
                        FindingKind::MissingHeader,
                        None,
                        format!("the header `{name}` is not there"),
                    );
                }
            }
            let key = (operation.id.clone(), status.to_owned());
            self.body(&key, response, answer, operation.method == "HEAD", &mut say);
        }
        findings
    }

    fn body(
        &self,
        (operation, status): &(String, String),
        response: &Response,
        answer: &Answer,
        is_head: bool,
        say: &mut dyn FnMut(FindingKind, Option<String>, String),
    ) {
        let header = answer.headers.iter().find(|(name, _)| name == "content-type");
        let media_type = header.map(|(_, value)| essence(value)).unwrap_or_default();
        if is_head || (answer.body.is_empty() && media_type.is_empty()) {
            if !is_head && response.content.keys().any(|declared| is_json(declared)) && answer.status != 304 {
                say(
                    FindingKind::MalformedBody,
                    None,
                    "the answer has no body; one is declared".to_owned(),
                );
            }
            return;
        }
        if response.content.is_empty() {
            if !answer.body.is_empty() {
                let what = format!("a body of `{media_type}` is there; none is declared");
                say(FindingKind::UndeclaredMediaType, None, what);
            }
            return;
        }
        let Some(declared) = response
            .content
            .keys()
            .filter(|declared| matches(declared, &media_type))
            .max_by_key(|it| it.len())
        else {
            let known: Vec<&str> = response.content.keys().map(String::as_str).collect();
            let what = format!("`{media_type}` is answered; declared are {}", known.join(", "));
            say(FindingKind::UndeclaredMediaType, None, what);
            return;
        };
        if !is_json(&media_type) {
            return;
        }
        let value: Value = match serde_json::from_slice(&answer.body) {
            Ok(value) => value,
            Err(error) => {
                say(
                    FindingKind::MalformedBody,
                    None,
                    format!("it is no JSON: {error}"),
                );
                return;
            }
        };
        let key = (operation.clone(), status.clone(), declared.clone());
        let Some(validator) = self.validators.get(&key) else {
            return;
        };
        for error in validator.iter_errors(&value).take(FINDINGS_MAX) {
            let pointer = error.instance_path().to_string();
            say(FindingKind::SchemaViolation, Some(pointer), error.to_string());
        }
        if let Some(Some(of)) = response.content.get(declared) {
            let mut fields = BTreeSet::new();
            schema::undeclared(&self.spec.root, of, &value, &mut fields);
            for pointer in fields {
                say(
                    FindingKind::UndeclaredField,
                    Some(pointer),
                    "no schema speaks of this field".to_owned(),
                );
            }
        }
    }

    /// What is declared and was never answered: `default` and ranges count as seen by any status of theirs.
    pub fn never_seen(&self) -> Vec<Pair> {
        let declared = self.spec.operations.iter().flat_map(|operation| {
            operation.statuses().map(|status| Pair {
                operation: operation.id.clone(),
                status: status.to_owned(),
            })
        });
        declared.filter(|pair| !self.seen.contains(pair)).collect()
    }

    /// How many pairs of operation and status were seen.
    pub fn seen(&self) -> usize {
        self.seen.len()
    }
}

/// What a status is declared as: by itself, by its range, or by `default`.
fn declared(operation: &Operation, status: u16) -> Option<(&str, &Response)> {
    let by_itself = status.to_string();
    let by_range = format!("{}XX", status / 100);
    [by_itself.as_str(), &by_range, "default"]
        .into_iter()
        .find_map(|name| operation.responses.get_key_value(name))
        .map(|(name, response)| (name.as_str(), response))
}

/// Whether a declared media type (`application/*`, `*/*`) takes this one.
fn matches(declared: &str, media_type: &str) -> bool {
    match declared.strip_suffix("/*") {
        Some("*") => true,
        Some(kind) => media_type.split('/').next() == Some(kind),
        None => declared == media_type,
    }
}

/// Whether the answer is of the kind that the case is after, whatever the document declares.
fn outcome(kind: CaseKind, status: u16) -> Option<&'static str> {
    let refused = status >= 400;
    match kind {
        CaseKind::Valid if refused && status < 500 => {
            Some("a request as the document describes it was refused")
        }
        CaseKind::NoCredential | CaseKind::BadCredential if !refused => {
            Some("it was answered without a valid credential, though the document demands one")
        }
        CaseKind::MissingParameter | CaseKind::NoBody | CaseKind::MissingField if !refused => {
            Some("something that is declared as required was left out, and nobody minded")
        }
        CaseKind::WrongParameter | CaseKind::WrongField if !refused => {
            Some("a value of another type than declared was taken")
        }
        CaseKind::MalformedBody if !refused => Some("a body that is no JSON was taken"),
        _ => None,
    }
}
