//! Where tickets lie: a vector with a free list, and two maps from names to positions in it.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher},
};

use crate::{PlayerKey, Ticket, TicketId, ratings::Key};

/// One ticket and what the queue knows about it.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub ticket: Ticket,
    pub arrival: u64,
    /// The wish to avoid somebody is heeded. It is not when too many avoid the same player.
    pub heeds_avoid: bool,
    pub suspended: bool,
    /// Whom the ticket's timer is for: a slot, and the arrival that it must still hold.
    pub partner: (u32, u64),
}

#[derive(Debug, Default)]
pub struct Slots {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_id: HashMap<TicketId, u32, FixedState>,
    by_player: HashMap<PlayerKey, u32, FixedState>,
    /// How many tickets avoid a player, by heeded wishes.
    avoiders: HashMap<PlayerKey, usize, FixedState>,
}

impl Slots {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn get(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)?.as_mut()
    }

    pub fn slot_of(&self, id: TicketId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub fn ticket_of(&self, player: PlayerKey) -> Option<TicketId> {
        let slot = *self.by_player.get(&player)?;
        self.get(slot).map(|entry| entry.ticket.id)
    }

    /// Neither the ticket's id nor its player may be here already.
    pub fn insert(&mut self, ticket: Ticket, arrival: u64, avoiders_max: usize) -> u32 {
        let heeds_avoid = ticket.avoid.is_some_and(|avoided| {
            let avoiders = self.avoiders.entry(avoided).or_default();
            let heeds = *avoiders < avoiders_max;
            *avoiders += usize::from(heeds);
            heeds
        });
        let entry = Entry {
            ticket,
            arrival,
            heeds_avoid,
            suspended: false,
            partner: (u32::MAX, u64::MAX),
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = Some(entry);
                slot
            }
            None => {
                self.entries.push(Some(entry));
                (self.entries.len() - 1) as u32
            }
        };
        self.by_id.insert(ticket.id, slot);
        self.by_player.insert(ticket.player, slot);
        slot
    }

    pub fn remove(&mut self, slot: u32) -> Option<Entry> {
        let entry = self.entries.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.by_id.remove(&entry.ticket.id);
        self.by_player.remove(&entry.ticket.player);
        if entry.heeds_avoid
            && let Some(avoided) = entry.ticket.avoid
            && let Some(avoiders) = self.avoiders.get_mut(&avoided)
        {
            *avoiders -= 1;
            if *avoiders == 0 {
                self.avoiders.remove(&avoided);
            }
        }
        Some(entry)
    }
}

impl Entry {
    /// Its place in the order of ratings.
    pub fn key(&self) -> Key {
        Key::new(self.ticket.rating, self.ticket.enqueued_at_ms, self.arrival)
    }

    /// One of the two asks not to meet the other.
    pub fn avoids(&self, other: &Self) -> bool {
        let asks =
            |one: &Self, other: &Self| one.heeds_avoid && one.ticket.avoid == Some(other.ticket.player);
        asks(self, other) || asks(other, self)
    }
}

/// Hashes the same on every run and machine. Keys are numbers of the caller's making, so nobody
/// outside can choose colliding ones, and a multiplication spreads them.
#[derive(Debug, Clone, Copy, Default)]
pub struct FixedState;

#[derive(Debug)]
pub struct FixedHasher(u64);

impl BuildHasher for FixedState {
    type Hasher = FixedHasher;

    fn build_hasher(&self) -> FixedHasher {
        FixedHasher(0)
    }
}

impl Hasher for FixedHasher {
    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio; both halves of the product together depend on every bit.
        let product = u128::from(self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
