//! The gateway's configuration: a YAML file, checked as a whole before anything starts.
//!
//! Every mistake is told with file, line and column. Reads no environment, opens no socket and no other file.

mod file;
mod front;
mod rules;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderValue, Uri};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
pub use tminus_configuration::ConfigError;

use crate::access;
use crate::front::FrontConfig;
use crate::health::HealthConfig;
use crate::route::{BackendId, RouteBackend, RouteTable, Split, Weight};
use crate::sticky::StickySource;
use file::{BackendFile, ConfigFile, LimitsFile, TranscodeFile};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file as it was named.
    pub file: PathBuf,
    /// Where players come in.
    pub listen: SocketAddr,
    /// Where the admin API listens.
    pub admin: SocketAddr,
    /// Where to look for the player.
    pub sticky: Vec<StickySource>,
    /// Query parameter that names a release.
    pub affinity_query: Option<String>,
    /// In the order of their names, as in the route table.
    pub backends: Vec<BackendConfig>,
    /// The routes at start.
    pub routes: RouteTable,
    /// All limits.
    pub limits: Limits,
    /// Worker threads; `None` is one per core.
    pub workers: Option<usize>,
    /// Where weights and draining outlast the process.
    pub state_file: Option<PathBuf>,
    /// What stands before the first request.
    pub front: FrontConfig,
    /// Where requests are written down.
    pub access_log: Option<access::Target>,
}

/// A backend of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendConfig {
    /// Its name.
    pub name: String,
    /// The release it serves.
    pub version: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What of HTTP/JSON it is asked over gRPC.
    pub transcode: Option<TranscodeConfig>,
    /// How it is checked on purpose.
    pub health: Option<HealthConfig>,
}

/// HTTP/JSON for a backend that speaks gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranscodeConfig {
    /// A file with an encoded `google.protobuf.FileDescriptorSet`; relative to the configuration's folder when
    /// it is written so.
    pub descriptor_set: PathBuf,
    /// Where the file is named: for mistakes that only reading it can find.
    pub(crate) named_at: Place,
    /// One message of an answer, on the wire and as JSON (default 4 MiB).
    pub max_response_bytes: usize,
    /// Requests that no rule answers.
    pub others: Others,
}

/// What happens to requests to a transcoded backend that are no gRPC and that no rule answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Others {
    /// They go to the backend as they are.
    #[default]
    Pass,
    /// They are answered with 404 or 405, for a backend that speaks nothing but gRPC.
    Refuse,
}

/// A place in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    file: String,
    line: u64,
    column: u64,
}

impl Place {
    pub(crate) fn error(&self, what: impl Into<String>) -> ConfigError {
        ConfigError {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
            what: what.into(),
        }
    }
}

/// Limits and times; every one has a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until an answer's headers, counted while the backend keeps the client waiting (default 2 s).
    pub upstream_timeout: Duration,
    /// For a TCP connection to a backend (default 1 s).
    pub connect_timeout: Duration,
    /// Client connections, tunnels included (default 10,000).
    pub max_connections: usize,
    /// All headers of a request together (default 16 KiB, at least 8 KiB).
    pub max_header_bytes: usize,
    /// A request's body; for gRPC one message (default 1 MiB).
    pub max_request_body_bytes: u64,
    /// Requests in flight at one backend (default 10,000).
    pub max_in_flight: u64,
    /// Idle connections kept per backend and worker (default 256).
    pub max_idle_upstream: usize,
    /// How long an idle connection to a backend is kept (default 1.5 s): shorter than callers wait, and
    /// than backends keep it.
    pub upstream_idle: Duration,
    /// From the first byte of a request (or the connection's start) to its last header (default 10 s).
    pub header_read_timeout: Duration,
    /// Client connections without a request (default 75 s).
    pub keep_alive_idle: Duration,
    /// Bodies that make no progress (default 60 s).
    pub body_idle_timeout: Duration,
    /// WebSocket tunnels and gRPC streams without a byte either way (default 300 s).
    pub stream_idle_timeout: Duration,
    /// A tunnel of which one side has finished (default 10 s).
    pub half_close_timeout: Duration,
    /// How long a draining tunnel may take to reach a frame boundary (default 5 s).
    pub drain_timeout: Duration,
    /// How long shutdown waits for requests in flight (default 10 s).
    pub shutdown_timeout: Duration,
    /// What a worker sends a second time to one backend, at most (default 10).
    pub retries_per_second: u32,
    /// Requests that a backend fails in a row before it gets nothing new for a while; 0: never (default 5).
    pub eject_after: u32,
    /// How long that while is (default 10 s).
    pub eject: Duration,
}

const BACKENDS_MAX: usize = 64;
const RULES_MAX: usize = 1024;
const PINS_MAX: usize = 10_000;
const TIMEOUT_MS_MAX: u64 = 24 * 3600 * 1000;
const WORKERS_MAX: usize = 256;
const RESPONSE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Reads and checks a configuration; `file` is where it lies, for messages and for paths in it.
///
/// # Errors
/// The first mistake, with its place.
pub fn parse(yaml: &str, file: &str) -> Result<Config, ConfigError> {
    let read: ConfigFile = tminus_configuration::parse(yaml, file)?;
    Checker { file }.check(read)
}

struct Checker<'a> {
    file: &'a str,
}

impl Checker<'_> {
    fn error(&self, at: Location, what: impl Into<String>) -> ConfigError {
        self.place(at).error(what)
    }

    fn place(&self, at: Location) -> Place {
        Place {
            file: self.file.to_owned(),
            line: at.line(),
            column: at.column(),
        }
    }

    fn check(&self, read: ConfigFile) -> Result<Config, ConfigError> {
        let listen = self.address(&read.listen)?;
        let admin = self.address(&read.admin)?;
        if !admin.ip().is_loopback() && !read.admin_allow_remote {
            let what = format!(
                "admin listens on {admin}, which other machines can reach: use a loopback address such as 127.0.0.1, or set admin_allow_remote: true"
            );
            return Err(self.error(read.admin.referenced, what));
        }
        let sticky = match read.sticky {
            None => vec![StickySource::BearerSubject, StickySource::ClientIp],
            Some(sources) => sources
                .iter()
                .map(|source| {
                    StickySource::parse(&source.value).map_err(|what| self.error(source.referenced, what))
                })
                .collect::<Result<_, _>>()?,
        };
        let affinity_query = match read.affinity_query {
            None => None,
            Some(name) if is_name(&name.value) => Some(name.value),
            Some(name) => {
                return Err(self.error(name.referenced, "affinity_query must be a plain parameter name"));
            }
        };
        if let Some(workers) = &read.workers
            && !(1..=WORKERS_MAX).contains(&workers.value)
        {
            return Err(self.error(
                workers.referenced,
                format!("workers must be between 1 and {WORKERS_MAX}"),
            ));
        }
        let backends = self.backends(read.backends, read.default.referenced)?;
        let mut routes = RouteTable {
            backends: backends
                .iter()
                .map(|backend| RouteBackend {
                    name: backend.name.clone(),
                    version: backend.version.clone(),
                    draining: false,
                    healthy: true,
                })
                .collect(),
            pins: HashMap::new(),
            rules: Vec::new(),
            default_split: Split::new([(BackendId(0), Weight::WHOLE)])
                .expect("one backend with the whole weight is a split"),
        };
        routes.default_split = self.split(&routes, &read.default.value.split, read.default.referenced)?;
        routes.rules = self.rules(&routes, read.rules)?;
        routes.pins = self.pins(&routes, &sticky, read.pins)?;
        let state_file = match read.state_file {
            None => None,
            Some(name) if name.value.is_empty() => {
                return Err(self.error(name.referenced, "state_file must name a file"));
            }
            Some(name) => Some(self.beside(&name.value)),
        };
        let front = self.front(
            read.trusted_proxies,
            read.proxy_protocol,
            read.tls,
            read.rate_limit,
        )?;
        let access_log = match read.access_log {
            None => None,
            Some(target) if target.value.is_empty() => {
                return Err(self.error(target.referenced, "access_log must be stdout or name a file"));
            }
            Some(target) if target.value == "stdout" => Some(access::Target::Stdout),
            Some(target) => Some(access::Target::File(self.beside(&target.value))),
        };
        Ok(Config {
            file: PathBuf::from(self.file),
            listen,
            admin,
            sticky,
            affinity_query,
            backends,
            routes,
            limits: self.limits(read.limits, read.upstream_timeout_ms)?,
            workers: read.workers.map(|workers| workers.value),
            state_file,
            front,
            access_log,
        })
    }

    /// A path that is written relative to the configuration.
    fn beside(&self, path: &str) -> PathBuf {
        Path::new(self.file).parent().unwrap_or(Path::new("")).join(path)
    }

    fn address(&self, text: &Spanned<String>) -> Result<SocketAddr, ConfigError> {
        text.value.parse().map_err(|_| {
            self.error(
                text.referenced,
                format!(
                    "{:?} is not an IP address and port: write it like 127.0.0.1:8080",
                    text.value
                ),
            )
        })
    }

    fn backends(
        &self,
        read: BTreeMap<String, Spanned<BackendFile>>,
        default: Location,
    ) -> Result<Vec<BackendConfig>, ConfigError> {
        if read.is_empty() || read.len() > BACKENDS_MAX {
            return Err(self.error(
                default,
                format!("between 1 and {BACKENDS_MAX} backends are needed"),
            ));
        }
        let mut backends: Vec<BackendConfig> = Vec::new();
        for (name, backend) in read {
            if !is_name(&name) {
                let what =
                    format!("backend name {name:?}: use letters, digits, '-', '_' and '.', at most 64");
                return Err(self.error(backend.referenced, what));
            }
            let BackendFile {
                url,
                version,
                transcode,
                health,
            } = backend.value;
            if !is_name(&version.value) || HeaderValue::from_str(&version.value).is_err() {
                let what = format!(
                    "version {:?}: use letters, digits, '-', '_', '+' and '.', at most 64",
                    version.value
                );
                return Err(self.error(version.referenced, what));
            }
            if let Some(other) = backends.iter().find(|other| other.version == version.value) {
                let what = format!(
                    "backends {:?} and {name:?} both serve version {:?}: a version must name one backend",
                    other.name, version.value
                );
                return Err(self.error(version.referenced, what));
            }
            let (host, port) = parse_url(&url.value).map_err(|what| self.error(url.referenced, what))?;
            backends.push(BackendConfig {
                name,
                version: version.value,
                host,
                port,
                transcode: transcode.map(|read| self.transcode(read)).transpose()?,
                health: health.map(|read| self.health(read)).transpose()?,
            });
        }
        Ok(backends)
    }

    fn transcode(&self, read: TranscodeFile) -> Result<TranscodeConfig, ConfigError> {
        let named = &read.descriptor_set;
        if named.value.is_empty() {
            return Err(self.error(named.referenced, "descriptor_set must name a file"));
        }
        let max_response_bytes = self.within(
            "max_response_bytes",
            read.max_response_bytes,
            4 * 1024 * 1024,
            1,
            RESPONSE_BYTES_MAX,
        )?;
        Ok(TranscodeConfig {
            descriptor_set: self.beside(&named.value),
            named_at: self.place(named.referenced),
            max_response_bytes: usize::try_from(max_response_bytes).unwrap_or(usize::MAX),
            others: read.others,
        })
    }

    fn within(
        &self,
        name: &str,
        value: Option<Spanned<u64>>,
        default: u64,
        least: u64,
        most: u64,
    ) -> Result<u64, ConfigError> {
        match value {
            None => Ok(default),
            Some(value) if (least..=most).contains(&value.value) => Ok(value.value),
            Some(value) => Err(self.error(
                value.referenced,
                format!("{name} must be between {least} and {most}"),
            )),
        }
    }

    fn limits(&self, read: LimitsFile, upstream: Option<Spanned<u64>>) -> Result<Limits, ConfigError> {
        let time = |name: &str, value, default| {
            self.within(name, value, default, 1, TIMEOUT_MS_MAX)
                .map(Duration::from_millis)
        };
        let size = |name: &str, value, default, least, most: usize| {
            self.within(name, value, default, least, most as u64)
                .map(|value| usize::try_from(value).expect("the upper limit is a usize"))
        };
        Ok(Limits {
            upstream_timeout: time("upstream_timeout_ms", upstream, 2_000)?,
            connect_timeout: time("connect_timeout_ms", read.connect_timeout_ms, 1_000)?,
            max_connections: size("max_connections", read.max_connections, 10_000, 1, 1_000_000)?,
            max_header_bytes: size(
                "max_header_bytes",
                read.max_header_bytes,
                16 * 1024,
                8 * 1024,
                1024 * 1024,
            )?,
            max_request_body_bytes: self.within(
                "max_request_body_bytes",
                read.max_request_body_bytes,
                1024 * 1024,
                0,
                1 << 40,
            )?,
            max_in_flight: self.within("max_in_flight", read.max_in_flight, 10_000, 1, 1_000_000)?,
            max_idle_upstream: size("max_idle_upstream", read.max_idle_upstream, 256, 0, 65_536)?,
            upstream_idle: time("upstream_idle_ms", read.upstream_idle_ms, 1_500)?,
            header_read_timeout: time("header_read_timeout_ms", read.header_read_timeout_ms, 10_000)?,
            keep_alive_idle: time("keep_alive_idle_ms", read.keep_alive_idle_ms, 75_000)?,
            body_idle_timeout: time("body_idle_timeout_ms", read.body_idle_timeout_ms, 60_000)?,
            stream_idle_timeout: time("stream_idle_timeout_ms", read.stream_idle_timeout_ms, 300_000)?,
            half_close_timeout: time("half_close_timeout_ms", read.half_close_timeout_ms, 10_000)?,
            drain_timeout: time("drain_timeout_ms", read.drain_timeout_ms, 5_000)?,
            shutdown_timeout: time("shutdown_timeout_ms", read.shutdown_timeout_ms, 10_000)?,
            retries_per_second: self.small("retries_per_second", read.retries_per_second, 10, 0)?,
            eject_after: self.small("eject_after", read.eject_after, 5, 0)?,
            eject: time("eject_ms", read.eject_ms, 10_000)?,
        })
    }
}

/// Safe in a URL path, a header, a log line and a metric label.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+'))
}

fn parse_url(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("{text:?} is not a backend address: write it like http://127.0.0.1:9001");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    if uri.scheme_str() == Some("https") {
        return Err(format!(
            "{text:?}: backends are reached in plain text; use http:// behind the gateway"
        ));
    }
    let plain_path = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let host = uri
        .host()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    if uri.scheme_str() != Some("http") || !plain_path || host.is_empty() || text.contains('@') {
        return Err(wrong());
    }
    Ok((host.to_owned(), uri.port_u16().unwrap_or(80)))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
