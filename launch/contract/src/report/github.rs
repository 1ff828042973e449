//! Workflow commands of GitHub Actions: annotations at lines of the revision.

use std::fmt::Write as _;

use super::{Report, sentence};
use crate::rules::Level;

pub(super) fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    for it in &report.sifted.findings {
        let command = match it.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "notice",
        };
        let message = format!("{} (base: {}:{})", sentence(it), it.base.file, it.base.line);
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "::{command} file={},line={},col={},title={}::{}",
            property(&it.revision.file),
            it.revision.line,
            it.revision.column,
            property(it.rule.id),
            data(&message)
        );
    }
    let _ = writeln!(
        out,
        "{} -> {}: {}",
        data(report.base),
        data(report.revision),
        report.totals()
    );
    out
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
