//! Starvault's server: players, lobby and games over HTTP, gRPC and WebSocket on one port.
//!
//! [`Config`] -> [`Server::build`] -> [`Server::run`]. A request becomes a call of `app`; a frame
//! on a socket goes through `commands` to the lobby or to the task that owns its game; what
//! happens in a game is decided by `starvault-rules` and durable in `starvault-store` before
//! anybody hears of it. Listener, clock, seed and shutdown are arguments. The server knows nothing
//! of gateways and launches.

mod address;
mod admin;
mod app;
mod assets;
mod build_info;
pub mod cli;
mod commands;
mod config;
mod emotes;
mod error;
mod flags;
mod game_copies;
mod grpc;
mod http;
mod identity;
mod inject;
mod keys;
mod link;
mod lobby;
mod metrics;
mod net;
mod nodes;
mod openapi;
mod outbox;
mod room;
mod rooms;
mod server;
mod session;
mod snapshots;
mod socket;
mod time;
mod tokens;
mod view;
mod ws;

pub use config::{Config, Limits, Region, Regions, Release, parse_clock};
pub use error::StartError;
pub use flags::{FlagsConfig, MATCH_V2};
pub use identity::{Credentials, JwksAddress, LegacySessions, OutsideTokens};
pub use inject::{FaultKind, Injection};
pub use lobby::LobbyMetrics;
pub use metrics::GameMetrics;
pub use net::bind;
pub use openapi::{CredentialsShown, document as openapi_document};
pub use server::Server;
pub use snapshots::SnapshotStores;
pub use starvault_nodes::{RedisUrl, Timing};
pub use time::TimeSource;
pub use tminus_identity::session::SessionFormat;
pub use tminus_origin::Network;
pub use tokens::TOKEN_LIFETIME_S;
