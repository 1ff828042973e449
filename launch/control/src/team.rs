//! The team's record: every checklist that a team has issued, one after the other, in one append-only log.
//!
//! A launch's own record proves one checklist. This one proves that a checklist which was shown once is never taken back, replaced
//! or reordered: two of them are entries of one log (a consistency proof between the sizes at which they came), and
//! whoever watches keeps the last checkpoint that was seen and is told when the log no longer continues it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tminus_record::dsse::{Envelope, IN_TOTO};
use tminus_record::note::Checkpoint;
use tminus_record::{Hash, Record, RecordError, SigningKey, Verified, VerifyingKey, merkle};

use crate::error::{CliError, Kind, Result, from_part};
use crate::layout::write_whole;

/// The in-toto predicate of an entry.
const PREDICATE: &str = "urn:tminus:published:v1";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// A checklist as it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    pub launch_id: String,
    pub product: String,
    pub version: String,
    /// `complete`, `incomplete`, `failed`
    pub verdict: String,
    /// Of the document as it was issued, without seals: lower-case hexadecimal, and its length.
    pub sha256: String,
    pub bytes: u64,
    /// The launch's own record, its last entry being the issue.
    pub record_origin: String,
    pub record_size: u64,
    pub record_root: String,
    pub launch_key_id: String,
    pub at_ms: u64,
}

/// Two checklists of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    pub earlier: Entry,
    pub later: Entry,
    /// RFC 6962 consistency proof from the log with the earlier one as its last entry to that with the later one.
    pub consistency: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub index: u64,
    pub published: Published,
    /// Root of the log with this entry as its last one.
    pub root: String,
    /// RFC 6962 inclusion proof in that log.
    pub inclusion: Vec<String>,
}

/// What a watcher finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "found")]
pub enum Watched {
    /// Nothing was seen before.
    First { size: u64 },
    /// The log continues what was seen.
    Continues { seen: u64, size: u64 },
    /// Entries that were seen are gone.
    Removed { seen: u64, size: u64 },
    /// Another log under the same name: the entries that were seen are others now.
    Forked { seen: u64, size: u64 },
    /// A name or a key that is not the one that was seen.
    Another { why: String },
    /// The log does not prove itself.
    Damaged { why: String },
}

/// Puts a checklist on the team's record; answers its entry. One that is there already is not put there twice.
///
/// # Errors
/// The record cannot be read or written.
pub fn publish(team: &Path, origin: &str, key: &SigningKey, published: &Published) -> Result<(u64, bool)> {
    let failed = |e: RecordError| {
        from_part(Kind::Record, "the team's record", &e)
            .hint("the key must be the one that the record was begun with; another team has another folder")
    };
    let mut record = match Record::open(team, key) {
        Err(RecordError::Missing { .. }) => Record::create(team, origin, key).map_err(failed)?,
        other => other.map_err(failed)?,
    };
    for (index, entry) in (0_u64..).zip(record.entries()) {
        if read(entry, &key.verifying_key()).is_ok_and(|known| known.sha256 == published.sha256) {
            return Ok((index, false));
        }
    }
    let subject = json!([{ "name": published.launch_id, "digest": { "sha256": published.sha256 } }]);
    let statement = json!({
        "_type": STATEMENT, "subject": subject, "predicateType": PREDICATE, "predicate": published,
    });
    let entry = Envelope::sign(IN_TOTO, statement.to_string().into_bytes(), key).to_bytes();
    let range = record.append(&[entry]).map_err(failed)?;
    Ok((range.start, true))
}

/// Where two checklists are on the team's record, and that the later log continues the earlier one.
///
/// # Errors
/// The record is damaged, or one of them is not on it.
pub fn compare(team: &Path, key: Option<&VerifyingKey>, digests: [&str; 2]) -> Result<Compared> {
    let verified = tminus_record::verify(team, key).map_err(|faults| damaged(&faults))?;
    let mut found = Vec::new();
    for digest in digests {
        let index = find(&verified, digest)?.ok_or_else(|| {
            CliError::new(
                Kind::Record,
                format!("no entry of the team's record is the checklist with SHA-256 {digest}"),
            )
            .hint("`tminus team publish` puts one there")
        })?;
        found.push(index);
    }
    found.sort_by_key(|(index, _)| *index);
    let leaves = verified.leaves();
    let mut entries = found
        .into_iter()
        .map(|(index, published)| entry(&leaves, index, published));
    let (Some(earlier), Some(later)) = (entries.next(), entries.next()) else {
        return Err(CliError::usage("two checklists are compared"));
    };
    let (old, new) = (earlier.index + 1, later.index + 1);
    let proof = merkle::consistency_proof(&leaves[..index_of(new)], old).unwrap_or_default();
    let (old_root, new_root) = (
        merkle::root(&leaves[..index_of(old)]),
        merkle::root(&leaves[..index_of(new)]),
    );
    merkle::verify_consistency(old, new, &proof, &old_root, &new_root).map_err(|e| {
        CliError::new(
            Kind::Record,
            format!("the later log does not continue the earlier one: {e}"),
        )
    })?;
    Ok(Compared {
        earlier,
        later,
        consistency: proof.iter().map(hex::encode).collect(),
    })
}

/// Compares a team's record with what was seen of it last, and remembers it if it continues that.
///
/// # Errors
/// What was seen cannot be read or written. Whatever is wrong with the record is in the answer.
pub fn watch(team: &Path, seen: &Path, key: Option<&VerifyingKey>) -> Result<Watched> {
    let verified = match tminus_record::verify(team, key) {
        Ok(verified) => verified,
        Err(faults) => {
            return Ok(Watched::Damaged {
                why: damaged(&faults).to_string(),
            });
        }
    };
    let size = verified.size;
    let found = match last_seen(seen)? {
        None => Watched::First { size },
        Some(note) => match Checkpoint::open(&note, &verified.key) {
            Err(e) => Watched::Another {
                why: format!("what was seen last is of another key: {e}"),
            },
            Ok(last) => continues(&verified, &last),
        },
    };
    if matches!(found, Watched::First { .. } | Watched::Continues { .. }) {
        let checkpoint = Checkpoint {
            origin: verified.origin.clone(),
            size,
            root: verified.root,
        };
        // As the log itself has signed it.
        let note = std::fs::read(team.join("checkpoint"))
            .map_err(|e| CliError::file("read", &team.join("checkpoint"), &e))?;
        let opened = Checkpoint::open(&note, &verified.key).ok();
        if opened.as_ref().map(|read| (read.size, read.root)) == Some((checkpoint.size, checkpoint.root)) {
            write_whole(seen, &note)?;
        }
    }
    Ok(found)
}

fn continues(verified: &Verified, last: &Checkpoint) -> Watched {
    let (seen, size) = (last.size, verified.size);
    if last.origin != verified.origin {
        return Watched::Another {
            why: format!("it is `{}` and was `{}`", verified.origin, last.origin),
        };
    }
    if size < seen {
        return Watched::Removed { seen, size };
    }
    let leaves = verified.leaves();
    if merkle::root(&leaves[..index_of(seen)]) == last.root {
        Watched::Continues { seen, size }
    } else {
        Watched::Forked { seen, size }
    }
}

fn last_seen(seen: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(seen) {
        Ok(note) => Ok(Some(note)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(CliError::file("read", seen, &e)),
    }
}

fn find(verified: &Verified, digest: &str) -> Result<Option<(u64, Published)>> {
    for (index, entry) in (0_u64..).zip(&verified.entries) {
        let published = read(entry, &verified.key).map_err(|why| {
            CliError::new(Kind::Record, format!("entry {index} of the team's record: {why}"))
        })?;
        if published.sha256 == digest {
            return Ok(Some((index, published)));
        }
    }
    Ok(None)
}

fn read(entry: &[u8], key: &VerifyingKey) -> std::result::Result<Published, String> {
    let envelope = Envelope::from_bytes(entry).map_err(|e| e.to_string())?;
    envelope.verify(key).map_err(|e| e.to_string())?;
    let mut statement: Value = serde_json::from_slice(&envelope.payload).map_err(|e| e.to_string())?;
    if statement["predicateType"] != PREDICATE {
        return Err("is no published checklist".to_owned());
    }
    serde_json::from_value(statement["predicate"].take()).map_err(|e| e.to_string())
}

fn entry(leaves: &[Hash], index: u64, published: Published) -> Entry {
    let until = &leaves[..index_of(index + 1)];
    let inclusion = merkle::inclusion_proof(until, index).unwrap_or_default();
    Entry {
        index,
        published,
        root: hex::encode(merkle::root(until)),
        inclusion: inclusion.iter().map(hex::encode).collect(),
    }
}

fn index_of(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn damaged(faults: &[tminus_record::Fault]) -> CliError {
    let first = faults.first().map(ToString::to_string).unwrap_or_default();
    CliError::new(
        Kind::Record,
        format!(
            "the team's record does not prove itself, in {} places: {first}",
            faults.len()
        ),
    )
}
