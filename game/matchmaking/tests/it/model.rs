//! Random histories against a model that looks at every pair and at every millisecond.

use std::collections::BTreeSet;

use proptest::prelude::*;
use starvault_matchmaking::{Match, PlayerKey, Policy, Queue, Reserved, Settings, Ticket, TicketId};

/// Milliseconds are coarse here so that the model can look at each of them.
const SETTINGS: Settings = Settings {
    policy: Policy::V2,
    window_initial: 20,
    window_growth_per_second: 190,
    wait_ms_max: 1_500,
    avoid_ms: 700,
    avoid_alone_ms: 200,
    tickets_max: 64,
};

#[derive(Debug, Clone, Copy)]
struct Known {
    ticket: Ticket,
    /// Order of arrival among all tickets ever; kept when a ticket is put back.
    arrival: u64,
    suspended_until_ms: Option<u64>,
}

/// Everything that is true, written down in the plainest way.
#[derive(Debug)]
struct Model {
    settings: Settings,
    known: Vec<Known>,
    ended: BTreeSet<TicketId>,
    in_a_match: BTreeSet<TicketId>,
}

impl Model {
    fn waiting(&self) -> Vec<Known> {
        let waits = |one: &&Known| one.suspended_until_ms.is_none();
        self.known.iter().filter(waits).copied().collect()
    }

    fn position(&self, id: TicketId) -> Option<usize> {
        self.known.iter().position(|one| one.ticket.id == id)
    }

    /// When the first pair of those who wait fits.
    fn next_ms(&self) -> Option<u64> {
        let waiting = self.waiting();
        let pairs = waiting
            .iter()
            .enumerate()
            .flat_map(|(i, a)| waiting[..i].iter().map(move |b| (a, b)));
        pairs.map(|(a, b)| self.fits_at_ms(a, b)).min()
    }

    /// How good `other` is for `one`: smaller is better.
    fn rank(&self, one: &Known, other: &Known) -> (bool, u32, u64, u64) {
        let age = (other.ticket.enqueued_at_ms, other.arrival);
        if self.settings.policy == Policy::V1 {
            return (false, 0, age.0, age.1);
        }
        let gap = one.ticket.rating.abs_diff(other.ticket.rating);
        (avoided(one, other), gap, age.0, age.1)
    }

    /// When two of those who wait fit.
    fn fits_at_ms(&self, a: &Known, b: &Known) -> u64 {
        fits_at_ms(&self.settings, a, b, self.waiting().len() > 2)
    }

    /// Nobody who fits `one` at `now_ms` is better for it than `other`.
    fn is_best(&self, one: &Known, other: &Known, now_ms: u64) -> bool {
        self.waiting()
            .iter()
            .filter(|third| third.ticket.id != one.ticket.id && self.fits_at_ms(one, third) <= now_ms)
            .all(|third| self.rank(one, other) <= self.rank(one, third))
    }
}

fn avoided(a: &Known, b: &Known) -> bool {
    a.ticket.avoid == Some(b.ticket.player) || b.ticket.avoid == Some(a.ticket.player)
}

/// When a pair fits, straight from the definition; `company` when somebody else waits too.
fn fits_at_ms(settings: &Settings, a: &Known, b: &Known, company: bool) -> u64 {
    let (older, younger) = if a.ticket.enqueued_at_ms <= b.ticket.enqueued_at_ms {
        (a, b)
    } else {
        (b, a)
    };
    let bound_ms = older.ticket.enqueued_at_ms + settings.wait_ms_max;
    let gap = u64::from(a.ticket.rating.abs_diff(b.ticket.rating));
    let agrees = |at_ms: u64| {
        [older, younger].iter().all(|one| {
            let waited_ms = at_ms - one.ticket.enqueued_at_ms;
            let apart_ms = if company {
                settings.avoid_ms
            } else {
                settings.avoid_alone_ms
            };
            let kept_apart = settings.policy == Policy::V2 && avoided(a, b) && waited_ms < apart_ms;
            settings.window(waited_ms) >= gap && !kept_apart
        })
    };
    (younger.ticket.enqueued_at_ms..bound_ms)
        .find(|at_ms| agrees(*at_ms))
        .unwrap_or(bound_ms)
}

#[derive(Debug, Clone)]
enum Step {
    /// `avoid` counts back from the newest player; `late_ms` is how long ago the wait began.
    Add {
        rating: i32,
        avoid: Option<u64>,
        late_ms: u64,
    },
    /// With the id or the player of somebody who is here.
    AddTwice {
        position: usize,
        same_id: bool,
    },
    /// Leaves, whoever is at this position; or somebody whose ticket has ended.
    Remove {
        position: usize,
    },
    RemoveEnded,
    Suspend {
        position: usize,
        ms: u64,
    },
    Resume {
        position: usize,
    },
    Expire,
    Wait {
        ms: u64,
    },
    WaitForDeadline,
    /// The pool goes on by the rules of this policy.
    Adopt {
        policy: Policy,
    },
    /// The last match came to nothing for one side.
    PutBack {
        older: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let position = || 0..12_usize;
    let near = || prop_oneof![2 => 950..1150_i32, 1 => 1000..1003_i32];
    let avoid = || proptest::option::of(1..5_u64);
    let late = || prop_oneof![3 => Just(0), 1 => 0..2_000_u64];
    prop_oneof![
        6 => (near(), avoid(), late()).prop_map(|(rating, avoid, late_ms)| Step::Add { rating, avoid, late_ms }),
        2 => (0..2000_i32, avoid(), late()).prop_map(|(rating, avoid, late_ms)| Step::Add { rating, avoid, late_ms }),
        1 => (position(), any::<bool>()).prop_map(|(position, same_id)| Step::AddTwice { position, same_id }),
        1 => position().prop_map(|position| Step::Remove { position }),
        1 => Just(Step::RemoveEnded),
        2 => (position(), 0..1_000_u64).prop_map(|(position, ms)| Step::Suspend { position, ms }),
        2 => position().prop_map(|position| Step::Resume { position }),
        1 => Just(Step::Expire),
        2 => (0..400_u64).prop_map(|ms| Step::Wait { ms }),
        3 => Just(Step::WaitForDeadline),
        1 => any::<bool>().prop_map(|older| Step::PutBack { older }),
        1 => prop_oneof![Just(Policy::V1), Just(Policy::V2)].prop_map(|policy| Step::Adopt { policy }),
    ]
}

/// The queue and the model, side by side.
struct Both {
    queue: Queue,
    model: Model,
    now_ms: u64,
    next_id: u64,
    last_match: Option<Match>,
    arrivals: Vec<(TicketId, u64)>,
}

impl Both {
    fn new(policy: Policy) -> Self {
        let settings = policy.applied_to(SETTINGS);
        Self {
            queue: Queue::new(settings),
            model: Model {
                settings,
                known: Vec::new(),
                ended: BTreeSet::new(),
                in_a_match: BTreeSet::new(),
            },
            // A wait may have begun before the first step.
            now_ms: 10_000,
            next_id: 100,
            last_match: None,
            arrivals: Vec::new(),
        }
    }

    fn id_at(&self, position: usize) -> Option<TicketId> {
        self.model.known.get(position).map(|one| one.ticket.id)
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Add {
                rating,
                avoid,
                late_ms,
            } => {
                self.next_id += 1;
                let ticket = Ticket {
                    id: TicketId(self.next_id),
                    player: PlayerKey(self.next_id),
                    rating,
                    enqueued_at_ms: self.now_ms - late_ms,
                    avoid: avoid.map(|back| PlayerKey(self.next_id - back)),
                };
                prop_assert_eq!(self.queue.add(ticket), Ok(()));
                let arrival = self.arrivals.len() as u64;
                self.arrivals.push((ticket.id, arrival));
                self.model.known.push(Known {
                    ticket,
                    arrival,
                    suspended_until_ms: None,
                });
            }
            Step::AddTwice { position, same_id } => {
                if let Some(one) = self.model.known.get(position) {
                    let fresh = TicketId(1);
                    let twin = if same_id {
                        Ticket {
                            player: PlayerKey(1),
                            ..one.ticket
                        }
                    } else {
                        Ticket {
                            id: fresh,
                            ..one.ticket
                        }
                    };
                    prop_assert!(self.queue.add(twin).is_err());
                }
            }
            Step::Remove { position } => {
                if let Some(id) = self.id_at(position) {
                    let gone = self.model.known.remove(position);
                    self.model.ended.insert(id);
                    prop_assert_eq!(self.queue.remove(id), Some(gone.ticket), "cancel wins");
                }
            }
            Step::RemoveEnded => {
                let ended = self.model.ended.iter().chain(&self.model.in_a_match);
                for id in ended {
                    prop_assert_eq!(self.queue.remove(*id), None, "cancel loses");
                }
            }
            Step::Suspend { position, ms } => {
                if let Some(id) = self.id_at(position) {
                    self.model.known[position].suspended_until_ms = Some(self.now_ms + ms);
                    prop_assert!(self.queue.suspend(id, self.now_ms + ms));
                }
            }
            Step::Resume { position } => {
                if let Some(id) = self.id_at(position) {
                    let was = self.model.known[position].suspended_until_ms.take();
                    prop_assert_eq!(self.queue.resume(id), was.is_some());
                }
            }
            Step::Expire => {
                let over = |one: &Known| one.suspended_until_ms.is_some_and(|until| until <= self.now_ms);
                let (dropped, kept) = self.model.known.iter().partition::<Vec<_>, _>(|one| over(one));
                self.model.known = kept;
                let mut dropped: Vec<TicketId> = dropped.iter().map(|one| one.ticket.id).collect();
                let mut found: Vec<TicketId> =
                    self.queue.expire(self.now_ms).iter().map(|one| one.id).collect();
                dropped.sort_unstable();
                found.sort_unstable();
                prop_assert_eq!(&found, &dropped);
                self.model.ended.extend(dropped);
            }
            Step::Wait { ms } => self.now_ms += ms,
            Step::WaitForDeadline => {
                self.now_ms = self
                    .queue
                    .next_deadline()
                    .map_or(self.now_ms, |at_ms| at_ms.max(self.now_ms));
            }
            Step::Adopt { policy } => {
                let settings = policy.applied_to(SETTINGS);
                self.queue.adopt(settings);
                self.model.settings = settings;
            }
            Step::PutBack { older } => {
                if let Some(found) = self.last_match.take() {
                    let reserved: Reserved = if older { found.older } else { found.younger };
                    let ticket = reserved.ticket;
                    prop_assert_eq!(self.queue.put_back(reserved), Ok(()));
                    prop_assert!(self.queue.put_back(reserved).is_err(), "only once");
                    self.model.in_a_match.remove(&ticket.id);
                    let arrival = self
                        .arrivals
                        .iter()
                        .find(|(id, _)| *id == ticket.id)
                        .map_or(0, |(_, arrival)| *arrival);
                    self.model.known.push(Known {
                        ticket,
                        arrival,
                        suspended_until_ms: None,
                    });
                }
            }
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<(), TestCaseError> {
        let now_ms = self.now_ms;
        let due = self.model.next_ms().is_some_and(|at_ms| at_ms <= now_ms);
        let found = self.queue.poll(now_ms);
        prop_assert_eq!(due, !found.is_empty(), "a match is made exactly when a pair fits");
        for found in found {
            let (older, younger) = (found.older.ticket, found.younger.ticket);
            let sides =
                [older, younger].map(|ticket| self.model.position(ticket.id).map(|at| self.model.known[at]));
            let [Some(a), Some(b)] = sides else {
                return Err(TestCaseError::fail("somebody was matched who was not there"));
            };
            prop_assert!(
                a.suspended_until_ms.is_none() && b.suspended_until_ms.is_none(),
                "nobody suspended"
            );
            prop_assert!((older.enqueued_at_ms, a.arrival) < (younger.enqueued_at_ms, b.arrival));
            prop_assert!(self.model.fits_at_ms(&a, &b) <= now_ms, "only who fits");
            prop_assert!(
                self.model.is_best(&a, &b, now_ms) || self.model.is_best(&b, &a, now_ms),
                "for one of the two there was nobody better; last opponents come last"
            );
            for ticket in [older, younger] {
                prop_assert!(
                    self.model.in_a_match.insert(ticket.id),
                    "no ticket is in two matches"
                );
                prop_assert!(!self.model.ended.contains(&ticket.id), "cancel won before");
                self.model.known.retain(|one| one.ticket.id != ticket.id);
            }
            self.last_match = Some(found);
        }
        // With an opponent there, nobody waits longer than the bound.
        let waiting = self.model.waiting();
        if waiting.len() >= 2 {
            let within = |one: &Known| now_ms - one.ticket.enqueued_at_ms < SETTINGS.wait_ms_max;
            prop_assert!(waiting.iter().all(within));
        }
        Ok(())
    }

    fn agree(&mut self) -> Result<(), TestCaseError> {
        let waiting = self.model.waiting();
        prop_assert_eq!(self.queue.len(), self.model.known.len());
        prop_assert_eq!(self.queue.suspended_len(), self.model.known.len() - waiting.len());
        let oldest = waiting.iter().map(|one| one.ticket.enqueued_at_ms).min();
        prop_assert_eq!(self.queue.oldest_enqueued_at_ms(), oldest);
        let expiry = self
            .model
            .known
            .iter()
            .filter_map(|one| one.suspended_until_ms)
            .min();
        prop_assert_eq!(self.queue.next_expiry(), expiry);
        prop_assert_eq!(
            self.queue.next_deadline(),
            self.model.next_ms(),
            "the next moment is exact"
        );
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn the_queue_does_what_looking_at_every_pair_would(
        begins_with in prop_oneof![Just(Policy::V1), Just(Policy::V2)],
        steps in proptest::collection::vec((step(), 0..4_u8), 1..70)
    ) {
        let mut both = Both::new(begins_with);
        for (step, asks) in steps {
            both.take(step)?;
            // A caller may be busy for a while and ask for nothing, or only for the next moment.
            if asks != 0 {
                both.poll()?;
            }
            if asks != 1 {
                both.agree()?;
            }
        }
    }
}
