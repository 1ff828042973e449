//! A connected player, as games and the lobby see it: a bounded outbox and a way to end it.
//!
//! Nobody is told that a session has ended; whoever holds a handle asks [`SessionHandle::closed`].
//! So the end of an old connection concerns only those who still hold *that* one, and can never
//! take a newer connection of the same player away.

use std::{ops::Deref, sync::Arc, time::Duration};

use starvault_rules::PlayerId;
use starvault_wire::v1::{Error, ServerFrame, error::Code, server_frame::Event};

pub use crate::{
    link::{Link, SharedFrame},
    outbox::Outgoing,
};
use crate::{nodes::Edge, outbox::Outbox};

/// Names one connection within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub u64);

/// Why the server closes a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// RFC 6455, section 7.4; from 4000 on ours.
    pub code: u16,
    pub reason: &'static str,
}

impl Close {
    pub const GOING_DOWN: Self = Self {
        code: 1012,
        reason: "this release is going down: connect again to the same address, without `at`, and resume",
    };
    pub const RELOCATED: Self = Self {
        code: 4001,
        reason: "another process has this game; connect again and resume",
    };
    pub const NODE_LOST: Self = Self {
        code: 1012,
        reason: "the process with your game is gone: connect again to the same address and resume",
    };
    /// A client that comes back after this one only pushes the other out.
    pub const REPLACED: Self = Self {
        code: 4002,
        reason: "this game goes on over a newer connection",
    };
    pub const TOO_MANY_COMMANDS: Self = Self {
        code: 1008,
        reason: "far too many commands",
    };
    pub const SILENT: Self = Self {
        code: 1008,
        reason: "nothing was heard from this client",
    };
    pub const TOO_LARGE: Self = Self {
        code: 1009,
        reason: "the message is too large",
    };
    pub const PROTOCOL: Self = Self {
        code: 1002,
        reason: "not a WebSocket frame",
    };
    pub const NOT_UTF8: Self = Self {
        code: 1007,
        reason: "not UTF-8",
    };

    /// What another node closes a socket for.
    #[must_use]
    pub fn from_node(code: u32) -> Self {
        [Self::RELOCATED, Self::REPLACED]
            .into_iter()
            .find(|close| u32::from(close.code) == code)
            .unwrap_or(Self::NODE_LOST)
    }
}

/// Speaks to one connected player. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionHandle(Arc<Session>);

impl Deref for SessionHandle {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

/// One connected player.
#[derive(Debug)]
pub struct Session {
    pub id: SessionId,
    pub player_id: PlayerId,
    outbox: Outbox,
    link: Link,
    /// Where the socket is, if that is another node.
    edge: Option<Arc<Edge>>,
}

/// The connection's own end of its session: dropped, the session has ended.
#[derive(Debug)]
pub struct Outlet(SessionHandle);

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.outbox.end();
        self.0.outbox.detach();
    }
}

#[cfg(test)]
impl Outlet {
    /// What waits longest.
    pub fn take(&self) -> Option<Outgoing> {
        self.0.outbox.take()
    }
}

/// While it lives, what is sent waits; then all of it leaves together.
#[derive(Debug)]
pub struct Held<'a>(&'a Session);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.outbox.release(&self.0.link);
    }
}

impl SessionHandle {
    #[must_use]
    pub fn new(id: SessionId, player_id: PlayerId, outbox_frames_max: usize) -> (Self, Outlet) {
        let handle = Self(Arc::new(Session {
            id,
            player_id,
            outbox: Outbox::new(outbox_frames_max),
            link: Link::new(),
            edge: None,
        }));
        (handle.clone(), Outlet(handle))
    }

    /// A session whose socket is at another node.
    #[must_use]
    pub fn guest(id: SessionId, player_id: PlayerId, edge: Edge, outbox_frames_max: usize) -> (Self, Outlet) {
        let edge = Arc::new(edge);
        let outbox = Outbox::new(outbox_frames_max);
        outbox.attach_edge(edge.clone());
        let handle = Self(Arc::new(Session {
            id,
            player_id,
            outbox,
            link: Link::new(),
            edge: Some(edge),
        }));
        (handle.clone(), Outlet(handle))
    }

    /// A session that has ended already: of a player who may come back.
    #[must_use]
    pub fn ended(player_id: PlayerId) -> Self {
        Self::new(SessionId(0), player_id, 1).0
    }
}

impl Session {
    /// Queues a frame. `request_id`: the request that it answers, 0 for none. A client that is too
    /// slow for its outbox is cut: it can resume, and what it missed is in the journal.
    pub fn send(&self, request_id: u32, event: Event) {
        self.put(Outgoing::Frame(Box::new(ServerFrame {
            request_id,
            event: Some(event),
        })));
    }

    /// Queues a frame as another node has made it.
    pub fn pass(&self, frame: ServerFrame) {
        self.put(Outgoing::Frame(Box::new(frame)));
    }

    /// Where the socket is; `None`: here.
    #[must_use]
    pub fn edge(&self) -> Option<&Edge> {
        self.edge.as_deref()
    }

    pub fn refuse(&self, request_id: u32, code: Code, message: impl Into<String>) {
        self.refuse_at(request_id, code, message, 0);
    }

    /// As [`Self::refuse`], with the game's sequence.
    pub fn refuse_at(&self, request_id: u32, code: Code, message: impl Into<String>, current_sequence: u32) {
        let error = Error {
            code: code.into(),
            message: message.into(),
            current_sequence,
        };
        self.send(request_id, Event::Error(error));
    }

    /// As [`Self::refuse`], unless so much waits to be written already that one more answer would
    /// only bring the end of the connection nearer: whoever floods is not owed every refusal.
    pub fn refuse_if_room(&self, request_id: u32, code: Code, message: &'static str) {
        if self.outbox.is_roomy() {
            self.refuse(request_id, code, message);
        }
    }

    /// Queues a frame that other sockets are told as well.
    pub fn send_shared(&self, frame: &Arc<SharedFrame>) {
        self.put(Outgoing::Shared(frame.clone()));
    }

    /// Queues such a frame unless half of the outbox is taken already; false then. For what a slow
    /// client can do without.
    pub fn send_if_room(&self, frame: &Arc<SharedFrame>) -> bool {
        self.outbox.put_if_room(&self.link, frame)
    }

    /// Lets what is sent from here on wait until the answer is dropped: several frames, one write.
    pub fn hold(&self) -> Held<'_> {
        self.outbox.hold();
        Held(self)
    }

    /// Queues a WebSocket ping behind what is queued already and answers its number. Once
    /// [`Self::ponged`] is ready for it, the client has received everything that was sent before.
    pub fn ping(&self) -> u32 {
        let number = self.link.next_ping();
        self.put(Outgoing::Ping(number));
        number
    }

    /// Ready once the client has answered the ping `number` or a later one. Never, if it does not.
    pub async fn ponged(&self, number: u32) {
        self.link.ponged(number).await;
    }

    /// The smoothed time from here to the client and back, measured by this server's own pings;
    /// `None` before the first answer.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.link.round_trip()
    }

    /// What is known about the way to the client.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Ends the connection after what is queued already.
    pub fn close(&self, close: Close) {
        self.put(Outgoing::Close(close));
    }

    /// Ends the connection at once, whatever is queued.
    pub fn cut(&self) {
        self.outbox.cut();
    }

    /// Ready once the connection has ended.
    pub async fn closed(&self) {
        self.outbox.ended().await;
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.outbox.is_closed()
    }

    /// For the connection's task.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn put(&self, outgoing: Outgoing) {
        if !self.outbox.put(&self.link, outgoing) {
            tracing::warn!(player = %self.player_id, session = self.id.0, "a client too slow for its outbox is cut");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_outbox_that_overflows_cuts_the_session() {
        let (handle, outlet) = SessionHandle::new(SessionId(1), PlayerId::new("p").unwrap(), 2);
        for _ in 0..2 {
            handle.refuse(1, Code::Internal, "x");
            assert!(!handle.is_closed());
        }
        handle.refuse(1, Code::Internal, "x");
        assert!(handle.is_closed() && handle.outbox.was_cut());
        assert!(matches!(outlet.take(), Some(Outgoing::Frame(_))));
        drop(outlet);
        handle.closed().await;
    }
}
