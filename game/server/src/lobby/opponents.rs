//! Who played whom last, so that nobody meets the same opponent twice in a row while others wait.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use starvault_matchmaking::PlayerKey;
use starvault_rules::PlayerId;

/// The number under which the queue knows a player. Ids are made by this server and no client
/// chooses one, so 64 bits keep a hundred thousand players apart for ages.
#[must_use]
pub fn player_key(player_id: &PlayerId) -> PlayerKey {
    let mut hasher = DefaultHasher::new();
    player_id.as_str().hash(&mut hasher);
    PlayerKey(hasher.finish())
}

/// The last opponents of the players who were matched most recently.
///
/// Two generations stand in for an order of use: when the younger is full it becomes the older,
/// and what was older is forgotten. At least half of the bound is always remembered.
#[derive(Debug)]
pub struct LastOpponents {
    generation_max: usize,
    younger: HashMap<PlayerKey, PlayerKey>,
    older: HashMap<PlayerKey, PlayerKey>,
}

impl LastOpponents {
    #[must_use]
    pub fn new(players_max: usize) -> Self {
        Self {
            generation_max: (players_max / 2).max(1),
            younger: HashMap::new(),
            older: HashMap::new(),
        }
    }

    /// These two play each other now.
    pub fn remember(&mut self, one: PlayerKey, two: PlayerKey) {
        for (player, opponent) in [(one, two), (two, one)] {
            if self.younger.len() >= self.generation_max && !self.younger.contains_key(&player) {
                self.older = std::mem::take(&mut self.younger);
            }
            self.younger.insert(player, opponent);
        }
    }

    #[must_use]
    pub fn of(&self, player: PlayerKey) -> Option<PlayerKey> {
        self.younger
            .get(&player)
            .or_else(|| self.older.get(&player))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_opponent_is_known_to_both_and_replaced_by_the_next() {
        let mut last = LastOpponents::new(100);
        let [a, b, c] = [PlayerKey(1), PlayerKey(2), PlayerKey(3)];
        assert_eq!(last.of(a), None);
        last.remember(a, b);
        assert_eq!((last.of(a), last.of(b)), (Some(b), Some(a)));
        last.remember(c, a);
        assert_eq!((last.of(a), last.of(b), last.of(c)), (Some(c), Some(a), Some(a)));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_most_recent_stays() {
        let mut last = LastOpponents::new(100);
        for n in 0..10_000 {
            last.remember(PlayerKey(2 * n), PlayerKey(2 * n + 1));
            assert!(last.younger.len() + last.older.len() <= 100);
        }
        assert_eq!(last.of(PlayerKey(19_998)), Some(PlayerKey(19_999)));
        assert_eq!(
            last.of(PlayerKey(19_960)),
            Some(PlayerKey(19_961)),
            "twenty games ago"
        );
        assert_eq!(last.of(PlayerKey(0)), None);
    }

    #[test]
    fn a_player_has_the_same_key_every_time() {
        let id = |text: &str| PlayerId::new(text).unwrap();
        assert_eq!(player_key(&id("p-1")), player_key(&id("p-1")));
        assert_ne!(player_key(&id("p-1")), player_key(&id("p-2")));
    }
}
