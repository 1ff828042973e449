//! The configuration as it is written, before it is checked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Others;
use crate::weight::Weight;

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
    /// Beside this file; where weights and draining outlast the process.
    #[serde(default)]
    pub(super) state_file: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) trusted_proxies: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) proxy_protocol: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) tls: Option<Spanned<TlsFile>>,
    #[serde(default)]
    pub(super) rate_limit: Option<RateLimitFile>,
    /// `stdout`, or a file beside this one.
    #[serde(default)]
    pub(super) access_log: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) pins: BTreeMap<String, Spanned<String>>,
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
    pub(super) retries_per_second: Option<Spanned<u64>>,
    pub(super) eject_after: Option<Spanned<u64>>,
    pub(super) eject_ms: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsFile {
    pub(super) certificate: String,
    pub(super) key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimitFile {
    pub(super) per_second: Spanned<u64>,
    #[serde(default)]
    pub(super) burst: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthFile {
    #[serde(default)]
    pub(super) path: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) every_ms: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) timeout_ms: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) fall: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) rise: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackendFile {
    pub(super) url: Spanned<String>,
    pub(super) version: Spanned<String>,
    #[serde(default)]
    pub(super) transcode: Option<TranscodeFile>,
    #[serde(default)]
    pub(super) health: Option<HealthFile>,
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
    #[serde(default)]
    pub(super) host: Option<Spanned<Names>>,
    #[serde(default)]
    pub(super) path: Option<Spanned<PathsFile>>,
    #[serde(default)]
    pub(super) method: Option<Spanned<Names>>,
    #[serde(default)]
    pub(super) grpc: Option<Spanned<Names>>,
    #[serde(default)]
    pub(super) header: BTreeMap<String, Spanned<HeaderFile>>,
    pub(super) split: BTreeMap<String, Spanned<Weight>>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text, or a list of texts of which any will do"
)]
pub(super) enum Names {
    One(String),
    Any(Vec<String>),
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a path (it stands for itself and all below it), { exact: … }, { prefix: … } or \
                 { regex: … }, or a list of these of which any will do"
)]
pub(super) enum PathsFile {
    One(PathFile),
    Any(Vec<PathFile>),
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum PathFile {
    Below(String),
    Text(TextFile),
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text (in quotes when it looks like a number), which is compared exactly, \
                 { prefix: … }, { regex: … } or { present: true }"
)]
pub(super) enum HeaderFile {
    Exact(String),
    Text(TextFile),
    Present(PresentFile),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TextFile {
    Exact(String),
    Prefix(String),
    Regex(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PresentFile {
    pub(super) present: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultFile {
    pub(super) split: BTreeMap<String, Spanned<Weight>>,
}
