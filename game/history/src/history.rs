//! A history is gathered record by record, sorted by game, and checked game by game.

use std::collections::BTreeMap;

use crate::{Record, Report, commands::Commands, connections, events::Events, time};

/// There is no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the history has more than {records_max} records; check shorter runs, or allow more")]
pub struct TooManyRecords {
    pub records_max: usize,
}

/// The observations of all clients of a run.
#[derive(Debug)]
pub struct History {
    games: BTreeMap<String, Vec<Record>>,
    records: usize,
    records_max: usize,
}

impl History {
    #[must_use]
    pub fn new(records_max: usize) -> Self {
        Self {
            games: BTreeMap::new(),
            records: 0,
            records_max,
        }
    }

    /// Takes one more. Those of one connection must come in their order; clients may be mixed as they like.
    ///
    /// # Errors
    /// When there are too many.
    pub fn push(&mut self, record: Record) -> Result<(), TooManyRecords> {
        if self.records == self.records_max {
            return Err(TooManyRecords {
                records_max: self.records_max,
            });
        }
        self.records += 1;
        self.games.entry(record.game_id.clone()).or_default().push(record);
        Ok(())
    }

    /// Checks everything.
    #[must_use]
    pub fn check(&self) -> Report {
        let mut report = Report {
            records: self.records as u64,
            games: self.games.len() as u64,
            ..Report::default()
        };
        for records in self.games.values() {
            connections::check(records, &mut report);
            let events = Events::of(records, &mut report);
            let commands = Commands::of(records, &mut report);
            let placed = commands.place(&events, &mut report);
            time::check(records, &commands, &placed, &mut report);
            report.events += events.len() as u64;
            report.commands += commands.len() as u64;
        }
        report
    }
}
