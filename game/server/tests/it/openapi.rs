//! The OpenAPI document: the committed snapshot, what is served, and whether it is true.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use starvault_server::{CredentialsShown, LegacySessions, SessionFormat, openapi_document};
use starvault_wire::v1;
use tminus_openapi::{Dialect, to_json};

use crate::support::{Running, bearer, folder, request};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wire/openapi/starvault.v1.json");
const UPDATE: &str = "cargo run --bin starvault -- openapi > game/wire/openapi/starvault.v1.json";
/// Lines shown before and after those that differ.
const CONTEXT: usize = 3;
const SHOWN_MAX: usize = 60;

/// The committed document: with every credential that a server can be configured for.
fn whole(dialect: Dialect) -> Value {
    openapi_document(dialect, &CredentialsShown::all()).unwrap()
}

/// That of a server which is not configured for more than its own tokens.
fn plain(dialect: Dialect) -> Value {
    openapi_document(dialect, &CredentialsShown::default()).unwrap()
}

/// What differs between two texts: removed lines with `-`, added ones with `+`, with their numbers.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |at: usize| old.get(at) == new.get(at);
    let head = (0..old.len().min(new.len())).take_while(|at| same(*at)).count();
    let tail = old[head..]
        .iter()
        .rev()
        .zip(new[head..].iter().rev())
        .take_while(|(one, other)| one == other)
        .count();
    let mut told = Vec::new();
    let line = |sign: char, number: usize, text: &str| format!("{sign} {:>5} | {text}", number + 1);
    let from = head.saturating_sub(CONTEXT);
    told.extend((from..head).map(|at| line(' ', at, old[at])));
    told.extend((head..old.len() - tail).map(|at| line('-', at, old[at])));
    told.extend((head..new.len() - tail).map(|at| line('+', at, new[at])));
    let end = new.len() - tail;
    told.extend((end..new.len().min(end + CONTEXT)).map(|at| line(' ', at, new[at])));
    let more = told.len().saturating_sub(SHOWN_MAX);
    told.truncate(SHOWN_MAX);
    if more > 0 {
        told.push(format!("… and {more} lines more"));
    }
    told.join("\n")
}

#[test]
fn the_committed_document_is_that_of_the_contract() {
    let made = to_json(&whole(Dialect::V3_1)).unwrap();
    let kept = std::fs::read_to_string(SNAPSHOT).unwrap_or_default();
    assert!(
        kept == made,
        "the contract and game/wire/openapi/starvault.v1.json differ:\n{}\n\nIf that is meant, check that old \
         clients can live with it, then run:\n  {UPDATE}\n",
        difference(&kept, &made)
    );
}

#[test]
fn a_difference_is_shown_by_its_lines() {
    assert_eq!(
        difference("a\nb\nc\nd\ne\nf\ng", "a\nb\nc\nd\nE\nF\nf\ng"),
        "      2 | b\n      3 | c\n      4 | d\n-     5 | e\n+     5 | E\n+     6 | F\n      7 | f\n      8 | g"
    );
}

/// Every example that the document shows of a message: as the message, and unchanged when written again.
#[test]
fn every_example_is_the_message_that_it_is_shown_for() {
    fn again<M: serde::de::DeserializeOwned + serde::Serialize>(example: &Value) -> Value {
        let read: M =
            serde_json::from_value(example.clone()).unwrap_or_else(|error| panic!("{example}: {error}"));
        serde_json::to_value(read).unwrap()
    }
    let document = whole(Dialect::V3_1);
    let mut seen = BTreeSet::new();
    for operation in operations(&document) {
        let bodies = std::iter::once(&operation["requestBody"])
            .chain(operation["responses"].as_object().unwrap().values());
        for body in bodies {
            let content = &body["content"]["application/json"];
            let (Some(reference), Some(example)) =
                (content["schema"]["$ref"].as_str(), content.get("example"))
            else {
                continue;
            };
            let name = reference.rsplit('/').next().unwrap();
            let read = match name {
                "starvault.v1.SignInAsGuestRequest" => again::<v1::SignInAsGuestRequest>(example),
                "starvault.v1.SignInAsGuestResponse" => again::<v1::SignInAsGuestResponse>(example),
                "starvault.v1.EquipItemRequest" => again::<v1::EquipItemRequest>(example),
                "starvault.v1.Profile" => again::<v1::Profile>(example),
                "starvault.v1.Version" => again::<v1::Version>(example),
                other => panic!("{other} has an example: read it here"),
            };
            assert_eq!(read, *example, "{name}");
            seen.insert(name.to_owned());
        }
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}

fn operations(document: &Value) -> Vec<&Value> {
    let items = document["paths"].as_object().unwrap().values();
    items
        .flat_map(|item| item.as_object().unwrap().values())
        .collect()
}

#[test]
fn every_operation_says_what_it_does_and_how_it_fails() {
    for dialect in [Dialect::V3_0, Dialect::V3_1] {
        let document = whole(dialect);
        for operation in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(operation.get("summary").is_some(), "{id}");
            assert!(operation.get("security").is_some(), "{id}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses["200"]["content"]["application/json"]
                    .get("example")
                    .is_some(),
                "{id}"
            );
            for status in ["400", "500", "503", "504"] {
                assert!(responses.contains_key(status), "{id} {status}");
            }
            let asks = !operation["security"].as_array().unwrap().is_empty();
            assert_eq!(responses.contains_key("401"), asks, "{id}");
        }
    }
}

#[tokio::test]
async fn both_dialects_are_served_and_can_be_cached() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let check = async |path: &str, dialect: Dialect| {
        let answer = server.get(path, &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.headers["content-type"], "application/json", "{path}");
        assert_eq!(answer.text(), to_json(&plain(dialect)).unwrap(), "{path}");
        let etag = answer.headers["etag"].to_str().unwrap();
        let again = server.get(path, &[("if-none-match", etag)]).await;
        assert_eq!(
            (again.status, again.body.len()),
            (StatusCode::NOT_MODIFIED, 0),
            "{path}"
        );
    };
    check("/openapi.json", Dialect::V3_1).await;
    check("/openapi.json?v=3.1", Dialect::V3_1).await;
    check("/openapi.json?v=3.0", Dialect::V3_0).await;
    for path in [
        "/openapi.json?v=2.0",
        "/openapi.json?v=",
        "/openapi.json?v=3.0&v=3.1",
    ] {
        let answer = server.get(path, &[]).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (StatusCode::BAD_REQUEST, &json!(3)),
            "{path}"
        );
    }
    server.stop().await;
}

/// By name: of the document, and of the operation of this id.
fn credentials(document: &Value, id: &str) -> (Value, Vec<String>) {
    let schemes = document["components"]["securitySchemes"].clone();
    let operation = operations(document)
        .into_iter()
        .find(|operation| operation["operationId"] == id);
    let alternatives = operation.unwrap()["security"].as_array().unwrap();
    let one = |alternative: &Value| {
        let needed: Vec<&String> = alternative.as_object().unwrap().keys().collect();
        assert_eq!(needed.len(), 1, "each is enough by itself: {alternative}");
        needed[0].clone()
    };
    (schemes, alternatives.iter().map(one).collect())
}

#[test]
fn the_committed_document_tells_of_sessions_beside_tokens() {
    for dialect in [Dialect::V3_0, Dialect::V3_1] {
        let document = whole(dialect);
        for id in [
            "PlayerService_GetProfile",
            "PlayerService_GetProfile_2",
            "PlayerService_EquipItem",
        ] {
            let (schemes, ways) = credentials(&document, id);
            assert_eq!(ways, ["bearer", "sessionHeader", "sessionCookie"], "{id}");
            let (header, cookie) = (&schemes["sessionHeader"], &schemes["sessionCookie"]);
            assert_eq!(
                [&header["type"], &header["in"], &header["name"]],
                ["apiKey", "header", "x-session-id"]
            );
            assert_eq!([&cookie["type"], &cookie["in"]], ["apiKey", "cookie"]);
            for scheme in [header, cookie] {
                let description = scheme["description"].as_str().unwrap();
                assert!(
                    description.contains("Only a server that is configured"),
                    "{description}"
                );
            }
        }
        assert!(credentials(&document, "PlayerService_SignInAsGuest").1.is_empty());
    }
}

#[tokio::test]
async fn a_server_tells_of_the_credentials_that_it_takes() {
    let folder = folder();
    for (cookie, expected) in [
        (None, vec!["bearer", "sessionHeader"]),
        (Some("SESSION"), vec!["bearer", "sessionHeader", "sessionCookie"]),
    ] {
        let server = Running::start(&folder, "v1.2", |config| {
            config.credentials.sessions = Some(LegacySessions {
                // Asked for with the first session only.
                redis: "redis://127.0.0.1:9".parse().unwrap(),
                format: SessionFormat::Json,
                key_prefix: "sess:".into(),
                player_field: "player_id".into(),
                cookie: cookie.map(str::to_owned),
            });
        })
        .await;
        let document = server.get("/openapi.json", &[]).await.json();
        let (schemes, ways) = credentials(&document, "PlayerService_GetProfile");
        assert_eq!(ways, expected);
        assert_eq!(schemes.as_object().unwrap().len(), expected.len());
        if let Some(name) = cookie {
            assert_eq!(schemes["sessionCookie"]["name"], name);
        }
        server.stop().await;
    }
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let document = server.get("/openapi.json", &[]).await.json();
    assert_eq!(credentials(&document, "PlayerService_EquipItem").1, ["bearer"]);
    server.stop().await;
}

#[tokio::test]
async fn the_reference_page_is_served_whole_and_strict() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let page = server.get("/docs", &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"));
    let text = page.text();
    let named: Vec<&str> = text.split('"').filter(|part| part.starts_with("docs/")).collect();
    assert_eq!(named.len(), 2, "{named:?}");
    for name in named.into_iter().chain(["docs/words.js", "docs/schemas.js"]) {
        assert_eq!(
            server.get(&format!("/{name}"), &[]).await.status,
            StatusCode::OK,
            "{name}"
        );
    }
    server.stop().await;
}

/// Asks for each error that an operation can be brought to, and compares with what the document says.
#[tokio::test]
async fn errors_are_answered_as_the_document_says() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.body_bytes_max = 200;
        config.limits.sign_ins_per_minute = 5;
    })
    .await;
    let ada = server.sign_in("Ada").await;
    let authorization = bearer(&ada.token);
    let as_ada = [("authorization", authorization.as_str())];
    let document = whole(Dialect::V3_1);
    let long = "x".repeat(300);
    let none = &[][..];
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(&str, Method, &str, &str, Headers<'_>, u16)] = &[
        (
            "PlayerService_SignInAsGuest",
            Method::POST,
            "/v1/guests",
            "{\"displayName\":7}",
            none,
            400,
        ),
        (
            "PlayerService_SignInAsGuest",
            Method::POST,
            "/v1/guests",
            &long,
            none,
            413,
        ),
        (
            "PlayerService_GetProfile",
            Method::GET,
            "/v1/players/me",
            "",
            none,
            401,
        ),
        (
            "PlayerService_GetProfile",
            Method::GET,
            "/v1/players/p-0",
            "",
            &as_ada,
            404,
        ),
        (
            "PlayerService_GetProfile",
            Method::GET,
            "/v1/players/%20",
            "",
            &as_ada,
            400,
        ),
        (
            "PlayerService_EquipItem",
            Method::POST,
            "/v1/players/me/equipment",
            "[]",
            &as_ada,
            400,
        ),
        (
            "PlayerService_EquipItem",
            Method::POST,
            "/v1/players/me/equipment",
            "{}",
            none,
            401,
        ),
        (
            "PlayerService_EquipItem",
            Method::POST,
            "/v1/players/me/equipment",
            "{\"itemId\":\"x\"}",
            &as_ada,
            404,
        ),
        (
            "PlayerService_EquipItem",
            Method::POST,
            "/v1/players/me/equipment",
            &long,
            &as_ada,
            413,
        ),
        (
            "SystemService_GetVersion",
            Method::GET,
            "/v1/version",
            "",
            &[("grpc-timeout", "0m")],
            400,
        ),
    ];
    for (id, method, path, body, headers, status) in cases {
        let answer = request(server.address, method.clone(), path, headers, (*body).into()).await;
        assert_declared(&document, id, &answer, *status);
    }
    // All that the address may sign in.
    let mut last = request(server.address, Method::POST, "/v1/guests", none, String::new()).await;
    while last.status == StatusCode::OK {
        last = request(server.address, Method::POST, "/v1/guests", none, String::new()).await;
    }
    assert_declared(&document, "PlayerService_SignInAsGuest", &last, 429);
    server.stop().await;
}

fn assert_declared(document: &Value, id: &str, answer: &crate::support::Answer, status: u16) {
    assert_eq!(answer.status.as_u16(), status, "{id}: {}", answer.text());
    let operation = operations(document)
        .into_iter()
        .find(|operation| operation["operationId"] == id);
    let declared = &operation.unwrap_or_else(|| panic!("no operation {id}"))["responses"][status.to_string()];
    let error = answer.json();
    let examples = declared["content"]["application/json"]["examples"].as_object();
    let codes: Vec<&Value> = examples
        .unwrap()
        .values()
        .map(|example| &example["value"]["code"])
        .collect();
    assert!(codes.contains(&&error["code"]), "{id} {status}: {error}");
    let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "message", "details"], "{id} {status}");
    for name in declared["headers"].as_object().unwrap().keys() {
        assert!(answer.headers.contains_key(name), "{id} {status}: no {name}");
    }
}
