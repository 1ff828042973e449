//! Who the player behind a request is, for routing only, and the player's place among the buckets.
//!
//! **Nothing here is authentication.** The `sub` of a bearer token is read *without* checking the
//! signature: a forged one lets a caller choose which release answers and nothing else. The
//! backends verify the token.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::route::BUCKETS;

/// A longer token is not looked into.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// A longer subject is not taken as a player.
const SUBJECT_BYTES_MAX: usize = 256;
/// WebSocket subprotocol that carries a bearer token.
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// Where to look for the player; the first source that is present in a request wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StickySource {
    /// `sub` of the JWT in `Authorization: Bearer` or in the `bearer.<jwt>` WebSocket subprotocol.
    BearerSubject,
    /// The value of a header.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
    /// The peer's IP address.
    ClientIp,
}

impl StickySource {
    /// Parses `bearer-subject`, `header:NAME`, `cookie:NAME` or `client-ip`.
    ///
    /// # Errors
    /// A sentence that says what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = || {
            format!(
                "unknown sticky source {text:?}: use bearer-subject, header:<name>, cookie:<name> or client-ip"
            )
        };
        match text.split_once(':') {
            None if text == "bearer-subject" => Ok(Self::BearerSubject),
            None if text == "client-ip" => Ok(Self::ClientIp),
            Some(("header", name)) => name.parse().map(Self::Header).map_err(|_| allowed()),
            Some(("cookie", name)) if !name.is_empty() => Ok(Self::Cookie(name.to_owned())),
            _ => Err(allowed()),
        }
    }

    /// The key of the player whom this source names so.
    pub fn key_of(&self, player: &[u8]) -> PlayerKey {
        let kind = match self {
            Self::BearerSubject => "sub",
            Self::Header(_) => "header",
            Self::Cookie(_) => "cookie",
            Self::ClientIp => "ip",
        };
        PlayerKey::of(kind, player)
    }

    fn read(&self, headers: &HeaderMap, client: IpAddr) -> Option<PlayerKey> {
        match self {
            Self::BearerSubject => bearer_subject(headers).map(|sub| self.key_of(sub.as_bytes())),
            Self::Header(name) => {
                let value = headers.get(name).filter(|value| !value.is_empty())?;
                Some(self.key_of(value.as_bytes()))
            }
            Self::Cookie(name) => cookie(headers, name).map(|value| self.key_of(value.as_bytes())),
            Self::ClientIp => Some(self.key_of(client.to_canonical().to_string().as_bytes())),
        }
    }
}

impl fmt::Display for StickySource {
    /// As [`StickySource::parse`] takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BearerSubject => f.write_str("bearer-subject"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::ClientIp => f.write_str("client-ip"),
        }
    }
}

/// A player's place among the buckets: the same on every gateway and after every restart.
///
/// SHA-256 over the kind of key and its value. It is not there for secrecy: a keyless hash with
/// good avalanche gives an even split also for serial numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlayerKey {
    first: u64,
    second: u64,
}

impl PlayerKey {
    /// The key of a value read from this kind of source.
    pub fn of(kind: &str, value: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(kind.as_bytes());
        hash.update([0]);
        hash.update(value);
        let digest = hash.finalize();
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&digest[at..at + 8]);
            u64::from_be_bytes(bytes)
        };
        Self {
            first: word(0),
            second: word(8),
        }
    }

    /// The bucket in `0..10000`.
    pub fn bucket(&self) -> u16 {
        u16::try_from(self.first % u64::from(BUCKETS)).expect("a remainder below 10000 fits")
    }

    /// A second number, independent of the bucket.
    pub fn second(&self) -> u64 {
        self.second
    }
}

/// The player behind a request. When no source is present each request is a player of its own,
/// known by its request id: the split holds, and nothing sticks.
pub fn player_key(
    sources: &[StickySource],
    headers: &HeaderMap,
    client: IpAddr,
    request_id: &[u8],
) -> PlayerKey {
    known_player(sources, headers, client)
        .map_or_else(|| PlayerKey::of("request", request_id), |(_, key)| key)
}

/// The player behind a request, and the source that names it.
pub fn known_player<'s>(
    sources: &'s [StickySource],
    headers: &HeaderMap,
    client: IpAddr,
) -> Option<(&'s StickySource, PlayerKey)> {
    sources
        .iter()
        .find_map(|source| source.read(headers, client).map(|key| (source, key)))
}

/// The unverified `sub` of the bearer token, if the request carries one of sane size.
fn bearer_subject(headers: &HeaderMap) -> Option<String> {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    if let Some(subject) = token.and_then(subject_of) {
        return Some(subject);
    }
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|offer| offer.trim().strip_prefix(BEARER_SUBPROTOCOL).and_then(subject_of))
}

fn subject_of(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
    }
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let Claims { sub } = serde_json::from_slice(&claims).ok()?;
    (!sub.is_empty() && sub.len() <= SUBJECT_BYTES_MAX).then_some(sub)
}

fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == wanted && !value.is_empty())
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("eyJhbGciOiJFZERTQSJ9.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn key(headers: &[(&str, &str)]) -> PlayerKey {
        let sources: Vec<_> = ["bearer-subject", "header:x-session-id", "cookie:sid", "client-ip"]
            .iter()
            .map(|text| StickySource::parse(text).unwrap())
            .collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        player_key(&sources, &map, "::ffff:10.0.0.1".parse().unwrap(), b"request-1")
    }

    #[test]
    fn the_first_source_that_is_present_is_the_player() {
        let subject = PlayerKey::of("sub", b"p-1");
        let token = token(r#"{"sub":"p-1","name":"x"}"#);
        let bearer = format!("Bearer {token}");
        let check =
            |headers: &[(&str, &str)], expected: PlayerKey| assert_eq!(key(headers), expected, "{headers:?}");

        check(&[("authorization", &bearer), ("x-session-id", "s")], subject);
        check(&[("authorization", &bearer.replace("Bearer", "bearer"))], subject);
        let offer = format!("starvault.v1.json, bearer.{token}");
        check(
            &[("sec-websocket-protocol", &offer), ("x-session-id", "s")],
            subject,
        );
        check(
            &[("x-session-id", "s"), ("cookie", "sid=c")],
            PlayerKey::of("header", b"s"),
        );
        check(&[("cookie", "a=b; sid=c")], PlayerKey::of("cookie", b"c"));
        check(&[("x-session-id", "")], PlayerKey::of("ip", b"10.0.0.1"));
        check(&[], PlayerKey::of("ip", b"10.0.0.1"));
    }

    #[test]
    fn what_is_no_sane_token_is_no_player() {
        let ip = PlayerKey::of("ip", b"10.0.0.1");
        let long_subject = token(&format!(r#"{{"sub":"{}"}}"#, "a".repeat(SUBJECT_BYTES_MAX + 1)));
        let long_token = token(&format!(
            r#"{{"sub":"a","pad":"{}"}}"#,
            "a".repeat(TOKEN_BYTES_MAX)
        ));
        let no_subject = token(r#"{"name":"x"}"#);
        let empty = token(r#"{"sub":""}"#);
        for bad in [
            "",
            "a.b",
            "a.!!.c",
            "a.e30.c.d",
            &long_subject,
            &long_token,
            &no_subject,
            &empty,
        ] {
            assert_eq!(
                key(&[("authorization", &format!("Bearer {bad}"))]),
                ip,
                "{bad:.40}"
            );
        }
        assert_eq!(key(&[("authorization", "Basic YTpi")]), ip);
    }

    #[test]
    fn without_any_source_each_request_is_its_own_player() {
        let headers = HeaderMap::new();
        let ip = "10.0.0.1".parse().unwrap();
        assert_eq!(
            player_key(&[], &headers, ip, b"1"),
            player_key(&[], &headers, ip, b"1")
        );
        assert_ne!(
            player_key(&[], &headers, ip, b"1"),
            player_key(&[], &headers, ip, b"2")
        );
    }

    #[test]
    fn a_players_bucket_never_changes_between_releases_of_the_gateway() {
        // Pinned: another value here would move every player at the next deployment.
        let keys: Vec<u16> = ["p-1", "p-2", "p-3"]
            .iter()
            .map(|id| PlayerKey::of("sub", id.as_bytes()).bucket())
            .collect();
        assert_eq!(keys, PINNED_BUCKETS);
    }

    const PINNED_BUCKETS: [u16; 3] = [4941, 7485, 6563];

    #[test]
    fn unknown_sources_are_refused_with_what_is_allowed() {
        for bad in ["", "ip", "header:", "cookie:", "header:a b"] {
            assert!(
                StickySource::parse(bad).unwrap_err().contains("header:<name>"),
                "{bad}"
            );
        }
    }
}
