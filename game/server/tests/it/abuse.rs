//! What one address may take, and whose word on addresses is believed.

use http::{Method, StatusCode};
use starvault_server::Config;
use starvault_wire::{
    Codec,
    v1::{SignInAsGuestRequest, player_service_client::PlayerServiceClient},
};

use crate::{
    raw::Raw,
    support::{Answer, Running, folder, request, soon},
};

async fn sign_in_from(server: &Running, forwarded: &str) -> Answer {
    let headers = [("x-forwarded-for", forwarded)];
    request(
        server.address,
        Method::POST,
        "/v1/guests",
        &headers,
        String::new(),
    )
    .await
}

fn trust_loopback(config: &mut Config) {
    config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
}

#[tokio::test]
async fn an_address_signs_in_so_many_guests_and_no_more_over_http_and_grpc_together() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| config.limits.sign_ins_per_minute = 2).await;
    let mut grpc = soon(
        "a channel",
        PlayerServiceClient::connect(format!("http://{}", server.address)),
    )
    .await
    .unwrap();
    grpc.sign_in_as_guest(SignInAsGuestRequest::default())
        .await
        .unwrap();
    let who = server.sign_in("Ada").await;
    let refused = request(server.address, Method::POST, "/v1/guests", &[], String::new()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.json()["code"], 8, "RESOURCE_EXHAUSTED");
    let refused = grpc
        .sign_in_as_guest(SignInAsGuestRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    // A header that anybody can write opens no new account.
    assert_eq!(
        sign_in_from(&server, "198.51.100.1").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    server.connect(&who, Codec::Json).await;
    server.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_allowance() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.sign_ins_per_minute = 1;
        trust_loopback(config);
    })
    .await;
    for (forwarded, expected) in [
        ("198.51.100.1", StatusCode::OK),
        ("198.51.100.1", StatusCode::TOO_MANY_REQUESTS),
        ("198.51.100.2", StatusCode::OK),
        ("203.0.113.9, 198.51.100.2", StatusCode::TOO_MANY_REQUESTS),
        ("2001:db8::1", StatusCode::OK),
        ("2001:db8::2", StatusCode::TOO_MANY_REQUESTS),
    ] {
        let answer = sign_in_from(&server, forwarded).await;
        assert_eq!(answer.status, expected, "{forwarded}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_address_holds_so_many_connections_and_gets_them_back() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.connections_per_address_max = 2;
    })
    .await;
    let mut held = [Raw::connect(&server).await, Raw::connect(&server).await];
    // Open as far as the server is concerned only once it has answered.
    for raw in &mut held {
        raw.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(raw.http_head().await.starts_with("HTTP/1.1 200 "));
    }
    let mut refused = Raw::connect(&server).await;
    refused.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let head = refused.http_head().await;
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    drop(held);
    let again = async {
        loop {
            let mut raw = Raw::connect(&server).await;
            raw.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                .await;
            if raw.http_head().await.starts_with("HTTP/1.1 200 ") {
                return;
            }
        }
    };
    soon("the places are free again", again).await;
    server.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_sockets_are_counted_by_client() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.connections_per_address_max = 1;
        trust_loopback(config);
    })
    .await;
    let who = server.sign_in("Ada").await;
    let upgrade = |forwarded: &str| {
        format!(
            "GET /v1/play HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             x-forwarded-for: {forwarded}\r\nauthorization: Bearer {}\r\n\r\n",
            who.token
        )
    };
    let mut sockets = Vec::new();
    for (forwarded, status) in [
        ("198.51.100.1", "101"),
        ("198.51.100.1", "429"),
        ("198.51.100.2", "101"),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.send(upgrade(forwarded).as_bytes()).await;
        let head = raw.http_head().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{forwarded}: {head}"
        );
        sockets.push(raw);
    }
    server.stop().await;
}
