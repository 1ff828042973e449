//! Two credentials, one identity.
//!
//! A player shows a JSON Web Token, a session that an older system made, or both. This crate owns what
//! is taken from a request ([`Presented`]), when a token is good ([`Token`], [`KeySet`],
//! [`Revocations`]), how the values of four session stores are read ([`session`]), and the one table that
//! says whom the two name together ([`decide`]). It counts what it was shown ([`AuthCompat`]).
//!
//! Everything is a function of its arguments: the time, key sets and the bytes of a session are handed in.
//! It fetches nothing, and no text of an error or of `Debug` holds a credential.

mod compat;
mod decide;
mod headers;
mod json;
mod jwks;
mod jwt;
mod revocations;
mod rotation;
pub mod session;

pub use compat::{AuthCompat, Outcome};
pub use decide::{Identity, Refusal, SessionFinding, Source, TokenFinding, decide};
pub use headers::{
    Malformed, Presented, SESSION_ID_BYTES_MAX, SessionId, SessionSource, TOKEN_BYTES_MAX, X_SESSION_ID,
};
pub use jwks::{Algorithm, JWKS_BYTES_MAX, JwksError, KEYS_MAX, KeyMiss, KeySet};
pub use jwt::{LEEWAY_S, NbfRule, Token, TokenError, TokenRules, Verified};
pub use revocations::{REVOCATIONS_BYTES_MAX, REVOCATIONS_MAX, Revocations, RevocationsError};
pub use rotation::{KeySource, Rotation, RotationFigures};
