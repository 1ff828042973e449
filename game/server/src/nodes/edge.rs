//! The way back from a session at its host to the player's socket at another node.

use prost::Message as _;
use starvault_nodes::{Body, Bus, Frame, Instance, NotHere, Ping, Shut};
use tokio::time::Instant;

use crate::{link::Link, outbox::Outgoing};

/// Where the socket of a guest is.
#[derive(Debug)]
pub struct Edge {
    pub node: Instance,
    /// The session's name there.
    pub session_id: u64,
    bus: Bus,
}

impl Edge {
    #[must_use]
    pub fn new(node: Instance, session_id: u64, bus: Bus) -> Self {
        Self {
            node,
            session_id,
            bus,
        }
    }

    /// Sends what a socket here would write.
    pub fn pass(&self, outgoing: Outgoing, link: &Link) {
        let session_id = self.session_id;
        let frame = |frame: Vec<u8>| Body::Frame(Frame { session_id, frame });
        self.send(match outgoing {
            Outgoing::Frame(one) => frame(one.encode_to_vec()),
            Outgoing::Shared(one) => frame(one.message().to_vec()),
            Outgoing::Ping(number) => {
                link.on_ping(number, Instant::now());
                Body::Ping(Ping { session_id, number })
            }
            Outgoing::Close(close) => Body::Shut(Shut {
                session_id,
                code: close.code.into(),
            }),
        });
    }

    /// The game is not here: the edge is to look it up anew.
    pub fn pass_not_here(&self, request_id: u32, game_id: String, last_sequence: u32) {
        self.send(Body::NotHere(NotHere {
            session_id: self.session_id,
            request_id,
            game_id,
            last_sequence,
        }));
    }

    fn send(&self, body: Body) {
        // What cannot be sent has ended the link, and this session with it.
        let _ = self.bus.send(&self.node, body);
    }
}
