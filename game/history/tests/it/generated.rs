//! Histories of a game that really has one order, with delays, lost answers, repeated commands and
//! connections that come and go: accepted. The same, damaged in one way: rejected by the rule that it breaks.

use proptest::prelude::*;
use starvault_history::{Kind, Record, Refusal, Rule};

use crate::support::{acknowledged, check, on, record, refused, resumed, sent};

const CLIENTS: [&str; 3] = ["white", "black", "watcher"];

/// What happens next, at the one moment at which it takes effect. Delays are before and after that moment.
#[derive(Clone, Debug)]
enum Step {
    /// Whoever's turn it is moves. `answers`: how often it is answered, after so many sendings.
    Move { answers: u8, ends: bool },
    /// A command that follows another sequence.
    Stale { by: usize, off: u32, says: bool },
    /// A client comes back over a new connection, knowing everything up to `back` before the newest.
    Resume { by: usize, back: u32 },
}

#[derive(Clone, Debug)]
struct Timed {
    step: Step,
    /// Since the step before.
    after: u64,
    before_it: u64,
    after_it: u64,
    /// Of telling each client.
    telling: [u64; 3],
}

fn steps() -> impl Strategy<Value = Vec<Timed>> {
    let step = prop_oneof![
        6 => (0_u8..3, prop::bool::weighted(0.1)).prop_map(|(answers, ends)| Step::Move { answers, ends }),
        2 => (0_usize..2, 1_u32..4, any::<bool>()).prop_map(|(by, off, says)| Step::Stale { by, off, says }),
        2 => (0_usize..3, 0_u32..4).prop_map(|(by, back)| Step::Resume { by, back }),
    ];
    let timed = (step, 1_u64..20, 0_u64..60, 0_u64..60, [0_u64..60, 0..60, 0..60]).prop_map(
        |(step, after, before_it, after_it, telling)| Timed {
            step,
            after,
            before_it,
            after_it,
            telling,
        },
    );
    prop::collection::vec(timed, 4..60)
}

struct Connection {
    number: u32,
    opened_at: u64,
    /// When its last telling arrives: tellings do not overtake each other.
    told_until: u64,
    /// Where its notes lie that came while it was the client's.
    told: Vec<Record>,
}

struct World {
    now: u64,
    /// Event and cause; the first has sequence 1.
    events: Vec<(String, Option<String>)>,
    connections: Vec<Connection>,
    records: Vec<Record>,
}

impl World {
    fn sequence(&self) -> u32 {
        self.events.len() as u32
    }

    fn told(&self, by: usize, connection: u32, at: u64, sequence: u32) -> Record {
        let (event, cause) = self.events[sequence as usize - 1].clone();
        let kind = Kind::Told {
            sequence,
            event,
            cause,
        };
        on(connection, record(CLIENTS[by], at, kind))
    }

    fn happens(&mut self, event: String, cause: Option<String>, telling: [u64; 3]) {
        self.events.push((event, cause));
        let sequence = self.sequence();
        for (by, delay) in telling.into_iter().enumerate() {
            let connection = &mut self.connections[by];
            connection.told_until = connection.told_until.max(self.now + delay);
            let (number, at) = (connection.number, connection.told_until);
            let told = self.told(by, number, at, sequence);
            self.connections[by].told.push(told);
        }
    }

    /// The connection goes at `at`: what was still to come never does.
    fn close(&mut self, by: usize, at: u64) {
        let told = std::mem::take(&mut self.connections[by].told);
        self.records.extend(told.into_iter().filter(|one| one.at <= at));
    }

    fn resume(&mut self, by: usize, back: u32, timed: (u64, u64)) {
        let asked_at = (self.now.saturating_sub(timed.0)).max(self.connections[by].opened_at + 1);
        if asked_at > self.now {
            return;
        }
        let at = self.now + timed.1;
        self.close(by, asked_at);
        let number = self.connections[by].number + 1;
        let (from, to) = (self.sequence().saturating_sub(back), self.sequence());
        self.records
            .push(on(number, resumed(CLIENTS[by], asked_at, at, from, to)));
        for sequence in from + 1..=to {
            let told = self.told(by, number, at, sequence);
            self.records.push(told);
        }
        self.connections[by] = Connection {
            number,
            opened_at: at,
            told_until: at,
            told: Vec::new(),
        };
    }
}

/// Plays these steps; the notes in the order of time.
fn play(steps: &[Timed]) -> Vec<Record> {
    let mut world = World {
        now: 1_000,
        events: vec![("start".into(), None)],
        connections: Vec::new(),
        records: Vec::new(),
    };
    for client in CLIENTS {
        world.connections.push(Connection {
            number: 1,
            opened_at: 0,
            told_until: world.now,
            told: Vec::new(),
        });
        world.records.push(resumed(client, 900, 1_000, 1, 1));
    }
    let mut ended = false;
    for (index, timed) in steps.iter().enumerate() {
        world.now += timed.after;
        let (sent_at, answered_at) = (
            world.now.saturating_sub(timed.before_it),
            world.now + timed.after_it,
        );
        let sequence = world.sequence();
        let id = format!("c{index}");
        match timed.step {
            Step::Move { .. } if ended => {}
            Step::Move { answers, ends } => {
                // Not by sequence: the same move by the same side comes again and again.
                let by = sequence as usize % 2;
                let client = CLIENTS[by];
                let what = format!("{client} moves {}", index % 3);
                world.records.push(sent(client, sent_at, &id, sequence, &what));
                world.happens(format!("{index}: {what}"), Some(what.clone()), timed.telling);
                if ends {
                    world.happens("the end".into(), None, timed.telling);
                    ended = true;
                }
                for answer in 0..u64::from(answers) {
                    let at = answered_at + 50 * answer;
                    if answer > 0 {
                        world.records.push(sent(client, at - 1, &id, sequence, &what));
                    }
                    world
                        .records
                        .push(acknowledged(client, at, &id, world.sequence()));
                }
            }
            Step::Stale { by, off, says } => {
                let expected = if off > sequence {
                    sequence + off
                } else {
                    sequence - off
                };
                let (client, says) = (CLIENTS[by], says.then_some(sequence));
                world
                    .records
                    .push(sent(client, sent_at, &id, expected, "anything"));
                world
                    .records
                    .push(refused(client, answered_at, &id, Refusal::Stale, says));
            }
            Step::Resume { by, back } => world.resume(by, back, (timed.before_it, timed.after_it)),
        }
    }
    // Everybody looks at the whole game once more, after everything has arrived.
    world.now += 1_000;
    for by in 0..CLIENTS.len() {
        world.resume(by, u32::MAX, (10, 10));
        world.close(by, u64::MAX);
    }
    world.records.sort_by_key(|one| one.at);
    world.records
}

fn all<'r>(records: &'r [Record], fits: impl Fn(&Record) -> bool + 'r) -> Vec<usize> {
    (0..records.len()).filter(|at| fits(&records[*at])).collect()
}

/// Each acknowledged command once: when it was sent and answered, and its place.
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
    found.sort_unstable();
    found.dedup();
    found
}

#[derive(Clone, Copy, Debug)]
enum Damage {
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
    const ALL: [(Self, Rule); 12] = [
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
    fn apply(self, history: &[Record], pick: usize) -> Option<Vec<Record>> {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_history_of_a_real_order_is_accepted(steps in steps()) {
        let history = play(&steps);
        let report = check(&history);
        prop_assert!(report.is_clean(), "{:#?}\n{:#?}", report.found, history);
    }

    #[test]
    fn a_damaged_history_is_rejected_by_the_rule_that_it_breaks(steps in steps(), pick in any::<usize>()) {
        let history = play(&steps);
        for (damage, rule) in Damage::ALL {
            let Some(damaged) = damage.apply(&history, pick) else { continue };
            let found = check(&damaged);
            prop_assert!(
                found.found.iter().any(|one| one.rule == rule),
                "{damage:?} is not seen as {rule:?}: {:#?}\n{damaged:#?}", found.found
            );
        }
    }
}

/// Every kind of damage finds something to damage in a history as they are made here.
#[test]
fn every_kind_of_damage_is_tried() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    for (damage, _) in Damage::ALL {
        let tried = (0..40)
            .filter(|pick| {
                let history = play(&steps().new_tree(&mut runner).unwrap().current());
                damage.apply(&history, *pick).is_some()
            })
            .count();
        assert!(tried >= 10, "{damage:?}: {tried} of 40");
    }
}
