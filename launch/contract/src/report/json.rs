//! One JSON object, for machines. Members are only ever added.

use serde_json::{Value, json};

use super::Report;
use crate::finding::Finding;
use crate::rules::Level;

pub(super) fn render(report: &Report<'_>) -> String {
    let sifted = report.sifted;
    let ignored: Vec<Value> = sifted
        .ignored
        .iter()
        .map(|(finding, entry)| {
            let mut it = one(finding);
            it["ignored_by"] = json!(entry);
            it
        })
        .collect();
    let document = json!({
        "ok": !report.fails(),
        "base": report.base,
        "revision": report.revision,
        "fail_on": report.fail_on,
        "totals": {
            "error": report.count(Level::Error),
            "warning": report.count(Level::Warning),
            "info": report.count(Level::Info),
            "ignored": ignored.len(),
        },
        "findings": sifted.findings.iter().map(one).collect::<Vec<_>>(),
        "ignored": ignored,
        "expired_ignores": sifted.expired,
        "unused_ignores": sifted.unused,
    });
    format!("{document:#}\n")
}

fn one(finding: &Finding) -> Value {
    json!({
        "rule": finding.rule.id,
        "level": finding.level,
        "method": finding.method,
        "path": finding.path.as_deref(),
        "operation_id": finding.operation_id.as_deref(),
        "text": finding.text,
        "from": finding.from,
        "to": finding.to,
        "base": finding.base,
        "revision": finding.revision,
    })
}
