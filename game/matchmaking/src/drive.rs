//! Feeds one and the same history to any matcher, in simulated time.
//!
//! A history is a list of [`Event`]s in the order of time. [`drive`] adds the moments at which the
//! matcher itself wants to be asked, and keeps the account of who met whom and when. It never
//! decides anything. Whoever measures speed passes a closure that takes the time around
//! [`Matcher::decide`].

use std::collections::BTreeMap;

use crate::{Queue, Ticket, TicketId, random::Random};

/// Something that happens to a matcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub at_ms: u64,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Arrive(Ticket),
    Cancel(TicketId),
    /// The moment that [`Matcher::next_deadline`] asked for. Not part of a history.
    Tick,
}

/// Two tickets that meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    pub older: Ticket,
    pub younger: Ticket,
}

/// What makes matches out of tickets.
pub trait Matcher {
    /// Takes one event and answers with the matches that it leads to.
    fn decide(&mut self, event: Event) -> Vec<Pair>;

    /// When it wants a [`What::Tick`].
    fn next_deadline(&mut self) -> Option<u64>;

    /// Tickets that wait.
    fn waiting(&self) -> usize;
}

impl Matcher for Queue {
    fn decide(&mut self, event: Event) -> Vec<Pair> {
        match event.what {
            // A history never brings a ticket twice; a full queue turns it away.
            What::Arrive(ticket) => drop(self.add(ticket)),
            What::Cancel(id) => drop(self.remove(id)),
            What::Tick => {}
        }
        self.poll(event.at_ms)
            .into_iter()
            .map(|found| Pair {
                older: found.older.ticket,
                younger: found.younger.ticket,
            })
            .collect()
    }

    fn next_deadline(&mut self) -> Option<u64> {
        Self::next_deadline(self)
    }

    fn waiting(&self) -> usize {
        self.len()
    }
}

/// What became of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Arrivals, cancellations and ticks.
    pub decisions: u64,
    pub matches: u64,
    /// How long each matched ticket waited (milliseconds), in ascending order.
    pub waits_ms: Vec<u64>,
    /// The gap of each match in rating points, in ascending order.
    pub gaps: Vec<u32>,
    /// Tickets that still waited when the history was over.
    pub left: usize,
}

impl Account {
    /// The wait that the share `quantile` (0 to 1) of all matched tickets did not exceed.
    #[must_use]
    pub fn wait_ms(&self, quantile: f64) -> u64 {
        at_quantile(&self.waits_ms, quantile).unwrap_or(0)
    }

    /// The gap that the share `quantile` (0 to 1) of all matches did not exceed.
    #[must_use]
    pub fn gap(&self, quantile: f64) -> u32 {
        at_quantile(&self.gaps, quantile).unwrap_or(0)
    }
}

/// The smallest value that at least the share `quantile` of `ascending` does not exceed.
pub(crate) fn at_quantile<T: Copy>(ascending: &[T], quantile: f64) -> Option<T> {
    let rank = (quantile.clamp(0.0, 1.0) * ascending.len() as f64).ceil() as usize;
    ascending.get(rank.max(1) - 1).copied()
}

/// Runs a history (ascending in time) and then the ticks up to `until_ms`. Every decision goes
/// through `decide`; pass [`Matcher::decide`] itself, or a closure that measures it.
pub fn drive<M: Matcher>(
    matcher: &mut M,
    history: &[Event],
    until_ms: u64,
    mut decide: impl FnMut(&mut M, Event) -> Vec<Pair>,
) -> Account {
    let mut account = Account::default();
    let mut now_ms = 0;
    let mut events = history.iter().copied().peekable();
    loop {
        let next_event_ms = events.peek().map_or(until_ms, |event| event.at_ms.min(until_ms));
        // A deadline in the past is asked for now, and a matcher that insists is asked once a millisecond.
        let tick_ms = matcher.next_deadline().map(|at_ms| at_ms.max(now_ms));
        let event = match tick_ms {
            Some(at_ms) if at_ms < next_event_ms => {
                now_ms = at_ms + 1;
                Event {
                    at_ms,
                    what: What::Tick,
                }
            }
            _ => match events.next_if(|event| event.at_ms <= until_ms) {
                Some(event) => {
                    now_ms = event.at_ms;
                    event
                }
                None => break,
            },
        };
        account.decisions += 1;
        for Pair { older, younger } in decide(matcher, event) {
            account.matches += 1;
            for ticket in [older, younger] {
                account
                    .waits_ms
                    .push(event.at_ms.saturating_sub(ticket.enqueued_at_ms));
            }
            account.gaps.push(older.rating.abs_diff(younger.rating));
        }
    }
    account.waits_ms.sort_unstable();
    account.gaps.sort_unstable();
    account.left = matcher.waiting();
    account
}

/// What comes to a matcher: a stream without memory (Poisson).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stream {
    pub seed: u64,
    pub tickets: usize,
    pub tickets_per_second: f64,
    pub rating_mean: f64,
    pub rating_deviation: f64,
    /// The share of tickets (0 to 1) whose players leave again while they wait.
    pub cancelled: f64,
    /// How long those wait before they leave, on average, in milliseconds.
    pub patience_ms: f64,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            seed: 1,
            tickets: 100_000,
            tickets_per_second: 500.0,
            rating_mean: 1500.0,
            rating_deviation: 300.0,
            cancelled: 0.02,
            patience_ms: 5_000.0,
        }
    }
}

impl Stream {
    /// The history, in the order of time. Every ticket has a player of its own.
    #[must_use]
    pub fn history(&self) -> Vec<Event> {
        let mut random = Random::new(self.seed);
        let mut at_ms = 0.0;
        let mut cancellations: BTreeMap<(u64, u64), TicketId> = BTreeMap::new();
        let mut history = Vec::with_capacity(self.tickets);
        for number in 0..self.tickets as u64 {
            at_ms += random.exponential(1000.0 / self.tickets_per_second);
            let now_ms = at_ms as u64;
            while let Some(first) = cancellations.first_entry()
                && first.key().0 <= now_ms
            {
                let ((at_ms, _), id) = first.remove_entry();
                let what = What::Cancel(id);
                history.push(Event { at_ms, what });
            }
            let rating = random.normal(self.rating_mean, self.rating_deviation) as i32;
            let ticket = Ticket {
                id: TicketId(number),
                player: crate::PlayerKey(number),
                rating,
                enqueued_at_ms: now_ms,
                avoid: None,
            };
            history.push(Event {
                at_ms: now_ms,
                what: What::Arrive(ticket),
            });
            if random.chance(self.cancelled) {
                let leaves_ms = (at_ms + random.exponential(self.patience_ms)) as u64;
                cancellations.insert((leaves_ms, number), ticket.id);
            }
        }
        for ((at_ms, _), id) in cancellations {
            let what = What::Cancel(id);
            history.push(Event { at_ms, what });
        }
        history
    }
}
