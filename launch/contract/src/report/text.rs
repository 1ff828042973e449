//! For people at a terminal.

use std::fmt::Write as _;

use super::{Report, entry_words, sentence};

pub(super) fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    for it in &report.sifted.findings {
        let (b, r) = (&it.base, &it.revision);
        // Writing to a string does not fail.
        let _ = writeln!(out, "{:<8} {}", it.level, it.rule.id);
        let _ = writeln!(out, "         {}", sentence(it));
        let _ = writeln!(
            out,
            "         base {}:{}, revision {}:{}",
            b.file, b.line, r.file, r.line
        );
    }
    for (it, entry) in &report.sifted.ignored {
        let _ = writeln!(
            out,
            "ignored  {}\n         {}\n         until {}: {}",
            it.rule.id,
            sentence(it),
            entry.expires,
            entry.reason
        );
    }
    for entry in &report.sifted.expired {
        let _ = writeln!(
            out,
            "expired  {}: since {} it ignores nothing",
            entry_words(entry),
            entry.expires
        );
    }
    for entry in &report.sifted.unused {
        let _ = writeln!(
            out,
            "unused   {}: it met no finding; take it out",
            entry_words(entry)
        );
    }
    let ignored = match report.sifted.ignored.len() {
        0 => String::new(),
        count => format!(", {count} ignored"),
    };
    let _ = writeln!(
        out,
        "{} -> {}: {}{ignored}",
        report.base,
        report.revision,
        report.totals()
    );
    out
}
