//! Sessions and sign-ins that have begun, in memory: a restart signs everybody out. Both are known by the SHA-256 of what
//! the browser holds, so that looking one up tells nothing about another.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const SESSIONS_MAX: usize = 10_000;
const BEGUN_MAX: usize = 1_000;
/// Until a sign-in that has begun must be finished.
const SIGN_IN_MS: i64 = 10 * 60 * 1_000;

type Digest = [u8; 32];

fn digest(text: &str) -> Digest {
    Sha256::digest(text.as_bytes()).into()
}

/// 256 bits that nobody guesses, as text for a URL or a cookie.
pub(super) fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

#[derive(Debug)]
struct Session {
    subject: String,
    roles: Vec<String>,
    expires_at_ms: i64,
}

/// A sign-in that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub nonce: String,
    pub verifier: String,
    browser: Digest,
    expires_at_ms: i64,
}

#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: Mutex<HashMap<Digest, Session>>,
    begun: Mutex<HashMap<Digest, Begun>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// Begins a sign-in of one browser, which holds `browser` as a cookie; false when too many have begun.
    pub(super) fn begin(
        &self,
        state: &str,
        browser: &str,
        nonce: String,
        verifier: String,
        now_ms: i64,
    ) -> bool {
        let mut begun = locked(&self.begun);
        if begun.len() >= BEGUN_MAX {
            begun.retain(|_, one| now_ms < one.expires_at_ms);
        }
        let is_room = begun.len() < BEGUN_MAX;
        if is_room {
            let one = Begun {
                nonce,
                verifier,
                browser: digest(browser),
                expires_at_ms: now_ms + SIGN_IN_MS,
            };
            begun.insert(digest(state), one);
        }
        is_room
    }

    /// Takes a sign-in up again, once, and only in the browser that began it.
    pub(super) fn resume(&self, state: &str, browser: &str, now_ms: i64) -> Option<Begun> {
        let one = locked(&self.begun).remove(&digest(state))?;
        let is_same: bool = one.browser.ct_eq(&digest(browser)).into();
        (is_same && now_ms < one.expires_at_ms).then_some(one)
    }

    /// A new session's secret; none when there are too many.
    pub(super) fn open(
        &self,
        subject: String,
        roles: Vec<String>,
        expires_at_ms: i64,
        now_ms: i64,
    ) -> Option<String> {
        let mut sessions = locked(&self.sessions);
        if sessions.len() >= SESSIONS_MAX {
            sessions.retain(|_, one| now_ms < one.expires_at_ms);
        }
        if sessions.len() >= SESSIONS_MAX {
            return None;
        }
        let id = secret();
        let session = Session {
            subject,
            roles,
            expires_at_ms,
        };
        sessions.insert(digest(&id), session);
        Some(id)
    }

    /// Subject and roles of a session that has not ended.
    pub(super) fn find(&self, id: &str, now_ms: i64) -> Option<(String, Vec<String>)> {
        let sessions = locked(&self.sessions);
        let session = sessions
            .get(&digest(id))
            .filter(|one| now_ms < one.expires_at_ms)?;
        Some((session.subject.clone(), session.roles.clone()))
    }

    pub(super) fn close(&self, id: &str) {
        locked(&self.sessions).remove(&digest(id));
    }
}
