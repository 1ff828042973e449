//! The address of what is tested.

use std::net::SocketAddr;

use http::Uri;

use crate::LoadError;

/// A base URL, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Without a trailing slash.
    pub base: String,
    pub secure: bool,
    pub host: String,
    pub port: u16,
    /// Path prefix without a trailing slash, mostly empty.
    pub prefix: String,
    /// Connect sockets here instead of at host and port: a relay that stands before the target.
    pub through: Option<SocketAddr>,
}

impl Target {
    pub fn parse(target: &str) -> Result<Self, LoadError> {
        let wrong = |why: &str| LoadError::Target {
            target: target.to_owned(),
            why: why.to_owned(),
        };
        let uri: Uri = target.parse().map_err(|e| wrong(&format!("not a URL ({e})")))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("expected a base URL such as http://127.0.0.1:8080")),
        };
        let host = uri.host().ok_or_else(|| wrong("no host in it"))?.to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        if uri.query().is_some() {
            return Err(wrong("a base URL has no query"));
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let base = target.trim_end_matches('/').to_owned();
        Ok(Self {
            base,
            secure,
            host,
            port,
            prefix,
            through: None,
        })
    }

    /// For what speaks WebSocket, which this crate does over plain TCP only.
    pub fn parse_plain(target: &str) -> Result<Self, LoadError> {
        let parsed = Self::parse(target)?;
        if parsed.secure {
            return Err(LoadError::Target {
                target: target.to_owned(),
                why: "players speak WebSocket over plain TCP: give the http:// address behind the TLS end"
                    .into(),
            });
        }
        Ok(parsed)
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The WebSocket of a player, at a certain release if `at` is given.
    pub fn play_uri(&self, at: Option<&str>) -> Result<Uri, http::uri::InvalidUri> {
        let Self {
            host, port, prefix, ..
        } = self;
        let query = at.map_or_else(String::new, |release| format!("?at={}", percent_encode(release)));
        format!("ws://{host}:{port}{prefix}/v1/play{query}").parse()
    }
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_taken_apart() {
        let t = Target::parse("http://127.0.0.1:8080/").unwrap();
        assert_eq!(
            (t.url("/v1/version").as_str(), t.port),
            ("http://127.0.0.1:8080/v1/version", 8080)
        );
        assert_eq!(
            t.play_uri(Some("v1.3 β")).unwrap(),
            "ws://127.0.0.1:8080/v1/play?at=v1.3%20%CE%B2"
        );
        assert_eq!(t.play_uri(None).unwrap(), "ws://127.0.0.1:8080/v1/play");
        let t = Target::parse("https://play.example/star/").unwrap();
        assert_eq!((t.secure, t.port, t.prefix.as_str()), (true, 443, "/star"));
    }

    #[test]
    fn what_is_no_base_url_is_refused_with_a_reason() {
        for bad in ["", "127.0.0.1:80", "ftp://a/", "http://a/?x=1", "/v1"] {
            let error = Target::parse(bad).expect_err(bad).to_string();
            assert!(error.starts_with("target "), "{error}");
        }
        assert!(Target::parse_plain("https://play.example").is_err());
    }
}
