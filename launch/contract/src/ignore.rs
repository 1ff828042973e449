//! Findings that were decided on: each with a reason, none for ever.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::date::Date;
use crate::error::ContractError;
use crate::finding::Finding;
use crate::rules;

const ENTRIES_MAX: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    rule: String,
    method: Option<String>,
    path: Option<String>,
    contains: Option<String>,
    reason: String,
    expires: String,
}

/// One decision. What it does not name, it does not ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its place in the file, from 1.
    pub number: usize,
    pub rule: String,
    pub method: Option<String>,
    pub path: Option<String>,
    /// A part of the finding's sentence.
    pub contains: Option<String>,
    pub reason: String,
    /// The last day on which it counts.
    #[serde(serialize_with = "as_text")]
    pub expires: Date,
}

fn as_text<S: serde::Serializer>(date: &Date, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(date)
}

impl Entry {
    fn matches(&self, finding: &Finding) -> bool {
        self.rule == finding.rule.id
            && self
                .method
                .as_deref()
                .is_none_or(|method| finding.method.is_some_and(|own| own.eq_ignore_ascii_case(method)))
            && self
                .path
                .as_deref()
                .is_none_or(|path| finding.path.as_deref() == Some(path))
            && self
                .contains
                .as_deref()
                .is_none_or(|part| finding.text.contains(part))
    }
}

/// A file of decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IgnoreList {
    entries: Vec<Entry>,
}

/// What a list made of the findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sifted {
    /// Those that count.
    pub findings: Vec<Finding>,
    /// Those that were decided on, each with the decision.
    pub ignored: Vec<(Finding, Entry)>,
    /// Decisions whose day has passed; their findings count again.
    pub expired: Vec<Entry>,
    /// Decisions that still count and met no finding.
    pub unused: Vec<Entry>,
}

impl IgnoreList {
    /// Reads a YAML list of decisions.
    ///
    /// # Errors
    /// It is no such list; a rule does not exist; a reason or a day is missing.
    pub fn parse(file: &str, text: &str) -> Result<Self, ContractError> {
        let wrong = |what: String| ContractError::Policy {
            file: file.to_owned(),
            what,
        };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let raw: Vec<RawEntry> = serde_saphyr::from_str(text).map_err(|error| {
            wrong(format!(
                "{error}; expected a list of entries with rule, reason, expires and, if wanted, method, path, contains"
            ))
        })?;
        if raw.len() > ENTRIES_MAX {
            return Err(wrong(format!("{} entries; at most {ENTRIES_MAX}", raw.len())));
        }
        let mut entries = Vec::new();
        for (index, it) in raw.into_iter().enumerate() {
            let number = index + 1;
            if rules::rule(&it.rule).is_none() {
                return Err(wrong(format!("entry {number}: no rule is called `{}`", it.rule)));
            }
            if it.reason.trim().is_empty() {
                return Err(wrong(format!(
                    "entry {number} ({}): the reason is empty",
                    it.rule
                )));
            }
            let expires = Date::parse(&it.expires)
                .map_err(|error| wrong(format!("entry {number} ({}): expires: {error}", it.rule)))?;
            entries.push(Entry {
                number,
                rule: it.rule,
                method: it.method,
                path: it.path,
                contains: it.contains,
                reason: it.reason,
                expires,
            });
        }
        Ok(Self { entries })
    }

    /// Takes out what was decided on and still holds.
    pub fn sift(&self, findings: Vec<Finding>, today: Date) -> Sifted {
        let (live, expired): (Vec<&Entry>, Vec<&Entry>) =
            self.entries.iter().partition(|entry| today <= entry.expires);
        let mut used = BTreeSet::new();
        let mut sifted = Sifted {
            expired: expired.into_iter().cloned().collect(),
            ..Sifted::default()
        };
        for finding in findings {
            match live.iter().find(|entry| entry.matches(&finding)) {
                Some(entry) => {
                    used.insert(entry.number);
                    sifted.ignored.push((finding, (*entry).clone()));
                }
                None => sifted.findings.push(finding),
            }
        }
        sifted.unused = live
            .into_iter()
            .filter(|entry| !used.contains(&entry.number))
            .cloned()
            .collect();
        sifted
    }
}
