//! What stands before the first request, and how backends are checked, of a configuration.

use std::time::Duration;

use serde_saphyr::Spanned;

use super::file::{HealthFile, RateLimitFile, TlsFile};
use super::{Checker, ConfigError, TIMEOUT_MS_MAX};
use crate::front::{FrontConfig, RateLimit, TlsConfig};
use crate::health::HealthConfig;

const SMALL_MAX: u64 = 1_000_000;
const PROXIES_MAX: usize = 256;

impl Checker<'_> {
    pub(super) fn front(
        &self,
        trusted: Option<Spanned<Vec<String>>>,
        proxy_protocol: Option<Spanned<bool>>,
        tls: Option<Spanned<TlsFile>>,
        rate_limit: Option<RateLimitFile>,
    ) -> Result<FrontConfig, ConfigError> {
        let mut networks = Vec::new();
        if let Some(trusted) = trusted {
            if trusted.value.len() > PROXIES_MAX {
                let what = format!("at most {PROXIES_MAX} trusted_proxies");
                return Err(self.error(trusted.referenced, what));
            }
            for text in &trusted.value {
                let network = text.parse().map_err(|why: String| {
                    self.error(trusted.referenced, format!("trusted_proxies {text:?}: {why}"))
                })?;
                networks.push(network);
            }
        }
        if let Some(on) = proxy_protocol
            .as_ref()
            .filter(|on| on.value && networks.is_empty())
        {
            let what = "proxy_protocol: true believes trusted_proxies, and there are none: name them, e.g. [10.0.0.0/8]";
            return Err(self.error(on.referenced, what));
        }
        Ok(FrontConfig {
            trusted_proxies: networks.into(),
            proxy_protocol: proxy_protocol.is_some_and(|on| on.value),
            tls: tls.map(|tls| TlsConfig {
                certificate: self.beside(&tls.value.certificate),
                key: self.beside(&tls.value.key),
                named_at: self.place(tls.referenced),
            }),
            rate_limit: rate_limit.map(|read| self.rate_limit(read)).transpose()?,
        })
    }

    fn rate_limit(&self, read: RateLimitFile) -> Result<RateLimit, ConfigError> {
        let per_second = self.small("per_second", Some(read.per_second), 1, 1)?;
        Ok(RateLimit {
            per_second,
            burst: self.small("burst", read.burst, u64::from(per_second), 1)?,
        })
    }

    pub(super) fn health(&self, read: HealthFile) -> Result<HealthConfig, ConfigError> {
        let time = |name: &str, value, default| {
            self.within(name, value, default, 1, TIMEOUT_MS_MAX)
                .map(Duration::from_millis)
        };
        let path = match read.path {
            Some(path)
                if !path.value.starts_with('/') || path.value.parse::<http::uri::PathAndQuery>().is_err() =>
            {
                let what = format!("{:?} is no path: it begins with '/'", path.value);
                return Err(self.error(path.referenced, what));
            }
            path => path.map(|path| path.value),
        };
        Ok(HealthConfig {
            path,
            every: time("every_ms", read.every_ms, 2_000)?,
            timeout: time("timeout_ms", read.timeout_ms, 1_000)?,
            fall: self.small("fall", read.fall, 3, 1)?,
            rise: self.small("rise", read.rise, 2, 1)?,
        })
    }

    pub(super) fn small(
        &self,
        name: &str,
        value: Option<Spanned<u64>>,
        default: u64,
        least: u64,
    ) -> Result<u32, ConfigError> {
        let value = self.within(name, value, default, least, SMALL_MAX)?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }
}
