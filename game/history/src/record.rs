//! What a client notes.

use serde::{Deserialize, Serialize};

/// One observation of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub client: String,
    /// The client's connection, counted from its first.
    pub connection: u32,
    pub game_id: String,
    /// Microseconds, by the one clock of all clients.
    pub at: u64,
    #[serde(flatten)]
    pub kind: Kind,
}

/// What was observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A command is about to leave; the same id again is the same command again.
    Sent {
        command_id: String,
        /// The sequence that the command is to follow; none: whatever it is.
        expected_sequence: Option<u32>,
        /// What it is to bring about, as [`Kind::Told`] would name it as a cause.
        what: String,
    },
    Acknowledged {
        command_id: String,
        /// The game's after the command: that of its last event.
        sequence: u32,
    },
    Refused {
        command_id: String,
        refusal: Refusal,
        /// For people.
        code: String,
        /// Where the game stands, if that was said.
        sequence: Option<u32>,
    },
    Told {
        sequence: u32,
        /// The whole event, or its digest: equal only if everything in it is.
        event: String,
        /// The command that it comes of, if it comes of one at all.
        cause: Option<String>,
    },
    /// The game is taken up again: what happened after `from` is told next, up to `sequence`. A client that
    /// begins with a game as it stands has `from` equal to `sequence`.
    Resumed { asked_at: u64, from: u32, sequence: u32 },
    /// The game cannot be taken up from there; it is said to stand at `sequence`.
    NotResumed { asked_at: u64, from: u32, sequence: u32 },
}

/// What a refusal says of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It does not follow the game's sequence. Final.
    Stale,
    /// It is against the rules. Final.
    Rejected,
    /// It was not decided upon: the same command may be sent again, and may have been taken already.
    Undecided,
}

impl Refusal {
    pub(crate) fn is_final(self) -> bool {
        self != Self::Undecided
    }
}
