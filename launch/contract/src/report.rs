//! What was found, written for a terminal, a machine, a code host, a build server, a changelog.

mod github;
mod json;
mod junit;
mod markdown;
mod sarif;
mod text;

use crate::finding::Finding;
use crate::ignore::{Entry, Sifted};
use crate::rules::Level;

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// Workflow commands of GitHub Actions.
    Github,
    Junit,
    /// A changelog.
    Markdown,
}

/// One comparison and its result.
#[derive(Debug)]
pub struct Report<'a> {
    /// The documents, by the names that they were given.
    pub base: &'a str,
    pub revision: &'a str,
    pub sifted: &'a Sifted,
    /// Findings of this level and above fail it.
    pub fail_on: Level,
}

impl Report<'_> {
    /// Whether a finding that counts is as bad as `fail_on`.
    pub fn fails(&self) -> bool {
        self.sifted.findings.iter().any(|it| it.level >= self.fail_on)
    }

    pub fn count(&self, level: Level) -> usize {
        self.sifted.findings.iter().filter(|it| it.level == level).count()
    }

    /// Ends with a line break.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Text => text::render(self),
            Format::Json => json::render(self),
            Format::Sarif => sarif::render(self),
            Format::Github => github::render(self),
            Format::Junit => junit::render(self),
            Format::Markdown => markdown::render(self),
        }
    }

    fn totals(&self) -> String {
        let counted = |level: Level, one: &str, many: &str| {
            let count = self.count(level);
            format!("{count} {}", if count == 1 { one } else { many })
        };
        format!(
            "{}, {}, {} for information",
            counted(Level::Error, "error", "errors"),
            counted(Level::Warning, "warning", "warnings"),
            self.count(Level::Info)
        )
    }
}

/// `POST /games: request body: …`
fn sentence(finding: &Finding) -> String {
    match finding.operation() {
        Some(operation) => format!("{operation}: {}", finding.text),
        None => finding.text.clone(),
    }
}

/// `rule for GET /games, entry 2`
fn entry_words(entry: &Entry) -> String {
    let mut words = format!("entry {}: {}", entry.number, entry.rule);
    if entry.method.is_some() || entry.path.is_some() {
        let parts: Vec<&str> = [entry.method.as_deref(), entry.path.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        words = format!("{words} for {}", parts.join(" "));
    }
    words
}
