//! The values of legacy sessions: whom they name. Four formats, each read as its own encoder writes it and no
//! further. Bytes come from a store that other programs write, so that every reader is bounded, has no recursion of
//! its own, and refuses what it does not know instead of guessing.

mod gob;
mod java;
mod json;
mod php;
mod spring;

use crate::jwt::{SUBJECT_BYTES_MAX, is_printable};

pub use java::{Scalar as JavaScalar, scalar as java_scalar};
pub use spring::{LAST_USED_FIELD, LIFETIME_FIELD, SpringFields, attribute_field};

/// A longer value is not read.
pub const SESSION_BYTES_MAX: usize = 64 * 1024;
/// Values that one session may hold, nested ones among them.
pub const VALUES_MAX: usize = 4096;
/// Values within values.
pub const DEPTH_MAX: usize = 32;

/// How a session's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionFormat {
    /// A JSON object.
    Json,
    /// Go's encoding/gob of `map[interface{}]interface{}`, as gorilla/sessions with redistore writes it.
    Gob,
    /// PHP's session handlers `php` and `php_serialize`.
    Php,
    /// A Redis hash of Spring Session, its values serialised by Java.
    Spring,
}

impl SessionFormat {
    /// What stands before a session's id in its key, unless somebody has changed it.
    #[must_use]
    pub const fn key_prefix(self) -> &'static str {
        match self {
            Self::Json => "sess:",
            Self::Gob => "session_",
            Self::Php => "PHPREDIS_SESSION:",
            Self::Spring => "spring:session:sessions:",
        }
    }
}

/// Why a session names nobody. The texts hold nothing of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("the value is longer than {SESSION_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the value holds more than {VALUES_MAX} values, or more than {DEPTH_MAX} within each other")]
    TooManyValues,
    #[error("the value ends too early")]
    Truncated,
    #[error("the value is not of the format: {0}")]
    Malformed(&'static str),
    #[error("the value is of the format and holds what is not read here: {0}")]
    Unsupported(&'static str),
    #[error("the session names no player")]
    NoPlayer,
    #[error(
        "the player's id is no text or whole number of 1 to {SUBJECT_BYTES_MAX} bytes without control characters"
    )]
    PlayerId,
    #[error("the session names a player twice")]
    Ambiguous,
    #[error("the key is of another type than the format's")]
    WrongType,
}

impl SessionError {
    /// For the counter.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooManyValues => "too_many_values",
            Self::Truncated => "truncated",
            Self::Malformed(_) => "malformed",
            Self::Unsupported(_) => "unsupported",
            Self::NoPlayer => "no_player",
            Self::PlayerId => "player_id",
            Self::Ambiguous => "ambiguous",
            Self::WrongType => "wrong_type",
        }
    }
}

/// The player that a session's value names under `field`. Not for [`SessionFormat::Spring`], whose sessions are
/// several values: see [`SpringFields`].
///
/// # Errors
/// The value cannot be read, or names nobody.
pub fn player_of(format: SessionFormat, value: &[u8], field: &str) -> Result<String, SessionError> {
    if value.len() > SESSION_BYTES_MAX {
        return Err(SessionError::TooLarge);
    }
    let found = match format {
        SessionFormat::Json => json::find(value, field),
        SessionFormat::Gob => gob::find(value, field),
        SessionFormat::Php => php::find(value, field),
        SessionFormat::Spring => Err(SessionError::WrongType),
    }?;
    found.ok_or(SessionError::NoPlayer)?.player_id()
}

/// A value that may be a player's id. Any other is looked over and left.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Text(Vec<u8>),
    Signed(i64),
    Unsigned(u64),
    Other,
}

impl Found {
    fn player_id(self) -> Result<String, SessionError> {
        let text = match self {
            Self::Text(bytes) => String::from_utf8(bytes).map_err(|_| SessionError::PlayerId)?,
            Self::Signed(number) => number.to_string(),
            Self::Unsigned(number) => number.to_string(),
            Self::Other => return Err(SessionError::PlayerId),
        };
        if is_printable(&text, SUBJECT_BYTES_MAX) {
            Ok(text)
        } else {
            Err(SessionError::PlayerId)
        }
    }
}

/// Keeps the first value under the player's name; a second one is refused.
#[derive(Debug, Default)]
struct Player(Option<Found>);

impl Player {
    fn found(&mut self, value: Found) -> Result<(), SessionError> {
        match self.0.replace(value) {
            None => Ok(()),
            Some(_) => Err(SessionError::Ambiguous),
        }
    }
}

/// Counts the values of one session.
#[derive(Debug, Default)]
struct Budget(usize);

impl Budget {
    fn take(&mut self) -> Result<(), SessionError> {
        self.0 += 1;
        if self.0 > VALUES_MAX {
            Err(SessionError::TooManyValues)
        } else {
            Ok(())
        }
    }
}

/// Bytes that are read from the front.
#[derive(Debug, Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn peek(self) -> Option<u8> {
        self.0.first().copied()
    }

    fn byte(&mut self) -> Result<u8, SessionError> {
        let (first, rest) = self.0.split_first().ok_or(SessionError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], SessionError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SessionError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Everything before `end`, which is taken as well. At most `max` bytes.
    fn until(&mut self, end: u8, max: usize) -> Result<&'a [u8], SessionError> {
        let at = self.0.iter().take(max + 1).position(|byte| *byte == end);
        let Some(at) = at else {
            return Err(if self.0.len() > max {
                SessionError::Malformed("a part without an end")
            } else {
                SessionError::Truncated
            });
        };
        let taken = self.take(at)?;
        self.byte()?;
        Ok(taken)
    }

    fn expect(&mut self, wanted: u8, what: &'static str) -> Result<(), SessionError> {
        if self.byte()? == wanted {
            Ok(())
        } else {
            Err(SessionError::Malformed(what))
        }
    }
}
