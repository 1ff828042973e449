//! SARIF 2.1.0 (OASIS), for code scanning. The place is the revision's; the base's is related.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Report, sentence};
use crate::finding::Place;
use crate::rules::{Level, Rule};

pub(super) fn render(report: &Report<'_>) -> String {
    let mut rules: BTreeMap<&str, &Rule> = BTreeMap::new();
    let kept = report.sifted.findings.iter().map(|finding| (finding, None));
    let ignored = report
        .sifted
        .ignored
        .iter()
        .map(|(finding, entry)| (finding, Some(entry)));
    let mut results = Vec::new();
    for (finding, entry) in kept.chain(ignored) {
        rules.insert(finding.rule.id, finding.rule);
        let mut result = json!({
            "ruleId": finding.rule.id,
            "level": level(finding.level),
            "message": { "text": sentence(finding) },
            "locations": [location(&finding.revision, None)],
            "relatedLocations": [location(&finding.base, Some("in the base"))],
        });
        if let Some(entry) = entry {
            result["suppressions"] = json!([{ "kind": "external", "justification": entry.reason }]);
        }
        results.push(result);
    }
    let rules: Vec<Value> = rules
        .values()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": { "text": rule.id.replace('-', " ") },
                "defaultConfiguration": { "level": level(rule.level) },
                "properties": { "area": rule.area, "kind": rule.kind, "direction": rule.direction },
            })
        })
        .collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tminus contract diff",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "results": results,
        }],
    });
    format!("{document:#}\n")
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "note",
    }
}

fn location(place: &Place, message: Option<&str>) -> Value {
    let mut it = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&place.file) },
            "region": { "startLine": place.line, "startColumn": place.column },
        },
    });
    if let Some(message) = message {
        it["message"] = json!({ "text": message });
    }
    it
}

/// A file name as a relative reference: what has a meaning in URIs is escaped.
fn uri(file: &str) -> String {
    let mut out = String::new();
    for byte in file.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
