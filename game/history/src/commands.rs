//! Commands, their answers, and the place that each has in its game.

use std::collections::BTreeMap;

use crate::{Kind, Record, Report, Rule, events::Events};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Acknowledged {
        sequence: u32,
    },
    /// For good.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Command<'r> {
    pub sent: &'r Record,
    pub expected_sequence: Option<u32>,
    pub what: &'r str,
    /// The first that decides.
    pub answer: Option<(Answer, &'r Record)>,
}

/// By client and command id: ids are the client's own.
#[derive(Debug)]
pub(crate) struct Commands<'r>(BTreeMap<(&'r str, &'r str), Command<'r>>);

/// A command whose place in the game is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<'r> {
    pub sent: &'r Record,
    /// The sequence of its first event.
    pub place: u32,
}

impl<'r> Commands<'r> {
    /// Finds on the way who is answered differently the second time.
    pub fn of(records: &'r [Record], report: &mut Report) -> Self {
        let mut commands = BTreeMap::new();
        for sent in records {
            if let Kind::Sent {
                command_id,
                expected_sequence,
                what,
            } = &sent.kind
            {
                commands
                    .entry((sent.client.as_str(), command_id.as_str()))
                    .or_insert(Command {
                        sent,
                        expected_sequence: *expected_sequence,
                        what,
                        answer: None,
                    });
            }
        }
        let mut commands = Self(commands);
        for record in records {
            let (command_id, answer) = match &record.kind {
                Kind::Acknowledged { command_id, sequence } => {
                    (command_id, Some(Answer::Acknowledged { sequence: *sequence }))
                }
                Kind::Refused {
                    command_id, refusal, ..
                } => (command_id, refusal.is_final().then_some(Answer::Refused)),
                _ => continue,
            };
            commands.answered(record, command_id, answer, report);
        }
        commands
    }

    fn answered(
        &mut self,
        record: &'r Record,
        command_id: &'r str,
        answer: Option<Answer>,
        report: &mut Report,
    ) {
        let Some(command) = self.0.get_mut(&(record.client.as_str(), command_id)) else {
            let what = format!("{} is answered, and was never sent", command_id);
            report.add(Rule::Command, what, record, None);
            return;
        };
        let Some(answer) = answer else { return };
        match command.answer {
            None => command.answer = Some((answer, record)),
            Some((_, first)) if same_answer(first, record) => {}
            Some((_, first)) => {
                let what = format!("{command_id} is answered again, and differently");
                report.add(Rule::Command, what, first, Some(record));
            }
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn of_record(&self, record: &'r Record) -> Option<&Command<'r>> {
        let command_id = match &record.kind {
            Kind::Sent { command_id, .. }
            | Kind::Acknowledged { command_id, .. }
            | Kind::Refused { command_id, .. } => command_id,
            _ => return None,
        };
        self.0.get(&(record.client.as_str(), command_id.as_str()))
    }

    /// Where each command stands in the game, as far as that is known. Finds on the way commands whose
    /// events are missing or others, places that are taken twice, and events that nobody asked for.
    pub fn place(&self, events: &Events<'r>, report: &mut Report) -> Vec<Placed<'r>> {
        let mut taken: BTreeMap<u32, &Command<'r>> = BTreeMap::new();
        let mut placed = Vec::new();
        for command in self.0.values() {
            let Some((Answer::Acknowledged { sequence }, acknowledged)) = command.answer else {
                continue;
            };
            let Some(place) = place_of(command, sequence, acknowledged, events, report) else {
                continue;
            };
            if let Some(other) = taken.insert(place, command) {
                let what = format!(
                    "two commands were acknowledged at place {place}, {:?} and {:?}",
                    other.what, command.what
                );
                report.add(Rule::Command, what, other.sent, Some(command.sent));
            }
            let sent = command.sent;
            placed.push(Placed { sent, place });
        }
        self.explain(events, &taken, &mut placed, report);
        placed
    }

    /// Every event that comes of a command comes of one that was sent.
    fn explain(
        &self,
        events: &Events<'r>,
        taken: &BTreeMap<u32, &Command<'r>>,
        placed: &mut Vec<Placed<'r>>,
        report: &mut Report,
    ) {
        // Not acknowledged, by what they are to bring about.
        let mut open: BTreeMap<&str, Vec<&Command<'r>>> = BTreeMap::new();
        for command in self.0.values() {
            if !matches!(command.answer, Some((Answer::Acknowledged { .. }, _))) {
                open.entry(command.what).or_default().push(command);
            }
        }
        for (sequence, event) in events.iter() {
            let Some(cause) = event.cause else { continue };
            if taken.contains_key(&sequence) {
                // Whether it is the right one was looked at there.
                continue;
            }
            let candidates = open.get(cause).map_or([].as_slice(), Vec::as_slice);
            let fits = |command: &&&Command<'r>| {
                command
                    .expected_sequence
                    .is_none_or(|expected| expected.checked_add(1) == Some(sequence))
            };
            let fitting = candidates.iter().filter(fits);
            if let Some(command) = fitting.clone().find(|command| command.answer.is_none()) {
                if command.expected_sequence.is_some() {
                    let sent = command.sent;
                    placed.push(Placed {
                        sent,
                        place: sequence,
                    });
                }
                continue;
            }
            let refused = fitting.into_iter().find_map(|command| command.answer);
            let what = match refused {
                Some(_) => format!("event {sequence} comes of {cause:?}, which was refused"),
                None => format!("event {sequence} comes of {cause:?}, which nobody sent for this place"),
            };
            report.add(Rule::Command, what, event.told, refused.map(|(_, record)| record));
        }
    }
}

fn same_answer(first: &Record, second: &Record) -> bool {
    match (&first.kind, &second.kind) {
        (Kind::Acknowledged { sequence: a, .. }, Kind::Acknowledged { sequence: b, .. }) => a == b,
        (Kind::Refused { code: a, .. }, Kind::Refused { code: b, .. }) => a == b,
        _ => false,
    }
}

/// Where an acknowledged command stands; none where that cannot be told. An acknowledgement names the last of
/// the command's events, which may be one that follows of itself: a move and the end of the game.
fn place_of<'r>(
    command: &Command<'r>,
    acknowledged_at: u32,
    acknowledged: &'r Record,
    events: &Events<'r>,
    report: &mut Report,
) -> Option<u32> {
    let what = command.what;
    let place = match command.expected_sequence {
        Some(expected) => expected.checked_add(1)?,
        None => {
            // The last event up to there that comes of a command at all.
            let caused = (0..=acknowledged_at)
                .rev()
                .map_while(|at| Some((at, events.at(at)?)))
                .find(|(_, event)| event.cause.is_some());
            caused?.0
        }
    };
    if acknowledged_at < place {
        let what = format!(
            "{what:?} follows {}, and was acknowledged at {acknowledged_at}",
            place - 1
        );
        report.add(Rule::Command, what, acknowledged, Some(command.sent));
        return None;
    }
    if let Some(event) = events.at(place).filter(|event| event.cause != Some(what)) {
        let what = format!("{what:?} was acknowledged, and event {place} is another");
        report.add(Rule::Command, what, acknowledged, Some(event.told));
        return None;
    }
    for (at, event) in events.within(place + 1, acknowledged_at) {
        if event.cause.is_some() {
            let what = format!(
                "{what:?} stands at {place} and was acknowledged at {acknowledged_at}, past another command's event {at}"
            );
            report.add(Rule::Command, what, acknowledged, Some(event.told));
        }
    }
    Some(place)
}
