//! A changelog in Markdown: what breaks first, then the rest, by operation.

use std::fmt::Write as _;

use super::Report;
use crate::finding::Finding;
use crate::rules::Level;

pub(super) fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(out, "# Changes from {} to {}\n", report.base, report.revision);
    let _ = writeln!(out, "{}.", report.totals());
    for (level, title) in [
        (Level::Error, "Breaking"),
        (Level::Warning, "May break"),
        (Level::Info, "Other"),
    ] {
        let found: Vec<&Finding> = report
            .sifted
            .findings
            .iter()
            .filter(|it| it.level == level)
            .collect();
        if found.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n## {title}");
        let mut last = None;
        for it in found {
            let heading = it.operation().unwrap_or_else(|| "Whole document".to_owned());
            if last.as_ref() != Some(&heading) {
                let _ = writeln!(out, "\n### {}\n", plain(&heading));
                last = Some(heading);
            }
            let _ = writeln!(
                out,
                "- {} ({}; {}:{} → {}:{})",
                plain(&it.text),
                it.rule.id,
                plain(&it.base.file),
                it.base.line,
                plain(&it.revision.file),
                it.revision.line
            );
        }
    }
    if !report.sifted.ignored.is_empty() {
        out.push_str("\n## Decided\n\n");
        for (it, entry) in &report.sifted.ignored {
            let _ = writeln!(
                out,
                "- {} ({}; until {}: {})",
                plain(&super::sentence(it)),
                it.rule.id,
                entry.expires,
                plain(&entry.reason)
            );
        }
    }
    out
}

/// One line, without markup of its own; what stands between backquotes stays as it is.
fn plain(text: &str) -> String {
    let pieces: Vec<String> = text
        .replace('\n', " ")
        .split('`')
        .enumerate()
        .map(|(index, piece)| {
            if index % 2 == 1 {
                piece.to_owned()
            } else {
                piece.replace('<', "&lt;").replace('*', "\\*")
            }
        })
        .collect();
    pieces.join("`")
}
