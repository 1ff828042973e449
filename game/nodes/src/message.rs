//! What nodes say to each other, as Protocol Buffers. Of one release only, but a release may run in two
//! builds for the time of a restart: field numbers are never used for something else.
//!
//! The *edge* of a session is the node that has the player's socket; a *host* is a node that has a game or
//! the lobby which that player uses. `session_id` is always the edge's name of the session.

use prost::{Message, Oneof};

/// One message with its place on the link from its sender. See [`crate::links`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Envelope {
    #[prost(string, tag = "1")]
    pub from: String,
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    #[prost(uint64, tag = "3")]
    pub peer_epoch: u64,
    #[prost(uint64, tag = "4")]
    pub sequence: u64,
    #[prost(
        oneof = "Body",
        tags = "8, 9, 10, 16, 17, 18, 19, 20, 21, 32, 33, 34, 35, 36, 48, 49, 50, 51, 52"
    )]
    pub body: Option<Body>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Body {
    /// Nothing but a sign of life.
    #[prost(message, tag = "8")]
    Beat(Beat),
    /// The sender's link has begun anew.
    #[prost(message, tag = "9")]
    Reset(Reset),
    /// The sender goes down: its games and its lobby are to go on elsewhere.
    #[prost(message, tag = "10")]
    Leaving(Leaving),

    // from a session's edge to a host
    #[prost(message, tag = "16")]
    Open(Open),
    #[prost(message, tag = "17")]
    Command(Command),
    #[prost(message, tag = "18")]
    Closed(Closed),
    #[prost(message, tag = "19")]
    Pong(Pong),
    #[prost(message, tag = "20")]
    Here(Here),
    #[prost(message, tag = "21")]
    Waiting(Waiting),

    // from a host to a session's edge
    #[prost(message, tag = "32")]
    Attach(Attach),
    #[prost(message, tag = "33")]
    Frame(Frame),
    #[prost(message, tag = "34")]
    Ping(Ping),
    #[prost(message, tag = "35")]
    Shut(Shut),
    #[prost(message, tag = "36")]
    NotHere(NotHere),

    // between the leader and an owner of games
    #[prost(message, tag = "48")]
    Begin(Box<Begin>),
    #[prost(message, tag = "49")]
    Begun(Begun),
    #[prost(message, tag = "50")]
    Take(Take),
    #[prost(message, tag = "51")]
    Returning(Box<Returning>),
    #[prost(message, tag = "52")]
    Rematched(Box<Rematched>),
}

#[derive(Clone, PartialEq, Message)]
pub struct Beat {}

#[derive(Clone, PartialEq, Message)]
pub struct Reset {}

#[derive(Clone, PartialEq, Message)]
pub struct Leaving {}

/// A session begins to use the host.
#[derive(Clone, PartialEq, Message)]
pub struct Open {
    #[prost(uint64, tag = "1")]
    pub session_id: u64,
    #[prost(string, tag = "2")]
    pub player_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Command {
    #[prost(uint64, tag = "1")]
    pub session_id: u64,
    /// An encoded `starvault.v1.ClientFrame`.
    #[prost(bytes = "vec", tag = "2")]
    pub frame: Vec<u8>,
}

/// The session has ended.
#[derive(Clone, PartialEq, Message)]
pub struct Closed {
    #[prost(uint64, tag = "1")]
    pub session_id: u64,
}

/// The client has everything that was sent before the ping.
#[derive(Clone, PartialEq, Message)]
pub struct Pong {
    #[prost(uint64, tag = "1")]
    pub session_id: u64,
    #[prost(uint32, tag = "2")]
    pub number: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Who {
    #[prost(uint64, tag = "1")]
    pub session_id: u64,
    #[prost(string, tag = "2")]
    pub player_id: String,
}

/// Players who are connected, for a host that may have something for them: the lobby a ticket, or
/// `game_id` a seat.
#[derive(Clone, PartialEq, Message)]
pub struct Here {
    #[prost(message, repeated, tag = "1")]
    pub who: Vec<Who>,
    /// Empty: the lobby.
    #[prost(string, tag = "2")]
    pub game_id: String,
}

/// A player who waits, as the player was told by whoever led before.
#[derive(Clone, PartialEq, Message)]
pub struct Wait {
    #[prost(message, required, tag = "1")]
    pub who: Who,
    #[prost(string, tag = "2")]
    pub region: String,
    #[prost(uint64, tag = "3")]
    pub since_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Waiting {
    #[prost(message, repeated, tag = "1")]
    pub waits: Vec<Wait>,
}

/// The host uses the session from here on.
#[derive(Clone, PartialEq, Message)]
pub struct Attach {
    #[prost(message, required, tag = "1")]
    pub who: Who,
    /// For a game; otherwise for the lobby.
    #[prost(bool, tag = "2")]
    pub game: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Frame {
    #[prost(uint64, tag = "1")]
    pub session_id: u64,
    /// An encoded `starvault.v1.ServerFrame`.
    #[prost(bytes = "vec", tag = "2")]
    pub frame: Vec<u8>,
}

/// To be answered once the client has everything that was sent before.
#[derive(Clone, PartialEq, Message)]
pub struct Ping {
    #[prost(uint64, tag = "1")]
    pub session_id: u64,
    #[prost(uint32, tag = "2")]
    pub number: u32,
}

/// The player's socket is to be closed with this code.
#[derive(Clone, PartialEq, Message)]
pub struct Shut {
    #[prost(uint64, tag = "1")]
    pub session_id: u64,
    #[prost(uint32, tag = "2")]
    pub code: u32,
}

/// The game to be resumed is not at this host.
#[derive(Clone, PartialEq, Message)]
pub struct NotHere {
    #[prost(uint64, tag = "1")]
    pub session_id: u64,
    #[prost(uint32, tag = "2")]
    pub request_id: u32,
    #[prost(string, tag = "3")]
    pub game_id: String,
    #[prost(uint32, tag = "4")]
    pub last_sequence: u32,
}

/// A matched player: where the socket is, and the place in the lobby to go back to.
#[derive(Clone, PartialEq, Message)]
pub struct Seated {
    #[prost(string, tag = "1")]
    pub edge: String,
    #[prost(message, required, tag = "2")]
    pub who: Who,
    #[prost(string, tag = "3")]
    pub region: String,
    #[prost(uint64, tag = "4")]
    pub enqueued_at_ms: u64,
}

/// A game of the receiver's has begun and is durable, in epoch 1.
#[derive(Clone, PartialEq, Message)]
pub struct Begin {
    #[prost(string, tag = "1")]
    pub game_id: String,
    /// Its first event, as it is stored.
    #[prost(string, tag = "2")]
    pub started_json: String,
    #[prost(message, required, tag = "3")]
    pub white: Seated,
    #[prost(message, required, tag = "4")]
    pub black: Seated,
}

/// The game is open, and both players are being told.
#[derive(Clone, PartialEq, Message)]
pub struct Begun {
    #[prost(string, tag = "1")]
    pub game_id: String,
}

/// The game of a node that is gone is to go on at the receiver.
#[derive(Clone, PartialEq, Message)]
pub struct Take {
    #[prost(string, tag = "1")]
    pub game_id: String,
    /// Only while it is still this one's.
    #[prost(string, tag = "2")]
    pub from: String,
}

/// A matched player whose opponent never arrived.
#[derive(Clone, PartialEq, Message)]
pub struct Returning {
    #[prost(message, required, tag = "1")]
    pub seated: Seated,
    #[prost(string, tag = "2")]
    pub display_name: String,
    #[prost(int32, tag = "3")]
    pub rating: i32,
}

/// Two players have begun another game without the lobby.
#[derive(Clone, PartialEq, Message)]
pub struct Rematched {
    #[prost(string, repeated, tag = "1")]
    pub edges: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub players: Vec<Who>,
    #[prost(uint64, tag = "3")]
    pub began_at_ms: u64,
}
