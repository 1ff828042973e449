//! What one connection is told never goes back and leaves nothing out, unless its client says from where
//! it wants to be told again.

use std::collections::BTreeMap;

use crate::{Kind, Record, Report, Rule};

#[derive(Debug, Clone, Copy)]
struct Cursor<'r> {
    /// The last event that was told, or was not to be told.
    at: u32,
    by: &'r Record,
    /// What a resume promised to tell at once.
    promised: Option<(u32, &'r Record)>,
}

impl Cursor<'_> {
    /// Something else than the promised events comes, or nothing more.
    fn settle(&mut self, report: &mut Report) {
        if let Some((sequence, resumed)) = self.promised.take()
            && self.at < sequence
        {
            let what = format!(
                "the game was resumed at {sequence}, and what was missed was told up to {} only",
                self.at
            );
            report.add(Rule::Order, what, resumed, Some(self.by));
        }
    }
}

pub(crate) fn check(records: &[Record], report: &mut Report) {
    let mut cursors: BTreeMap<(&str, u32), Cursor<'_>> = BTreeMap::new();
    for record in records {
        let key = (record.client.as_str(), record.connection);
        match &record.kind {
            Kind::Told { sequence, .. } => {
                let at = *sequence;
                let Some(cursor) = cursors.get_mut(&key) else {
                    // Told before it was resumed: it counts from here.
                    let promised = None;
                    cursors.insert(
                        key,
                        Cursor {
                            at,
                            by: record,
                            promised,
                        },
                    );
                    continue;
                };
                if cursor.promised.is_some_and(|(promised, _)| at > promised) {
                    cursor.settle(report);
                }
                let what = if at <= cursor.at {
                    Some(format!("event {at} is told after event {}", cursor.at))
                } else if at > cursor.at + 1 {
                    Some(format!("event {at} is told right after event {}", cursor.at))
                } else {
                    None
                };
                if let Some(what) = what {
                    report.add(Rule::Order, what, cursor.by, Some(record));
                }
                cursor.at = cursor.at.max(at);
                cursor.by = record;
            }
            Kind::Resumed { from, sequence, .. } => {
                let cursor = Cursor {
                    at: *from,
                    by: record,
                    promised: Some((*sequence, record)),
                };
                if let Some(mut former) = cursors.insert(key, cursor) {
                    former.settle(report);
                }
                if from > sequence {
                    let what = format!("the game was resumed from {from} and stands at {sequence}");
                    report.add(Rule::Order, what, record, None);
                }
            }
            Kind::Sent { .. }
            | Kind::Acknowledged { .. }
            | Kind::Refused { .. }
            | Kind::NotResumed { .. } => {
                if let Some(cursor) = cursors.get_mut(&key) {
                    cursor.settle(report);
                }
            }
        }
    }
    for mut cursor in cursors.into_values() {
        cursor.settle(report);
    }
}
