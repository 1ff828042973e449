//! The configuration as it is written, before it is checked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Others;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub(super) listen: Spanned<String>,
    pub(super) admin: Spanned<String>,
    #[serde(default)]
    pub(super) admin_allow_remote: bool,
    #[serde(default)]
    pub(super) sticky: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) affinity_query: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) upstream_timeout_ms: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) workers: Option<Spanned<usize>>,
    #[serde(default)]
    pub(super) limits: LimitsFile,
    pub(super) backends: BTreeMap<String, Spanned<BackendFile>>,
    #[serde(default)]
    pub(super) rules: Vec<Spanned<RuleFile>>,
    pub(super) default: Spanned<DefaultFile>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsFile {
    pub(super) connect_timeout_ms: Option<Spanned<u64>>,
    pub(super) max_connections: Option<Spanned<u64>>,
    pub(super) max_header_bytes: Option<Spanned<u64>>,
    pub(super) max_request_body_bytes: Option<Spanned<u64>>,
    pub(super) max_in_flight: Option<Spanned<u64>>,
    pub(super) max_idle_upstream: Option<Spanned<u64>>,
    pub(super) upstream_idle_ms: Option<Spanned<u64>>,
    pub(super) header_read_timeout_ms: Option<Spanned<u64>>,
    pub(super) keep_alive_idle_ms: Option<Spanned<u64>>,
    pub(super) body_idle_timeout_ms: Option<Spanned<u64>>,
    pub(super) stream_idle_timeout_ms: Option<Spanned<u64>>,
    pub(super) half_close_timeout_ms: Option<Spanned<u64>>,
    pub(super) drain_timeout_ms: Option<Spanned<u64>>,
    pub(super) shutdown_timeout_ms: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackendFile {
    pub(super) url: Spanned<String>,
    pub(super) version: Spanned<String>,
    #[serde(default)]
    pub(super) transcode: Option<TranscodeFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TranscodeFile {
    pub(super) descriptor_set: Spanned<String>,
    #[serde(default)]
    pub(super) max_response_bytes: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) others: Others,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFile {
    pub(super) name: Spanned<String>,
    pub(super) header: BTreeMap<String, Spanned<String>>,
    pub(super) split: BTreeMap<String, Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultFile {
    pub(super) split: BTreeMap<String, Spanned<u32>>,
}
