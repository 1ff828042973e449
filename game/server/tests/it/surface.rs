//! The one port: HTTP/1.1, HTTP/2, gRPC reflection and health, the page, limits.

use futures_util::StreamExt as _;
use http::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use starvault_wire::{
    Codec,
    v1::{GetVersionRequest, system_service_client::SystemServiceClient},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::{Running, folder, request, request_with, soon};

#[tokio::test]
async fn reflection_lists_every_service_and_health_follows_the_server() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let url = format!("http://{}", server.address);
    let channel = tonic::transport::Endpoint::from_shared(url)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut reflection = ServerReflectionClient::new(channel.clone());
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = reflection
        .server_reflection_info(futures_util::stream::iter([question]))
        .await
        .unwrap()
        .into_inner();
    let answer = soon("reflection answers", answers.next()).await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("a list")
    };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "starvault.v1.PlayerService",
        "starvault.v1.SystemService",
    ];
    assert_eq!(names, expected);
    drop(answers);

    let mut health = HealthClient::new(channel.clone());
    let question = HealthCheckRequest {
        service: "starvault.v1.PlayerService".into(),
    };
    let mut watch = health.watch(question).await.unwrap().into_inner();
    let first = soon("health answers", watch.next()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);

    let mut system = SystemServiceClient::new(channel);
    let over_grpc = system.get_version(GetVersionRequest {}).await.unwrap();
    assert_eq!(over_grpc.metadata().get("x-release").unwrap(), "v1.2");
    let over_http = server.get("/v1/version", &[]).await;
    assert_eq!(
        serde_json::to_value(over_grpc.into_inner()).unwrap(),
        over_http.json()
    );

    server.shutdown.cancel();
    let last = soon("health says that the server goes down", watch.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    drop(watch);
    server.stop().await;
}

#[tokio::test]
async fn the_version_names_the_executable_that_runs() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2-rc.1", |_| {}).await;
    let version = server.get("/v1/version", &[]).await.json();
    let executable = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(
        version["executableSha256"],
        hex::encode(Sha256::digest(executable))
    );
    assert_eq!(version["release"], "v1.2-rc.1");
    assert_eq!(version["packageVersion"], env!("CARGO_PKG_VERSION"));
    let commit = version["commit"].as_str().unwrap();
    assert!(commit == "unknown" || commit.len() == 40, "{commit}");
    // HTTP/2 without TLS on the same port.
    let over_h2 = request_with(
        server.address,
        Method::GET,
        "/v1/version",
        &[],
        String::new(),
        true,
    )
    .await;
    assert_eq!(over_h2.json(), version);
    server.stop().await;
}

#[tokio::test]
async fn every_answer_names_the_release_and_errors_have_one_form() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| config.limits.body_bytes_max = 100).await;
    let large = "x".repeat(101);
    let cases = [
        (Method::GET, "/healthz", "", StatusCode::OK, None),
        (Method::GET, "/nothing/here", "", StatusCode::NOT_FOUND, Some(5)),
        (
            Method::DELETE,
            "/v1/guests",
            "",
            StatusCode::METHOD_NOT_ALLOWED,
            Some(12),
        ),
        (
            Method::POST,
            "/v1/guests",
            large.as_str(),
            StatusCode::PAYLOAD_TOO_LARGE,
            Some(3),
        ),
        (
            Method::GET,
            "/v1/players/me",
            "",
            StatusCode::UNAUTHORIZED,
            Some(16),
        ),
        (Method::GET, "/v1/play", "", StatusCode::BAD_REQUEST, Some(3)),
    ];
    for (method, path, body, status, code) in cases {
        let answer = request(server.address, method, path, &[], body.into()).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.headers["x-release"], "v1.2", "{path}");
        if let Some(code) = code {
            let error = answer.json();
            let details = if status == StatusCode::UNAUTHORIZED {
                let kind = "type.googleapis.com/google.rpc.ErrorInfo";
                json!([{ "@type": kind, "reason": "CREDENTIALS_MISSING", "domain": "starvault" }])
            } else {
                json!([])
            };
            assert_eq!(
                (&error["code"], &error["details"]),
                (&json!(code), &details),
                "{path}"
            );
            assert!(!error["message"].as_str().unwrap().is_empty(), "{path}");
        }
    }
    let headers = [("content-type", "application/grpc")];
    let unknown = request_with(
        server.address,
        Method::POST,
        "/a.B/C",
        &headers,
        String::new(),
        true,
    )
    .await;
    assert_eq!(
        (unknown.status, unknown.headers["grpc-status"].as_bytes()),
        (StatusCode::OK, &b"12"[..])
    );
    server.stop().await;
}

#[tokio::test]
async fn the_page_is_served_whole_strict_and_cacheable() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let page = server.get("/", &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"));
    // Everything that the page names is there, with its type.
    let text = page.text();
    let named: Vec<&str> = text
        .split('"')
        .filter(|part| [".js", ".css", ".svg"].iter().any(|end| part.ends_with(end)))
        .collect();
    assert!(named.len() >= 3, "{named:?}");
    for name in named {
        let path = format!("/{}", name.trim_start_matches('/'));
        let file = server.get(&path, &[]).await;
        assert_eq!(file.status, StatusCode::OK, "{path}");
        let expected = match name.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(file.headers["content-type"], expected, "{path}");
    }
    let etag = page.headers["etag"].to_str().unwrap();
    let again = server.get("/", &[("if-none-match", etag)]).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(
        server.get("/", &[("if-none-match", "\"other\"")]).await.status,
        StatusCode::OK
    );
    server.stop().await;
}

#[tokio::test]
async fn connections_are_counted_sockets_included() {
    let folder = folder();
    // Signed in elsewhere, so that only the sockets below are connected here.
    let other = Running::start(&folder, "v1.3", |_| {}).await;
    let ada = other.sign_in("Ada").await;
    let server = Running::start(&folder, "v1.2", |config| config.limits.connections_max = 2).await;
    let first = server.connect(&ada, Codec::Json).await;
    let second = server.connect(&ada, Codec::Json).await;
    assert_eq!(
        server.get("/v1/version", &[]).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    drop(first);
    let freed = async {
        while server.get("/v1/version", &[]).await.status != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    soon("the place is free again", freed).await;
    drop(second);
    server.stop().await;
    other.stop().await;
}
