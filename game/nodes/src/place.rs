//! Where a game goes on whose node is gone. Every node that sees the same nodes alive answers the same,
//! so that both players of a game meet again without a word between their nodes.

use crate::Instance;

/// One of `alive` for the game named `key`: rendezvous hashing, so that of the games of other nodes none
/// moves when one node comes or goes. `None`: nobody is alive.
#[must_use]
pub fn place<'a>(key: &str, alive: &'a [Instance]) -> Option<&'a Instance> {
    alive
        .iter()
        .max_by_key(|instance| (weight(key, instance), *instance))
}

/// FNV-1a, and the finaliser of SplitMix64: the same on every build and machine.
fn weight(key: &str, instance: &str) -> u64 {
    let bytes = key.bytes().chain([0]).chain(instance.bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn games_are_spread_and_stay_where_they_are_when_another_node_goes() {
        let nodes: Vec<Instance> = ["a", "b", "c", "d"].map(Into::into).to_vec();
        let games: Vec<String> = (0..4000).map(|n| format!("g-{n}")).collect();
        let fewer = &nodes[..3];
        let mut counts = [0; 4];
        for game in &games {
            let at = place(game, &nodes).unwrap();
            counts[nodes.iter().position(|node| node == at).unwrap()] += 1;
            if **at != *"d" {
                assert_eq!(place(game, fewer), Some(at));
            }
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
        assert_eq!(place("g", &[]), None);
    }
}
