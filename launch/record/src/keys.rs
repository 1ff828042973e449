//! ed25519 keys: PEM files only their owner can read, and public keys as base64.
//!
//! Draws no randomness: the 32 secret bytes of a new key are the caller's.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::Signer;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use sha2::{Digest, Sha256};

use crate::KeyError;

/// A PEM file of one key is 119 bytes; more than this is no key.
const MAX_PEM_BYTES: u64 = 4096;

/// `SEQUENCE { SEQUENCE { OID 1.3.101.112 } BIT STRING` before the 32 bytes (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A private key. Its `Debug` form shows the key id only.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey")
            .field(&self.verifying_key().key_id())
            .finish()
    }
}

impl SigningKey {
    /// The key of these 32 secret bytes, which must come from a cryptographic generator.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// Reads a PKCS#8 PEM file; refuses one that group or others may read.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let io = |action| {
            move |source| KeyError::Io {
                path: path.to_owned(),
                action,
                source,
            }
        };
        let file = File::open(path).map_err(io("cannot open the key"))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = file
                .metadata()
                .map_err(io("cannot look at the key"))?
                .permissions()
                .mode()
                & 0o777;
            if mode & 0o077 != 0 {
                return Err(KeyError::Readable {
                    path: path.to_owned(),
                    mode,
                });
            }
        }
        let mut text = String::new();
        file.take(MAX_PEM_BYTES)
            .read_to_string(&mut text)
            .map_err(io("cannot read the key"))?;
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&text).map_err(|_| KeyError::NotAKey {
            path: path.to_owned(),
        })?;
        Ok(Self(key))
    }

    /// Writes the key to a new file with mode 0600, durable when it returns. Never overwrites one.
    pub fn store_new(&self, path: &Path) -> Result<(), KeyError> {
        let io = |action| {
            move |source| KeyError::Io {
                path: path.to_owned(),
                action,
                source,
            }
        };
        // Without the public half: OpenSSL 3.0 reads only PKCS#8 version 1.
        let pem = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        }
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|_| KeyError::NotAKey {
            path: path.to_owned(),
        })?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(path).map_err(io("cannot create the key"))?;
        file.write_all(pem.as_bytes())
            .map_err(io("cannot write the key"))?;
        file.sync_all().map_err(io("cannot write the key"))?;
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            File::open(folder)
                .and_then(|d| d.sync_all())
                .map_err(io("cannot sync the key's folder"))?;
        }
        Ok(())
    }

    /// Loads the key, or stores a new one made of `seed()` when there is no such file.
    pub fn load_or_create(path: &Path, seed: impl FnOnce() -> [u8; 32]) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let key = Self::from_seed(seed());
                key.store_new(path)?;
                Ok(key)
            }
            other => other,
        }
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// The ed25519 signature of `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// A public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// From the 32 bytes of RFC 8032.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        ed25519_dalek::VerifyingKey::from_bytes(bytes)
            .map(Self)
            .map_err(|_| KeyError::NotAPublicKey)
    }

    /// The 32 bytes of RFC 8032.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// From base64 (standard alphabet, padded) of the 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = BASE64.decode(text).map_err(|_| KeyError::NotAPublicKey)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| KeyError::NotAPublicKey)?;
        Self::from_bytes(&bytes)
    }

    /// Base64 (standard alphabet, padded) of the 32 bytes.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.to_bytes())
    }

    /// SHA-256 of the SubjectPublicKeyInfo (RFC 8410), 64 hex digits: what `openssl pkey -pubout
    /// -outform DER | sha256sum` prints.
    pub fn key_id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(SPKI_PREFIX);
        hash.update(self.to_bytes());
        hex::encode(hash.finalize())
    }

    /// Whether `signature` is this key's over `message` (strict: no small-order keys).
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}
