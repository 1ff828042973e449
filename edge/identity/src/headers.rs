//! What a request shows: a bearer token, a session's id, or both. Owns which headers are looked at and
//! which of them cannot be told apart; knows nothing of what they mean.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, header};

/// Carries the id of a legacy session, byte for byte as the session was named.
pub const X_SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");
/// Longer tokens are not looked at.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longer ids of sessions are not looked at.
pub const SESSION_ID_BYTES_MAX: usize = 256;
/// All `Cookie` headers together.
const COOKIES_BYTES_MAX: usize = 16 * 1024;

/// How sessions are shown, where there are any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionSource {
    /// The name of a cookie that holds the id as well.
    pub cookie: Option<String>,
    /// Whether that cookie holds the id in base64, as Spring Session writes it.
    pub cookie_base64: bool,
}

/// The id of a legacy session: visible ASCII, as it was shown. `Debug` does not show it: whoever knows it
/// is that player.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(String);

impl SessionId {
    /// # Errors
    /// It is empty, too long, or holds anything but visible ASCII.
    pub fn new(bytes: &[u8]) -> Result<Self, Malformed> {
        let fits =
            (1..=SESSION_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        match std::str::from_utf8(bytes) {
            Ok(text) if fits => Ok(Self(text.to_owned())),
            _ => Err(Malformed::SessionId),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// Headers that cannot be read in one way. None of the texts repeats them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the header `authorization` stands there more than once; send one token")]
    TwoTokens,
    #[error("the header `authorization` is not `Bearer TOKEN`")]
    NotBearer,
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TokenTooLong,
    #[error("a session's id stands there more than once; send one")]
    TwoSessions,
    #[error("a session's id has 1 to {SESSION_ID_BYTES_MAX} visible ASCII characters")]
    SessionId,
    #[error("the cookies are longer than {COOKIES_BYTES_MAX} bytes")]
    Cookies,
    #[error("a page of another origin may not use this player's cookie")]
    ForeignOrigin,
}

/// The credentials of one request.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Presented<'a> {
    pub token: Option<&'a str>,
    pub session: Option<SessionId>,
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("token", &self.token.map(|_| ".."))
            .field("session", &self.session)
            .finish()
    }
}

impl<'a> Presented<'a> {
    /// Takes the token from `authorization`, or the one that came another way (`offered`: as a subprotocol of
    /// a WebSocket). `sessions` is `None` where no sessions are accepted: their headers are then not looked at.
    ///
    /// # Errors
    /// Something stands there that can be read in two ways, or in none.
    pub fn read(
        headers: &'a HeaderMap,
        offered: Option<&'a str>,
        sessions: Option<&SessionSource>,
    ) -> Result<Self, Malformed> {
        let token = match (bearer(headers)?, offered) {
            (Some(one), Some(other)) if one != other => return Err(Malformed::TwoTokens),
            (in_header, offered) => in_header.or(offered),
        };
        if token.is_some_and(|token| token.len() > TOKEN_BYTES_MAX) {
            return Err(Malformed::TokenTooLong);
        }
        let session = match sessions {
            Some(source) => session(headers, source)?,
            None => None,
        };
        Ok(Self { token, session })
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Malformed> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Malformed::TwoTokens);
    }
    let value = value.to_str().map_err(|_| Malformed::NotBearer)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Malformed::NotBearer),
    }
}

fn session(headers: &HeaderMap, source: &SessionSource) -> Result<Option<SessionId>, Malformed> {
    let mut values = headers.get_all(X_SESSION_ID).iter();
    let in_header = match (values.next(), values.next()) {
        (Some(_), Some(_)) => return Err(Malformed::TwoSessions),
        (Some(value), None) => Some(SessionId::new(value.as_bytes())?),
        (None, _) => None,
    };
    let in_cookie = match &source.cookie {
        Some(name) => cookie(headers, name)?,
        None => None,
    };
    let in_cookie = match in_cookie {
        Some(value) => {
            // Browsers send cookies along with requests that a page of another origin has made.
            if !is_same_origin(headers) {
                return Err(Malformed::ForeignOrigin);
            }
            let id = if source.cookie_base64 {
                Cow::Owned(STANDARD.decode(value).map_err(|_| Malformed::SessionId)?)
            } else {
                Cow::Borrowed(value)
            };
            Some(SessionId::new(&id)?)
        }
        None => None,
    };
    match (in_header, in_cookie) {
        (Some(one), Some(other)) if one != other => Err(Malformed::TwoSessions),
        (in_header, in_cookie) => Ok(in_header.or(in_cookie)),
    }
}

/// The value of the one cookie of this name (RFC 6265, section 4.2). HTTP/2 may split the header.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, Malformed> {
    let mut found = None;
    let mut bytes = 0;
    for value in headers.get_all(header::COOKIE) {
        bytes += value.len();
        if bytes > COOKIES_BYTES_MAX {
            return Err(Malformed::Cookies);
        }
        for pair in value.as_bytes().split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            if &pair[..at] != name.as_bytes() {
                continue;
            }
            let value = &pair[at + 1..];
            let quoted = value
                .strip_prefix(b"\"")
                .and_then(|rest| rest.strip_suffix(b"\""));
            if found.replace(quoted.unwrap_or(value)).is_some() {
                return Err(Malformed::TwoSessions);
            }
        }
    }
    Ok(found)
}

/// A browser names the page's origin on whatever can change something and on every WebSocket.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return true;
    };
    let authority = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, authority)| authority);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    origins.next().is_none()
        && matches!((authority, host), (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host))
}
