//! What is certain of a game's sequence at a moment.

use crate::Record;

/// At `at`, `sequence` had been reached: somebody was told so by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'r> {
    pub at: u64,
    pub sequence: u32,
    pub by: &'r Record,
}

/// The highest sequence that is certain before a moment.
#[derive(Debug)]
pub(crate) struct Reached<'r>(Vec<Known<'r>>);

impl<'r> Reached<'r> {
    pub fn of(mut known: Vec<Known<'r>>) -> Self {
        known.sort_by_key(|one| one.at);
        let mut highest: Option<Known<'r>> = None;
        for one in &mut known {
            match highest {
                Some(so_far) if so_far.sequence >= one.sequence => {
                    (one.sequence, one.by) = (so_far.sequence, so_far.by);
                }
                _ => highest = Some(*one),
            }
        }
        Self(known)
    }

    /// Before `moment`, not at it: what happens within one microsecond has no order.
    pub fn before(&self, moment: u64) -> Option<Known<'r>> {
        let count = self.0.partition_point(|one| one.at < moment);
        self.0[..count].last().copied()
    }
}

/// Until `at`, `sequence` had not been reached: the command that leads to it was only sent then, or
/// whoever asked then was told of less.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotYet<'r> {
    pub at: u64,
    pub sequence: u32,
    pub by: &'r Record,
}

/// The lowest sequence that is certain not to have been reached at a moment.
#[derive(Debug)]
pub(crate) struct Unreached<'r>(Vec<NotYet<'r>>);

impl<'r> Unreached<'r> {
    pub fn of(mut unreached: Vec<NotYet<'r>>) -> Self {
        unreached.sort_by_key(|one| one.at);
        let mut lowest: Option<NotYet<'r>> = None;
        for one in unreached.iter_mut().rev() {
            match lowest {
                Some(so_far) if so_far.sequence <= one.sequence => {
                    (one.sequence, one.by) = (so_far.sequence, so_far.by);
                }
                _ => lowest = Some(*one),
            }
        }
        Self(unreached)
    }

    pub fn at(&self, moment: u64) -> Option<NotYet<'r>> {
        let passed = self.0.partition_point(|one| one.at <= moment);
        self.0.get(passed).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn record() -> Record {
        Record {
            client: "a".into(),
            connection: 1,
            game_id: "g".into(),
            at: 0,
            kind: Kind::Acknowledged {
                command_id: "c".into(),
                sequence: 1,
            },
        }
    }

    #[test]
    fn what_was_reached_before_a_moment_is_the_highest_of_all_that_was_told_before_it() {
        let by = &record();
        let known = |at, sequence| Known { at, sequence, by };
        let reached = Reached::of(vec![known(30, 4), known(10, 2), known(20, 5)]);
        let before = |moment| reached.before(moment).map(|one| one.sequence);
        assert_eq!(
            [10, 11, 20, 21, 100].map(before),
            [None, Some(2), Some(2), Some(5), Some(5)]
        );
    }

    #[test]
    fn what_was_not_reached_at_a_moment_is_the_lowest_of_all_that_came_after_it() {
        let by = &record();
        let not_yet = |at, sequence| NotYet { at, sequence, by };
        let unreached = Unreached::of(vec![not_yet(10, 2), not_yet(30, 4), not_yet(20, 7)]);
        let at = |moment| unreached.at(moment).map(|one| one.sequence);
        assert_eq!([9, 10, 29, 30].map(at), [Some(2), Some(4), Some(4), None]);
    }
}
