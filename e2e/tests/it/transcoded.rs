//! A call that the gateway transcodes is answered as the server itself would have answered it over HTTP/JSON.

use std::fs;
use std::process::Command;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use crate::common::{Gateway, Starvault, binary};

struct Asking(Client<HttpConnector, Body>);

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What a client goes by.
    fn told(&self) -> (StatusCode, Vec<Option<String>>, &Bytes) {
        let names = [
            header::CONTENT_TYPE,
            header::CONTENT_LENGTH,
            header::CONTENT_ENCODING,
            header::VARY,
            header::WWW_AUTHENTICATE,
            header::ALLOW,
            header::ACCEPT_ENCODING,
        ];
        let value = |name| {
            let value = self.headers.get(name)?;
            Some(value.to_str().expect("text").to_owned())
        };
        (self.status, names.into_iter().map(value).collect(), &self.body)
    }
}

impl Asking {
    async fn ask(&self, base: &str, line: &str, headers: &[(&str, &str)], body: &'static str) -> Answer {
        let (method, path) = line.split_once(' ').expect("METHOD PATH");
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", base.trim_end_matches('/')));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self
            .0
            .request(request.body(Body::from(body)).unwrap())
            .await
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let (head, body) = answer.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: to_bytes(Body::new(body), 1024 * 1024).await.unwrap(),
        }
    }
}

#[tokio::test]
async fn the_gateway_answers_for_the_server_as_the_server_does() {
    let server = Starvault::start("v1.3").await;
    let folder = tempfile::tempdir().unwrap();
    let printed = Command::new(binary("starvault", "starvault-server"))
        .arg("descriptors")
        .output()
        .unwrap();
    assert!(printed.status.success(), "{printed:?}");
    fs::write(folder.path().join("starvault.binpb"), printed.stdout).unwrap();
    // The other one has no room for an answer: that the gateway writes them is seen there.
    let backend = |version: &str, more: &str| {
        format!(
            "{{ url: \"{}\", version: {version}, transcode: {{ descriptor_set: starvault.binpb{more} }} }}",
            server.url()
        )
    };
    let routes = format!(
        "upstream_timeout_ms: 60000\nbackends:\n  one: {}\n  narrow: {}\n\
         rules: [{{ name: narrow, header: {{ x-version: narrow }}, split: {{ narrow: 100 }} }}]\n\
         default: {{ split: {{ one: 100 }} }}\n",
        backend("v1.3", ""),
        backend("narrow", ", max_response_bytes: 1")
    );
    let gateway = Gateway::start(folder.path(), &routes).await;
    let client = Asking(Client::builder(TokioExecutor::new()).build_http());

    let narrow = [("x-version", "narrow")];
    let answer = client.ask(&gateway.url, "GET /v1/version", &narrow, "").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{answer:?}");

    let guest = client
        .ask(
            &gateway.url,
            "POST /v1/guests",
            &[],
            r#"{"displayName":"Ada 棋"}"#,
        )
        .await;
    assert_eq!(guest.status, StatusCode::OK, "{guest:?}");
    let guest = guest.json();
    assert_eq!(guest["profile"]["displayName"], "Ada 棋");
    let token = format!("Bearer {}", guest["token"].as_str().unwrap());
    let id = guest["profile"]["playerId"].as_str().unwrap();
    let other = format!("GET /v1alpha/players/{id}");
    let signed = [("authorization", token.as_str())];
    let zipped = [signed[0], ("accept-encoding", "gzip")];
    let forged = [("authorization", "Bearer a.b.c")];
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let coding = [("content-encoding", "br")];
    let deadline = [("x-request-timeout", "soon")];
    for (line, headers, body, status) in [
        ("GET /v1/version", &[][..], "", 200),
        ("GET /v1alpha/version?nothing=1", &[], "", 200),
        ("HEAD /v1/version", &[], "", 200),
        ("GET /v1/players/me", &signed, "", 200),
        ("GET /v1/players/me", &zipped, "", 200),
        (&other, &signed, "", 200),
        ("GET /v1/players/me", &[], "", 401),
        ("GET /v1/players/me", &forged, "", 401),
        ("GET /v1/players/nobody", &signed, "", 404),
        ("GET /v1/players/%FF", &signed, "", 400),
        (
            "POST /v1/players/me/equipment",
            &signed,
            r#"{"itemId":"no","equip":true}"#,
            404,
        ),
        ("POST /v1/guests", &[], r#"{"displayName":"#, 400),
        ("POST /v1/guests", &[], r#"{"displayName":7}"#, 400),
        ("POST /v1/guests", &[], "{\"displayName\":\"a\\u0007\"}", 400),
        ("POST /v1/guests", &form, "displayName=Ada", 415),
        ("POST /v1/guests", &coding, "{}", 415),
        // These pass as they are.
        ("PUT /v1/guests", &[], "{}", 405),
        ("GET /v1/nothing", &[], "", 404),
        ("GET /healthz", &[], "", 200),
    ] {
        let at_server = client.ask(&server.url(), line, headers, body).await;
        let at_gateway = client.ask(&gateway.url, line, headers, body).await;
        assert_eq!(at_gateway.told(), at_server.told(), "{line}");
        assert_eq!(at_server.status.as_u16(), status, "{line}: {at_server:?}");
        assert_eq!(at_gateway.headers["x-served-version"], "v1.3");
    }
    // Their words differ, their form does not: the gateway reads a deadline before anybody else.
    for base in [&server.url(), &gateway.url] {
        let answer = client.ask(base, "GET /v1/version", &deadline, "").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &3.into()));
    }
}
