//! What happens after the checklist was handed out.
//!
//! Pages come back from a scanner and their check boxes are read ([`paper`]); whoever was there says how it
//! went ([`feedback`]); what must not be forgotten becomes a decision ([`triggers`]) and each decision one
//! ticket elsewhere ([`tickets`]). Every time shown to a reader carries its zone ([`stamps`]).
//!
//! Deciding is pure: times are arguments, in milliseconds since 1970-01-01 UTC. Files are written only by
//! [`triggers::Keeper`], [`triggers::Ledger`], [`tickets::Courier`] and [`feedback::Store`], each in a place of its own.

pub mod feedback;
mod files;
pub mod paper;
pub mod stamps;
pub mod text;
pub mod tickets;
pub mod triggers;

pub use files::FileTrouble;
