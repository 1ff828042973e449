//! Certificates: what they may be used for, and whether a chain leads to a root that is trusted.

use std::time::Duration;

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use jiff::Timestamp;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage};

use crate::SealError;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
/// Certificates of one chain or of one file of roots.
const CERTIFICATES_MAX: usize = 1_000;

/// An X.509 certificate, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
}

/// A certificate's public key, as `ring` takes it.
pub(crate) struct PublicKey<'a> {
    pub kind: &'static str,
    pub bytes: &'a [u8],
}

impl Certificate {
    /// # Errors
    /// It is no certificate in DER.
    pub fn from_der(der: &[u8]) -> Result<Self, SealError> {
        let parsed = x509_cert::Certificate::from_der(der)
            .map_err(|e| SealError::Certificate(format!("it cannot be read: {e}")))?;
        Ok(Self {
            der: der.to_vec(),
            parsed,
        })
    }

    /// All certificates of a PEM text, in their order.
    ///
    /// # Errors
    /// One cannot be read, there is none, or there are more than a thousand.
    pub fn all_from_pem(pem: &[u8]) -> Result<Vec<Self>, SealError> {
        let mut found = Vec::new();
        for each in CertificateDer::pem_slice_iter(pem) {
            let each = each.map_err(|e| SealError::Certificate(format!("PEM: {e}")))?;
            found.push(Self::from_der(&each)?);
            if found.len() > CERTIFICATES_MAX {
                return Err(SealError::Certificate(format!(
                    "more than {CERTIFICATES_MAX} certificates"
                )));
            }
        }
        if found.is_empty() {
            return Err(SealError::Certificate(
                "no `BEGIN CERTIFICATE` in it: give the certificate as PEM".to_owned(),
            ));
        }
        Ok(found)
    }

    pub(crate) fn of(parsed: x509_cert::Certificate) -> Result<Self, SealError> {
        let der = parsed
            .to_der()
            .map_err(|e| SealError::Certificate(e.to_string()))?;
        Ok(Self { der, parsed })
    }

    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn parsed(&self) -> &x509_cert::Certificate {
        &self.parsed
    }

    /// `CN=Launch Seal,O=…`
    #[must_use]
    pub fn subject(&self) -> String {
        self.parsed.tbs_certificate.subject.to_string()
    }

    #[must_use]
    pub fn issuer(&self) -> String {
        self.parsed.tbs_certificate.issuer.to_string()
    }

    /// Of its DER, lower-case hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.der))
    }

    /// First and last second of its validity.
    #[must_use]
    pub fn validity(&self) -> (Timestamp, Timestamp) {
        let validity = &self.parsed.tbs_certificate.validity;
        let at = |time: x509_cert::time::Time| {
            let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
            Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
        };
        (at(validity.not_before), at(validity.not_after))
    }

    /// Whether it may seal a document at this time.
    ///
    /// # Errors
    /// It is not valid then, or is for something else.
    pub fn may_seal(&self, at: Timestamp) -> Result<(), SealError> {
        let (from, to) = self.validity();
        if at < from {
            return Err(SealError::Unusable(format!(
                "`{}` is valid from {from} on",
                self.subject()
            )));
        }
        if at > to {
            return Err(SealError::Unusable(format!(
                "`{}` has expired on {to}; get a new certificate for the key, or another key",
                self.subject()
            )));
        }
        let extensions = &self.parsed.tbs_certificate;
        if let Ok(Some((_, usage))) = extensions.get::<KeyUsage>()
            && !(usage.digital_signature() || usage.non_repudiation())
        {
            return Err(SealError::Unusable(format!(
                "`{}` is not for signatures: its key usage has neither digitalSignature nor nonRepudiation",
                self.subject()
            )));
        }
        if self.public_key().is_none() {
            return Err(SealError::Unusable(format!(
                "the key of `{}` is neither RSA (2048 bits or more) nor P-256 nor P-384",
                self.subject()
            )));
        }
        Ok(())
    }

    /// Whether it may make time stamps.
    pub(crate) fn may_stamp(&self) -> bool {
        self.parsed
            .tbs_certificate
            .get::<ExtendedKeyUsage>()
            .is_ok_and(|found| found.is_some_and(|(_, usage)| usage.0 == [TIME_STAMPING]))
    }

    pub(crate) fn public_key(&self) -> Option<PublicKey<'_>> {
        let info = &self.parsed.tbs_certificate.subject_public_key_info;
        let curve = || {
            info.algorithm
                .parameters
                .as_ref()?
                .decode_as::<ObjectIdentifier>()
                .ok()
        };
        let kind = match info.algorithm.oid {
            RSA => "rsa",
            EC => match curve()? {
                P_256 => "p256",
                P_384 => "p384",
                _ => return None,
            },
            _ => return None,
        };
        let bytes = info.subject_public_key.as_bytes()?;
        Some(PublicKey { kind, bytes })
    }
}

/// Certificates that the reader trusts.
#[derive(Debug, Clone, Default)]
pub struct Roots(Vec<Certificate>);

/// Any purpose: document signatures have no usage that all authorities agree on.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

impl Roots {
    #[must_use]
    pub const fn new(certificates: Vec<Certificate>) -> Self {
        Self(certificates)
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the certificate leads to one of these at this time, over those that came along.
    pub(crate) fn lead_to(
        &self,
        own: &Certificate,
        others: &[Certificate],
        at: Timestamp,
    ) -> Result<(), String> {
        if self.0.contains(own) {
            let (from, to) = own.validity();
            return if (from..=to).contains(&at) {
                Ok(())
            } else {
                Err(format!("it was valid from {from} to {to}"))
            };
        }
        let roots: Vec<CertificateDer<'_>> = self.0.iter().map(|root| root.der().into()).collect();
        let anchors: Vec<_> = roots
            .iter()
            .filter_map(|root| anchor_from_trusted_cert(root).ok())
            .collect();
        let others: Vec<CertificateDer<'_>> = others.iter().map(|other| other.der().into()).collect();
        let der = CertificateDer::from(own.der());
        let leaf = EndEntityCert::try_from(&der).map_err(|e| e.to_string())?;
        let since = Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0));
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &others,
            UnixTime::since_unix_epoch(since),
            AnyPurpose,
            None,
            None,
        )
        .map(|_| ())
        .map_err(|e| e.to_string())
    }
}
