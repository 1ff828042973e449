//! Were all clients of a game told the same story, in an order that real time allows?
//!
//! Clients note what they sent and what they were told, each with the moment at which it happened
//! ([`Record`]). [`History`] takes these notes of a whole run and names every one that no single order of
//! each game's commands can explain ([`Violation`]): linearisability per game, seen from outside.
//!
//! A game is one register whose every change has a number, its sequence, and a client names the
//! sequence that its command follows. So the order is known, and checking takes O(n log n) where it takes
//! exponential time in general. What is checked:
//!
//! 1. **Agreement**: no two clients are told different events for one sequence ([`Rule::Agreement`]).
//! 2. **Real time**: a command that was sent after another one's answer comes after it ([`Rule::RealTime`]).
//! 3. **Commands**: an acknowledged command's event stands at its place, once; no event comes of nothing;
//!    a command that is answered again hears the same ([`Rule::Command`]).
//! 4. **Order**: a connection is told of events in order, without gaps ([`Rule::Order`]).
//! 5. **Monotonic reads**: what one client was told, nobody who asks later is told is still to come
//!    ([`Rule::MonotonicReads`]).
//! 6. **Stale refusals**: a command is refused for the sequence it follows only if the game may have
//!    stood elsewhere while it was under way ([`Rule::StaleRefusal`]).
//!
//! **What it needs**: every client whose commands a game takes must keep notes, all by one clock that never
//! goes back; a moment of sending is noted before the bytes leave, a moment of hearing after they came. Then
//! every violation is one. What nobody was told of is never held against the server: let every client ask
//! for its whole game once more at the end.
//!
//! Pure: no clock, no files. Memory is bounded by the number of records that [`History::new`] is given.

mod bounds;
mod commands;
mod connections;
mod events;
mod history;
mod record;
mod report;
mod time;

pub use history::{History, TooManyRecords};
pub use record::{Kind, Record, Refusal};
pub use report::{Report, Rule, VIOLATIONS_MAX, Violation};
