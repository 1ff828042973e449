//! Sessions of Spring Session in Redis: a hash whose fields are serialised one by one. Such a hash outlives its session by some
//! minutes, so that its own times decide whether the session still is one.

use super::{
    Found, SessionError,
    java::{Scalar, scalar},
};

/// The field with the time of the last use, in milliseconds since 1970-01-01 UTC.
pub const LAST_USED_FIELD: &str = "lastAccessedTime";
/// The field with the seconds that a session lives after its last use; a negative number is without end.
pub const LIFETIME_FIELD: &str = "maxInactiveInterval";

/// The field of an attribute.
#[must_use]
pub fn attribute_field(name: &str) -> String {
    format!("sessionAttr:{name}")
}

/// What is read of such a hash.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpringFields<'a> {
    /// The value of [`attribute_field`] of the player's attribute.
    pub player: Option<&'a [u8]>,
    pub last_used: Option<&'a [u8]>,
    pub lifetime: Option<&'a [u8]>,
}

impl SpringFields<'_> {
    /// The player, or none if the session has ended by `now_ms`.
    ///
    /// # Errors
    /// A value cannot be read, or the session names nobody.
    pub fn player_of(&self, now_ms: i64) -> Result<Option<String>, SessionError> {
        let last_used_ms = whole(self.last_used)?;
        let lifetime_s = whole(self.lifetime)?;
        if lifetime_s >= 0 && last_used_ms.saturating_add(lifetime_s.saturating_mul(1000)) <= now_ms {
            return Ok(None);
        }
        let found = match scalar(self.player.ok_or(SessionError::NoPlayer)?)? {
            Scalar::Text(text) => Found::Text(text.into_bytes()),
            Scalar::Whole(number) => Found::Signed(number),
            Scalar::Null => return Err(SessionError::NoPlayer),
        };
        found.player_id().map(Some)
    }
}

fn whole(value: Option<&[u8]>) -> Result<i64, SessionError> {
    match value.map(scalar).transpose()? {
        Some(Scalar::Whole(number)) => Ok(number),
        _ => Err(SessionError::Malformed("a session without its times")),
    }
}
