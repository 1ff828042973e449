//! JUnit's XML: a test for each finding, failed when it is as bad as what fails the comparison.

use std::fmt::Write as _;

use super::{Report, sentence};

pub(super) fn render(report: &Report<'_>) -> String {
    let findings = &report.sifted.findings;
    let failures = findings.iter().filter(|it| it.level >= report.fail_on).count();
    let skipped = report.sifted.ignored.len();
    let tests = (findings.len() + skipped).max(1);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "<testsuites tests=\"{tests}\" failures=\"{failures}\">\n  <testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" skipped=\"{skipped}\">",
        escaped(&format!("{} -> {}", report.base, report.revision))
    );
    if findings.is_empty() && skipped == 0 {
        out.push_str("    <testcase classname=\"contract\" name=\"no change that a rule speaks of\"/>\n");
    }
    for it in findings {
        let name = escaped(&sentence(it));
        let places = escaped(&format!(
            "base {}:{}, revision {}:{}",
            it.base.file, it.base.line, it.revision.file, it.revision.line
        ));
        let class = it.rule.id;
        let _ = if it.level >= report.fail_on {
            writeln!(
                out,
                "    <testcase classname=\"{class}\" name=\"{name}\">\n      <failure type=\"{}\" message=\"{name}\">{places}</failure>\n    </testcase>",
                it.level
            )
        } else {
            writeln!(
                out,
                "    <testcase classname=\"{class}\" name=\"{name}\">\n      <system-out>{}: {places}</system-out>\n    </testcase>",
                it.level
            )
        };
    }
    for (it, entry) in &report.sifted.ignored {
        let _ = writeln!(
            out,
            "    <testcase classname=\"{}\" name=\"{}\">\n      <skipped message=\"until {}: {}\"/>\n    </testcase>",
            it.rule.id,
            escaped(&sentence(it)),
            entry.expires,
            escaped(&entry.reason)
        );
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// Characters that XML 1.0 has no form for are left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => out.push(' '),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => out.push(other),
        }
    }
    out
}
