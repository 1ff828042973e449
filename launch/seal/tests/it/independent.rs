//! What programs of others say of our seals.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tminus_seal::seal;

use crate::paper::paper;
use crate::pki::{OpensslAuthority, Pki, SEAL, STAMP, run};
use crate::sealing::sealing;

/// Whether pyHanko accepts each file, and what it says.
pub fn pyhanko(pki: &Pki, files: &[PathBuf]) -> Vec<(bool, String)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/verdicts.py");
    let output = Command::new(starvault_testing::python())
        .arg(script)
        .arg(pki.path("ca.pem"))
        .args(files)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let verdicts: Vec<(bool, String)> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            (
                line["accepted"].as_bool().unwrap(),
                line["why"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(verdicts.len(), files.len(), "{said}");
    verdicts
}

#[test]
fn pdfsig_pyhanko_and_qpdf_accept_what_was_sealed_once_twice_and_with_a_time_stamp() {
    let pki = Pki::new();
    pki.issue("launch", "ec", SEAL, 30);
    pki.issue("qa", "rsa", SEAL, 30);
    pki.issue("tsa", "rsa", STAMP, 30);
    let stamped = seal(
        &paper(false),
        &sealing("launch"),
        &*pki.open("launch"),
        Some(&OpensslAuthority(&pki)),
    )
    .unwrap();
    assert_eq!(stamped.without_stamp, None);
    let plain = seal(&paper(true), &sealing("launch"), &*pki.open("launch"), None).unwrap();
    let twice = seal(&plain.pdf, &sealing("qa"), &*pki.open("qa"), None).unwrap();
    let thrice = seal(
        &twice.pdf,
        &sealing("launch again"),
        &*pki.open("launch"),
        Some(&OpensslAuthority(&pki)),
    )
    .unwrap();
    let mut files = Vec::new();
    for (name, pdf, seals) in [
        ("stamped", &stamped.pdf, 1),
        ("plain", &plain.pdf, 1),
        ("twice", &twice.pdf, 2),
        ("thrice", &thrice.pdf, 3),
    ] {
        let file = pki.path(&format!("{name}.pdf"));
        std::fs::write(&file, pdf).unwrap();
        let path = file.display().to_string();
        let said = run(pki.folder.path(), "pdfsig", "poppler-utils", &["-nocert", &path]);
        assert_eq!(
            said.matches("Signature is Valid.").count(),
            seals,
            "{name}: {said}"
        );
        assert!(said.contains("Total document signed"), "{name}: {said}");
        let checked = run(pki.folder.path(), "qpdf", "qpdf", &["--check", &path]);
        assert!(
            checked.contains("No syntax or stream encoding errors"),
            "{name}: {checked}"
        );
        files.push(file);
    }
    let verdicts = pyhanko(&pki, &files);
    assert!(verdicts.iter().all(|(accepted, _)| *accepted), "{verdicts:?}");
    assert_eq!(verdicts[0].1, "stamped");
    assert_eq!(verdicts[1].1, "not stamped");
}
