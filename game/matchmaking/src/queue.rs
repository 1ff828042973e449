//! The pool itself.
//!
//! **What is kept.** Waiting tickets in the order of ratings; of each the age; of each at most one
//! timer. Suspended tickets are in none of these, so no search ever steps over one.
//!
//! **Why one timer per ticket is enough.** A pair's moment depends only on its two tickets, never on
//! the time of asking. A ticket's timer is set to the earliest moment over all partners that are
//! there when it is set. Somebody who arrives later looks at the new pairs itself; somebody who
//! leaves can only make a timer too early, and a timer that fires without its partner is set again.
//! So at any time the earliest pair is covered by a timer of one side, or by the bound on waiting.
//!
//! **The one exception.** Last opponents are kept apart less long when nobody else waits. The moment
//! of the last two is computed when asked, beside the timers, which go on as if there were others.
//!
//! **What a step costs.** A search looks at one rating after the other, outward, and at each only at
//! its most senior ticket that is not avoided. At most [`Queue::AVOIDERS_MAX`] + 1 tickets in the
//! whole queue are avoided for one searcher. After a poll any two tickets whose gap lies within
//! `window_initial` are an avoided pair (or they would have met), and since every ticket avoids at
//! most one other there are no more than three such tickets in `window_initial` points. So a
//! search passes at most 6 × (widest window / `window_initial` + 1) tickets. Between polls tickets may
//! crowd: then whoever has somebody within `window_initial` is done at once, and the others are more
//! than `window_initial` apart from each other, so that there are few. A search never looks at
//! more ratings than twice the widest window, which [`Settings::validate`] limits. Everything else
//! is a constant number of steps in trees, heaps and hash maps. Under the first policy nobody is avoided
//! and the window never widens: after a poll no two tickets are within it, so that a search passes two of them.

use crate::{
    AddError, Match, PlayerKey, Policy, Reserved, Settings, Ticket, TicketId,
    heap::Moments,
    ratings::{ByRating, Group, Key, TIME_LIMIT_MS},
    slots::{Entry, Slots},
};

const FRESH_SPARED: usize = 1024;

/// One pool of waiting tickets. See the crate's documentation for who fits whom.
///
/// After every [`add`](Queue::add), [`put_back`](Queue::put_back) and [`resume`](Queue::resume) ask
/// [`poll`](Queue::poll), then [`next_deadline`](Queue::next_deadline) for the moment to ask again.
/// A caller that cannot take matches for a while asks neither, and catches up with one poll.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    arrivals: u64,
    slots: Slots,
    by_rating: ByRating,
    ages: Moments,
    timers: Moments,
    expiries: Moments,
    /// Tickets (slot, arrival) that came since the last question and have not looked around yet.
    fresh: Vec<(u32, u64)>,
}

/// What a ticket sees when it looks around.
enum Outlook {
    /// Somebody (a slot) fits now.
    Fits(u32),
    /// The first of those who wait now (a slot) will fit at this moment.
    Later(u64, u32),
    /// Nobody will before the bound on waiting.
    Nobody,
}

/// A pool of two (slots).
struct LastTwo {
    oldest: u32,
    other: u32,
    at_ms: u64,
}

impl Queue {
    /// So many tickets may avoid one and the same player at a time; the wish of a further one is not
    /// heeded. A player is the last opponent of one other who has just finished, so it takes as
    /// many finished games within one wait to get there.
    pub const AVOIDERS_MAX: usize = 16;

    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            arrivals: 0,
            slots: Slots::default(),
            by_rating: ByRating::default(),
            ages: Moments::default(),
            timers: Moments::default(),
            expiries: Moments::default(),
            fresh: Vec::new(),
        }
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Goes on by other rules. Every ticket stays, with its seniority, suspended or not. Ask [`Queue::poll`]
    /// afterwards: some may fit each other now. As many steps as there are tickets.
    pub fn adopt(&mut self, settings: Settings) {
        self.settings = settings;
        let mut waiting: Vec<(Key, u32)> = self.by_rating.iter().collect();
        waiting.sort_unstable_by_key(|(key, slot)| (key.seniority(), *slot));
        // Timers were set by the former rules. Whoever has waited longest looks around first.
        self.fresh.clear();
        for (_, slot) in waiting {
            self.timers.clear(slot);
            if let Some(entry) = self.slots.get(slot) {
                self.fresh.push((slot, entry.arrival));
            }
        }
    }

    /// Tickets here, suspended ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn contains(&self, id: TicketId) -> bool {
        self.slots.slot_of(id).is_some()
    }

    /// The ticket with which a player waits here.
    #[must_use]
    pub fn ticket_of(&self, player: PlayerKey) -> Option<TicketId> {
        self.slots.ticket_of(player)
    }

    /// How many tickets are suspended.
    #[must_use]
    pub fn suspended_len(&self) -> usize {
        self.expiries.len()
    }

    /// When the longest wait began, in milliseconds, suspended tickets aside.
    #[must_use]
    pub fn oldest_enqueued_at_ms(&self) -> Option<u64> {
        self.ages.first().map(|(enqueued_at_ms, _)| enqueued_at_ms)
    }

    /// Takes a new ticket. Ask [`Queue::poll`] afterwards: it may fit somebody at once.
    ///
    /// # Errors
    /// The id or its player is waiting already, the queue is full, or the time is absurd.
    pub fn add(&mut self, ticket: Ticket) -> Result<(), AddError> {
        self.admit(&ticket)?;
        if self.len() >= self.settings.tickets_max {
            return Err(AddError::Full {
                tickets_max: self.settings.tickets_max,
            });
        }
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.insert(Reserved { ticket, arrival });
        Ok(())
    }

    /// Returns a ticket whose match came to nothing. It keeps its place: the limit on the number
    /// of tickets does not apply, because it had been counted before.
    ///
    /// # Errors
    /// The id or its player is waiting already: the player has queued again in the meantime.
    pub fn put_back(&mut self, reserved: Reserved) -> Result<(), AddError> {
        self.admit(&reserved.ticket)?;
        self.insert(reserved);
        Ok(())
    }

    /// Takes a ticket out, suspended or not. `None` if it is not here (any more): then it has been
    /// matched, removed or dropped, and whoever asks has lost the race.
    pub fn remove(&mut self, id: TicketId) -> Option<Ticket> {
        let slot = self.slots.slot_of(id)?;
        self.take(slot).map(|reserved| reserved.ticket)
    }

    /// Keeps a ticket out of matches, with its seniority, until [`Queue::resume`]; its player's
    /// connection is gone, say. From `expires_at_ms` on, [`Queue::expire`] drops it. Suspending a
    /// suspended ticket sets the new moment. False if the ticket is not here.
    pub fn suspend(&mut self, id: TicketId, expires_at_ms: u64) -> bool {
        let Some(slot) = self.slots.slot_of(id) else {
            return false;
        };
        self.withdraw(slot);
        if let Some(entry) = self.slots.get_mut(slot) {
            entry.suspended = true;
            self.expiries.set(slot, expires_at_ms, entry.arrival);
        }
        true
    }

    /// Lets a suspended ticket be matched again. Ask [`Queue::poll`] afterwards. False if no such
    /// ticket is suspended here.
    pub fn resume(&mut self, id: TicketId) -> bool {
        let Some(slot) = self.slots.slot_of(id) else {
            return false;
        };
        let Some(entry) = self.slots.get_mut(slot).filter(|entry| entry.suspended) else {
            return false;
        };
        entry.suspended = false;
        self.expiries.clear(slot);
        self.offer(slot);
        true
    }

    /// Drops and returns the suspended tickets whose time is over at `now_ms`.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Ticket> {
        let mut dropped = Vec::new();
        while let Some((at_ms, slot)) = self.expiries.first()
            && at_ms <= now_ms
        {
            dropped.extend(self.take(slot).map(|reserved| reserved.ticket));
        }
        dropped
    }

    /// When [`Queue::expire`] next has something to drop.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(at_ms, _)| at_ms)
    }

    /// The next moment (milliseconds) at which a pair that waits now fits. [`Queue::poll`] at that
    /// moment makes a match; before it, none unless somebody arrives. A moment in the past means
    /// that a match is due already. `None`: no pair here will ever fit.
    pub fn next_deadline(&mut self) -> Option<u64> {
        self.settle_fresh();
        if let Some(pair) = self.last_two() {
            return Some(pair.at_ms);
        }
        let by_timer = loop {
            let Some((at_ms, slot)) = self.timers.first() else {
                break None;
            };
            let partner = self.slots.get(slot).map(|entry| entry.partner);
            if partner.is_some_and(|(partner, arrival)| self.waits(partner, arrival)) {
                break Some(at_ms);
            }
            let outlook = self.look_around(slot, None);
            self.set_timer(slot, &outlook);
        };
        let by_age = self
            .oldest_enqueued_at_ms()
            .filter(|_| self.by_rating.len() >= 2)
            .map(|enqueued_at_ms| enqueued_at_ms.saturating_add(self.settings.wait_ms_max));
        match (by_timer, by_age) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Every match that is due at `now_ms`. Afterwards no two waiting tickets fit each other.
    pub fn poll(&mut self, now_ms: u64) -> Vec<Match> {
        let mut matches = Vec::new();
        while let Some(found) = self.match_overdue(now_ms) {
            matches.push(found);
        }
        let fresh = std::mem::take(&mut self.fresh);
        for (slot, arrival) in &fresh {
            if self.waits(*slot, *arrival) {
                matches.extend(self.match_or_wait(*slot, now_ms));
            }
        }
        // Kept for its room.
        self.fresh = fresh;
        self.fresh.clear();
        while let Some((at_ms, slot)) = self.timers.first()
            && at_ms <= now_ms
        {
            // If the partner that this timer was for has left, the next moment may be later.
            matches.extend(self.match_or_wait(slot, now_ms));
        }
        if let Some(pair) = self.last_two()
            && pair.at_ms <= now_ms
        {
            matches.extend(self.pair(pair.oldest, pair.other));
        }
        matches
    }

    /// The only two who wait, and the moment at which they fit.
    fn last_two(&self) -> Option<LastTwo> {
        if self.by_rating.len() != 2 {
            return None;
        }
        let (_, oldest) = self.ages.first()?;
        let other = self.nearest_of_all(oldest)?;
        let older_entry = self.slots.get(oldest)?;
        let (older, younger) = (older_entry.ticket, self.slots.get(other)?.ticket);
        let apart_ms = if self.avoided(older_entry, other) {
            self.settings.avoid_alone_ms.min(self.settings.avoid_ms)
        } else {
            0
        };
        let bound_ms = older.enqueued_at_ms.saturating_add(self.settings.wait_ms_max);
        let within_windows_ms = self
            .settings
            .wait_for_gap(older.rating.abs_diff(younger.rating))
            .map(|wait_ms| younger.enqueued_at_ms.saturating_add(wait_ms.max(apart_ms)));
        Some(LastTwo {
            oldest,
            other,
            at_ms: within_windows_ms.map_or(bound_ms, |at_ms| at_ms.min(bound_ms)),
        })
    }

    /// The oldest ticket, once it has waited for the maximum, with whoever is nearest; under the first policy with
    /// whoever has waited longest.
    fn match_overdue(&mut self, now_ms: u64) -> Option<Match> {
        let (enqueued_at_ms, slot) = self.ages.first()?;
        if enqueued_at_ms.saturating_add(self.settings.wait_ms_max) > now_ms {
            return None;
        }
        let partner = match self.settings.policy {
            Policy::V1 => self.oldest_but(slot)?,
            Policy::V2 => self.nearest_of_all(slot)?,
        };
        self.pair(slot, partner)
    }

    /// Who has waited longest but for `slot`.
    fn oldest_but(&mut self, slot: u32) -> Option<u32> {
        let entry = *self.slots.get(slot)?;
        self.ages.clear(slot);
        let oldest = self.ages.first();
        self.ages.set(slot, entry.ticket.enqueued_at_ms, entry.arrival);
        oldest.map(|(_, other)| other)
    }

    fn match_or_wait(&mut self, slot: u32, now_ms: u64) -> Option<Match> {
        match self.look_around(slot, Some(now_ms)) {
            Outlook::Fits(partner) => self.pair(slot, partner),
            outlook => {
                self.set_timer(slot, &outlook);
                None
            }
        }
    }

    fn set_timer(&mut self, slot: u32, outlook: &Outlook) {
        let Outlook::Later(at_ms, partner) = *outlook else {
            self.timers.clear(slot);
            return;
        };
        let partner_arrival = self.slots.get(partner).map_or(u64::MAX, |entry| entry.arrival);
        if let Some(entry) = self.slots.get_mut(slot) {
            entry.partner = (partner, partner_arrival);
            self.timers.set(slot, at_ms, entry.arrival);
        }
    }

    /// Who fits `slot` at `now_ms`, or who will first. Somebody who is not avoided comes before
    /// somebody who is, then the nearest rating, then the older ticket; under the first policy the
    /// older ticket alone. Without `now_ms` nobody fits yet and the earliest moment is wanted, past or future.
    fn look_around(&self, slot: u32, now_ms: Option<u64>) -> Outlook {
        let Some(own) = self.slots.get(slot) else {
            return Outlook::Nobody;
        };
        let own_key = own.key();
        let mut best: Option<(bool, u32, u128, u32)> = None;
        let mut earliest: Option<(u64, u32)> = None;
        let oldest_first = self.settings.policy == Policy::V1;
        for Group { gap, oldest } in self.by_rating.outward(own_key) {
            // Nobody further out can fit before the own window reaches that far, and whoever has
            // to wait for the bound on waiting is found by age.
            let Some(wait_ms) = self.settings.wait_for_gap(gap) else {
                break;
            };
            let own_ms = own.ticket.enqueued_at_ms.saturating_add(wait_ms);
            let done = match best {
                Some((avoided, best_gap, ..)) => {
                    now_ms.is_some_and(|now_ms| own_ms > now_ms)
                        || (!oldest_first && !avoided && gap > best_gap)
                }
                None => {
                    wait_ms > self.settings.wait_ms_max || earliest.is_some_and(|(at_ms, _)| at_ms <= own_ms)
                }
            };
            if done {
                break;
            }
            let mut member = Some(oldest);
            while let Some((key, other_slot)) = member {
                let avoided = self.avoided(own, other_slot);
                let wait_ms = if avoided {
                    wait_ms.max(self.settings.avoid_ms)
                } else {
                    wait_ms
                };
                let younger_ms = own.ticket.enqueued_at_ms.max(key.enqueued_at_ms());
                let at_ms = younger_ms.saturating_add(wait_ms);
                if now_ms.is_some_and(|now_ms| at_ms <= now_ms) {
                    let counted_gap = if oldest_first { 0 } else { gap };
                    let candidate = (avoided, counted_gap, key.seniority(), other_slot);
                    best = Some(best.map_or(candidate, |so_far| so_far.min(candidate)));
                } else if earliest.is_none_or(|(so_far_ms, _)| at_ms < so_far_ms) {
                    earliest = Some((at_ms, other_slot));
                }
                // Of the others with this rating none fits earlier than one who is not avoided.
                member = if avoided {
                    self.by_rating.next_of_rating(key, own_key)
                } else {
                    None
                };
            }
        }
        match (best, earliest) {
            (Some((.., partner)), _) => Outlook::Fits(partner),
            (None, Some((at_ms, partner))) => Outlook::Later(at_ms, partner),
            (None, None) => Outlook::Nobody,
        }
    }

    /// The nearest ticket whatever the windows say; somebody avoided only if there is nobody else.
    fn nearest_of_all(&self, slot: u32) -> Option<u32> {
        let own = self.slots.get(slot)?;
        let own_key = own.key();
        let mut best: Option<(bool, u32, u128, u32)> = None;
        for Group { gap, oldest } in self.by_rating.outward(own_key) {
            if best.is_some_and(|(avoided, best_gap, ..)| !avoided && gap > best_gap) {
                break;
            }
            let mut member = Some(oldest);
            while let Some((key, other_slot)) = member {
                let avoided = self.avoided(own, other_slot);
                let candidate = (avoided, gap, key.seniority(), other_slot);
                best = Some(best.map_or(candidate, |so_far| so_far.min(candidate)));
                member = if avoided {
                    self.by_rating.next_of_rating(key, own_key)
                } else {
                    None
                };
            }
        }
        best.map(|(.., partner)| partner)
    }

    /// Whoever has not looked around yet does so now, for a timer only.
    fn settle_fresh(&mut self) {
        for (slot, arrival) in std::mem::take(&mut self.fresh) {
            if self.waits(slot, arrival) {
                let outlook = self.look_around(slot, None);
                self.set_timer(slot, &outlook);
            }
        }
    }

    /// Wishes stay with their tickets under the first policy, which does not heed them.
    fn avoided(&self, own: &Entry, other: u32) -> bool {
        let heeded = self.settings.policy == Policy::V2;
        heeded && self.slots.get(other).is_some_and(|other| own.avoids(other))
    }

    /// The ticket is still there, and not suspended.
    fn waits(&self, slot: u32, arrival: u64) -> bool {
        self.slots
            .get(slot)
            .is_some_and(|entry| entry.arrival == arrival && !entry.suspended)
    }

    fn admit(&self, ticket: &Ticket) -> Result<(), AddError> {
        if self.contains(ticket.id) {
            return Err(AddError::AlreadyWaiting { id: ticket.id });
        }
        if let Some(id) = self.ticket_of(ticket.player) {
            let player = ticket.player;
            return Err(AddError::PlayerWaiting { player, id });
        }
        if ticket.enqueued_at_ms >= TIME_LIMIT_MS {
            return Err(AddError::TimeOutOfRange {
                enqueued_at_ms: ticket.enqueued_at_ms,
                limit_ms: TIME_LIMIT_MS,
            });
        }
        Ok(())
    }

    fn insert(&mut self, reserved: Reserved) {
        let Reserved { ticket, arrival } = reserved;
        let slot = self.slots.insert(ticket, arrival, Self::AVOIDERS_MAX);
        self.offer(slot);
    }

    /// Makes a ticket visible to the others.
    fn offer(&mut self, slot: u32) {
        if let Some(entry) = self.slots.get(slot) {
            self.by_rating.insert(entry.key(), slot);
            self.ages.set(slot, entry.ticket.enqueued_at_ms, entry.arrival);
            self.fresh.push((slot, entry.arrival));
        }
        // Tickets that come and go while nobody asks leave traces; they are few again after this.
        if self.fresh.len() > 2 * self.len() + FRESH_SPARED {
            self.settle_fresh();
        }
    }

    /// The opposite of [`Queue::offer`].
    fn withdraw(&mut self, slot: u32) {
        if let Some(entry) = self.slots.get(slot) {
            self.by_rating.remove(entry.key());
            self.ages.clear(slot);
            self.timers.clear(slot);
        }
    }

    fn take(&mut self, slot: u32) -> Option<Reserved> {
        self.withdraw(slot);
        self.expiries.clear(slot);
        let Entry { ticket, arrival, .. } = self.slots.remove(slot)?;
        Some(Reserved { ticket, arrival })
    }

    fn pair(&mut self, a: u32, b: u32) -> Option<Match> {
        let (a, b) = (self.take(a)?, self.take(b)?);
        let age = |reserved: &Reserved| (reserved.ticket.enqueued_at_ms, reserved.arrival);
        Some(if age(&a) <= age(&b) {
            Match { older: a, younger: b }
        } else {
            Match { older: b, younger: a }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_that_come_and_go_while_nobody_asks_leave_few_traces() {
        let mut queue = Queue::new(Settings::default());
        for id in 0..10_000 {
            let ticket = Ticket {
                id: TicketId(id),
                player: PlayerKey(id),
                rating: 1500,
                enqueued_at_ms: id,
                avoid: None,
            };
            queue.add(ticket).expect("a fresh id");
            assert!(queue.suspend(ticket.id, id) && queue.resume(ticket.id));
            queue.remove(ticket.id).expect("it waits");
            // The limit counts the ticket that has just gone.
            assert!(queue.fresh.len() <= 2 * (queue.len() + 1) + FRESH_SPARED);
        }
        assert!(queue.is_empty() && queue.next_deadline().is_none());
    }
}
