//! Who gets in: guests over HTTP and gRPC, and no token but ours.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, spki::der::pem::LineEnding},
};
use http::{Method, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use starvault_wire::v1::{
    GetProfileRequest, SignInAsGuestRequest, player_service_client::PlayerServiceClient,
};
use tonic::{Code, Request};

use crate::support::{Running, bearer, folder, request};

#[tokio::test]
async fn guests_over_http_and_grpc_get_the_same_kind_of_profile() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut grpc = PlayerServiceClient::connect(format!("http://{}", server.address))
        .await
        .unwrap();

    let over_grpc = grpc
        .sign_in_as_guest(SignInAsGuestRequest {
            display_name: " 星穹 ".into(),
        })
        .await
        .unwrap()
        .into_inner();
    let profile = over_grpc.profile.unwrap();
    assert_eq!(
        (profile.display_name.as_str(), profile.rating, profile.version),
        ("星穹", 1500, 1)
    );

    let answer = request(
        server.address,
        Method::POST,
        "/v1/guests",
        &[],
        r#"{"displayName":"Ada"}"#.into(),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK);
    let over_http = answer.json();
    let mut expected = serde_json::to_value(&profile).unwrap();
    expected["playerId"] = over_http["profile"]["playerId"].clone();
    expected["displayName"] = "Ada".into();
    assert_eq!(over_http["profile"], expected);
    assert!(over_http["expiresAtMs"].as_str().unwrap().parse::<i64>().unwrap() > 1_700_000_000_000);

    // Each one's token reads the other's profile, over the other protocol.
    let http_token = bearer(over_http["token"].as_str().unwrap());
    let path = format!("/v1/players/{}", profile.player_id);
    let read = server.get(&path, &[("authorization", &http_token)]).await;
    assert_eq!(read.json(), serde_json::to_value(&profile).unwrap());
    let mut question = Request::new(GetProfileRequest {
        player_id: "me".into(),
    });
    question
        .metadata_mut()
        .insert("authorization", bearer(&over_grpc.token).parse().unwrap());
    assert_eq!(grpc.get_profile(question).await.unwrap().into_inner(), profile);

    // A guest without a name and without a body gets one.
    let unnamed = request(server.address, Method::POST, "/v1/guests", &[], String::new())
        .await
        .json();
    assert!(
        unnamed["profile"]["displayName"]
            .as_str()
            .unwrap()
            .starts_with("Guest ")
    );
    server.stop().await;
}

#[tokio::test]
async fn errors_say_the_same_over_http_and_grpc() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut grpc = PlayerServiceClient::connect(format!("http://{}", server.address))
        .await
        .unwrap();
    let long = "x".repeat(25);
    let status = grpc
        .sign_in_as_guest(SignInAsGuestRequest {
            display_name: long.clone(),
        })
        .await
        .unwrap_err();
    let body = json!({ "displayName": long }).to_string();
    let answer = request(server.address, Method::POST, "/v1/guests", &[], body).await;
    assert_eq!(
        (status.code(), answer.status),
        (Code::InvalidArgument, StatusCode::BAD_REQUEST)
    );
    assert_eq!(
        answer.json(),
        json!({ "code": 3, "message": status.message(), "details": [] })
    );

    let who = server.sign_in("Ada").await;
    let mut question = Request::new(GetProfileRequest {
        player_id: "p-nobody".into(),
    });
    question
        .metadata_mut()
        .insert("authorization", bearer(&who.token).parse().unwrap());
    let status = grpc.get_profile(question).await.unwrap_err();
    let answer = server
        .get("/v1/players/p-nobody", &[("authorization", &bearer(&who.token))])
        .await;
    assert_eq!(
        (status.code(), answer.status),
        (Code::NotFound, StatusCode::NOT_FOUND)
    );
    assert_eq!(answer.json()["message"], status.message());

    let answer = request(server.address, Method::POST, "/v1/guests", &[], "{".into()).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_i64()),
        (StatusCode::BAD_REQUEST, Some(3))
    );
    server.stop().await;
}

/// A token in the right form, wrong in one point.
struct Forger {
    header: Header,
    claims: serde_json::Value,
    key: EncodingKey,
}

fn ed25519(key: &SigningKey) -> EncodingKey {
    EncodingKey::from_ed_pem(key.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap()
}

impl Forger {
    fn sign(&self) -> String {
        jsonwebtoken::encode(&self.header, &self.claims, &self.key).unwrap()
    }
}

#[tokio::test]
async fn no_token_but_a_valid_one_of_ours_is_accepted_anywhere() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let who = server.sign_in("Ada").await;
    let pem = std::fs::read_to_string(folder.path().join("signing-key.pem")).unwrap();
    let key = SigningKey::from_pkcs8_pem(&pem).unwrap();
    let now_s = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let honest = || Forger {
        header: Header::new(Algorithm::EdDSA),
        claims: json!({ "sub": who.player_id, "name": "Ada", "iss": "starvault", "aud": "starvault",
                        "iat": now_s, "nbf": now_s, "exp": now_s + 600 }),
        key: ed25519(&key),
    };
    let with = |name: &str, value: serde_json::Value| {
        let mut forger = honest();
        forger.claims[name] = value;
        forger.sign()
    };
    let without = |name: &str| {
        let mut forger = honest();
        forger.claims.as_object_mut().unwrap().remove(name);
        forger.sign()
    };
    let accepted = server
        .get("/v1/players/me", &[("authorization", &bearer(&honest().sign()))])
        .await;
    assert_eq!(
        accepted.status,
        StatusCode::OK,
        "the forger differs from us in one point only"
    );

    let public_key = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    let as_secret = |secret: &[u8]| {
        Forger {
            header: Header::new(Algorithm::HS256),
            key: EncodingKey::from_secret(secret),
            ..honest()
        }
        .sign()
    };
    let none = |alg: &str| {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!(
            "{}.{}.",
            part(json!({ "alg": alg, "typ": "JWT" })),
            part(honest().claims)
        )
    };
    let signed = honest().sign();
    let (body, signature) = signed.rsplit_once('.').unwrap();
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
    flipped[10] ^= 1;
    let refused = [
        (
            "another key",
            Forger {
                key: ed25519(&SigningKey::from_bytes(&[9; 32])),
                ..honest()
            }
            .sign(),
        ),
        ("expired", with("exp", (now_s - 60).into())),
        ("not yet valid", with("nbf", (now_s + 60).into())),
        ("another issuer", with("iss", "elsewhere".into())),
        ("another audience", with("aud", "elsewhere".into())),
        ("no issuer", without("iss")),
        ("no audience", without("aud")),
        ("no expiry", without("exp")),
        ("no begin", without("nbf")),
        ("no player", without("sub")),
        ("a player of another store", with("sub", "p-unknown".into())),
        ("alg none", none("none")),
        ("alg None", none("None")),
        (
            "HS256 with the public key as the secret",
            as_secret(public_key.as_bytes()),
        ),
        (
            "HS256 with the raw public key as the secret",
            as_secret(key.verifying_key().as_bytes()),
        ),
        (
            "a flipped signature",
            format!("{body}.{}", URL_SAFE_NO_PAD.encode(flipped)),
        ),
        ("no signature", format!("{body}.")),
        ("no token", "x".into()),
        ("an endless token", "x".repeat(3000)),
    ];
    let mut grpc = PlayerServiceClient::connect(format!("http://{}", server.address))
        .await
        .unwrap();
    for (what, token) in refused {
        let over_http = server
            .get("/v1/players/me", &[("authorization", &bearer(&token))])
            .await;
        assert_eq!(over_http.status, StatusCode::UNAUTHORIZED, "{what}");
        assert_eq!(over_http.json()["code"], 16, "{what}");
        assert!(!over_http.text().contains(&token), "a token is not repeated");
        let mut question = Request::new(GetProfileRequest {
            player_id: "me".into(),
        });
        question
            .metadata_mut()
            .insert("authorization", bearer(&token).parse().unwrap());
        assert_eq!(
            grpc.get_profile(question).await.unwrap_err().code(),
            Code::Unauthenticated,
            "{what}"
        );
        assert_eq!(upgrade(&server, &token).await, StatusCode::UNAUTHORIZED, "{what}");
    }
    assert_eq!(
        server.get("/v1/players/me", &[]).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        upgrade(&server, &honest().sign()).await,
        StatusCode::SWITCHING_PROTOCOLS
    );
    server.stop().await;
}

async fn upgrade(server: &Running, token: &str) -> StatusCode {
    let protocols = format!("starvault.v1.json, bearer.{token}");
    let headers = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", protocols.as_str()),
    ];
    let request = headers.iter().fold(
        http::Request::builder().uri(format!("http://{}/v1/play", server.address)),
        |request, (name, value)| request.header(*name, *value),
    );
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http::<http_body_util::Empty<hyper::body::Bytes>>();
    let answer = crate::support::soon(
        "an answer to the upgrade",
        client.request(request.body(Default::default()).unwrap()),
    );
    answer.await.unwrap().status()
}
