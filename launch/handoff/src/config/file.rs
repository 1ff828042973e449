//! The configuration as it is written: fields and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub packages: Spanned<PathBuf>,
    #[serde(default)]
    pub allow_remote: bool,
    pub sftp: Option<SftpFile>,
    pub portal: Option<PortalFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SftpFile {
    pub listen: Spanned<String>,
    pub host_key: PathBuf,
    pub keys: Spanned<Vec<KeyFile>>,
    pub limits: Option<SftpLimitsFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    pub role: Spanned<String>,
    pub key: Spanned<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct SftpLimitsFile {
    pub connections_max: Option<Spanned<u64>>,
    pub sessions_max: Option<Spanned<u64>>,
    pub handles_max: Option<Spanned<u64>>,
    pub auth_attempts_max: Option<Spanned<u64>>,
    pub read_bytes_max: Option<Spanned<u64>>,
    pub idle_s: Option<Spanned<u64>>,
    pub auth_s: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PortalFile {
    pub listen: Spanned<String>,
    pub public_url: Spanned<String>,
    pub oidc: Option<OidcFile>,
    #[serde(default)]
    pub tokens: Vec<TokenFile>,
    pub links: Option<LinkFile>,
    #[serde(default)]
    pub trusted_proxies: Vec<Spanned<String>>,
    pub limits: Option<PortalLimitsFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OidcFile {
    pub issuer: Spanned<String>,
    pub client_id: String,
    pub client_secret_file: Option<PathBuf>,
    pub scopes: Option<Vec<String>>,
    pub roles_claim: String,
    pub roles: Spanned<BTreeMap<String, Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenFile {
    pub id: Spanned<String>,
    pub sha256: Spanned<String>,
    pub role: Spanned<String>,
    pub expires: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkFile {
    pub state_file: PathBuf,
    pub keys: Spanned<Vec<LinkKeyFile>>,
    pub lifetime_h: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkKeyFile {
    pub id: Spanned<String>,
    pub file: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct PortalLimitsFile {
    pub connections_max: Option<Spanned<u64>>,
    pub requests_per_s: Option<Spanned<u64>>,
    pub burst: Option<Spanned<u64>>,
    pub session_min: Option<Spanned<u64>>,
    pub connection_s: Option<Spanned<u64>>,
}
