//! What waits and what comes of it: values only.

/// A ticket's name, chosen by the caller. Unique within a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId(pub u64);

/// A player's name, chosen by the caller: one number for one player for as long as any ticket
/// carries it, as ticket holder or as somebody to avoid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlayerKey(pub u64);

/// A player's wish for a game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub id: TicketId,
    /// Who waits. A player has one ticket at a time.
    pub player: PlayerKey,
    /// Rating points.
    pub rating: i32,
    /// When the wait began, in milliseconds of the caller's clock. Seniority counts from here, so a
    /// player who comes back from a match that came to nothing may bring an earlier moment along.
    pub enqueued_at_ms: u64,
    /// The opponent of the game that has just ended: not again at once.
    pub avoid: Option<PlayerKey>,
}

/// A ticket that a match took out of the queue. If the other side is gone, [`Queue::put_back`]
/// returns it with its seniority, as if it had never left.
///
/// [`Queue::put_back`]: crate::Queue::put_back
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    pub ticket: Ticket,
    pub(crate) arrival: u64,
}

/// Two tickets that fit. Neither is in the queue any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The one that has waited longer.
    pub older: Reserved,
    pub younger: Reserved,
}

/// Why a ticket was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    #[error("ticket {} is already waiting", id.0)]
    AlreadyWaiting { id: TicketId },
    #[error("player {} is already waiting with ticket {}", player.0, id.0)]
    PlayerWaiting { player: PlayerKey, id: TicketId },
    #[error("the queue is full: {tickets_max} tickets wait")]
    Full { tickets_max: usize },
    /// No clock that counts milliseconds from 1970 says this before the year 10889.
    #[error("the wait began at {enqueued_at_ms} ms, which is not before {limit_ms} ms")]
    TimeOutOfRange { enqueued_at_ms: u64, limit_ms: u64 },
}
