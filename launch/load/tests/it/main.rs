//! The load engine against a small server that keeps the contract, and breaks it on demand.

#![cfg(test)]

mod faults;
mod http;
mod players;
mod recovery;
mod server;
