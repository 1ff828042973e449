//! The headers by which callers say how long they wait.
//!
//! | header | value | zero |
//! |---|---|---|
//! | `grpc-timeout` | 1 to 8 digits and a unit: `H M S m u n` (gRPC over HTTP/2, "Timeout") | refused: the specification asks for a positive integer |
//! | `x-request-timeout` | `1500` or `1500ms` (milliseconds), `2s`, `1.5s` | no limit |
//! | `x-envoy-expected-rq-timeout-ms` | milliseconds | no limit, as Envoy means it |
//!
//! Of several headers, and of one that comes several times, the shortest limit holds. What cannot be read
//! is refused and not passed over: a caller that means a limit would otherwise get none.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub const X_REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");
pub const X_ENVOY_EXPECTED: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

const GRPC_TIMEOUT_DIGITS_MAX: usize = 8;
/// The largest number that eight digits hold.
const GRPC_TIMEOUT_MAX: u64 = 99_999_999;
const NANOS: u64 = 1_000_000_000;
/// Nine digits of seconds are 31 years.
const DIGITS_MAX: usize = 12;
const FRACTION_DIGITS_MAX: usize = 9;
/// Longer values are not looked at, and not shown in messages.
const VALUE_BYTES_MAX: usize = 32;

/// A header that says nothing that can be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header {name} is {value:?}: {problem}")]
pub struct HeaderError {
    pub name: HeaderName,
    /// Shortened.
    pub value: String,
    pub problem: Problem,
}

/// What is wrong with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("it is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong,
    #[error("1 to 8 digits and one of the units H, M, S, m, u, n are expected, e.g. 250m")]
    NotGrpc,
    #[error("it has to be positive; leave the header out for no limit")]
    NotPositive,
    #[error("milliseconds such as 1500, or a unit, ms or s, are expected, e.g. 1500ms or 1.5s")]
    NotATime,
    #[error("whole milliseconds are expected, e.g. 1500")]
    NotMilliseconds,
}

/// The shortest limit that a request names; `None` where it names none.
///
/// # Errors
/// One of the headers cannot be read.
pub fn requested(headers: &HeaderMap) -> Result<Option<Duration>, HeaderError> {
    // One walk over what is there costs less than three searches for what mostly is not.
    if !headers.keys().any(names_a_limit) {
        return Ok(None);
    }
    searched(headers)
}

fn names_a_limit(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "grpc-timeout" | "x-request-timeout" | "x-envoy-expected-rq-timeout-ms"
    )
}

fn searched(headers: &HeaderMap) -> Result<Option<Duration>, HeaderError> {
    type Parse = fn(&[u8]) -> Result<Option<Duration>, Problem>;
    let known: [(HeaderName, Parse); 3] = [
        (GRPC_TIMEOUT, |value| parse_grpc(value).map(Some)),
        (X_REQUEST_TIMEOUT, parse_plain),
        (X_ENVOY_EXPECTED, parse_milliseconds),
    ];
    let mut shortest: Option<Duration> = None;
    for (name, parse) in known {
        for value in headers.get_all(&name) {
            let limit = parse(value.as_bytes()).map_err(|problem| HeaderError {
                name: name.clone(),
                value: shown(value.as_bytes()),
                problem,
            })?;
            if let Some(limit) = limit {
                shortest = Some(shortest.map_or(limit, |known| known.min(limit)));
            }
        }
    }
    Ok(shortest)
}

/// Tells the next hop what is left, in the forms of HTTP and of gRPC; Envoy's only where it was there.
/// Replaces what the request came with. `left` is at least a nanosecond, or nothing is changed: 0 would
/// mean "no limit" to some.
pub fn write(headers: &mut HeaderMap, left: Duration) {
    let Some((number, unit)) = grpc_form(left) else {
        return;
    };
    headers.insert(GRPC_TIMEOUT, value(number, unit));
    // A caller with less than a millisecond left still has a limit.
    let milliseconds = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    headers.insert(X_REQUEST_TIMEOUT, value(milliseconds, "ms"));
    if headers.contains_key(&X_ENVOY_EXPECTED) {
        headers.insert(X_ENVOY_EXPECTED, value(milliseconds, ""));
    }
}

/// As `{number}{unit}` writes it, without the machinery of formatting: every request that passes has two of these.
fn value(number: u64, unit: &str) -> HeaderValue {
    const DIGITS: usize = 20;
    const UNIT: usize = 2;
    let mut text = [0; DIGITS + UNIT];
    let mut at = DIGITS;
    let mut left = number;
    loop {
        at -= 1;
        text[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    let end = DIGITS + unit.len();
    text[DIGITS..end].copy_from_slice(unit.as_bytes());
    let mut value = HeaderValue::from_bytes(&text[at..end]).expect("digits and a unit are a header value");
    // HTTP/2 keeps it out of its table of headers: the next message has another value.
    value.set_sensitive(true);
    value
}

fn shown(value: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(value)
        .chars()
        .take(VALUE_BYTES_MAX)
        .collect();
    if text.len() < value.len() {
        format!("{text}…")
    } else {
        text
    }
}

/// `grpc-timeout`.
///
/// # Errors
/// It is not 1 to 8 digits and a unit, or it is zero.
pub fn parse_grpc(value: &[u8]) -> Result<Duration, Problem> {
    let (unit, number) = value.split_last().ok_or(Problem::NotGrpc)?;
    if number.is_empty() || number.len() > GRPC_TIMEOUT_DIGITS_MAX {
        return Err(Problem::NotGrpc);
    }
    let number = digits(number).ok_or(Problem::NotGrpc)?;
    let limit = match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return Err(Problem::NotGrpc),
    };
    if limit.is_zero() {
        Err(Problem::NotPositive)
    } else {
        Ok(limit)
    }
}

/// Rounded down to the finest unit of which eight digits are enough; `None` for nothing.
#[must_use]
pub fn format_grpc(left: Duration) -> Option<String> {
    grpc_form(left).map(|(number, unit)| format!("{number}{unit}"))
}

fn grpc_form(left: Duration) -> Option<(u64, &'static str)> {
    if left.is_zero() {
        return None;
    }
    let seconds = left.as_secs();
    let below = u64::from(left.subsec_nanos());
    // Units of a second and above have no fraction; of the others, more than fits is more than any number below.
    let parts = |per_second: u64| {
        seconds
            .saturating_mul(per_second)
            .saturating_add(below / (NANOS / per_second))
    };
    let units = [
        (parts(NANOS), "n"),
        (parts(1_000_000), "u"),
        (parts(1_000), "m"),
        (seconds, "S"),
        (seconds / 60, "M"),
        (seconds / 3_600, "H"),
    ];
    let fits = units.into_iter().find(|(number, _)| *number <= GRPC_TIMEOUT_MAX);
    Some(fits.unwrap_or((GRPC_TIMEOUT_MAX, "H")))
}

/// `x-request-timeout`; `None` for zero.
///
/// # Errors
/// It is no number of milliseconds or seconds.
pub fn parse_plain(value: &[u8]) -> Result<Option<Duration>, Problem> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Problem::TooLong);
    }
    let limit = if let Some(number) = value.strip_suffix(b"ms") {
        decimal(number, 1_000_000)
    } else if let Some(number) = value.strip_suffix(b"s") {
        decimal(number, 1_000_000_000)
    } else {
        // A fraction without a unit is seconds to some and milliseconds to others.
        bounded_digits(value).map(Duration::from_millis)
    };
    let limit = limit.ok_or(Problem::NotATime)?;
    Ok((!limit.is_zero()).then_some(limit))
}

fn parse_milliseconds(value: &[u8]) -> Result<Option<Duration>, Problem> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Problem::TooLong);
    }
    let limit = bounded_digits(value).ok_or(Problem::NotMilliseconds)?;
    Ok((limit > 0).then(|| Duration::from_millis(limit)))
}

/// A number of units, with a fraction if there is a dot; less than a nanosecond is dropped.
fn decimal(text: &[u8], unit_ns: u64) -> Option<Duration> {
    let dot = text.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match dot {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let whole = u128::from(bounded_digits(whole)?) * u128::from(unit_ns);
    let fraction = match fraction {
        None => 0,
        Some(text) if text.is_empty() || text.len() > FRACTION_DIGITS_MAX => return None,
        Some(text) => {
            let parts = 10_u128.pow(u32::try_from(text.len()).ok()?);
            u128::from(digits(text)?) * u128::from(unit_ns) / parts
        }
    };
    let total = whole + fraction;
    let seconds = u64::try_from(total / 1_000_000_000).ok()?;
    let nanoseconds = u32::try_from(total % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, nanoseconds))
}

fn bounded_digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > DIGITS_MAX {
        return None;
    }
    digits(text)
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_is_written_as_formatting_writes_it(number in any::<u64>(), bits in 0_u32..64) {
            let number = number >> bits;
            for unit in ["", "m", "ms"] {
                let (written, expected) = (value(number, unit), format!("{number}{unit}"));
                prop_assert_eq!(written.as_bytes(), expected.as_bytes());
            }
        }

        #[test]
        fn the_walk_finds_what_the_search_finds(
            pairs in proptest::collection::vec(
                (
                    prop_oneof![
                        Just("grpc-timeout"), Just("x-request-timeout"), Just("x-envoy-expected-rq-timeout-ms"),
                        Just("x-request-id"), Just("host"), Just("timeout"),
                    ],
                    prop_oneof![Just("250m"), Just("1500"), Just("2s"), Just("0"), Just("x")],
                ),
                0..4,
            ),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            prop_assert_eq!(requested(&headers), searched(&headers));
        }
    }
}
