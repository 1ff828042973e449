//! Any change to file or record is found and the part is named; nothing that is read can cause a panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proptest::prelude::*;
use tminus_checklist::{ChecklistError, FontSource, Overall, Reader, VerifyReport, verify, verify_with};
use tminus_record::{SigningKey, VerifyingKey};

use crate::launch::Launch;

/// A finished launch on disk, made once.
struct Issued {
    _home: tempfile::TempDir,
    pdf: PathBuf,
    record: PathBuf,
    key: VerifyingKey,
}

fn issued() -> &'static Issued {
    static ISSUED: OnceLock<Issued> = OnceLock::new();
    ISSUED.get_or_init(|| {
        let mut launch = Launch::start(include_str!("plan.yaml"), "plans/test.yaml");
        launch.gate("load-test", "players", &[]);
        launch.sign_off("load-test", "qa");
        launch.gate("routes", "no-token", &[("mismatches", 2.0, "1")]);
        launch.finish();
        let model = launch.model();
        launch.issue(&model, &FontSource::system().unwrap());
        let (pdf, record, key) = (launch.pdf(), launch.record_dir().to_owned(), launch.key());
        Issued {
            _home: launch.dir,
            pdf,
            record,
            key,
        }
    })
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let there = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &there);
        } else {
            fs::copy(&path, &there).unwrap();
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

#[track_caller]
fn names(report: &VerifyReport, part: &str, what: &str) {
    assert!(!report.ok, "{what} was not noticed");
    let named = report
        .lines
        .iter()
        .any(|l| !l.ok && (l.part == part || l.part.starts_with(&format!("{part} "))));
    assert!(named, "{what}: {part} is not named in {:#?}", report.lines);
}

fn verify_bytes(bytes: &[u8]) -> (VerifyReport, String) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("checklist.pdf");
    fs::write(&file, bytes).unwrap();
    let issued = issued();
    (
        verify(&file, &issued.record, Some(&issued.key)).unwrap(),
        file.display().to_string(),
    )
}

#[test]
fn an_untouched_launch_proves_every_claim() {
    let issued = issued();
    let report = verify(&issued.pdf, &issued.record, Some(&issued.key)).unwrap();
    assert!(report.ok, "{:#?}", report.lines);
    assert_eq!(report.verdict, Some(Overall::Failed));
    let said: Vec<&str> = report.lines.iter().map(|l| l.says.as_str()).collect();
    for claim in [
        "every byte of every file follows",
        "the key that you trust",
        "entries speak of the same artifacts: `starvault` sha256:",
        "entries are signed: 1 sign-offs and approvals by the key of their role",
        "1 sign-offs and approvals name the root",
        "its SHA-256 is the one in the record's last entry",
        "attached envelopes are, byte for byte, entries",
        "the record continues, unchanged",
        "all 3 items judged again from the evidence alone, and the document agrees: 1 ticked, 1 crossed, 1 not checked",
        "every figure and every word",
    ] {
        assert!(
            said.iter().any(|s| s.contains(claim)),
            "{claim:?} is not claimed in {said:#?}"
        );
    }
}

#[test]
fn a_build_is_compared_with_the_one_that_the_launch_was_about() {
    let issued = issued();
    let folder = tempfile::tempdir().unwrap();
    let (same, other) = (folder.path().join("same"), folder.path().join("other"));
    fs::write(&same, b"starvault").unwrap();
    fs::write(&other, b"starvault\n").unwrap();
    let report = |name: &str, file: &Path| {
        let reader = Reader {
            artifacts: vec![(name.to_owned(), file.to_owned())],
            ..Reader::default()
        };
        verify_with(&issued.pdf, &issued.record, &reader)
    };
    let good = report("starvault", &same).unwrap();
    assert!(good.ok, "{:#?}", good.lines);
    let line = good
        .lines
        .iter()
        .find(|line| line.part == same.display().to_string())
        .unwrap();
    assert!(
        line.says
            .starts_with("is the launch's artifact `starvault`, byte for byte"),
        "{line:?}"
    );
    for (name, file, why) in [
        ("starvault", &other, "is not the launch's artifact `starvault`"),
        (
            "gateway",
            &same,
            "the launch has no artifact `gateway`; its artifacts: starvault",
        ),
    ] {
        let found = report(name, file).unwrap();
        names(&found, &file.display().to_string(), why);
        assert!(
            found.lines.iter().any(|line| !line.ok && line.says.contains(why)),
            "{:#?}",
            found.lines
        );
    }
    assert!(matches!(
        report("starvault", &folder.path().join("none")),
        Err(ChecklistError::Io { .. })
    ));
    let nothing = verify(&issued.pdf, &issued.record, None).unwrap();
    assert!(
        nothing
            .lines
            .iter()
            .any(|line| line.ok && line.says.contains("no build was compared"))
    );
}

#[test]
fn without_a_trusted_key_the_report_says_that_it_had_none() {
    let issued = issued();
    let report = verify(&issued.pdf, &issued.record, None).unwrap();
    assert!(report.ok);
    assert!(
        report
            .lines
            .iter()
            .any(|l| l.says.contains("the record cannot prove"))
    );
    let other = SigningKey::from_seed([99; 32]).verifying_key();
    let report = verify(&issued.pdf, &issued.record, Some(&other)).unwrap();
    names(
        &report,
        &format!("{}/key.vkey", issued.record.display()),
        "another key",
    );
}

#[test]
fn a_flipped_byte_anywhere_in_the_file_is_found() {
    let whole = fs::read(&issued().pdf).unwrap();
    let last = whole.len() - 1;
    for at in (0..=60).map(|n| n * last / 60) {
        let mut other = whole.clone();
        other[at] ^= 1;
        let (report, file) = verify_bytes(&other);
        names(&report, &file, &format!("byte {at} of {last}"));
        assert!(
            report.lines.iter().any(|l| l.says.contains("was altered")),
            "byte {at}"
        );
    }
}

#[test]
fn a_shortened_or_lengthened_file_is_found() {
    let whole = fs::read(&issued().pdf).unwrap();
    for other in [
        &whole[..whole.len() - 1],
        &whole[..whole.len() / 2],
        &[],
        &[&whole[..], b"\n"].concat(),
    ] {
        let (report, file) = verify_bytes(other);
        names(&report, &file, "another length");
    }
}

#[test]
fn an_altered_attachment_is_named() {
    let mut document = lopdf::Document::load(&issued().pdf).unwrap();
    let evidence = issued_attachment("evidence/");
    let envelope = fs::read_to_string(&evidence.1).unwrap();
    let stream = document
        .objects
        .values_mut()
        .filter_map(|o| o.as_stream_mut().ok())
        .find(|s| s.get_plain_content().is_ok_and(|c| c == envelope.as_bytes()))
        .unwrap();
    stream.set_plain_content(envelope.replace("payload", "PAYLOAD").into_bytes());
    let mut altered = Vec::new();
    document.save_to(&mut altered).unwrap();
    let (report, file) = verify_bytes(&altered);
    names(
        &report,
        &format!("{file} attachment {}", evidence.0),
        "an altered attachment",
    );
    names(&report, &file, "an altered attachment");
}

#[test]
fn a_change_outside_the_attachments_is_told_from_one_inside() {
    let mut document = lopdf::Document::load(&issued().pdf).unwrap();
    let page = document.page_iter().next().unwrap();
    document
        .get_object_mut(page)
        .unwrap()
        .as_dict_mut()
        .unwrap()
        .set("Rotate", 90);
    let mut altered = Vec::new();
    document.save_to(&mut altered).unwrap();
    let (report, file) = verify_bytes(&altered);
    names(&report, &file, "a turned page");
    assert!(
        report
            .lines
            .iter()
            .any(|l| !l.ok && l.says.contains("its attachments are intact")),
        "{:#?}",
        report.lines
    );
}

/// The name of the first attachment below a folder, and a file with its bytes.
fn issued_attachment(below: &str) -> (String, tempfile::TempPath) {
    let issued = issued();
    let verified = tminus_record::verify(&issued.record, None).unwrap();
    let before = &verified.entries[..verified.entries.len() - 1];
    for (index, entry) in before.iter().enumerate() {
        let envelope = tminus_record::dsse::Envelope::from_bytes(entry).unwrap();
        let (fact, _) = tminus_plan::from_statement(&envelope.payload).unwrap();
        if let tminus_plan::Fact::Evidence(evidence) = fact {
            let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
            fs::write(&file, entry).unwrap();
            return (
                format!("{below}{index}-{}-{}.json", evidence.item, evidence.gate),
                file,
            );
        }
    }
    panic!("no evidence")
}

#[test]
fn a_flipped_byte_in_any_file_of_the_record_is_found() {
    let issued = issued();
    let home = tempfile::tempdir().unwrap();
    let record = home.path().join("record");
    copy(&issued.record, &record);
    for file in files(&record) {
        let whole = fs::read(&file).unwrap();
        for at in [0, whole.len() / 3, whole.len() - 1] {
            let mut other = whole.clone();
            other[at] ^= 1;
            fs::write(&file, other).unwrap();
            let report = verify(&issued.pdf, &record, Some(&issued.key)).unwrap();
            names(
                &report,
                &file.display().to_string(),
                &format!("byte {at} of {}", file.display()),
            );
        }
        fs::remove_file(&file).unwrap();
        let report = verify(&issued.pdf, &record, Some(&issued.key)).unwrap();
        names(&report, &file.display().to_string(), "a removed file");
        fs::write(&file, whole).unwrap();
    }
    assert!(verify(&issued.pdf, &record, Some(&issued.key)).unwrap().ok);
}

#[test]
fn what_is_not_there_cannot_be_checked() {
    let issued = issued();
    let nowhere = Path::new("/nowhere/at/all");
    assert!(matches!(
        verify(nowhere, &issued.record, None),
        Err(ChecklistError::Io { .. })
    ));
    let error = verify(&issued.pdf, nowhere, None).unwrap_err();
    assert!(error.to_string().contains("--record DIR"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_bytes_make_verification_panic_or_believe(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1_u8..), 1..20),
        cut in any::<proptest::sample::Index>(),
        shorten in any::<bool>(),
    ) {
        let mut bytes = fs::read(&issued().pdf).unwrap();
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        if shorten {
            let length = cut.index(bytes.len());
            bytes.truncate(length);
        }
        if bytes != fs::read(&issued().pdf).unwrap() {
            prop_assert!(!verify_bytes(&bytes).0.ok);
        }
    }

    #[test]
    fn pdf_shaped_garbage_is_refused(tail in "[<>/\\[\\]()0-9 a-zA-Z\\n]{0,400}") {
        let (report, _) = verify_bytes(format!("%PDF-1.7\n{tail}\ntrailer<</Root 1 0 R>>startxref\n9\n%%EOF").as_bytes());
        prop_assert!(!report.ok);
    }
}
