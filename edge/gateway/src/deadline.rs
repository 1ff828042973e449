//! How long a client is willing to wait, read from its headers and handed on, less what is spent.
//!
//! Understands `grpc-timeout` (gRPC over HTTP/2: at most 8 digits and a unit), `x-request-timeout`
//! (`1500`, `1500ms` or `2s`; a bare number is milliseconds) and
//! `x-envoy-expected-rq-timeout-ms`. It never reads a clock: what is spent is an argument.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const X_REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");
const X_ENVOY_EXPECTED: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// A twentieth of what is left stays with the gateway, within these bounds, so that the backend
/// gives up before the gateway does and its own answer still arrives.
const MARGIN_MIN: Duration = Duration::from_millis(1);
const MARGIN_MAX: Duration = Duration::from_millis(50);
const GRPC_TIMEOUT_DIGITS_MAX: usize = 8;

/// The shortest time limit that the request names; unreadable values and zeros of the HTTP headers
/// (which mean "none" to Envoy) are ignored, a zero `grpc-timeout` is spent already.
pub fn of_request(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let grpc = text(&GRPC_TIMEOUT).and_then(parse_grpc);
    let plain = text(&X_REQUEST_TIMEOUT)
        .and_then(parse_plain)
        .filter(|limit| !limit.is_zero());
    let envoy = text(&X_ENVOY_EXPECTED)
        .and_then(digits)
        .map(Duration::from_millis)
        .filter(|limit| !limit.is_zero());
    [grpc, plain, envoy].into_iter().flatten().min()
}

/// What may be handed on when `left` is left: whole milliseconds, never 0. `None` when nothing is
/// worth handing on and the backend should not be called at all.
pub fn handed_on(left: Duration) -> Option<Duration> {
    let margin = (left / 20).clamp(MARGIN_MIN, MARGIN_MAX);
    let milliseconds = u64::try_from(left.saturating_sub(margin).as_millis()).unwrap_or(u64::MAX);
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}

/// Rewrites the headers that the request came with to `left`.
pub fn write(headers: &mut HeaderMap, left: Duration) {
    let milliseconds = left.as_millis();
    for name in [X_REQUEST_TIMEOUT, X_ENVOY_EXPECTED] {
        if headers.contains_key(&name) {
            headers.insert(name, value(format!("{milliseconds}")));
        }
    }
    if headers.contains_key(GRPC_TIMEOUT) {
        let text = if milliseconds < 100_000_000 {
            format!("{milliseconds}m")
        } else {
            format!("{}S", left.as_secs())
        };
        headers.insert(GRPC_TIMEOUT, value(text));
    }
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits and a unit are a header value")
}

fn digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn parse_grpc(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let number = &text[..text.len() - unit.len_utf8()];
    if number.is_empty() || number.len() > GRPC_TIMEOUT_DIGITS_MAX {
        return None;
    }
    let number = digits(number)?;
    Some(match unit {
        'H' => Duration::from_secs(number * 3600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

fn parse_plain(text: &str) -> Option<Duration> {
    if let Some(number) = text.strip_suffix("ms") {
        return digits(number).map(Duration::from_millis);
    }
    match text.strip_suffix('s') {
        Some(number) => digits(number).map(Duration::from_secs),
        None => digits(text).map(Duration::from_millis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, text)| (HeaderName::from_static(name), text.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_shortest_readable_limit_holds() {
        let check = |pairs: &[(&'static str, &str)], expected: Option<u64>| {
            assert_eq!(
                of_request(&map(pairs)),
                expected.map(Duration::from_micros),
                "{pairs:?}"
            );
        };
        check(&[], None);
        check(
            &[("grpc-timeout", "1S"), ("x-request-timeout", "500")],
            Some(500_000),
        );
        check(
            &[("grpc-timeout", "1010m"), ("x-request-timeout", "2s")],
            Some(1_010_000),
        );
        check(
            &[
                ("x-request-timeout", "250ms"),
                ("x-envoy-expected-rq-timeout-ms", "200"),
            ],
            Some(200_000),
        );
        check(&[("grpc-timeout", "7u")], Some(7));
        check(&[("grpc-timeout", "2H")], Some(7_200_000_000));
        check(&[("grpc-timeout", "0m")], Some(0));
        check(&[("grpc-timeout", "123456789m")], None);
        check(&[("grpc-timeout", "5"), ("x-request-timeout", "soon")], None);
        check(&[("grpc-timeout", "é")], None);
        check(
            &[
                ("x-request-timeout", "0"),
                ("x-envoy-expected-rq-timeout-ms", "0"),
            ],
            None,
        );
    }

    #[test]
    fn less_is_handed_on_than_is_left_and_never_zero() {
        let check = |left_us: u64, expected_ms: Option<u64>| {
            assert_eq!(
                handed_on(Duration::from_micros(left_us)),
                expected_ms.map(Duration::from_millis),
                "{left_us}"
            );
        };
        check(0, None);
        check(1_999, None);
        check(2_000, Some(1));
        check(100_900, Some(95));
        check(10_000_000, Some(9_950));
    }

    #[test]
    fn only_the_clients_own_headers_are_rewritten() {
        let mut headers = map(&[("grpc-timeout", "1S"), ("x-envoy-expected-rq-timeout-ms", "900")]);
        write(&mut headers, Duration::from_millis(850));
        assert_eq!(
            headers,
            map(&[
                ("grpc-timeout", "850m"),
                ("x-envoy-expected-rq-timeout-ms", "850")
            ])
        );
        write(&mut headers, Duration::from_secs(400_000));
        assert_eq!(headers["grpc-timeout"], "400000S");
    }
}
