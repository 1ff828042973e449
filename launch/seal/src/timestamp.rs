//! Time stamps (RFC 3161) over a seal's signature.

use der::asn1::{Any, Int, ObjectIdentifier, OctetString};
use der::{Decode as _, Encode as _, Reader as _, Sequence, SliceReader};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::certificate::Certificate;
use crate::signature;

pub(crate) const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// Answers are some KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A time stamp authority, or rather the way to it.
pub trait Authority {
    /// Sends a `TimeStampReq` (`application/timestamp-query`) and answers the `TimeStampResp`.
    ///
    /// # Errors
    /// In words: it does not answer, or refuses.
    fn answer(&self, request: &[u8]) -> Result<Vec<u8>, String>;
}

#[derive(Sequence)]
pub(crate) struct MessageImprint {
    pub(crate) algorithm: AlgorithmIdentifierOwned,
    pub(crate) hashed: OctetString,
}

#[derive(Sequence)]
struct Request {
    version: u8,
    imprint: MessageImprint,
    /// The authority's certificate shall come along.
    with_certificate: bool,
}

/// A time that an authority vouches for.
#[derive(Debug)]
pub(crate) struct Stamp {
    pub at: Timestamp,
    pub certificate: Certificate,
    pub others: Vec<Certificate>,
}

/// Asks for a time stamp over a signature and checks the answer; answers the token in DER.
pub(crate) fn ask(authority: &dyn Authority, signature: &[u8]) -> Result<Vec<u8>, String> {
    let unwritable = |e: der::Error| format!("the request: {e}");
    let request = Request {
        version: 1,
        imprint: MessageImprint {
            algorithm: AlgorithmIdentifierOwned {
                oid: signature::SHA_256,
                parameters: None,
            },
            hashed: OctetString::new(Sha256::digest(signature).to_vec()).map_err(unwritable)?,
        },
        with_certificate: true,
    };
    let answer = authority.answer(&request.to_der().map_err(unwritable)?)?;
    let token = token(&answer)?;
    check(&token, signature)?;
    Ok(token)
}

fn token(answer: &[u8]) -> Result<Vec<u8>, String> {
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(format!("its answer has {} bytes", answer.len()));
    }
    let unreadable = |e: der::Error| format!("its answer cannot be read: {e}");
    let mut outer = SliceReader::new(answer).map_err(unreadable)?;
    let (status, token) = outer
        .sequence(|inner| {
            let status: Any = inner.decode()?;
            let token: Option<Any> = if inner.is_finished() {
                None
            } else {
                Some(inner.decode()?)
            };
            Ok((status, token))
        })
        .map_err(unreadable)?;
    let mut status = SliceReader::new(status.value()).map_err(unreadable)?;
    let number: u8 = status.decode().map_err(unreadable)?;
    match (number, token) {
        (0 | 1, Some(token)) => token.to_der().map_err(unreadable),
        (0 | 1, None) => Err("its answer has no token".to_owned()),
        (number, _) => Err(format!("it refused with status {number}")),
    }
}

/// Checks a token over a signature.
pub(crate) fn check(token: &[u8], signed: &[u8]) -> Result<Stamp, String> {
    let checked = signature::check(token, TST_INFO, None)?;
    if !checked.certificate.may_stamp() {
        return Err(format!(
            "`{}` is not for time stamps (extended key usage timeStamping and nothing else)",
            checked.certificate.subject()
        ));
    }
    let content = checked.content.as_deref().unwrap_or_default();
    let (imprint, text) = tst_info(content).map_err(|e| format!("the time stamp cannot be read: {e}"))?;
    let expected = signature::hash(&imprint.algorithm.oid, signed)
        .ok_or("the time stamp uses a digest that is not accepted")?;
    if imprint.hashed.as_bytes() != expected {
        return Err("the time stamp is over another signature".to_owned());
    }
    let at = time(&text).ok_or("the time stamp's time cannot be read")?;
    let (from, to) = checked.certificate.validity();
    if !(from..=to).contains(&at) {
        return Err(format!(
            "the time stamp is of {at}, its authority's certificate is valid from {from} to {to}"
        ));
    }
    Ok(Stamp {
        at,
        certificate: checked.certificate,
        others: checked.others,
    })
}

/// Imprint and time; what follows them (accuracy, nonce, names) is not needed here.
fn tst_info(content: &[u8]) -> der::Result<(MessageImprint, String)> {
    let info = Any::from_der(content)?;
    let mut inner = SliceReader::new(info.value())?;
    let _version: u8 = inner.decode()?;
    let _policy: ObjectIdentifier = inner.decode()?;
    let imprint: MessageImprint = inner.decode()?;
    let _serial: Int = inner.decode()?;
    // As text: a fraction of a second is allowed here and not in certificates.
    let time: Any = inner.decode()?;
    Ok((imprint, String::from_utf8_lossy(time.value()).into_owned()))
}

/// `20261128214500Z`, with a fraction or without.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if whole.len() != 14 || !whole.is_ascii() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let iso = format!(
        "{}-{}-{}T{}:{}:{}.{}Z",
        &whole[..4],
        &whole[4..6],
        &whole[6..8],
        &whole[8..10],
        &whole[10..12],
        &whole[12..],
        &fraction[..fraction.len().min(9)]
    );
    iso.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_stamps_read_with_and_without_a_fraction() {
        assert_eq!(
            time("20261128214500Z").unwrap().to_string(),
            "2026-11-28T21:45:00Z"
        );
        assert_eq!(
            time("20261128214500.25Z").unwrap().to_string(),
            "2026-11-28T21:45:00.25Z"
        );
        for wrong in [
            "",
            "Z",
            "20261128214500",
            "2026112821450Z",
            "20261340214500Z",
            "20261128214500.xZ",
        ] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_refusal_and_garbage_are_told() {
        // SEQUENCE { SEQUENCE { INTEGER 2 } }: rejected.
        assert_eq!(
            token(&[0x30, 5, 0x30, 3, 2, 1, 2]).unwrap_err(),
            "it refused with status 2"
        );
        assert_eq!(
            token(&[0x30, 5, 0x30, 3, 2, 1, 0]).unwrap_err(),
            "its answer has no token"
        );
        assert!(token(b"<html>").unwrap_err().contains("cannot be read"));
        assert!(
            token(&vec![0; ANSWER_BYTES_MAX + 1])
                .unwrap_err()
                .contains("bytes")
        );
    }
}
