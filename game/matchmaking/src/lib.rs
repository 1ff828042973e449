//! One-against-one matchmaking by rating windows.
//!
//! A [`Queue`] is one pool: the players of one release who wait for one mode in one region;
//! [`Pools`] holds several and keeps a player in at most one of them. They own who waits, who fits
//! whom and when that next changes. They never read a clock, never sleep, never draw a number and
//! never talk to a player: time is an argument in milliseconds and a match is a value.
//!
//! Two tickets fit when the gap between their ratings lies in *both* windows. A window opens with
//! waiting time ([`Settings::window`]), so the younger ticket decides. Two players one of whom asks
//! not to meet the other ([`Ticket::avoid`]) fit only after both have waited [`Settings::avoid_ms`],
//! or [`Settings::avoid_alone_ms`] while nobody else waits.
//! A ticket that has waited [`Settings::wait_ms_max`] fits anybody: that is the bound on starvation,
//! and the oldest goes first.
//!
//! That is [`Policy::V2`]. Under the older [`Policy::V1`] a window stays as it was on arrival, nobody is avoided, and of
//! all who fit the one who has waited longest is taken. A pool can go from one to the other at any moment and keeps
//! every ticket ([`Queue::adopt`]).

pub mod baseline;
pub mod drive;
mod heap;
mod pools;
mod queue;
mod random;
mod ratings;
mod settings;
pub mod simulation;
mod slots;
mod ticket;

pub use pools::{PoolError, Pools};
pub use queue::Queue;
pub use settings::{Policy, Settings, SettingsError};
pub use ticket::{AddError, Match, PlayerKey, Reserved, Ticket, TicketId};
