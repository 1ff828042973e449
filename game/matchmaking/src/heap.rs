//! Moments, one for each slot at most, the earliest first.
//!
//! A moment that is replaced or cleared stays in the heap as a husk until it reaches the top, or
//! until husks outnumber the living; then they are swept out together. So each change costs
//! O(log n) amortised, and the heap is never longer than twice the living plus a constant.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Below this many husks a sweep is not worth its while.
const HUSKS_SPARED: usize = 1024;
const NONE: u64 = 0;

/// Ordered by moment, then by `tie` (the older arrival first).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    at_ms: u64,
    tie: u64,
    /// Tells a living item from its husks: no two items ever carry the same.
    stamp: u64,
    slot: u32,
}

#[derive(Debug, Default)]
pub struct Moments {
    heap: BinaryHeap<Reverse<Item>>,
    /// The stamp of the living item of each slot.
    living: Vec<u64>,
    living_count: usize,
    stamps: u64,
}

impl Moments {
    /// How many slots have a moment.
    pub fn len(&self) -> usize {
        self.living_count
    }

    /// The earliest moment, and whose it is.
    pub fn first(&self) -> Option<(u64, u32)> {
        self.heap.peek().map(|Reverse(item)| (item.at_ms, item.slot))
    }

    /// Gives a slot its moment, in place of the one it may have.
    pub fn set(&mut self, slot: u32, at_ms: u64, tie: u64) {
        let index = slot as usize;
        if self.living.len() <= index {
            self.living.resize(index + 1, NONE);
        }
        self.stamps += 1;
        if self.living[index] == NONE {
            self.living_count += 1;
        }
        self.living[index] = self.stamps;
        self.heap.push(Reverse(Item {
            at_ms,
            tie,
            stamp: self.stamps,
            slot,
        }));
        self.settle();
    }

    /// Takes a slot's moment away, if it has one.
    pub fn clear(&mut self, slot: u32) {
        if let Some(stamp) = self.living.get_mut(slot as usize)
            && *stamp != NONE
        {
            *stamp = NONE;
            self.living_count -= 1;
            self.settle();
        }
    }

    /// The top is alive again, and husks are few.
    fn settle(&mut self) {
        while let Some(Reverse(item)) = self.heap.peek()
            && self.living[item.slot as usize] != item.stamp
        {
            self.heap.pop();
        }
        if self.heap.len() > 2 * self.living_count + HUSKS_SPARED {
            let living = &self.living;
            self.heap
                .retain(|Reverse(item)| living[item.slot as usize] == item.stamp);
        }
    }

    #[cfg(test)]
    pub fn heap_len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_living_moment_is_first() {
        let mut moments = Moments::default();
        moments.set(0, 30, 0);
        moments.set(1, 10, 1);
        moments.set(2, 10, 0);
        assert_eq!(
            moments.first(),
            Some((10, 2)),
            "of two equal moments the lower tie"
        );
        moments.clear(2);
        assert_eq!(moments.first(), Some((10, 1)));
        moments.set(1, 40, 1);
        assert_eq!(moments.first(), Some((30, 0)));
        moments.clear(0);
        moments.clear(0);
        assert_eq!((moments.first(), moments.len()), (Some((40, 1)), 1));
    }

    #[test]
    fn husks_never_outnumber_the_living_for_long() {
        let mut moments = Moments::default();
        moments.set(0, 0, 0);
        for round in 1..100_000 {
            moments.set(1 + round as u32 % 50, round, round);
            assert!(moments.heap_len() <= 2 * moments.len() + HUSKS_SPARED);
        }
        assert_eq!(moments.len(), 51);
    }
}
