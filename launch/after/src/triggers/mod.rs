//! What of a launch's afterlife needs a retrospective.
//!
//! Events come in any order, late, and more than once; the decisions that follow are the same. A decision's
//! id depends on what it is about alone, so that whatever sees it twice can tell.

mod keeper;
mod ledger;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use keeper::{Keeper, KeeperError};
pub use ledger::{LEDGER_MAX, Ledger, LedgerError, Raised};

/// The check box whose tick says that the emergency rollback was used.
pub const EMERGENCY_ROLLBACK: &str = "emergency-rollback";
/// The check box whose tick says that a version was edited by hand.
pub const EDITED_BY_HAND: &str = "edited-by-hand";
/// The check box whose tick says that the operation of the ops package was carried out.
pub const OPERATION_DONE: &str = "operation-done";

/// A name (launch, version, file, person) has at most this many characters.
pub const NAME_CHARACTERS_MAX: usize = 300;
/// Events and decisions that are kept, of each kind.
pub const KEPT_MAX: usize = 50_000;

/// Something that happened. Times are milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A box is ticked, in the record or on a scanned page.
    Ticked { launch: String, zone: String },
    EditedByHand {
        launch: String,
        version: String,
        at_ms: u64,
    },
    Downloaded {
        launch: String,
        file: String,
        who: String,
        at_ms: u64,
    },
    /// The operation that an ops package is for was carried out.
    OperationDone {
        launch: String,
        file: String,
        at_ms: u64,
    },
}

impl Event {
    fn names(&self) -> Vec<&str> {
        match self {
            Self::Ticked { launch, zone } => vec![launch, zone],
            Self::EditedByHand { launch, version, .. } => vec![launch, version],
            Self::Downloaded {
                launch, file, who, ..
            } => vec![launch, file, who],
            Self::OperationDone { launch, file, .. } => vec![launch, file],
        }
    }

    const fn at_ms(&self) -> Option<u64> {
        match self {
            Self::Ticked { .. } => None,
            Self::EditedByHand { at_ms, .. }
            | Self::Downloaded { at_ms, .. }
            | Self::OperationDone { at_ms, .. } => Some(*at_ms),
        }
    }
}

/// When events become decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// So many edits of one version …
    pub edits: usize,
    /// … within a window of this length, both ends included.
    pub edit_window_ms: u64,
    /// A download is followed by its operation within this time, its end included.
    pub operation_within_ms: u64,
    /// How late the news of an operation may come.
    pub late_ms: u64,
    /// Older events are neither kept nor taken.
    pub keep_ms: u64,
}

const HOUR_MS: u64 = 3_600_000;

impl Default for Rules {
    fn default() -> Self {
        Self {
            edits: 3,
            edit_window_ms: 72 * HOUR_MS,
            operation_within_ms: 2 * HOUR_MS,
            late_ms: 60_000,
            keep_ms: 60 * 24 * HOUR_MS,
        }
    }
}

/// Why a retrospective is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    EmergencyRollback,
    /// The first window that was full.
    EditedByHand {
        version: String,
        edits_at_ms: Vec<u64>,
    },
    /// The first download that nothing followed.
    NotCarriedOut {
        file: String,
        who: String,
        downloaded_at_ms: u64,
    },
}

/// One retrospective, to become one ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// 32 hex digits, of the launch and what the decision is about.
    pub id: String,
    pub launch: String,
    #[serde(flatten)]
    pub reason: Reason,
}

impl Decision {
    fn new(launch: &str, reason: Reason) -> Self {
        let about = match &reason {
            Reason::EmergencyRollback => ["emergency-rollback", ""],
            Reason::EditedByHand { version, .. } => ["edited-by-hand", version],
            Reason::NotCarriedOut { file, .. } => ["not-carried-out", file],
        };
        let mut digest = Sha256::new();
        for part in [launch, about[0], about[1]] {
            // Lengths first: no two lists of parts are one text.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        let mut id = hex::encode(digest.finalize());
        id.truncate(32);
        Self {
            id,
            launch: launch.to_owned(),
            reason,
        }
    }
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    New,
    /// It was there already.
    Known,
    /// Older than [`Rules::keep_ms`].
    TooOld,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TriggerError {
    #[error("an event's name is empty or longer than {NAME_CHARACTERS_MAX} characters: {shown}")]
    Name { shown: String },
    #[error("{KEPT_MAX} events or decisions are kept already; raise no more before old ones are forgotten")]
    Full,
}

/// Everything seen and decided; its serialised form is the state file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retro {
    rolled_back: BTreeSet<String>,
    /// launch -> version -> times
    edits: ByName<u64>,
    /// launch -> file -> (time, person)
    downloads: ByName<(u64, String)>,
    /// launch -> file -> times
    done: ByName<u64>,
    raised: BTreeSet<String>,
    kept: usize,
}

impl Retro {
    /// Takes an event in.
    ///
    /// # Errors
    /// A name that is empty or too long; too many events.
    pub fn observe(&mut self, event: &Event, rules: &Rules, now_ms: u64) -> Result<Observed, TriggerError> {
        if let Some(name) = event
            .names()
            .into_iter()
            .find(|name| name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX)
        {
            return Err(TriggerError::Name {
                shown: crate::text::one_line(name, 40),
            });
        }
        if event
            .at_ms()
            .is_some_and(|at_ms| at_ms < now_ms.saturating_sub(rules.keep_ms))
        {
            return Ok(Observed::TooOld);
        }
        if self.kept >= KEPT_MAX {
            return Err(TriggerError::Full);
        }
        let new = match event.clone() {
            Event::Ticked { launch, zone } => zone == EMERGENCY_ROLLBACK && self.rolled_back.insert(launch),
            Event::EditedByHand {
                launch,
                version,
                at_ms,
            } => put(&mut self.edits, launch, version, at_ms),
            Event::Downloaded {
                launch,
                file,
                who,
                at_ms,
            } => put(&mut self.downloads, launch, file, (at_ms, who)),
            Event::OperationDone { launch, file, at_ms } => put(&mut self.done, launch, file, at_ms),
        };
        self.kept += usize::from(new);
        Ok(if new { Observed::New } else { Observed::Known })
    }

    /// What is decided at this time and was not raised yet.
    pub fn due(&self, rules: &Rules, now_ms: u64) -> Vec<Decision> {
        let rolled_back = self
            .rolled_back
            .iter()
            .map(|launch| Decision::new(launch, Reason::EmergencyRollback));
        let edited = each(&self.edits).filter_map(|(launch, version, times)| {
            let edits_at_ms = full_window(times, rules)?;
            let version = version.to_owned();
            Some(Decision::new(
                launch,
                Reason::EditedByHand { version, edits_at_ms },
            ))
        });
        let idle = each(&self.downloads).filter_map(|(launch, file, downloads)| {
            let (at_ms, who) = downloads.iter().find(|(at_ms, _)| {
                let ends_ms = at_ms.saturating_add(rules.operation_within_ms);
                now_ms > ends_ms.saturating_add(rules.late_ms)
                    && !self.was_done(launch, file, *at_ms, ends_ms)
            })?;
            Some(Decision::new(
                launch,
                Reason::NotCarriedOut {
                    file: file.to_owned(),
                    who: who.clone(),
                    downloaded_at_ms: *at_ms,
                },
            ))
        });
        rolled_back
            .chain(edited)
            .chain(idle)
            .filter(|decision| !self.raised.contains(&decision.id))
            .collect()
    }

    /// When to ask again although nothing happens: the next download whose time runs out.
    pub fn wake_at_ms(&self, rules: &Rules, now_ms: u64) -> Option<u64> {
        each(&self.downloads)
            .flat_map(|(_, _, downloads)| downloads)
            .map(|(at_ms, _)| {
                at_ms
                    .saturating_add(rules.operation_within_ms)
                    .saturating_add(rules.late_ms + 1)
            })
            .filter(|at_ms| *at_ms > now_ms)
            .min()
    }

    /// The decision was handed on durably; it is not due again.
    ///
    /// # Errors
    /// Too many of them.
    pub fn raised(&mut self, id: &str) -> Result<(), TriggerError> {
        if self.raised.len() >= KEPT_MAX {
            return Err(TriggerError::Full);
        }
        self.raised.insert(id.to_owned());
        Ok(())
    }

    /// Drops events that are too old to matter. What was raised is never forgotten.
    pub fn forget(&mut self, rules: &Rules, now_ms: u64) {
        let oldest_ms = now_ms.saturating_sub(rules.keep_ms);
        let dropped = drop_before(&mut self.edits, |at_ms| *at_ms >= oldest_ms)
            + drop_before(&mut self.downloads, |(at_ms, _)| *at_ms >= oldest_ms)
            + drop_before(&mut self.done, |at_ms| *at_ms >= oldest_ms);
        self.kept = self.kept.saturating_sub(dropped);
    }

    fn was_done(&self, launch: &str, file: &str, from_ms: u64, to_ms: u64) -> bool {
        let done = self.done.get(launch).and_then(|files| files.get(file));
        done.is_some_and(|times| times.range(from_ms..=to_ms).next().is_some())
    }
}

type ByName<T> = BTreeMap<String, BTreeMap<String, BTreeSet<T>>>;

fn put<T: Ord>(map: &mut ByName<T>, launch: String, name: String, value: T) -> bool {
    map.entry(launch)
        .or_default()
        .entry(name)
        .or_default()
        .insert(value)
}

fn each<T>(map: &ByName<T>) -> impl Iterator<Item = (&str, &str, &BTreeSet<T>)> {
    map.iter().flat_map(|(launch, names)| {
        names
            .iter()
            .map(move |(name, set)| (launch.as_str(), name.as_str(), set))
    })
}

fn drop_before<T: Ord>(map: &mut ByName<T>, keep: impl Fn(&T) -> bool) -> usize {
    let mut dropped = 0;
    for names in map.values_mut() {
        for set in names.values_mut() {
            let before = set.len();
            set.retain(&keep);
            dropped += before - set.len();
        }
        names.retain(|_, set| !set.is_empty());
    }
    map.retain(|_, names| !names.is_empty());
    dropped
}

/// The earliest run of `rules.edits` times that fits into the window.
fn full_window(times: &BTreeSet<u64>, rules: &Rules) -> Option<Vec<u64>> {
    let times: Vec<u64> = times.iter().copied().collect();
    times
        .windows(rules.edits.max(1))
        .find(|run| run[run.len() - 1] - run[0] <= rules.edit_window_ms)
        .map(<[u64]>::to_vec)
}
