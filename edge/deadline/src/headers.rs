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
const GRPC_TIMEOUT_MAX: u128 = 99_999_999;
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
    let Some(grpc) = format_grpc(left) else { return };
    headers.insert(GRPC_TIMEOUT, value(grpc));
    // A caller with less than a millisecond left still has a limit.
    let milliseconds = left.as_millis().max(1);
    headers.insert(X_REQUEST_TIMEOUT, value(format!("{milliseconds}ms")));
    if headers.contains_key(&X_ENVOY_EXPECTED) {
        headers.insert(X_ENVOY_EXPECTED, value(milliseconds.to_string()));
    }
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits and a unit are a header value")
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
    if left.is_zero() {
        return None;
    }
    let nanoseconds = left.as_nanos();
    let units: [(u128, char); 6] = [
        (1, 'n'),
        (1_000, 'u'),
        (1_000_000, 'm'),
        (1_000_000_000, 'S'),
        (60_000_000_000, 'M'),
        (3_600_000_000_000, 'H'),
    ];
    let fits = units
        .into_iter()
        .map(|(unit, name)| (nanoseconds / unit, name))
        .find(|(number, _)| *number <= GRPC_TIMEOUT_MAX);
    let (number, name) = fits.unwrap_or((GRPC_TIMEOUT_MAX, 'H'));
    Some(format!("{number}{name}"))
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
