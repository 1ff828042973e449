//! Getting attached files out of a PDF that nobody vouches for yet.

use std::collections::BTreeMap;

use lopdf::{Dictionary, Document, LoadOptions, Object};
use tminus_seal::guarded;

/// Larger than any attachment may be: a record entry is at most 64 KiB, the data some MiB.
const MAX_ATTACHMENT_BYTES: usize = 32 * 1024 * 1024;
/// More files than a launch attaches.
const MAX_ATTACHMENTS: usize = 100_000;
/// Depth of the name tree; typesetters write one level or two.
const MAX_DEPTH: u32 = 16;

/// All attached files by name.
///
/// # Errors
/// One sentence on why they cannot be read. Never panics, whatever the bytes are.
pub(crate) fn attachments(pdf: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    guarded(|| read(&load(pdf)?))
}

/// The same of a document that was read already.
pub(crate) fn attachments_of(document: &Document) -> Result<BTreeMap<String, Vec<u8>>, String> {
    guarded(|| read(document))
}

pub(crate) fn load(pdf: &[u8]) -> Result<Document, String> {
    let options = LoadOptions {
        max_decompressed_size: Some(MAX_ATTACHMENT_BYTES),
        strict: true,
        ..LoadOptions::default()
    };
    Document::load_mem_with_options(pdf, options).map_err(|e| format!("not a readable PDF: {e}"))
}

fn read(document: &Document) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let root = document.catalog().map_err(|e| format!("no catalog: {e}"))?;
    let mut found = BTreeMap::new();
    let Ok(names) = child(document, root, b"Names") else {
        return Ok(found);
    };
    let Ok(tree) = child(document, names, b"EmbeddedFiles") else {
        return Ok(found);
    };
    walk(document, tree, 0, &mut found)?;
    Ok(found)
}

fn child<'a>(
    document: &'a Document,
    dictionary: &'a Dictionary,
    key: &[u8],
) -> Result<&'a Dictionary, String> {
    let said = |e: lopdf::Error| format!("{}: {e}", String::from_utf8_lossy(key));
    dictionary
        .get_deref(key, document)
        .and_then(Object::as_dict)
        .map_err(said)
}

fn walk(
    document: &Document,
    node: &Dictionary,
    depth: u32,
    found: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("the list of attachments is nested too deep".to_owned());
    }
    if let Ok(kids) = node.get_deref(b"Kids", document).and_then(Object::as_array) {
        for kid in kids {
            let (_, kid) = document.dereference(kid).map_err(|e| e.to_string())?;
            walk(
                document,
                kid.as_dict().map_err(|e| e.to_string())?,
                depth + 1,
                found,
            )?;
        }
    }
    let Ok(pairs) = node.get_deref(b"Names", document).and_then(Object::as_array) else {
        return Ok(());
    };
    for pair in pairs.chunks(2) {
        let [_, spec] = pair else {
            return Err("the list of attachments ends early".to_owned());
        };
        let (_, spec) = document.dereference(spec).map_err(|e| e.to_string())?;
        let spec = spec.as_dict().map_err(|e| e.to_string())?;
        let name = spec
            .get_deref(b"UF", document)
            .or_else(|_| spec.get_deref(b"F", document));
        let name = name
            .and_then(lopdf::decode_text_string)
            .map_err(|e| format!("an attachment's name: {e}"))?;
        let wrong = |e: lopdf::Error| format!("attachment {name}: {e}");
        let file = child(document, spec, b"EF").map_err(|e| format!("attachment {name}: {e}"))?;
        let stream = file
            .get_deref(b"F", document)
            .and_then(Object::as_stream)
            .map_err(wrong)?;
        let bytes = stream
            .get_plain_content_with_limit(MAX_ATTACHMENT_BYTES)
            .map_err(wrong)?;
        if found.len() >= MAX_ATTACHMENTS || found.insert(name.clone(), bytes).is_some() {
            return Err(format!("attachment {name} is there twice"));
        }
    }
    Ok(())
}
