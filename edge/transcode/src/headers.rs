//! Headers of HTTP to metadata of gRPC and back. Names stay as they are: there is no prefix on either side.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Of one connection (RFC 9110 section 7.6.1), or of the body, which is another one on the other side.
const NEVER: [HeaderName; 12] = [
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// They say what the client wants of HTTP.
const REQUEST_ONLY: [HeaderName; 5] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::EXPECT,
    header::HOST,
    header::RANGE,
];

const GRPC_TIMEOUT: &str = "grpc-timeout";

/// What belongs to gRPC itself a client cannot set, but for how long it waits.
pub(crate) fn to_metadata(headers: &mut HeaderMap) {
    strip(headers);
    for name in REQUEST_ONLY {
        headers.remove(name);
    }
    remove_grpc(headers, GRPC_TIMEOUT);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
}

pub(crate) fn to_http(headers: &mut HeaderMap) {
    strip(headers);
    remove_grpc(headers, "");
}

fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in NEVER {
        headers.remove(name);
    }
}

fn remove_grpc(headers: &mut HeaderMap, but: &str) {
    if headers.keys().any(|name| name.as_str().starts_with("grpc-")) {
        let names: Vec<HeaderName> = headers
            .keys()
            .filter(|name| name.as_str().starts_with("grpc-") && name.as_str() != but)
            .cloned()
            .collect();
        for name in names {
            headers.remove(name);
        }
    }
}

pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Whether a stream is wanted as one message per line; else it is a JSON array.
pub(crate) fn wants_lines(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|part| part.split(';').next().unwrap_or_default().trim())
        .any(|kind| {
            ["application/x-ndjson", "application/ndjson", "application/jsonl"]
                .iter()
                .any(|lines| kind.eq_ignore_ascii_case(lines))
        })
}
