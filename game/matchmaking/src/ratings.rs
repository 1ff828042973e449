//! Tickets in the order of their ratings, and within one rating in the order of seniority.
//!
//! A search goes outward one *rating* at a time, not one ticket: of all tickets of a rating the most
//! senior one fits first, so the others need no look. That keeps a crowd of equals cheap.

use std::{
    collections::{BTreeMap, btree_map::Range},
    ops::Bound::{Excluded, Included, Unbounded},
};

/// Tickets begin their wait before this moment (milliseconds), so that it fits the key.
pub const TIME_LIMIT_MS: u64 = 1 << 48;
const SENIORITY_BITS: u32 = 96;

/// Rating, then moment of arrival, then order of arrival, in one number that sorts by all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(u128);

/// A rating whose order as an unsigned number is that of the signed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u32);

impl Rank {
    fn of(rating: i32) -> Self {
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

    pub fn enqueued_at_ms(self) -> u64 {
        (self.seniority() >> 48) as u64
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

    /// Everybody, by rating and then by seniority.
    pub fn iter(&self) -> impl Iterator<Item = (Key, u32)> {
        self.slots.iter().map(|(key, slot)| (*key, *slot))
    }

    pub fn insert(&mut self, key: Key, slot: u32) {
        self.slots.insert(key, slot);
    }

    pub fn remove(&mut self, key: Key) {
        self.slots.remove(&key);
    }

    /// The next ticket of the same rating, after `key` in seniority, other than `own`.
    pub fn next_of_rating(&self, key: Key, own: Key) -> Option<(Key, u32)> {
        self.slots
            .range((Excluded(key), Included(key.rank().highest_key())))
            .map(|(key, slot)| (*key, *slot))
            .find(|(key, _)| *key != own)
    }

    /// Everybody but `own`, one rating after the other, nearest first; of two equally near ratings
    /// the lower.
    pub fn outward(&self, own: Key) -> Outward<'_> {
        let mut outward = Outward {
            slots: &self.slots,
            own,
            below: self.slots.range(..own),
            above: self.slots.range((Excluded(own), Unbounded)),
            next_below: None,
            next_above: None,
        };
        outward.next_below = outward.below.next_back().map(|(key, slot)| (*key, *slot));
        outward.next_above = outward.above.next().map(|(key, slot)| (*key, *slot));
        outward
    }
}

/// Steps that are cheaper than a new search in the tree.
const STEPS_MAX: usize = 4;

/// One rating that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    pub gap: u32,
    /// Its most senior ticket.
    pub oldest: (Key, u32),
}

/// See [`ByRating::outward`].
#[derive(Debug)]
pub struct Outward<'a> {
    slots: &'a BTreeMap<Key, u32>,
    own: Key,
    below: Range<'a, Key, u32>,
    above: Range<'a, Key, u32>,
    /// The next ticket downwards: the youngest of its rating.
    next_below: Option<(Key, u32)>,
    /// The next ticket upwards: the oldest of its rating.
    next_above: Option<(Key, u32)>,
}

impl Outward<'_> {
    /// From the youngest ticket of a rating to its oldest, and beyond it.
    fn descend(&mut self, youngest: (Key, u32)) -> (Key, u32) {
        let rank = youngest.0.rank();
        let mut oldest = youngest;
        for _ in 0..STEPS_MAX {
            self.next_below = self.below.next_back().map(|(key, slot)| (*key, *slot));
            match self.next_below {
                Some(next) if next.0.rank() == rank => oldest = next,
                _ => return oldest,
            }
        }
        // A crowd: over it in one go.
        let of_rating = self.slots.range(rank.lowest_key()..=oldest.0).next();
        self.below = self.slots.range(..rank.lowest_key());
        self.next_below = self.below.next_back().map(|(key, slot)| (*key, *slot));
        of_rating.map_or(oldest, |(key, slot)| (*key, *slot))
    }

    /// From the oldest ticket of a rating beyond its youngest.
    fn ascend(&mut self, oldest: (Key, u32)) {
        let rank = oldest.0.rank();
        for _ in 0..STEPS_MAX {
            self.next_above = self.above.next().map(|(key, slot)| (*key, *slot));
            if self.next_above.is_none_or(|next| next.0.rank() != rank) {
                return;
            }
        }
        self.above = self.slots.range((Excluded(rank.highest_key()), Unbounded));
        self.next_above = self.above.next().map(|(key, slot)| (*key, *slot));
    }
}

impl Iterator for Outward<'_> {
    type Item = Group;

    fn next(&mut self) -> Option<Group> {
        let centre = self.own.rank();
        let gap = |side: Option<(Key, u32)>| side.map(|(key, _)| centre.gap(key.rank()));
        match (gap(self.next_below), gap(self.next_above)) {
            (Some(0), above) => {
                let oldest = self.descend(self.next_below?);
                if above == Some(0) {
                    // Tickets of the own rating lie to both sides; they are one group.
                    self.ascend(self.next_above?);
                }
                Some(Group { gap: 0, oldest })
            }
            (Some(low), high) if high.is_none_or(|high| low <= high) => {
                let oldest = self.descend(self.next_below?);
                Some(Group { gap: low, oldest })
            }
            (_, Some(high)) => {
                let oldest = self.next_above?;
                self.ascend(oldest);
                Some(Group { gap: high, oldest })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(tickets: &[(i32, u64)]) -> ByRating {
        let mut ratings = ByRating::default();
        for (slot, (rating, enqueued_at_ms)) in tickets.iter().enumerate() {
            ratings.insert(Key::new(*rating, *enqueued_at_ms, slot as u64), slot as u32);
        }
        ratings
    }

    /// (gap, slots by seniority) in the order in which a search passes them.
    fn passed(ratings: &ByRating, own: Key) -> Vec<(u32, Vec<u32>)> {
        ratings
            .outward(own)
            .map(|group| {
                let members =
                    std::iter::successors(Some(group.oldest), |(key, _)| ratings.next_of_rating(*key, own));
                (group.gap, members.map(|(_, slot)| slot).collect())
            })
            .collect()
    }

    #[test]
    fn ratings_come_nearest_first_and_equals_by_seniority() {
        let ratings = filled(&[
            (10, 5),
            (-10, 4),
            (10, 3),
            (i32::MAX, 0),
            (i32::MIN, 0),
            (3, 9),
            (0, 7),
        ]);
        let far = i32::MAX.cast_unsigned();
        assert_eq!(
            passed(&ratings, Key::new(0, 7, 6)),
            [
                (3, vec![5]),
                (10, vec![1]),
                (10, vec![2, 0]),
                (far, vec![3]),
                (far + 1, vec![4])
            ],
            "3; -10 before the equally near 10; the ends of the scale"
        );
        let from_the_end = passed(&ratings, Key::new(i32::MIN, 0, 4));
        assert_eq!(from_the_end.last(), Some(&(u32::MAX, vec![3])));
    }

    #[test]
    fn crowds_of_every_size_are_one_group_to_either_side_and_in_the_middle() {
        for crowd in 1..12_u64 {
            let tickets: Vec<(i32, u64)> = [-1, 0, 1]
                .iter()
                .flat_map(|rating| (0..crowd).map(|at| (*rating, at)))
                .collect();
            let ratings = filled(&tickets);
            for place in 0..crowd {
                let slots =
                    |from: u64| -> Vec<u32> { (from..from + crowd).map(|slot| slot as u32).collect() };
                let mut own_group = slots(crowd);
                let own = own_group.remove(place as usize);
                let mut expected = vec![(0, own_group), (1, slots(0)), (1, slots(2 * crowd))];
                expected.retain(|(_, members)| !members.is_empty());
                assert_eq!(passed(&ratings, Key::new(0, place, u64::from(own))), expected);
            }
        }
    }
}
