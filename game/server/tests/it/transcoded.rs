//! HTTP/JSON as the contract's annotations give it: other versions of a path, what clients get wrong, limits.

use http::{Method, StatusCode};
use serde_json::json;
use starvault_server::{FaultKind, Injection};

use crate::support::{Running, bearer, folder, request};

#[tokio::test]
async fn both_versions_of_a_path_answer_the_same() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let body = r#"{"displayName":"Ada"}"#;
    let alpha = request(server.address, Method::POST, "/v1alpha/guests", &[], body.into()).await;
    assert_eq!(
        (alpha.status, &alpha.json()["profile"]["displayName"]),
        (StatusCode::OK, &json!("Ada"))
    );
    let token = bearer(alpha.json()["token"].as_str().unwrap());
    let authorization = [("authorization", token.as_str())];
    for (one, other) in [
        ("/v1/players/me", "/v1alpha/players/me"),
        ("/v1/version", "/v1alpha/version"),
    ] {
        let (one, other) = (
            server.get(one, &authorization).await,
            server.get(other, &authorization).await,
        );
        assert_eq!((one.status, one.json()), (StatusCode::OK, other.json()));
        assert_eq!(other.headers["content-type"], "application/json");
    }
    let wear = |path| {
        let body = r#"{"itemId":"crest-nothing","equip":true}"#;
        request(server.address, Method::POST, path, &authorization, body.into())
    };
    let (one, other) = (
        wear("/v1/players/me/equipment").await,
        wear("/v1alpha/players/me/equipment").await,
    );
    assert_ne!(one.status, StatusCode::OK);
    assert_eq!((one.status, one.json()), (other.status, other.json()));
    server.stop().await;
}

#[tokio::test]
async fn allowances_and_exemptions_belong_to_the_method_and_not_to_one_path() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| config.limits.sign_ins_per_minute = 2).await;
    let paths = ["/v1alpha/guests", "/v1/guests", "/v1alpha/guests"];
    let mut statuses = Vec::new();
    for path in paths {
        statuses.push(
            request(server.address, Method::POST, path, &[], String::new())
                .await
                .status,
        );
    }
    assert_eq!(
        statuses,
        [StatusCode::OK, StatusCode::OK, StatusCode::TOO_MANY_REQUESTS]
    );
    server.stop().await;

    let server = Running::start(&folder, "v1.3", |config| {
        config.injection = Some(Injection::new(FaultKind::Errors, 1.0));
    })
    .await;
    assert_eq!(server.get("/v1alpha/version", &[]).await.status, StatusCode::OK);
    let guest = request(
        server.address,
        Method::POST,
        "/v1alpha/guests",
        &[],
        String::new(),
    )
    .await;
    assert_eq!(guest.status, StatusCode::INTERNAL_SERVER_ERROR);
    server.stop().await;
}

#[tokio::test]
async fn what_clients_get_wrong_is_told_in_one_form() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let json_type = [("content-type", "application/json")];
    let rows = [
        (
            Method::POST,
            "/v1/guests",
            &form[..],
            r#"{"displayName":"A"}"#,
            415,
            3,
        ),
        (
            Method::POST,
            "/v1/guests",
            &json_type[..],
            r#"{"displayName":7}"#,
            400,
            3,
        ),
        (
            Method::POST,
            "/v1/guests",
            &[],
            r#"{"displayName":"A","displayName":"B"}"#,
            400,
            3,
        ),
        (
            Method::POST,
            "/v1/guests",
            &[("content-encoding", "br")],
            "{}",
            415,
            3,
        ),
        (Method::POST, "/v1/guests/", &[], "{}", 404, 5),
        (Method::GET, "/v1/players/%FF", &[], "", 400, 3),
        (Method::PUT, "/v1alpha/guests", &[], "{}", 405, 12),
        (Method::GET, "/v1/players/me", &[], "", 401, 16),
    ];
    for (method, path, headers, body, status, code) in rows {
        let answer = request(server.address, method, path, headers, body.into()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (status, &json!(code)),
            "{path} {body}"
        );
        assert_eq!(answer.headers["x-release"], "v1.2", "{path}");
        match status {
            401 => assert_eq!(answer.headers["www-authenticate"], "Bearer"),
            405 => assert_eq!(answer.headers["allow"], "POST"),
            _ => {}
        }
    }
    // A client that is newer than the server.
    let body = r#"{"displayName":"Ada","favouriteColour":"green"}"#;
    let answer = request(
        server.address,
        Method::POST,
        "/v1/guests",
        &json_type,
        body.into(),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK);
    let head = request(server.address, Method::HEAD, "/v1/version", &[], String::new()).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    server.stop().await;
}
