//! The designs that the queue is measured against, never used by the server: one list under one
//! lock, and sixteen lists under sixteen locks, shared out by `level % 16`.
//!
//! Both look through a list from its oldest ticket on: on arrival for the new ticket, and for
//! everybody who waits at each tick of [`TICK_MS`], since windows widen. They keep the same windows
//! and the same bound as the queue; nobody's last opponent is avoided. The locks are real, so that
//! several threads may share a pool.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    Settings, Ticket, TicketId,
    drive::{Event, Matcher, Pair, What},
};

/// How often the lists are looked through for windows that have widened.
pub const TICK_MS: u64 = 100;
const SHARDS: usize = 16;
/// A level is so many rating points.
const LEVEL_POINTS: i32 = 100;

/// One list under one lock.
#[derive(Debug)]
pub struct GlobalMutex(Locked);

/// Sixteen of them; a ticket's level modulo sixteen decides. Neighbouring levels never meet.
#[derive(Debug)]
pub struct ShardedMutex([Locked; SHARDS]);

impl GlobalMutex {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Locked::new(settings))
    }

    /// As [`Matcher::decide`], for several threads.
    pub fn decide(&self, event: Event) -> Vec<Pair> {
        match event.what {
            What::Arrive(ticket) => self.0.arrive(ticket, event.at_ms),
            What::Cancel(id) => self.0.cancel(id),
            What::Tick => self.0.sweep(event.at_ms),
        }
    }
}

impl ShardedMutex {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(std::array::from_fn(|_| Locked::new(settings)))
    }

    /// As [`Matcher::decide`], for several threads.
    pub fn decide(&self, event: Event) -> Vec<Pair> {
        match event.what {
            What::Arrive(ticket) => {
                let level = ticket.rating.div_euclid(LEVEL_POINTS);
                self.0[level.rem_euclid(SHARDS as i32) as usize].arrive(ticket, event.at_ms)
            }
            // Who cancels by id does not say at which level.
            What::Cancel(id) => self.0.iter().flat_map(|shard| shard.cancel(id)).collect(),
            What::Tick => self.0.iter().flat_map(|shard| shard.sweep(event.at_ms)).collect(),
        }
    }
}

impl Matcher for GlobalMutex {
    fn decide(&mut self, event: Event) -> Vec<Pair> {
        Self::decide(self, event)
    }

    fn next_deadline(&mut self) -> Option<u64> {
        self.0.next_tick_ms()
    }

    fn waiting(&self) -> usize {
        self.0.lock().waiting.len()
    }
}

impl Matcher for ShardedMutex {
    fn decide(&mut self, event: Event) -> Vec<Pair> {
        Self::decide(self, event)
    }

    fn next_deadline(&mut self) -> Option<u64> {
        self.0.iter().filter_map(Locked::next_tick_ms).min()
    }

    fn waiting(&self) -> usize {
        self.0.iter().map(|shard| shard.lock().waiting.len()).sum()
    }
}

#[derive(Debug)]
struct Locked {
    settings: Settings,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    /// The oldest first.
    waiting: Vec<Ticket>,
    swept_ms: u64,
}

impl Locked {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            list: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrive(&self, ticket: Ticket, now_ms: u64) -> Vec<Pair> {
        let mut list = self.lock();
        if list.waiting.is_empty() {
            list.swept_ms = now_ms;
        }
        let found = list
            .waiting
            .iter()
            .position(|older| self.fits(older, &ticket, now_ms));
        match found {
            Some(position) => vec![Pair {
                older: list.waiting.remove(position),
                younger: ticket,
            }],
            None => {
                list.waiting.push(ticket);
                Vec::new()
            }
        }
    }

    fn cancel(&self, id: TicketId) -> Vec<Pair> {
        self.lock().waiting.retain(|ticket| ticket.id != id);
        Vec::new()
    }

    fn sweep(&self, now_ms: u64) -> Vec<Pair> {
        let mut list = self.lock();
        list.swept_ms = now_ms;
        let mut pairs = Vec::new();
        let mut place = 0;
        while let Some(older) = list.waiting.get(place).copied() {
            let partner = (place + 1..list.waiting.len())
                .find(|other| self.fits(&older, &list.waiting[*other], now_ms));
            match partner {
                Some(other) => {
                    let younger = list.waiting.remove(other);
                    list.waiting.remove(place);
                    pairs.push(Pair { older, younger });
                }
                None => place += 1,
            }
        }
        pairs
    }

    fn fits(&self, older: &Ticket, younger: &Ticket, now_ms: u64) -> bool {
        let overdue = older.enqueued_at_ms.saturating_add(self.settings.wait_ms_max) <= now_ms;
        let window = self
            .settings
            .window(now_ms.saturating_sub(younger.enqueued_at_ms));
        overdue || u64::from(older.rating.abs_diff(younger.rating)) <= window
    }

    fn next_tick_ms(&self) -> Option<u64> {
        let list = self.lock();
        (list.waiting.len() >= 2).then_some(list.swept_ms + TICK_MS)
    }
}
