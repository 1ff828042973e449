//! Where the key of a seal comes from: a PEM file, a PKCS #12 file, a PKCS #11 token.
//!
//! A PIN or a password comes from a file or from whoever is asked for it; never from an address or an argument,
//! which other users of a machine can read.

mod file;
mod token;
mod uri;

use std::path::Path;

pub use crate::signature::Algorithm;
use crate::{Certificate, SealError};
pub use uri::TokenUri;

/// A private key with its certificate.
pub trait SealKey: Send {
    /// Its own certificate first, then those that lead to a root.
    fn chain(&self) -> &[Certificate];

    fn algorithm(&self) -> Algorithm;

    /// The signature over the SHA-256 of the message.
    ///
    /// # Errors
    /// The key or the device that holds it does not sign.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SealError>;
}

/// Asks for a secret; given what it is for, e.g. `PIN of the token "launch"`.
pub type Ask<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Opens a key: `pkcs11:…` (RFC 7512), a `.p12` or `.pfx` file, or a PEM file with the private key.
///
/// `certificates` are those of the chain, the key's own first; a PKCS #12 file and a token may bring their own.
///
/// # Errors
/// It cannot be opened, or comes without a certificate. A wrong PIN is tried once and never again.
pub fn open(
    address: &str,
    certificates: Vec<Certificate>,
    ask: Ask<'_>,
) -> Result<Box<dyn SealKey>, SealError> {
    if address.starts_with("pkcs11:") {
        let uri = TokenUri::parse(address)?;
        return Ok(Box::new(token::TokenKey::open(&uri, certificates, ask)?));
    }
    let path = Path::new(address);
    let is_store = path
        .extension()
        .is_some_and(|ext| ext.eq_ignore_ascii_case("p12") || ext.eq_ignore_ascii_case("pfx"));
    Ok(Box::new(if is_store {
        file::FileKey::from_pkcs12(path, certificates, ask)?
    } else {
        file::FileKey::from_pem(path, certificates)?
    }))
}

/// The algorithm of a key, from its certificate.
fn algorithm_of(certificates: &[Certificate]) -> Result<Algorithm, SealError> {
    let own = certificates.first().ok_or_else(|| {
        SealError::Certificate("the key comes without one; give it with --certificate".to_owned())
    })?;
    match own.public_key().map(|key| key.kind) {
        Some("rsa") => Ok(Algorithm::Rsa),
        Some("p256") => Ok(Algorithm::EcdsaP256),
        _ => Err(SealError::Unusable(format!(
            "the key of `{}` is neither RSA nor P-256",
            own.subject()
        ))),
    }
}
