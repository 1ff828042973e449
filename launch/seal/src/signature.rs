//! The CMS structure of a seal (CAdES: signing certificate as a signed attribute, no signing time).

use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use der::asn1::{Any, ObjectIdentifier, OctetString, SetOfVec};
use der::{Decode as _, Encode as _, Sequence};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_cert::attr::{Attribute, Attributes};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::SealError;
use crate::certificate::Certificate;
use crate::keys::SealKey;
use crate::timestamp::{self, Authority};

pub(crate) const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
pub(crate) const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
pub(crate) const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const TIME_STAMP_TOKEN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.14");
pub(crate) const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const RSA_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const ECDSA_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// How a key signs; both over SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// PKCS #1 v1.5.
    Rsa,
    /// NIST P-256; the signature in DER.
    EcdsaP256,
}

/// RFC 5035; the digest is SHA-256, which is the default and therefore not written.
#[derive(Sequence)]
struct EssCertIdV2 {
    hash: OctetString,
}

#[derive(Sequence)]
struct SigningCertificateV2 {
    certs: Vec<EssCertIdV2>,
}

/// Signs the digest; answers the structure in DER, and why there is no time stamp if one was asked for.
pub(crate) fn sign(
    digest: &[u8; 32],
    chain: &[Certificate],
    key: &dyn SealKey,
    authority: Option<&dyn Authority>,
) -> Result<(Vec<u8>, Option<String>), SealError> {
    let wrong = SealError::der("CMS");
    let own = chain
        .first()
        .ok_or_else(|| SealError::Certificate("the key comes without a certificate".to_owned()))?;
    let attributes = signed_attributes(digest, own).map_err(&wrong)?;
    let signed = attributes.to_der().map_err(&wrong)?;
    let signature = key.sign(&signed)?;
    let algorithm = key.algorithm();
    if !verifies(own, algorithm.oid(), &SHA_256, &signed, &signature) {
        return Err(SealError::Signature(
            "what the key signed does not verify under its certificate: they do not belong together"
                .to_owned(),
        ));
    }
    let (token, without) = match authority {
        None => (None, None),
        Some(authority) => match timestamp::ask(authority, &signature) {
            Ok(token) => (Some(token), None),
            Err(why) => (None, Some(why)),
        },
    };
    let unsigned_attrs = match &token {
        None => None,
        Some(token) => {
            let value = Any::from_der(token).map_err(&wrong)?;
            let attribute = attribute(TIME_STAMP_TOKEN, value).map_err(&wrong)?;
            Some(Attributes::try_from(vec![attribute]).map_err(&wrong)?)
        }
    };
    let digest_alg = AlgorithmIdentifierOwned {
        oid: SHA_256,
        parameters: None,
    };
    let signer = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: own.parsed().tbs_certificate.issuer.clone(),
            serial_number: own.parsed().tbs_certificate.serial_number.clone(),
        }),
        digest_alg: digest_alg.clone(),
        signed_attrs: Some(attributes),
        signature_algorithm: AlgorithmIdentifierOwned {
            oid: algorithm.oid(),
            parameters: (algorithm == Algorithm::Rsa).then(Any::null),
        },
        signature: OctetString::new(signature).map_err(&wrong)?,
        unsigned_attrs,
    };
    let mut certificates = Vec::new();
    for certificate in chain {
        certificates.push(CertificateChoices::Certificate(certificate.parsed().clone()));
    }
    let data = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::try_from(vec![digest_alg]).map_err(&wrong)?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: DATA,
            econtent: None,
        },
        certificates: Some(CertificateSet(SetOfVec::try_from(certificates).map_err(&wrong)?)),
        crls: None,
        signer_infos: SignerInfos(SetOfVec::try_from(vec![signer]).map_err(&wrong)?),
    };
    let info = ContentInfo {
        content_type: SIGNED_DATA,
        content: Any::encode_from(&data).map_err(&wrong)?,
    };
    Ok((info.to_der().map_err(&wrong)?, without))
}

fn signed_attributes(digest: &[u8; 32], own: &Certificate) -> der::Result<Attributes> {
    let certificate = SigningCertificateV2 {
        certs: vec![EssCertIdV2 {
            hash: OctetString::new(Sha256::digest(own.der()).to_vec())?,
        }],
    };
    Attributes::try_from(vec![
        attribute(CONTENT_TYPE, Any::encode_from(&DATA)?)?,
        attribute(
            MESSAGE_DIGEST,
            Any::encode_from(&OctetString::new(digest.to_vec())?)?,
        )?,
        attribute(SIGNING_CERTIFICATE_V2, Any::encode_from(&certificate)?)?,
    ])
}

pub(crate) fn attribute(oid: ObjectIdentifier, value: Any) -> der::Result<Attribute> {
    Ok(Attribute {
        oid,
        values: SetOfVec::try_from(vec![value])?,
    })
}

/// A signature that was read and found good; whose it is says the certificate.
#[derive(Debug)]
pub(crate) struct Checked {
    pub certificate: Certificate,
    /// The other certificates that came along.
    pub others: Vec<Certificate>,
    pub signature: Vec<u8>,
    pub time_stamp: Option<Vec<u8>>,
    /// The signed content, where it is inside.
    pub content: Option<Vec<u8>>,
}

/// Reads a signature over `content_type` and checks it. `digest` is that of the content where it is outside, by the
/// digest's name.
///
/// # Errors
/// In words for the reader of a report.
pub(crate) fn check(
    cms: &[u8],
    content_type: ObjectIdentifier,
    detached: Option<&[u8; 32]>,
) -> Result<Checked, String> {
    let unreadable = |e: der::Error| format!("its signature cannot be read: {e}");
    let info = ContentInfo::from_der(cms).map_err(unreadable)?;
    if info.content_type != SIGNED_DATA {
        return Err("its signature is no signed data".to_owned());
    }
    let data: SignedData = info.content.decode_as().map_err(unreadable)?;
    let mut certificates = Vec::new();
    for choice in data.certificates.iter().flat_map(|set| set.0.iter()) {
        if let CertificateChoices::Certificate(certificate) = choice {
            certificates.push(Certificate::of(certificate.clone()).map_err(|e| e.to_string())?);
        }
    }
    let [signer] = data.signer_infos.0.as_slice() else {
        return Err(format!(
            "it has {} signers; a seal has one",
            data.signer_infos.0.len()
        ));
    };
    let at = certificates
        .iter()
        .position(|certificate| is_of(certificate, &signer.sid))
        .ok_or("the signer's certificate is not in it")?;
    let certificate = certificates.remove(at);
    let attributes = signer
        .signed_attrs
        .as_ref()
        .ok_or("it has no signed attributes")?;
    let value = |oid: ObjectIdentifier, name: &str| -> Result<&Any, String> {
        let mut found = attributes.iter().filter(|a| a.oid == oid);
        match (found.next().map(|a| a.values.as_slice()), found.next()) {
            (Some([value]), None) => Ok(value),
            _ => Err(format!("its {name} is not there exactly once")),
        }
    };
    let named: ObjectIdentifier = value(CONTENT_TYPE, "content type")?
        .decode_as()
        .map_err(unreadable)?;
    if named != content_type || data.encap_content_info.econtent_type != content_type {
        return Err("it signs another kind of content".to_owned());
    }
    let content: Option<Vec<u8>> = match &data.encap_content_info.econtent {
        None => None,
        Some(inside) => {
            let octets: OctetString = inside.decode_as().map_err(unreadable)?;
            Some(octets.into_bytes())
        }
    };
    let digest = match (detached, &content) {
        (Some(digest), None) if signer.digest_alg.oid == SHA_256 => digest.to_vec(),
        (None, Some(content)) => {
            hash(&signer.digest_alg.oid, content).ok_or("it uses a digest that is not accepted")?
        }
        (Some(_), None) => return Err("it uses another digest than SHA-256".to_owned()),
        _ => return Err("its content is not where it belongs".to_owned()),
    };
    let message: OctetString = value(MESSAGE_DIGEST, "message digest")?
        .decode_as()
        .map_err(unreadable)?;
    if message.as_bytes() != digest {
        return Err("the document was changed after it was sealed: its digest is another".to_owned());
    }
    if detached.is_some() {
        let named: SigningCertificateV2 = value(SIGNING_CERTIFICATE_V2, "signing certificate")?
            .decode_as()
            .map_err(unreadable)?;
        let own = Sha256::digest(certificate.der());
        if named.certs.first().map(|id| id.hash.as_bytes()) != Some(&own[..]) {
            return Err("it names another certificate than the one that signed".to_owned());
        }
    }
    let signed = attributes.to_der().map_err(unreadable)?;
    let signature = signer.signature.as_bytes();
    let by = &signer.signature_algorithm.oid;
    if !verifies(&certificate, *by, &signer.digest_alg.oid, &signed, signature) {
        return Err("its signature is not that of the certificate's key".to_owned());
    }
    let mut time_stamp = None;
    for attribute in signer.unsigned_attrs.iter().flat_map(|set| set.iter()) {
        match (attribute.oid, attribute.values.as_slice(), &time_stamp) {
            (TIME_STAMP_TOKEN, [token], None) => time_stamp = Some(token.to_der().map_err(unreadable)?),
            _ if detached.is_none() => {}
            _ => return Err("it has an attribute that no seal has".to_owned()),
        }
    }
    Ok(Checked {
        certificate,
        others: certificates,
        signature: signature.to_vec(),
        time_stamp,
        content,
    })
}

fn is_of(certificate: &Certificate, sid: &SignerIdentifier) -> bool {
    let own = &certificate.parsed().tbs_certificate;
    match sid {
        SignerIdentifier::IssuerAndSerialNumber(id) => {
            own.issuer == id.issuer && own.serial_number == id.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(_) => false,
    }
}

pub(crate) fn hash(algorithm: &ObjectIdentifier, bytes: &[u8]) -> Option<Vec<u8>> {
    match *algorithm {
        SHA_256 => Some(Sha256::digest(bytes).to_vec()),
        SHA_384 => Some(Sha384::digest(bytes).to_vec()),
        SHA_512 => Some(Sha512::digest(bytes).to_vec()),
        _ => None,
    }
}

fn verifies(
    certificate: &Certificate,
    algorithm: ObjectIdentifier,
    digest: &ObjectIdentifier,
    message: &[u8],
    signature: &[u8],
) -> bool {
    use ring::signature as by;
    let Some(key) = certificate.public_key() else {
        return false;
    };
    let rsa = [
        "1.2.840.113549.1.1.1",
        "1.2.840.113549.1.1.11",
        "1.2.840.113549.1.1.12",
        "1.2.840.113549.1.1.13",
    ];
    let name = algorithm.to_string();
    let method: &dyn by::VerificationAlgorithm = match (key.kind, *digest) {
        ("rsa", SHA_256) if rsa.contains(&name.as_str()) => &by::RSA_PKCS1_2048_8192_SHA256,
        ("rsa", SHA_384) if rsa.contains(&name.as_str()) => &by::RSA_PKCS1_2048_8192_SHA384,
        ("rsa", SHA_512) if rsa.contains(&name.as_str()) => &by::RSA_PKCS1_2048_8192_SHA512,
        ("p256", SHA_256) => &by::ECDSA_P256_SHA256_ASN1,
        ("p384", SHA_256) => &by::ECDSA_P384_SHA256_ASN1,
        ("p384", SHA_384) => &by::ECDSA_P384_SHA384_ASN1,
        _ => return false,
    };
    by::UnparsedPublicKey::new(method, key.bytes)
        .verify(message, signature)
        .is_ok()
}

impl Algorithm {
    fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Rsa => RSA_SHA_256,
            Self::EcdsaP256 => ECDSA_SHA_256,
        }
    }
}
