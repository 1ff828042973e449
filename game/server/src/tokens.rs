//! Identity tokens: JWT signed with Ed25519 (RFC 8037). Owns what a token claims and what is
//! accepted; never logs one.

use std::fmt;

use ed25519_dalek::{
    SigningKey,
    pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, spki::der::pem::LineEnding},
};
use http::{HeaderMap, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use starvault_rules::PlayerId;

use crate::{error::AppError, keys::KeyError};

/// Issuer and audience: tokens are made here, for here.
const STARVAULT: &str = "starvault";
/// How long a token is accepted, in seconds.
pub const TOKEN_LIFETIME_S: i64 = 7 * 24 * 60 * 60;
/// Between the clocks of two processes, in seconds.
const LEEWAY_S: u64 = 5;
/// Longer texts are no token of ours, and are not looked at.
const TOKEN_BYTES_MAX: usize = 2 * 1024;

const REFUSED: AppError = AppError::Unauthenticated("the token is not valid (any more); sign in again");

#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The player.
    pub sub: String,
    /// The display name at the time of signing.
    pub name: String,
    pub iss: String,
    pub aud: String,
    /// Seconds since 1970-01-01 UTC, as the next two.
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
}

/// Signs and verifies tokens.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
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
        let public = key
            .verifying_key()
            .to_public_key_pem(LineEnding::LF)
            .map_err(|_| KeyError::Encode)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[STARVAULT]);
        validation.set_audience(&[STARVAULT]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        Ok(Self {
            encoding: EncodingKey::from_ed_pem(private.as_bytes()).map_err(|_| KeyError::Encode)?,
            decoding: DecodingKey::from_ed_pem(public.as_bytes()).map_err(|_| KeyError::Encode)?,
            validation,
        })
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
            iss: STARVAULT.into(),
            aud: STARVAULT.into(),
            iat: now_s,
            nbf: now_s,
            exp,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.encoding)
            .map_err(|_| AppError::Internal)?;
        Ok((token, exp * 1000))
    }

    /// Who the token names.
    ///
    /// # Errors
    /// Anything but a token of ours within its time is refused, without saying why.
    pub fn verify(&self, token: &str) -> Result<PlayerId, AppError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(REFUSED);
        }
        let data =
            jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).map_err(|_| REFUSED)?;
        PlayerId::new(&data.claims.sub).map_err(|_| REFUSED)
    }

    /// Who sent `Authorization: Bearer TOKEN`.
    ///
    /// # Errors
    /// There is no such header, or its token is refused.
    pub fn caller(&self, headers: &HeaderMap) -> Result<PlayerId, AppError> {
        let value = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => self.verify(token.trim()),
            _ => Err(AppError::Unauthenticated(
                "sign in first and send the token as `Authorization: Bearer TOKEN`",
            )),
        }
    }
}
