//! Reads two stores and names every row that differs, also while copiers write.
//!
//! Both stores are read in the order of their keys, either row by row (`stream`) or, where the way to them is
//! narrow, by digests of ranges and only then the rows of ranges that differ (`digests`). A row that is
//! merely behind is read again once both stores have passed where the further one stood (`settle`).

mod checkpoint;
mod digests;
mod repair;
mod settle;
mod stream;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    SnapshotError, Store,
    compare::{Candidate, Difference, Verdict},
    row::RowView,
};
use checkpoint::{Checkpoint, Checkpoints};

pub use repair::{Repair, repair};

/// Candidates that may wait to be read again; then they are, before the comparison goes on.
const CANDIDATES_MAX: usize = 4_096;

#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// Both stores must have everything up to this position of the journal, else nothing is compared.
    pub watermark: Option<i64>,
    /// Compare digests of ranges first.
    pub digests: bool,
    /// How long a store that is behind may stand still before its rows count as different.
    pub lag_max: Duration,
    /// Rows that are read at once.
    pub page_rows: usize,
    /// Differences that are named; with more the comparison ends with an error.
    pub differences_max: usize,
    /// Where the comparison notes how far it is; if the file exists it goes on from there. Removed at the end.
    pub resume: Option<PathBuf>,
    /// Keys between two such notes.
    pub resume_rows: u64,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        VerifyOptions {
            watermark: None,
            digests: false,
            lag_max: Duration::from_secs(10),
            page_rows: 4_096,
            differences_max: 100_000,
            resume: None,
            resume_rows: 100_000,
        }
    }
}

/// What a comparison says. No differences and nothing in motion: identical.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Keys compared.
    pub rows: u64,
    /// In the order in which they were found: by key, except for those that were read again.
    pub differences: Vec<Difference>,
    /// Rows that changed faster than they could be read again: both stores went on, to different versions.
    pub in_motion: u64,
    /// Rows that were read again because a store was behind at first.
    pub read_again: u64,
    /// Keys per second, of this run.
    pub rows_per_s: u64,
    /// The position of the journal up to which both stores had everything when the comparison began.
    pub watermark: i64,
    /// Where each stood then.
    pub primary_position: i64,
    pub secondary_position: i64,
}

impl Report {
    #[must_use]
    pub fn is_identical(&self) -> bool {
        self.differences.is_empty() && self.in_motion == 0
    }
}

/// How far a comparison is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub rows: u64,
    pub differences: usize,
}

/// What was found so far.
struct Findings<'p> {
    rows: u64,
    /// Of `rows`, those of an earlier run.
    rows_before: u64,
    differences: Vec<Difference>,
    candidates: Vec<Candidate>,
    in_motion: u64,
    read_again: u64,
    stalled: Option<settle::Standings>,
    differences_max: usize,
    progress: &'p mut (dyn FnMut(Progress) + Send),
}

impl Findings<'_> {
    fn see(
        &mut self,
        primary: Option<RowView<'_>>,
        secondary: Option<RowView<'_>>,
    ) -> Result<(), SnapshotError> {
        self.rows += 1;
        match crate::compare::judge(primary, secondary) {
            Verdict::Same => Ok(()),
            Verdict::Different(difference) => self.add(difference),
            Verdict::Behind(candidate) => {
                self.candidates.push(candidate);
                Ok(())
            }
        }
    }

    fn add(&mut self, difference: Difference) -> Result<(), SnapshotError> {
        if self.differences.len() >= self.differences_max {
            return Err(SnapshotError::TooManyDifferences {
                max: self.differences_max,
            });
        }
        self.differences.push(difference);
        Ok(())
    }

    fn tell(&mut self) {
        (self.progress)(Progress {
            rows: self.rows,
            differences: self.differences.len(),
        });
    }
}

/// Compares both stores. `progress` is called now and then.
///
/// # Errors
/// A store cannot be read, has not caught up with the watermark, or is no copy at all.
pub async fn verify(
    primary: &Store,
    secondary: &Store,
    options: &VerifyOptions,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, SnapshotError> {
    let began = Instant::now();
    primary.check_schema().await?;
    secondary.check_schema().await?;
    let (primary_position, secondary_position) = settle::reach(primary, secondary, options).await?;
    let mut checkpoints = Checkpoints::open(options, primary, secondary)?;
    let start = checkpoints.take();
    let mut findings = Findings {
        rows: start.rows,
        rows_before: start.rows,
        differences: start.differences,
        candidates: start.candidates,
        in_motion: start.in_motion,
        read_again: start.read_again,
        stalled: None,
        differences_max: options.differences_max,
        progress,
    };
    let pair = Pair {
        primary,
        secondary,
        options,
    };
    if options.digests {
        digests::compare(&pair, start.next_key, &mut findings, &mut checkpoints).await?;
    } else {
        stream::compare(&pair, start.next_key, &mut findings, &mut checkpoints).await?;
    }
    settle::settle(&pair, &mut findings).await?;
    findings.tell();
    checkpoints.remove()?;
    let compared = (findings.rows - findings.rows_before) as f64;
    Ok(Report {
        rows: findings.rows,
        differences: findings.differences,
        in_motion: findings.in_motion,
        read_again: findings.read_again,
        rows_per_s: (compared / began.elapsed().as_secs_f64().max(1e-6)) as u64,
        watermark: primary_position.min(secondary_position),
        primary_position,
        secondary_position,
    })
}

/// What is compared, and how.
struct Pair<'s> {
    primary: &'s Store,
    secondary: &'s Store,
    options: &'s VerifyOptions,
}

impl Pair<'_> {
    /// Between two pieces of work: `next_key` is the first that was not compared yet.
    async fn pause(
        &self,
        next_key: &[u8],
        findings: &mut Findings<'_>,
        checkpoints: &mut Checkpoints,
    ) -> Result<(), SnapshotError> {
        if findings.candidates.len() >= CANDIDATES_MAX {
            settle::settle(self, findings).await?;
        }
        findings.tell();
        checkpoints.note(findings.rows, || Checkpoint {
            next_key: next_key.to_vec(),
            rows: findings.rows,
            differences: findings.differences.clone(),
            candidates: findings.candidates.clone(),
            in_motion: findings.in_motion,
            read_again: findings.read_again,
        })
    }
}
