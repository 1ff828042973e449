//! Packages that hold, and what is noticed of those that were changed.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use serde_json::{Value, json};
use tminus_packages::{
    DISCLOSURE_FILE, Disclosure, LEFT_OUT, LaunchRef, MANIFEST_FILE, NotChecked, Package, PackageError,
    PackageReport, SHOWN_FILE, UnpackError, unpack, verify_package,
};
use tminus_record::SigningKey;
use tminus_record::dsse::{Envelope, IN_TOTO};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

type Files = BTreeMap<String, Vec<u8>>;

fn key() -> SigningKey {
    SigningKey::from_seed([7; 32])
}

fn package() -> Package {
    let full = json!({ "ticked": 9, "target": "http://10.0.0.7" });
    let shown = json!({ "ticked": 9, "target": LEFT_OUT });
    let disclosure = Disclosure::new(&full, &shown, &[1; 32]).unwrap();
    let bytes = |value: &Value| serde_json::to_vec(value).unwrap();
    Package {
        name: "customer".to_owned(),
        launch: LaunchRef {
            launch_id: "l-1".to_owned(),
            product: "Shop".to_owned(),
            version: "v2".to_owned(),
            record_origin: "shop/1".to_owned(),
            record_size: 12,
            record_root: "ab".repeat(32),
        },
        disclosure_root: disclosure.root.clone(),
        not_checked: vec![NotChecked {
            what: "sbom".to_owned(),
            why: "the build supplies none".to_owned(),
        }],
        tested: BTreeMap::from([(
            "rollback.sh".to_owned(),
            "run in the rehearsal: exit 0".to_owned(),
        )]),
        files: BTreeMap::from([
            ("checklist.pdf".to_owned(), b"%PDF-1.7".to_vec()),
            (SHOWN_FILE.to_owned(), bytes(&shown)),
            (
                DISCLOSURE_FILE.to_owned(),
                serde_json::to_vec(&disclosure).unwrap(),
            ),
            ("record/tile/0/000".to_owned(), vec![0; 32]),
        ]),
    }
}

fn bad(report: &PackageReport) -> Vec<(String, String)> {
    assert!(!report.ok);
    let bad = report.lines.iter().filter(|line| !line.ok);
    bad.map(|line| (line.part.clone(), line.says.clone())).collect()
}

#[test]
fn a_package_comes_out_of_its_zip_as_it_was_signed() {
    let zip = package().zip(&key()).unwrap();
    assert_eq!(zip, package().zip(&key()).unwrap(), "equal packages, other bytes");
    let files = unpack(&zip).unwrap();
    let report = verify_package(&files, &key().verifying_key());
    assert!(report.ok, "{:#?}", report.lines);
    let said: Vec<&str> = report.lines.iter().map(|line| line.says.as_str()).collect();
    for claim in [
        "package `customer` of launch l-1",
        "1 values shown, 1 left out",
        "not checked: the build",
        "exit 0",
    ] {
        assert!(said.iter().any(|says| says.contains(claim)), "{claim}: {said:#?}");
    }
}

#[test]
fn every_change_is_named_with_its_file() {
    let whole = package().signed(&key()).unwrap();
    let changed = |change: &dyn Fn(&mut Files)| {
        let mut files = whole.clone();
        change(&mut files);
        bad(&verify_package(&files, &key().verifying_key()))
    };
    let of = |part: &str, says: &str| vec![(part.to_owned(), says.to_owned())];
    assert_eq!(
        changed(&|f| f.get_mut("checklist.pdf").unwrap()[0] = b'!'),
        of("checklist.pdf", "was altered")
    );
    assert_eq!(
        changed(&|f| drop(f.remove("checklist.pdf"))),
        of("checklist.pdf", "is missing")
    );
    assert_eq!(
        changed(&|f| drop(f.insert("more.pdf".to_owned(), Vec::new()))),
        of("more.pdf", "is not of this package")
    );
    let gone = changed(&|f| drop(f.remove(MANIFEST_FILE)));
    assert!(gone[0].1.contains("this is no package"));
    let torn = changed(&|f| f.get_mut(MANIFEST_FILE).unwrap().truncate(100));
    assert_eq!(torn[0].0, MANIFEST_FILE);
    let other = verify_package(&whole, &SigningKey::from_seed([8; 32]).verifying_key());
    assert!(bad(&other)[0].1.contains("not signed with the launch key"));
    assert!(other.manifest.is_none());
}

#[test]
fn a_signed_package_that_shows_something_nicer_than_the_document_is_noticed() {
    let mut package = package();
    package
        .files
        .insert(SHOWN_FILE.to_owned(), br#"{"ticked":10,"target":"x"}"#.to_vec());
    let files = package.signed(&key()).unwrap();
    let found = bad(&verify_package(&files, &key().verifying_key()));
    assert_eq!(found[0].0, DISCLOSURE_FILE);
    assert!(found[0].1.contains("says what was not disclosed"), "{found:?}");
}

#[test]
fn names_that_lead_elsewhere_are_neither_packed_nor_unpacked() {
    let names = [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "C:\\x",
        "a\\b",
        "",
        ".ssh/keys",
        "a//b",
        "名单.pdf",
        "a\u{202e}b",
        "a b",
        "con:",
    ];
    for name in names {
        let mut package = package();
        package.files.insert(name.to_owned(), Vec::new());
        assert!(
            matches!(package.signed(&key()), Err(PackageError::Name { .. })),
            "{name} is packed"
        );
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("good.txt", SimpleFileOptions::default()).unwrap();
        zip.write_all(b"x").unwrap();
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        let bytes = zip.finish().unwrap().into_inner();
        assert!(
            matches!(unpack(&bytes), Err(UnpackError::Name(_))),
            "{name} is unpacked"
        );
    }
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("link", "/etc/passwd", SimpleFileOptions::default())
        .unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    assert!(matches!(unpack(&bytes), Err(UnpackError::Name(_))));
    assert!(unpack(b"PK\x03\x04 no zip").is_err());
}

#[test]
fn a_name_that_is_too_long_is_neither_packed_nor_unpacked() {
    for (length, fits) in [(200, true), (201, false)] {
        let name = "n".repeat(length);
        let mut package = package();
        package.files.insert(name.clone(), Vec::new());
        assert_eq!(package.signed(&key()).is_ok(), fits, "{length}");
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        let bytes = zip.finish().unwrap().into_inner();
        assert_eq!(unpack(&bytes).is_ok(), fits, "{length}");
    }
}

#[test]
fn a_folder_of_a_good_name_is_no_file_of_a_package() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("link", "target", SimpleFileOptions::default())
        .unwrap();
    let mut bytes = zip.finish().unwrap().into_inner();
    assert!(matches!(unpack(&bytes), Err(UnpackError::Name(name)) if name == "link"));
    // The same entry as a plain file: upper half of the external attributes of the central directory.
    let at = bytes
        .windows(4)
        .position(|window| window == b"PK\x01\x02")
        .unwrap();
    bytes[at + 38..at + 42].copy_from_slice(&(0o100_644_u32 << 16).to_le_bytes());
    assert_eq!(unpack(&bytes).unwrap()["link"], b"target");
}

#[test]
fn the_same_name_twice_is_told() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["good.txt", "evil.txt"] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(name.as_bytes()).unwrap();
    }
    let mut bytes = zip.finish().unwrap().into_inner();
    let places: Vec<usize> = (0..bytes.len() - 8)
        .filter(|at| bytes[*at..].starts_with(b"evil.txt") && bytes[at - 1] == 0)
        .collect();
    for at in places {
        bytes[at..at + 4].copy_from_slice(b"good");
    }
    // Readers take the one or the other of the two; we take neither.
    let found = unpack(&bytes);
    assert!(
        matches!(&found, Err(UnpackError::Twice(name)) if name == "good.txt"),
        "{found:?}"
    );
}

#[test]
fn what_the_launch_key_signed_for_another_purpose_is_no_manifest() {
    let mut files = package().signed(&key()).unwrap();
    let signed = Envelope::from_bytes(&files[MANIFEST_FILE]).unwrap();
    let mut statement: Value = serde_json::from_slice(&signed.payload).unwrap();
    statement["predicateType"] = json!("urn:tminus:download:v1");
    let other = Envelope::sign(IN_TOTO, statement.to_string().into_bytes(), &key());
    files.insert(MANIFEST_FILE.to_owned(), other.to_bytes());
    let found = bad(&verify_package(&files, &key().verifying_key()));
    assert!(found[0].1.contains("is a `urn:tminus:download:v1`"), "{found:?}");
}

#[test]
fn a_disclosure_that_is_not_in_order_is_a_fault_of_the_package() {
    let with = |change: &dyn Fn(&mut Package)| {
        let mut package = package();
        change(&mut package);
        bad(&verify_package(
            &package.signed(&key()).unwrap(),
            &key().verifying_key(),
        ))
    };
    let gone = with(&|package| drop(package.files.remove(SHOWN_FILE)));
    assert!(gone[0].1.contains("what is shown cannot be compared"), "{gone:?}");
    let other = with(&|package| package.disclosure_root = "0".repeat(64));
    assert!(other[0].1.contains("the signed one is 0000"), "{other:?}");
}

#[test]
fn a_shortened_zip_is_told() {
    let zip = package().zip(&key()).unwrap();
    for cut in (0..zip.len()).step_by(37) {
        assert!(unpack(&zip[..cut]).is_err(), "{cut} of {}", zip.len());
    }
}
