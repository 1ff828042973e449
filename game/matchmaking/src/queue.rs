//! The pool itself: tickets ordered by rating, an index by age, and one timer per ticket.
//!
//! Why one timer per ticket is enough: a pair's moment depends only on its two tickets, never on
//! the time of asking. A ticket's timer is set to the earliest moment over all partners that are
//! there when it is computed. Somebody who arrives later computes the moment of the new pair
//! itself; somebody who leaves can only make a timer too early, and a timer that fires without a
//! partner is computed again. So at any time the earliest pair is covered by a timer of one side.

use std::collections::{BTreeMap, BTreeSet};

use crate::{AddError, Match, PlayerKey, Reserved, Settings, Ticket, TicketId};

/// Rating first, so that neighbours in the map are neighbours in strength; then order of arrival.
type Key = (i32, u64);

#[derive(Debug, Clone, Copy)]
struct Waiting {
    ticket: Ticket,
    timer: Option<Timer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Timer {
    at_ms: u64,
    partner: Key,
}

/// One pool of waiting tickets. See the crate's documentation for who fits whom.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    arrivals: u64,
    by_rating: BTreeMap<Key, Waiting>,
    by_id: BTreeMap<TicketId, Key>,
    /// (when the wait began, order of arrival, rating): the first is the oldest.
    by_age: BTreeSet<(u64, u64, i32)>,
    timers: BTreeSet<(u64, Key)>,
    by_player: BTreeMap<PlayerKey, TicketId>,
    suspended: BTreeMap<TicketId, (Reserved, u64)>,
}

impl Queue {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            arrivals: 0,
            by_rating: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_age: BTreeSet::new(),
            timers: BTreeSet::new(),
            by_player: BTreeMap::new(),
            suspended: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.by_rating.len() + self.suspended.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn contains(&self, id: TicketId) -> bool {
        self.by_id.contains_key(&id) || self.suspended.contains_key(&id)
    }

    /// The ticket with which a player waits here.
    #[must_use]
    pub fn ticket_of(&self, player: PlayerKey) -> Option<TicketId> {
        self.by_player.get(&player).copied()
    }

    /// How many tickets are suspended.
    #[must_use]
    pub fn suspended_len(&self) -> usize {
        self.suspended.len()
    }

    /// Keeps a ticket out of matches, with its seniority, until [`Queue::resume`]; its player's
    /// connection is gone, say. From `expires_at_ms` on, [`Queue::expire`] drops it. Suspending a
    /// suspended ticket sets the new moment. False if the ticket is not here.
    pub fn suspend(&mut self, id: TicketId, expires_at_ms: u64) -> bool {
        if let Some((_, expires)) = self.suspended.get_mut(&id) {
            *expires = expires_at_ms;
            return true;
        }
        let Some(reserved) = self.by_id.get(&id).copied().and_then(|key| self.take(key)) else {
            return false;
        };
        self.by_player.insert(reserved.ticket.player, id);
        self.suspended.insert(id, (reserved, expires_at_ms));
        true
    }

    /// Lets a suspended ticket be matched again. Ask [`Queue::poll`] afterwards. False if no such
    /// ticket is suspended here.
    pub fn resume(&mut self, id: TicketId) -> bool {
        let Some((reserved, _)) = self.suspended.remove(&id) else {
            return false;
        };
        self.by_player.remove(&reserved.ticket.player);
        self.insert(reserved).is_ok()
    }

    /// Drops and returns the suspended tickets whose time is over at `now_ms`.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Ticket> {
        let due: Vec<TicketId> = self
            .suspended
            .iter()
            .filter(|(_, (_, expires))| *expires <= now_ms)
            .map(|(id, _)| *id)
            .collect();
        due.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// When [`Queue::expire`] next has something to drop.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        self.suspended.values().map(|(_, expires)| *expires).min()
    }

    /// When the longest wait began, in milliseconds.
    #[must_use]
    pub fn oldest_enqueued_at_ms(&self) -> Option<u64> {
        self.by_age.first().map(|(enqueued_at_ms, ..)| *enqueued_at_ms)
    }

    /// Takes a new ticket. Ask [`Queue::poll`] afterwards: it may fit somebody at once.
    ///
    /// # Errors
    /// The id is waiting already, or the queue is full.
    pub fn add(&mut self, ticket: Ticket) -> Result<(), AddError> {
        if self.len() >= self.settings.tickets_max {
            return Err(AddError::Full {
                tickets_max: self.settings.tickets_max,
            });
        }
        let arrival = self.arrivals;
        self.insert(Reserved { ticket, arrival })?;
        self.arrivals += 1;
        Ok(())
    }

    /// Returns a ticket whose match came to nothing. It keeps its place: the limit on the number
    /// of tickets does not apply, because it had been counted before.
    ///
    /// # Errors
    /// The id is waiting already: its player has queued again in the meantime.
    pub fn put_back(&mut self, reserved: Reserved) -> Result<(), AddError> {
        self.insert(reserved)
    }

    /// Takes a ticket out. `None` if it does not wait here (any more).
    pub fn remove(&mut self, id: TicketId) -> Option<Ticket> {
        if let Some((reserved, _)) = self.suspended.remove(&id) {
            self.by_player.remove(&reserved.ticket.player);
            return Some(reserved.ticket);
        }
        let key = *self.by_id.get(&id)?;
        self.take(key).map(|reserved| reserved.ticket)
    }

    /// The next moment (milliseconds) at which a pair that waits now fits. [`Queue::poll`] at that
    /// moment makes a match; before it, none unless somebody arrives. A moment in the past means
    /// that a match is due already. `None`: no pair here will ever fit.
    pub fn next_deadline(&mut self) -> Option<u64> {
        let by_timer = loop {
            let Some(&(at_ms, key)) = self.timers.first() else {
                break None;
            };
            let partner = self
                .by_rating
                .get(&key)
                .and_then(|waiting| waiting.timer)
                .map(|timer| timer.partner);
            if partner.is_some_and(|partner| self.by_rating.contains_key(&partner)) {
                break Some(at_ms);
            }
            self.set_timer(key);
        };
        let by_age = if self.len() >= 2 {
            self.oldest_enqueued_at_ms()
                .map(|enqueued| enqueued.saturating_add(self.settings.wait_ms_max))
        } else {
            None
        };
        match (by_timer, by_age) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Every match that is due at `now_ms`. Afterwards no two waiting tickets fit each other.
    pub fn poll(&mut self, now_ms: u64) -> Vec<Match> {
        let mut matches = Vec::new();
        while let Some(found) = self.match_overdue(now_ms).or_else(|| self.match_by_timer(now_ms)) {
            matches.push(found);
        }
        matches
    }

    /// The oldest ticket, once it has waited for the maximum, with whoever is nearest.
    fn match_overdue(&mut self, now_ms: u64) -> Option<Match> {
        let &(enqueued_at_ms, arrival, rating) = self.by_age.first()?;
        if enqueued_at_ms.saturating_add(self.settings.wait_ms_max) > now_ms {
            return None;
        }
        let key = (rating, arrival);
        let partner = self.outward(key).next()?.0;
        self.pair(key, partner)
    }

    fn match_by_timer(&mut self, now_ms: u64) -> Option<Match> {
        loop {
            let &(at_ms, key) = self.timers.first()?;
            if at_ms > now_ms {
                return None;
            }
            match self.best_partner(key, now_ms) {
                Some(partner) => return self.pair(key, partner),
                // The partner that this timer was for has left: the next moment is later.
                None => self.set_timer(key),
            }
        }
    }

    /// The nearest ticket that fits `key` at `now_ms`; of two equally near ones the older.
    fn best_partner(&self, key: Key, now_ms: u64) -> Option<Key> {
        let ticket = self.by_rating.get(&key)?.ticket;
        let window = self.settings.window(now_ms.saturating_sub(ticket.enqueued_at_ms));
        let mut best: Option<(u32, u64, Key)> = None;
        for (other_key, other) in self.outward(key) {
            let gap = ticket.rating.abs_diff(other.rating);
            if u64::from(gap) > window || best.is_some_and(|(best_gap, ..)| gap > best_gap) {
                break;
            }
            if self
                .fits_at_ms(&ticket, &other)
                .is_some_and(|at_ms| at_ms <= now_ms)
            {
                let candidate = (gap, other.enqueued_at_ms, other_key);
                best = Some(best.map_or(candidate, |so_far| so_far.min(candidate)));
            }
        }
        best.map(|(_, _, partner)| partner)
    }

    /// When both windows hold the gap. The younger ticket's window is never the wider one.
    fn fits_at_ms(&self, a: &Ticket, b: &Ticket) -> Option<u64> {
        let younger = a.enqueued_at_ms.max(b.enqueued_at_ms);
        let wait_ms = self.settings.wait_for_gap(a.rating.abs_diff(b.rating))?;
        Some(younger.saturating_add(wait_ms))
    }

    /// Everybody else, nearest rating first.
    fn outward(&self, key: Key) -> impl Iterator<Item = (Key, Ticket)> + '_ {
        let mut below = self.by_rating.range(..key).rev().peekable();
        let above_start = (std::ops::Bound::Excluded(key), std::ops::Bound::Unbounded);
        let mut above = self.by_rating.range(above_start).peekable();
        std::iter::from_fn(move || {
            let next = match (below.peek(), above.peek()) {
                (Some((low, _)), Some((high, _))) if key.0.abs_diff(low.0) <= high.0.abs_diff(key.0) => {
                    below.next()
                }
                (Some(_), None) => below.next(),
                _ => above.next(),
            };
            next.map(|(key, waiting)| (*key, waiting.ticket))
        })
    }

    /// Sets the timer of `key` to the earliest moment at which it fits anybody who waits now.
    fn set_timer(&mut self, key: Key) {
        let Some(waiting) = self.by_rating.get(&key).copied() else {
            return;
        };
        let mut earliest: Option<Timer> = None;
        for (partner, other) in self.outward(key) {
            let gap = waiting.ticket.rating.abs_diff(other.rating);
            // Nobody further out can fit before the own window reaches that far, and whoever has
            // to wait for the bound on waiting is found by age.
            let Some(own_wait_ms) = self.settings.wait_for_gap(gap) else {
                break;
            };
            let own_ms = waiting.ticket.enqueued_at_ms.saturating_add(own_wait_ms);
            if own_wait_ms > self.settings.wait_ms_max || earliest.is_some_and(|timer| timer.at_ms <= own_ms)
            {
                break;
            }
            if let Some(at_ms) = self.fits_at_ms(&waiting.ticket, &other)
                && earliest.is_none_or(|timer| at_ms < timer.at_ms)
            {
                earliest = Some(Timer { at_ms, partner });
            }
        }
        if let Some(timer) = waiting.timer {
            self.timers.remove(&(timer.at_ms, key));
        }
        if let Some(timer) = earliest {
            self.timers.insert((timer.at_ms, key));
        }
        if let Some(waiting) = self.by_rating.get_mut(&key) {
            waiting.timer = earliest;
        }
    }

    fn insert(&mut self, reserved: Reserved) -> Result<(), AddError> {
        let Reserved { ticket, arrival } = reserved;
        if self.contains(ticket.id) {
            return Err(AddError::AlreadyWaiting { id: ticket.id });
        }
        if let Some(id) = self.ticket_of(ticket.player) {
            let player = ticket.player;
            return Err(AddError::PlayerWaiting { player, id });
        }
        self.by_player.insert(ticket.player, ticket.id);
        let key = (ticket.rating, arrival);
        self.by_id.insert(ticket.id, key);
        self.by_age
            .insert((ticket.enqueued_at_ms, arrival, ticket.rating));
        self.by_rating.insert(key, Waiting { ticket, timer: None });
        self.set_timer(key);
        Ok(())
    }

    fn take(&mut self, key: Key) -> Option<Reserved> {
        let waiting = self.by_rating.remove(&key)?;
        let (rating, arrival) = key;
        self.by_id.remove(&waiting.ticket.id);
        self.by_player.remove(&waiting.ticket.player);
        self.by_age
            .remove(&(waiting.ticket.enqueued_at_ms, arrival, rating));
        if let Some(timer) = waiting.timer {
            self.timers.remove(&(timer.at_ms, key));
        }
        Some(Reserved {
            ticket: waiting.ticket,
            arrival,
        })
    }

    fn pair(&mut self, a: Key, b: Key) -> Option<Match> {
        let (a, b) = (self.take(a)?, self.take(b)?);
        let age = |reserved: &Reserved| (reserved.ticket.enqueued_at_ms, reserved.arrival);
        Some(if age(&a) <= age(&b) {
            Match { older: a, younger: b }
        } else {
            Match { older: b, younger: a }
        })
    }
}
