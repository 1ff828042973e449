//! What two records say: the launch's own, and the one of downloads. Read again when they have grown.
//!
//! Nothing is remembered from one run to the next: the triggers take each event once, so reading from the beginning
//! after a restart changes nothing.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tminus_after::text::one_line;
use tminus_after::triggers::{EMERGENCY_ROLLBACK, Event};
use tminus_handoff::PREDICATE_TYPE;
use tminus_plan::{Fact, LaunchState, RolloutVerdict};
use tminus_record::dsse::Envelope;

use super::config::OpsPackage;
use crate::engine::book::read_entry;

/// A writer that appends at this moment makes a record look damaged; one that does for so many looks is.
const TRIES: u32 = 3;
const CHECKPOINT_BYTES_MAX: u64 = 4096;
const WHO_CHARACTERS_MAX: usize = 200;
/// What a canary's evidence says when it was rolled back.
const ROLLED_BACK: &str = "rolled_back";

/// What a launch is, by its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    pub id: String,
    pub version: String,
    /// Roles that own items of the plan, in its order.
    pub owners: Vec<String>,
    pub finished_at_ms: Option<u64>,
}

/// Reads the launch's record once.
///
/// # Errors
/// In words: none there, damaged, or of another kind.
pub fn launch(record: &Path) -> Result<Launch, String> {
    let facts = facts(&entries(record)?)?;
    let state = LaunchState::fold((0_u64..).zip(facts)).map_err(|e| e.to_string())?;
    let mut owners: Vec<String> = Vec::new();
    for item in &state.plan.items {
        if !owners.contains(&item.owner) {
            owners.push(item.owner.clone());
        }
    }
    Ok(Launch {
        id: state.launch_id,
        version: state.plan.version,
        owners,
        finished_at_ms: state.finished.map(|(_, at_ms)| at_ms),
    })
}

/// Whether these facts say that a canary was taken back.
fn rolled_back(facts: &[Fact]) -> bool {
    facts.iter().any(|fact| match fact {
        Fact::Evidence(evidence) => evidence
            .measurements
            .get(ROLLED_BACK)
            .is_some_and(|measured| measured.value > 0.0),
        // On record at once, before the gate has ended.
        Fact::RolloutStep {
            weight_percent: 0,
            verdict: RolloutVerdict::Worse,
            ..
        } => true,
        _ => false,
    })
}

/// A record that is looked at again and again.
#[derive(Debug)]
pub struct Source {
    folder: PathBuf,
    launch: String,
    kind: Kind,
    checkpoint: Vec<u8>,
    /// Entries that were told already.
    told: usize,
    failed: u32,
}

#[derive(Debug)]
enum Kind {
    Launch,
    Downloads { ops: OpsPackage, ignore: Vec<String> },
}

impl Source {
    pub fn launch(record: &Path, launch: &str) -> Self {
        Self::new(record, launch, Kind::Launch)
    }

    /// There may be no such record yet.
    pub fn downloads(folder: &Path, launch: &str, ops: OpsPackage, ignore: Vec<String>) -> Self {
        Self::new(folder, launch, Kind::Downloads { ops, ignore })
    }

    fn new(folder: &Path, launch: &str, kind: Kind) -> Self {
        Self {
            folder: folder.to_owned(),
            launch: launch.to_owned(),
            kind,
            checkpoint: Vec::new(),
            told: 0,
            failed: 0,
        }
    }

    /// Events of the entries that came since [`Self::kept`].
    ///
    /// # Errors
    /// In words: the record is damaged, or has lost entries.
    pub fn look(&mut self) -> Result<Vec<Event>, String> {
        let checkpoint = read_checkpoint(&self.folder);
        let checkpoint = match (checkpoint, &self.kind) {
            (Err(error), Kind::Downloads { .. }) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            (checkpoint, _) => checkpoint.map_err(|e| self.words(&crate::error::io_words(&e)))?,
        };
        if checkpoint == self.checkpoint {
            return Ok(Vec::new());
        }
        let read = entries(&self.folder).and_then(|entries| {
            let told = self.told;
            let new = entries
                .get(told..)
                .ok_or_else(|| format!("{told} entries were there, {} are left", entries.len()))?;
            Ok((self.events(new)?, entries.len()))
        });
        match read {
            Ok((events, told)) => {
                (self.checkpoint, self.told, self.failed) = (checkpoint, told, 0);
                Ok(events)
            }
            Err(why) => {
                self.failed = self.failed.saturating_add(1);
                if self.failed < TRIES {
                    return Ok(Vec::new());
                }
                Err(self.words(&why))
            }
        }
    }

    /// What was told last could not be kept: it is told again.
    pub fn again(&mut self) {
        (self.checkpoint, self.told) = (Vec::new(), 0);
    }

    fn words(&self, why: &str) -> String {
        format!("{}: {why}; `tminus verify` says more", self.folder.display())
    }

    fn events(&self, entries: &[Vec<u8>]) -> Result<Vec<Event>, String> {
        match &self.kind {
            Kind::Launch => {
                let ticked = Event::Ticked {
                    launch: self.launch.clone(),
                    zone: EMERGENCY_ROLLBACK.to_owned(),
                };
                Ok(rolled_back(&facts(entries)?)
                    .then_some(ticked)
                    .into_iter()
                    .collect())
            }
            Kind::Downloads { ops, ignore } => entries
                .iter()
                .filter_map(|entry| download(entry, &self.launch, ops, ignore).transpose())
                .collect(),
        }
    }
}

fn read_checkpoint(folder: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(folder.join("checkpoint"))?
        .take(CHECKPOINT_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn entries(folder: &Path) -> Result<Vec<Vec<u8>>, String> {
    let first = |faults: Vec<tminus_record::Fault>| {
        faults
            .first()
            .map_or_else(|| "no record".to_owned(), ToString::to_string)
    };
    tminus_record::verify(folder, None)
        .map(|verified| verified.entries)
        .map_err(first)
}

fn facts(entries: &[Vec<u8>]) -> Result<Vec<Fact>, String> {
    entries
        .iter()
        .map(|entry| read_entry(entry).map(|(fact, _)| fact))
        .collect()
}

/// A download of the ops package; none for any other.
fn download(
    entry: &[u8],
    launch: &str,
    ops: &OpsPackage,
    ignore: &[String],
) -> Result<Option<Event>, String> {
    let envelope = Envelope::from_bytes(entry).map_err(|e| e.to_string())?;
    let statement: Value = serde_json::from_slice(&envelope.payload).map_err(|e| e.to_string())?;
    let predicate = &statement["predicate"];
    let text = |name: &str| predicate[name].as_str().unwrap_or_default();
    let who = text("who");
    if statement["predicateType"] != PREDICATE_TYPE
        || text("role") != ops.role
        || text("file") != ops.file
        || ignore.iter().any(|ignored| ignored == who)
    {
        return Ok(None);
    }
    let at_ms = predicate["at_ms"]
        .as_u64()
        .ok_or("an entry of a download has no time")?;
    Ok(Some(Event::Downloaded {
        launch: launch.to_owned(),
        file: ops.file.clone(),
        // Others choose their own names; one that is too long must not stop the rest.
        who: one_line(if who.is_empty() { "unknown" } else { who }, WHO_CHARACTERS_MAX),
        at_ms,
    }))
}
