//! What stands before the first request of a connection: who may speak for others, TLS, how often one may ask.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tminus_origin::TrustedProxies;

use crate::config::{Config, ConfigError, Place};
use crate::transcoding::{self, Transcodings};

/// As the configuration has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontConfig {
    /// Proxies whose `X-Forwarded-*` and PROXY headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// They begin each connection with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// TLS towards clients; `None`: plain text.
    pub tls: Option<TlsConfig>,
    /// For each client address.
    pub rate_limit: Option<RateLimit>,
}

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    pub(crate) named_at: Place,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

/// What the data path asks.
#[derive(Clone, Debug)]
pub struct Front {
    /// Proxies that are believed.
    pub trusted: TrustedProxies,
    /// They begin with a header.
    pub proxy_protocol: bool,
    /// TLS, with its keys.
    pub tls: Option<Arc<ServerConfig>>,
    /// For each client address.
    pub rate_limit: Option<RateLimit>,
}

/// The files that a configuration names, read.
#[derive(Clone, Debug)]
pub struct Files {
    /// Descriptor sets.
    pub transcoding: Transcodings,
    /// Certificate and key.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Reads them all.
///
/// # Errors
/// The first file that cannot be used, with the place that names it.
pub fn load(config: &Config) -> Result<Files, ConfigError> {
    Ok(Files {
        transcoding: transcoding::load(config)?,
        tls: config.front.tls.as_ref().map(tls).transpose()?,
    })
}

fn tls(config: &TlsConfig) -> Result<Arc<ServerConfig>, ConfigError> {
    let cannot = |what: &str, file: &PathBuf, why: &dyn std::fmt::Display| {
        config
            .named_at
            .error(format!("tls {what} {}: {why}", file.display()))
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&config.certificate)
        .and_then(Iterator::collect)
        .map_err(|why| cannot("certificate", &config.certificate, &why))?;
    if chain.is_empty() {
        return Err(cannot(
            "certificate",
            &config.certificate,
            &"there is no certificate in it",
        ));
    }
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(|why| cannot("key", &config.key, &why))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|why| cannot("certificate and key", &config.certificate, &why))?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

impl Front {
    pub(crate) fn new(config: &FrontConfig, files: &Files) -> Self {
        Self {
            trusted: config.trusted_proxies.clone(),
            proxy_protocol: config.proxy_protocol,
            tls: files.tls.clone(),
            rate_limit: config.rate_limit,
        }
    }
}
