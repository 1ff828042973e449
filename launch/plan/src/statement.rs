//! Facts as in-toto statements, the bytes that are signed and recorded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::canonical;
use crate::error::FactError;
use crate::fact::{Fact, MAX_SERIES_POINTS};

/// <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// What a statement is about: an artifact by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub name: String,
    /// Algorithm to lower-case hexadecimal, e.g. `sha256`.
    pub digest: BTreeMap<String, String>,
}

impl Subject {
    #[must_use]
    pub fn sha256(name: &str, hex: &str) -> Self {
        Self {
            name: name.to_owned(),
            digest: BTreeMap::from([("sha256".to_owned(), hex.to_owned())]),
        }
    }
}

/// The statement's canonical JSON.
///
/// # Errors
/// A number that JSON cannot carry, or a series that is too long.
pub fn to_statement(fact: &Fact, subject: &[Subject]) -> Result<Vec<u8>, FactError> {
    check(fact)?;
    // An enum serialises as {"<fact>": {…}}: the name becomes the predicate type.
    let tagged = serde_json::to_value(fact).map_err(|error| FactError::NotAStatement {
        why: error.to_string(),
    })?;
    let predicate = match tagged {
        Value::Object(mut map) => map.remove(fact.name()).unwrap_or(Value::Null),
        other => other,
    };
    canonical::to_vec(&json!({
        "_type": STATEMENT_TYPE,
        "subject": subject,
        "predicateType": fact.predicate_type(),
        "predicate": predicate,
    }))
}

/// Reads a statement back.
///
/// # Errors
/// Not JSON, not a statement, a fact of an unknown name, or one whose fields do not read.
pub fn from_statement(bytes: &[u8]) -> Result<(Fact, Vec<Subject>), FactError> {
    #[derive(Deserialize)]
    struct Raw {
        #[serde(rename = "_type")]
        statement_type: String,
        subject: Vec<Subject>,
        #[serde(rename = "predicateType")]
        predicate_type: String,
        predicate: Value,
    }
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| FactError::NotAStatement {
        why: error.to_string(),
    })?;
    if raw.statement_type != STATEMENT_TYPE {
        return Err(FactError::StatementType {
            found: raw.statement_type,
        });
    }
    let name = raw
        .predicate_type
        .strip_prefix("urn:tminus:")
        .and_then(|rest| rest.strip_suffix(":v1"))
        .filter(|name| Fact::NAMES.contains(name))
        .ok_or_else(|| FactError::UnknownFact {
            predicate_type: raw.predicate_type.clone(),
            known: Fact::NAMES.join(", "),
        })?;
    let mut tagged = Map::new();
    tagged.insert(name.to_owned(), raw.predicate);
    let fact: Fact = serde_json::from_value(Value::Object(tagged)).map_err(|error| FactError::Predicate {
        predicate_type: raw.predicate_type.clone(),
        why: error.to_string(),
    })?;
    check(&fact)?;
    Ok((fact, raw.subject))
}

/// JSON turns a NaN into null without a word; better to say it.
fn check(fact: &Fact) -> Result<(), FactError> {
    let finite = |field: String, value: f64| {
        if value.is_finite() {
            Ok(())
        } else {
            Err(FactError::NotFinite {
                field,
                value: value.to_string(),
            })
        }
    };
    match fact {
        Fact::LaunchStarted { clock_scale, .. } => finite("clock_scale".to_owned(), *clock_scale),
        Fact::Evidence(evidence) => {
            for (name, measurement) in &evidence.measurements {
                finite(format!("measurement `{name}`"), measurement.value)?;
            }
            for (name, points) in &evidence.series {
                let field = format!("series `{name}`");
                if points.len() > MAX_SERIES_POINTS {
                    return Err(FactError::SeriesTooLong {
                        field,
                        points: points.len(),
                        limit: MAX_SERIES_POINTS,
                    });
                }
                for (at, value) in points {
                    finite(field.clone(), *at)?;
                    finite(field.clone(), *value)?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
