//! Behaviour of what happens after the hand-out, through the public interface.

#![allow(clippy::unwrap_used)]

mod desk;
mod feedback;
mod geo_file;
mod page;
mod paper;
mod stamps;
mod tickets;
mod triggers;
