//! The events of a game that a room keeps in memory: the newest. Older ones are in the journal.

use std::collections::VecDeque;

use starvault_rules::Event;

/// Whoever comes back has missed a few; who wants them all is served by the journal.
const EVENTS_MAX: usize = 64;

/// The newest events, in order and without a gap.
#[derive(Debug)]
pub(super) struct History(VecDeque<Event>);

impl History {
    pub(super) fn new(events: Vec<Event>) -> Self {
        let mut history = Self(events.into());
        history.forget();
        history
    }

    pub(super) fn push(&mut self, event: Event) {
        self.0.push_back(event);
        self.forget();
    }

    fn forget(&mut self) {
        let too_many = self.0.len().saturating_sub(EVENTS_MAX);
        self.0.drain(..too_many);
        // A long game that was loaded does not keep its size.
        self.0.shrink_to(2 * EVENTS_MAX);
    }

    /// What came after `sequence`, oldest first; `None` where some of it is forgotten.
    pub(super) fn after(&self, sequence: u32) -> Option<impl Iterator<Item = &Event>> {
        let first = self.0.front()?.sequence;
        (first <= sequence.saturating_add(1))
            .then(|| self.0.iter().filter(move |event| event.sequence > sequence))
    }
}

#[cfg(test)]
mod tests {
    use starvault_rules::{Color, EventKind};

    use super::*;

    fn event(sequence: u32) -> Event {
        Event {
            sequence,
            at_ms: 0,
            kind: EventKind::DrawOffered { by: Color::White },
        }
    }

    #[test]
    fn the_newest_events_are_there_and_a_gap_is_told() {
        let mut history = History::new((1..=100).map(event).collect());
        history.push(event(101));
        let after = |history: &History, sequence| {
            history
                .after(sequence)
                .map(|events| events.map(|event| event.sequence).collect::<Vec<_>>())
        };
        assert_eq!(after(&history, 99), Some(vec![100, 101]));
        assert_eq!(after(&history, 101), Some(vec![]));
        assert_eq!(after(&history, 37).map(|events| events.len()), Some(64));
        assert_eq!(after(&history, 36), None);
        assert_eq!(after(&History::new(vec![event(1)]), 0), Some(vec![1]));
    }
}
