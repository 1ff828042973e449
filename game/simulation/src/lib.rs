//! Players, nodes and a store, on a network that loses, doubles, delays and reorders what it carries, with
//! processes that die at any moment. A run is a function of its seed: nothing here reads a clock, draws a
//! number or does any I/O, so that a run that goes wrong can be looked at again.
//!
//! What is real: the rules of the game, and the commit rule of the store (`starvault_store::rule`), which
//! decides for every engine. What is modelled: the order in which a node decides, makes durable and
//! acknowledges, the group commit, and how players ask again. A [`Mutant`] breaks one of the promises
//! on purpose; a simulation that does not notice it would prove nothing.

mod client;
mod node;
mod random;
mod store;
mod verdict;
mod world;

pub use verdict::Tally;
pub use world::run;

/// A promise that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A command is marked as seen first and carried out later, in two steps.
    SetnxThenUpdate,
    /// Nobody remembers which commands were answered.
    NoDedupe,
    /// The answer leaves before the commit.
    AckBeforeCommit,
    /// Whoever writes is believed to be the owner and to know where the game stands.
    NoFencing,
}

impl Mutant {
    pub const ALL: [Mutant; 4] = [
        Mutant::SetnxThenUpdate,
        Mutant::NoDedupe,
        Mutant::AckBeforeCommit,
        Mutant::NoFencing,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mutant::SetnxThenUpdate => "setnx-then-update",
            Mutant::NoDedupe => "no-dedupe",
            Mutant::AckBeforeCommit => "ack-before-commit",
            Mutant::NoFencing => "no-fencing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: u64 = 40;

    fn all(mutant: Option<Mutant>) -> Tally {
        (0..SEEDS).fold(Tally::default(), |sum, seed| sum + run(seed, mutant))
    }

    #[test]
    fn nothing_is_lost_or_happens_twice_whatever_dies() {
        let tally = all(None);
        assert!(tally.is_sound(), "{tally:?}");
        assert!(
            tally.crashes > 10 * SEEDS && tally.acknowledged > 80 * SEEDS && tally.repeated > SEEDS,
            "too quiet to prove anything: {tally:?}"
        );
    }

    #[test]
    fn every_broken_promise_is_noticed() {
        for mutant in Mutant::ALL {
            let tally = all(Some(mutant));
            assert!(!tally.is_sound(), "{}: {tally:?}", mutant.name());
        }
    }

    #[test]
    fn a_run_repeats_from_its_seed() {
        for seed in 0..5 {
            assert_eq!(run(seed, None), run(seed, None));
        }
        assert_ne!(run(1, None), run(2, None));
    }
}
