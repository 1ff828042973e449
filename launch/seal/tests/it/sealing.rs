//! Seals that hold, what they say, and certificates that may not seal.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _};
use tminus_seal::{
    Authority, Certificate, Roots, SealError, SealReport, Sealing, revise, seal, verify_seals,
};

use crate::paper::paper;
use crate::pki::{OTHER, OpensslAuthority, Pki, SEAL, STAMP};

pub fn sealing(name: &str) -> Sealing {
    Sealing {
        // To the second: that is what a document says.
        at: Timestamp::from_second(Timestamp::now().as_second()).unwrap(),
        name: Some(name.to_owned()),
        reason: "Issued from the launch record · 已核对".to_owned(),
    }
}

pub fn roots(pki: &Pki) -> Roots {
    Roots::new(Certificate::all_from_pem(&std::fs::read(pki.path("ca.pem")).unwrap()).unwrap())
}

fn checked(pdf: &[u8], pki: &Pki) -> SealReport {
    verify_seals(pdf, &roots(pki)).unwrap()
}

#[test]
fn two_seals_of_two_keys_hold_and_name_whose_they_are() {
    let pki = Pki::new();
    pki.issue("launch", "ec", SEAL, 30);
    pki.issue("qa", "rsa", SEAL, 30);
    for cut in [false, true] {
        let plain = paper(cut);
        let first = seal(&plain, &sealing("launch control"), &*pki.open("launch"), None).unwrap();
        assert!(first.pdf.starts_with(&plain));
        let second = seal(&first.pdf, &sealing("QA 质量"), &*pki.open("qa"), None).unwrap();
        assert!(second.pdf.starts_with(&first.pdf));
        assert_eq!((first.number, second.number), (1, 2));
        let report = checked(&second.pdf, &pki);
        assert_eq!(report.sealed_bytes, plain.len());
        let [launch, qa] = &report.seals[..] else {
            panic!("{report:?}")
        };
        assert!(
            launch.subject.contains("CN=launch") && launch.issuer.contains("CN=Root"),
            "{launch:?}"
        );
        assert_eq!(qa.name.as_deref(), Some("QA 质量"));
        assert_eq!(qa.reason, "Issued from the launch record · 已核对");
        assert_eq!((&launch.trusted, &qa.trusted), (&Some(Ok(())), &Some(Ok(()))));
        assert!(launch.stamp.is_none());
        assert_eq!(checked(&first.pdf, &pki).seals.len(), 1);
    }
}

#[test]
fn a_document_without_a_seal_has_none() {
    let plain = paper(false);
    let report = verify_seals(&plain, &Roots::default()).unwrap();
    assert!(report.seals.is_empty());
    assert_eq!(report.sealed_bytes, plain.len());
}

#[test]
fn whose_a_seal_is_shows_only_against_roots_that_the_reader_has() {
    let (pki, other) = (Pki::new(), Pki::new());
    pki.issue("launch", "ec", SEAL, 30);
    let sealed = seal(&paper(false), &sealing("l"), &*pki.open("launch"), None).unwrap();
    let nobody = verify_seals(&sealed.pdf, &Roots::default()).unwrap();
    assert_eq!(nobody.seals[0].trusted, None);
    let stranger = verify_seals(&sealed.pdf, &roots(&other)).unwrap();
    assert!(matches!(&stranger.seals[0].trusted, Some(Err(_))), "{stranger:?}");
    // The certificate itself may be what is trusted.
    let own = Roots::new(pki.chain("launch")[..1].to_vec());
    assert_eq!(
        verify_seals(&sealed.pdf, &own).unwrap().seals[0].trusted,
        Some(Ok(()))
    );
}

#[test]
fn a_time_stamp_proves_the_time_and_an_authority_that_is_down_costs_only_that() {
    struct Down;
    impl Authority for Down {
        fn answer(&self, _: &[u8]) -> Result<Vec<u8>, String> {
            Err("connection refused".to_owned())
        }
    }
    let pki = Pki::new();
    pki.issue("launch", "ec", SEAL, 30);
    pki.issue("tsa", "rsa", STAMP, 30);
    let key = pki.open("launch");
    let sealed = seal(&paper(false), &sealing("l"), &*key, Some(&OpensslAuthority(&pki))).unwrap();
    assert_eq!(sealed.without_stamp, None);
    let report = checked(&sealed.pdf, &pki);
    let stamp = report.seals[0].stamp.as_ref().unwrap();
    assert!(stamp.authority.contains("CN=tsa"));
    assert_eq!(stamp.trusted, Some(Ok(())));
    let late = stamp.at.as_second() - report.seals[0].claimed_at.as_second();
    assert!((0..600).contains(&late), "{late}");

    let sealed = seal(&paper(false), &sealing("l"), &*key, Some(&Down)).unwrap();
    assert_eq!(sealed.without_stamp.as_deref(), Some("connection refused"));
    assert!(checked(&sealed.pdf, &pki).seals[0].stamp.is_none());
}

#[test]
fn a_stamp_of_somebody_who_may_not_stamp_is_none() {
    let pki = Pki::new();
    pki.issue("launch", "ec", SEAL, 30);
    // An authority whose certificate is good for stamps when it answers, and another one's answer in its place.
    pki.issue("tsa", "rsa", STAMP, 30);
    struct Replays(Vec<u8>);
    impl Authority for Replays {
        fn answer(&self, _: &[u8]) -> Result<Vec<u8>, String> {
            Ok(self.0.clone())
        }
    }
    let key = pki.open("launch");
    seal(&paper(false), &sealing("l"), &*key, Some(&OpensslAuthority(&pki))).unwrap();
    let old = std::fs::read(pki.path("answer.tsr")).unwrap();
    let sealed = seal(&paper(true), &sealing("l"), &*key, Some(&Replays(old))).unwrap();
    let why = sealed.without_stamp.unwrap();
    assert!(why.contains("another signature"), "{why}");
    let sealed = seal(
        &paper(true),
        &sealing("l"),
        &*key,
        Some(&Replays(b"<html>busy</html>".to_vec())),
    )
    .unwrap();
    assert!(sealed.without_stamp.unwrap().contains("cannot be read"));
}

#[test]
fn an_expired_or_wrong_certificate_is_refused_before_anything_is_signed() {
    let pki = Pki::new();
    pki.issue("launch", "ec", SEAL, 1);
    pki.issue("other", "ec", OTHER, 30);
    let key = pki.open("launch");
    let refused = |at: Timestamp, name: &str| {
        let what = Sealing { at, ..sealing("l") };
        let key = if name == "launch" { &*key } else { &*pki.open(name) };
        match seal(&paper(false), &what, key, None).unwrap_err() {
            SealError::Unusable(why) => why,
            other => panic!("{other}"),
        }
    };
    let now = Timestamp::now();
    assert!(refused(now + (24 * 3).hours(), "launch").contains("has expired on"));
    assert!(refused(now - (24 * 3).hours(), "launch").contains("is valid from"));
    assert!(refused(now, "other").contains("key usage"));
}

#[test]
fn a_key_that_is_not_its_certificates_is_noticed() {
    let pki = Pki::new();
    pki.issue("launch", "ec", SEAL, 30);
    pki.issue("qa", "ec", SEAL, 30);
    let path = pki.path("launch.key").display().to_string();
    let mixed = tminus_seal::keys::open(&path, pki.chain("qa"), &|_| unreachable!()).unwrap();
    let error = seal(&paper(false), &sealing("l"), &*mixed, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("do not belong together"), "{error}");
}

#[test]
fn documents_that_cannot_be_sealed_are_refused_in_words() {
    let pki = Pki::new();
    pki.issue("launch", "ec", SEAL, 30);
    let key = pki.open("launch");
    // An increment of somebody else's that brings a form.
    let form = BTreeMap::from([(
        1,
        b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[6 0 R]>>>>".to_vec(),
    )]);
    let with_form = revise(&paper(false), &form).unwrap();
    for (pdf, says) in [
        (b"not a pdf".to_vec(), "parse"),
        (paper(false)[..200].to_vec(), "parsing"),
        (with_form, "form"),
    ] {
        let error = seal(&pdf, &sealing("l"), &*key, None).unwrap_err().to_string();
        assert!(
            error.contains("cannot be sealed") && error.contains(says),
            "{error}"
        );
    }
}
