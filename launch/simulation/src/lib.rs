//! The canary judge beside other judges, all of them on the same simulated traffic.
//!
//! How often is a canary rolled back that is no worse, and how soon one that is? Everything is a function of a seed and
//! repeats from it; nothing here reads a clock or a file. Peers are written anew after what their sources
//! and documentation say they do; the limit is Wald's test, which is told what nobody knows.

pub mod judges;
pub mod plot;
mod random;
pub mod report;
pub mod scenario;
pub mod traffic;
