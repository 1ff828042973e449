//! The table: each finding about the token with each finding about the session.

use tminus_identity::{
    AuthCompat, Malformed, Outcome, Refusal, SessionFinding, Source, TokenError, TokenFinding, Verified,
    decide, session::SessionError,
};

fn valid(subject: &str) -> TokenFinding {
    TokenFinding::Valid(Verified {
        subject: subject.to_owned(),
        issuer: "https://id.example".into(),
        name: Some("Ada".into()),
        issued_at_s: Some(1),
        expires_at_s: 600,
    })
}

#[test]
fn each_pair_of_findings_has_one_answer() {
    use Refusal::{
        Disagree, KeysUnavailable, Missing, SessionUnknown, SessionUnreadable, SessionsUnavailable,
    };
    let tokens = [
        TokenFinding::Absent,
        valid("p-1"),
        TokenFinding::Invalid(TokenError::Signature),
        TokenFinding::Invalid(TokenError::Expired),
        TokenFinding::Unavailable,
    ];
    let bad = || Err(Refusal::Token(TokenError::Signature));
    let old = || Err(Refusal::Token(TokenError::Expired));
    let unreadable = SessionFinding::Unreadable(SessionError::NoPlayer);
    // Rows in the order of `tokens`.
    let table: [(SessionFinding, [Result<Source, Refusal>; 5]); 6] = [
        (
            SessionFinding::Absent,
            [
                Err(Missing),
                Ok(Source::Token),
                bad(),
                old(),
                Err(KeysUnavailable),
            ],
        ),
        (
            SessionFinding::Valid("p-1".into()),
            [
                Ok(Source::Session),
                Ok(Source::Both),
                bad(),
                old(),
                Err(KeysUnavailable),
            ],
        ),
        (
            SessionFinding::Valid("P-1".into()),
            [
                Ok(Source::Session),
                Err(Disagree),
                bad(),
                old(),
                Err(KeysUnavailable),
            ],
        ),
        (
            SessionFinding::Unknown,
            [
                Err(SessionUnknown),
                Err(SessionUnknown),
                bad(),
                old(),
                Err(SessionUnknown),
            ],
        ),
        (
            unreadable,
            [
                Err(SessionUnreadable),
                Err(SessionUnreadable),
                bad(),
                old(),
                Err(SessionUnreadable),
            ],
        ),
        (
            SessionFinding::Unavailable,
            [
                Err(SessionsUnavailable),
                Err(SessionsUnavailable),
                bad(),
                old(),
                Err(SessionsUnavailable),
            ],
        ),
    ];
    for (session, answers) in table {
        for (token, answer) in tokens.iter().zip(answers) {
            let decision = decide(token, &session);
            assert_eq!(
                decision.clone().map(|identity| identity.source),
                answer,
                "{token:?} {session:?}"
            );
            if let (Ok(identity), SessionFinding::Valid(player_id)) = (&decision, &session) {
                assert_eq!(identity.player_id, *player_id);
            }
        }
    }
    let identity = decide(&valid("p-1"), &SessionFinding::Absent).unwrap();
    assert_eq!(
        (
            identity.player_id.as_str(),
            identity.display_name.as_deref(),
            identity.expires_at_s
        ),
        ("p-1", Some("Ada"), Some(600))
    );
}

#[test]
fn every_refusal_has_a_code_of_its_own_kind() {
    for (refusal, code, unavailable) in [
        (Refusal::Missing, "CREDENTIALS_MISSING", false),
        (
            Refusal::Malformed(Malformed::TwoTokens),
            "CREDENTIALS_MALFORMED",
            false,
        ),
        (Refusal::Token(TokenError::Signature), "TOKEN_INVALID", false),
        (Refusal::Token(TokenError::Expired), "TOKEN_EXPIRED", false),
        (Refusal::Token(TokenError::Revoked), "TOKEN_REVOKED", false),
        (Refusal::SessionUnknown, "SESSION_UNKNOWN", false),
        (Refusal::SessionUnreadable, "SESSION_UNREADABLE", false),
        (Refusal::Disagree, "CREDENTIALS_DISAGREE", false),
        (Refusal::KeysUnavailable, "KEYS_UNAVAILABLE", true),
        (Refusal::SessionsUnavailable, "SESSIONS_UNAVAILABLE", true),
    ] {
        assert_eq!((refusal.code(), refusal.is_unavailable()), (code, unavailable));
        assert!(!refusal.to_string().is_empty());
    }
    // Two ways to be wrong read the same to whoever tries.
    assert_eq!(
        Refusal::Token(TokenError::UnknownKey).to_string(),
        Refusal::Token(TokenError::Signature).to_string()
    );
}

#[test]
fn requests_are_counted_by_what_they_showed() {
    let counts = AuthCompat::default();
    let unreadable = SessionFinding::Unreadable(SessionError::NoPlayer);
    let same = SessionFinding::Valid("p-1".into());
    let other = SessionFinding::Valid("p-2".into());
    for session in [
        &SessionFinding::Absent,
        &same,
        &same,
        &other,
        &unreadable,
        &SessionFinding::Unavailable,
    ] {
        let token = valid("p-1");
        counts.count(&token, session, &decide(&token, session));
    }
    counts.count_malformed(Malformed::TwoTokens);
    counts.count_malformed(Malformed::TwoSessions);
    for (jwt, session, outcome, count) in [
        ("valid", "absent", Outcome::Accepted, 1),
        ("valid", "valid", Outcome::Accepted, 2),
        ("valid", "valid", Outcome::Disagree, 1),
        ("valid", "unreadable", Outcome::Refused, 1),
        ("valid", "unavailable", Outcome::Unavailable, 1),
        ("malformed", "unknown", Outcome::Refused, 1),
        ("unknown", "malformed", Outcome::Refused, 1),
        ("absent", "absent", Outcome::Refused, 0),
    ] {
        assert_eq!(
            counts.now(jwt, session, outcome),
            count,
            "{jwt} {session} {outcome:?}"
        );
    }
    let mut page = String::new();
    counts.write_prometheus(&mut page);
    for line in [
        "# TYPE auth_compat_total counter",
        "auth_compat_total{jwt=\"valid\",session=\"valid\",outcome=\"disagree\"} 1",
        "auth_sessions_unreadable_total{kind=\"no_player\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}
