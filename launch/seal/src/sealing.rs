//! Making a seal: one increment with a signature field, and the CMS signature inside it.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lopdf::{Dictionary, Object, ObjectId};
use sha2::{Digest as _, Sha256};

use crate::SealError;
use crate::increment::{Before, Increment};
use crate::keys::SealKey;
use crate::signature;
use crate::timestamp::Authority;
use crate::write;

/// Room for the signature: chain and time stamp take about 6 KiB, an RSA-4096 chain of four about 10.
const SIGNATURE_BYTES_MAX: usize = 16 * 1024;
/// Digits of an offset in `ByteRange`.
const OFFSET_DIGITS: usize = 10;
/// The longest name or reason that a seal carries, in characters.
const TEXT_CHARS_MAX: usize = 500;
/// Seals of one document.
pub(crate) const SEALS_MAX: usize = 64;

/// What a seal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealing {
    /// The sealer's own clock, to the second. A time stamp proves it; without one it is a claim.
    pub at: Timestamp,
    /// Who seals, e.g. a role; none for the certificate's subject alone.
    pub name: Option<String>,
    pub reason: String,
}

/// A sealed document.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub pdf: Vec<u8>,
    /// 1 for the first seal, which certifies: after it only more seals may come.
    pub number: usize,
    /// Why there is no time stamp although one was asked for.
    pub without_stamp: Option<String>,
}

/// Seals a document. The first seal certifies it (DocMDP, only signatures may follow); later ones approve.
///
/// # Errors
/// The document cannot take a seal, the certificate must not be used for it at that time, or the key did not sign. A
/// time stamp authority that is down is no error: the seal is then B-B, and says why.
pub fn seal(
    pdf: &[u8],
    sealing: &Sealing,
    key: &dyn SealKey,
    authority: Option<&dyn Authority>,
) -> Result<Sealed, SealError> {
    let chain = key.chain();
    let own = chain
        .first()
        .ok_or_else(|| SealError::Certificate("the key comes without a certificate".to_owned()))?;
    own.may_seal(sealing.at)?;
    let form = Form::new(pdf, sealing)?;
    let digest = form.digest();
    let (cms, without_stamp) = signature::sign(&digest, chain, key, authority)?;
    if cms.len() > SIGNATURE_BYTES_MAX {
        return Err(SealError::Signature(format!(
            "it takes {} bytes with its certificates, more than {SIGNATURE_BYTES_MAX}; give a shorter chain",
            cms.len()
        )));
    }
    let number = form.number;
    Ok(Sealed {
        pdf: form.filled(&cms),
        number,
        without_stamp,
    })
}

/// A document with a seal's increment, whose signature is still zeros.
pub(crate) struct Form {
    pub bytes: Vec<u8>,
    /// `<` to `>` of the signature, both included.
    pub contents: Range<usize>,
    pub number: usize,
    /// The document before the seal, as it was read.
    pub before: lopdf::Document,
}

impl Form {
    /// # Errors
    /// The document cannot take a seal.
    pub(crate) fn new(pdf: &[u8], sealing: &Sealing) -> Result<Self, SealError> {
        let wrong = |why: String| SealError::Document(why);
        let before = Before::read(pdf)?;
        let document = &before.document;
        let root = document.catalog().map_err(|e| wrong(format!("catalog: {e}")))?;
        let fields = fields(document, root).map_err(wrong)?;
        if fields.len() >= SEALS_MAX {
            return Err(wrong(format!("it has {SEALS_MAX} seals, and takes no more")));
        }
        let number = fields.len() + 1;
        let first_page = document
            .get_pages()
            .get(&1)
            .copied()
            .ok_or_else(|| wrong("it has no page".to_owned()))?;
        let page = document
            .get_dictionary(first_page)
            .map_err(|e| wrong(format!("its first page: {e}")))?;

        let signature = (before.size, 0);
        let field = (before.size.saturating_add(1), 0);
        let mut objects = BTreeMap::new();
        objects.insert(signature.0, signature_text(sealing, number).map_err(wrong)?);
        objects.insert(field.0, field_text(number, signature, first_page));
        objects.insert(first_page.0, page_text(document, page, field).map_err(wrong)?);
        objects.insert(
            before.root.0,
            root_text(root, &fields, field, (number == 1).then_some(signature)).map_err(wrong)?,
        );
        let increment = before.increment(pdf, &objects);
        Self::placed(pdf, &increment, signature.0, number, before.document)
    }

    /// Finds the places to fill in, and fills `ByteRange` in.
    fn placed(
        pdf: &[u8],
        increment: &Increment,
        signature: u32,
        number: usize,
        before: lopdf::Document,
    ) -> Result<Self, SealError> {
        let lost = || SealError::Document("the seal's own increment cannot be found again".to_owned());
        let mut bytes = Vec::with_capacity(pdf.len() + increment.bytes.len());
        bytes.extend_from_slice(pdf);
        bytes.extend_from_slice(&increment.bytes);
        let object = *increment.offsets.get(&signature).ok_or_else(lost)?;
        let open = find(&bytes, object, b"/Contents<").ok_or_else(lost)? + b"/Contents".len();
        let close = open + 2 * SIGNATURE_BYTES_MAX + 2;
        let range = find(&bytes, object, b"/ByteRange[").ok_or_else(lost)? + b"/ByteRange[".len();
        let text = format!(
            "{:0OFFSET_DIGITS$} {open:0OFFSET_DIGITS$} {close:0OFFSET_DIGITS$} {:0OFFSET_DIGITS$}",
            0,
            bytes.len() - close
        );
        bytes
            .get_mut(range..range + text.len())
            .ok_or_else(lost)?
            .copy_from_slice(text.as_bytes());
        Ok(Self {
            bytes,
            contents: open..close,
            number,
            before,
        })
    }

    /// SHA-256 of all but the signature.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(&self.bytes[..self.contents.start]);
        digest.update(&self.bytes[self.contents.end..]);
        digest.finalize().into()
    }

    pub(crate) fn filled(mut self, cms: &[u8]) -> Vec<u8> {
        let digits = hex::encode(cms);
        let start = self.contents.start + 1;
        self.bytes[start..start + digits.len()].copy_from_slice(digits.as_bytes());
        self.bytes
    }
}

/// The fields of the document's form: all of them are ours, or the document is refused.
pub(crate) fn fields(document: &lopdf::Document, root: &Dictionary) -> Result<Vec<ObjectId>, String> {
    // A trailer may lead anywhere; a document without a form must not be had that way.
    if !root.has_type(b"Catalog") {
        return Err("its trailer does not lead to a catalog".to_owned());
    }
    let Ok(form) = root.get(b"AcroForm") else {
        return Ok(Vec::new());
    };
    let (_, form) = document.dereference(form).map_err(|e| format!("its form: {e}"))?;
    let fields = form
        .as_dict()
        .and_then(|form| form.get(b"Fields"))
        .and_then(|fields| document.dereference(fields))
        .and_then(|(_, fields)| fields.as_array())
        .map_err(|e| format!("its form's fields: {e}"))?;
    let mut found = Vec::new();
    for field in fields {
        let id = field
            .as_reference()
            .map_err(|_| "a field of its form is no object of its own".to_owned())?;
        let is_signature = document
            .get_dictionary(id)
            .and_then(|field| field.get(b"FT"))
            .and_then(Object::as_name)
            .is_ok_and(|kind| kind == b"Sig");
        if !is_signature {
            return Err("its form has fields that are no signatures".to_owned());
        }
        found.push(id);
    }
    Ok(found)
}

fn signature_text(sealing: &Sealing, number: usize) -> Result<Vec<u8>, String> {
    let at = sealing.at.to_zoned(TimeZone::UTC);
    let mut text = "<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/ByteRange[".to_owned();
    let zero = "0".repeat(OFFSET_DIGITS);
    text += &format!("{zero} {zero} {zero} {zero}]/Contents<");
    text += &"0".repeat(2 * SIGNATURE_BYTES_MAX);
    text += &format!(">/M(D:{}Z)", at.strftime("%Y%m%d%H%M%S"));
    if let Some(name) = &sealing.name {
        text += &format!("/Name{}", write::text(&short(name)));
    }
    text += &format!("/Reason{}", write::text(&short(&sealing.reason)));
    if number == 1 {
        text += "/Reference[<</Type/SigRef/TransformMethod/DocMDP/TransformParams<</Type/TransformParams/V/1.2/P 2>>>>]";
    }
    text += ">>";
    Ok(text.into_bytes())
}

pub(crate) fn short(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

fn field_text(number: usize, signature: ObjectId, page: ObjectId) -> Vec<u8> {
    format!(
        "<</Type/Annot/Subtype/Widget/FT/Sig/T(Seal {number})/TU(Seal {number})/V {}/P {}/Rect[0 0 0 0]/F 132>>",
        write::reference(signature),
        write::reference(page)
    )
    .into_bytes()
}

fn page_text(document: &lopdf::Document, page: &Dictionary, field: ObjectId) -> Result<Vec<u8>, String> {
    let mut annotations = match page.get(b"Annots") {
        Err(_) => Vec::new(),
        Ok(list) => document
            .dereference(list)
            .and_then(|(_, list)| list.as_array())
            .cloned()
            .map_err(|e| format!("the annotations of its first page: {e}"))?,
    };
    annotations.push(Object::Reference(field));
    let mut page = page.clone();
    page.set("Annots", annotations);
    write::value(&Object::Dictionary(page))
}

fn root_text(
    root: &Dictionary,
    fields: &[ObjectId],
    field: ObjectId,
    certifies: Option<ObjectId>,
) -> Result<Vec<u8>, String> {
    let mut root = root.clone();
    let mut form = Dictionary::new();
    let all = fields.iter().chain(std::iter::once(&field));
    form.set("Fields", all.map(|id| Object::Reference(*id)).collect::<Vec<_>>());
    // Signatures are there, and only appending keeps them.
    form.set("SigFlags", 3);
    root.set("AcroForm", form);
    if let Some(signature) = certifies {
        let mut permissions = Dictionary::new();
        permissions.set("DocMDP", Object::Reference(signature));
        root.set("Perms", permissions);
    }
    write::value(&Object::Dictionary(root))
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let at = bytes
        .get(from..)?
        .windows(what.len())
        .position(|window| window == what)?;
    Some(from + at)
}
