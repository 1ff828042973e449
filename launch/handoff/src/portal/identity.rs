//! Who asks: a machine with a token, or a person with a session.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, ORIGIN};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::Portal;
use super::answer::Refusal;
use crate::Who;

const TOKEN_BYTES_MAX: usize = 1_024;

/// Somebody who may have something.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub who: Who,
    pub roles: Vec<String>,
    /// By a cookie, which browsers send by themselves.
    pub by_session: bool,
}

impl Identity {
    pub(super) fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }
}

impl Portal {
    /// Nobody without credentials. One that is no good is refused, whatever else there is.
    pub(super) fn identify(&self, headers: &HeaderMap) -> Result<Option<Identity>, Refusal> {
        if let Some(header) = headers.get(AUTHORIZATION) {
            let token = header.to_str().ok().and_then(|header| header.split_once(' '));
            let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            let identity = token.and_then(|(_, token)| self.machine(token.trim()));
            return identity.map(Some).ok_or(Refusal::Nobody);
        }
        let cookie = super::cookie(headers, self.session_cookie());
        let session = cookie.and_then(|id| self.sessions.find(id, self.now_ms()));
        Ok(session.map(|(subject, roles)| Identity {
            who: Who::Subject(subject),
            roles,
            by_session: true,
        }))
    }

    /// As [`Self::identify`], where there is nothing for nobody.
    pub(super) fn somebody(&self, headers: &HeaderMap) -> Result<Identity, Refusal> {
        self.identify(headers)?.ok_or(Refusal::Nobody)
    }

    /// As [`Self::somebody`], for what changes something: a page of another origin must not do it with our cookie.
    pub(super) fn somebody_who_writes(&self, headers: &HeaderMap) -> Result<Identity, Refusal> {
        let identity = self.somebody(headers)?;
        if identity.by_session && !self.is_own_origin(headers) {
            return Err(Refusal::OtherOrigin);
        }
        Ok(identity)
    }

    pub(super) fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        headers
            .get(ORIGIN)
            .is_some_and(|origin| origin.as_bytes() == self.config.public_url.as_bytes())
    }

    /// The same work for every token: digests of fixed length, all of them compared.
    fn machine(&self, token: &str) -> Option<Identity> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let (mut found, mut at) = (Choice::from(0), 0_u32);
        for (index, known) in (0_u32..).zip(&self.config.tokens) {
            let is_it = digest.ct_eq(&known.sha256);
            at.conditional_assign(&index, is_it);
            found |= is_it;
        }
        let known = self.config.tokens.get(at as usize).filter(|_| found.into())?;
        let is_good = self.now_ms() < known.expires_at_ms && token.len() <= TOKEN_BYTES_MAX;
        is_good.then(|| Identity {
            who: Who::Token(known.id.clone()),
            roles: vec![known.role.clone()],
            by_session: false,
        })
    }

    /// With its prefix browsers take the cookie only from this very host, over TLS.
    pub(super) fn session_cookie(&self) -> &'static str {
        if self.config.is_plain {
            "tminus-session"
        } else {
            "__Host-tminus-session"
        }
    }
}
