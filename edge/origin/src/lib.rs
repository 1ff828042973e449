//! Which address a request comes from, and how much one address may take.
//!
//! Owns what proxies that are trusted say of whom they speak for, in headers ([`TrustedProxies`]) and before all else
//! on a connection ([`proxy_protocol`]), and token buckets ([`rate`]). It opens no socket and reads no clock.

mod network;
pub mod proxy_protocol;
pub mod rate;

pub use network::{ClientAddress, Network, TrustedProxies};
