//! The events of a game, as its clients were told them.

use std::collections::BTreeMap;

use crate::{Kind, Record, Report, Rule};

/// One event: who was told first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'r> {
    pub told: &'r Record,
    pub cause: Option<&'r str>,
}

#[derive(Debug)]
pub(crate) struct Events<'r>(BTreeMap<u32, Event<'r>>);

impl<'r> Events<'r> {
    /// Finds on the way who was told something else.
    pub fn of(records: &'r [Record], report: &mut Report) -> Self {
        let mut events: BTreeMap<u32, Event<'r>> = BTreeMap::new();
        for told in records {
            let Kind::Told {
                sequence,
                event,
                cause,
            } = &told.kind
            else {
                continue;
            };
            let cause = cause.as_deref();
            let known = events.entry(*sequence).or_insert(Event { told, cause });
            if let Kind::Told { event: other, .. } = &known.told.kind
                && (other != event || known.cause != cause)
            {
                let what = format!(
                    "event {sequence} is one thing to {} and another to {}",
                    known.told.client, told.client
                );
                report.add(Rule::Agreement, what, known.told, Some(told));
            }
        }
        Self(events)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn at(&self, sequence: u32) -> Option<Event<'r>> {
        self.0.get(&sequence).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, Event<'r>)> {
        self.0.iter().map(|(sequence, event)| (*sequence, *event))
    }

    /// The events in `from..=to` that somebody was told of.
    pub fn within(&self, from: u32, to: u32) -> impl Iterator<Item = (u32, Event<'r>)> {
        let from = from.min(to.saturating_add(1));
        self.0
            .range(from..)
            .take_while(move |(at, _)| **at <= to)
            .map(|(at, event)| (*at, *event))
    }
}
