//! Tickets in the order of their ratings, and within one rating in the order of seniority.
//!
//! A search goes outward one *rating* at a time, not one ticket: of all tickets of a rating the most
//! senior one fits first, so the others need no look. That keeps a crowd of equals cheap.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

/// Tickets begin their wait before this moment (milliseconds), so that it fits the key.
pub const TIME_LIMIT_MS: u64 = 1 << 48;
const SENIORITY_BITS: u32 = 96;

/// Rating, then moment of arrival, then order of arrival, in one number that sorts by all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(u128);

/// A rating whose order as an unsigned number is that of the signed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(u32);

impl Rank {
    pub fn of(rating: i32) -> Self {
        Self(rating.cast_unsigned() ^ (1 << 31))
    }

    fn gap(self, other: Self) -> u32 {
        self.0.abs_diff(other.0)
    }

    fn lowest_key(self) -> Key {
        Key(u128::from(self.0) << SENIORITY_BITS)
    }

    fn highest_key(self) -> Key {
        Key(self.lowest_key().0 | ((1 << SENIORITY_BITS) - 1))
    }
}

impl Key {
    /// `enqueued_at_ms` is below [`TIME_LIMIT_MS`]; so is `arrival`, which counts tickets.
    pub fn new(rating: i32, enqueued_at_ms: u64, arrival: u64) -> Self {
        debug_assert!(enqueued_at_ms < TIME_LIMIT_MS && arrival < TIME_LIMIT_MS);
        let seniority = (u128::from(enqueued_at_ms) << 48) | u128::from(arrival);
        Self(Rank::of(rating).lowest_key().0 | seniority)
    }

    fn rank(self) -> Rank {
        Rank((self.0 >> SENIORITY_BITS) as u32)
    }

    /// Smaller is older, whatever the rating.
    pub fn seniority(self) -> u128 {
        self.0 & ((1 << SENIORITY_BITS) - 1)
    }
}

#[derive(Debug, Default)]
pub struct ByRating {
    slots: BTreeMap<Key, u32>,
}

impl ByRating {
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn insert(&mut self, key: Key, slot: u32) {
        self.slots.insert(key, slot);
    }

    pub fn remove(&mut self, key: Key) {
        self.slots.remove(&key);
    }

    /// The tickets of one rating, the most senior first.
    pub fn group(&self, rank: Rank) -> impl Iterator<Item = (Key, u32)> + '_ {
        self.slots
            .range(rank.lowest_key()..=rank.highest_key())
            .map(|(key, slot)| (*key, *slot))
    }

    /// `centre` itself, then every other rating that somebody has, nearest first; of two equally
    /// near ones the lower.
    pub fn outward(&self, centre: Rank) -> Outward<'_> {
        Outward {
            slots: &self.slots,
            centre,
            started: false,
            below: Side::NextFrom(centre),
            above: Side::NextFrom(centre),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    /// Not looked up yet.
    NextFrom(Rank),
    At(Rank),
    End,
}

/// See [`ByRating::outward`]. Yields (gap, rating).
#[derive(Debug)]
pub struct Outward<'a> {
    slots: &'a BTreeMap<Key, u32>,
    centre: Rank,
    started: bool,
    below: Side,
    above: Side,
}

impl Outward<'_> {
    fn look_up(&mut self) {
        let side = |found: Option<(&Key, &u32)>| found.map_or(Side::End, |(key, _)| Side::At(key.rank()));
        if let Side::NextFrom(rank) = self.below {
            self.below = side(self.slots.range(..rank.lowest_key()).next_back());
        }
        if let Side::NextFrom(rank) = self.above {
            let beyond = (Excluded(rank.highest_key()), Unbounded);
            self.above = side(self.slots.range(beyond).next());
        }
    }
}

impl Iterator for Outward<'_> {
    type Item = (u32, Rank);

    fn next(&mut self) -> Option<Self::Item> {
        if !self.started {
            self.started = true;
            return Some((0, self.centre));
        }
        self.look_up();
        let (rank, side) = match (self.below, self.above) {
            (Side::At(low), Side::At(high)) if self.centre.gap(low) <= self.centre.gap(high) => {
                (low, &mut self.below)
            }
            (_, Side::At(high)) => (high, &mut self.above),
            (Side::At(low), _) => (low, &mut self.below),
            _ => return None,
        };
        *side = Side::NextFrom(rank);
        Some((self.centre.gap(rank), rank))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_come_nearest_first_and_equals_by_seniority() {
        let mut ratings = ByRating::default();
        for (slot, (rating, enqueued_at_ms)) in
            [(10, 5), (-10, 4), (10, 3), (i32::MAX, 0), (i32::MIN, 0), (3, 9)]
                .into_iter()
                .enumerate()
        {
            ratings.insert(Key::new(rating, enqueued_at_ms, slot as u64), slot as u32);
        }
        let order: Vec<Vec<u32>> = ratings
            .outward(Rank::of(0))
            .map(|(_, rank)| ratings.group(rank).map(|(_, slot)| slot).collect())
            .collect();
        assert_eq!(
            order,
            [vec![], vec![5], vec![1], vec![2, 0], vec![3], vec![4]],
            "3; -10 before the equally near 10; the ends of the scale"
        );
        let gaps: Vec<u32> = ratings.outward(Rank::of(i32::MIN)).map(|(gap, _)| gap).collect();
        assert_eq!(gaps.first().zip(gaps.last()), Some((&0, &u32::MAX)));
    }
}
