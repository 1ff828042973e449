//! Identity tokens of our own: JWT signed with Ed25519 (RFC 8037). Owns what such a token claims and what is asked of
//! one; never logs one.

use std::fmt;

use ed25519_dalek::{
    SigningKey,
    pkcs8::{EncodePrivateKey as _, spki::der::pem::LineEnding},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use starvault_rules::PlayerId;
use tminus_identity::{KeySet, NbfRule, TokenRules};

use crate::{error::AppError, keys::KeyError};

/// Issuer and audience: tokens are made here, for here.
pub const ISSUER: &str = "starvault";
/// How long a token is accepted, in seconds.
pub const TOKEN_LIFETIME_S: i64 = 7 * 24 * 60 * 60;

#[derive(Debug, Serialize)]
struct Claims {
    /// The player.
    sub: String,
    /// The display name at the time of signing.
    name: String,
    iss: String,
    aud: String,
    /// Seconds since 1970-01-01 UTC, as the next two.
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// Signs tokens and says what is asked of one.
pub struct Tokens {
    encoding: EncodingKey,
    keys: KeySet,
    rules: TokenRules,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// # Errors
    /// The key cannot be brought into the form that the token library reads.
    pub fn new(key: &SigningKey) -> Result<Self, KeyError> {
        let private = key.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Encode)?;
        Ok(Self {
            encoding: EncodingKey::from_ed_pem(private.as_bytes()).map_err(|_| KeyError::Encode)?,
            keys: KeySet::of_ed25519(key.verifying_key().as_bytes()),
            rules: TokenRules {
                issuer: ISSUER.into(),
                audience: ISSUER.into(),
                nbf: NbfRule::Required,
            },
        })
    }

    /// The one key that verifies what was signed here.
    #[must_use]
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    #[must_use]
    pub fn rules(&self) -> &TokenRules {
        &self.rules
    }

    /// A token for the player and when it stops being accepted (milliseconds since 1970-01-01 UTC).
    ///
    /// # Errors
    /// Signing failed, which no input causes.
    pub fn issue(&self, player_id: &PlayerId, name: &str, now_ms: i64) -> Result<(String, i64), AppError> {
        let now_s = now_ms.div_euclid(1000);
        let exp = now_s + TOKEN_LIFETIME_S;
        let claims = Claims {
            sub: player_id.to_string(),
            name: name.to_owned(),
            iss: ISSUER.into(),
            aud: ISSUER.into(),
            iat: now_s,
            nbf: now_s,
            exp,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.encoding)
            .map_err(|_| AppError::Internal)?;
        Ok((token, exp * 1000))
    }
}
