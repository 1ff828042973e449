//! Keys in files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use p12_keystore::KeyStore;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::Signer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::{Algorithm, Ask, SealKey, algorithm_of};
use crate::{Certificate, SealError};

/// A key file with its chain is some KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

pub(super) struct FileKey {
    chain: Vec<Certificate>,
    algorithm: Algorithm,
    signer: Box<dyn Signer>,
}

impl FileKey {
    pub(super) fn from_pem(path: &Path, certificates: Vec<Certificate>) -> Result<Self, SealError> {
        let bytes = read(path)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| SealError::KeyFile {
            path: path.to_owned(),
            why: "no private key in PEM that is not encrypted; a key with a password belongs into a PKCS #12 file \
                  (.p12)"
                .to_owned(),
        })?;
        // A chain may stand in the key's own file.
        let chain = if certificates.is_empty() {
            Certificate::all_from_pem(&bytes).unwrap_or_default()
        } else {
            certificates
        };
        Self::new(path, &key, chain)
    }

    pub(super) fn from_pkcs12(
        path: &Path,
        certificates: Vec<Certificate>,
        ask: Ask<'_>,
    ) -> Result<Self, SealError> {
        let wrong = |why: String| SealError::KeyFile {
            path: path.to_owned(),
            why,
        };
        let bytes = read(path)?;
        let password = ask(&format!("password of {}", path.display())).map_err(wrong)?;
        let store = KeyStore::from_pkcs12(&bytes, &password)
            .map_err(|e| wrong(format!("the password is wrong, or it is no PKCS #12 file ({e})")))?;
        let (_, entry) = store
            .private_key_chain()
            .ok_or_else(|| wrong("it has no private key".to_owned()))?;
        let chain = if certificates.is_empty() {
            let chain = entry
                .chain()
                .iter()
                .map(|each| Certificate::from_der(each.as_der()));
            chain.collect::<Result<_, _>>()?
        } else {
            certificates
        };
        let key = PrivateKeyDer::try_from(entry.key().to_vec()).map_err(|e| wrong(e.to_owned()))?;
        Self::new(path, &key, chain)
    }

    fn new(path: &Path, key: &PrivateKeyDer<'_>, chain: Vec<Certificate>) -> Result<Self, SealError> {
        let algorithm = algorithm_of(&chain)?;
        let scheme = match algorithm {
            Algorithm::Rsa => SignatureScheme::RSA_PKCS1_SHA256,
            Algorithm::EcdsaP256 => SignatureScheme::ECDSA_NISTP256_SHA256,
        };
        let mismatch = || SealError::KeyFile {
            path: path.to_owned(),
            why: "the key is of another kind than its certificate says".to_owned(),
        };
        let key = any_supported_type(key).map_err(|e| SealError::KeyFile {
            path: path.to_owned(),
            why: e.to_string(),
        })?;
        let signer = Arc::clone(&key).choose_scheme(&[scheme]).ok_or_else(mismatch)?;
        Ok(Self {
            chain,
            algorithm,
            signer,
        })
    }
}

impl SealKey for FileKey {
    fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        self.signer
            .sign(message)
            .map_err(|e| SealError::Signature(e.to_string()))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SealError> {
    let wrong = |why: String| SealError::KeyFile {
        path: path.to_owned(),
        why,
    };
    let length = fs::metadata(path)
        .map_err(|e| wrong(format!("cannot be read: {e}")))?
        .len();
    if length > FILE_BYTES_MAX {
        return Err(wrong(format!("has {length} bytes: that is no key")));
    }
    fs::read(path).map_err(|e| wrong(format!("cannot be read: {e}")))
}
