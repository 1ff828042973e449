//! Real servers on loopback over a temporary store, and players of another WebSocket
//! implementation than the server's.

#[cfg(test)]
mod abuse;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod connection;
#[cfg(test)]
mod copies;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod emotes;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod flags;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod grpc_clients;
#[cfg(test)]
mod lobby;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod nodes_lost;
#[cfg(test)]
mod nodes_many;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod ownership;
#[cfg(test)]
#[path = "../../../wire/tests/it/page.rs"]
mod page;
#[cfg(test)]
mod play;
#[cfg(test)]
mod process;
#[cfg(test)]
mod progress;
#[cfg(test)]
mod protocol_page;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod rematch;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod support;
#[cfg(test)]
mod surface;
#[cfg(test)]
mod transcoded;
