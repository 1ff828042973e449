//! Where things lie. A name in braces is the part that a Redis Cluster hashes: what is changed together
//! shares it.
//!
//! Games are dealt to shards. A shard's games, its running games and its stream of ended games lie in
//! one slot, so that one function call commits results of many games. All players lie in one slot of
//! their own: a game's end changes two of them, and the outbox has one order. They change a hundred
//! times more seldom than games do, and take some 700 bytes each.

use sha2::{Digest as _, Sha256};
use starvault_rules::{GameId, PlayerId};

/// Written into the store when it is made; every process must agree.
pub(super) const SHARDS: u8 = 16;

/// Says what this store is: schema, shards, and an id of its own.
pub(super) const META: &str = "sv:meta";

pub(super) const OUTBOX: &str = "sv:{players}:outbox";
pub(super) const OUTBOX_COUNTER: &str = "sv:{players}:position";
/// What a player's key begins with.
pub(super) const PLAYER: &str = "sv:{players}:p:";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Shard(u8);

impl Shard {
    pub(super) fn of(game_id: &GameId) -> Shard {
        let digest = Sha256::digest(game_id.as_str());
        Shard(digest.first().copied().unwrap_or_default() % SHARDS)
    }

    pub(super) fn all() -> impl Iterator<Item = Shard> {
        (0..SHARDS).map(Shard)
    }

    fn key(self, what: &str) -> String {
        format!("sv:{{g{:02}}}:{what}", self.0)
    }

    /// The games of this shard that have ended and not reached their players yet: a stream.
    pub(super) fn ends(self) -> String {
        self.key("ends")
    }

    /// Those that cannot: a stream.
    pub(super) fn dead(self) -> String {
        self.key("dead")
    }

    /// Running games and their owners: a hash.
    pub(super) fn running(self) -> String {
        self.key("running")
    }

    pub(super) fn index(self) -> u8 {
        self.0
    }

    /// What the heads of its games begin with.
    pub(super) fn heads(self) -> String {
        self.key("h:")
    }
}

/// The keys of one game.
#[derive(Clone, Debug)]
pub(super) struct GameKeys {
    pub(super) shard: Shard,
    /// A hash: owner, epoch, sequence, white, black, state, before, ended, settled; and for each command that was
    /// answered, `w:COMMAND` or `b:COMMAND`: the hash of the command and its answer.
    pub(super) head: String,
    /// A list, the oldest first: the command that caused the event, and the event.
    pub(super) events: String,
    /// A list of the refusals among the answers, the oldest first.
    pub(super) refusals: String,
}

impl GameKeys {
    pub(super) fn of(game_id: &GameId) -> GameKeys {
        let shard = Shard::of(game_id);
        let key = |what: &str| shard.key(&format!("{what}:{game_id}"));
        GameKeys {
            head: key("h"),
            events: key("e"),
            refusals: key("r"),
            shard,
        }
    }
}

pub(super) fn player(player_id: &PlayerId) -> String {
    format!("{PLAYER}{player_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn games_are_spread_and_stay_where_they_are() {
        let id = |n: u32| GameId::new(format!("g-{n}")).unwrap();
        // A game that was dealt once must be found for ever.
        assert_eq!(GameKeys::of(&id(1)).head, "sv:{g09}:h:g-1");
        for shard in Shard::all() {
            let share = (0..3_200).filter(|n| Shard::of(&id(*n)) == shard).count();
            assert!((120..=280).contains(&share), "{shard:?}: {share}");
        }
    }
}
