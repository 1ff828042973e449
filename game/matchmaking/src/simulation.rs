//! A whole day of players against one pool, from a seed: who came, who met whom, how long it took.
//!
//! It owns the model of the players and the figures of the report. It decides nothing about
//! matches, writes nothing and reads no clock: a day is a loop over simulated milliseconds.

mod report;

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{Match, PlayerKey, Queue, Settings, Ticket, TicketId, random::Random};

pub use report::{DecileReport, HourReport, Quantiles, Report};
use report::{Meeting, Notes};

const HOUR_MS: f64 = 3_600_000.0;
/// When the day ends. Whoever still plays or waits then is counted as left over.
const DAY_MS: u64 = 24 * 3_600_000;

/// The share of the day's sessions that begin in each hour, local time, on a working day: little at
/// night, a bump at lunch, most in the evening. Only the proportions matter.
pub const WEEKDAY: [f64; 24] = [
    2.2, 1.2, 0.7, 0.4, 0.3, 0.5, 1.0, 2.0, 2.6, 2.6, 2.8, 3.6, 5.4, 5.0, 3.4, 3.2, 3.6, 4.6, 6.2, 8.4, 10.6,
    11.4, 9.8, 5.6,
];

/// A day's players and the policy that they meet. [`Day::default`] is the day of the documentation.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    pub seed: u64,
    pub settings: Settings,
    /// Each comes once, stays for some games, and goes.
    pub players: usize,
    pub rating_mean: f64,
    pub rating_deviation: f64,
    /// How far a player's rating is from the player's strength (standard deviation, rating points).
    pub rating_error: f64,
    pub arrivals: [f64; 24],
    /// After a game a player queues again with this chance.
    pub plays_on: f64,
    pub pause_ms_mean: f64,
    pub game_ms_mean: f64,
    /// The chance that a connection is lost during a wait, and how long it stays lost on average.
    pub disconnects: f64,
    pub disconnect_ms_mean: f64,
    /// A suspended ticket is dropped after this long.
    pub grace_ms: u64,
    /// The chance that a player has little patience, and how much that is on average.
    pub impatient: f64,
    pub patience_ms_mean: f64,
}

impl Default for Day {
    fn default() -> Self {
        Self {
            seed: 48,
            settings: Settings::default(),
            players: 100_000,
            rating_mean: 1500.0,
            rating_deviation: 300.0,
            rating_error: 60.0,
            arrivals: WEEKDAY,
            plays_on: 0.75,
            pause_ms_mean: 15_000.0,
            game_ms_mean: 300_000.0,
            disconnects: 0.02,
            disconnect_ms_mean: 6_000.0,
            grace_ms: 10_000,
            impatient: 0.03,
            patience_ms_mean: 20_000.0,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Player {
    rating: i32,
    strength: f64,
    last_opponent: Option<u32>,
    waits_with: Option<TicketId>,
    /// The connection was lost during the present wait.
    was_away: bool,
}

/// What happens to a player, who is a position in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Queues { player: u32 },
    Disconnects { player: u32, ticket: TicketId },
    Reconnects { ticket: TicketId },
    LosesPatience { player: u32, ticket: TicketId },
    DayEnds,
}

struct Simulation<'a> {
    day: &'a Day,
    random: Random,
    queue: Queue,
    players: Vec<Player>,
    /// (moment, order of planning, what).
    agenda: BinaryHeap<Reverse<(u64, u64, What)>>,
    planned: u64,
    tickets: u64,
    notes: Notes,
}

impl Day {
    /// Lives through the day. The same day gives the same report.
    #[must_use]
    pub fn run(&self) -> Report {
        let mut simulation = Simulation {
            day: self,
            random: Random::new(self.seed),
            queue: Queue::new(self.settings),
            players: Vec::with_capacity(self.players),
            agenda: BinaryHeap::new(),
            planned: 0,
            tickets: 0,
            notes: Notes::default(),
        };
        simulation.gather();
        simulation.live();
        simulation.notes.report(&simulation.queue)
    }
}

impl Simulation<'_> {
    fn gather(&mut self) {
        let total: f64 = self.day.arrivals.iter().sum();
        for player in 0..self.day.players as u32 {
            let strength = self
                .random
                .normal(self.day.rating_mean, self.day.rating_deviation);
            let rating = strength + self.random.normal(0.0, self.day.rating_error);
            self.players.push(Player {
                rating: rating.clamp(100.0, 3000.0) as i32,
                strength,
                last_opponent: None,
                waits_with: None,
                was_away: false,
            });
            let mut share = self.random.fraction() * total;
            let mut hour = 0;
            while hour < 23 && share >= self.day.arrivals[hour] {
                share -= self.day.arrivals[hour];
                hour += 1;
            }
            let at_ms = (hour as f64 + self.random.fraction()) * HOUR_MS;
            self.plan(at_ms as u64, What::Queues { player });
        }
        self.plan(DAY_MS, What::DayEnds);
    }

    fn plan(&mut self, at_ms: u64, what: What) {
        self.planned += 1;
        self.agenda.push(Reverse((at_ms, self.planned, what)));
    }

    fn live(&mut self) {
        while let Some(&Reverse((next_ms, _, what))) = self.agenda.peek() {
            let wakes_ms = [self.queue.next_deadline(), self.queue.next_expiry()];
            let now_ms = match wakes_ms.into_iter().flatten().min() {
                Some(wakes_ms) if wakes_ms < next_ms => wakes_ms,
                _ => {
                    self.agenda.pop();
                    if what == What::DayEnds {
                        return;
                    }
                    self.happens(next_ms, what);
                    next_ms
                }
            };
            for ticket in self.queue.expire(now_ms) {
                self.players[ticket.player.0 as usize].waits_with = None;
                self.notes.expired += 1;
            }
            let matches = self.queue.poll(now_ms);
            let mut waiting = self.queue.len() - self.queue.suspended_len() + 2 * matches.len();
            for found in matches {
                self.meets(now_ms, &found, waiting == 2);
                waiting -= 2;
            }
            let oldest_ms = self
                .queue
                .oldest_enqueued_at_ms()
                .map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
            self.notes.oldest(now_ms, oldest_ms, self.queue.len());
        }
    }

    fn happens(&mut self, now_ms: u64, what: What) {
        match what {
            What::Queues { player } => self.queues(now_ms, player),
            What::Disconnects { player, ticket } => {
                if self.players[player as usize].waits_with == Some(ticket)
                    && self.queue.suspend(ticket, now_ms + self.day.grace_ms)
                {
                    self.players[player as usize].was_away = true;
                    self.notes.disconnected += 1;
                    let away_ms = self.random.exponential(self.day.disconnect_ms_mean) as u64;
                    self.plan(now_ms + away_ms, What::Reconnects { ticket });
                }
            }
            What::Reconnects { ticket } => {
                self.notes.resumed += u64::from(self.queue.resume(ticket));
            }
            What::LosesPatience { player, ticket } => {
                if self.queue.remove(ticket).is_some() {
                    self.players[player as usize].waits_with = None;
                    self.notes.cancelled += 1;
                }
            }
            What::DayEnds => {}
        }
    }

    fn queues(&mut self, now_ms: u64, player: u32) {
        self.tickets += 1;
        let known = &mut self.players[player as usize];
        let ticket = Ticket {
            id: TicketId(self.tickets),
            player: PlayerKey(u64::from(player)),
            rating: known.rating,
            enqueued_at_ms: now_ms,
            avoid: known.last_opponent.map(|other| PlayerKey(u64::from(other))),
        };
        if self.queue.add(ticket).is_err() {
            self.notes.refused += 1;
            return;
        }
        self.notes.tickets += 1;
        known.waits_with = Some(ticket.id);
        known.was_away = false;
        let id = ticket.id;
        if self.random.chance(self.day.disconnects) {
            let at_ms = now_ms + self.random.exponential(1_000.0) as u64;
            self.plan(at_ms, What::Disconnects { player, ticket: id });
        }
        if self.random.chance(self.day.impatient) {
            let at_ms = now_ms + self.random.exponential(self.day.patience_ms_mean) as u64;
            self.plan(at_ms, What::LosesPatience { player, ticket: id });
        }
    }

    /// `alone` if nobody else waited when these two met.
    fn meets(&mut self, now_ms: u64, found: &Match, alone: bool) {
        let sides = [found.older.ticket, found.younger.ticket];
        let [a, b] = sides.map(|ticket| ticket.player.0 as usize);
        let rematch = self.players[a].last_opponent == Some(b as u32)
            || self.players[b].last_opponent == Some(a as u32);
        self.notes.meeting(&Meeting {
            now_ms,
            sides,
            strengths: [self.players[a].strength, self.players[b].strength],
            rematch,
            alone,
            was_away: self.players[a].was_away || self.players[b].was_away,
            settings: self.day.settings,
        });
        let ends_ms = now_ms + self.random.exponential(self.day.game_ms_mean) as u64;
        for (player, opponent) in [(a, b), (b, a)] {
            self.players[player].last_opponent = Some(opponent as u32);
            self.players[player].waits_with = None;
            if self.random.chance(self.day.plays_on) {
                let at_ms = ends_ms + self.random.exponential(self.day.pause_ms_mean) as u64;
                self.plan(
                    at_ms,
                    What::Queues {
                        player: player as u32,
                    },
                );
            }
        }
    }
}
