//! Many servers of one release as one: who is alive, who leads, what they tell each other, and which
//! tickets outlive their leader. Redis carries all of it; nothing here is a cluster of our own making.
//!
//! [`Membership`] keeps this node's presence and the lease of the leader, and shows both as a [`View`].
//! [`Bus`] carries messages from node to node at most once and in order: a message that is missing ends
//! everything that hangs on its link, as a lost connection would. [`TicketLog`] keeps who waits for an
//! opponent. This crate knows nothing of games and sockets; what a message means is the server's to say.

mod bus;
mod connect;
mod figures;
mod links;
mod membership;
mod message;
mod place;
mod tickets;

use std::{sync::Arc, time::Duration};

pub use bus::{Bus, Idle, LinkLost, Receiver};
pub use connect::{ConnectError, RedisUrl};
pub use figures::Figures;
pub use membership::{Leader, Lease, Membership, Standing, View, leave_games_of};
pub use message::{
    Attach, Begin, Begun, Body, Closed, Command, Frame, Here, NotHere, Open, Ping, Pong, Rematched,
    Returning, Seated, Shut, Take, Wait, Waiting, Who,
};
pub use place::place;
pub use tickets::{Ticket, TicketLog};

/// Names one process of a release, never reused.
pub type Instance = Arc<str>;

/// How long things last.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// A node that has not said so for this long is gone, and so is a leader's lease.
    pub time_to_live: Duration,
    /// Between two signs of life.
    pub every: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            time_to_live: Duration::from_secs(3),
            every: Duration::from_secs(1),
        }
    }
}
