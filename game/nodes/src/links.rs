//! Whether anything is missing between two nodes. Pure: time is an argument.
//!
//! Each side of a link has an epoch, which it raises when it begins the link anew, and a number on each
//! message, from 1, that begins again with either epoch. A receiver that misses a number raises its epoch
//! and forgets what hung on the link; a sender that learns of the other's new epoch forgets as well.
//! Messages that were on their way meanwhile name a former epoch and are not taken. So both sides always
//! agree on what hangs on the link, or will as soon as the next message gets through. A new link begins
//! the same way: nothing is taken until both sides know the other's epoch.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::Instance;

/// Of messages that show that the peer does not know of a reset, not each one is answered.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// Nodes that can be heard of; far above what one Redis would carry.
const PEERS_MAX: usize = 1024;

/// A message's place on the link from its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The sender's.
    pub epoch: u64,
    /// The receiver's, as far as the sender knows it; 0: not at all.
    pub peer_epoch: u64,
    pub sequence: u64,
}

/// What to do about a message.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// First: what hung on the link has ended.
    pub reset: bool,
    /// That was a link over which messages had come through.
    pub lost: bool,
    /// Then: the peer has to hear of our epoch.
    pub tell: bool,
    /// Then: the message is the next one.
    pub take: bool,
}

#[derive(Debug)]
struct Link {
    epoch: u64,
    peer_epoch: u64,
    sent: u64,
    expected: u64,
    heard_at: Instant,
    told_at: Option<Instant>,
    /// Messages are known to come through.
    heard: bool,
}

impl Link {
    /// Whether the peer is to be told now.
    fn tells(&mut self, now: Instant) -> bool {
        let due = self.told_at.is_none_or(|at| now >= at + TOLD_EVERY);
        if due {
            self.told_at = Some(now);
        }
        due
    }

    fn restart(&mut self, epoch: u64) {
        self.epoch = epoch;
        (self.sent, self.expected) = (0, 1);
    }
}

/// The links of one node.
#[derive(Debug, Default)]
pub(crate) struct Links {
    peers: HashMap<Instance, Link>,
    /// Never used twice, whatever becomes of the links.
    epochs: u64,
}

impl Links {
    /// The place of the next message to `peer`. `None`: there are too many peers.
    pub fn next(&mut self, peer: &Instance, now: Instant) -> Option<Header> {
        let link = self.link(peer, now)?;
        link.sent += 1;
        Some(Header {
            epoch: link.epoch,
            peer_epoch: link.peer_epoch,
            sequence: link.sent,
        })
    }

    /// Whether a message from `peer` is the next one.
    pub fn on_message(&mut self, peer: &Instance, header: Header, now: Instant) -> Verdict {
        let mut verdict = Verdict::default();
        let epoch = self.epochs + 1;
        let Some(link) = self.link(peer, now) else {
            return verdict;
        };
        if header.epoch < link.peer_epoch || header.peer_epoch > link.epoch {
            return verdict;
        }
        link.heard_at = now;
        if header.epoch > link.peer_epoch {
            link.peer_epoch = header.epoch;
            (link.sent, link.expected) = (0, 1);
            link.told_at = Some(now);
            (verdict.reset, verdict.tell) = (true, true);
            verdict.lost = link.heard;
        }
        if header.peer_epoch < link.epoch {
            verdict.tell |= link.tells(now);
        } else if header.sequence == link.expected {
            link.expected += 1;
            link.heard = true;
            verdict.take = true;
        } else if header.sequence > link.expected {
            link.restart(epoch);
            link.told_at = Some(now);
            (verdict.reset, verdict.tell) = (true, true);
            verdict.lost = link.heard;
            self.epochs = epoch;
        }
        verdict
    }

    /// Something was lost on the way to `peer`. `gone`: perhaps the peer altogether.
    pub fn reset(&mut self, peer: &Instance, gone: bool) {
        if let Some(link) = self.peers.get_mut(peer) {
            self.epochs += 1;
            link.restart(self.epochs);
            link.heard &= !gone;
        }
    }

    /// What was lost is not known, nor who is still there.
    pub fn reset_all(&mut self) -> Vec<Instance> {
        let peers: Vec<Instance> = self.peers.keys().cloned().collect();
        for peer in &peers {
            self.reset(peer, true);
        }
        peers
    }

    /// Peers of whom nothing was heard for `limit`; each is told of once in that time.
    pub fn silent(&mut self, now: Instant, limit: Duration) -> Vec<Instance> {
        let mut silent = Vec::new();
        for (peer, link) in &mut self.peers {
            if now >= link.heard_at + limit {
                link.heard_at = now;
                silent.push(peer.clone());
            }
        }
        for peer in &silent {
            self.reset(peer, true);
        }
        silent
    }

    /// Drops links to peers for whom `keep` does not hold, and answers which.
    pub fn retain(&mut self, keep: impl Fn(&Instance) -> bool) -> Vec<Instance> {
        let gone: Vec<Instance> = self.peers.keys().filter(|peer| !keep(peer)).cloned().collect();
        for peer in &gone {
            self.peers.remove(peer);
        }
        gone
    }

    /// Messages from `peer` come through, as far as is known.
    pub fn is_heard(&self, peer: &Instance) -> bool {
        self.peers.get(peer).is_some_and(|link| link.heard)
    }

    /// How many peers that holds for.
    pub fn heard(&self) -> usize {
        self.peers.values().filter(|link| link.heard).count()
    }

    fn link(&mut self, peer: &Instance, now: Instant) -> Option<&mut Link> {
        if !self.peers.contains_key(peer) {
            if self.peers.len() >= PEERS_MAX {
                return None;
            }
            self.epochs += 1;
            let link = Link {
                epoch: self.epochs,
                peer_epoch: 0,
                sent: 0,
                expected: 1,
                heard_at: now,
                told_at: None,
                heard: false,
            };
            self.peers.insert(peer.clone(), link);
        }
        self.peers.get_mut(peer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn instance(name: &str) -> Instance {
        name.into()
    }

    const TAKEN: Verdict = Verdict {
        reset: false,
        lost: false,
        tell: false,
        take: true,
    };

    /// Two nodes that have met.
    fn two(now: Instant) -> (Instance, Instance, Links, Links) {
        let (a, b) = (instance("a"), instance("b"));
        let (mut at_a, mut at_b) = (Links::default(), Links::default());
        let hello = at_a.next(&b, now).unwrap();
        let met = at_b.on_message(&a, hello, now);
        assert_eq!((met.tell, met.take), (true, false));
        let answer = at_b.next(&a, now).unwrap();
        let met = at_a.on_message(&b, answer, now);
        assert_eq!((met.tell, met.take), (true, true));
        let hello = at_a.next(&b, now).unwrap();
        assert_eq!(at_b.on_message(&a, hello, now), TAKEN);
        (a, b, at_a, at_b)
    }

    #[test]
    fn a_gap_resets_both_sides_and_what_was_on_its_way_is_not_taken() {
        let now = Instant::now();
        let (a, b, mut at_a, mut at_b) = two(now);
        let first = at_a.next(&b, now).unwrap();
        assert_eq!(at_b.on_message(&a, first, now), TAKEN);
        assert_eq!(at_b.on_message(&a, first, now), Verdict::default(), "doubled");
        let _lost = at_a.next(&b, now).unwrap();
        let (third, fourth) = (at_a.next(&b, now).unwrap(), at_a.next(&b, now).unwrap());
        let gap = at_b.on_message(&a, third, now);
        assert_eq!((gap.reset, gap.tell, gap.take), (true, true, false));
        let stale = at_b.on_message(&a, fourth, now);
        assert_eq!((stale.reset, stale.take), (false, false));
        let told = at_b.next(&a, now).unwrap();
        let learned = at_a.on_message(&b, told, now);
        assert_eq!((learned.reset, learned.take), (true, true));
        let again = at_a.next(&b, now).unwrap();
        assert_eq!(at_b.on_message(&a, again, now), TAKEN);
    }

    #[test]
    fn a_reset_that_nobody_heard_of_is_told_again() {
        let now = Instant::now();
        let (a, b, mut at_a, mut at_b) = two(now);
        at_b.reset(&a, false);
        let later = now + TOLD_EVERY;
        let stale = at_a.next(&b, later).unwrap();
        assert!(at_b.on_message(&a, stale, later).tell);
        let stale = at_a.next(&b, later).unwrap();
        assert!(!at_b.on_message(&a, stale, later).tell, "not each time");
        let stale = at_a.next(&b, later).unwrap();
        assert!(at_b.on_message(&a, stale, later + TOLD_EVERY).tell);
    }

    #[test]
    fn a_peer_that_is_silent_is_not_counted_on_until_it_is_heard_again() {
        let now = Instant::now();
        let (a, b, mut at_a, mut at_b) = two(now);
        let limit = Duration::from_secs(3);
        assert!(at_a.is_heard(&b) && at_b.is_heard(&a));
        assert!(at_a.silent(now, limit).is_empty());
        assert_eq!(at_a.silent(now + limit, limit), std::slice::from_ref(&b));
        assert!(!at_a.is_heard(&b));
        let hello = at_a.next(&b, now).unwrap();
        assert!(at_b.on_message(&a, hello, now).reset);
        let sign = at_b.next(&a, now).unwrap();
        at_a.on_message(&b, sign, now);
        assert!(at_a.is_heard(&b));
    }

    /// What a side believes to hang on the link: the messages taken since its last reset.
    struct Side {
        links: Links,
        peer: Instance,
        hangs: Vec<u64>,
        said: u64,
    }

    impl Side {
        fn say(&mut self, now: Instant) -> (Header, u64) {
            self.said += 1;
            (self.links.next(&self.peer, now).unwrap(), self.said)
        }

        fn hear(&mut self, (header, word): (Header, u64), now: Instant) -> bool {
            let verdict = self.links.on_message(&self.peer, header, now);
            if verdict.reset {
                self.hangs.clear();
            }
            if verdict.take {
                self.hangs.push(word);
            }
            verdict.take
        }
    }

    proptest! {
        /// Whatever is lost, doubled, late or given up: what was taken since the last reset is an
        /// unbroken run of what the peer said, and as soon as the way is clear both talk again.
        #[test]
        fn nothing_is_ever_missing_in_between(steps in prop::collection::vec((0..2_usize, 0..12_u8), 1..300)) {
            let mut now = Instant::now();
            let mut sides = ["b", "a"].map(|peer| Side {
                links: Links::default(), peer: instance(peer), hangs: Vec::new(), said: 0,
            });
            let mut ways: [VecDeque<(Header, u64)>; 2] = Default::default();
            for (side, step) in steps {
                now += Duration::from_millis(40);
                match step {
                    0..=3 => ways[side].push_back(sides[side].say(now)),
                    4 => drop(ways[side].pop_front()),
                    5 => {
                        if let Some(first) = ways[side].front().copied() {
                            ways[side].push_back(first);
                        }
                    }
                    6 => {
                        let peer = sides[side].peer.clone();
                        sides[side].links.reset(&peer, true);
                        sides[side].hangs.clear();
                    }
                    7 => {
                        sides[side].links.retain(|_| false);
                        sides[side].hangs.clear();
                    }
                    _ => {
                        if let Some(said) = ways[side].pop_front() {
                            sides[1 - side].hear(said, now);
                            let hangs = &sides[1 - side].hangs;
                            prop_assert!(hangs.windows(2).all(|two| two[0] + 1 == two[1]), "{hangs:?}");
                        }
                    }
                }
            }
            let mut taken = [false, false];
            for _ in 0..8 {
                for side in 0..2 {
                    now += TOLD_EVERY;
                    let said = sides[side].say(now);
                    taken[side] = sides[1 - side].hear(said, now);
                }
            }
            prop_assert_eq!(taken, [true, true]);
        }
    }
}
