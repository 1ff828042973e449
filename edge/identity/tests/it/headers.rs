//! What is taken from a request's headers.

use http::{HeaderMap, HeaderName, HeaderValue};
use tminus_identity::{Malformed, Presented, SESSION_ID_BYTES_MAX, SessionSource, TOKEN_BYTES_MAX};

fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value).unwrap(),
        );
    }
    headers
}

fn source(cookie: &str, cookie_base64: bool) -> SessionSource {
    SessionSource {
        cookie: Some(cookie.to_owned()),
        cookie_base64,
    }
}

type Pairs<'a> = &'a [(&'a str, &'a [u8])];
type Expected = Result<(Option<&'static str>, Option<&'static str>), Malformed>;

fn check(pairs: &[(&str, &[u8])], source: &SessionSource, expected: Expected) {
    let headers = headers(pairs);
    let read = Presented::read(&headers, None, Some(source));
    let found = read
        .as_ref()
        .map(|shown| (shown.token, shown.session.as_ref().map(|id| id.as_str())));
    assert_eq!(found, expected.as_ref().map(|shown| *shown), "{pairs:?}");
}

#[test]
fn a_token_and_a_session_are_found_where_they_belong() {
    let sid = source("sid", false);
    let authorization = "authorization";
    check(&[], &sid, Ok((None, None)));
    check(&[(authorization, b"Bearer abc")], &sid, Ok((Some("abc"), None)));
    check(&[(authorization, b"bEARER  abc ")], &sid, Ok((Some("abc"), None)));
    check(&[("x-session-id", b"S1%2F+=")], &sid, Ok((None, Some("S1%2F+="))));
    check(&[("cookie", b"a=1; sid=S1; b=2")], &sid, Ok((None, Some("S1"))));
    check(
        &[("cookie", b"a=1"), ("cookie", b"sid=\"S1\"")],
        &sid,
        Ok((None, Some("S1"))),
    );
    check(&[("cookie", b"Sid=no; xsid=no; sid")], &sid, Ok((None, None)));
    check(
        &[
            (authorization, b"Bearer abc"),
            ("x-session-id", b"S1"),
            ("cookie", b"sid=S1"),
        ],
        &sid,
        Ok((Some("abc"), Some("S1"))),
    );
    // What Spring's cookie holds is the id in base64.
    check(
        &[("cookie", b"SESSION=UzE=")],
        &source("SESSION", true),
        Ok((None, Some("S1"))),
    );
    check(
        &[("x-session-id", b"UzE=")],
        &source("SESSION", true),
        Ok((None, Some("UzE="))),
    );
}

#[test]
fn what_can_be_read_in_two_ways_or_in_none_is_refused() {
    use Malformed::{Cookies, NotBearer, SessionId, TokenTooLong, TwoSessions, TwoTokens};
    let sid = source("sid", false);
    let huge = vec![b'x'; 64 * 1024];
    let bearer_huge = [b"Bearer ".as_slice(), &huge].concat();
    let longest = [b"Bearer ".as_slice(), &vec![b'x'; TOKEN_BYTES_MAX]].concat();
    let too_long = [longest.as_slice(), b"x"].concat();
    let id_too_long = vec![b'x'; SESSION_ID_BYTES_MAX + 1];
    let rows: [(Pairs<'_>, Malformed); 16] = [
        (
            &[("authorization", b"Bearer a"), ("authorization", b"Bearer a")],
            TwoTokens,
        ),
        (
            &[("authorization", b"Bearer a"), ("authorization", b"Bearer b")],
            TwoTokens,
        ),
        (&[("authorization", b"Basic abc")], NotBearer),
        (&[("authorization", b"abc")], NotBearer),
        (&[("authorization", b"")], NotBearer),
        (&[("authorization", b"Bearer \xff")], NotBearer),
        (&[("authorization", &bearer_huge)], TokenTooLong),
        (&[("authorization", &too_long)], TokenTooLong),
        (&[("x-session-id", b"a"), ("x-session-id", b"a")], TwoSessions),
        (&[("x-session-id", b"a"), ("cookie", b"sid=b")], TwoSessions),
        (&[("cookie", b"sid=a; sid=a")], TwoSessions),
        (&[("x-session-id", b"")], SessionId),
        (&[("x-session-id", b"a b")], SessionId),
        (&[("x-session-id", b"\xc3\xa9")], SessionId),
        (&[("x-session-id", &id_too_long)], SessionId),
        (&[("cookie", &huge)], Cookies),
    ];
    for (pairs, error) in rows {
        check(pairs, &sid, Err(error));
    }
    check(
        &[("cookie", b"SESSION=%%%")],
        &source("SESSION", true),
        Err(SessionId),
    );
    let fits = headers(&[("authorization", &longest)]);
    assert!(Presented::read(&fits, None, Some(&sid)).is_ok());
}

#[test]
fn a_page_of_another_origin_may_not_use_the_cookie() {
    let sid = source("sid", false);
    let cookie: (&str, &[u8]) = ("cookie", b"sid=S1");
    for (more, good) in [
        (vec![], true),
        (
            vec![("origin", "https://play.example"), ("host", "play.example")],
            true,
        ),
        (
            vec![
                ("origin", "https://play.example:8443"),
                ("host", "Play.example:8443"),
            ],
            true,
        ),
        (
            vec![("origin", "https://evil.example"), ("host", "play.example")],
            false,
        ),
        (
            vec![("origin", "https://play.example.evil"), ("host", "play.example")],
            false,
        ),
        (vec![("origin", "https://play.example")], false),
        (vec![("origin", "null"), ("host", "play.example")], false),
        (
            vec![
                ("origin", "https://play.example"),
                ("origin", "https://evil.example"),
                ("host", "play.example"),
            ],
            false,
        ),
    ] {
        let mut pairs: Vec<(&str, &[u8])> = vec![cookie];
        pairs.extend(more.iter().map(|(name, value)| (*name, value.as_bytes())));
        let expected = if good {
            Ok((None, Some("S1")))
        } else {
            Err(Malformed::ForeignOrigin)
        };
        check(&pairs, &sid, expected);
    }
    // A header is set by nobody but the page itself.
    check(
        &[("x-session-id", b"S1"), ("origin", b"https://evil.example")],
        &sid,
        Ok((None, Some("S1"))),
    );
}

#[test]
fn where_no_sessions_are_accepted_their_headers_are_not_looked_at() {
    let headers = headers(&[
        ("x-session-id", b"a b"),
        ("x-session-id", b"c"),
        ("cookie", b"sid=1; sid=2"),
    ]);
    let shown = Presented::read(&headers, None, None).unwrap();
    assert_eq!((shown.token, shown.session), (None, None));
}

#[test]
fn a_token_may_come_another_way_but_not_two_of_them() {
    let one = headers(&[("authorization", b"Bearer a")]);
    let token = |headers, offered| Presented::read(headers, offered, None).map(|shown| shown.token);
    assert_eq!(token(&one, Some("a")), Ok(Some("a")));
    assert_eq!(token(&one, Some("b")), Err(Malformed::TwoTokens));
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    let none = HeaderMap::new();
    assert_eq!(token(&none, Some("b")), Ok(Some("b")));
    assert_eq!(token(&none, Some(&long)), Err(Malformed::TokenTooLong));
}

#[test]
fn neither_credential_is_shown_by_debug() {
    let both = headers(&[("authorization", b"Bearer tok3n"), ("x-session-id", b"s3ssion")]);
    let shown = format!(
        "{:?}",
        Presented::read(&both, None, Some(&SessionSource::default())).unwrap()
    );
    assert!(!shown.contains("tok3n") && !shown.contains("s3ssion"), "{shown}");
}
