//! Carries players to two (or more) releases of a backend over HTTP/1.1, HTTP/2, gRPC and WebSocket.
//!
//! Owns routes, weights, stickiness, draining and the metrics by which releases are compared. It
//! never verifies a token, never looks into a payload (but to transcode it, where it is told to), and knows
//! nothing of the game or the launch behind it.
//!
//! The decision where a request goes is pure ([`route`], [`matching`], [`sticky`], [`explain`]); the rest carries bytes.

pub mod access;
pub mod admin;
pub mod answers;
pub mod backend;
pub mod body;
pub mod client_stream;
pub mod config;
pub mod connection;
pub mod exchange;
pub mod explain;
pub mod frames;
pub mod front;
pub mod headers;
pub mod health;
pub mod kept;
pub mod matching;
pub mod metrics;
pub mod proxy;
pub mod reload;
pub mod route;
pub mod server;
pub mod state;
pub mod sticky;
pub mod transcoding;
pub mod tunnel;
pub mod upstream;
pub mod weight;
