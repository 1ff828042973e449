//! The configuration as it is written: fields and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::Spanned;

/// Role -> account.
pub(super) type MentionsFile = BTreeMap<String, Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AfterFile {
    pub launch: PathBuf,
    pub record: Option<PathBuf>,
    pub downloads: Option<PathBuf>,
    pub state: Option<PathBuf>,
    pub listen: Option<Spanned<String>>,
    pub admin: Option<Spanned<String>>,
    #[serde(default)]
    pub admin_allow_remote: bool,
    #[serde(default)]
    pub plain_http: bool,
    pub feedback_key: Option<PathBuf>,
    pub zone: Option<Spanned<String>>,
    pub geoip: Option<PathBuf>,
    #[serde(default)]
    pub trusted_proxies: Vec<Spanned<String>>,
    pub ops_package: Option<OpsPackageFile>,
    #[serde(default)]
    pub ignore_downloads_by: Vec<Spanned<String>>,
    pub owners: Option<Vec<Spanned<String>>>,
    pub tickets: Option<TicketsFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpsPackageFile {
    pub role: Option<Spanned<String>>,
    pub file: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct TicketsFile {
    pub jira: Option<JiraFile>,
    pub github: Option<GitHubFile>,
    pub gitlab: Option<GitLabFile>,
    pub webhook: Option<WebhookFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JiraFile {
    pub url: Spanned<String>,
    pub email: String,
    pub project: String,
    pub issue_type: Option<String>,
    pub token_file: PathBuf,
    pub mentions: Option<MentionsFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GitHubFile {
    pub url: Option<Spanned<String>>,
    pub repository: Spanned<String>,
    pub token_file: PathBuf,
    pub mentions: Option<MentionsFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GitLabFile {
    pub url: Option<Spanned<String>>,
    pub project: Spanned<String>,
    pub token_file: PathBuf,
    pub mentions: Option<MentionsFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookFile {
    pub url: Spanned<String>,
    pub key_file: PathBuf,
    pub mentions: Option<MentionsFile>,
}
