//! JSON Web Tokens (RFC 7519, RFC 8725). Owns what a token must be to name a player.
//!
//! The header chooses among the keys that are trusted, and nothing else: `jku`, `x5u`, `x5c` and `jwk` are
//! not read, and the algorithm is the key's. The clock is an argument.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::{
    headers::TOKEN_BYTES_MAX,
    json,
    jwks::{Algorithm, KeyMiss, KeySet, is_kid},
    revocations::Revocations,
};

/// Between the clocks of an issuer and of this machine, in seconds.
pub const LEEWAY_S: i64 = 5;
/// Audiences that one token may name.
const AUDIENCES_MAX: usize = 32;
/// Bytes of a subject: `Identity::player_id`.
pub(crate) const SUBJECT_BYTES_MAX: usize = 128;
/// Bytes of a token's own id.
const JTI_BYTES_MAX: usize = 256;
/// Bytes of a display name; a longer one is left out.
const NAME_BYTES_MAX: usize = 256;
/// The last second of the year 9999: later ones are a mistake in the unit.
const SECONDS_MAX: i64 = 253_402_300_799;

/// Why a token names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("not three parts of base64url with JSON objects, each member once")]
    Form,
    #[error("a header that this server does not understand (`crit`, `typ`)")]
    Header,
    #[error("an algorithm that is not accepted, or not the key's")]
    Algorithm,
    #[error("a `kid` that no key can have")]
    KeyName,
    #[error("signed with a key that is not known")]
    UnknownKey,
    #[error("no `kid`, and not exactly one key fits")]
    AmbiguousKey,
    #[error("the signature is not the key's")]
    Signature,
    #[error("of another issuer")]
    Issuer,
    #[error("for another audience")]
    Audience,
    #[error("no subject of 1 to {SUBJECT_BYTES_MAX} bytes without control characters")]
    Subject,
    #[error("times that are missing, no numbers, or contradict each other")]
    Times,
    #[error("issued in the future")]
    IssuedInFuture,
    #[error("not valid yet")]
    NotYetValid,
    #[error("expired")]
    Expired,
    #[error("revoked")]
    Revoked,
}

/// Whether a token has to say from when on it is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NbfRule {
    Optional,
    Required,
}

/// What is asked of a token of one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    pub issuer: String,
    pub audience: String,
    pub nbf: NbfRule,
}

/// A token that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub subject: String,
    pub issuer: String,
    pub name: Option<String>,
    /// Seconds since 1970-01-01 UTC, as all times here.
    pub issued_at_s: Option<i64>,
    pub expires_at_s: i64,
}

/// A token that has been taken apart. Nothing in it is to be believed before [`Self::verify`].
pub struct Token<'a> {
    /// What is signed.
    message: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Map<String, Value>,
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl<'a> Token<'a> {
    /// Takes a token apart: its form, its header, an algorithm that is accepted at all.
    ///
    /// # Errors
    /// It is no token, or none that any key here could verify.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Form)?;
        if claims.contains('.') {
            return Err(TokenError::Form);
        }
        let header = part(header)?;
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .ok_or(TokenError::Form)?;
        let algorithm = Algorithm::from_name(algorithm).ok_or(TokenError::Algorithm)?;
        // RFC 7515, section 4.1.11: whoever does not understand an extension must not accept the token.
        if header.contains_key("crit") || !is_typ(header.get("typ")) {
            return Err(TokenError::Header);
        }
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if is_kid(kid) => Some(kid.clone()),
            Some(_) => return Err(TokenError::KeyName),
        };
        Ok(Self {
            message,
            signature,
            algorithm,
            kid,
            claims: part(claims)?,
        })
    }

    /// Who claims to have issued it: good for choosing the rules and the keys, and for nothing else.
    #[must_use]
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Whether a newer set of keys might hold the one that this token names.
    #[must_use]
    pub fn wants_newer(&self, keys: &KeySet) -> bool {
        matches!(
            keys.find(self.kid.as_deref(), self.algorithm),
            Err(KeyMiss::Unknown)
        )
    }

    /// Who the token names, at `now_s` seconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// It is not signed by one of `keys`, does not keep to `rules`, or was revoked.
    pub fn verify(
        &self,
        keys: &KeySet,
        rules: &TokenRules,
        revocations: &Revocations,
        now_s: i64,
    ) -> Result<Verified, TokenError> {
        let key = keys
            .find(self.kid.as_deref(), self.algorithm)
            .map_err(|miss| match miss {
                KeyMiss::Unknown => TokenError::UnknownKey,
                KeyMiss::OtherAlgorithm => TokenError::Algorithm,
                KeyMiss::Ambiguous => TokenError::AmbiguousKey,
            })?;
        let good = jsonwebtoken::crypto::verify(
            self.signature,
            self.message.as_bytes(),
            &key.decoding,
            key.algorithm.library(),
        );
        if !matches!(good, Ok(true)) {
            return Err(TokenError::Signature);
        }
        if self.claimed_issuer() != Some(rules.issuer.as_str()) {
            return Err(TokenError::Issuer);
        }
        if !self.is_for(&rules.audience) {
            return Err(TokenError::Audience);
        }
        let subject = self.text("sub", SUBJECT_BYTES_MAX).ok_or(TokenError::Subject)?;
        let times = self.times(rules.nbf, now_s)?;
        let jti = match self.claims.get("jti") {
            None => None,
            Some(_) => Some(self.text("jti", JTI_BYTES_MAX).ok_or(TokenError::Form)?),
        };
        if revocations.revokes(jti, subject, times.issued_at_s) {
            return Err(TokenError::Revoked);
        }
        Ok(Verified {
            subject: subject.to_owned(),
            issuer: rules.issuer.clone(),
            name: self.text("name", NAME_BYTES_MAX).map(str::to_owned),
            issued_at_s: times.issued_at_s,
            expires_at_s: times.expires_at_s,
        })
    }

    fn is_for(&self, audience: &str) -> bool {
        match self.claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(all)) if all.len() <= AUDIENCES_MAX => {
                all.iter().all(Value::is_string) && all.iter().any(|one| one == audience)
            }
            _ => false,
        }
    }

    fn text(&self, name: &str, bytes_max: usize) -> Option<&str> {
        let text = self.claims.get(name)?.as_str()?;
        is_printable(text, bytes_max).then_some(text)
    }

    fn times(&self, nbf: NbfRule, now_s: i64) -> Result<Times, TokenError> {
        let expires_at_s = self.seconds("exp")?.ok_or(TokenError::Times)?;
        let (begins_at_s, issued_at_s) = (self.seconds("nbf")?, self.seconds("iat")?);
        if nbf == NbfRule::Required && begins_at_s.is_none() {
            return Err(TokenError::Times);
        }
        let begins = begins_at_s.into_iter().chain(issued_at_s).max();
        if begins.is_some_and(|begins| begins > expires_at_s) {
            return Err(TokenError::Times);
        }
        // RFC 7519, section 4.1.4: on or after this time the token must not be accepted.
        if now_s.saturating_sub(LEEWAY_S) >= expires_at_s {
            return Err(TokenError::Expired);
        }
        let latest = now_s.saturating_add(LEEWAY_S);
        if begins_at_s.is_some_and(|begins| begins > latest) {
            return Err(TokenError::NotYetValid);
        }
        if issued_at_s.is_some_and(|issued| issued > latest) {
            return Err(TokenError::IssuedInFuture);
        }
        Ok(Times {
            issued_at_s,
            expires_at_s,
        })
    }

    /// A NumericDate (RFC 7519, section 2): it may have a fraction, which is cut off.
    fn seconds(&self, name: &str) -> Result<Option<i64>, TokenError> {
        let Some(value) = self.claims.get(name) else {
            return Ok(None);
        };
        let seconds = value.as_i64().or_else(|| {
            let seconds = value.as_f64()?.floor();
            // Exact up to 2^53, which is far beyond the limit.
            (0.0..=SECONDS_MAX as f64)
                .contains(&seconds)
                .then_some(seconds as i64)
        });
        match seconds {
            Some(seconds) if (0..=SECONDS_MAX).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(TokenError::Times),
        }
    }
}

struct Times {
    issued_at_s: Option<i64>,
    expires_at_s: i64,
}

/// Text for a log or a page: neither empty nor endless, and without control characters.
pub(crate) fn is_printable(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn part(encoded: &str) -> Result<Map<String, Value>, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Form)?;
    json::object(&bytes).map_err(|_| TokenError::Form)
}

/// RFC 8725, section 3.11: a token that was made for something else says so here.
fn is_typ(typ: Option<&Value>) -> bool {
    match typ {
        None => true,
        Some(Value::String(typ)) => {
            let typ = typ.to_ascii_lowercase();
            matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
        }
        Some(_) => false,
    }
}
