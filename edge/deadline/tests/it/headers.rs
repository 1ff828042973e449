use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use tminus_deadline::headers::{Problem, format_grpc, parse_grpc, parse_plain, requested, write};

fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, text) in pairs {
        let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
        headers.append(HeaderName::from_static(name), value);
    }
    headers
}

#[test]
fn grpc_timeout_is_eight_digits_and_a_unit() {
    let good =
        |text: &str, expected: Duration| assert_eq!(parse_grpc(text.as_bytes()), Ok(expected), "{text:?}");
    good("1H", Duration::from_secs(3600));
    good("2M", Duration::from_secs(120));
    good("3S", Duration::from_secs(3));
    good("4m", Duration::from_millis(4));
    good("5u", Duration::from_micros(5));
    good("6n", Duration::from_nanos(6));
    good("00000001m", Duration::from_millis(1));
    good("99999999n", Duration::from_nanos(99_999_999));
    good("99999999H", Duration::from_secs(99_999_999 * 3600));
    let bad =
        |text: &str, problem: Problem| assert_eq!(parse_grpc(text.as_bytes()), Err(problem), "{text:?}");
    bad("0m", Problem::NotPositive);
    bad("00000000H", Problem::NotPositive);
    for text in [
        "",
        "m",
        "5",
        "-5m",
        "+5m",
        " 5m",
        "5m ",
        "5 m",
        "1.5S",
        "5s",
        "5h",
        "5ms",
        "999999999n",
        "123456789m",
        "é",
        "5é",
        "0x5m",
        "１m",
        "1S,2S",
    ] {
        bad(text, Problem::NotGrpc);
    }
}

#[test]
fn x_request_timeout_is_milliseconds_unless_it_says_seconds() {
    let good = |text: &str, expected: Option<Duration>| {
        assert_eq!(parse_plain(text.as_bytes()), Ok(expected), "{text:?}");
    };
    good("1500", Some(Duration::from_millis(1500)));
    good("300ms", Some(Duration::from_millis(300)));
    good("2s", Some(Duration::from_secs(2)));
    good("1.5s", Some(Duration::from_millis(1500)));
    good("0.25s", Some(Duration::from_millis(250)));
    good("1.5ms", Some(Duration::from_micros(1500)));
    good("0.000000001s", Some(Duration::from_nanos(1)));
    good("999999999999", Some(Duration::from_millis(999_999_999_999)));
    for nothing in ["0", "0s", "0ms", "0.0s", "0.000000001ms"] {
        good(nothing, None);
    }
    let bad =
        |text: &str, problem: Problem| assert_eq!(parse_plain(text.as_bytes()), Err(problem), "{text:?}");
    for text in [
        "",
        "s",
        "ms",
        "soon",
        "-1",
        "-1s",
        "+1s",
        "1.5",
        "1.s",
        ".5s",
        "1..5s",
        "1e3",
        "1 s",
        "2m",
        "2S",
        "1_000",
        "9999999999999",
        "1.0000000001s",
        "Infinity",
        "NaNs",
    ] {
        bad(text, Problem::NotATime);
    }
    bad(&"1".repeat(33), Problem::TooLong);
}

#[test]
fn the_shortest_limit_of_all_headers_holds() {
    let check = |pairs: &[(&'static str, &str)], expected: Option<u64>| {
        assert_eq!(
            requested(&map(pairs)),
            Ok(expected.map(Duration::from_micros)),
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
    check(
        &[
            ("x-request-timeout", "0"),
            ("x-envoy-expected-rq-timeout-ms", "0"),
        ],
        None,
    );
    check(&[("x-request-timeout", "0"), ("grpc-timeout", "3m")], Some(3_000));
    // One that comes twice.
    check(&[("grpc-timeout", "2S"), ("grpc-timeout", "1S")], Some(1_000_000));
    check(
        &[("x-request-timeout", "1s"), ("x-request-timeout", "2s")],
        Some(1_000_000),
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_its_name() {
    let check = |pairs: &[(&'static str, &str)], name: &str, problem: Problem| {
        let error = requested(&map(pairs)).unwrap_err();
        assert_eq!((error.name.as_str(), error.problem), (name, problem), "{pairs:?}");
        assert!(error.to_string().contains(name), "{error}");
    };
    check(
        &[("grpc-timeout", "999999999n")],
        "grpc-timeout",
        Problem::NotGrpc,
    );
    check(&[("grpc-timeout", "0m")], "grpc-timeout", Problem::NotPositive);
    check(
        &[("x-request-timeout", "soon")],
        "x-request-timeout",
        Problem::NotATime,
    );
    check(
        &[("x-request-timeout", "ü")],
        "x-request-timeout",
        Problem::NotATime,
    );
    let envoy = "x-envoy-expected-rq-timeout-ms";
    for text in ["", "-1", "1.5", "5ms"] {
        check(&[(envoy, text)], envoy, Problem::NotMilliseconds);
    }
    // A good one does not hide a bad one.
    check(
        &[("x-request-timeout", "1s"), ("grpc-timeout", "5")],
        "grpc-timeout",
        Problem::NotGrpc,
    );
    check(
        &[("grpc-timeout", "1S"), ("grpc-timeout", "-1S")],
        "grpc-timeout",
        Problem::NotGrpc,
    );
    // 64 KiB of it are not repeated.
    let long = "9".repeat(64 * 1024);
    let error = requested(&map(&[(envoy, &long)])).unwrap_err();
    assert_eq!(error.problem, Problem::TooLong);
    assert!(error.to_string().len() < 200, "{error}");
}

#[test]
fn what_is_left_is_written_in_the_finest_unit_that_fits() {
    let check = |left: Duration, expected: Option<&str>| {
        assert_eq!(format_grpc(left).as_deref(), expected, "{left:?}");
    };
    check(Duration::ZERO, None);
    check(Duration::from_nanos(1), Some("1n"));
    check(Duration::from_nanos(99_999_999), Some("99999999n"));
    check(Duration::from_nanos(100_000_000), Some("100000u"));
    check(Duration::from_nanos(100_000_999), Some("100000u"));
    check(Duration::from_secs(99), Some("99000000u"));
    check(Duration::from_secs(100), Some("100000m"));
    check(Duration::from_secs(100_000), Some("100000S"));
    check(Duration::from_secs(100_000_000), Some("1666666M"));
    check(Duration::from_secs(99_999_999 * 60 + 60), Some("1666666H"));
    check(Duration::MAX, Some("99999999H"));
}

#[test]
fn both_forms_are_written_and_envoys_only_if_it_was_there() {
    let mut headers = map(&[("grpc-timeout", "1S"), ("grpc-timeout", "2S")]);
    write(&mut headers, Duration::from_millis(850));
    assert_eq!(
        headers,
        map(&[("grpc-timeout", "850000u"), ("x-request-timeout", "850ms")])
    );
    let mut headers = map(&[("x-envoy-expected-rq-timeout-ms", "900")]);
    write(&mut headers, Duration::from_millis(7));
    assert_eq!(
        headers,
        map(&[
            ("grpc-timeout", "7000000n"),
            ("x-request-timeout", "7ms"),
            ("x-envoy-expected-rq-timeout-ms", "7"),
        ])
    );
    // Never nothing, which means no limit.
    let mut headers = HeaderMap::new();
    write(&mut headers, Duration::from_micros(5));
    assert_eq!(
        headers,
        map(&[("grpc-timeout", "5000n"), ("x-request-timeout", "1ms")])
    );
    let mut headers = map(&[("grpc-timeout", "1S")]);
    write(&mut headers, Duration::ZERO);
    assert_eq!(headers, map(&[("grpc-timeout", "1S")]));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = parse_grpc(&bytes);
        let _ = parse_plain(&bytes);
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            for name in ["grpc-timeout", "x-request-timeout", "x-envoy-expected-rq-timeout-ms"] {
                let mut headers = HeaderMap::new();
                headers.insert(HeaderName::from_static(name), value.clone());
                if let Ok(Some(limit)) = requested(&headers) {
                    prop_assert!(!limit.is_zero());
                }
            }
        }
    }

    /// Eight digits at most, never more than is left, never nothing, and less than a unit of it lost.
    #[test]
    fn a_written_grpc_timeout_comes_back_rounded_down(ns in 1_u64..) {
        let left = Duration::from_nanos(ns);
        let text = format_grpc(left).unwrap();
        prop_assert!((2..=9).contains(&text.len()), "{}", text);
        let back = parse_grpc(text.as_bytes()).unwrap();
        prop_assert!(back <= left && !back.is_zero());
        // What is cut off is under a millionth: eight digits hold more than seven of the number.
        prop_assert!((left - back).as_nanos() * 1_000_000 <= left.as_nanos() * 60, "{} of {:?}", text, left);
    }

    #[test]
    fn seconds_and_milliseconds_say_the_same(ms in 1_u64..1_000_000_000) {
        let seconds = format!("{}.{:03}s", ms / 1000, ms % 1000);
        prop_assert_eq!(parse_plain(seconds.as_bytes()), Ok(Some(Duration::from_millis(ms))));
        prop_assert_eq!(parse_plain(ms.to_string().as_bytes()), Ok(Some(Duration::from_millis(ms))));
        prop_assert_eq!(parse_plain(format!("{ms}ms").as_bytes()), Ok(Some(Duration::from_millis(ms))));
    }
}
