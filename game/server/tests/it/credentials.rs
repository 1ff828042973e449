//! Two credentials, one player: tokens of an issuer outside, sessions that an older system left in Redis, and our own
//! tokens, over HTTP, gRPC and WebSocket.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use axum::{Router, extract::State, routing::get};
use http::StatusCode;
use redis::Commands as _;
use serde_json::{Value, json};
use starvault_server::{Credentials, LegacySessions, OutsideTokens, SessionFormat, TimeSource};
use starvault_testing::RedisServer;
use starvault_wire::v1::{GetProfileRequest, player_service_client::PlayerServiceClient};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Request};

use crate::support::{Answer, Running, bearer, folder, request, soon};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../edge/identity/tests/fixtures");

/// Tokens that PyJWT made, their keys, and the time at which they are meant to be read.
struct Outside {
    file: Value,
}

impl Outside {
    fn read() -> Self {
        let text = std::fs::read_to_string(Path::new(FIXTURES).join("tokens.json")).unwrap();
        Self {
            file: serde_json::from_str(&text).unwrap(),
        }
    }

    fn token(&self, name: &str) -> &str {
        self.file["tokens"][name].as_str().unwrap()
    }

    fn now_ms(&self) -> i64 {
        self.file["now_s"].as_i64().unwrap() * 1000
    }

    fn accepted(&self, jwks: &str) -> OutsideTokens {
        let text = |name: &str| self.file[name].as_str().unwrap().to_owned();
        OutsideTokens {
            jwks: jwks.parse().unwrap(),
            issuer: text("issuer"),
            audience: text("audience"),
        }
    }

    fn write_keys(&self, folder: &Path) -> PathBuf {
        let path = folder.join("jwks.json");
        std::fs::write(&path, self.file["jwks"].to_string()).unwrap();
        path
    }
}

/// Session values as their own encoders wrote them.
fn sessions() -> BTreeMap<String, Vec<u8>> {
    let text = std::fs::read_to_string(Path::new(FIXTURES).join("sessions.hex")).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, digits)| Some((name.to_owned(), hex::decode(digits).ok()?)))
        .collect()
}

pub fn legacy(redis: &RedisServer, format: SessionFormat, cookie: Option<&str>) -> LegacySessions {
    LegacySessions {
        redis: redis.url().parse().unwrap(),
        format,
        key_prefix: format.key_prefix().to_owned(),
        player_field: "player_id".into(),
        cookie: cookie.map(str::to_owned),
    }
}

pub fn put(redis: &RedisServer, key: &str, value: &[u8]) {
    let mut link = redis::Client::open(redis.url())
        .unwrap()
        .get_connection()
        .unwrap();
    let () = link.set(key, value).unwrap();
}

/// A clock that a test moves.
pub fn clock(at_ms: i64) -> (Arc<AtomicI64>, TimeSource) {
    let now = Arc::new(AtomicI64::new(at_ms));
    let read = now.clone();
    (now, TimeSource::new(move || read.load(Ordering::SeqCst)))
}

fn reason(answer: &Answer) -> String {
    answer.json()["details"][0]["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

type Shown<'a> = &'a [(&'a str, &'a str)];

async fn over_http(server: &Running, shown: Shown<'_>) -> Answer {
    server.get("/v1/players/me", shown).await
}

async fn over_grpc(server: &Running, shown: Shown<'_>) -> Result<String, tonic::Status> {
    let mut client = PlayerServiceClient::connect(format!("http://{}", server.address))
        .await
        .unwrap();
    let mut question = Request::new(GetProfileRequest {
        player_id: "me".into(),
    });
    for (name, value) in shown {
        let name: tonic::metadata::AsciiMetadataKey = name.parse().unwrap();
        question.metadata_mut().append(name, value.parse().unwrap());
    }
    client
        .get_profile(question)
        .await
        .map(|profile| profile.into_inner().player_id)
}

/// The status of an upgrade; the token goes as a subprotocol, all else as it is.
async fn over_websocket(server: &Running, shown: Shown<'_>) -> (StatusCode, String) {
    let mut protocols = "starvault.v1.json".to_owned();
    let mut head = format!(
        "GET /v1/play HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        server.address
    );
    for (name, value) in shown {
        match value.strip_prefix("Bearer ") {
            Some(token) => protocols += &format!(", bearer.{token}"),
            None => head += &format!("{name}: {value}\r\n"),
        }
    }
    head += &format!("sec-websocket-protocol: {protocols}\r\n\r\n");
    let answer = raw(server, head.as_bytes()).await;
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

/// What comes back to these bytes, up to the end of a head or of the connection.
async fn raw(server: &Running, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let talking = async {
        let _ = stream.write_all(bytes).await;
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            answer.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&answer);
            let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                head.starts_with("HTTP/1.1 101") || head.contains("content-length: 0") || body.ends_with('}')
            });
            if whole {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    soon("an answer to raw bytes", talking).await
}

#[tokio::test]
async fn a_token_a_session_or_both_are_the_same_player_everywhere_and_two_players_are_nobody() {
    let (folder, outside, redis) = (folder(), Outside::read(), RedisServer::start());
    let keys = outside.write_keys(folder.path());
    put(&redis, "session_ABC234", &sessions()["gob.several"]);
    let server = Running::start(&folder, "v1.2", |config| {
        config.time = clock(outside.now_ms()).1;
        config.credentials = Credentials {
            outside: Some(outside.accepted(keys.to_str().unwrap())),
            sessions: Some(legacy(&redis, SessionFormat::Gob, Some("sid"))),
            revocations: None,
        };
    })
    .await;
    let token = bearer(outside.token("good.ES256"));
    let other = bearer(outside.token("other_player"));
    let guest = server.sign_in("Bo").await;
    let own = bearer(&guest.token);

    let good: [Shown<'_>; 5] = [
        &[("authorization", &token)],
        &[("x-session-id", "ABC234")],
        &[("cookie", "a=b; sid=ABC234")],
        &[("authorization", &token), ("x-session-id", "ABC234")],
        &[
            ("authorization", &token),
            ("x-session-id", "ABC234"),
            ("cookie", "sid=ABC234"),
        ],
    ];
    let mut bodies = Vec::new();
    for shown in good {
        let answer = over_http(&server, shown).await;
        assert_eq!(answer.status, StatusCode::OK, "{shown:?} {}", answer.text());
        bodies.push(answer.json());
        assert_eq!(
            over_grpc(&server, shown).await.unwrap(),
            "p-legacy-7",
            "{shown:?}"
        );
        assert_eq!(
            over_websocket(&server, shown).await.0,
            StatusCode::SWITCHING_PROTOCOLS,
            "{shown:?}"
        );
    }
    // The first request made the profile, with the name that the token had.
    assert_eq!(
        (&bodies[0]["playerId"], &bodies[0]["displayName"]),
        (&"p-legacy-7".into(), &"Ada".into())
    );
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");

    let refused: [(Shown<'_>, &str); 9] = [
        (&[], "CREDENTIALS_MISSING"),
        (
            &[("authorization", &other), ("x-session-id", "ABC234")],
            "CREDENTIALS_DISAGREE",
        ),
        (
            &[("authorization", &own), ("x-session-id", "ABC234")],
            "CREDENTIALS_DISAGREE",
        ),
        // A bad one beside a good one is refused, either way round.
        (
            &[("authorization", &token), ("x-session-id", "ABC235")],
            "SESSION_UNKNOWN",
        ),
        (
            &[("authorization", &token), ("x-session-id", "abc234")],
            "SESSION_UNKNOWN",
        ),
        (
            &[("authorization", "Bearer x.y.z"), ("x-session-id", "ABC234")],
            "TOKEN_INVALID",
        ),
        (
            &[
                ("authorization", &token),
                ("x-session-id", "ABC234"),
                ("x-session-id", "ABC234"),
            ],
            "CREDENTIALS_MALFORMED",
        ),
        (
            &[("x-session-id", "ABC234"), ("cookie", "sid=OTHER")],
            "CREDENTIALS_MALFORMED",
        ),
        (
            &[("cookie", "sid=ABC234"), ("origin", "https://evil.example")],
            "CREDENTIALS_MALFORMED",
        ),
    ];
    for (shown, code) in refused {
        let answer = over_http(&server, shown).await;
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (StatusCode::UNAUTHORIZED, code),
            "{shown:?}"
        );
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        assert_eq!(answer.json()["code"], 16);
        let status = over_grpc(&server, shown).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unauthenticated, answer.json()["message"].as_str().unwrap())
        );
        assert!(
            String::from_utf8_lossy(status.details()).contains(code),
            "{shown:?}"
        );
        let (status, text) = over_websocket(&server, shown).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{shown:?}");
        assert!(text.contains(code), "{text}");
    }

    let figures = server.figures().await;
    for (labels, least) in [
        (r#"jwt="valid",session="absent",outcome="accepted""#, 3.0),
        (r#"jwt="absent",session="valid",outcome="accepted""#, 6.0),
        (r#"jwt="valid",session="valid",outcome="accepted""#, 6.0),
        (r#"jwt="valid",session="valid",outcome="disagree""#, 6.0),
        (r#"jwt="valid",session="unknown",outcome="refused""#, 6.0),
        (r#"jwt="invalid",session="valid",outcome="refused""#, 3.0),
        (r#"jwt="unknown",session="malformed",outcome="refused""#, 9.0),
        (r#"jwt="absent",session="absent",outcome="refused""#, 3.0),
    ] {
        assert_eq!(
            figures.get(&format!("auth_compat_total{{{labels}}}")),
            Some(&least),
            "{labels}\n{figures:?}"
        );
    }
    assert_eq!(figures["starvault_jwks_keys"], 3.0);
    server.stop().await;
}

#[tokio::test]
async fn sessions_of_every_format_are_read_and_what_is_none_is_refused_and_counted() {
    let (outside, values) = (Outside::read(), sessions());
    let hash = |redis: &RedisServer, key: &str, player: &str, used: &str| {
        let mut link = redis::Client::open(redis.url())
            .unwrap()
            .get_connection()
            .unwrap();
        for (field, value) in [
            ("sessionAttr:player_id", player),
            ("lastAccessedTime", used),
            ("maxInactiveInterval", "java.integer_1800"),
        ] {
            let () = link.hset(key, field, &values[value]).unwrap();
        }
    };
    let redis = RedisServer::start();
    put(
        &redis,
        "sess:S1",
        br#"{"cookie":{"path":"/"},"player_id":"p-legacy-7"}"#,
    );
    put(&redis, "sess:bad", b"{}");
    put(&redis, "session_S1", &values["gob.text"]);
    put(&redis, "session_bad", &values["gob.struct"]);
    put(&redis, "PHPREDIS_SESSION:S1", &values["php.several"]);
    put(&redis, "PHPREDIS_SESSION:bad", &values["php.own_form"]);
    hash(
        &redis,
        "spring:session:sessions:S1",
        "java.text",
        "java.used_1700000000000",
    );
    hash(
        &redis,
        "spring:session:sessions:bad",
        "java.list",
        "java.used_1700000000000",
    );
    put(&redis, "spring:session:sessions:no-hash", b"x");
    // A player's id of another house, that none of ours can have.
    put(&redis, "sess:foreign", br#"{"player_id":"auth0|7"}"#);
    put(
        &redis,
        "sess:long",
        format!(r#"{{"player_id":"p-legacy-7","x":"{}"}}"#, "x".repeat(65_536)).as_bytes(),
    );

    // Spring's own times decide: half an hour after 1,700,000,000,000.
    let at_ms = 1_700_000_000_000;
    for (format, bad, kind, base64) in [
        (SessionFormat::Json, "bad", "no_player", false),
        (SessionFormat::Json, "foreign", "player_id", false),
        (SessionFormat::Json, "long", "too_large", false),
        (SessionFormat::Gob, "bad", "unsupported", false),
        (SessionFormat::Php, "bad", "unsupported", false),
        (SessionFormat::Spring, "bad", "unsupported", true),
        (SessionFormat::Spring, "no-hash", "wrong_type", true),
    ] {
        let folder = folder();
        let (now, time) = clock(at_ms);
        let server = Running::start(&folder, "v1.2", |config| {
            config.time = time;
            config.credentials.sessions = Some(legacy(&redis, format, Some("SID")));
        })
        .await;
        let cookie = format!("SID={}", if base64 { "UzE=" } else { "S1" });
        let rows: [Shown<'_>; 2] = [&[("x-session-id", "S1")], &[("cookie", &cookie)]];
        for shown in rows {
            let answer = over_http(&server, shown).await;
            assert_eq!(
                answer.json()["playerId"],
                "p-legacy-7",
                "{format:?} {}",
                answer.text()
            );
        }
        let answer = over_http(&server, &[("x-session-id", bad)]).await;
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (StatusCode::UNAUTHORIZED, "SESSION_UNREADABLE")
        );
        assert_eq!(
            server.figures().await[&format!("auth_sessions_unreadable_total{{kind=\"{kind}\"}}")],
            1.0
        );
        if format == SessionFormat::Spring {
            now.store(at_ms + 1_800_000, Ordering::SeqCst);
            let answer = over_http(&server, &[("x-session-id", "S1")]).await;
            assert_eq!(reason(&answer), "SESSION_UNKNOWN");
        }
        // Nobody's tokens are asked for, and an outside one is refused.
        let token = bearer(outside.token("good.EdDSA"));
        assert_eq!(
            reason(&over_http(&server, &[("authorization", &token)]).await),
            "TOKEN_INVALID"
        );
        server.stop().await;
    }
}

#[tokio::test]
async fn where_no_sessions_are_accepted_a_session_id_means_nothing() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let who = server.sign_in("Ada").await;
    let token = bearer(&who.token);
    let shown: Shown<'_> = &[
        ("authorization", &token),
        ("x-session-id", "any"),
        ("x-session-id", "thing"),
    ];
    assert_eq!(over_http(&server, shown).await.status, StatusCode::OK);
    assert_eq!(
        reason(&over_http(&server, &[("x-session-id", "any")]).await),
        "CREDENTIALS_MISSING"
    );
    server.stop().await;
}

/// An issuer that counts how often its keys are fetched.
struct Issuer {
    address: String,
    fetches: Arc<AtomicUsize>,
    document: Arc<std::sync::Mutex<Option<String>>>,
}

impl Issuer {
    async fn start(document: Option<String>) -> Self {
        type Shared = (Arc<AtomicUsize>, Arc<std::sync::Mutex<Option<String>>>);
        async fn keys(State((fetches, document)): State<Shared>) -> Result<String, StatusCode> {
            fetches.fetch_add(1, Ordering::SeqCst);
            let document = document.lock().unwrap().clone();
            document.ok_or(StatusCode::SERVICE_UNAVAILABLE)
        }
        let (fetches, document) = (Arc::default(), Arc::new(std::sync::Mutex::new(document)));
        let shared: Shared = (Arc::clone(&fetches), Arc::clone(&document));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/keys", listener.local_addr().unwrap());
        let router = Router::new().route("/keys", get(keys)).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            fetches,
            document,
        }
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_rotated_key_costs_one_fetch_and_guessed_ones_cost_none_within_the_interval() {
    let (folder, outside) = (folder(), Outside::read());
    let issuer = Issuer::start(Some(outside.file["jwks"].to_string())).await;
    let (now, time) = clock(outside.now_ms());
    let server = Running::start(&folder, "v1.2", |config| {
        config.time = time;
        config.credentials.outside = Some(outside.accepted(&issuer.address));
    })
    .await;
    let status = async |name: &str| {
        let token = bearer(outside.token(name));
        over_http(&server, &[("authorization", &token)]).await.status
    };
    assert_eq!(status("good.RS256").await, StatusCode::OK);
    assert_eq!(issuer.fetches(), 1);

    // The set was fetched a moment ago: however many unknown keys are named, nobody asks again.
    let guesses = (0..20).map(|_| status("unknown_kid"));
    for refused in futures_util::future::join_all(guesses).await {
        assert_eq!(refused, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(status("good.newer_key").await, StatusCode::UNAUTHORIZED);
    assert_eq!(issuer.fetches(), 1);

    // The issuer has a new key, and the interval has passed: twenty at once, one fetch.
    *issuer.document.lock().unwrap() = Some(outside.file["jwks_newer"].to_string());
    now.fetch_add(10_000, Ordering::SeqCst);
    let rotated = (0..20).map(|_| status("good.newer_key"));
    for accepted in futures_util::future::join_all(rotated).await {
        assert_eq!(accepted, StatusCode::OK);
    }
    assert_eq!(issuer.fetches(), 2);

    // The issuer answers nonsense, then nothing: the last good set stays in force.
    for wrong in [Some("<html>".to_owned()), None] {
        *issuer.document.lock().unwrap() = wrong;
        now.fetch_add(10_000, Ordering::SeqCst);
        assert_eq!(status("unknown_kid").await, StatusCode::UNAUTHORIZED);
        assert_eq!(status("good.newer_key").await, StatusCode::OK);
    }
    assert_eq!(issuer.fetches(), 4);
    let figures = server.figures().await;
    assert_eq!(
        (
            figures["starvault_jwks_failures_total"],
            figures["starvault_jwks_keys"]
        ),
        (2.0, 4.0)
    );
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_known_is_no_refusal_and_stops_nobody_else() {
    let (folder, outside, redis) = (folder(), Outside::read(), RedisServer::start());
    put(&redis, "sess:S1", br#"{"player_id":"p-legacy-7"}"#);
    let issuer = Issuer::start(None).await;
    let (now, time) = clock(outside.now_ms());
    let server = Running::start(&folder, "v1.2", |config| {
        config.time = time;
        config.credentials.outside = Some(outside.accepted(&issuer.address));
        config.credentials.sessions = Some(legacy(&redis, SessionFormat::Json, None));
    })
    .await;
    let token = bearer(outside.token("good.EdDSA"));
    let session: Shown<'_> = &[("x-session-id", "S1")];
    let check = async |shown: Shown<'_>, code: &str| {
        let answer = over_http(&server, shown).await;
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, code)
        );
        let status = over_grpc(&server, shown).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(String::from_utf8_lossy(status.details()).contains(code));
    };
    check(&[("authorization", &token)], "KEYS_UNAVAILABLE").await;
    assert_eq!(over_http(&server, session).await.status, StatusCode::OK);
    // The issuer comes back.
    *issuer.document.lock().unwrap() = Some(outside.file["jwks"].to_string());
    now.fetch_add(10_000, Ordering::SeqCst);
    assert_eq!(
        over_http(&server, &[("authorization", &token)]).await.status,
        StatusCode::OK
    );

    redis.kill();
    check(session, "SESSIONS_UNAVAILABLE").await;
    check(
        &[("authorization", &token), ("x-session-id", "S1")],
        "SESSIONS_UNAVAILABLE",
    )
    .await;
    let guest = server.sign_in("Ada").await;
    assert_eq!(server.profile(&guest).await.display_name, "Ada");
    assert_eq!(
        over_http(&server, &[("authorization", &token)]).await.status,
        StatusCode::OK
    );
    redis.go_on();
    let back = async {
        while over_http(&server, session).await.status != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    soon("sessions are read again", back).await;
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_revoked_by_a_file_that_changes_ours_as_well() {
    let (folder, outside) = (folder(), Outside::read());
    let keys = outside.write_keys(folder.path());
    let list = folder.path().join("revoked.jsonl");
    std::fs::write(&list, "{\"jti\":\"j-2\"}\n").unwrap();
    let server = Running::start(&folder, "v1.2", |config| {
        config.time = clock(outside.now_ms()).1;
        config.credentials.outside = Some(outside.accepted(keys.to_str().unwrap()));
        config.credentials.revocations = Some(list.clone());
    })
    .await;
    let guest = server.sign_in("Ada").await;
    let (own, good) = (bearer(&guest.token), bearer(outside.token("good.EdDSA")));
    let other = bearer(outside.token("other_player"));
    let code = async |token: &str| {
        let answer = over_http(&server, &[("authorization", token)]).await;
        reason(&answer)
    };
    assert_eq!((code(&own).await.as_str(), code(&good).await.as_str()), ("", ""));
    assert_eq!(code(&other).await, "TOKEN_REVOKED");

    let write = |text: String| {
        let new = folder.path().join("revoked.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &list).unwrap();
    };
    let until_revoked = async |token: &str| {
        let revoked = async {
            while code(token).await != "TOKEN_REVOKED" {
                tokio::task::yield_now().await;
            }
        };
        soon("the list is read again", revoked).await;
    };
    let before = outside.now_ms() / 1000 + 1;
    let by_player = |player: &str| format!("{}\n", json!({ "sub": player, "issued_before_s": before }));
    write(by_player(&guest.player_id));
    until_revoked(&own).await;
    assert_eq!(code(&other).await, "", "it stands there no longer");
    // A list that cannot be read is no list: the former one stays.
    write("what?".to_owned());
    write(format!(
        "{}{}",
        by_player(&guest.player_id),
        by_player("p-legacy-7")
    ));
    until_revoked(&good).await;
    assert_eq!(code(&own).await, "TOKEN_REVOKED");
    server.stop().await;
}

#[tokio::test]
async fn no_bad_token_of_an_outside_issuer_gets_in_over_any_protocol() {
    let (folder, outside) = (folder(), Outside::read());
    let keys = outside.write_keys(folder.path());
    let server = Running::start(&folder, "v1.2", |config| {
        config.time = clock(outside.now_ms()).1;
        config.credentials.outside = Some(outside.accepted(keys.to_str().unwrap()));
    })
    .await;
    let mut tried = 0;
    for name in outside.file["tokens"].as_object().unwrap().keys() {
        let good = name.starts_with("good.") && name != "good.newer_key";
        if good || ["other_player", "sub_revocable_without_iat"].contains(&name.as_str()) {
            continue;
        }
        let token = bearer(outside.token(name));
        let shown: Shown<'_> = &[("authorization", &token)];
        let answer = over_http(&server, shown).await;
        let code = if name == "expired" {
            "TOKEN_EXPIRED"
        } else {
            "TOKEN_INVALID"
        };
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (StatusCode::UNAUTHORIZED, code),
            "{name}"
        );
        assert!(
            !answer.text().contains(outside.token(name)),
            "a token is not repeated"
        );
        assert_eq!(
            over_grpc(&server, shown).await.unwrap_err().code(),
            Code::Unauthenticated,
            "{name}"
        );
        assert_eq!(
            over_websocket(&server, shown).await.0,
            StatusCode::UNAUTHORIZED,
            "{name}"
        );
        tried += 1;
    }
    assert!(tried > 40, "{tried}");

    let with_bytes = |bytes: usize| {
        format!(
            "GET /v1/players/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
            "x".repeat(bytes)
        )
    };
    // Longer than any head may be: told so, or cut off while the rest of it is still on its way.
    let answer = raw(&server, with_bytes(64 * 1024).as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    // Shorter than that, and longer than any token.
    let answer = raw(&server, with_bytes(9 * 1024).as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 401") && answer.contains("CREDENTIALS_MALFORMED"),
        "{answer}"
    );
    // Over HTTP/2 such a head ends the stream, or the connection.
    let huge = bearer(&"x".repeat(64 * 1024));
    assert!(over_grpc(&server, &[("authorization", &huge)]).await.is_err());
    // Two tokens are none, also if both are good.
    let good = bearer(outside.token("good.EdDSA"));
    let shown: Shown<'_> = &[("authorization", &good), ("authorization", &good)];
    assert_eq!(reason(&over_http(&server, shown).await), "CREDENTIALS_MALFORMED");
    assert_eq!(
        over_grpc(&server, shown).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    server.stop().await;
}

#[tokio::test]
async fn the_binary_takes_the_options_and_logs_no_credential() {
    let (folder, outside, redis) = (folder(), Outside::read(), RedisServer::start());
    let (path, ready) = (folder.path(), folder.path().join("ready.json"));
    let keys = outside.write_keys(path);
    put(&redis, "legacy:s3ssion-good", br#"{"who":"p-legacy-7"}"#);
    put(&redis, "legacy:s3ssion-bad", b"no s3ssion-value");
    std::fs::write(path.join("revoked"), "").unwrap();
    let list = path.join("revoked");
    let mut child = std::process::Command::new(crate::process::BINARY)
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--release",
            "v1.2",
        ])
        .args([
            "--exit-on-stdin-close",
            "--session-format",
            "json",
            "--session-cookie",
            "SID",
        ])
        .args([
            "--session-key-prefix",
            "legacy:",
            "--session-player",
            "who",
            "--sessions",
            &redis.url(),
        ])
        .args([
            "--jwt-issuer",
            "https://id.example",
            "--jwt-audience",
            "starvault-players",
        ])
        .arg("--store")
        .arg(format!("sqlite:{}", path.join("store.sqlite").display()))
        .arg("--signing-key")
        .arg(path.join("key.pem"))
        .arg("--jwks")
        .arg(&keys)
        .arg("--revocations")
        .arg(&list)
        .arg("--ready-file")
        .arg(&ready)
        .env("RUST_LOG", "debug")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = child.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut log, &mut text).unwrap();
        text
    });
    let said: Value = soon("the ready file is written", async {
        loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                return serde_json::from_str(&text).unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let address = said["address"].as_str().unwrap().parse().unwrap();
    let ask = async |shown: Shown<'_>| {
        request(address, http::Method::GET, "/v1/players/me", shown, String::new()).await
    };
    let guest = request(address, http::Method::POST, "/v1/guests", &[], String::new())
        .await
        .json();
    let own = bearer(guest["token"].as_str().unwrap());
    let outside_token = bearer(outside.token("good.EdDSA"));
    assert_eq!(ask(&[("authorization", &own)]).await.status, StatusCode::OK);
    assert_eq!(
        ask(&[("cookie", "SID=s3ssion-good")]).await.json()["playerId"],
        "p-legacy-7"
    );
    let rows: [Shown<'_>; 5] = [
        &[("authorization", &own), ("x-session-id", "s3ssion-good")],
        // Not valid yet, by the clock of the machine.
        &[
            ("authorization", &outside_token),
            ("x-session-id", "s3ssion-good"),
        ],
        &[("x-session-id", "s3ssion-bad")],
        &[("x-session-id", "s3ssion-none")],
        &[("cookie", "SID=s3ssion-good; SID=s3ssion-good")],
    ];
    for shown in rows {
        assert_eq!(ask(shown).await.status, StatusCode::UNAUTHORIZED, "{shown:?}");
    }
    redis.kill();
    assert_eq!(
        ask(&[("x-session-id", "s3ssion-good")]).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    std::fs::write(&list, "s3cret line").unwrap();
    drop(child.stdin.take());
    let log = soon(
        "the process ends",
        tokio::task::spawn_blocking(move || {
            child.wait().unwrap();
            reading.join().unwrap()
        }),
    )
    .await
    .unwrap();
    assert!(log.contains("the store of sessions does not answer"), "{log}");
    let signature = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    for secret in [
        "s3ssion",
        "s3cret line",
        &signature(&own),
        &signature(&outside_token),
        "Bearer",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[tokio::test]
async fn options_that_cannot_be_meant_are_told_before_anything_starts() {
    let folder = folder();
    let path = folder.path();
    std::fs::write(path.join("no-keys"), "{}").unwrap();
    std::fs::write(path.join("no-list"), "{}").unwrap();
    let keys = Outside::read().write_keys(path).display().to_string();
    let in_folder = |name: &str| path.join(name).display().to_string();
    let issuer = |issuer: &str| {
        ["--jwt-issuer", issuer, "--jwt-audience", "a"]
            .map(str::to_owned)
            .to_vec()
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let rows = [
        (words(&["--jwks", &keys]), "--jwt-issuer"),
        (words(&["--jwt-issuer", "x"]), "--jwks"),
        (
            [words(&["--jwks", &keys]), issuer("starvault")].concat(),
            "an issuer outside",
        ),
        (
            [words(&["--jwks", "http://id.example/keys"]), issuer("x")].concat(),
            "https",
        ),
        (
            [words(&["--jwks", &in_folder("none")]), issuer("x")].concat(),
            "No such file",
        ),
        (
            [words(&["--jwks", &in_folder("no-keys")]), issuer("x")].concat(),
            "no JSON object with a list",
        ),
        (words(&["--revocations", &in_folder("no-list")]), "line 1"),
        (words(&["--sessions", "redis://127.0.0.1:1"]), "--session-format"),
        (words(&["--session-format", "gob"]), "--sessions"),
        (
            words(&["--sessions", "http://me:s3cret@x", "--session-format", "gob"]),
            "redis://[USER:PASSWORD@]HOST",
        ),
        (
            words(&[
                "--sessions",
                "redis://127.0.0.1:1",
                "--session-format",
                "gob",
                "--session-cookie",
                "a;b",
            ]),
            "--session-cookie",
        ),
    ];
    for (more, said) in rows {
        let output = std::process::Command::new(crate::process::BINARY)
            .args(["serve", "--listen", "127.0.0.1:0", "--release", "v1.2", "--store"])
            .arg(format!("sqlite:{}", in_folder("store.sqlite")))
            .arg("--signing-key")
            .arg(path.join("key.pem"))
            .args(&more)
            .stdin(Stdio::null())
            .arg("--exit-on-stdin-close")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{more:?} {text}");
        assert!(text.contains(said) && !text.contains("s3cret"), "{more:?} {text}");
    }
}
