//! Legacy sessions in Redis: reads one by its id, as much of it as is ever looked at, and changes nothing.

use std::{fmt, time::Duration};

use redis::{
    RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tminus_identity::{
    SessionFinding, SessionId,
    session::{
        LAST_USED_FIELD, LIFETIME_FIELD, SESSION_BYTES_MAX, SessionError, SessionFormat, SpringFields,
        attribute_field, player_of,
    },
};

use super::{LegacySessions, session_player};
use crate::error::StartError;

/// Until a connection stands, and until a command is answered.
const ANSWER: Duration = Duration::from_secs(1);
/// For one session, a connection that has to be made again among it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store of sessions.
pub struct Sessions {
    link: ConnectionManager,
    format: SessionFormat,
    key_prefix: String,
    player_field: String,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// What Redis said of a session.
enum Read {
    Nobody,
    Finding(SessionFinding),
}

impl Sessions {
    /// Connects with the first session.
    ///
    /// # Errors
    /// The address is none that the client takes.
    pub fn new(legacy: &LegacySessions) -> Result<Self, StartError> {
        let wrong =
            |_| StartError::Credentials(format!("--sessions {}: no address of a Redis", legacy.redis));
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(ANSWER))
            .set_response_timeout(Some(ANSWER));
        let client = legacy.redis.client().map_err(wrong)?;
        Ok(Self {
            link: ConnectionManager::new_lazy_with_config(client, config).map_err(wrong)?,
            format: legacy.format,
            key_prefix: legacy.key_prefix.clone(),
            player_field: legacy.player_field.clone(),
        })
    }

    /// Whom a session names, at `now_ms`.
    pub async fn find(&self, id: &SessionId, now_ms: i64) -> SessionFinding {
        let key = format!("{}{}", self.key_prefix, id.as_str());
        let reading = async {
            match self.format {
                SessionFormat::Spring => self.read_spring(&key, now_ms).await,
                format => self.read_value(&key, format).await,
            }
        };
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(Ok(Read::Finding(finding))) => finding,
            Ok(Ok(Read::Nobody)) => SessionFinding::Unknown,
            Ok(Err(error)) if error.code() == Some("WRONGTYPE") => {
                SessionFinding::Unreadable(SessionError::WrongType)
            }
            // Its text may quote what was asked, a session's id among it.
            Ok(Err(error)) => {
                tracing::warn!(kind = ?error.kind(), "the store of sessions does not answer");
                SessionFinding::Unavailable
            }
            Err(_) => {
                tracing::warn!("the store of sessions does not answer in time");
                SessionFinding::Unavailable
            }
        }
    }

    async fn read_value(&self, key: &str, format: SessionFormat) -> Result<Read, RedisError> {
        let mut command = redis::cmd("GETRANGE");
        // One byte more than a session may have, so that a longer one is seen.
        command.arg(key).arg(0).arg(SESSION_BYTES_MAX);
        let value: Vec<u8> = command.query_async(&mut self.link.clone()).await?;
        // For a key that is not there, too, Redis answers nothing.
        if value.is_empty() {
            return Ok(Read::Nobody);
        }
        Ok(Read::Finding(
            match player_of(format, &value, &self.player_field) {
                Ok(player_id) => session_player(player_id),
                Err(error) => SessionFinding::Unreadable(error),
            },
        ))
    }

    async fn read_spring(&self, key: &str, now_ms: i64) -> Result<Read, RedisError> {
        let player = attribute_field(&self.player_field);
        let fields = [player.as_str(), LAST_USED_FIELD, LIFETIME_FIELD];
        // One by one, not as a pipeline: that would not say that the key is of another type.
        let [player_bytes, used, lifetime] = fields.map(|field| self.field_bytes(key, field));
        let (player_bytes, used, lifetime) = tokio::try_join!(player_bytes, used, lifetime)?;
        let lengths = [player_bytes, used, lifetime];
        if lengths.iter().all(|bytes| *bytes == 0) {
            return Ok(Read::Nobody);
        }
        if lengths.iter().any(|bytes| *bytes > SESSION_BYTES_MAX) {
            return Ok(Read::Finding(SessionFinding::Unreadable(SessionError::TooLarge)));
        }
        let mut values = redis::cmd("HMGET");
        values.arg(key).arg(&fields);
        let values: Vec<Option<Vec<u8>>> = values.query_async(&mut self.link.clone()).await?;
        let value = |index: usize| values.get(index).and_then(|value| value.as_deref());
        let fields = SpringFields {
            player: value(0),
            last_used: value(1),
            lifetime: value(2),
        };
        Ok(match fields.player_of(now_ms) {
            Ok(Some(player_id)) => Read::Finding(session_player(player_id)),
            Ok(None) => Read::Nobody,
            Err(error) => Read::Finding(SessionFinding::Unreadable(error)),
        })
    }

    async fn field_bytes(&self, key: &str, field: &str) -> Result<usize, RedisError> {
        let mut command = redis::cmd("HSTRLEN");
        command.arg(key).arg(field);
        command.query_async(&mut self.link.clone()).await
    }
}
