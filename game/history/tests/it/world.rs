//! A game that really has one order, played with delays, lost answers, repeated commands and connections that
//! come and go; what its clients note of it.

use proptest::prelude::*;
use starvault_history::{Kind, Record, Refusal};

use crate::support::{acknowledged, on, record, refused, resumed, sent};

const CLIENTS: [&str; 3] = ["white", "black", "watcher"];

/// What happens next, at the one moment at which it takes effect. Delays are before and after that moment.
#[derive(Clone, Debug)]
pub enum Step {
    /// Whoever's turn it is moves. `answers`: how often it is answered, after so many sendings.
    Move { answers: u8, ends: bool },
    /// A command that follows another sequence.
    Stale { by: usize, off: u32, says: bool },
    /// A client comes back over a new connection, knowing everything up to `back` before the newest.
    Resume { by: usize, back: u32 },
}

#[derive(Clone, Debug)]
pub struct Timed {
    step: Step,
    /// Since the step before.
    after: u64,
    before_it: u64,
    after_it: u64,
    /// Of telling each client.
    telling: [u64; 3],
}

pub fn steps() -> impl Strategy<Value = Vec<Timed>> {
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
pub fn play(steps: &[Timed]) -> Vec<Record> {
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
