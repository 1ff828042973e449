//! `tminus contract …` as it is asked for.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(super) const DIFF_EXAMPLES: &str = "\
Examples:
  tminus contract diff api/v1.yaml api/v2.yaml
  tminus contract diff base.json revision.json --fail-on warning
  tminus contract diff base.yaml revision.yaml --format github         annotations in a pull request
  tminus contract diff base.yaml revision.yaml --format markdown > CHANGES.md
  tminus contract diff base.yaml revision.yaml --ignore decided.yaml --severity api-tag-removed=none
  tminus contract diff https://api.example.com/openapi.json http://127.0.0.1:8080/openapi.json
  git show main:api.yaml > /tmp/base.yaml && tminus contract diff /tmp/base.yaml api.yaml

decided.yaml is a list of decisions. Each needs a reason and a last day; after it, the finding counts:
  - rule: request-parameter-removed
    method: GET
    path: /games
    contains: \"`page`\"
    reason: no client of ours sends it, see the access log of March
    expires: 2026-12-31

A severity file has a line for each rule: `request-parameter-removed error`.
Exit codes: 0 nothing as bad as --fail-on, 1 something is, 2 the documents could not be compared.";

#[derive(Debug, Clone, Args)]
pub struct ContractDiff {
    /// The document that clients were written against: a file, or an address
    #[arg(value_name = "BASE")]
    pub base: String,
    /// The document that replaces it: a file, or an address
    #[arg(value_name = "REVISION")]
    pub revision: String,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = ContractFormat::Text)]
    pub format: ContractFormat,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Findings of this level and above fail the comparison
    #[arg(long, value_enum, default_value_t = FailOn::Error)]
    pub fail_on: FailOn,
    /// A file of findings that were decided on (see below)
    #[arg(long, value_name = "FILE")]
    pub ignore: Option<PathBuf>,
    /// Another level for a rule (error, warning, info, none), or a file of such lines; repeatable
    #[arg(long, value_name = "RULE=LEVEL|FILE")]
    pub severity: Vec<String>,
    /// Whose judgement counts where ours differs: ours is stricter with security
    #[arg(long, value_enum, default_value_t = Levels::Ours)]
    pub levels: Levels,
    /// The day on which sunsets and ignores are looked at; today if not given
    #[arg(long, value_name = "DATE")]
    pub today: Option<String>,
    /// Days that a deprecated part has to stay; asks for an x-sunset when above 0
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    pub deprecation_days: u32,
    /// The same for parts whose x-stability-level is beta
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    pub deprecation_days_beta: u32,
}

impl ContractDiff {
    pub const fn is_json(&self) -> bool {
        self.json || matches!(self.format, ContractFormat::Json)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContractFormat {
    Text,
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of GitHub Actions
    Github,
    Junit,
    /// A changelog
    Markdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    Error,
    Warning,
    Info,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Levels {
    /// A client that is refused after the change is an error
    Ours,
    /// The levels of oasdiff
    Oasdiff,
}

#[derive(Debug, Clone, Args)]
pub struct ContractRules {
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}
