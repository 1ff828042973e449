//! Seals behind an issued checklist, its XMP as another program reads it, and the customers' edition.

use std::process::{Command, Stdio};

use jiff::Timestamp;
use tminus_checklist::{FontSource, Reader, VerifyReport, for_customers, render, verify_with};
use tminus_seal::{Certificate, Roots, Sealing, keys, revise, seal};

use crate::launch::{Launch, START_MS};

fn issued() -> Launch {
    let mut launch = Launch::start(include_str!("plan.yaml"), "plans/test.yaml");
    launch.gate("load-test", "players", &[]);
    launch.sign_off("load-test", "qa");
    launch.finish();
    let model = launch.model();
    launch.issue(&model, &FontSource::system().unwrap());
    launch
}

struct Own {
    key: Box<dyn keys::SealKey>,
    certificate: Certificate,
}

fn own(folder: &std::path::Path) -> Own {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Launch seal");
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let made = parameters.self_signed(&pair).unwrap();
    let file = folder.join("seal.pem");
    std::fs::write(&file, pair.serialize_pem()).unwrap();
    let certificate = Certificate::from_der(made.der()).unwrap();
    let key = keys::open(
        &file.display().to_string(),
        vec![certificate.clone()],
        &|_| unreachable!(),
    )
    .unwrap();
    Own { key, certificate }
}

fn sealed(launch: &Launch, own: &Own, at_ms: u64) -> Vec<u8> {
    let sealing = Sealing {
        at: Timestamp::from_second(i64::try_from(at_ms / 1000).unwrap()).unwrap(),
        name: Some("Launch control".to_owned()),
        reason: "verified against its record".to_owned(),
    };
    seal(&std::fs::read(launch.pdf()).unwrap(), &sealing, &*own.key, None)
        .unwrap()
        .pdf
}

fn report(launch: &Launch, pdf: &[u8], roots: &Roots) -> VerifyReport {
    let file = launch.dir.path().join("sealed.pdf");
    std::fs::write(&file, pdf).unwrap();
    let reader = Reader {
        key: Some(launch.key()),
        roots: roots.clone(),
        ..Reader::default()
    };
    verify_with(&file, launch.record_dir(), &reader).unwrap()
}

#[track_caller]
fn says(report: &VerifyReport, ok: bool, what: &str) {
    assert!(
        report
            .lines
            .iter()
            .any(|line| line.ok == ok && line.says.contains(what)),
        "{what:?} in {:#?}",
        report.lines
    );
}

/// Well after everything on record.
const LATER_MS: u64 = START_MS + 3_600_000;

#[test]
fn a_sealed_checklist_is_still_the_one_that_was_issued_and_says_whose_the_seal_is() {
    let launch = issued();
    let own = own(launch.dir.path());
    let unsealed = report(&launch, &std::fs::read(launch.pdf()).unwrap(), &Roots::default());
    assert!(unsealed.ok);
    says(&unsealed, true, "carries no seal");

    let pdf = sealed(&launch, &own, LATER_MS);
    let nobody = report(&launch, &pdf, &Roots::default());
    assert!(nobody.ok, "{:#?}", nobody.lines);
    says(
        &nobody,
        true,
        "which are the document as it was issued, is the one in the record's last entry",
    );
    says(
        &nobody,
        true,
        "for Launch control certifies the whole document; only seals may follow it",
    );
    says(&nobody, true, "no time stamp proves it");
    says(&nobody, true, "is not compared with any authority");
    says(&nobody, true, "every figure and every word");
    let known = report(&launch, &pdf, &Roots::new(vec![own.certificate.clone()]));
    assert!(known.ok);
    says(&known, true, "leads to an authority that you trust");
    let stranger = self::own(launch.dir.path());
    let other = report(&launch, &pdf, &Roots::new(vec![stranger.certificate]));
    assert!(!other.ok);
    says(&other, false, "leads to no authority that you trust");
}

#[test]
fn anything_but_seals_behind_the_issued_document_is_refused() {
    let launch = issued();
    let own = own(launch.dir.path());
    let plain = std::fs::read(launch.pdf()).unwrap();
    let page = "<</Type/Metadata/Length 0>>stream\n\nendstream";
    let appended = |pdf: &[u8]| revise(pdf, &[(5_000_u32, page.as_bytes().to_vec())].into()).unwrap();
    let pdf = sealed(&launch, &own, LATER_MS);
    for (what, bytes) in [
        ("an increment behind the seal", appended(&pdf)),
        ("an increment before the seal", {
            let changed = appended(&plain);
            let file = launch.dir.path().join("changed.pdf");
            std::fs::write(&file, &changed).unwrap();
            let sealing = Sealing {
                at: Timestamp::now(),
                name: None,
                reason: String::new(),
            };
            seal(&changed, &sealing, &*own.key, None).unwrap().pdf
        }),
        ("an increment and no seal", appended(&plain)),
        ("bytes behind the seal", [&pdf[..], b"\n%%EOF\n"].concat()),
    ] {
        let found = report(&launch, &bytes, &Roots::default());
        assert!(!found.ok, "{what} is accepted");
        says(&found, false, "appended");
    }
    let early = report(
        &launch,
        &sealed(&launch, &own, START_MS - 3_600_000),
        &Roots::default(),
    );
    assert!(!early.ok);
    says(&early, false, "before the document was issued");
}

#[test]
fn exiftool_reads_launch_build_commit_and_record() {
    let launch = issued();
    let output = Command::new(starvault_testing::program("exiftool", "libimage-exiftool-perl"))
        .args(["-json", "-a", "-G1"])
        .arg(launch.pdf())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let data = launch.model().data;
    for (name, value) in [
        ("LaunchId", data.launch_id.clone()),
        ("Verdict", "incomplete".to_owned()),
        (
            "BuildId",
            format!("starvault sha256:{}", data.artifacts[0].sha256),
        ),
        ("Commit", data.plan_commit.clone().unwrap()),
        ("PlanVersion", data.plan_sha256.clone()),
    ] {
        let found = &read[0][format!("XMP-tminus:{name}")];
        assert_eq!(found.as_str(), Some(value.as_str()), "{name}: {read:#}");
    }
    // The document was made before its own issue went on record.
    assert!(read[0]["XMP-tminus:RecordRoot"].as_str().unwrap().len() == 64);
}

#[test]
fn the_customers_edition_shows_results_and_no_addresses() {
    let launch = issued();
    let mut model = launch.model();
    model.data = for_customers(&model.data, "\u{25ae}");
    model.attachments.clear();
    let pdf = render(&model, &FontSource::system().unwrap()).unwrap();
    let file = launch.dir.path().join("customer.pdf");
    std::fs::write(&file, &pdf).unwrap();
    let output = Command::new(starvault_testing::program("pdftotext", "poppler-utils"))
        .arg(&file)
        .arg("-")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for shown in ["Load test signed", "move_p99_ms <= 200", "P99 of a move"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    for hidden in [
        "127.0.0.1",
        "--seed",
        "plans/test.yaml",
        "I have seen the evidence",
    ] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
        assert!(
            !pdf.windows(hidden.len())
                .any(|window| window == hidden.as_bytes()),
            "{hidden}"
        );
    }
}
