//! The links that let somebody answer.
//!
//! `f1.<key id>.<base64url of JSON>.<base64url of HMAC-SHA256>`; the code covers everything before its dot. Who has
//! a link may answer; nobody can make one for another launch, other sections or another time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const VERSION: &str = "f1";
const KEY_BYTES_MIN: usize = 32;
const SECTIONS_MAX: usize = 12;
const SECTION_CHARACTERS_MAX: usize = 40;
const LAUNCH_CHARACTERS_MAX: usize = 80;
const TOKEN_BYTES_MAX: usize = 4096;
/// A link answers for so long.
const AGE_MS_MAX: u64 = 90 * 24 * 3_600_000;
/// Two machines' clocks differ by less.
const AHEAD_MS_MAX: u64 = 5 * 60_000;

/// A key that signs links, by its id.
#[derive(Clone)]
pub struct LinkKey {
    id: String,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinkKey({})", self.id)
    }
}

impl LinkKey {
    /// # Errors
    /// An id that is not 1 to 16 of a-z, 0-9; fewer than 32 bytes.
    pub fn new(id: &str, bytes: &[u8]) -> Result<Self, LinkError> {
        if !(1..=16).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        {
            return Err(LinkError::KeyId);
        }
        if bytes.len() < KEY_BYTES_MIN {
            return Err(LinkError::ShortKey);
        }
        Ok(Self {
            id: id.to_owned(),
            bytes: bytes.to_vec(),
        })
    }

    fn code(&self, text: &str) -> Option<Hmac<Sha256>> {
        let mut code = Hmac::<Sha256>::new_from_slice(&self.bytes).ok()?;
        code.update(text.as_bytes());
        Some(code)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("a key's id is 1 to 16 of a-z and 0-9")]
    KeyId,
    #[error("a key has at least {KEY_BYTES_MIN} random bytes")]
    ShortKey,
    #[error("no key to sign links with, or one id twice")]
    Keys,
    #[error(
        "a launch id has 1 to {LAUNCH_CHARACTERS_MAX} characters; there are 1 to {SECTIONS_MAX} distinct sections of 1 to {SECTION_CHARACTERS_MAX}"
    )]
    Names,
}

/// What a link asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    #[serde(rename = "l")]
    pub launch: String,
    #[serde(rename = "s")]
    pub sections: Vec<String>,
    #[serde(rename = "t")]
    pub issued_at_ms: u64,
}

/// Signs and checks links. The first key signs, all of them check: a new key is put in front.
#[derive(Debug, Clone)]
pub struct FeedbackLinks {
    keys: Vec<LinkKey>,
}

impl FeedbackLinks {
    /// # Errors
    /// No key, or an id twice.
    pub fn new(keys: Vec<LinkKey>) -> Result<Self, LinkError> {
        let twice = keys
            .iter()
            .enumerate()
            .any(|(at, key)| keys[..at].iter().any(|known| known.id == key.id));
        if keys.is_empty() || twice {
            return Err(LinkError::Keys);
        }
        Ok(Self { keys })
    }

    /// The last part of a link's path.
    ///
    /// # Errors
    /// Names that are empty, too long, too many or twice.
    pub fn token(&self, invitation: &Invitation) -> Result<String, LinkError> {
        let fits = |text: &str, most: usize| (1..=most).contains(&text.chars().count());
        let sections = &invitation.sections;
        let twice = sections
            .iter()
            .enumerate()
            .any(|(at, name)| sections[..at].contains(name));
        if !fits(&invitation.launch, LAUNCH_CHARACTERS_MAX)
            || !(1..=SECTIONS_MAX).contains(&sections.len())
            || twice
            || !sections.iter().all(|name| fits(name, SECTION_CHARACTERS_MAX))
        {
            return Err(LinkError::Names);
        }
        let key = self.keys.first().ok_or(LinkError::Keys)?;
        let payload = serde_json::to_vec(invitation).map_err(|_| LinkError::Names)?;
        let signed = format!("{VERSION}.{}.{}", key.id, BASE64.encode(payload));
        let code = key.code(&signed).ok_or(LinkError::Keys)?.finalize().into_bytes();
        Ok(format!("{signed}.{}", BASE64.encode(code)))
    }

    /// What a token asks for; `None` for whatever is not one of ours, or too old. The code is compared in constant time,
    /// and before anything that it covers is looked at.
    pub fn check(&self, token: &str, now_ms: u64) -> Option<Invitation> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, code) = token.rsplit_once('.')?;
        let (version, rest) = signed.split_once('.')?;
        let (key_id, payload) = rest.split_once('.')?;
        let key = self.keys.iter().find(|key| key.id == key_id)?;
        key.code(signed)?.verify_slice(&BASE64.decode(code).ok()?).ok()?;
        let invitation: Invitation = serde_json::from_slice(&BASE64.decode(payload).ok()?).ok()?;
        let in_time = invitation.issued_at_ms <= now_ms.saturating_add(AHEAD_MS_MAX)
            && now_ms.saturating_sub(invitation.issued_at_ms) <= AGE_MS_MAX;
        (version == VERSION && in_time).then_some(invitation)
    }
}
