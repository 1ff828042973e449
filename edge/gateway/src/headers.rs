//! What changes in headers between the client and a backend (RFC 9110 section 7.6).
//!
//! Owns hop-by-hop stripping, the forwarding headers and the request id. It never decides a route.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};

/// Tells the client which release answered.
pub const X_SERVED_VERSION: HeaderName = HeaderName::from_static("x-served-version");
/// Names a request across hops.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// What else a client could claim to be forwarded by (RFC 7239, and what many backends believe).
const CLAIMS: [HeaderName; 3] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-forwarded-port"),
];

const REQUEST_ID_BYTES_MAX: usize = 128;

/// Valid for one connection only, whether or not `Connection` names them.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Removes what belongs to one hop, with everything that `Connection` names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // One walk over what is there costs less than looking up each of what may be there, and mostly nothing is.
    let there: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_hop_by_hop(name))
        .cloned()
        .collect();
    if there.is_empty() {
        return;
    }
    let named: Vec<HeaderName> = connection_tokens(headers)
        .filter_map(|token| token.parse().ok())
        .collect();
    for name in named.iter().chain(&there) {
        headers.remove(name);
    }
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// True for an HTTP/1.1 request that asks to become a WebSocket (RFC 6455 section 4.1).
pub fn asks_for_websocket<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && connection_tokens(request.headers()).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && names_websocket(request.headers())
}

/// True when `Upgrade` names WebSocket.
pub fn names_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// True for gRPC over HTTP/2; gRPC-Web is plain HTTP.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let Some(rest) = value.as_bytes().strip_prefix(b"application/grpc") else {
        return false;
    };
    matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// The host that a request names: its target's own authority before `Host` (RFC 9112 section 3.2.2).
pub fn host<'a>(target: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match target.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST)?.to_str().ok(),
    }
}

/// Whom `X-Forwarded-For` names for a connection.
pub fn forwarded_peer(peer: IpAddr) -> HeaderValue {
    HeaderValue::try_from(peer.to_canonical().to_string()).expect("an address is a header value")
}

/// Who hands a request over.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// See [`forwarded_peer`].
    pub peer: &'a HeaderValue,
    /// Whether it is a proxy whose word is taken.
    pub trusted: bool,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// A trusted peer is appended to `X-Forwarded-For`; `-Proto` and `-Host` are set where it has not. What any other peer
/// claims to have been forwarded is replaced.
pub fn add_forwarded(headers: &mut HeaderMap, by: Forwarding<'_>, host: Option<&HeaderValue>) {
    let Forwarding { peer, trusted, tls } = by;
    let proto = HeaderValue::from_static(if tls { "https" } else { "http" });
    if !trusted {
        headers.insert(X_FORWARDED_FOR, peer.clone());
        headers.insert(X_FORWARDED_PROTO, proto);
        match host {
            Some(host) => headers.insert(X_FORWARDED_HOST, host.clone()),
            None => headers.remove(X_FORWARDED_HOST),
        };
        for claim in &CLAIMS {
            headers.remove(claim);
        }
        return;
    }
    match headers.entry(X_FORWARDED_FOR) {
        Entry::Vacant(none) => {
            none.insert(peer.clone());
        }
        Entry::Occupied(mut some) => {
            let mut chain = Vec::new();
            for value in some.iter() {
                chain.extend_from_slice(value.as_bytes());
                chain.extend_from_slice(b", ");
            }
            chain.extend_from_slice(peer.as_bytes());
            if let Ok(value) = HeaderValue::from_bytes(&chain) {
                some.insert(value);
            }
        }
    }
    headers.entry(X_FORWARDED_PROTO).or_insert(proto);
    if let Some(host) = host {
        headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
    }
}

/// A value that no other message has. On HTTP/2 it is kept out of the table of headers, where it would be of no use and
/// push out those that are (RFC 7541 section 6.2.3).
pub fn unique_on(http2: bool, mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(http2);
    value
}

/// Makes request ids: a prefix of this process and a serial number.
#[derive(Debug)]
pub struct RequestIds {
    prefix: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// `prefix` should differ between processes.
    pub fn new(prefix: u64) -> Self {
        Self {
            prefix,
            next: AtomicU64::new(1),
        }
    }

    /// The id that came with the request when it is short visible ASCII, else a new one.
    pub fn pass_or_make(&self, headers: &HeaderMap) -> HeaderValue {
        let sane = |value: &&HeaderValue| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&value.len())
                && value.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        headers
            .get(X_REQUEST_ID)
            .filter(sane)
            .cloned()
            .unwrap_or_else(|| {
                let serial = self.next.fetch_add(1, Ordering::Relaxed);
                HeaderValue::from_bytes(&hexadecimal(self.prefix, serial))
                    .expect("hexadecimal is a header value")
            })
    }
}

/// As `{:016x}{:016x}` writes it, in a tenth of the time.
fn hexadecimal(first: u64, second: u64) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    let bytes = first.to_be_bytes().into_iter().chain(second.to_be_bytes());
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
    text
}

/// The first value of a query parameter, decoded; at most 256 bytes are looked at.
pub fn query_parameter(query: &str, wanted: &str) -> Option<String> {
    const VALUE_BYTES_MAX: usize = 256;
    let (_, value) = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == wanted)?;
    if value.is_empty() || value.len() > VALUE_BYTES_MAX {
        return None;
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn headers_of_one_hop_go_with_all_that_connection_names() {
        let mut headers = map(&[
            ("connection", "close, X-Secret"),
            ("connection", "x-other"),
            ("x-secret", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eDp5"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-kept", "3"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x-kept", "3")]));
    }

    proptest! {
        #[test]
        fn headers_of_one_hop_go_wherever_they_stand(
            names in proptest::collection::vec(
                prop_oneof![
                    Just("connection"), Just("keep-alive"), Just("proxy-connection"), Just("proxy-authorization"), Just("te"),
                    Just("transfer-encoding"), Just("upgrade"), Just("x-named"), Just("x-kept"), Just("cookie"),
                ],
                0..12,
            ),
        ) {
            // Every value names a header, which counts in `Connection` alone.
            let pairs: Vec<_> = names.iter().map(|name| (*name, "x-named")).collect();
            let mut headers = map(&pairs);
            strip_hop_by_hop(&mut headers);
            let mut expected = map(&pairs);
            if expected.contains_key("connection") {
                expected.remove("x-named");
            }
            for name in ["connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "transfer-encoding", "upgrade"] {
                expected.remove(name);
            }
            prop_assert_eq!(headers, expected);
        }

        #[test]
        fn an_id_is_written_as_formatting_writes_it(first in any::<u64>(), second in any::<u64>()) {
            let expected = format!("{first:016x}{second:016x}");
            let written = hexadecimal(first, second);
            prop_assert_eq!(written.as_slice(), expected.as_bytes());
        }
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let check = |value: &str, expected| {
            assert_eq!(is_grpc(&map(&[("content-type", value)])), expected, "{value}");
        };
        check("application/grpc", true);
        check("application/grpc+proto", true);
        check("application/grpc;charset=x", true);
        check("application/grpc-web", false);
        check("application/json", false);
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn forwarding_headers_tell_the_whole_way_and_only_a_trusted_peer_is_believed() {
        let claimed = [
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=203.0.113.7"),
            ("x-real-ip", "203.0.113.7"),
        ];
        let peer = forwarded_peer("::ffff:127.0.0.1".parse().unwrap());
        let check = |trusted, tls, expected: &[(&str, &str)]| {
            let mut headers = map(&claimed);
            let by = Forwarding {
                peer: &peer,
                trusted,
                tls,
            };
            add_forwarded(&mut headers, by, Some(&HeaderValue::from_static("play.example")));
            assert_eq!(headers, map(expected));
        };
        let trusted = [
            ("x-forwarded-for", "203.0.113.7, 127.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "play.example"),
            claimed[2],
            claimed[3],
        ];
        check(true, false, &trusted);
        for (tls, proto) in [(false, "http"), (true, "https")] {
            let own = [
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-proto", proto),
                ("x-forwarded-host", "play.example"),
            ];
            check(false, tls, &own);
        }
    }

    #[test]
    fn a_request_id_is_passed_when_sane_and_made_when_not() {
        let ids = RequestIds::new(0xab);
        assert_eq!(ids.pass_or_make(&map(&[("x-request-id", "abc-1")])), "abc-1");
        assert_eq!(
            ids.pass_or_make(&HeaderMap::new()),
            "00000000000000ab0000000000000001"
        );
        assert_eq!(
            ids.pass_or_make(&map(&[("x-request-id", "a b")])),
            "00000000000000ab0000000000000002"
        );
        let long = "x".repeat(REQUEST_ID_BYTES_MAX + 1);
        assert_ne!(ids.pass_or_make(&map(&[("x-request-id", &long)])), long.as_str());
    }

    #[test]
    fn query_parameters_are_decoded() {
        let check = |query: &str, expected: Option<&str>| {
            assert_eq!(query_parameter(query, "at").as_deref(), expected, "{query}");
        };
        check("at=v1.3", Some("v1.3"));
        check("a=b&at=v1%2E3+x&at=no", Some("v1.3 x"));
        check("that=v1", None);
        check("at=", None);
        check("at=%4", None);
        check("at=%+1", None);
        check("at=%ff", None);
    }
}
