//! The players' notes of what they sent and were told, read back and checked as one history.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::Context as _;
use starvault_history::{History, Report};

/// Some hours of torture; each takes a few hundred bytes of memory.
const RECORDS_MAX: usize = 8_000_000;

pub fn check(notes: &Path) -> anyhow::Result<Report> {
    let file = File::open(notes).with_context(|| format!("cannot open {}", notes.display()))?;
    let mut history = History::new(RECORDS_MAX);
    for (line, number) in BufReader::new(file).lines().zip(1_u64..) {
        let record = serde_json::from_str(&line?).with_context(|| format!("line {number} of the notes"))?;
        history.push(record)?;
    }
    Ok(history.check())
}
