//! The options of `starvault serve` that say which credentials are accepted besides its own tokens.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::data::UrlText;
use crate::{Credentials, JwksAddress, LegacySessions, OutsideTokens, RedisUrl, SessionFormat};

/// How an older system writes its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A JSON object
    Json,
    /// Go's gob of a map, as gorilla/sessions with redistore writes it
    Gob,
    /// PHP's handlers `php` and `php_serialize`
    Php,
    /// A hash of Spring Session with Java's serialisation
    Spring,
}

#[derive(Debug, Args)]
pub(super) struct CredentialArgs {
    /// Accept tokens of another issuer as well, signed by a key of this set: https://…, or a file.
    #[arg(long, value_name = "URL|FILE", requires_all = ["jwt_issuer", "jwt_audience"])]
    jwks: Option<UrlText>,
    /// Who issues them: their `iss`, to the letter.
    #[arg(long, value_name = "ISSUER", requires = "jwks")]
    jwt_issuer: Option<String>,
    /// Whom they are for: one of their `aud`, to the letter.
    #[arg(long, value_name = "AUDIENCE", requires = "jwks")]
    jwt_audience: Option<String>,
    /// Accept sessions of an older system by `x-session-id`, read from redis://[USER:PASSWORD@]HOST:PORT[/DB].
    #[arg(
        long,
        value_name = "URL",
        requires = "session_format",
        env = "STARVAULT_SESSIONS",
        hide_env_values = true
    )]
    sessions: Option<UrlText>,
    /// How their values are written.
    #[arg(long, value_name = "FORMAT", requires = "sessions")]
    session_format: Option<Format>,
    /// Accept a session by this cookie, too.
    #[arg(long, value_name = "NAME", requires = "sessions")]
    session_cookie: Option<String>,
    /// What stands before a session's id in its key. By default what the format's own system writes: `sess:`, `session_`,
    /// `PHPREDIS_SESSION:` or `spring:session:sessions:`.
    #[arg(long, value_name = "PREFIX", requires = "sessions")]
    session_key_prefix: Option<String>,
    /// The name under which a session holds its player.
    #[arg(long, value_name = "NAME", default_value = "player_id")]
    session_player: String,
    /// A file of revoked tokens, lines of {"jti":"…"} or {"sub":"…","issued_before_s":…}; read again when it changes.
    #[arg(long, value_name = "FILE")]
    revocations: Option<PathBuf>,
}

impl CredentialArgs {
    /// # Errors
    /// Says which option is wrong, without what may be secret in it.
    pub(super) fn read(&self) -> anyhow::Result<Credentials> {
        let outside = match (&self.jwks, &self.jwt_issuer, &self.jwt_audience) {
            (Some(jwks), Some(issuer), Some(audience)) => Some(OutsideTokens {
                jwks: jwks
                    .as_str()
                    .parse::<JwksAddress>()
                    .map_err(|wrong| anyhow::anyhow!("--jwks: {wrong}"))?,
                issuer: issuer.clone(),
                audience: audience.clone(),
            }),
            _ => None,
        };
        let sessions = match (&self.sessions, self.session_format) {
            (Some(url), Some(format)) => Some(self.sessions(url, format)?),
            _ => None,
        };
        Ok(Credentials {
            outside,
            sessions,
            revocations: self.revocations.clone(),
        })
    }

    fn sessions(&self, url: &UrlText, format: Format) -> anyhow::Result<LegacySessions> {
        let redis: RedisUrl = match url.as_str().parse() {
            Ok(redis) => redis,
            Err(wrong) => bail!("--sessions: {wrong}"),
        };
        // RFC 6265, section 4.1.1: a token of HTTP.
        if self
            .session_cookie
            .as_deref()
            .is_some_and(|name| http::HeaderName::from_bytes(name.as_bytes()).is_err())
        {
            bail!("--session-cookie: a cookie's name has letters, digits and -_. only, e.g. SESSION");
        }
        let format = match format {
            Format::Json => SessionFormat::Json,
            Format::Gob => SessionFormat::Gob,
            Format::Php => SessionFormat::Php,
            Format::Spring => SessionFormat::Spring,
        };
        Ok(LegacySessions {
            redis,
            format,
            key_prefix: self
                .session_key_prefix
                .clone()
                .unwrap_or_else(|| format.key_prefix().to_owned()),
            player_field: self.session_player.clone(),
            cookie: self.session_cookie.clone(),
        })
    }
}
