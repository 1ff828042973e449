//! Behaviour of what happens after the hand-out, through the public interface.

mod desk;
mod tickets;
mod triggers;
