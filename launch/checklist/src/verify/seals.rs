//! What the seals of a checklist prove, and what they do not.

use lopdf::Document;
use tminus_seal::{Roots, SealView, verify_seals_of};

use super::Lines;

/// Clocks of the launch and of who seals may differ by so much.
const CLOCKS_APART_S: i64 = 300;

/// One line for each seal. `issued` is the length of the document as the record has it, `issued_ms` when it was issued.
/// Answers the issued document where it was read on the way: reading one is most of the work.
pub(super) fn check(
    pdf: &[u8],
    issued: usize,
    issued_ms: u64,
    roots: &Roots,
    file: &str,
    lines: &mut Lines,
) -> Option<Document> {
    if pdf.len() == issued {
        lines.good(
            file,
            "carries no seal: that the launch issued it is proven by the record's key alone, not by anybody's certificate",
        );
        return None;
    }
    let (report, document) = match verify_seals_of(pdf, roots) {
        Ok(found) => found,
        Err(why) => {
            lines.bad(
                file,
                format!("what was appended to it is no seal that holds: {why}"),
            );
            return None;
        }
    };
    if report.seals.is_empty() || report.sealed_bytes != issued {
        lines.bad(
            file,
            format!(
                "{} bytes were appended to it that are no seal",
                pdf.len().saturating_sub(issued)
            ),
        );
        return None;
    }
    for seal in &report.seals {
        one(seal, issued_ms, file, lines);
    }
    Some(document)
}

fn one(seal: &SealView, issued_ms: u64, file: &str, lines: &mut Lines) {
    let part = format!("{file} seal {}", seal.number);
    let who = seal
        .name
        .as_ref()
        .map_or_else(String::new, |name| format!(" for {name}"));
    let does = if seal.number == 1 {
        "certifies the whole document; only seals may follow it"
    } else {
        "approves the whole document with the seals before it"
    };
    lines.good(
        &part,
        format!("`{}`{who} {does}: \"{}\"", seal.subject, seal.reason),
    );
    let issued_s = i64::try_from(issued_ms / 1000).unwrap_or(i64::MAX);
    if let Some(stamp) = &seal.stamp {
        lines.good(
            &part,
            format!("it existed at {}: time stamp of `{}`", stamp.at, stamp.authority),
        );
        trust(
            &stamp.trusted,
            &format!("the time stamp's authority `{}`", stamp.authority),
            &part,
            lines,
        );
    } else {
        lines.good(
            &part,
            format!(
                "it says {} as its time, by the sealer's own clock: no time stamp proves it",
                seal.claimed_at
            ),
        );
    }
    let at = seal.stamp.as_ref().map_or(seal.claimed_at, |stamp| stamp.at);
    if at.as_second() < issued_s.saturating_sub(CLOCKS_APART_S) {
        lines.bad(
            &part,
            format!("it is of {at}, before the document was issued: a clock was wrong, or the seal is not of this document"),
        );
    }
    trust(
        &seal.trusted,
        &format!("the certificate `{}`", seal.subject),
        &part,
        lines,
    );
}

fn trust(found: &Option<Result<(), String>>, what: &str, part: &str, lines: &mut Lines) {
    match found {
        None => lines.good(
            part,
            format!("{what} is not compared with any authority: give --roots with those that you trust"),
        ),
        Some(Ok(())) => lines.good(part, format!("{what} leads to an authority that you trust")),
        Some(Err(why)) => lines.bad(
            part,
            format!("{what} leads to no authority that you trust: {why}"),
        ),
    }
}
