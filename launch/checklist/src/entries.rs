//! Record entries as facts: envelope, statement, and who must have signed it.

use serde_json::Value;
use sha2::{Digest, Sha256};
use tminus_plan::{Fact, Subject, from_statement, to_statement};
use tminus_record::VerifyingKey;
use tminus_record::dsse::{Envelope, IN_TOTO};

use crate::ChecklistError;

/// One entry of the record, read.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub index: u64,
    pub bytes: Vec<u8>,
    pub envelope: Envelope,
    pub fact: Fact,
    /// The artifacts that it speaks of.
    pub subject: Vec<Subject>,
}

impl Entry {
    /// Reads one entry strictly: a canonical envelope, a statement with nothing beside its fact.
    pub(crate) fn read(index: u64, bytes: &[u8]) -> Result<Self, ChecklistError> {
        let wrong = |why: String| ChecklistError::Entry { index, why };
        let envelope = Envelope::from_bytes(bytes).map_err(|e| wrong(e.to_string()))?;
        if envelope.payload_type != IN_TOTO {
            return Err(wrong(format!(
                "the payload is {:?}, not {IN_TOTO:?}",
                envelope.payload_type
            )));
        }
        let (fact, subject): (Fact, Vec<Subject>) =
            from_statement(&envelope.payload).map_err(|e| wrong(e.to_string()))?;
        // What is signed is the fact and no more: nothing hides in fields that no reader looks at.
        let again = to_statement(&fact, &subject).map_err(|e| wrong(e.to_string()))?;
        let (signed, again) = (json(&envelope.payload), json(&again));
        if !signed
            .zip(again)
            .is_some_and(|(signed, again)| same(&signed, &again))
        {
            return Err(wrong(
                "the statement says more than the fact that it states".to_owned(),
            ));
        }
        Ok(Self {
            index,
            bytes: bytes.to_vec(),
            envelope,
            fact,
            subject,
        })
    }

    /// SHA-256 of the entry's bytes, lower-case hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        sha256_hex(&self.bytes)
    }
}

fn json(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

/// Equal up to the last digit of a number: reading and writing one again may change that.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(l), Value::Object(r)) => {
            l.len() == r.len() && l.iter().all(|(key, l)| r.get(key).is_some_and(|r| same(l, r)))
        }
        (Value::Array(l), Value::Array(r)) => l.len() == r.len() && l.iter().zip(r).all(|(l, r)| same(l, r)),
        (Value::Number(l), Value::Number(r)) => match (l.as_f64(), r.as_f64()) {
            (Some(l), Some(r)) => (l - r).abs() <= 1e-12 * l.abs().max(r.abs()),
            _ => l == r,
        },
        (l, r) => l == r,
    }
}

pub(crate) fn read_all(entries: &[Vec<u8>]) -> Result<Vec<Entry>, ChecklistError> {
    entries
        .iter()
        .enumerate()
        .map(|(index, bytes)| Entry::read(index as u64, bytes))
        .collect()
}

/// The keys that the launch's first entry names.
#[derive(Debug)]
pub(crate) struct Signers {
    launch: VerifyingKey,
    roles: Vec<(String, VerifyingKey)>,
}

impl Signers {
    /// `launch` signs everything but the sign-offs; those are signed by the role's key as the first
    /// entry names it.
    pub(crate) fn from_first(first: Option<&Entry>, launch: VerifyingKey) -> Result<Self, ChecklistError> {
        let Some(Entry {
            fact: Fact::LaunchStarted { role_keys, .. },
            index,
            ..
        }) = first
        else {
            return Err(ChecklistError::Entry {
                index: 0,
                why: "the record does not begin with a launch".to_owned(),
            });
        };
        let mut roles = Vec::new();
        for (role, key) in role_keys {
            let key = VerifyingKey::from_base64(key).map_err(|e| ChecklistError::Entry {
                index: *index,
                why: format!("the key of role {role}: {e}"),
            })?;
            roles.push((role.clone(), key));
        }
        Ok(Self { launch, roles })
    }

    /// Checks the entry's signature under the one key that may sign such an entry.
    pub(crate) fn check(&self, entry: &Entry) -> Result<(), ChecklistError> {
        let wrong = |why: String| ChecklistError::Entry {
            index: entry.index,
            why,
        };
        let (who, key) = match &entry.fact {
            Fact::SignOff { role, .. } | Fact::Approval { role, .. } => {
                let named = self.roles.iter().find(|(name, _)| name == role);
                let (_, key) =
                    named.ok_or_else(|| wrong(format!("the launch names no key for role {role}")))?;
                (format!("role {role}"), key)
            }
            _ => ("the launch".to_owned(), &self.launch),
        };
        entry
            .envelope
            .verify(key)
            .map_err(|e| wrong(format!("not signed by {who}: {e}")))
    }

    pub(crate) fn role(&self, role: &str) -> Option<&VerifyingKey> {
        self.roles
            .iter()
            .find(|(name, _)| name == role)
            .map(|(_, key)| key)
    }

    pub(crate) fn roles(&self) -> &[(String, VerifyingKey)] {
        &self.roles
    }
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
