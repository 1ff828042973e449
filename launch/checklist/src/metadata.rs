//! What a program learns of a checklist without reading its pages: XMP properties of our own.
//!
//! The typesetter writes the packet and takes no properties of others, so a revision replaces it. PDF/A wants every
//! property described in the packet itself.

use std::collections::BTreeMap;

use lopdf::{Document, ObjectId};

use crate::ChecklistError;
use crate::view::{ChecklistData, Overall};

const NAMESPACE: &str = "urn:tminus:checklist:1#";
const PREFIX: &str = "tminus";

/// The document with the properties in its XMP packet.
pub(crate) fn added(pdf: &[u8], data: &ChecklistData) -> Result<Vec<u8>, ChecklistError> {
    tminus_seal::revise_with(pdf, |document| {
        let (id, packet) = packet(document).map_err(|e| e.to_string())?;
        let packet = String::from_utf8(packet).map_err(|e| e.to_string())?;
        let packet = with_properties(&packet, &properties(data)).ok_or("another packet than expected")?;
        let mut stream =
            format!("<</Type/Metadata/Subtype/XML/Length {}>>\nstream\n", packet.len()).into_bytes();
        stream.extend_from_slice(packet.as_bytes());
        stream.extend_from_slice(b"\nendstream");
        Ok(BTreeMap::from([(id.0, stream)]))
    })
    .map_err(|e| ChecklistError::Typeset {
        what: format!("the metadata: {e}"),
    })
}

fn packet(document: &Document) -> lopdf::Result<(ObjectId, Vec<u8>)> {
    let id = document.catalog()?.get(b"Metadata")?.as_reference()?;
    Ok((id, document.get_object(id)?.as_stream()?.get_plain_content()?))
}

/// Name, description, value.
fn properties(data: &ChecklistData) -> Vec<(&'static str, &'static str, String)> {
    let verdict = match data.verdict {
        Overall::Complete => "complete",
        Overall::Incomplete => "incomplete",
        Overall::Failed => "failed",
    };
    let builds: Vec<String> = data
        .artifacts
        .iter()
        .map(|artifact| format!("{} sha256:{}", artifact.name, artifact.sha256))
        .collect();
    let mut properties = vec![
        (
            "LaunchId",
            "Launch that this checklist is of",
            data.launch_id.clone(),
        ),
        ("Verdict", "complete, incomplete or failed", verdict.to_owned()),
        (
            "Rehearsal",
            "Whether the launch was a rehearsal",
            data.rehearsal.to_string(),
        ),
        (
            "BuildId",
            "Artifacts of the launch by name and SHA-256",
            builds.join(", "),
        ),
        (
            "RecordOrigin",
            "Origin of the launch record",
            data.record.origin.clone(),
        ),
        (
            "RecordSize",
            "Entries of the record that the document was made from",
            data.record.size.to_string(),
        ),
        (
            "RecordRoot",
            "Merkle root of those entries",
            data.record.root.clone(),
        ),
        ("PlanFile", "File of the launch plan", data.plan_file.clone()),
        (
            "PlanVersion",
            "SHA-256 of the launch plan",
            data.plan_sha256.clone(),
        ),
    ];
    if let Some(commit) = &data.plan_commit {
        properties.push(("Commit", "Commit that holds the launch plan", commit.clone()));
    }
    properties
}

fn with_properties(packet: &str, properties: &[(&str, &str, String)]) -> Option<String> {
    const SCHEMAS_END: &str = "</rdf:Bag></pdfaExtension:schemas>";
    const END: &str = "</rdf:RDF>";
    let mut schema = format!(
        "<rdf:li rdf:parseType=\"Resource\"><pdfaSchema:schema>Launch checklist</pdfaSchema:schema>\
         <pdfaSchema:namespaceURI>{NAMESPACE}</pdfaSchema:namespaceURI><pdfaSchema:prefix>{PREFIX}</pdfaSchema:prefix>\
         <pdfaSchema:property><rdf:Seq>"
    );
    let mut values = format!("<rdf:Description rdf:about=\"\" xmlns:{PREFIX}=\"{NAMESPACE}\">");
    for (name, description, value) in properties {
        schema += &format!(
            "<rdf:li rdf:parseType=\"Resource\"><pdfaProperty:category>internal</pdfaProperty:category>\
             <pdfaProperty:description>{description}</pdfaProperty:description><pdfaProperty:name>{name}</pdfaProperty:name>\
             <pdfaProperty:valueType>Text</pdfaProperty:valueType></rdf:li>"
        );
        values += &format!("<{PREFIX}:{name}>{}</{PREFIX}:{name}>", escaped(value));
    }
    schema += "</rdf:Seq></pdfaSchema:property></rdf:li>";
    values += "</rdf:Description>";
    let (head, tail) = packet.split_once(SCHEMAS_END)?;
    let (middle, tail) = tail.split_once(END)?;
    Some(format!("{head}{schema}{SCHEMAS_END}{middle}{values}{END}{tail}"))
}

/// Text of an element; characters that XML does not have become `?`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_element() {
        assert_eq!(escaped("a<b>&c\u{0}\n\"'"), "a&lt;b&gt;&amp;c? \"'");
    }

    #[test]
    fn another_packet_is_not_patched_blindly() {
        assert_eq!(with_properties("<x/>", &[]), None);
    }
}
