//! Checking all seals of a document.

use jiff::Timestamp;
use lopdf::{Dictionary, Document, Object};

use crate::certificate::Roots;
use crate::increment::load;
use crate::sealing::{Form, SEALS_MAX, Sealing, fields};
use crate::{signature, timestamp};

/// What the seals of a document prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealReport {
    /// In the order in which they were made.
    pub seals: Vec<SealView>,
    /// Bytes of the document before its first seal.
    pub sealed_bytes: usize,
}

/// One seal that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealView {
    /// 1 for the one that certifies.
    pub number: usize,
    pub subject: String,
    pub issuer: String,
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub certificate_sha256: String,
    pub name: Option<String>,
    pub reason: String,
    /// The sealer's own clock.
    pub claimed_at: Timestamp,
    pub stamp: Option<StampView>,
    /// Whether the certificate leads to a root of the reader; none when no roots were given.
    pub trusted: Option<Result<(), String>>,
}

/// A time stamp that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampView {
    pub at: Timestamp,
    pub authority: String,
    /// As [`SealView::trusted`].
    pub trusted: Option<Result<(), String>>,
}

/// Checks every seal, and that nothing but seals has been appended since the first. A document without a seal has an
/// empty report.
///
/// # Errors
/// In words, which seal and why: any one that does not hold refuses the document.
pub fn verify_seals(pdf: &[u8], roots: &Roots) -> Result<SealReport, String> {
    verify_seals_of(pdf, roots).map(|(report, _)| report)
}

/// [`verify_seals`], and what was sealed: the document as it was before its first seal, read.
///
/// # Errors
/// As [`verify_seals`].
pub fn verify_seals_of(pdf: &[u8], roots: &Roots) -> Result<(SealReport, Document), String> {
    // Reading a document is most of the work: each revision is read once.
    let mut document = load(pdf).map_err(|why| format!("not a readable PDF: {why}"))?;
    let root = document.catalog().map_err(|e| format!("no catalog: {e}"))?;
    let count = fields(&document, root)?.len();
    if count > SEALS_MAX {
        return Err(format!("it has {count} seals, more than {SEALS_MAX}"));
    }
    // From the last to the first: each covers all before it, so the file is taken apart from its end.
    let mut seals = Vec::new();
    let mut rest = pdf;
    for number in (1..=count).rev() {
        let (view, before, read) =
            last_seal(rest, &document, number, roots).map_err(|why| format!("seal {number}: {why}"))?;
        seals.push(view);
        (rest, document) = (before, read);
    }
    if count > 0 {
        let root = document
            .catalog()
            .map_err(|e| format!("no catalog in what was sealed: {e}"))?;
        if !fields(&document, root)?.is_empty() {
            return Err("what was sealed had a form already".to_owned());
        }
    }
    seals.reverse();
    let report = SealReport {
        seals,
        sealed_bytes: rest.len(),
    };
    Ok((report, document))
}

/// The seal that was made last, and the document before it.
fn last_seal<'a>(
    pdf: &'a [u8],
    document: &Document,
    number: usize,
    roots: &Roots,
) -> Result<(SealView, &'a [u8], Document), String> {
    let root = document.catalog().map_err(|e| format!("no catalog: {e}"))?;
    let all = fields(document, root)?;
    if all.len() != number {
        return Err(format!("the document before it has {} seals", all.len()));
    }
    let field = all.last().copied().ok_or("it is not there")?;
    let dictionary = document
        .get_dictionary(field)
        .and_then(|field| field.get(b"V"))
        .and_then(|value| document.dereference(value))
        .and_then(|(_, value)| value.as_dict())
        .map_err(|e| format!("its signature: {e}"))?;
    let [zero, open, close, rest] = byte_range(dictionary)?;
    let covered = zero == 0 && open < close && close.checked_add(rest) == Some(pdf.len());
    if !covered {
        return Err(
            "it does not cover the whole file: something was appended after it, or cut off".to_owned(),
        );
    }
    let sealing = sealing_of(document, dictionary)?;
    let (before, read) = revision_before(pdf, open, close, number, &sealing)?;
    let cms = contents(&pdf[open..close])?;
    let form_digest = digest_around(pdf, open, close);
    let checked = signature::check(&cms, signature::DATA, Some(&form_digest))?;
    let stamp = match &checked.time_stamp {
        None => None,
        Some(token) => Some(timestamp::check(token, &checked.signature)?),
    };
    let at = stamp.as_ref().map_or(sealing.at, |stamp| stamp.at);
    checked.certificate.may_seal(at).map_err(|e| e.to_string())?;
    let trusted = (!roots.is_empty()).then(|| roots.lead_to(&checked.certificate, &checked.others, at));
    let view = SealView {
        number,
        subject: checked.certificate.subject(),
        issuer: checked.certificate.issuer(),
        certificate_sha256: checked.certificate.sha256(),
        name: sealing.name,
        reason: sealing.reason,
        claimed_at: sealing.at,
        stamp: stamp.map(|stamp| StampView {
            at: stamp.at,
            authority: stamp.certificate.subject(),
            trusted: (!roots.is_empty()).then(|| roots.lead_to(&stamp.certificate, &stamp.others, stamp.at)),
        }),
        trusted,
    };
    Ok((view, before, read))
}

/// The document before the seal: that beginning of the file from which sealing makes this very file, but for the
/// signature itself.
fn revision_before<'a>(
    pdf: &'a [u8],
    open: usize,
    close: usize,
    number: usize,
    sealing: &Sealing,
) -> Result<(&'a [u8], Document), String> {
    const END: &[u8] = b"%%EOF";
    // Nothing that sealing writes before the signature holds this word, so the nearest one ends the revision before.
    let at = pdf[..open].windows(END.len()).rposition(|window| window == END);
    // With its line end, which nearly every document has, and without.
    for end in at.into_iter().flat_map(|at| [at + END.len() + 1, at + END.len()]) {
        let before = &pdf[..end.min(open)];
        let Ok(form) = Form::new(before, sealing) else {
            continue;
        };
        if form.number == number
            && form.contents == (open..close)
            && form.bytes.len() == pdf.len()
            && form.bytes[..open] == pdf[..open]
            && form.bytes[close..] == pdf[close..]
        {
            return Ok((before, form.before));
        }
    }
    Err("what it appended is not what sealing appends: pages, fields or attachments may have been changed with it, or \
         another program made it"
        .to_owned())
}

fn byte_range(dictionary: &Dictionary) -> Result<[usize; 4], String> {
    let numbers: Vec<usize> = dictionary
        .get(b"ByteRange")
        .and_then(Object::as_array)
        .map_err(|e| format!("its byte range: {e}"))?
        .iter()
        .filter_map(|number| usize::try_from(number.as_i64().ok()?).ok())
        .collect();
    <[usize; 4]>::try_from(numbers).map_err(|_| "its byte range is not four numbers".to_owned())
}

/// What the seal says, as far as it is in the document.
fn sealing_of(document: &Document, dictionary: &Dictionary) -> Result<Sealing, String> {
    let text = |key: &[u8]| -> Result<Option<String>, String> {
        match dictionary.get_deref(key, document) {
            Err(_) => Ok(None),
            Ok(value) => lopdf::decode_text_string(value)
                .map(Some)
                .map_err(|e| format!("{}: {e}", String::from_utf8_lossy(key))),
        }
    };
    let moment = text(b"M")?.ok_or("it says no time")?;
    let at = moment
        .strip_prefix("D:")
        .and_then(|moment| moment.strip_suffix('Z'))
        .and_then(|digits| jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", digits).ok())
        .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .ok_or("its time cannot be read")?
        .timestamp();
    Ok(Sealing {
        at,
        name: text(b"Name")?,
        reason: text(b"Reason")?.unwrap_or_default(),
    })
}

/// The structure between `<` and `>`: what follows it has to be zeros.
fn contents(digits: &[u8]) -> Result<Vec<u8>, String> {
    let inside = digits
        .strip_prefix(b"<")
        .and_then(|digits| digits.strip_suffix(b">"))
        .ok_or("its signature does not stand where its byte range says")?;
    let bytes = hex::decode(inside).map_err(|_| "its signature is no hexadecimal".to_owned())?;
    // SEQUENCE with a length of two bytes: what every signature of more than 255 bytes begins with.
    let length = match bytes.first_chunk::<4>() {
        Some([0x30, 0x82, high, low]) => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Err("its signature is empty or cannot be read".to_owned()),
    };
    let (cms, padding) = bytes.split_at_checked(length).ok_or("its signature ends early")?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err("there is something behind its signature".to_owned());
    }
    Ok(cms.to_vec())
}

fn digest_around(pdf: &[u8], open: usize, close: usize) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    let mut digest = Sha256::new();
    digest.update(&pdf[..open]);
    digest.update(&pdf[close..]);
    digest.finalize().into()
}

#[cfg(test)]
#[path = "cheats_tests.rs"]
mod tests;
