//! Seals of somebody who holds a key and signs what sealing would never write: every one has to be refused, although its
//! signature is good.

use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::{CertificateSet, EncapsulatedContentInfo, SignedData, SignerInfo, SignerInfos};
use der::asn1::{Any, GeneralizedTime, Int, ObjectIdentifier, OctetString, SetOfVec};
use der::{Decode as _, Encode as _};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_cert::attr::Attributes;
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::certificate::{Certificate, Roots};
use crate::keys::{self, SealKey};
use crate::sealing::{Form, Sealing};
use crate::signature::{self, DATA};
use crate::timestamp::{self, TST_INFO};
use crate::verify_seals;

#[path = "../tests/it/paper.rs"]
mod paper;

struct Cheat {
    key: Box<dyn SealKey>,
}

impl Cheat {
    fn with(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self {
            key: key(&pair, change),
        }
    }

    fn certificate(&self) -> &Certificate {
        &self.key.chain()[0]
    }

    /// The hand-written document with a seal that was changed before it was signed.
    fn sealed(&self, at: &str, change: impl FnOnce(&mut Form)) -> Vec<u8> {
        let sealing = Sealing {
            at: at.parse().unwrap(),
            name: Some("launch".to_owned()),
            reason: "issued".to_owned(),
        };
        let mut form = Form::new(&paper::paper(false), &sealing).unwrap();
        change(&mut form);
        let cms = self.signed(&form.digest());
        form.filled(&cms)
    }

    fn signed(&self, digest: &[u8; 32]) -> Vec<u8> {
        signature::sign(digest, self.key.chain(), &*self.key, None)
            .unwrap()
            .0
    }
}

fn key(pair: &rcgen::KeyPair, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Box<dyn SealKey> {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.serial_number = Some(7_u64.into());
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    change(&mut parameters);
    let made = parameters.self_signed(pair).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, pair.serialize_pem()).unwrap();
    let certificate = Certificate::from_der(made.der()).unwrap();
    keys::open(
        &file.display().to_string(),
        vec![certificate],
        &|_| unreachable!(),
    )
    .unwrap()
}

const AT: &str = "2026-11-28T21:45:00Z";

#[track_caller]
fn refused(pdf: &[u8], why: &str) {
    let found = verify_seals(pdf, &Roots::default());
    assert!(found.as_ref().is_err_and(|e| e.contains(why)), "{found:?}");
}

/// The last place, the same length.
fn replaced(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let at = bytes
        .windows(from.len())
        .rposition(|window| window == from.as_bytes())
        .unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
}

#[test]
fn a_good_signature_over_another_increment_than_sealing_writes_is_refused() {
    let cheat = Cheat::with(|_| ());
    let honest = cheat.sealed(AT, |_| ());
    assert_eq!(verify_seals(&honest, &Roots::default()).unwrap().seals.len(), 1);
    let not_sealing = "what it appended is not what sealing appends";
    for (from, to) in [
        // Before the signature: the page, the catalog.
        ("/MediaBox [0 0 595.276 841.89]", "/MediaBox [0 0 595.276 141.89]"),
        ("/SigFlags 3", "/SigFlags 1"),
        // Behind it: what may follow, the field, the cross-references.
        ("/V/1.2/P 2", "/V/1.2/P 3"),
        ("/F 132>>", "/F 134>>"),
        ("0000000000 65535 f ", "0000000001 65535 f "),
    ] {
        refused(
            &cheat.sealed(AT, |form| replaced(&mut form.bytes, from, to)),
            not_sealing,
        );
    }
    // One byte more, which the byte range covers.
    let longer = cheat.sealed(AT, |form| {
        let rest = form.bytes.len() - form.contents.end;
        form.bytes.push(b'\n');
        replaced(
            &mut form.bytes,
            &format!("{rest:010}]"),
            &format!("{:010}]", rest + 1),
        );
    });
    refused(&longer, not_sealing);
}

#[test]
fn anything_behind_the_signature_is_refused_wherever_it_stands() {
    let cheat = Cheat::with(|_| ());
    let sealed = cheat.sealed(AT, |_| ());
    let open = sealed
        .windows(10)
        .position(|window| window == b"/Contents<")
        .unwrap()
        + 10;
    let cms = 4 + usize::from(
        u16::from_str_radix(str::from_utf8(&sealed[open + 4..open + 8]).unwrap(), 16).unwrap(),
    );
    let close = open + sealed[open..].iter().position(|byte| *byte == b'>').unwrap();
    for digit in [open + 2 * cms, open + 2 * cms + 1, (open + close) / 2, close - 1] {
        let mut changed = sealed.clone();
        assert_eq!(changed[digit], b'0');
        changed[digit] = b'1';
        refused(&changed, "there is something behind its signature");
    }
}

#[test]
fn a_certificate_that_may_not_seal_is_refused_though_its_key_signed() {
    let years = |from: i32, to: i32| {
        Cheat::with(|parameters| {
            parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(to, 1, 1);
        })
    };
    refused(&years(2020, 2026).sealed(AT, |_| ()), "has expired on");
    refused(&years(2027, 2030).sealed(AT, |_| ()), "is valid from");
    let other = Cheat::with(|p| p.key_usages = vec![rcgen::KeyUsagePurpose::KeyEncipherment]);
    refused(&other.sealed(AT, |_| ()), "is not for signatures");
}

/// The structure, taken apart, changed, put together.
fn rewritten(cms: &[u8], change: impl FnOnce(&mut SignedData)) -> Vec<u8> {
    let mut info = ContentInfo::from_der(cms).unwrap();
    let mut data: SignedData = info.content.decode_as().unwrap();
    change(&mut data);
    info.content = Any::encode_from(&data).unwrap();
    info.to_der().unwrap()
}

#[test]
fn a_structure_that_says_more_or_other_than_a_seal_is_refused() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let cheat = Cheat {
        key: key(&pair, |_| ()),
    };
    // The same key, name and number, valid for longer.
    let longer = key(&pair, |p| p.not_after = rcgen::date_time_ymd(2999, 1, 1));
    let digest = [9; 32];
    let cms = cheat.signed(&digest);
    signature::check(&cms, DATA, Some(&digest)).unwrap();
    let told = |cms: &[u8]| signature::check(cms, DATA, Some(&digest)).unwrap_err();

    let swapped = rewritten(&cms, |data| {
        let other = CertificateChoices::Certificate(longer.chain()[0].parsed().clone());
        data.certificates = Some(CertificateSet(SetOfVec::try_from(vec![other]).unwrap()));
    });
    assert!(told(&swapped).contains("names another certificate"));
    let none = rewritten(&cms, |data| data.certificates = None);
    assert!(told(&none).contains("certificate is not in it"));
    let two = rewritten(&cms, |data| {
        let one = data.signer_infos.0.as_slice()[0].clone();
        let mut other = one.clone();
        other.signature = OctetString::new(vec![1; 70]).unwrap();
        data.signer_infos = SignerInfos(SetOfVec::try_from(vec![one, other]).unwrap());
    });
    assert!(told(&two).contains("it has 2 signers"));
    let more = rewritten(&cms, |data| {
        let mut signer = data.signer_infos.0.as_slice()[0].clone();
        let any = Any::from_der(&[5, 0]).unwrap();
        let odd = signature::attribute(ObjectIdentifier::new_unwrap("1.2.3.4"), any).unwrap();
        signer.unsigned_attrs = Some(Attributes::try_from(vec![odd]).unwrap());
        data.signer_infos = SignerInfos(SetOfVec::try_from(vec![signer]).unwrap());
    });
    assert!(told(&more).contains("an attribute that no seal has"));
    let inside = rewritten(&cms, |data| {
        let content = OctetString::new(b"inside".to_vec()).unwrap();
        data.encap_content_info.econtent = Some(Any::encode_from(&content).unwrap());
    });
    assert!(told(&inside).contains("not where it belongs"));
    let bare = rewritten(&cms, |data| {
        let mut signer = data.signer_infos.0.as_slice()[0].clone();
        signer.signed_attrs = None;
        data.signer_infos = SignerInfos(SetOfVec::try_from(vec![signer]).unwrap());
    });
    assert!(told(&bare).contains("no signed attributes"));

    let other = signature::check(&cms, DATA, Some(&[8; 32])).unwrap_err();
    assert!(other.contains("was changed after it was sealed"), "{other}");
    let kind = signature::check(&cms, TST_INFO, Some(&digest)).unwrap_err();
    assert!(kind.contains("another kind of content"), "{kind}");
}

/// What an authority answers, made by hand: `openssl ts` refuses to be the wrong one.
fn token(by: &Cheat, over: &[u8], at: &str) -> Vec<u8> {
    let digest_alg = AlgorithmIdentifierOwned {
        oid: signature::SHA_256,
        parameters: None,
    };
    let at: Timestamp = at.parse().unwrap();
    let since = std::time::Duration::from_secs(u64::try_from(at.as_second()).unwrap());
    let parts = [
        1_u8.to_der(),
        ObjectIdentifier::new_unwrap("1.2.3.4.1").to_der(),
        timestamp::MessageImprint {
            algorithm: digest_alg.clone(),
            hashed: OctetString::new(Sha256::digest(over).to_vec()).unwrap(),
        }
        .to_der(),
        Int::new(&[1]).unwrap().to_der(),
        GeneralizedTime::from_unix_duration(since).unwrap().to_der(),
    ];
    let inside: Vec<u8> = parts.into_iter().flat_map(Result::unwrap).collect();
    let content = Any::new(der::Tag::Sequence, inside).unwrap().to_der().unwrap();

    let octets = |bytes: &[u8]| Any::encode_from(&OctetString::new(bytes.to_vec()).unwrap()).unwrap();
    let attributes = Attributes::try_from(vec![
        signature::attribute(signature::CONTENT_TYPE, Any::encode_from(&TST_INFO).unwrap()).unwrap(),
        signature::attribute(signature::MESSAGE_DIGEST, octets(&Sha256::digest(&content))).unwrap(),
    ])
    .unwrap();
    let signed = by.key.sign(&attributes.to_der().unwrap()).unwrap();
    rewritten(&by.signed(&[0; 32]), |data| {
        let one: SignerInfo = data.signer_infos.0.as_slice()[0].clone();
        let signer = SignerInfo {
            signed_attrs: Some(attributes),
            signature: OctetString::new(signed).unwrap(),
            ..one
        };
        data.signer_infos = SignerInfos(SetOfVec::try_from(vec![signer]).unwrap());
        data.encap_content_info = EncapsulatedContentInfo {
            econtent_type: TST_INFO,
            econtent: Some(octets(&content)),
        };
    })
}

#[test]
fn only_a_certificate_for_time_stamps_stamps_and_only_this_signature_while_it_is_valid() {
    let authority = |uses: Vec<rcgen::ExtendedKeyUsagePurpose>| {
        Cheat::with(|parameters| {
            parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(2027, 1, 1);
            parameters.extended_key_usages = uses;
        })
    };
    use rcgen::ExtendedKeyUsagePurpose::{CodeSigning, TimeStamping};
    let good = authority(vec![TimeStamping]);
    let stamp = timestamp::check(&token(&good, b"signature", AT), b"signature").unwrap();
    assert_eq!(stamp.at.to_string(), AT);
    assert_eq!(stamp.certificate, *good.certificate());

    let told =
        |by: &Cheat, over: &[u8], at: &str| timestamp::check(&token(by, over, at), b"signature").unwrap_err();
    assert!(told(&good, b"another", AT).contains("over another signature"));
    assert!(told(&good, b"signature", "2027-06-01T00:00:00Z").contains("certificate is valid from"));
    assert!(told(&good, b"signature", "2025-06-01T00:00:00Z").contains("certificate is valid from"));
    for uses in [vec![], vec![CodeSigning], vec![TimeStamping, CodeSigning]] {
        assert!(told(&authority(uses), b"signature", AT).contains("is not for time stamps"));
    }
}
