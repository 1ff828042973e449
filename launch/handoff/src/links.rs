//! Links that end. A link carries all that it grants (role, file, end, nonce), under an HMAC-SHA256 with a named key;
//! whether it was revoked or used up is the [`LinkBook`]'s to say, and a link that the book does not know has ended.

mod book;

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::shelf::{PATH_BYTES_MAX, is_role};

pub use crate::shelf::{Name, ShelfError};

pub use book::{BookError, LINKS_MAX, LinkBook, LinkEntry};

/// Characters of a link's token.
pub const TOKEN_BYTES_MAX: usize = 2_048;
const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;
/// Before what is signed, so that the key's signatures are good for nothing else.
const CONTEXT: &[u8] = b"tminus-link-v1\0";

/// What a link grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub role: String,
    pub file: Name,
    /// Milliseconds since 1970-01-01 UTC; at this time it has ended.
    pub expires_at_ms: i64,
    /// Drawn once for each link; its id is this in hexadecimal.
    pub nonce: [u8; 16],
}

impl Grant {
    /// The link's name in the book and in the record. Knowing it does not help to make the link.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(self.nonce)
    }

    fn encode(&self, key_id: &str) -> Vec<u8> {
        let file = self.file.to_string();
        let mut body = vec![VERSION];
        // Lengths hold: key ids and roles have 64 bytes at most, a path 1,024.
        body.push(key_id.len() as u8);
        body.extend_from_slice(key_id.as_bytes());
        body.extend_from_slice(&self.expires_at_ms.to_be_bytes());
        body.extend_from_slice(&self.nonce);
        body.push(self.role.len() as u8);
        body.extend_from_slice(self.role.as_bytes());
        body.extend_from_slice(&(file.len() as u16).to_be_bytes());
        body.extend_from_slice(file.as_bytes());
        body
    }

    /// The key's id and what is granted; nothing of it is to be believed before its MAC was checked.
    fn decode(body: &[u8]) -> Option<(&str, Self)> {
        let (&version, rest) = body.split_first()?;
        let (key_id, rest) = short(rest)?;
        let (expires, rest) = rest.split_first_chunk::<8>()?;
        let (nonce, rest) = rest.split_first_chunk::<16>()?;
        let (role, rest) = short(rest)?;
        let (length, file) = rest.split_first_chunk::<2>()?;
        let whole = version == VERSION && usize::from(u16::from_be_bytes(*length)) == file.len();
        let file = std::str::from_utf8(file)
            .ok()
            .filter(|file| whole && file.len() <= PATH_BYTES_MAX)?;
        let grant = Self {
            role: Some(role).filter(|role| is_role(role))?.to_owned(),
            file: Name::plain(file).ok()?,
            expires_at_ms: i64::from_be_bytes(*expires),
            nonce: *nonce,
        };
        Some((key_id, grant))
    }
}

fn short(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(length.into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Keys by id; the first one signs, all of them verify.
pub struct LinkKeys(Vec<(String, [u8; 32])>);

impl fmt::Debug for LinkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl LinkKeys {
    /// Without a key there are no links.
    #[must_use]
    pub fn new(keys: Vec<(String, [u8; 32])>) -> Option<Self> {
        (!keys.is_empty() && keys.iter().all(|(id, _)| is_role(id))).then_some(Self(keys))
    }

    /// The token of a link.
    #[must_use]
    pub fn token(&self, grant: &Grant) -> String {
        let (id, key) = &self.0[0];
        let mut bytes = grant.encode(id);
        let mac = mac(key, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token grants, if it is one of ours. A MAC is computed and compared whatever the token is, so that the
    /// answer comes no sooner for one that is no token, names no key of ours, or was changed.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<Grant> {
        let bytes = (token.len() <= TOKEN_BYTES_MAX)
            .then(|| URL_SAFE_NO_PAD.decode(token).ok())
            .flatten();
        let split = bytes
            .as_deref()
            .and_then(|bytes| bytes.split_last_chunk::<MAC_BYTES>());
        let (body, given) = split.unwrap_or((b"", &[0; MAC_BYTES]));
        let read = Grant::decode(body);
        let key_id = read.as_ref().map(|(id, _)| *id);
        let known = self.0.iter().find(|(id, _)| Some(id.as_str()) == key_id);
        let key = known.map_or(&self.0[0].1, |(_, key)| key);
        let is_good = mac(key, body).verify_slice(given).is_ok();
        read.filter(|_| is_good && known.is_some())
            .map(|(_, grant)| grant)
    }
}

fn mac(key: &[u8; 32], body: &[u8]) -> Hmac<Sha256> {
    // A key that is shorter than a block is filled up with zeros (RFC 2104, section 2).
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(CONTEXT);
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(ids: &[(&str, u8)]) -> LinkKeys {
        LinkKeys::new(
            ids.iter()
                .map(|(id, byte)| ((*id).to_owned(), [*byte; 32]))
                .collect(),
        )
        .unwrap()
    }

    fn grant(role: &str, file: &str) -> Grant {
        Grant {
            role: role.to_owned(),
            file: Name::plain(file).unwrap(),
            expires_at_ms: 1_800_000_000_000,
            nonce: [7; 16],
        }
    }

    #[test]
    fn a_token_is_read_by_whoever_has_its_key() {
        let (old, both) = (keys(&[("k1", 1)]), keys(&[("k2", 2), ("k1", 1)]));
        let grant = grant("ops", "报告/🚀.pdf");
        assert_eq!(both.read(&old.token(&grant)).as_ref(), Some(&grant));
        assert_eq!(both.read(&both.token(&grant)).as_ref(), Some(&grant));
        assert_eq!(old.read(&both.token(&grant)), None, "a key that is not known");
        assert_eq!(
            keys(&[("k1", 9)]).read(&old.token(&grant)),
            None,
            "another key of that name"
        );
        assert_eq!(
            keys(&[("k9", 1)]).read(&old.token(&grant)),
            None,
            "the key under another name"
        );
    }

    #[test]
    fn no_byte_of_a_token_can_be_changed() {
        let keys = keys(&[("k1", 1)]);
        let token = keys.token(&grant("ops", "a.pdf"));
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(keys.read(&URL_SAFE_NO_PAD.encode(changed)), None, "byte {at}");
            }
            assert_eq!(
                keys.read(&URL_SAFE_NO_PAD.encode(&bytes[..at])),
                None,
                "cut at {at}"
            );
        }
        assert_eq!(keys.read(&(token + "AA")), None);
        assert_eq!(keys.read(""), None);
    }

    /// Signed by our key, but nothing that we would sign.
    #[test]
    fn what_a_key_signs_has_to_be_a_grant_as_well() {
        let keys = keys(&[("k1", 1)]);
        let mut forged = grant("ops", "a.pdf").encode("k1");
        let at = forged.len() - "a.pdf".len();
        forged[at..].copy_from_slice(b"../ab");
        let mac = mac(&[1; 32], &forged).finalize().into_bytes();
        assert_eq!(
            keys.read(&URL_SAFE_NO_PAD.encode([&forged[..], &mac].concat())),
            None
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_link(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,60}") {
            let keys = keys(&[("k1", 1)]);
            prop_assert_eq!(keys.read(&URL_SAFE_NO_PAD.encode(&bytes)), None);
            prop_assert_eq!(keys.read(&text), None);
            if let Some((id, grant)) = Grant::decode(&bytes) {
                prop_assert_eq!(grant.encode(id), bytes);
            }
        }
    }
}
