//! People who sign in.

use std::collections::HashMap;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};

use crate::provider::{Provider, Signing};
use crate::support::{House, RUNBOOK, Wishes};

/// A sign-in that has begun.
struct Begun {
    asked: HashMap<String, String>,
    cookie: String,
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap().to_owned())
        .collect()
}

/// `name=value` of a cookie that is set.
fn pair(cookies: &[String], name: &str) -> Option<String> {
    let cookie = cookies
        .iter()
        .find(|cookie| cookie.starts_with(&format!("{name}=")))?;
    cookie.split(';').next().map(str::to_owned)
}

impl House {
    async fn begin(&self) -> Begun {
        let answer = self.ask(Method::GET, "/login").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let url = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
        let cookies = cookies(answer.headers());
        assert!(
            cookies[0].contains("HttpOnly") && cookies[0].contains("SameSite=Lax"),
            "{cookies:?}"
        );
        Begun {
            asked: url.query_pairs().into_owned().collect(),
            cookie: pair(&cookies, "tminus-sign-in").unwrap(),
        }
    }

    async fn finish(&self, code: &str, state: &str, cookie: &str) -> (StatusCode, Vec<String>) {
        let url = Url::parse_with_params(&self.url("/callback"), [("code", code), ("state", state)]).unwrap();
        let answer = self
            .client
            .get(url)
            .header("cookie", cookie)
            .send()
            .await
            .unwrap();
        (answer.status(), cookies(answer.headers()))
    }

    /// The session's cookie, or the refusal.
    async fn sign_in(&self, provider: &Provider) -> Result<String, StatusCode> {
        let begun = self.begin().await;
        let code = provider.authorise(begun.asked.clone());
        let (status, cookies) = self.finish(&code, &begun.asked["state"], &begun.cookie).await;
        let session = pair(&cookies, "tminus-session");
        assert_eq!(session.is_some(), status == StatusCode::SEE_OTHER, "{status}");
        session.ok_or(status)
    }
}

async fn house() -> (Provider, House) {
    let provider = Provider::start().await;
    let issuer = Some(provider.issuer());
    let house = House::start_with(Wishes {
        issuer,
        ..Wishes::default()
    })
    .await;
    (provider, house)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_downloads_and_signs_out() {
    let (provider, house) = house().await;
    let page = house
        .ask(Method::GET, "/")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("href=\"/login\"") && !page.contains("runbook"),
        "{page}"
    );
    let begun = house.begin().await;
    for (name, value) in [
        ("response_type", "code"),
        ("code_challenge_method", "S256"),
        ("scope", "openid profile"),
        ("theme", "dark"),
    ] {
        assert_eq!(begun.asked[name], value);
    }
    for signing in [Signing::EdDsa, Signing::Rsa] {
        provider.sign_by(signing);
        let session = house.sign_in(&provider).await.unwrap();
        let ask = |method, path: &str| house.ask(method, path).header("cookie", &session);
        let page = ask(Method::GET, "/").send().await.unwrap().text().await.unwrap();
        assert!(
            page.contains("runbook.pdf") && page.contains("subject:user-1") && !page.contains("sbom"),
            "{page}"
        );
        let got = ask(Method::GET, "/files/ops/runbook.pdf").send().await.unwrap();
        assert_eq!(got.bytes().await.unwrap(), RUNBOOK);
        assert_eq!(house.recorded().last().unwrap()["who"], "subject:user-1");
        assert_eq!(
            house.status(ask(Method::GET, "/files/security/sbom.json")).await,
            StatusCode::NOT_FOUND
        );

        let origin = house.url("");
        assert_eq!(
            house
                .status(ask(Method::POST, "/logout").header("origin", "http://evil.test"))
                .await,
            StatusCode::FORBIDDEN
        );
        assert_eq!(
            house.status(ask(Method::GET, "/files/ops/runbook.pdf")).await,
            StatusCode::OK
        );
        assert_eq!(
            house
                .status(ask(Method::POST, "/logout").header("origin", &origin))
                .await,
            StatusCode::SEE_OTHER
        );
        assert_eq!(
            house.status(ask(Method::GET, "/files/ops/runbook.pdf")).await,
            StatusCode::UNAUTHORIZED
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_s_forms_make_and_revoke_links_and_only_that_page_s() {
    let (provider, house) = house().await;
    let session = house.sign_in(&provider).await.unwrap();
    let form = |path: &str, body: &'static str, origin: Option<&str>| {
        let form = house
            .ask(Method::POST, path)
            .header("cookie", &session)
            .header("accept", "text/html")
            .body(body);
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        origin.map_or(form.try_clone().unwrap(), |origin| form.header("origin", origin))
    };
    let order = "role=ops&path=sub%2F%E6%8A%A5%E5%91%8A+%F0%9F%9A%80.txt&downloads_max=";
    for origin in [None, Some("http://evil.test"), Some("null")] {
        assert_eq!(
            house.status(form("/links", order, origin)).await,
            StatusCode::FORBIDDEN
        );
    }
    let own = house.url("");
    let made = form("/links", order, Some(&own)).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let page = made.text().await.unwrap();
    let url = page
        .split("<a href=\"")
        .nth(1)
        .map_or("", |rest| rest.split('"').next().unwrap());
    let url = if url.contains("/l/") {
        url
    } else {
        page.split('"').find(|part| part.contains("/l/")).unwrap()
    };
    assert_eq!(
        house.client.get(url).send().await.unwrap().text().await.unwrap(),
        "中文"
    );
    assert_eq!(house.recorded().last().unwrap()["link_made_by"], "subject:user-1");

    let page = house
        .ask(Method::GET, "/")
        .header("cookie", &session)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let revoke = page.split('"').find(|part| part.ends_with("/revoke")).unwrap();
    assert_eq!(
        house.status(form(revoke, "", Some("http://evil.test"))).await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        house.status(form(revoke, "", Some(&own))).await,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        house.client.get(url).send().await.unwrap().status(),
        StatusCode::GONE
    );
    for wrong in [
        "role=ops",
        "role=ops&path=runbook.pdf&downloads_max=0",
        "role=ops&path=runbook.pdf&more=1",
    ] {
        assert!(
            house
                .status(form("/links", wrong, Some(&own)))
                .await
                .is_client_error(),
            "{wrong}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_by_its_time() {
    let (provider, house) = house().await;
    let session = house.sign_in(&provider).await.unwrap();
    let ask = || {
        house
            .ask(Method::GET, "/files/ops/runbook.pdf")
            .header("cookie", &session)
    };
    house.clock.advance_s(8 * 3_600 - 1);
    assert_eq!(house.status(ask()).await, StatusCode::OK);
    house.clock.advance_s(1);
    assert_eq!(house.status(ask()).await, StatusCode::UNAUTHORIZED);
    let forged = house
        .ask(Method::GET, "/files/ops/runbook.pdf")
        .header("cookie", "tminus-session=AAAA");
    assert_eq!(house.status(forged).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_quite_right_signs_nobody_in() {
    let (provider, house) = house().await;
    type Lie = fn(&mut Value);
    let lies: &[(&str, Lie)] = &[
        ("another nonce", |claims| claims["nonce"] = "other".into()),
        ("no nonce", |claims| {
            drop(claims.as_object_mut().unwrap().remove("nonce"));
        }),
        ("another issuer", |claims| {
            claims["iss"] = "https://evil.test".into();
        }),
        ("another audience", |claims| claims["aud"] = "other".into()),
        ("no audience", |claims| {
            drop(claims.as_object_mut().unwrap().remove("aud"));
        }),
        ("shared, issued to another", |claims| {
            claims["aud"] = json!(["tminus-portal", "other"]);
            claims["azp"] = "other".into();
        }),
        ("shared, issued to nobody", |claims| {
            claims["aud"] = json!(["tminus-portal", "other"]);
        }),
        ("issued to another", |claims| claims["azp"] = "other".into()),
        ("expired", |claims| {
            claims["exp"] = (claims["iat"].as_i64().unwrap() - 60).into();
        }),
        ("no end", |claims| {
            drop(claims.as_object_mut().unwrap().remove("exp"));
        }),
        ("of tomorrow", |claims| {
            claims["iat"] = (claims["iat"].as_i64().unwrap() + 86_400).into();
            claims["exp"] = (claims["iat"].as_i64().unwrap() + 60).into();
        }),
        ("no subject", |claims| {
            drop(claims.as_object_mut().unwrap().remove("sub"));
        }),
        ("a subject of two lines", |claims| {
            claims["sub"] = "user\nadmin".into();
        }),
    ];
    for (what, lie) in lies {
        provider.lie(*lie);
        assert_eq!(
            house.sign_in(&provider).await,
            Err(StatusCode::FORBIDDEN),
            "{what}"
        );
    }
    provider.lie(|_| {});
    for signing in [Signing::None, Signing::Hmac, Signing::Stranger] {
        provider.sign_by(signing);
        assert_eq!(
            house.sign_in(&provider).await,
            Err(StatusCode::FORBIDDEN),
            "{signing:?}"
        );
    }
    provider.sign_by(Signing::EdDsa);
    for groups in [
        json!([]),
        json!(["everybody"]),
        json!({ "launch-ops": true }),
        json!("ops"),
        json!(["ops"]),
    ] {
        provider.claims(
            json!({ "sub": "user-2", "realm": { "groups": groups }, "roles": ["ops"], "role": "ops" }),
        );
        assert_eq!(
            house.sign_in(&provider).await,
            Err(StatusCode::FORBIDDEN),
            "{groups}"
        );
    }
    provider.claims(json!({ "sub": "user-2", "realm": { "groups": "launch-security" } }));
    provider.lie(|claims| {
        claims["aud"] = json!(["other", "tminus-portal"]);
        claims["azp"] = "tminus-portal".into();
    });
    house.sign_in(&provider).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_is_finished_once_where_it_began() {
    let (provider, house) = house().await;
    let (one, other) = (house.begin().await, house.begin().await);
    let code = || provider.authorise(one.asked.clone());
    let state = &one.asked["state"];
    for (what, state, cookie) in [
        ("another state", "x", one.cookie.as_str()),
        ("no cookie", state, ""),
        ("another browser", state, other.cookie.as_str()),
        // The one before has used the state up.
        ("the right browser, too late", state, one.cookie.as_str()),
    ] {
        let (status, cookies) = house.finish(&code(), state, cookie).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{what}");
        assert_eq!(pair(&cookies, "tminus-session"), None, "{what}");
    }
    let begun = house.begin().await;
    let code = provider.authorise(begun.asked.clone());
    assert_eq!(
        house.finish(&code, &begun.asked["state"], &begun.cookie).await.0,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        house.finish(&code, &begun.asked["state"], &begun.cookie).await.0,
        StatusCode::BAD_REQUEST,
        "twice"
    );

    // A code that was made for another sign-in does not go with this one's verifier.
    let (one, other) = (house.begin().await, house.begin().await);
    let stolen = provider.authorise(other.asked);
    assert_eq!(
        house.finish(&stolen, &one.asked["state"], &one.cookie).await.0,
        StatusCode::FORBIDDEN
    );

    let begun = house.begin().await;
    house.clock.advance_s(600);
    let code = provider.authorise(begun.asked.clone());
    assert_eq!(
        house.finish(&code, &begun.asked["state"], &begun.cookie).await.0,
        StatusCode::BAD_REQUEST,
        "too late"
    );
}
