//! The configuration of a delivery: a YAML file, checked as a whole before anything starts.
//!
//! Every mistake is told with file, line and column. Reading it opens no other file and no socket; it holds no secret.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use russh::keys::PublicKey;
use serde_saphyr::{Location, Spanned};
pub use tminus_configuration::ConfigError;
use tminus_origin::Network;

use crate::shelf::is_role;
use file::{ConfigFile, LinkFile, OidcFile, PortalFile, SftpFile, TokenFile};

const KEYS_MAX: usize = 1_000;
const TOKENS_MAX: usize = 1_000;
const ROLES_MAX: usize = 256;
/// Fewer are broken.
const RSA_BITS_MIN: u32 = 2_048;
/// Hours that a link may live.
const LINK_H_MAX: u64 = 24;

/// A checked configuration. Paths are as written, relative ones to the folder of the file.
#[derive(Clone, Debug)]
pub struct DeliveryConfig {
    /// Holds a folder for each role.
    pub packages: PathBuf,
    /// Whether listeners may be reached from other machines.
    pub allow_remote: bool,
    pub sftp: Option<SftpConfig>,
    pub portal: Option<PortalConfig>,
}

/// SFTP and scp.
#[derive(Clone, Debug)]
pub struct SftpConfig {
    pub listen: SocketAddr,
    /// OpenSSH private key, Ed25519; made when it is not there.
    pub host_key: PathBuf,
    /// Keys by fingerprint (`SHA256:…`), each of one role.
    pub keys: BTreeMap<String, SftpKey>,
    pub limits: SftpLimits,
}

/// Whose key it is.
#[derive(Clone, Debug)]
pub struct SftpKey {
    pub role: String,
    pub key: PublicKey,
}

/// What one server, connection or session may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SftpLimits {
    /// Connections at a time (default 64).
    pub connections_max: usize,
    /// Sessions of one connection (default 4).
    pub sessions_max: usize,
    /// Open files and folders of one session (default 32).
    pub handles_max: usize,
    /// Keys that one connection may try (default 6).
    pub auth_attempts_max: usize,
    /// One read (default and at most 32 KiB).
    pub read_bytes_max: u32,
    /// Without a byte from the client (default 5 min).
    pub idle: Duration,
    /// Until a client has signed in (default 30 s).
    pub auth: Duration,
}

/// The web portal.
#[derive(Clone, Debug)]
pub struct PortalConfig {
    pub listen: SocketAddr,
    /// How browsers reach it, without a slash at its end.
    pub public_url: String,
    /// Whether `public_url` is a loopback address over plain HTTP: cookies are not `Secure` then.
    pub is_plain: bool,
    pub oidc: Option<OidcConfig>,
    pub tokens: Vec<BearerToken>,
    pub links: Option<LinkConfig>,
    pub trusted_proxies: Vec<Network>,
    pub limits: PortalLimits,
}

/// The OpenID provider.
#[derive(Clone, Debug)]
pub struct OidcConfig {
    pub issuer: String,
    pub client_id: String,
    /// File with the client's secret; none for a public client.
    pub client_secret: Option<PathBuf>,
    pub scopes: Vec<String>,
    /// Claim that holds a person's groups; with dots for a member of an object.
    pub roles_claim: String,
    /// Group -> role.
    pub roles: BTreeMap<String, String>,
}

/// A machine's token, known by its digest.
#[derive(Clone, Debug)]
pub struct BearerToken {
    pub id: String,
    pub sha256: [u8; 32],
    pub role: String,
    pub expires_at_ms: i64,
}

/// Links for somebody without an account.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Which links there are, counted and revoked.
    pub state: PathBuf,
    /// Key id -> file with the key, in the order of the file; the first one signs.
    pub keys: Vec<(String, PathBuf)>,
    pub lifetime: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortalLimits {
    /// Connections at a time (default 2,048).
    pub connections_max: usize,
    /// Requests of one address (an IPv6 /64) in a second (default 20).
    pub requests_per_s: u32,
    /// Requests of one address at once (default 60).
    pub burst: u32,
    /// A session after its sign-in (default 8 h).
    pub session: Duration,
    /// A connection's whole life (default 1 h).
    pub connection: Duration,
}

impl DeliveryConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// It cannot be read, or the first mistake in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&tminus_configuration::read(path)?, &path.display().to_string())
    }

    /// Checks a configuration's text; `file` is where it lies, for messages and for paths in it.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(yaml: &str, file: &str) -> Result<Self, ConfigError> {
        let read: ConfigFile = tminus_configuration::parse(yaml, file)?;
        Checker {
            file,
            allow_remote: read.allow_remote,
        }
        .check(read)
    }
}

struct Checker<'a> {
    file: &'a str,
    allow_remote: bool,
}

impl Checker<'_> {
    fn error(&self, at: Location, what: impl Into<String>) -> ConfigError {
        ConfigError::at(self.file, at, what)
    }

    fn path(&self, path: &Path) -> PathBuf {
        Path::new(self.file)
            .parent()
            .map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    fn check(&self, read: ConfigFile) -> Result<DeliveryConfig, ConfigError> {
        if read.sftp.is_none() && read.portal.is_none() {
            let what = "nothing to serve: give `sftp`, `portal` or both";
            return Err(self.error(read.packages.referenced, what));
        }
        Ok(DeliveryConfig {
            packages: self.path(&read.packages.value),
            allow_remote: read.allow_remote,
            sftp: read.sftp.map(|sftp| self.sftp(sftp)).transpose()?,
            portal: read.portal.map(|portal| self.portal(portal)).transpose()?,
        })
    }

    fn address(&self, text: &Spanned<String>) -> Result<SocketAddr, ConfigError> {
        let address: SocketAddr = text.value.parse().map_err(|_| {
            self.error(
                text.referenced,
                "an address to listen on is written 127.0.0.1:2222 or [::1]:2222",
            )
        })?;
        if !address.ip().is_loopback() && !self.allow_remote {
            let what = format!(
                "{address} can be reached from other machines: use a loopback address such as 127.0.0.1, or set allow_remote: true"
            );
            return Err(self.error(text.referenced, what));
        }
        Ok(address)
    }

    fn role(&self, role: &Spanned<String>) -> Result<String, ConfigError> {
        if is_role(&role.value) {
            return Ok(role.value.clone());
        }
        let what = "a role is the name of its folder: 1 to 64 of a-z, 0-9, - and _, beginning with a letter";
        Err(self.error(role.referenced, what))
    }

    /// A number that is left out is the default; one beyond its bounds is a mistake.
    fn within(
        &self,
        given: Option<Spanned<u64>>,
        name: &str,
        bounds: std::ops::RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, ConfigError> {
        match given {
            None => Ok(default),
            Some(given) if bounds.contains(&given.value) => Ok(given.value),
            Some(given) => {
                let what = format!("{name} must be between {} and {}", bounds.start(), bounds.end());
                Err(self.error(given.referenced, what))
            }
        }
    }

    fn sftp(&self, read: SftpFile) -> Result<SftpConfig, ConfigError> {
        let listen = self.address(&read.listen)?;
        if read.keys.value.is_empty() || read.keys.value.len() > KEYS_MAX {
            let what = format!("sftp has 1 to {KEYS_MAX} keys");
            return Err(self.error(read.keys.referenced, what));
        }
        let mut keys = BTreeMap::new();
        for given in read.keys.value {
            let role = self.role(&given.role)?;
            let key = PublicKey::from_openssh(given.key.value.trim()).map_err(|_| {
                let what = "a key is a line of an OpenSSH .pub file: ssh-ed25519 AAAA… comment";
                self.error(given.key.referenced, what)
            })?;
            if key
                .key_data()
                .rsa()
                .is_some_and(|rsa| rsa.key_size() < RSA_BITS_MIN)
            {
                let what = format!("an RSA key has at least {RSA_BITS_MIN} bits; Ed25519 is better");
                return Err(self.error(given.key.referenced, what));
            }
            let fingerprint = key.fingerprint(russh::keys::HashAlg::Sha256).to_string();
            let twice = keys.insert(fingerprint, SftpKey { role, key });
            if let Some(SftpKey { role, .. }) = twice {
                let what =
                    format!("this key stands there already, for the role {role}: a key belongs to one role");
                return Err(self.error(given.key.referenced, what));
            }
        }
        let limits = read.limits.unwrap_or_default();
        let limits = SftpLimits {
            connections_max: self.within(limits.connections_max, "connections_max", 1..=10_000, 64)? as usize,
            sessions_max: self.within(limits.sessions_max, "sessions_max", 1..=64, 4)? as usize,
            handles_max: self.within(limits.handles_max, "handles_max", 1..=1024, 32)? as usize,
            auth_attempts_max: self.within(limits.auth_attempts_max, "auth_attempts_max", 1..=64, 6)?
                as usize,
            read_bytes_max: self.within(limits.read_bytes_max, "read_bytes_max", 1024..=32_768, 32_768)?
                as u32,
            idle: Duration::from_secs(self.within(limits.idle_s, "idle_s", 1..=86_400, 300)?),
            auth: Duration::from_secs(self.within(limits.auth_s, "auth_s", 1..=600, 30)?),
        };
        Ok(SftpConfig {
            listen,
            host_key: self.path(&read.host_key),
            keys,
            limits,
        })
    }

    fn portal(&self, read: PortalFile) -> Result<PortalConfig, ConfigError> {
        let listen = self.address(&read.listen)?;
        let (public_url, is_plain) = self.url(&read.public_url)?;
        if public_url.matches('/').count() > 2 {
            let what = "public_url is scheme and host, without a path: the portal has a host of its own";
            return Err(self.error(read.public_url.referenced, what));
        }
        let proxies = read.trusted_proxies.iter().map(|proxy| {
            let network = proxy.value.parse::<Network>();
            network.map_err(|what| self.error(proxy.referenced, what))
        });
        let limits = read.limits.unwrap_or_default();
        Ok(PortalConfig {
            listen,
            public_url,
            is_plain,
            trusted_proxies: proxies.collect::<Result<_, _>>()?,
            oidc: read.oidc.map(|oidc| self.oidc(oidc)).transpose()?,
            tokens: self.tokens(read.tokens)?,
            links: read.links.map(|links| self.links(links)).transpose()?,
            limits: PortalLimits {
                connections_max: self.within(limits.connections_max, "connections_max", 1..=100_000, 2_048)?
                    as usize,
                requests_per_s: self.within(limits.requests_per_s, "requests_per_s", 1..=100_000, 20)? as u32,
                burst: self.within(limits.burst, "burst", 1..=1_000_000, 60)? as u32,
                session: Duration::from_secs(
                    60 * self.within(limits.session_min, "session_min", 1..=1_440, 480)?,
                ),
                connection: Duration::from_secs(self.within(
                    limits.connection_s,
                    "connection_s",
                    1..=86_400,
                    3_600,
                )?),
            },
        })
    }

    /// An `https` origin, or an `http` one of this machine; true for the latter.
    fn url(&self, text: &Spanned<String>) -> Result<(String, bool), ConfigError> {
        let wrong = |what: &str| self.error(text.referenced, what.to_owned());
        let url = text.value.trim_end_matches('/');
        let parsed: http::Uri = url.parse().map_err(|_| wrong("this is no URL"))?;
        let (Some(scheme), Some(authority)) = (parsed.scheme_str(), parsed.authority()) else {
            return Err(wrong("a URL begins with https:// and a host"));
        };
        if parsed.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong("no query and no user in this URL"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match scheme {
            "https" => Ok((url.to_owned(), false)),
            "http" if is_loopback => Ok((url.to_owned(), true)),
            _ => Err(wrong(
                "https:// is needed; http:// is for loopback addresses only",
            )),
        }
    }

    fn oidc(&self, read: OidcFile) -> Result<OidcConfig, ConfigError> {
        // The issuer is compared byte by byte, so it stays as written.
        self.url(&read.issuer)?;
        if read.roles.value.is_empty() || read.roles.value.len() > ROLES_MAX {
            let what = format!("roles maps 1 to {ROLES_MAX} values of the claim to roles");
            return Err(self.error(read.roles.referenced, what));
        }
        let mut roles = BTreeMap::new();
        for (group, role) in &read.roles.value {
            roles.insert(group.clone(), self.role(role)?);
        }
        Ok(OidcConfig {
            issuer: read.issuer.value,
            client_id: read.client_id,
            client_secret: read.client_secret_file.map(|path| self.path(&path)),
            scopes: read
                .scopes
                .unwrap_or_else(|| vec!["openid".to_owned(), "profile".to_owned()]),
            roles_claim: read.roles_claim,
            roles,
        })
    }

    fn tokens(&self, read: Vec<TokenFile>) -> Result<Vec<BearerToken>, ConfigError> {
        let mut ids = BTreeSet::new();
        let mut tokens = Vec::new();
        for token in read {
            if !is_role(&token.id.value) || !ids.insert(token.id.value.clone()) {
                let what =
                    "a token's id is 1 to 64 of a-z, 0-9, - and _, beginning with a letter, and its own";
                return Err(self.error(token.id.referenced, what));
            }
            let mut sha256 = [0; 32];
            if hex::decode_to_slice(&token.sha256.value, &mut sha256).is_err() {
                let what =
                    "sha256 is the token's SHA-256 in 64 hexadecimal digits: printf %s TOKEN | sha256sum";
                return Err(self.error(token.sha256.referenced, what));
            }
            let expires: jiff::Timestamp = token.expires.value.parse().map_err(|_| {
                self.error(
                    token.expires.referenced,
                    "expires is a time with its zone: 2026-12-01T00:00:00Z",
                )
            })?;
            tokens.push(BearerToken {
                id: token.id.value.clone(),
                sha256,
                role: self.role(&token.role)?,
                expires_at_ms: expires.as_millisecond(),
            });
            if tokens.len() > TOKENS_MAX {
                return Err(self.error(token.id.referenced, format!("more than {TOKENS_MAX} tokens")));
            }
        }
        Ok(tokens)
    }

    fn links(&self, read: LinkFile) -> Result<LinkConfig, ConfigError> {
        let mut keys: Vec<(String, PathBuf)> = Vec::new();
        for key in &read.keys.value {
            if !is_role(&key.id.value) || keys.iter().any(|(id, _)| *id == key.id.value) {
                let what = "a key's id is 1 to 64 of a-z, 0-9, - and _, beginning with a letter, and its own";
                return Err(self.error(key.id.referenced, what));
            }
            keys.push((key.id.value.clone(), self.path(&key.file)));
        }
        if keys.is_empty() || keys.len() > 16 {
            return Err(self.error(
                read.keys.referenced,
                "links have 1 to 16 keys; the first one signs",
            ));
        }
        let hours = self.within(read.lifetime_h, "lifetime_h", 1..=LINK_H_MAX, LINK_H_MAX)?;
        Ok(LinkConfig {
            state: self.path(&read.state_file),
            keys,
            lifetime: Duration::from_secs(3_600 * hours),
        })
    }
}
