//! The book: the launch record with the facts read out of it. Its owner is the only writer.
//!
//! A fact becomes a signed envelope, then an entry; the state of a launch is a fold over the
//! entries, so there is nothing else to keep and nothing to lose in a crash.

use std::path::Path;

use sha2::{Digest as _, Sha256};
use tminus_plan::{Fact, LaunchState, Subject, from_statement, to_statement};
use tminus_record::dsse::{Envelope, IN_TOTO};
use tminus_record::note::Checkpoint;
use tminus_record::{Hash, Record, SigningKey, VerifyingKey, merkle};

use crate::error::{CliError, Kind, Result, from_part};

/// Where entries go. The record; in tests one that stops where it is told to.
pub trait Log: Send + std::fmt::Debug {
    /// Durable when it returns; answers the entry's index.
    ///
    /// # Errors
    /// The entry could not be written.
    fn append(&mut self, entry: Vec<u8>) -> Result<u64>;
    fn entries(&self) -> &[Vec<u8>];
    fn leaves(&self) -> &[Hash];
    /// The signed checkpoint of the present size.
    fn checkpoint(&self) -> &str;
}

impl Log for Record {
    fn append(&mut self, entry: Vec<u8>) -> Result<u64> {
        let range = Self::append(self, &[entry]).map_err(|e| {
            from_part(Kind::Record, "cannot write the launch record", &e)
                .hint("what is on record is kept; mend the cause, then go on with --resume")
        })?;
        Ok(range.start)
    }

    fn entries(&self) -> &[Vec<u8>] {
        Self::entries(self)
    }

    fn leaves(&self) -> &[Hash] {
        Self::leaves(self)
    }

    fn checkpoint(&self) -> &str {
        Self::checkpoint(self)
    }
}

/// A record at one moment, apart from its owner: what a checklist is made of.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub entries: Vec<Vec<u8>>,
    pub checkpoint: String,
    pub key: VerifyingKey,
}

/// The record and what it says.
#[derive(Debug)]
pub struct Book {
    log: Box<dyn Log>,
    key: SigningKey,
    facts: Vec<(u64, Fact)>,
    /// What every statement is about: the artifacts of the launch.
    subject: Vec<Subject>,
}

impl Book {
    /// Reads every entry of a log.
    ///
    /// # Errors
    /// An entry that is no signed fact.
    pub fn open(log: Box<dyn Log>, key: SigningKey) -> Result<Self> {
        let mut facts = Vec::new();
        let mut subject = Vec::new();
        for (index, entry) in (0_u64..).zip(log.entries()) {
            let (fact, about) = read_entry(entry).map_err(|why| {
                CliError::new(
                    Kind::Record,
                    format!("record entry {index} cannot be read: {why}"),
                )
                .hint("`tminus verify` says more; the record was not written by this release, or was changed")
            })?;
            if matches!(fact, Fact::LaunchStarted { .. }) {
                subject = about;
            }
            facts.push((index, fact));
        }
        Ok(Self {
            log,
            key,
            facts,
            subject,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    pub fn facts(&self) -> &[(u64, Fact)] {
        &self.facts
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            entries: self.log.entries().to_vec(),
            checkpoint: self.log.checkpoint().to_owned(),
            key: self.key.verifying_key(),
        }
    }

    pub fn size(&self) -> u64 {
        self.log.leaves().len() as u64
    }

    pub fn root_hex(&self) -> String {
        hex::encode(merkle::root(self.log.leaves()))
    }

    /// Root of the first `size` entries; none when there are fewer.
    pub fn root_hex_at(&self, size: u64) -> Option<String> {
        let leaves = self.log.leaves().get(..usize::try_from(size).ok()?)?;
        Some(hex::encode(merkle::root(leaves)))
    }

    /// Of the record, as its checkpoint names it.
    pub fn origin(&self) -> String {
        self.log
            .checkpoint()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// The signed checkpoint of all entries but the last, as it was when that one was not there yet.
    pub fn checkpoint_before_last(&self) -> Option<String> {
        let leaves = self.log.leaves();
        let before = leaves.get(..leaves.len().checked_sub(1)?)?;
        let checkpoint = Checkpoint {
            origin: self.origin(),
            size: before.len() as u64,
            root: merkle::root(before),
        };
        Some(checkpoint.sign(&self.key))
    }

    pub fn subject(&self) -> &[Subject] {
        &self.subject
    }

    pub fn has_ended(&self) -> bool {
        self.facts
            .iter()
            .any(|(_, fact)| matches!(fact, Fact::ChecklistIssued { .. }))
    }

    /// The state of the launch: a fold over all facts.
    ///
    /// # Errors
    /// The facts contradict each other.
    pub fn state(&self) -> Result<LaunchState> {
        LaunchState::fold(self.facts.iter().cloned()).map_err(|e| {
            CliError::new(Kind::Record, format!("the launch record contradicts itself: {e}"))
                .hint("`tminus verify` says more; start again in another --out")
        })
    }

    /// The first fact's subject, before it is on record.
    pub fn set_subject(&mut self, subject: Vec<Subject>) {
        self.subject = subject;
    }

    /// Signs a fact with the launch's key and appends it.
    ///
    /// # Errors
    /// The fact cannot be written as a statement, or the record cannot be written.
    pub fn append(&mut self, fact: Fact) -> Result<u64> {
        let envelope = sign(&fact, &self.subject, &self.key)?;
        self.append_envelope(&envelope, fact)
    }

    /// Appends an envelope that someone else has signed; the caller has checked it.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn append_envelope(&mut self, envelope: &Envelope, fact: Fact) -> Result<u64> {
        let index = self.log.append(envelope.to_bytes())?;
        self.facts.push((index, fact));
        Ok(index)
    }
}

/// A fact as a signed envelope.
///
/// # Errors
/// The fact cannot be written as a statement.
pub fn sign(fact: &Fact, subject: &[Subject], key: &SigningKey) -> Result<Envelope> {
    let statement = to_statement(fact, subject).map_err(|e| {
        CliError::new(
            Kind::Record,
            format!("the fact `{}` cannot be written: {e}", fact.name()),
        )
    })?;
    Ok(Envelope::sign(IN_TOTO, statement, key))
}

/// What an entry says. Checks its form, not its signature: that the record is ours says its checkpoint.
///
/// # Errors
/// In words.
pub fn read_entry(entry: &[u8]) -> std::result::Result<(Fact, Vec<Subject>), String> {
    let envelope = Envelope::from_bytes(entry).map_err(|e| e.to_string())?;
    from_statement(&envelope.payload).map_err(|e| e.to_string())
}

/// SHA-256 of a file, in lower-case hexadecimal.
///
/// # Errors
/// The file cannot be read.
pub fn file_sha256(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut digest = Sha256::new();
    std::io::copy(&mut file, &mut digest)?;
    Ok(hex::encode(digest.finalize()))
}
