//! Sets of public keys (RFC 7517). Owns which keys may verify which algorithm: each key has exactly one,
//! and a token's header never changes that.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use crate::json;

/// A longer document is no set of keys.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;
/// Keys of one set.
pub const KEYS_MAX: usize = 100;
/// Bytes of a key's name.
pub(crate) const KID_BYTES_MAX: usize = 256;
/// Bits of an RSA modulus: fewer are broken (RFC 7518, section 3.3), more only cost time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The signatures that are accepted (RFC 7518, section 3.1; RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    EdDsa,
    Es256,
    Rs256,
}

impl Algorithm {
    /// The algorithm that a token's header names, if it is accepted at all. `none` and every HMAC are not.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "EdDSA" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }

    pub(crate) const fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}

/// Why a document is no set of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    #[error("the key set is longer than {JWKS_BYTES_MAX} bytes")]
    TooLong,
    #[error("the key set is no JSON object with a list `keys` (RFC 7517), each member once")]
    NotASet,
    #[error("the key set has more than {KEYS_MAX} keys")]
    TooMany,
    #[error("key {index} of the set: {what}")]
    Key { index: usize, what: &'static str },
    #[error("the key set has no key for EdDSA, ES256 or RS256")]
    Empty,
}

/// Why no key of a set fits a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMiss {
    /// No key has this name: a newer set may.
    Unknown,
    /// The key of this name is for another algorithm.
    OtherAlgorithm,
    /// The token names no key, and not exactly one fits.
    Ambiguous,
}

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
}

/// Keys by name.
#[derive(Clone, Default)]
pub struct KeySet {
    named: BTreeMap<String, Key>,
    unnamed: Vec<Key>,
    skipped: usize,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("named", &self.named.keys())
            .field("unnamed", &self.unnamed.len())
            .field("skipped", &self.skipped)
            .finish()
    }
}

impl KeySet {
    /// Reads a JWK set. Keys for other uses and other algorithms are skipped and counted, symmetric ones among
    /// them; a key that is wrong in itself makes the whole set wrong.
    ///
    /// # Errors
    /// It is no such set, or beyond a limit, or none of its keys can be used.
    pub fn parse(document: &[u8]) -> Result<Self, JwksError> {
        if document.len() > JWKS_BYTES_MAX {
            return Err(JwksError::TooLong);
        }
        let set = json::object(document).map_err(|_| JwksError::NotASet)?;
        let Some(Value::Array(keys)) = set.get("keys") else {
            return Err(JwksError::NotASet);
        };
        if keys.len() > KEYS_MAX {
            return Err(JwksError::TooMany);
        }
        let mut read = Self::default();
        for (index, key) in keys.iter().enumerate() {
            let wrong = |what| JwksError::Key { index, what };
            let Value::Object(key) = key else {
                return Err(wrong("it is no object"));
            };
            let Some(known) = key_of(key).map_err(wrong)? else {
                read.skipped += 1;
                continue;
            };
            match key.get("kid") {
                None => read.unnamed.push(known),
                Some(Value::String(kid)) if is_kid(kid) => {
                    if read.named.insert(kid.clone(), known).is_some() {
                        return Err(wrong("its `kid` stands there twice"));
                    }
                }
                Some(_) => {
                    return Err(wrong(
                        "its `kid` is no name of 1 to 256 visible ASCII characters without `..`",
                    ));
                }
            }
        }
        if read.is_empty() {
            return Err(JwksError::Empty);
        }
        Ok(read)
    }

    /// One Ed25519 key without a name.
    #[must_use]
    pub fn of_ed25519(public: &[u8; 32]) -> Self {
        Self {
            unnamed: vec![Key {
                algorithm: Algorithm::EdDsa,
                // The library's "DER" of such a key is its 32 bytes.
                decoding: DecodingKey::from_ed_der(public),
            }],
            ..Self::default()
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.named.len() + self.unnamed.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys that the document held besides.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    pub(crate) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, KeyMiss> {
        let Some(kid) = kid else {
            let mut fitting = self
                .unnamed
                .iter()
                .chain(self.named.values())
                .filter(|key| key.algorithm == algorithm);
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key),
                _ => Err(KeyMiss::Ambiguous),
            };
        };
        let key = self.named.get(kid).ok_or(KeyMiss::Unknown)?;
        if key.algorithm == algorithm {
            Ok(key)
        } else {
            Err(KeyMiss::OtherAlgorithm)
        }
    }
}

/// A key's name is looked up and nothing else; still, one that could be a way through a file system is none.
pub(crate) fn is_kid(kid: &str) -> bool {
    (1..=KID_BYTES_MAX).contains(&kid.len())
        && kid.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !kid.contains("..")
}

/// `None`: a key for something else.
fn key_of(jwk: &Map<String, Value>) -> Result<Option<Key>, &'static str> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if jwk.get("use").is_some_and(|purpose| purpose != "sig") {
        return Ok(None);
    }
    if let Some(operations) = jwk.get("key_ops") {
        let verifies = operations
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one == "verify"));
        if !verifies {
            return Ok(None);
        }
    }
    let algorithm = match (text("kty"), text("crv")) {
        (Some("OKP"), Some("Ed25519")) => Algorithm::EdDsa,
        (Some("EC"), Some("P-256")) => Algorithm::Es256,
        (Some("RSA"), _) => Algorithm::Rs256,
        _ => return Ok(None),
    };
    let own = jwk
        .get("alg")
        .map(|alg| alg.as_str().and_then(Algorithm::from_name));
    if own.is_some_and(|own| own != Some(algorithm)) {
        return Ok(None);
    }
    if jwk.contains_key("d") {
        return Err("it holds a private part; publish public keys only, and replace this one");
    }
    let bytes = |name: &str| {
        text(name)
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
            .ok_or("a part is missing or no base64url")
    };
    let decoding = match algorithm {
        Algorithm::EdDsa => {
            let x = bytes("x")?;
            // The library would end the process over a shorter one.
            if x.len() != 32 {
                return Err("`x` of an Ed25519 key has 32 bytes");
            }
            DecodingKey::from_ed_der(&x)
        }
        Algorithm::Es256 => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != 32 || y.len() != 32 {
                return Err("`x` and `y` of a P-256 key have 32 bytes each");
            }
            DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat())
        }
        Algorithm::Rs256 => {
            let (n, e) = (bytes("n")?, bytes("e")?);
            if !RSA_BITS.contains(&bits(&n)) {
                return Err("an RSA modulus has 2048 to 8192 bits");
            }
            if !(2..=32).contains(&bits(&e)) || e.last().is_none_or(|last| last.is_multiple_of(2)) {
                return Err("an RSA exponent is odd, 3 at least, and has at most 32 bits");
            }
            DecodingKey::from_rsa_raw_components(&n, &e)
        }
    };
    Ok(Some(Key { algorithm, decoding }))
}

fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[zeros..];
    number
        .first()
        .map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}
