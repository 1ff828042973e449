//! What is appended to a PDF: new and changed objects, a cross-reference section, a trailer.

use std::collections::BTreeMap;

use lopdf::{Document, LoadOptions, Object, ObjectId};
use sha2::{Digest as _, Sha256};

use crate::SealError;
use crate::write;

/// The longest document that is read.
const PDF_BYTES_MAX: usize = 512 * 1024 * 1024;
const STREAM_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Objects of a document that is read; a checklist has some thousands.
const OBJECTS_MAX: u32 = 5_000_000;
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Appends objects to a PDF as a revision of its own. Each is given by its number with what stands between `obj` and
/// `endobj`; a number that the document has already replaces that object. The same input gives the same bytes.
///
/// # Errors
/// The document cannot be read, is encrypted, or keeps its cross-references in a stream.
pub fn revise(pdf: &[u8], objects: &BTreeMap<u32, Vec<u8>>) -> Result<Vec<u8>, SealError> {
    revise_with(pdf, |_| Ok(objects.clone()))
}

/// [`revise`] with objects that follow from the document: it is read once, which is most of the work.
///
/// # Errors
/// As [`revise`], and what `objects` says.
pub fn revise_with(
    pdf: &[u8],
    objects: impl FnOnce(&Document) -> Result<BTreeMap<u32, Vec<u8>>, String>,
) -> Result<Vec<u8>, SealError> {
    let before = Before::read(pdf)?;
    let objects = objects(&before.document).map_err(SealError::Document)?;
    let increment = before.increment(pdf, &objects).bytes;
    let mut out = Vec::with_capacity(pdf.len() + increment.len());
    out.extend_from_slice(pdf);
    out.extend_from_slice(&increment);
    Ok(out)
}

/// What an increment needs to know of the revision before it.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    pub document: Document,
    /// The first number that no object has.
    pub size: u32,
    pub root: ObjectId,
    info: Option<ObjectId>,
    /// The identifier that all revisions keep.
    id: Option<Vec<u8>>,
    startxref: usize,
}

/// Bytes to append, and where in the file each object's text begins.
pub(crate) struct Increment {
    pub bytes: Vec<u8>,
    pub offsets: BTreeMap<u32, usize>,
}

impl Before {
    pub(crate) fn read(pdf: &[u8]) -> Result<Self, SealError> {
        let wrong = |why: String| SealError::Document(why);
        let document = load(pdf).map_err(wrong)?;
        let startxref = startxref(pdf).ok_or_else(|| wrong("its end has no `startxref`".to_owned()))?;
        if pdf.get(startxref..startxref + 4) != Some(b"xref") {
            return Err(wrong(
                "its cross-references are in a stream; only tables are appended to".to_owned(),
            ));
        }
        if document.trailer.has(b"Encrypt") {
            return Err(wrong("it is encrypted".to_owned()));
        }
        let root = document
            .trailer
            .get(b"Root")
            .and_then(Object::as_reference)
            .map_err(|e| wrong(format!("Root: {e}")))?;
        let info = document.trailer.get(b"Info").and_then(Object::as_reference).ok();
        let id = match document.trailer.get(b"ID").and_then(Object::as_array) {
            Ok(parts) => parts
                .first()
                .and_then(|part| part.as_str().ok())
                .map(<[u8]>::to_vec),
            Err(_) => None,
        };
        // The highest number that is in use, whatever `Size` says.
        let size = document.max_id.saturating_add(1);
        if size > OBJECTS_MAX {
            return Err(wrong(format!("it has {size} objects, more than {OBJECTS_MAX}")));
        }
        Ok(Self {
            document,
            size,
            root,
            info,
            id,
            startxref,
        })
    }

    pub(crate) fn increment(&self, pdf: &[u8], objects: &BTreeMap<u32, Vec<u8>>) -> Increment {
        let mut bytes = Vec::new();
        if pdf.last() != Some(&b'\n') {
            bytes.push(b'\n');
        }
        let mut offsets = BTreeMap::new();
        for (number, text) in objects {
            offsets.insert(*number, pdf.len() + bytes.len());
            bytes.extend_from_slice(format!("{number} 0 obj\n").as_bytes());
            bytes.extend_from_slice(text);
            bytes.extend_from_slice(b"\nendobj\n");
        }
        let table = pdf.len() + bytes.len();
        bytes.extend_from_slice(b"xref\n0 1\n0000000000 65535 f \n");
        let numbers: Vec<u32> = offsets.keys().copied().collect();
        for run in numbers.chunk_by(|a, b| a + 1 == *b) {
            bytes.extend_from_slice(format!("{} {}\n", run[0], run.len()).as_bytes());
            for number in run {
                bytes.extend_from_slice(format!("{:010} 00000 n \n", offsets[number]).as_bytes());
            }
        }
        let size = self
            .size
            .max(numbers.last().map_or(0, |last| last.saturating_add(1)));
        let mut trailer = format!("trailer\n<</Size {size}/Root {}", write::reference(self.root));
        if let Some(info) = self.info {
            trailer += &format!("/Info {}", write::reference(info));
        }
        if let Some(id) = &self.id {
            // The second half is of this revision: a digest of what came before and of what is appended.
            let mut digest = Sha256::new();
            digest.update(pdf);
            for text in objects.values() {
                digest.update(text);
            }
            let revision = digest.finalize();
            trailer += &format!("/ID[<{}><{}>]", hex::encode(id), hex::encode(&revision[..16]));
        }
        trailer += &format!("/Prev {}>>\nstartxref\n{table}\n%%EOF\n", self.startxref);
        bytes.extend_from_slice(trailer.as_bytes());
        Increment { bytes, offsets }
    }
}

/// Runs a reader of anybody's bytes: the parser is not ours, and a panic in it is an answer too. It gets a thread of its
/// own, because nested objects recurse.
///
/// # Errors
/// What the reader says, or that it panicked.
pub fn guarded<T: Send>(read: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new()
            .name("pdf".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || {
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
            });
        match worker.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(Ok(found))) => found,
            Ok(_) => Err("its structure cannot be read".to_owned()),
            Err(e) => Err(format!("no thread to read it: {e}")),
        }
    })
}

pub(crate) fn load(pdf: &[u8]) -> Result<Document, String> {
    if pdf.len() > PDF_BYTES_MAX {
        return Err(format!("it has {} bytes, more than {PDF_BYTES_MAX}", pdf.len()));
    }
    guarded(|| {
        let options = LoadOptions {
            max_decompressed_size: Some(STREAM_BYTES_MAX),
            strict: true,
            ..LoadOptions::default()
        };
        Document::load_mem_with_options(pdf, options).map_err(|e| e.to_string())
    })
}

/// Where the last cross-reference section begins.
fn startxref(pdf: &[u8]) -> Option<usize> {
    let tail = &pdf[pdf.len().saturating_sub(1024)..];
    let at = tail.windows(9).rposition(|window| window == b"startxref")?;
    let digits: String = tail[at + 9..]
        .iter()
        .map(|byte| char::from(*byte))
        .skip_while(char::is_ascii_whitespace)
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}
