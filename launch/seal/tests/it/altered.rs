//! Sealed documents that were changed afterwards: each is refused here, and pyHanko's verdict stands beside ours.

use std::collections::BTreeMap;

use tminus_seal::{Roots, revise, seal, verify_seals};

use crate::independent::pyhanko;
use crate::paper::paper;
use crate::pki::{Pki, SEAL};
use crate::sealing::{roots, sealing};

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes
        .windows(what.len())
        .position(|window| window == what)
        .unwrap()
}

fn rfind(bytes: &[u8], what: &[u8]) -> usize {
    bytes
        .windows(what.len())
        .rposition(|window| window == what)
        .unwrap()
}

/// One place, the same length.
fn replaced(pdf: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut out = pdf.to_vec();
    let at = find(pdf, from);
    out[at..at + to.len()].copy_from_slice(to);
    out
}

fn appended(pdf: &[u8], objects: &[(u32, &str)]) -> Vec<u8> {
    let objects: BTreeMap<u32, Vec<u8>> = objects
        .iter()
        .map(|(n, text)| (*n, text.as_bytes().to_vec()))
        .collect();
    revise(pdf, &objects).unwrap()
}

/// What somebody might do to a document with one seal (`one`) or with two.
fn variants(one: &[u8], two: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let open = find(one, b"/Contents<") + b"/Contents<".len();
    let first = one.len();
    let page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595.276 841.89]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>";
    let stream = "<</Length 46>>stream\nBT /F1 24 Tf 72 700 Td (Ticked 1 of 9) Tj ET\nendstream";
    let attached = "<</Type/EmbeddedFile/Length 12>>stream\n{\"ticked\":1}\nendstream";
    let mut byte = one.to_vec();
    byte[30] ^= 1;
    let mut signature = one.to_vec();
    signature[open + 200] = if signature[open + 200] == b'0' { b'1' } else { b'0' };
    let mut behind = one.to_vec();
    let end = open + find(&one[open..], b">") - 2;
    behind[end] = b'a';
    let mut without = one.to_vec();
    for digit in &mut without[open..end + 2] {
        *digit = b'0';
    }
    let mut swapped = two.to_vec();
    // The first seal's signature in the second's place.
    let second = first + find(&two[first..], b"/Contents<") + b"/Contents<".len();
    swapped[second..second + 2000].copy_from_slice(&two[open..open + 2000]);
    let mut inserted = one.to_vec();
    inserted.splice(
        paper(false).len()..paper(false).len(),
        b"% nothing to see\n".iter().copied(),
    );
    vec![
        ("a byte of the page", replaced(one, b"Ticked 9", b"Ticked 1")),
        (
            "a byte of the attachment",
            replaced(one, b"\"ticked\":9", b"\"ticked\":1"),
        ),
        ("a byte of the header", byte),
        ("a byte of the signature", signature),
        ("something behind the signature", behind),
        ("the signature taken out", without),
        (
            "the reason",
            replaced(one, b"/Reason<feff0049", b"/Reason<feff004a"),
        ),
        ("the time", {
            let at = find(one, b"/M(D:2") + 5;
            let mut out = one.to_vec();
            out[at + 3] = if out[at + 3] == b'9' { b'8' } else { b'9' };
            out
        }),
        (
            "the permission to change (DocMDP)",
            replaced(one, b"/V/1.2/P 2", b"/V/1.2/P 3"),
        ),
        ("the field's flags", replaced(one, b"/F 132", b"/F 134")),
        (
            "the field's place",
            replaced(one, b"/Rect[0 0 0 0]", b"/Rect[9 0 9 9]"),
        ),
        ("a byte range that spares the end", {
            let at = find(one, b"/ByteRange[") + b"/ByteRange[".len() + 33;
            let mut out = one.to_vec();
            out[at..at + 10].copy_from_slice(b"0000000010");
            out
        }),
        ("the last line cut off", one[..one.len() - 6].to_vec()),
        (
            "a page's text replaced by an increment",
            appended(one, &[(4, stream)]),
        ),
        ("a page replaced by an increment", appended(one, &[(9, page)])),
        (
            "an attachment replaced by an increment",
            appended(one, &[(7, attached)]),
        ),
        (
            "an increment that changes nothing",
            appended(one, &[(8, "<</Title(Checklist)>>")]),
        ),
        ("an increment between two seals", {
            let between = appended(one, &[(4, stream)]);
            let mut out = between;
            out.extend_from_slice(&two[first..]);
            out
        }),
        ("one seal's signature in another's place", swapped),
        ("the second seal's increment alone", {
            let mut out = paper(false);
            out.extend_from_slice(&two[first..]);
            out
        }),
        ("a comment between document and seal", inserted),
        ("the trailer's root", {
            let at = rfind(one, b"/Root 1 0 R");
            let mut out = one.to_vec();
            out[at + 6] = b'9';
            out
        }),
        ("bytes behind the end", {
            let mut out = one.to_vec();
            out.extend_from_slice(b"\n% more\n");
            out
        }),
    ]
}

#[test]
fn every_change_is_refused_here_and_by_pyhanko() {
    let pki = Pki::new();
    pki.issue("launch", "ec", SEAL, 30);
    pki.issue("qa", "ec", SEAL, 30);
    let one = seal(&paper(false), &sealing("launch"), &*pki.open("launch"), None)
        .unwrap()
        .pdf;
    let two = seal(&one, &sealing("qa"), &*pki.open("qa"), None).unwrap().pdf;
    let variants = variants(&one, &two);
    assert!(variants.len() >= 20);
    let mut files = Vec::new();
    for (n, (what, pdf)) in variants.iter().enumerate() {
        assert!(*pdf != one && *pdf != two, "{what}: nothing was changed");
        let ours = verify_seals(pdf, &roots(&pki));
        assert!(ours.is_err(), "{what}: accepted here");
        let path = pki.path(&format!("{n:02}.pdf"));
        std::fs::write(&path, pdf).unwrap();
        files.push(path);
    }
    let verdicts = pyhanko(&pki, &files);
    let accepted: Vec<&str> = variants
        .iter()
        .zip(&verdicts)
        .filter(|(_, (accepted, _))| *accepted)
        .map(|((what, _), _)| *what)
        .collect();
    // It reads the signature and not what fills the room behind it.
    assert_eq!(accepted, ["something behind the signature"]);
}

#[test]
fn no_bytes_make_it_panic_and_no_shortened_document_holds() {
    let pki = Pki::new();
    pki.issue("launch", "ec", SEAL, 30);
    let one = seal(&paper(false), &sealing("launch"), &*pki.open("launch"), None)
        .unwrap()
        .pdf;
    let plain = paper(false).len();
    for cut in (0..one.len()).step_by(911) {
        match verify_seals(&one[..cut], &Roots::default()) {
            Err(_) => {}
            // Cut within what sealing appended, the document may read as the unsealed one.
            Ok(report) => assert!(report.seals.is_empty() && cut >= plain, "{cut}"),
        }
    }
    let mut state = 1_u64;
    for _ in 0..300 {
        let mut garbled = one.clone();
        for _ in 0..3 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(state >> 33).unwrap() % garbled.len();
            garbled[at] ^= u8::try_from((state >> 24) & 0xFF).unwrap() | 1;
        }
        if let Ok(report) = verify_seals(&garbled, &Roots::default()) {
            assert!(report.seals.is_empty(), "a garbled document holds");
        }
    }
}
