//! Open-loop load against a running backend, over the wire only.
//!
//! Three kinds of it: [`players`] sign in, meet and really play; [`recovery`] does the same while
//! connections are cut under them and proves that no acknowledged move is lost or applied twice;
//! [`http`] sends plain requests at a fixed rate to any backend. [`faults`] holds the network fault
//! that recovery uses.
//!
//! **Open loop.** Whatever can be scheduled has an intended start, drawn from the seed before the
//! answer to the previous request is known. *Response* latency is end − intended start, *service*
//! latency is end − actual start. A server that stops answering for a second is therefore charged
//! for every request that should have been made in that second (no coordinated omission). How late
//! the generator itself started things is measured too: a run whose [`players::PlayersConfig::generator_lag_max`]
//! is exceeded says that it is not valid.
//!
//! This crate never links a server, never judges (it measures), and keeps bounded memory: histograms
//! have fixed size, series at most [`series::POINTS_MAX`] points, logs go to disk.

mod api;
mod book;
mod engine;
pub mod faults;
mod games;
mod history;
mod host;
pub mod http;
pub mod latency;
mod ledger;
mod lines;
mod measure;
pub mod players;
pub mod recovery;
pub mod schedule;
pub mod series;
mod socket;
mod target;

use std::path::PathBuf;

pub use book::{GameMoved, OperationReport, ReleaseReport, ReleaseSnapshot, Snapshot};
pub use latency::{LatencyHistogram, LatencySummary};
pub use measure::Measurements;

/// Why a load run could not be started or could not be brought to its end.
///
/// What the target does wrong is never an error of the run: it is counted in the report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The base URL is not one that this crate can talk to.
    #[error("target {target:?}: {why}")]
    Target { target: String, why: String },
    /// A setting is outside its range.
    #[error("{setting} = {value}: expected {expected}")]
    Setting {
        setting: &'static str,
        value: String,
        expected: &'static str,
    },
    /// Nothing answers at the target, so there is nothing to measure.
    #[error("{target} does not answer: {why}; is it running, and is the address right?")]
    Unreachable { target: String, why: String },
    /// A log of what players were told could not be written.
    #[error("log of the players {}: {source}", path.display())]
    Log { path: PathBuf, source: std::io::Error },
    /// The HTTP client could not be built.
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The relay for network faults could not listen.
    #[error("relay on {listen}: {source}")]
    Relay { listen: String, source: std::io::Error },
    /// A task of the generator ended by a panic: the figures would be wrong.
    #[error("the load generator failed: {0}")]
    Generator(String),
}
