//! A sealed checklist in the hands of an auditor who has none of our programs.

use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use tminus_checklist::{FontSource, Reader, verify_with};
use tminus_seal::{Certificate, Roots, Sealing, keys, seal};

use crate::launch::{START_MS, whole_launch};

fn said(program: &str, package: &str, arguments: &[&str], file: &Path) -> String {
    let output = Command::new(starvault_testing::program(program, package))
        .args(arguments)
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {text}");
    text
}

/// An authority, and keys that it has certified; the authority's certificate lies in `roots.pem`.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    root: Certificate,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Root of a test");
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        let made = parameters.self_signed(&pair).unwrap();
        std::fs::write(folder.join("roots.pem"), made.pem()).unwrap();
        Self {
            root: Certificate::from_der(made.der()).unwrap(),
            issuer: rcgen::Issuer::new(parameters, pair),
        }
    }

    fn key(&self, folder: &Path, name: &str) -> Box<dyn keys::SealKey> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        parameters.key_usages = vec![
            rcgen::KeyUsagePurpose::DigitalSignature,
            rcgen::KeyUsagePurpose::ContentCommitment,
        ];
        parameters.use_authority_key_identifier_extension = true;
        let made = parameters.signed_by(&pair, &self.issuer).unwrap();
        let file = folder.join(format!("{name}.key"));
        std::fs::write(&file, pair.serialize_pem()).unwrap();
        let own = Certificate::from_der(made.der()).unwrap();
        let chain = vec![own, self.root.clone()];
        keys::open(&file.display().to_string(), chain, &|_| unreachable!()).unwrap()
    }
}

#[test]
fn pdfsig_pyhanko_qpdf_and_exiftool_read_a_sealed_checklist_as_we_do() {
    let mut launch = whole_launch();
    let model = launch.model();
    launch.issue(&model, &FontSource::system().unwrap());
    let folder = launch.dir.path().to_owned();
    let authority = Authority::new(&folder);
    let sealing = |name: &str, minutes: i64| Sealing {
        at: Timestamp::from_second(i64::try_from(START_MS / 1000).unwrap() + minutes * 60).unwrap(),
        name: Some(name.to_owned()),
        reason: "verified against its record · 已核对".to_owned(),
    };
    let issued = std::fs::read(launch.pdf()).unwrap();
    let control = authority.key(&folder, "launch control");
    let once = seal(&issued, &sealing("Launch control", 60), &*control, None).unwrap();
    let qa = authority.key(&folder, "QA");
    let twice = seal(&once.pdf, &sealing("QA 质量", 90), &*qa, None).unwrap();

    let files: Vec<_> = [("once", &once.pdf), ("twice", &twice.pdf)]
        .into_iter()
        .map(|(name, pdf)| {
            let file = folder.join(format!("{name}.pdf"));
            std::fs::write(&file, pdf).unwrap();
            file
        })
        .collect();
    for (seals, file) in (1_usize..).zip(&files) {
        let reader = Reader {
            key: Some(launch.key()),
            roots: Roots::new(vec![authority.root.clone()]),
            ..Reader::default()
        };
        let ours = verify_with(file, launch.record_dir(), &reader).unwrap();
        assert!(ours.ok, "{:#?}", ours.lines);
        let poppler = said("pdfsig", "poppler-utils", &["-nocert"], file);
        assert_eq!(poppler.matches("Signature is Valid.").count(), seals, "{poppler}");
        assert!(poppler.contains("Total document signed"), "{poppler}");
        let qpdf = said("qpdf", "qpdf", &["--check"], file);
        assert!(qpdf.contains("No syntax or stream encoding errors"), "{qpdf}");
        let read = said(
            "exiftool",
            "libimage-exiftool-perl",
            &["-json", "-a", "-G1"],
            file,
        );
        let read: serde_json::Value = serde_json::from_str(&read).unwrap();
        let data = &model.data;
        for (name, value) in [
            ("Commit", data.plan_commit.clone().unwrap()),
            ("BuildId", {
                let build = &data.artifacts[0];
                format!("{} sha256:{}", build.name, build.sha256)
            }),
            ("RecordRoot", data.record.root.clone()),
            ("PlanVersion", data.plan_sha256.clone()),
        ] {
            let found = &read[0][format!("XMP-tminus:{name}")];
            assert_eq!(found.as_str(), Some(value.as_str()), "{name}: {read:#}");
        }
    }

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../seal/tests/it/verdicts.py");
    let pyhanko = Command::new(starvault_testing::python())
        .arg(script)
        .arg(folder.join("roots.pem"))
        .args(&files)
        .output()
        .unwrap();
    let verdicts = String::from_utf8_lossy(&pyhanko.stdout).into_owned();
    let accepted = verdicts.lines().filter(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["accepted"] == true
    });
    assert_eq!(
        accepted.count(),
        files.len(),
        "{verdicts}{}",
        String::from_utf8_lossy(&pyhanko.stderr)
    );
}
