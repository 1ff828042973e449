//! Headers of HTTP to metadata of gRPC and back. Names stay as they are: there is no prefix on either side.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Of one connection (RFC 9110 section 7.6.1), or of the body, which is another one on the other side.
fn stays_here(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "content-encoding"
            | "content-length"
            | "content-type"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// They say what the client wants of HTTP.
fn is_about_http(name: &str) -> bool {
    matches!(name, "accept" | "accept-encoding" | "expect" | "host" | "range")
}

/// What belongs to gRPC itself a client cannot set, but for how long it waits.
fn is_grpcs_own(name: &str) -> bool {
    name.starts_with("grpc-") && name != "grpc-timeout"
}

pub(crate) fn to_metadata(headers: &mut HeaderMap) {
    remove(headers, |name| {
        stays_here(name) || is_about_http(name) || is_grpcs_own(name)
    });
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
}

pub(crate) fn to_http(headers: &mut HeaderMap) {
    remove(headers, |name| stays_here(name) || name.starts_with("grpc-"));
}

fn remove(headers: &mut HeaderMap, goes: impl Fn(&str) -> bool) {
    let mut names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| goes(name.as_str()))
        .cloned()
        .collect();
    let of_connection = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    names.extend(
        of_connection
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse::<HeaderName>().ok()),
    );
    for name in names {
        headers.remove(name);
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
