//! Which policy each pool goes by. A flag decides, for a whole pool: two players of one pool under different rules would not
//! agree on when they fit. It is asked when the lobby begins and whenever the flags change, never at a join, so that
//! every ticket of a pool is under one policy at any time; when that changes, all tickets stay and keep their age.

use starvault_matchmaking::{Pools, TicketId};

use super::task::Task;
use crate::config::Region;

impl Task {
    /// Asks for each pool's policy, and carries it out where it is another one.
    pub(super) async fn follow_policies(&mut self) {
        let regions = self.options.regions.clone();
        for region in regions.as_slice() {
            let policy = self.options.switches.match_policy(region).await;
            let former = self.pools.get(region).map(|queue| queue.settings().policy);
            self.metrics.publish_policy(region, policy);
            if former == Some(policy) {
                continue;
            }
            let waiting = self.pools.get(region).map_or(0, |queue| queue.len());
            tracing::info!(%region, policy = policy.as_str(), waiting, "another policy makes the matches");
            self.pools.adopt(region, policy.applied_to(self.options.settings));
            self.tell_all_queued(region);
        }
    }

    /// Clients show by themselves how wide their window is: they need the new one.
    fn tell_all_queued(&self, region: &Region) {
        let here = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.region == *region);
        let ids: Vec<TicketId> = here.map(|(id, _)| *id).collect();
        for id in ids {
            self.tell_queued(id, 0);
        }
    }

    /// The same pools with the same policies, and nobody in them.
    pub(super) fn empty_pools(&self) -> Pools<Region> {
        let regions = self.options.regions.as_slice().iter().cloned();
        let mut pools = Pools::new(self.options.settings, regions);
        for (region, queue) in self.pools.iter() {
            pools.adopt(region, *queue.settings());
        }
        pools
    }
}
