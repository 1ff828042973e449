//! Several queues side by side, one for each key (a region, say), and the rule that a player waits
//! in at most one of them.

use std::collections::BTreeMap;

use crate::{AddError, Match, PlayerKey, Queue, Reserved, Settings, Ticket, TicketId};

/// A fixed set of pools. Tickets of different pools never meet. Ticket ids are unique over all pools.
#[derive(Debug)]
pub struct Pools<K> {
    pools: BTreeMap<K, Queue>,
}

/// Why a ticket was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError<K> {
    #[error("there is no such pool")]
    Unknown { pool: K },
    /// The player, or the ticket's id, waits already; perhaps in another pool.
    #[error("already waiting with ticket {}", id.0)]
    AlreadyWaiting { pool: K, id: TicketId },
    #[error(transparent)]
    Refused(AddError),
}

impl<K: Ord + Clone> Pools<K> {
    /// One empty pool for each key. The number of keys is the caller's to limit: a few dozen, since
    /// every question is put to each pool in turn.
    #[must_use]
    pub fn new(settings: Settings, keys: impl IntoIterator<Item = K>) -> Self {
        Self {
            pools: keys.into_iter().map(|key| (key, Queue::new(settings))).collect(),
        }
    }

    /// The queue of one pool, to look at.
    #[must_use]
    pub fn get(&self, pool: &K) -> Option<&Queue> {
        self.pools.get(pool)
    }

    /// As [`Queue::adopt`], for one pool. False if there is no such pool.
    pub fn adopt(&mut self, pool: &K, settings: Settings) -> bool {
        self.pools
            .get_mut(pool)
            .map(|queue| queue.adopt(settings))
            .is_some()
    }

    /// Every pool with its queue, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Queue)> {
        self.pools.iter()
    }

    /// Tickets in all pools, suspended ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pools.values().map(Queue::len).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pools.values().all(Queue::is_empty)
    }

    /// Where a player waits, and with which ticket.
    #[must_use]
    pub fn pool_of(&self, player: PlayerKey) -> Option<(&K, TicketId)> {
        self.pools
            .iter()
            .find_map(|(key, queue)| queue.ticket_of(player).map(|id| (key, id)))
    }

    /// As [`Queue::add`].
    ///
    /// # Errors
    /// No such pool; the player waits already (the error says where); the pool refuses.
    pub fn add(&mut self, pool: &K, ticket: Ticket) -> Result<(), PoolError<K>> {
        self.admit(pool, &ticket)?.add(ticket).map_err(PoolError::Refused)
    }

    /// As [`Queue::put_back`].
    ///
    /// # Errors
    /// As [`Pools::add`].
    pub fn put_back(&mut self, pool: &K, reserved: Reserved) -> Result<(), PoolError<K>> {
        self.admit(pool, &reserved.ticket)?
            .put_back(reserved)
            .map_err(PoolError::Refused)
    }

    /// As [`Queue::remove`], from whichever pool holds it.
    pub fn remove(&mut self, id: TicketId) -> Option<Ticket> {
        self.pools.values_mut().find_map(|queue| queue.remove(id))
    }

    /// As [`Queue::suspend`].
    pub fn suspend(&mut self, id: TicketId, expires_at_ms: u64) -> bool {
        self.pools
            .values_mut()
            .any(|queue| queue.suspend(id, expires_at_ms))
    }

    /// As [`Queue::resume`].
    pub fn resume(&mut self, id: TicketId) -> bool {
        self.pools.values_mut().any(|queue| queue.resume(id))
    }

    /// As [`Queue::expire`], in every pool.
    pub fn expire(&mut self, now_ms: u64) -> Vec<(K, Ticket)> {
        let mut expired = Vec::new();
        for (key, queue) in &mut self.pools {
            expired.extend(
                queue
                    .expire(now_ms)
                    .into_iter()
                    .map(|ticket| (key.clone(), ticket)),
            );
        }
        expired
    }

    /// The earliest [`Queue::next_deadline`] of all pools.
    pub fn next_deadline(&mut self) -> Option<u64> {
        self.pools.values_mut().filter_map(Queue::next_deadline).min()
    }

    /// The earliest [`Queue::next_expiry`] of all pools.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        self.pools.values().filter_map(Queue::next_expiry).min()
    }

    /// As [`Queue::poll`], in every pool.
    pub fn poll(&mut self, now_ms: u64) -> Vec<(K, Match)> {
        let mut matches = Vec::new();
        for (key, queue) in &mut self.pools {
            matches.extend(queue.poll(now_ms).into_iter().map(|found| (key.clone(), found)));
        }
        matches
    }

    /// When the longest wait of all pools began.
    #[must_use]
    pub fn oldest_enqueued_at_ms(&self) -> Option<u64> {
        self.pools.values().filter_map(Queue::oldest_enqueued_at_ms).min()
    }

    fn admit(&mut self, pool: &K, ticket: &Ticket) -> Result<&mut Queue, PoolError<K>> {
        for (key, queue) in &self.pools {
            let waiting = queue
                .ticket_of(ticket.player)
                .or_else(|| queue.contains(ticket.id).then_some(ticket.id));
            if let Some(id) = waiting {
                return Err(PoolError::AlreadyWaiting {
                    pool: key.clone(),
                    id,
                });
            }
        }
        self.pools
            .get_mut(pool)
            .ok_or_else(|| PoolError::Unknown { pool: pool.clone() })
    }
}
