//! Which address a request comes from, and how much one address may take.
//!
//! Owns what proxies that are trusted say of whom they speak for, in headers ([`TrustedProxies`]) and before all else
//! on a connection ([`proxy_protocol`]), token buckets ([`rate`]), and which failures of one player are the same one
//! again ([`repeats`]). It opens no socket and reads no clock.

mod network;
pub mod proxy_protocol;
pub mod rate;
pub mod repeats;

pub use network::{ClientAddress, Network, TrustedProxies};
