//! Links that end.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{House, OPS_TOKEN, RUNBOOK, SECURITY_TOKEN, Wishes};

pub struct Link {
    pub id: String,
    pub url: String,
}

impl Link {
    fn token(&self) -> &str {
        self.url.rsplit('/').next().unwrap()
    }
}

impl House {
    /// By the operations' machine.
    pub async fn make_link(&self, path: &str, downloads_max: Option<u64>) -> Link {
        let order = json!({ "role": "ops", "path": path, "downloads_max": downloads_max });
        let made = self
            .ask(Method::POST, "/links")
            .bearer_auth(OPS_TOKEN)
            .json(&order)
            .send()
            .await
            .unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
        let made: serde_json::Value = serde_json::from_str(&made.text().await.unwrap()).unwrap();
        Link {
            id: made["id"].as_str().unwrap().to_owned(),
            url: made["url"].as_str().unwrap().to_owned(),
        }
    }

    async fn follow(&self, link: &Link) -> StatusCode {
        self.client.get(&link.url).send().await.unwrap().status()
    }

    async fn revoke(&self, link: &Link, token: &str) -> StatusCode {
        self.status(
            self.ask(Method::DELETE, &format!("/links/{}", link.id))
                .bearer_auth(token),
        )
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_gives_its_file_without_signing_in_until_it_ends() {
    let house = House::start().await;
    let link = house.make_link("runbook.pdf", None).await;
    let got = house.client.get(&link.url).send().await.unwrap();
    assert_eq!(got.bytes().await.unwrap(), RUNBOOK);
    let entry = &house.recorded()[0];
    assert_eq!(
        (&entry["who"], &entry["link_made_by"]),
        (&format!("link:{}", link.id).into(), &"token:ci".into())
    );
    assert_eq!(entry["channel"], "link");
    house.clock.advance_s(24 * 3_600 - 1);
    assert_eq!(house.follow(&link).await, StatusCode::OK);
    house.clock.advance_s(1);
    assert_eq!(house.follow(&link).await, StatusCode::GONE);
    // Making another one forgets those that have ended; that makes none of them good again.
    house.make_link("runbook.pdf", None).await;
    assert_eq!(house.follow(&link).await, StatusCode::GONE);
    assert_eq!(house.recorded().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_link_is_gone_also_after_a_restart() {
    let house = House::start().await;
    let (kept, gone) = (
        house.make_link("runbook.pdf", None).await,
        house.make_link("runbook.pdf", None).await,
    );
    assert_eq!(
        house.revoke(&gone, SECURITY_TOKEN).await,
        StatusCode::NOT_FOUND,
        "another role's"
    );
    let nobody = house.ask(Method::DELETE, &format!("/links/{}", gone.id));
    assert_eq!(house.status(nobody).await, StatusCode::UNAUTHORIZED);
    assert_eq!(house.follow(&gone).await, StatusCode::OK);
    assert_eq!(house.revoke(&gone, OPS_TOKEN).await, StatusCode::NO_CONTENT);
    assert_eq!(
        house.revoke(&gone, OPS_TOKEN).await,
        StatusCode::NO_CONTENT,
        "twice is no error"
    );
    assert_eq!(house.follow(&gone).await, StatusCode::GONE);
    assert_eq!(
        house
            .revoke(
                &Link {
                    id: "0".repeat(32),
                    url: String::new()
                },
                OPS_TOKEN
            )
            .await,
        StatusCode::NOT_FOUND
    );

    let (kept_token, gone_token) = (kept.token().to_owned(), gone.token().to_owned());
    let house = House::start_with(Wishes {
        dir: Some(house.end().await),
        ..Wishes::default()
    })
    .await;
    assert_eq!(
        house
            .status(house.ask(Method::GET, &format!("/l/{gone_token}")))
            .await,
        StatusCode::GONE
    );
    assert_eq!(
        house
            .status(house.ask(Method::GET, &format!("/l/{kept_token}")))
            .await,
        StatusCode::OK
    );
    assert_eq!(house.recorded().len(), 2, "the record goes on as well");

    // A book that was lost makes no link good: what it does not know has ended.
    let dir = house.end().await;
    std::fs::remove_file(dir.path().join("links.json")).unwrap();
    let house = House::start_with(Wishes {
        dir: Some(dir),
        ..Wishes::default()
    })
    .await;
    assert_eq!(
        house
            .status(house.ask(Method::GET, &format!("/l/{kept_token}")))
            .await,
        StatusCode::GONE
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_gives_no_more_than_its_number_of_downloads() {
    let house = House::start().await;
    let link = house.make_link("runbook.pdf", Some(3)).await;
    for _ in 0..5 {
        let head = house.client.head(&link.url).send().await.unwrap();
        assert_eq!(head.status(), StatusCode::OK, "asking takes nothing");
    }
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let request = house.client.get(&link.url);
        asking.spawn(async move { request.send().await.unwrap().status() });
    }
    let answers = asking.join_all().await;
    assert_eq!(
        answers.iter().filter(|status| **status == StatusCode::OK).count(),
        3
    );
    assert_eq!(
        answers
            .iter()
            .filter(|status| **status == StatusCode::GONE)
            .count(),
        17
    );
    assert_eq!(house.recorded().len(), 3);
    let token = link.token().to_owned();
    let house = House::start_with(Wishes {
        dir: Some(house.end().await),
        ..Wishes::default()
    })
    .await;
    assert_eq!(
        house.status(house.ask(Method::GET, &format!("/l/{token}"))).await,
        StatusCode::GONE
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_link_is_answered_like_one_that_never_was() {
    let house = House::start().await;
    let link = house.make_link("runbook.pdf", None).await;
    let bytes = URL_SAFE_NO_PAD.decode(link.token()).unwrap();
    let replaced = |from: &[u8], to: &[u8]| {
        let at = bytes
            .windows(from.len())
            .position(|window| window == from)
            .unwrap();
        URL_SAFE_NO_PAD.encode([&bytes[..at], to, &bytes[at + from.len()..]].concat())
    };
    let mut signature = bytes.clone();
    *signature.last_mut().unwrap() ^= 1;
    let mut later = bytes.clone();
    later[4] ^= 0x10;
    let unknown = house.ask(Method::GET, "/nothing/here").send().await.unwrap();
    let (status, headers, body) = (
        unknown.status(),
        unknown.headers().clone(),
        unknown.text().await.unwrap(),
    );
    assert_eq!(status, StatusCode::NOT_FOUND);
    let without_date = |headers: &reqwest::header::HeaderMap| {
        let mut headers = headers.clone();
        headers.remove("date");
        headers
    };
    for (what, token) in [
        ("another file", replaced(b"runbook.pdf", b"runbook.pdg")),
        ("another role", replaced(b"ops", b"opt")),
        ("another key", replaced(b"k1", b"k2")),
        ("a later end", URL_SAFE_NO_PAD.encode(later)),
        ("another signature", URL_SAFE_NO_PAD.encode(signature)),
        ("cut", link.token()[..40].to_owned()),
        ("no token", "x".to_owned()),
        ("too long", "A".repeat(4_000)),
        ("no text", "%ff%fe".to_owned()),
        ("an id", link.id.clone()),
    ] {
        let answer = house
            .ask(Method::GET, &format!("/l/{token}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{what}");
        assert_eq!(without_date(answer.headers()), without_date(&headers), "{what}");
        assert_eq!(answer.text().await.unwrap(), body, "{what}");
    }
    assert!(house.recorded().is_empty());
    assert_eq!(house.follow(&link).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_made_for_an_own_file_only() {
    let house = House::start().await;
    for (order, status) in [
        (
            json!({ "role": "security", "path": "sbom.json" }),
            StatusCode::NOT_FOUND,
        ),
        (json!({ "role": "ops", "path": "missing" }), StatusCode::NOT_FOUND),
        (
            json!({ "role": "ops", "path": "../security/sbom.json" }),
            StatusCode::NOT_FOUND,
        ),
        (
            json!({ "role": "ops", "path": "escape.txt" }),
            StatusCode::NOT_FOUND,
        ),
        (json!({ "role": "ops", "path": "sub" }), StatusCode::NOT_FOUND),
        (
            json!({ "role": "ops", "path": "runbook.pdf", "downloads_max": 0 }),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!({ "role": "ops", "path": "runbook.pdf", "expires": 1 }),
            StatusCode::BAD_REQUEST,
        ),
        (json!({ "role": "ops" }), StatusCode::BAD_REQUEST),
        (
            json!({ "role": "ops", "path": "x".repeat(20_000) }),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let asked = house
            .ask(Method::POST, "/links")
            .bearer_auth(OPS_TOKEN)
            .json(&order);
        assert_eq!(house.status(asked).await, status, "{order}");
    }
    let asked = house
        .ask(Method::POST, "/links")
        .json(&json!({ "role": "ops", "path": "runbook.pdf" }));
    assert_eq!(house.status(asked).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_state_is_told_and_not_guessed() {
    let house = House::start().await;
    house.make_link("runbook.pdf", None).await;
    let dir = house.end().await;
    let state = dir.path().join("links.json");
    let whole = std::fs::read(&state).unwrap();
    for torn in [
        &whole[..whole.len() / 2],
        b"",
        b"{}",
        b"{\"format\":2,\"links\":{}}",
    ] {
        std::fs::write(&state, torn).unwrap();
        let error = tminus_handoff::links::LinkBook::open(&state)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("links.json") && error.contains("put back a copy"),
            "{error}"
        );
        assert_eq!(std::fs::read(&state).unwrap(), torn, "it is left as it is");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_state_that_can_be_written_links_give_nothing() {
    let house = House::start().await;
    let link = house.make_link("runbook.pdf", None).await;
    let in_the_way = house.dir.path().join("links.json.next");
    std::fs::create_dir(&in_the_way).unwrap();
    assert_eq!(house.follow(&link).await, StatusCode::SERVICE_UNAVAILABLE);
    let order = json!({ "role": "ops", "path": "runbook.pdf" });
    let asked = house
        .ask(Method::POST, "/links")
        .bearer_auth(OPS_TOKEN)
        .json(&order);
    assert_eq!(house.status(asked).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        house.revoke(&link, OPS_TOKEN).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        house.follow(&link).await,
        StatusCode::GONE,
        "revoked as far as this process goes"
    );
    assert!(house.recorded().is_empty());
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(house.revoke(&link, OPS_TOKEN).await, StatusCode::NO_CONTENT);
}
