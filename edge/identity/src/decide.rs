//! The one table that says whom two credentials name together.
//!
//! What was shown must be good: a bad credential beside a good one is refused, never passed over. A client
//! that sends both believes in both, and one that was revoked, or guessed, must not become harmless by the
//! company that it is in.

use crate::{
    headers::Malformed,
    jwt::{TokenError, Verified},
    session::SessionError,
};

/// Which credential named the player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Token,
    Session,
    /// Both, and they agree.
    Both,
}

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// As the credential has it: 1 to 128 bytes without control characters.
    pub player_id: String,
    pub source: Source,
    /// Who issued the token, if there was one.
    pub issuer: Option<String>,
    /// The token's `name`, if it has one.
    pub display_name: Option<String>,
    /// When the token ends, in seconds since 1970-01-01 UTC. Sessions end in their store.
    pub expires_at_s: Option<i64>,
}

/// What was found out about the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenFinding {
    Absent,
    Valid(Verified),
    Invalid(TokenError),
    /// Its issuer's keys have never been had.
    Unavailable,
}

impl TokenFinding {
    /// For the counter.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Valid(_) => "valid",
            Self::Invalid(TokenError::Expired) => "expired",
            Self::Invalid(TokenError::Revoked) => "revoked",
            Self::Invalid(_) => "invalid",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What was found out about the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionFinding {
    Absent,
    /// The player that it names.
    Valid(String),
    /// There is none of this id (any more).
    Unknown,
    /// It is there and cannot be read.
    Unreadable(SessionError),
    /// Its store does not answer.
    Unavailable,
}

impl SessionFinding {
    /// For the counter.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Valid(_) => "valid",
            Self::Unknown => "unknown",
            Self::Unreadable(_) => "unreadable",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Why a request has no identity. The texts are for the client and hold no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("sign in first and send the token as `Authorization: Bearer TOKEN`")]
    Missing,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Without saying why, unless the token was good once.
    #[error("{}", token_text(.0))]
    Token(TokenError),
    #[error("there is no such session (any more); sign in again")]
    SessionUnknown,
    #[error("the session cannot be read; sign in again")]
    SessionUnreadable,
    #[error("the token and the session name different players; send one of them")]
    Disagree,
    #[error("the keys of the token's issuer cannot be had; try again")]
    KeysUnavailable,
    #[error("the store of sessions does not answer; try again")]
    SessionsUnavailable,
}

fn token_text(error: &TokenError) -> &'static str {
    match error {
        TokenError::Expired => "the token has expired; sign in again",
        TokenError::Revoked => "the token was revoked; sign in again",
        _ => "the token is not valid (any more); sign in again",
    }
}

impl Refusal {
    /// A stable code for clients.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "CREDENTIALS_MISSING",
            Self::Malformed(_) => "CREDENTIALS_MALFORMED",
            Self::Token(TokenError::Expired) => "TOKEN_EXPIRED",
            Self::Token(TokenError::Revoked) => "TOKEN_REVOKED",
            Self::Token(_) => "TOKEN_INVALID",
            Self::SessionUnknown => "SESSION_UNKNOWN",
            Self::SessionUnreadable => "SESSION_UNREADABLE",
            Self::Disagree => "CREDENTIALS_DISAGREE",
            Self::KeysUnavailable => "KEYS_UNAVAILABLE",
            Self::SessionsUnavailable => "SESSIONS_UNAVAILABLE",
        }
    }

    /// Whether nobody knows if the credentials are good: the same request may succeed later.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::KeysUnavailable | Self::SessionsUnavailable)
    }
}

/// Whom the credentials name. A refusal that is certain goes before one that is for want of an answer.
///
/// # Errors
/// Nothing was shown, something shown is not good, or the two name different players.
pub fn decide(token: &TokenFinding, session: &SessionFinding) -> Result<Identity, Refusal> {
    let named = match token {
        TokenFinding::Absent => None,
        TokenFinding::Valid(verified) => Some(Ok(verified)),
        TokenFinding::Invalid(error) => return Err(Refusal::Token(*error)),
        TokenFinding::Unavailable => Some(Err(Refusal::KeysUnavailable)),
    };
    let player = match session {
        SessionFinding::Absent => None,
        SessionFinding::Valid(player_id) => Some(player_id),
        SessionFinding::Unknown => return Err(Refusal::SessionUnknown),
        SessionFinding::Unreadable(_) => return Err(Refusal::SessionUnreadable),
        SessionFinding::Unavailable => return Err(Refusal::SessionsUnavailable),
    };
    let verified = named.transpose()?;
    match (verified, player) {
        (None, None) => Err(Refusal::Missing),
        (Some(verified), Some(player_id)) if verified.subject != *player_id => Err(Refusal::Disagree),
        (Some(verified), Some(_)) => Ok(Identity::of(verified, Source::Both)),
        (Some(verified), None) => Ok(Identity::of(verified, Source::Token)),
        (None, Some(player_id)) => Ok(Identity {
            player_id: player_id.clone(),
            source: Source::Session,
            issuer: None,
            display_name: None,
            expires_at_s: None,
        }),
    }
}

impl Identity {
    fn of(verified: &Verified, source: Source) -> Self {
        Self {
            player_id: verified.subject.clone(),
            source,
            issuer: Some(verified.issuer.clone()),
            display_name: verified.name.clone(),
            expires_at_s: Some(verified.expires_at_s),
        }
    }
}
