//! A sound history, damaged in one way.

use starvault_history::{Kind, Record, Refusal, Rule};

use crate::support::{on, refused, resumed, sent};

fn all<'r>(records: &'r [Record], fits: impl Fn(&Record) -> bool + 'r) -> Vec<usize> {
    (0..records.len()).filter(|at| fits(&records[*at])).collect()
}

/// Each acknowledged command once, by its place: where it was sent and answered, and the place.
fn commands(records: &[Record]) -> Vec<(usize, usize, u32)> {
    let first = |fits: &dyn Fn(&Kind) -> bool| records.iter().position(|one| fits(&one.kind));
    let mut found: Vec<(usize, usize, u32)> = records
        .iter()
        .filter_map(|one| match &one.kind {
            Kind::Acknowledged { command_id: id, .. } => {
                let sent = first(&|kind| matches!(kind, Kind::Sent { command_id, .. } if command_id == id))?;
                let answered =
                    first(&|kind| matches!(kind, Kind::Acknowledged { command_id, .. } if command_id == id))?;
                let Kind::Sent {
                    expected_sequence: Some(expected),
                    ..
                } = records[sent].kind
                else {
                    return None;
                };
                Some((sent, answered, expected + 1))
            }
            _ => None,
        })
        .collect();
    found.sort_unstable_by_key(|(sent, answered, place)| (*place, *sent, *answered));
    found.dedup();
    found
}

#[derive(Clone, Copy, Debug)]
pub enum Damage {
    AlterAnEvent,
    AlterACause,
    DropATelling,
    DoubleATelling,
    SwapTellings,
    SwapAnswers,
    DropASending,
    AnswerAgainDifferently,
    MoveASendingPastALaterAnswer,
    MoveASendingPastItsTelling,
    ForgetOnResume,
    RefuseWhatFollows,
}

impl Damage {
    pub const ALL: [(Self, Rule); 12] = [
        (Self::AlterAnEvent, Rule::Agreement),
        (Self::AlterACause, Rule::Command),
        (Self::DropATelling, Rule::Order),
        (Self::DoubleATelling, Rule::Order),
        (Self::SwapTellings, Rule::Order),
        (Self::SwapAnswers, Rule::Command),
        (Self::DropASending, Rule::Command),
        (Self::AnswerAgainDifferently, Rule::Command),
        (Self::MoveASendingPastALaterAnswer, Rule::RealTime),
        (Self::MoveASendingPastItsTelling, Rule::MonotonicReads),
        (Self::ForgetOnResume, Rule::MonotonicReads),
        (Self::RefuseWhatFollows, Rule::StaleRefusal),
    ];

    /// None: there is nothing of the kind in this history. `pick`: any number.
    pub fn apply(self, history: &[Record], pick: usize) -> Option<Vec<Record>> {
        let mut records = history.to_vec();
        let one_of = |places: Vec<usize>| (!places.is_empty()).then(|| places[pick % places.len()]);
        let tellings = all(history, |one| matches!(one.kind, Kind::Told { .. }));
        // Two tellings of one connection, one right after the other.
        let pairs = || -> Vec<(usize, usize)> {
            let same = |a: usize, b: usize| {
                (&history[a].client, history[a].connection) == (&history[b].client, history[b].connection)
            };
            tellings
                .iter()
                .filter_map(|a| Some((*a, *tellings.iter().find(|b| **b > *a && same(*a, **b))?)))
                .collect()
        };
        match self {
            Self::AlterAnEvent => {
                let at = one_of(tellings)?;
                if let Kind::Told { event, .. } = &mut records[at].kind {
                    event.push('!');
                }
            }
            Self::AlterACause => {
                let (.., place) = *commands(history).get(pick % commands(history).len().max(1))?;
                for one in &mut records {
                    if let Kind::Told { sequence, cause, .. } = &mut one.kind
                        && *sequence == place
                    {
                        *cause = Some("black moves something else".into());
                    }
                }
            }
            Self::DropATelling => {
                // Not the last of its connection: nobody can miss that.
                let (first, _) = *pairs().get(pick % pairs().len().max(1))?;
                records.remove(first);
            }
            Self::DoubleATelling => {
                let at = one_of(tellings)?;
                let copy = records[at].clone();
                records.insert(at + 1, copy);
            }
            Self::SwapTellings => {
                let (a, b) = *pairs().get(pick % pairs().len().max(1))?;
                let first = records[a].kind.clone();
                records[a].kind = std::mem::replace(&mut records[b].kind, first);
            }
            Self::SwapAnswers => {
                let [(_, a, _), .., (_, b, _)] = commands(history)[..] else {
                    return None;
                };
                let sequence = |at: usize| match history[at].kind {
                    Kind::Acknowledged { sequence, .. } => sequence,
                    _ => 0,
                };
                for (at, other) in [(a, b), (b, a)] {
                    if let Kind::Acknowledged { sequence: mine, .. } = &mut records[at].kind {
                        *mine = sequence(other);
                    }
                }
            }
            Self::DropASending => {
                let (sent, ..) = *commands(history).get(pick % commands(history).len().max(1))?;
                let Kind::Sent { command_id: id, .. } = &history[sent].kind else {
                    return None;
                };
                records.retain(|one| !matches!(&one.kind, Kind::Sent { command_id, .. } if command_id == id));
            }
            Self::AnswerAgainDifferently => {
                let (_, answered, _) = *commands(history).get(pick % commands(history).len().max(1))?;
                let mut again = records[answered].clone();
                if let Kind::Acknowledged { sequence, .. } = &mut again.kind {
                    *sequence += 1;
                }
                again.at = u64::MAX;
                records.push(again);
            }
            Self::MoveASendingPastALaterAnswer => {
                let found = commands(history);
                let [(first, ..), .., (_, later, _)] = found[..] else {
                    return None;
                };
                records[first].at = history[later].at + 1;
            }
            Self::MoveASendingPastItsTelling => {
                // Unanswered, so that no answer is moved over: one whose event was told.
                let answered: Vec<usize> = commands(history).iter().map(|one| one.0).collect();
                let unanswered = all(history, |one| {
                    matches!(&one.kind, Kind::Sent { command_id, what, .. } if what != "anything"
                        && !answered.iter().any(|at| matches!(&history[*at].kind,
                            Kind::Sent { command_id: other, .. } if other == command_id)))
                });
                let at = one_of(unanswered)?;
                records[at].at = history.last()?.at + 1;
            }
            Self::ForgetOnResume => {
                // The last look of the first client is answered before the others ask.
                let last = *all(history, |one| matches!(one.kind, Kind::Resumed { .. })).last()?;
                let Kind::Resumed { sequence, .. } = &mut records[last].kind else {
                    return None;
                };
                if *sequence < 2 {
                    return None;
                }
                *sequence -= 1;
                let less = *sequence;
                let (client, connection) = (records[last].client.clone(), records[last].connection);
                records.retain(|one| {
                    let of_it = one.client == client && one.connection == connection;
                    !(of_it && matches!(one.kind, Kind::Told { sequence, .. } if sequence > less))
                });
            }
            Self::RefuseWhatFollows => {
                let end = history.last()?.at;
                let Kind::Resumed { sequence, .. } =
                    history[*all(history, |one| matches!(one.kind, Kind::Resumed { .. })).last()?].kind
                else {
                    return None;
                };
                records.push(sent("white", end + 10, "late", sequence, "anything"));
                records.push(refused("white", end + 20, "late", Refusal::Stale, None));
                records.push(on(99, resumed("black", end + 30, end + 40, sequence, sequence)));
            }
        }
        Some(records)
    }
}
