//! What real time allows: nothing that was known is asked for, or denied, later.

use crate::{
    Kind, Record, Refusal, Report, Rule,
    bounds::{Known, NotYet, Reached, Unreached},
    commands::{Commands, Placed},
};

/// Somebody asked, and was told where the game stands.
#[derive(Clone, Copy, Debug)]
struct Read<'r> {
    asked_at: u64,
    sequence: u32,
    by: &'r Record,
}

pub(crate) fn check<'r>(
    records: &'r [Record],
    commands: &Commands<'r>,
    placed: &[Placed<'r>],
    report: &mut Report,
) {
    let reads: Vec<Read<'r>> = records
        .iter()
        .filter_map(|record| read(record, commands))
        .collect();
    let acknowledged = Reached::of(records.iter().filter_map(acknowledgement).collect());
    let told = Reached::of(records.iter().filter_map(told).collect());
    let known = Reached::of(records.iter().filter_map(known).collect());

    for command in placed {
        let Placed { sent, place } = *command;
        let too_early = |known: &Known<'r>| known.sequence >= place;
        if let Some(earlier) = acknowledged.before(sent.at).filter(too_early) {
            let what = format!(
                "the command that leads to event {place} was sent after sequence {} was acknowledged",
                earlier.sequence
            );
            report.add(Rule::RealTime, what, earlier.by, Some(sent));
        }
        if let Some(earlier) = told.before(sent.at).filter(too_early) {
            let what = format!(
                "sequence {} was told before the command was sent that leads to event {place}",
                earlier.sequence
            );
            report.add(Rule::MonotonicReads, what, earlier.by, Some(sent));
        }
    }
    for read in &reads {
        let newer = |known: &Known<'r>| known.sequence > read.sequence;
        if let Some(earlier) = known.before(read.asked_at).filter(newer) {
            let what = format!(
                "the game is said to stand at {}, and it had reached {} before that was asked",
                read.sequence, earlier.sequence
            );
            report.add(Rule::MonotonicReads, what, earlier.by, Some(read.by));
        }
    }
    let sent_later = placed.iter().map(|command| NotYet {
        at: command.sent.at,
        sequence: command.place,
        by: command.sent,
    });
    let told_less = reads.iter().map(|read| NotYet {
        at: read.asked_at,
        sequence: read.sequence.saturating_add(1),
        by: read.by,
    });
    let unreached = Unreached::of(sent_later.chain(told_less).collect());
    for record in records {
        stale_refusal(record, commands, &known, &unreached, report);
    }
}

/// A command that follows the game's sequence all the time it is under way cannot be refused for it.
fn stale_refusal<'r>(
    record: &'r Record,
    commands: &Commands<'r>,
    known: &Reached<'r>,
    unreached: &Unreached<'r>,
    report: &mut Report,
) {
    let Kind::Refused {
        refusal: Refusal::Stale,
        sequence,
        ..
    } = &record.kind
    else {
        return;
    };
    // Never sent: that is said elsewhere.
    let Some(command) = commands.of_record(record) else {
        return;
    };
    let Some(expected) = command.expected_sequence else {
        let what = "it follows whatever is there, and was refused for what it follows".to_owned();
        report.add(Rule::StaleRefusal, what, record, Some(command.sent));
        return;
    };
    let lowest = known.before(command.sent.at).map_or(0, |one| one.sequence);
    let not_yet = unreached.at(record.at);
    let may_be = |sequence: u32| not_yet.is_none_or(|one| sequence < one.sequence);
    let second = not_yet.map_or(command.sent, |one| one.by);
    let what = match *sequence {
        Some(said) if said == expected => {
            format!("refused because it follows {expected}, where the game is said to stand")
        }
        Some(said) if !may_be(said) => {
            format!("refused because the game is said to stand at {said}, which it reached only later")
        }
        // That it stood there while it was asked is the matter of monotonic reads.
        Some(_) => return,
        None if lowest < expected || may_be(expected.saturating_add(1)) || lowest > expected => return,
        None => format!("refused because it follows {expected}, where the game stood all the time"),
    };
    report.add(Rule::StaleRefusal, what, record, Some(second));
}

fn read<'r>(by: &'r Record, commands: &Commands<'r>) -> Option<Read<'r>> {
    let (asked_at, sequence) = match &by.kind {
        Kind::Resumed {
            asked_at, sequence, ..
        }
        | Kind::NotResumed {
            asked_at, sequence, ..
        } => (*asked_at, *sequence),
        Kind::Refused {
            sequence: Some(sequence),
            ..
        } => (commands.of_record(by)?.sent.at, *sequence),
        _ => return None,
    };
    Some(Read {
        asked_at,
        sequence,
        by,
    })
}

fn acknowledgement(by: &Record) -> Option<Known<'_>> {
    match by.kind {
        Kind::Acknowledged { sequence, .. } => Some(Known {
            at: by.at,
            sequence,
            by,
        }),
        _ => None,
    }
}

fn told(by: &Record) -> Option<Known<'_>> {
    let sequence = match by.kind {
        Kind::Told { sequence, .. } | Kind::Resumed { sequence, .. } | Kind::NotResumed { sequence, .. } => {
            sequence
        }
        Kind::Refused { sequence, .. } => sequence?,
        Kind::Sent { .. } | Kind::Acknowledged { .. } => return None,
    };
    Some(Known {
        at: by.at,
        sequence,
        by,
    })
}

fn known(by: &Record) -> Option<Known<'_>> {
    acknowledgement(by).or_else(|| told(by))
}
